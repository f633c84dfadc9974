"""Ends the process groups of a supervisor that died without doing so; a script of its own, started by gwz_stack.process.

It reads `+GROUP` and `-GROUP` lines. When the supervisor closes the pipe, in whatever way it ends, the groups that are left are
ended. PR_SET_PDEATHSIG would reach only a direct child, and already when the thread that started it ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

_GRACE_S = 3.0


def main() -> None:
    """Follow the supervisor until it is gone, then leave nothing of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in iter(sys.stdin.readline, ""):
        group = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(group)
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while groups and time.monotonic() < deadline:
        groups = {group for group in groups if _lives(group)}
        time.sleep(0.05)
    _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
