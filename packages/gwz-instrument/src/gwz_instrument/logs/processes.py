"""What forks and exits of the process mean for handlers: a child starts empty, an exit delivers what is queued."""

import atexit
import os
import sys
import threading
import time
import weakref
from typing import Final, Protocol

CLOSE_S: Final = 1.7
"""The process is to end within two seconds, whatever Loki does."""


class Handler(Protocol):
    """What has lines that a fork must not double and an exit must not lose."""

    def hold_queue(self) -> None:
        """Keep the queue as it is; only for moments."""

    def release_queue(self) -> None:
        """Let the queue go on."""

    def restart(self) -> None:
        """Start empty: what is queued and under way is another process's."""

    def drain(self, timeout_s: float | None = None) -> bool:
        """Deliver, within bounds."""

    def end(self) -> None:
        """Count whatever still comes as lost."""


_handlers: "weakref.WeakSet[Handler]" = weakref.WeakSet()
_forking = threading.RLock()
_held: list[Handler] = []
_finalized: dict[str, int] = {}


def register(handler: Handler) -> None:
    """Look after `handler` for as long as it exists."""
    _handlers.add(handler)


def drain_in_multiprocessing_child() -> None:
    """Have a child of multiprocessing deliver at its end: it leaves by os._exit, and atexit is not asked.

    In the parent this is an exit hook like others, which are still to log: no end.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _finalized.get("by") != os.getpid():
        _finalized["by"] = os.getpid()
        util.Finalize(None, drain_all, exitpriority=0)


def drain_all() -> None:
    """Deliver what every handler has, all within the time of one."""
    until = time.monotonic() + CLOSE_S
    for number, handler in enumerate(list(_handlers)):
        handler.drain(None if number == 0 else max(0.1, until - time.monotonic()))


def end_all() -> None:
    """Deliver what every handler has, and count what exit hooks older than this module log after it."""
    drain_all()
    for handler in list(_handlers):
        handler.end()


def _before_fork() -> None:
    """Hold every queue, so that no child gets one in the middle of a change; the network is not waited for."""
    _forking.acquire()
    _held[:] = list(_handlers)
    for handler in _held:
        handler.hold_queue()


def _after_fork() -> None:
    for handler in _held:
        handler.release_queue()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    for handler in _held:
        handler.release_queue()
        handler.restart()
    _held.clear()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
atexit.register(end_all)
