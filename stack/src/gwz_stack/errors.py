"""What can go wrong with the servers: each error says what happened, with the value, its likely cause and its cure."""

# ruff: noqa: N818 - StackError is the suffix they share; each name says its situation

from __future__ import annotations

import errno
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_KILLED = (
    "Somebody killed it, or the kernel did for want of memory (`dmesg` would tell).",
    "Free some memory if it was the kernel, then run it again.",
)
_DISK_FULL_CURE = "Free some space (`df -h` shows where), then run it again."


class StackError(Exception):
    """A fault that a person can cure; its message is complete without a traceback."""

    def __init__(self, what: str, *, cause: str, cure: str) -> None:
        super().__init__(f"{what} {cause} {cure}")
        self.what = what
        self.cause = cause
        self.cure = cure


class ServerUnavailable(StackError):
    """No source offered a usable binary of a server."""

    def __init__(self, server: str, *, reason: str, cure: str) -> None:
        super().__init__(f"{server} cannot be had.", cause=reason, cure=cure)
        self.server = server


class VersionRefused(StackError):
    """A binary that was named explicitly is of a version that the project was not made for."""

    def __init__(self, server: str, *, version: str, place: str, usable: Sequence[str]) -> None:
        super().__init__(
            f"{server} {version} ({place}) was refused.",
            cause=f"Usable are {', '.join(usable)}.",
            cure=f"Point GWZ_{server.upper()}_BIN at one of these, or unset it to let the other sources be tried.",
        )
        self.server = server
        self.version = version


class ChecksumMismatch(StackError):
    """A downloaded archive is not the one that its publisher, or an earlier download, vouches for."""


class PortTaken(StackError):
    """A port that a server was told to use is in use already."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(
            f"Port {port}, wanted for {name}, is taken.",
            cause="Another program listens there.",
            cure=f"Stop it (`ss -ltnp 'sport = :{port}'` names it), or let a free port be chosen.",
        )
        self.port = port


class ServerDied(StackError):
    """A process ended although nobody had asked it to."""

    def __init__(self, server: str, *, exit_code: int, log: Path, log_tail: str) -> None:
        ended = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        cause, cure = _KILLED if exit_code == -signal.SIGKILL else _explain(log_tail, log)
        super().__init__(f"{server} {ended}.", cause=cause, cure=cure)
        self.server = server
        self.exit_code = exit_code
        self.log_tail = log_tail


class NotReady(StackError):
    """A process lives but did not become ready in its time."""

    def __init__(self, server: str, *, seconds: float, last: str, log: Path) -> None:
        super().__init__(
            f"{server} was not ready after {seconds:.0f} s.",
            cause=f"Its last answer: {last or 'none'}.",
            cure=f"Read its log {log}; on a busy machine try again.",
        )
        self.server = server


def _explain(log_tail: str, log: Path) -> tuple[str, str]:
    lowered = log_tail.lower()
    if "no space left on device" in lowered or "disk is full" in lowered:  # the kernel's words, and SQLite's
        return "The disk is full.", _DISK_FULL_CURE
    if "address already in use" in lowered:
        return (
            "A port that it needs was taken.",
            "Stop the program that listens there, or start again to get other ports.",
        )
    last = next((line for line in reversed(log_tail.splitlines()) if line.strip()), "")
    return (
        f"Its last words: {last.strip()[:400].rstrip('.')}." if last else "It said nothing."
    ), f"Read its log {log}."


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write below `path` into a StackError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StackError(f"Could not write {path}.", cause="The disk is full.", cure=_DISK_FULL_CURE) from error
        raise StackError(
            f"Could not write {path}.",
            cause=f"{error.strerror or error}.",
            cure="Check the folder's permissions, or choose another one.",
        ) from error
