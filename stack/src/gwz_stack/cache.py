"""The project's cache of binaries: one folder, safe for several processes at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.errors import writing

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Cache:
    """A folder that holds one finished folder per archive and per build, and the pins of the archives."""

    root: Path

    @classmethod
    def from_environment(cls) -> Cache:
        """Return the cache at GWZ_CACHE, else in XDG_CACHE_HOME, else in ~/.cache."""
        if chosen := os.environ.get("GWZ_CACHE"):
            return cls(Path(chosen).expanduser().absolute())
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(base).absolute() / "gatewayz-observability")

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock `key` among all processes; it ends with the process, however that ends."""
        folder = self.root / "locks"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / f"{key}.lock").open("w")
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def filling(self, folder: Path) -> Iterator[Path]:
        """Yield an empty folder that takes the place of `folder` in one step at the end, or vanishes on a failure."""
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        try:
            yield draft
            with writing(folder):
                draft.chmod(0o755)
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def archive_pin(self, url: str) -> str | None:
        """Return the sha256 that the first verified download of `url` had."""
        return self._pins().get(url)

    def pin_archive(self, url: str, sha256: str) -> None:
        """Remember the sha256 that every later download of `url` must have."""
        with self.locked("pins"), writing(self._pins_file):
            draft = self._pins_file.with_suffix(".draft")
            draft.write_text(json.dumps(self._pins() | {url: sha256}, indent=2), encoding="utf-8")
            draft.rename(self._pins_file)

    @property
    def _pins_file(self) -> Path:
        return self.root / "pins.json"

    def _pins(self) -> dict[str, str]:
        if not self._pins_file.exists():
            return {}
        pins: dict[str, str] = json.loads(self._pins_file.read_text(encoding="utf-8"))
        return pins
