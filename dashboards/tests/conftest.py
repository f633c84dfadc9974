"""Servers' tools that are here already."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def promtool() -> Path:
    """GWZ_PROMTOOL_BIN, on PATH, or what the stack has fetched; skips without."""
    if chosen := os.environ.get("GWZ_PROMTOOL_BIN") or shutil.which("promtool"):
        return Path(chosen)
    pytest.importorskip("gwz_stack", reason="the stack, which finds promtool, is not installed here")
    from gwz_stack import archive, gobuild  # noqa: PLC0415 - only where the stack is installed
    from gwz_stack.cache import Cache  # noqa: PLC0415
    from gwz_stack.versions import pin  # noqa: PLC0415

    wanted, cache = pin("promtool"), Cache.from_environment()
    found = (wanted.archive and archive.cached(wanted.archive, cache)) or (
        wanted.go and gobuild.cached("promtool", wanted.go, cache)
    )
    if not found:
        pytest.skip("no promtool here: `python -m gwz_stack find promtool` fetches one")
    return found
