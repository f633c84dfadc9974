"""Threads beside the application: for what takes its time, and for what is due later. Daemons, which hold up no exit."""

import heapq
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Final

_WORKERS: Final = 2
_MOST_WAITING: Final = 10_000
_IDLE_S: Final = 10.0
_FEW: Final = 1000
_SOON_S: Final = 0.25
"""Its request may just be about to note that the client has left."""
_LONGEST_S: Final = 3600.0
"""For which the thread waits, as a system may not know a longer time."""
_Due = tuple[float, int, Callable[[], Any]]
"""When, a number so that no two are the same, and what gives the thing, if it is still there."""


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
    """Calls `overdue` of objects whose time is up. They are held weakly, and forgotten when they are gone.

    Who adds one only puts it into a queue, of which one thread makes a heap. There is no lock: finalizers add too, and
    may run within any line of whoever holds it.
    """

    def __init__(self) -> None:
        self._added: SimpleQueue[_Due] = SimpleQueue()
        self._numbers = count()
        self._due: list[_Due] = []  # of the thread alone
        self._started = False
        self._most = _FEW

    def add(self, seconds: float, thing: Any) -> None:
        """Let `thing.overdue()` be called in `seconds`, unless nobody holds it any more by then."""
        self._put(seconds, weakref.ref(thing))

    def drop(self, thing: Any) -> None:
        """Let `thing.overdue()` be called soon; it is held until then."""
        self._put(_SOON_S, lambda: thing)

    def _put(self, seconds: float, find: Callable[[], Any]) -> None:
        self._added.put((time.monotonic() + seconds, next(self._numbers), find))
        if not self._started:
            self._start()

    def _start(self) -> None:
        self._started = True
        try:
            threading.Thread(target=self._run, name="gwz-deadlines", daemon=True).start()
        except RuntimeError:  # there is no room for a thread, or the process ends: the next one tries again
            self._started = False
            if self._added.qsize() > _MOST_WAITING:
                with suppress(Empty):
                    self._added.get_nowait()

    def _run(self) -> None:
        while True:
            thing = self._next()
            try:
                if thing is not None:
                    thing.overdue()
            except BaseException:  # noqa: BLE001  # the thread must live, whatever this was
                _LOG.exception("gwz-instrument failed at its own work (deadline); the application is not affected")
            del thing

    def _next(self) -> Any:
        """The next thing whose time is up; None if something was added, or is gone."""
        left = self._due[0][0] - time.monotonic() if self._due else _LONGEST_S
        if left <= 0:
            return heapq.heappop(self._due)[2]()
        with suppress(Empty):
            added = self._added.get(timeout=min(left, _LONGEST_S))
            if len(self._due) >= self._most:
                self._forget_gone()
            heapq.heappush(self._due, added)
        return None

    def _forget_gone(self) -> None:
        """Most things are gone long before their time is up."""
        self._due = [due for due in self._due if due[2]() is not None]
        heapq.heapify(self._due)
        self._most = max(_FEW, 2 * len(self._due))


def _after_fork() -> None:
    """The threads, and whoever held a lock, are the parent's, and so is what they had to do."""
    global workers, deadlines  # as the docstring says
    workers, deadlines = Workers(), Deadlines()


workers, deadlines = Workers(), Deadlines()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
_LOG: Final = logging.getLogger("gwz_instrument")
