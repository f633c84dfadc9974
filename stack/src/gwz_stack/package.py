"""Servers that come as packages of the Linux distribution."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.command import run
from gwz_stack.miss import Miss

if TYPE_CHECKING:
    from collections.abc import Callable

    from gwz_stack.cache import Cache
    from gwz_stack.versions import Pin


def install(pin: Pin, cache: Cache, progress: Callable[[str], None]) -> Path:
    """Install the server's package and return its binary; raises Miss where that cannot be done."""
    if pin.package is None or not shutil.which("apt-get"):
        raise Miss("this system has no apt-get")
    if os.geteuid() != 0:
        raise Miss(f"installing needs root: `sudo apt-get install {pin.package}`")
    with cache.locked("apt"):
        progress(f"installing the package {pin.package}")
        for argv in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", pin.package]):
            result = run(argv, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
            if result.exit_code:
                raise Miss(f"`{' '.join(argv)}` failed ({result.output.strip().splitlines()[-1:]})")
    for binary in pin.binaries:
        if path := shutil.which(binary):
            return Path(path)
    raise Miss(f"the package {pin.package} brought no {' or '.join(pin.binaries)}")
