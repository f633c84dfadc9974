"""Moves the Go module in a server's folder to another version of the server, with the replacements of that version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwz_stack.miss import Absent, Miss

if TYPE_CHECKING:
    from collections.abc import Iterator

# Under which version of which module a server's release is known. Tempo's releases are none.
_MODULES = {
    "prometheus": ("github.com/prometheus/prometheus", "v0.3{minor:02}.{patch}"),
    "loki": ("github.com/grafana/loki/v3", "v3.{minor}.{patch}"),
}
_NOT_THERE = re.compile(r": (?:403|404|410) |unknown revision|invalid version")
FILES = ("go.mod", "go.sum")


def moved(server: str, version: str, folder: Path) -> dict[Path, str]:
    """Return go.mod and go.sum of the folder as they are for that version, having written nothing.

    Raises Absent where Go's proxy has no such version, Miss in Go's words where it cannot be had otherwise.
    """
    query = _query(server, version)
    if not shutil.which("go"):
        raise Miss("Go is not installed")
    with tempfile.TemporaryDirectory(prefix="gwz-bump-") as draft:
        there = Path(draft)
        upstream = json.loads(_go("mod", "download", "-json", query, cwd=there))
        for name in FILES:
            shutil.copy(folder / name, there)
        with (there / "go.sum").open("a", encoding="utf-8") as sums:
            # Some of its modules are in no public checksum database; what it has itself is vouched for with it.
            sums.write((Path(upstream["Dir"]) / "go.sum").read_text(encoding="utf-8"))
        _go("mod", "edit", *_replacements(there, Path(upstream["GoMod"])), cwd=there)
        _go("get", query, cwd=there)
        _go("mod", "tidy", cwd=there)
        return {folder / name: (there / name).read_text(encoding="utf-8") for name in FILES}


def _query(server: str, version: str) -> str:
    if server not in _MODULES:
        raise Miss(f"no release of {server} is a Go module")
    module, form = _MODULES[server]
    number, _, suffix = version.partition("-")
    major, minor, patch = map(int, number.split("."))
    if major != 3:  # the modules of others have names and numbers of other forms
        raise Miss(f"how {server} {major} is numbered as a Go module is not known here")
    return f"{module}@{form.format(minor=minor, patch=patch)}{suffix and f'-{suffix}'}"


def _replacements(folder: Path, upstream: Path) -> Iterator[str]:
    """Go ignores the replacements of a dependency: ours repeat those of them that are no folder beside it."""
    for old, _ in _replaced(folder / "go.mod"):
        yield f"-dropreplace={_name(old)}"
    for old, new in _replaced(upstream):
        if "Version" in new:
            yield f"-replace={_name(old)}={_name(new)}"


def _replaced(file: Path) -> list[tuple[dict[str, str], dict[str, str]]]:
    said: dict[str, Any] = json.loads(_go("mod", "edit", "-json", str(file), cwd=file.parent))
    return [(one["Old"], one["New"]) for one in said["Replace"] or ()]


def _name(module: dict[str, str]) -> str:
    return "@".join(filter(None, (module["Path"], module.get("Version"))))


def _go(*arguments: str, cwd: Path) -> str:
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    result = subprocess.run(["go", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        answer = json.loads(result.stdout)["Error"] if result.stdout.startswith("{") else result.stderr
        said = " ".join(answer.split())[-400:]
        raise (Absent if _NOT_THERE.search(said) else Miss)(f"`go {' '.join(arguments[:2])}` failed ({said})")
    return result.stdout
