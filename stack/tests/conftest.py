"""What the tests of the stack share: executables made of a few lines, and an environment that finds nothing else."""

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gwz_stack import Found, ServerUnavailable, VersionRefused, archive, find, gomodule
from gwz_stack.layout import ENTRYPOINT
from gwz_stack.miss import Miss

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


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a publisher nor Go's proxy can be asked for a version."""

    def refuse(*_: object) -> None:
        raise Miss("example.com cannot be reached")

    monkeypatch.setattr(archive, "look_up", refuse)
    monkeypatch.setattr(gomodule, "moved", refuse)


@pytest.fixture
def expanded() -> Callable[[Path, Mapping[str, str], Path], str]:
    """Return a function that lets the entrypoint put variables into a file, and returns what the server would read."""

    def expand(template: Path, variables: Mapping[str, str], folder: Path) -> str:
        folder.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], **variables, "GWZ_RENDERED": str(folder)}
        subprocess.run(["/bin/sh", ENTRYPOINT, template, "--", "true"], env=environment, check=True)
        return (folder / template.name).read_text()

    return expand


@pytest.fixture(scope="session")
def here() -> Callable[..., dict[str, Found]]:
    """Return a function that gives servers by name which are on this machine already, or skips the test."""

    def look(*names: str) -> dict[str, Found]:
        try:
            return {name: find(name, here=True) for name in names}
        except (ServerUnavailable, VersionRefused) as error:
            pytest.skip(f"{error.what} `python -m gwz_stack find {' '.join(names)}` fetches it")

    return look
