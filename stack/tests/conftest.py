"""What the tests of the stack share: executables made of a few lines, and an environment that finds nothing else."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

Script = Callable[[Path, str], Path]


@pytest.fixture
def script() -> Script:
    """Return a function that writes an executable shell script."""

    def write(path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder that is the only one on PATH, with no GWZ_* variable set and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("GWZ_CACHE", str(tmp_path / "cache"))
    for name in ("PROMETHEUS", "PROMTOOL", "LOKI", "TEMPO", "GRAFANA", "REDIS", "REDIS_EXPORTER"):
        monkeypatch.delenv(f"GWZ_{name}_BIN", raising=False)
    monkeypatch.delenv("GWZ_GRAFANA_HOME", raising=False)
    monkeypatch.delenv("GWZ_GRAFANA_PLUGINS", raising=False)
    return folder
