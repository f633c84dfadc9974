"""Moves a server to another version everywhere it is written: versions.toml, and the Dockerfile that builds on it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from gwz_stack.errors import StackError, writing

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[a-z]+[\w.]*)?")
# What is no image of its own: the folder whose Dockerfile installs it, and how it stands there.
_INSTALLED = {"infinity": ("grafana", "yesoreyeram-infinity-datasource {}"), "nginx": ("gate", "nginx={}-*")}
# promtool is in Prometheus' archive.
_TOGETHER = {"prometheus": ("prometheus", "promtool")}


def bump(server: str, version: str, *, stack: Path) -> list[Path]:
    """Pin `server` to `version` and return the files that were written; none when it is pinned to it already.

    Where Go would still build the version before, that one stays accepted. Raises StackError, having written nothing.
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
    changes = [_versions(stack, server, before, version), _dockerfile(stack, server, before, version)]
    for path, text in changes:
        with writing(path):
            path.write_text(text, encoding="utf-8")
    return [path for path, _ in changes]


def _versions(stack: Path, server: str, before: str, version: str) -> tuple[Path, str]:
    path = stack / "versions.toml"
    text = path.read_text(encoding="utf-8")
    for name in _TOGETHER.get(server, (server,)):
        start = text.index(f"[{name}]\n")
        end = text.find(f"\n[{name}.", start)
        end = end if end >= 0 else (text + "\n[").find("\n[", start + 1)
        section = text[start:end].replace(f'pinned = "{before}"', f'pinned = "{version}"')
        section = re.sub(rf'(image = "[^"]*:v?){re.escape(before)}', rf"\g<1>{version}", section)
        if f'[{name}.go]\nversion = "{before}"' in text:
            section = _accepting(section, before)
        text = text[:start] + section + text[end:]
    return path, text


def _accepting(section: str, version: str) -> str:
    if "accepted = [" in section:
        return section.replace("accepted = [", f'accepted = ["{version}", ', 1)
    return re.sub(r'(pinned = "[^"]*"\n?)', rf'\g<1>accepted = ["{version}"]\n', section, count=1).rstrip("\n") + "\n"


def _dockerfile(stack: Path, server: str, before: str, version: str) -> tuple[Path, str]:
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
    return path, changed
