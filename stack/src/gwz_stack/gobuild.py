"""Builds a server from the Go module in its folder, once per content of that module."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from gwz_stack.command import run
from gwz_stack.errors import writing
from gwz_stack.miss import Miss
from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gwz_stack.cache import Cache
    from gwz_stack.versions import GoModule


def cached(name: str, module: GoModule, cache: Cache) -> Path | None:
    """Return the binary that an earlier build of exactly this module left."""
    if not shutil.which("go"):
        return None
    binary = _folder(name, module, cache) / name
    return binary if binary.exists() else None


def build(name: str, module: GoModule, cache: Cache, progress: Callable[[str], None]) -> Path:
    """Return the binary, building it when the cache lacks it; raises Miss with the compiler's words."""
    if not shutil.which("go"):
        raise Miss("Go is not installed")
    folder = _folder(name, module, cache)
    with cache.locked(folder.name):
        if not (folder / name).exists():
            with cache.filling(folder) as draft:
                _compile(name, module, draft / name, progress)
    return folder / name


def _compile(name: str, module: GoModule, binary: Path, progress: Callable[[str], None]) -> None:
    started = time.monotonic()
    progress(f"building {name} {module.version} from its Go module: about 4 minutes on two cores the first time")
    argv = ["go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath"]
    argv += ["-tags", module.tags] if module.tags else []
    argv += ["-ldflags", module.ldflags, "-o", str(binary), module.package]
    result = run(
        argv,
        cwd=STACK / module.directory,
        env=_environment(),
        still_running=lambda seconds: progress(f"still building {name} ({seconds:.0f} s)"),
    )
    if result.exit_code:
        if "no space left on device" in result.output:
            with writing(binary):
                raise OSError(28, "No space left on device")
        raise Miss(f"`go build` failed ({_last_words(result.output)})")
    progress(f"built {name} in {time.monotonic() - started:.0f} s")


def _environment() -> dict[str, str]:
    return os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}


def _folder(name: str, module: GoModule, cache: Cache) -> Path:
    sources = STACK / module.directory
    content = hashlib.sha256()
    for part in (
        (sources / "go.mod").read_bytes(),
        (sources / "go.sum").read_bytes(),
        repr(module).encode(),
        _go_version().encode(),
        platform.machine().encode(),
    ):
        content.update(hashlib.sha256(part).digest())
    return cache.root / "go" / f"{name}-{content.hexdigest()[:16]}"


def _go_version() -> str:
    answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, env=_environment(), check=False)
    return answer.stdout.strip()


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:500] or "it said nothing"
