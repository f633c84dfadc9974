"""Grafana's homepath: the folder of its defaults and its web interface, which a bare binary does not know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.errors import ServerUnavailable

if TYPE_CHECKING:
    from gwz_stack.find import Found

_DEFAULTS = Path("conf/defaults.ini")


def homepath(grafana: Found) -> Path:
    """Return GWZ_GRAFANA_HOME, else the folder that the binary was unpacked in, else the distribution's."""
    chosen = os.environ.get("GWZ_GRAFANA_HOME")
    binary = grafana.path.resolve()
    candidates = [Path(chosen).expanduser().absolute()] if chosen else [*binary.parents[:3], Path("/usr/share/grafana")]
    for folder in candidates:
        if (folder / _DEFAULTS).exists():
            return folder
    raise ServerUnavailable(
        "grafana",
        reason=f"{binary} was found, but {_DEFAULTS} is in none of {', '.join(map(str, candidates))}.",
        cure="Set GWZ_GRAFANA_HOME to the unpacked release.",
    )
