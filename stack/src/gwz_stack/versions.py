"""Which version of each server is pinned, which others are accepted, and where each can be had: versions.toml, typed."""

from __future__ import annotations

import platform
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

STACK = Path(__file__).resolve().parents[2]
SERVERS = ("prometheus", "loki", "tempo", "grafana", "redis", "redis_exporter")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Archive:
    """A release archive, its publisher's checksum file, and the wanted file inside."""

    url: str
    checksums: str
    member: str


@dataclass(frozen=True)
class GoModule:
    """How a command is built from the module in a folder of stack/."""

    version: str
    directory: str
    package: str
    ldflags: str
    tags: str = ""


@dataclass(frozen=True)
class Pin:
    """One server: the version that the project is made for, and the sources of its binary."""

    name: str
    pinned: str
    accepted: tuple[str, ...]
    binaries: tuple[str, ...]
    image: str | None
    archive: Archive | None
    go: GoModule | None
    package: str | None
    asks: str = "--version"
    """The flag that makes the binary say its version."""

    @property
    def usable(self) -> tuple[str, ...]:
        """The versions that run, the pinned one first."""
        return (self.pinned, *self.accepted)


def pin(server: str) -> Pin:
    """Return what versions.toml says of a server; raises KeyError for a name that it does not list."""
    return pins()[server]


@cache
def pins() -> dict[str, Pin]:
    """Return every entry of versions.toml by name."""
    entries = tomllib.loads((STACK / "versions.toml").read_text(encoding="utf-8"))
    return {name: _pin(name, entry) for name, entry in entries.items()}


def _pin(name: str, entry: dict[str, Any]) -> Pin:
    return Pin(
        name=name,
        pinned=entry["pinned"],
        accepted=tuple(entry.get("accepted", ())),
        binaries=(entry.get("binary", name), *entry.get("aliases", ())),
        image=entry.get("image"),
        archive=archive_of(entry["archive"], entry["pinned"]) if "archive" in entry else None,
        go=GoModule(**entry["go"]) if "go" in entry else None,
        package=entry.get("package"),
        asks=entry.get("asks", "--version"),
    )


def archive_of(entry: Mapping[str, str], version: str) -> Archive:
    """Return the release archive of a version, from what versions.toml says of all of them."""
    machine = platform.machine()
    arch = _ARCHITECTURES.get(machine, machine)
    return Archive(**{key: template.format(version=version, arch=arch) for key, template in entry.items()})
