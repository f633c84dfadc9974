"""Threads beside the application: for what takes its time, and for what is due later. Daemons, which hold up no exit."""

import heapq
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Final

_WORKERS: Final = 2
_MOST_WAITING: Final = 10_000
_IDLE_S: Final = 10.0
_FEW: Final = 1000
_LOOK_S: Final = 0.5
"""How often it is looked for what was dropped, while anything is due."""


class Workers:
    """A few threads that do what they are given, in order; they come when there is work and go when there is none."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._running = 0
        self._lock = threading.RLock()  # finalizers may give work too

    def do(self, work: Callable[[], object]) -> bool:
        """Have `work` done; False if too much is waiting, or no thread can be started, as at the end of the process."""
        if self._waiting.qsize() >= _MOST_WAITING:
            return False
        self._waiting.put(work)
        with self._lock:
            if self._running >= _WORKERS:
                return True
            self._running += 1
        try:
            threading.Thread(target=self._run, name="gwz-worker", daemon=True).start()
        except RuntimeError:
            self._running -= 1
            return False
        return True

    def _run(self) -> None:
        while True:
            try:
                work = self._waiting.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._running -= 1
                        return
                continue
            try:
                work()
            except BaseException:  # noqa: BLE001  # the thread must live, whatever this was
                _LOG.exception("gwz-instrument failed at its own work (worker); the application is not affected")


class Deadlines:
    """Calls `overdue` of objects whose time is up. They are held weakly, and forgotten when they are gone."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, weakref.ref[Any]]] = []
        self._numbers = count()
        self._changed = threading.Condition()  # re-entrant: a finalizer may end a request whose streams are then due
        self._dropped: deque[Any] = deque()
        self._started = False
        self._most = _FEW

    def add(self, seconds: float, thing: Any) -> None:
        """Let `thing.overdue()` be called in `seconds`, unless nobody holds it any more by then."""
        with self._changed:
            if len(self._due) >= self._most:
                self._forget_gone()
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), weakref.ref(thing)))
            if not self._started:
                with suppress(
                    RuntimeError
                ):  # there is no room for a thread, or the process ends: the next one tries again
                    threading.Thread(target=self._run, name="gwz-deadlines", daemon=True).start()
                    self._started = True
            self._changed.notify()

    def drop(self, thing: Any) -> None:
        """Let `thing.overdue()` be called soon; for finalizers, which may run within any lock, and so must take none."""
        self._dropped.append(thing)

    def _forget_gone(self) -> None:
        """Most things are gone long before their time is up."""
        before, self._due = self._due, []  # to which a finalizer may add
        self._due.extend([due for due in before if due[2]() is not None])
        heapq.heapify(self._due)
        self._most = max(_FEW, 2 * len(self._due))

    def _run(self) -> None:
        while True:
            thing = self._next()
            if thing is not None:
                thing.overdue()
            del thing

    def _next(self) -> Any:
        with suppress(IndexError):
            return self._dropped.popleft()
        with self._changed:
            left = self._due[0][0] - time.monotonic() if self._due else None
            if left is None or left > 0:
                self._changed.wait(None if left is None else min(left, _LOOK_S))
                return None
            return heapq.heappop(self._due)[2]()


def _after_fork() -> None:
    """The threads, and whoever held a lock, are the parent's, and so is what they had to do."""
    global workers, deadlines  # as the docstring says
    workers, deadlines = Workers(), Deadlines()


workers, deadlines = Workers(), Deadlines()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
_LOG: Final = logging.getLogger("gwz_instrument")
