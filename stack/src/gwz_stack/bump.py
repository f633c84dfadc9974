"""Moves a server to another version everywhere it is written: versions.toml, its Dockerfile, and its Go module."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from gwz_stack import archive, gomodule
from gwz_stack.errors import StackError, writing
from gwz_stack.miss import Absent, Miss
from gwz_stack.versions import archive_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[a-z]+[\w.]*)?")
# What is no image of its own: the folder whose Dockerfile installs it, and how it stands there.
_INSTALLED = {"infinity": ("grafana", "yesoreyeram-infinity-datasource {}"), "nginx": ("gate", "nginx={}-*")}
# promtool is in Prometheus' archive.
_TOGETHER = {"prometheus": ("prometheus", "promtool")}


def bump(server: str, version: str, *, stack: Path, tell: Callable[[str], None] = lambda _line: None) -> list[Path]:
    """Pin `server` to `version` and return the files that were written; none when it is pinned to it already.

    Where its Go module cannot be moved too, `tell` hears why, and the version that Go builds stays accepted.
    Raises StackError, having written nothing: also when somebody was asked who would have that version, and has not.
    """
    pins = tomllib.loads((stack / "versions.toml").read_text(encoding="utf-8"))
    if server not in pins or server == "promtool":
        raise StackError(
            f"{server} is not pinned by itself.",
            cause="A typing error?",
            cure=f"Pinned are {', '.join(name for name in pins if name != 'promtool')}.",
        )
    if not _VERSION.fullmatch(version):
        raise StackError(
            f"{version} is no version.", cause="One is wanted such as 3.2.1.", cure="Leave out a v before it."
        )
    before = pins[server]["pinned"]
    if before == version:
        return []
    changes = _dockerfile(stack, server, before, version)
    try:
        module = _sources(server, version, pins[server], stack, tell)
    except Absent as absent:
        raise StackError(
            f"There is no {server} {version}.", cause=f"{absent}.", cure="Name one that its publisher lists."
        ) from absent
    changes |= module
    changes[stack / "versions.toml"] = _versions(stack, server, before, version, go_moves=bool(module))
    for path, text in changes.items():
        with writing(path):
            path.write_text(text, encoding="utf-8")
    return [*changes]


def _sources(
    server: str, version: str, entry: Mapping[str, Any], stack: Path, tell: Callable[[str], None]
) -> dict[Path, str]:
    """Ask those who would have that version for it, and return the files of the Go module that builds it; raises Absent."""
    if "archive" in entry:
        release = archive_of(entry["archive"], version)
        _ask(lambda: archive.look_up(release), "whether there is such a release was not seen", tell)
    if "go" not in entry:
        return {}
    folder = stack / entry["go"]["directory"]
    stays = f"Go goes on building {entry['go']['version']}"
    return _ask(lambda: gomodule.moved(server, version, folder), stays, tell) or {}


def _ask(source: Callable[[], T], otherwise: str, tell: Callable[[str], None]) -> T | None:
    try:
        return source()
    except Absent:
        raise
    except Miss as miss:
        tell(f"{otherwise}: {miss}")
        return None


def _versions(stack: Path, server: str, before: str, version: str, *, go_moves: bool) -> str:
    text = (stack / "versions.toml").read_text(encoding="utf-8")
    for name in _TOGETHER.get(server, (server,)):
        start = text.index(f"[{name}]\n")
        end = text.find(f"\n[{name}.", start)
        end = end if end >= 0 else (text + "\n[").find("\n[", start + 1)
        section = text[start:end].replace(f'pinned = "{before}"', f'pinned = "{version}"')
        section = re.sub(rf'(image = "[^"]*:v?){re.escape(before)}', rf"\g<1>{version}", section)
        if not go_moves and f'[{name}.go]\nversion = "{before}"' in text:
            section = _accepting(section, before)
        text = text[:start] + section + text[end:]
        if go_moves:
            text = _building(text, name, version)
    return text


def _accepting(section: str, version: str) -> str:
    if "accepted = [" in section:
        return section.replace("accepted = [", f'accepted = ["{version}", ', 1)
    return re.sub(r'(pinned = "[^"]*"\n?)', rf'\g<1>accepted = ["{version}"]\n', section, count=1).rstrip("\n") + "\n"


def _building(text: str, name: str, version: str) -> str:
    """The version stands twice in what is said of the module: by itself, and at the end of what the binary will answer."""
    head, table, tail = text.partition(f"[{name}.go]\n")
    tail = re.sub(r'^version = "[^"]*"', f'version = "{version}"', tail, count=1, flags=re.MULTILINE)
    tail = re.sub(r'^(ldflags = "[^"]*=)[^"=]*"', rf'\g<1>{version}"', tail, count=1, flags=re.MULTILINE)
    return head + table + tail


def _dockerfile(stack: Path, server: str, before: str, version: str) -> dict[Path, str]:
    folder, form = _INSTALLED.get(server, (server, ""))
    path = stack / folder / "Dockerfile"
    text = path.read_text(encoding="utf-8")
    if form:
        changed = text.replace(form.format(before), form.format(version))
    else:
        changed = re.sub(rf"^(FROM \S+:v?){re.escape(before)}", rf"\g<1>{version}", text, flags=re.MULTILINE)
    if changed == text:
        raise StackError(
            f"{path} does not have {server} {before}.", cause="It was changed by hand.", cure="Correct it first."
        )
    return {path: changed}
