"""Process groups as /proc shows them: who is in one, and how much memory it holds. Linux only, like the stack's binaries."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

_PAGE = os.sysconf("SC_PAGE_SIZE")


def members(group: int) -> list[int]:
    """Return the processes of a group that still run; a zombie does not, whether or not somebody ever reaps it."""
    return [pid for pid, its_group, state in _processes() if its_group == group and state not in "ZX"]


def resident_bytes(group: int) -> int:
    """Return the resident memory of all processes of a group together; shared pages count once per process."""
    total = 0
    for pid in members(group):
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return total


def send(group: int, number: signal.Signals) -> None:
    """Send a signal to every process of a group; one that is gone is no error."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _processes() -> Iterator[tuple[int, int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # After the command's name, which may itself hold spaces and brackets: state, parent, group.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                yield int(entry.name), int(fields[2]), fields[0]
