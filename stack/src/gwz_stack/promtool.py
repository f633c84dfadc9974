"""Blocks of Prometheus's database, made by promtool of samples or of recording rules."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from gwz_stack.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


def blocks_of_samples(promtool: Path, text: Path, data: Path) -> None:
    """Make blocks in `data` of a text in OpenMetrics's format; StackError when promtool refuses it."""
    _create_blocks(promtool, "openmetrics", "--quiet", str(text), str(data))


def blocks_of_rules(promtool: Path, rules: Path, data: Path, *, url: str, start: int, end: int, every_s: int) -> None:
    """Make blocks in `data` of what recording rules would have written between two unix times, asking the Prometheus at `url`.

    It does not see what its own rules write: one that reads another takes a call of its own, later, when that is served.
    """
    times = (f"--start={start}", f"--end={end}", f"--eval-interval={every_s}s")
    _create_blocks(promtool, "rules", f"--url={url}", *times, f"--output-dir={data}", str(rules))


def _create_blocks(promtool: Path, *arguments: str) -> None:
    command = [str(promtool), "tsdb", "create-blocks-from", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(
            f"promtool could not make blocks of {arguments[0]}.",
            cause=f"It says: {(done.stderr + done.stdout).strip()[-400:]}",
            cure=f"Try the command by hand: {' '.join(command)}",
        )
