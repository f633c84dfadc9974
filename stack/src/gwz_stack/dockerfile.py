"""What a Dockerfile says: its base, who runs what, with which files. As much of the language as ours use."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Dockerfile:
    """The last stage of an image."""

    base: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    health: tuple[str, ...]
    copies: tuple[tuple[str, str], ...]
    """What of the repository lies where: pairs of source and destination."""
    exposed: tuple[int, ...]
    runs: tuple[str, ...]
    environment: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """What entrypoint.sh is told to check."""
        script = [index for index, word in enumerate(self.entrypoint) if word.endswith("/entrypoint.sh")]
        return self.entrypoint[script[0] + 1 : -1] if script else ()

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that the server must be able to write."""
        return tuple(need.rstrip("/") for need in self.needs if need.endswith("/"))

    @property
    def templates(self) -> tuple[str, ...]:
        """The files that variables are put into."""
        return tuple(need for need in self.needs if "/" in need and not need.endswith("/"))

    @property
    def required(self) -> tuple[str, ...]:
        """The variables that the entrypoint asks for by name."""
        return tuple(need.removeprefix("@") for need in self.needs if "/" not in need and not need.endswith("?"))

    @property
    def optional(self) -> tuple[str, ...]:
        """The variables that it looks at where they are set."""
        return tuple(need.removesuffix("?") for need in self.needs if need.endswith("?"))


@cache
def dockerfile(server: str) -> Dockerfile:
    """Return the image of a server of this repository."""
    return read(STACK / server / "Dockerfile")


def read(path: Path) -> Dockerfile:
    """Parse a Dockerfile; instructions that are not ours are left out."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    said = [
        (name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name
    ]

    def last(instruction: str) -> str:
        return next((rest for name, rest in reversed(said) if name == instruction), "")

    def every(instruction: str) -> list[str]:
        return [rest for name, rest in said if name == instruction]

    copies = [rest.split() for rest in every("COPY")]
    return Dockerfile(
        base=last("FROM").split(" ")[0],
        user=last("USER"),
        entrypoint=_words(last("ENTRYPOINT")),
        command=_words(last("CMD")),
        health=_words(last("HEALTHCHECK").partition("CMD ")[2]),
        copies=tuple((source, words[-1]) for words in copies for source in words[:-1]),
        exposed=tuple(int(port) for rest in every("EXPOSE") for port in rest.split()),
        runs=tuple(every("RUN")),
        environment=tuple(every("ENV")),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text.startswith("[") else tuple(text.split())
