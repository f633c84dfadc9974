"""The project on Railway as the repository describes it: project.toml, and each service's folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gwz_stack.dockerfile import Dockerfile, read
from gwz_stack.errors import StackError
from gwz_stack.listeners import Listener, listeners

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Service:
    """One service: its name on Railway, its folder here, and all that is said of it."""

    name: str
    folder: str
    image: Dockerfile
    toml: Mapping[str, Any]
    variables: Mapping[str, str]
    volume: str | None
    public: bool
    listeners: tuple[Listener, ...]
    configuration: Mapping[str, str]
    """The texts of its configuration files, by their path below stack/."""

    @property
    def deploy(self) -> Mapping[str, Any]:
        """The deploy table of its railway.toml."""
        table: Mapping[str, Any] = self.toml.get("deploy", {})
        return table

    @property
    def ports(self) -> frozenset[int]:
        """What it listens on."""
        return frozenset(listener.port for listener in self.listeners)


@dataclass(frozen=True)
class Project:
    """All services, and the shared variables."""

    services: Mapping[str, Service]
    shared: tuple[str, ...]


def load(stack: Path) -> Project:
    """Read the project of the folder `stack`; raises StackError naming a file that is missing or no TOML."""
    said = _toml(stack / "railway" / "project.toml")
    services = {name: _service(stack, name, entry) for name, entry in said["services"].items()}
    return Project(services, tuple(said["shared"]))


def _service(stack: Path, name: str, entry: Mapping[str, Any]) -> Service:
    folder = name.replace("-", "_")
    skipped = {"Dockerfile", "railway.toml", "go.mod", "go.sum"}
    return Service(
        name=name,
        folder=folder,
        image=read(stack / folder / "Dockerfile"),
        toml=_toml(stack / folder / "railway.toml"),
        variables=entry.get("variables", {}),
        volume=entry.get("volume"),
        public=entry.get("public", False),
        listeners=listeners(folder, stack),
        configuration={
            str(path.relative_to(stack)): path.read_text(encoding="utf-8")
            for path in sorted((stack / folder).rglob("*"))
            if path.is_file() and path.name not in skipped
        },
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise StackError(f"{path} cannot be read.", cause=f"{error}.", cure="Correct it, or restore it.") from error
