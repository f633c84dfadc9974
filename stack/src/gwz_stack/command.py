"""Runs a command to its end without leaving any of its children behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_REPORT_EVERY_S = 30.0


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote to both outputs."""

    exit_code: int
    output: str


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    still_running: Callable[[float], None] = lambda _seconds: None,
) -> Result:
    """Run a command in a process group of its own, which is killed should anything interrupt the wait."""
    started = time.monotonic()
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=_REPORT_EVERY_S)
                except subprocess.TimeoutExpired:
                    still_running(time.monotonic() - started)
                else:
                    return Result(process.returncode, output)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
