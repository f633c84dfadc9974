"""Asks the application's callbacks for numbers, each on a thread of its own, so that one that hangs delays nobody."""

import asyncio
import inspect
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from . import background
from .per_registry import PerRegistry

_T = TypeVar("_T")

DEADLINE_S: Final = 10.0
STALE_AFTER: Final = 3
"""For so many intervals an answer holds, so that one poll may fail unnoticed."""
_LEAST_S: Final = 0.01
_LOOK_S: Final = 30.0
"""How often it is looked whether anybody still wants to know."""


class Poll(Generic[_T]):
    """Asks `callback`, `every_s` seconds after its last answer, and has the last answer at hand while it is not too old.

    `callback` may be a coroutine function: it runs on an event loop that it has for itself, the same one each time.
    `read` makes an answer of what it returns, on the same thread. An answer counts if it comes within `DEADLINE_S`.
    Of an outage there are two log lines, when it begins and when it is over; `failed` is called at each failure.

    The thread is a daemon, which holds up no exit, and ends some time after the last reference to this object has gone,
    or once it is stopped. A fork's child has no answer, and no thread until it asks for one.
    """

    def __init__(
        self,
        what: str,
        callback: Callable[[], Any],
        every_s: float,
        *,
        read: Callable[[Any], _T],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._what = what
        self._callback = callback
        self.every_s = max(every_s, _LEAST_S)
        self._read = read
        self._failed = failed
        self._askers: dict[int, threading.Event] = {}
        """By process: what ends the thread that asks; the parent's does not ask in a fork's child."""
        self._answer: _T | None = None
        self._answered_s = -math.inf
        self._away_since_s = 0.0
        self.stopped = False

    def begin(self) -> None:
        """Have a thread ask from now on, unless one of this process does."""
        pid, mine = os.getpid(), threading.Event()
        if self.stopped or self._askers.setdefault(pid, mine) is not mine:
            return
        self._answer, self._answered_s, self._away_since_s = None, -math.inf, 0.0  # what a parent knew is its own
        thread = threading.Thread(target=_run, args=(weakref.ref(self), mine), name="gwz-poll", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or the system gives no more threads: the next look tries again
            del self._askers[pid]

    def stop(self) -> None:
        """Ask no more, and forget what was answered; a question that is under way is left alone."""
        self.stopped = True
        if (over := self._askers.get(os.getpid())) is not None:
            over.set()

    def answer(self) -> _T | None:
        """The last answer; None if there is none, it is too old, or nobody asks any more."""
        self.begin()
        fresh = time.monotonic() - self._answered_s <= STALE_AFTER * self.every_s
        return self._answer if fresh and not self.stopped else None

    def ask(self, runner: asyncio.Runner) -> None:
        """Ask once. Never raises."""
        attempt = _Attempt(self._fail)  # held here and nowhere else, so that its time is up only while we ask
        try:
            background.deadlines.add(DEADLINE_S, attempt)
            answer = self._read(_awaited(self._callback(), runner))
        except _TooLateError:
            attempt.overdue()
        except BaseException as error:  # noqa: BLE001  # whatever the application's callback raises: the thread must live
            if attempt.claim():
                self._fail(f"raised {type(error).__name__}", error)
        else:
            if attempt.claim():
                self._take(answer)

    def _take(self, answer: _T) -> None:
        self._answer, self._answered_s = answer, time.monotonic()
        if self._away_since_s:
            away_s, self._away_since_s = time.monotonic() - self._away_since_s, 0.0
            _LOG.warning("gwz-instrument: the callback of %s answers again after %.0f s", self._what, away_s)

    def _fail(self, how: str, error: BaseException | None = None) -> None:
        """Note a failure; the first of an outage is told."""
        self._failed()
        if not self._away_since_s:
            self._away_since_s = time.monotonic()
            _LOG.warning(
                "gwz-instrument: the callback of %s %s. Its series disappear when their values are %g s old; it is asked "
                "every %g s, and a line will tell when it answers again",
                self._what,
                how,
                STALE_AFTER * self.every_s,
                self.every_s,
                exc_info=error,
            )


class Polls:
    """What is asked for one registry, until the last of the telemetries that feed it has been closed."""

    def __init__(self) -> None:
        self.closed = False
        self._owners: weakref.WeakSet[Any] = weakref.WeakSet()
        self._polls: weakref.WeakSet[Poll[Any]] = weakref.WeakSet()

    def open(self, owner: object) -> None:
        """Let `owner` want to know from now on; held weakly."""
        self._owners.add(owner)
        self.closed = False

    def close(self, owner: object) -> None:
        """Let `owner` want to know no more; the last one stops what is asked. Idempotent."""
        self._owners.discard(owner)
        if not self._owners:
            self.closed = True
            for poll in list(self._polls):
                poll.stop()

    def add(self, poll: "Poll[Any]") -> None:
        """Let it be stopped with the others; held weakly."""
        self._polls.add(poll)
        if self.closed:
            poll.stop()


class _TooLateError(Exception):
    """What is awaited has not come in time."""


class _Attempt:
    """One question: who claims it first, the answer or the deadline, decides what became of it."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self._open = [True]

    def claim(self) -> bool:
        """Whether nobody has claimed it before; without a lock."""
        try:
            return self._open.pop()
        except IndexError:
            return False

    def overdue(self) -> None:
        """Its time is up."""
        if self.claim():
            self._fail(f"has not answered within {DEADLINE_S:.0f} s")


def _awaited(answer: Any, runner: asyncio.Runner) -> Any:
    """What a function returned, or what comes of it if it is to be awaited."""
    return runner.run(_within_deadline(answer)) if inspect.isawaitable(answer) else answer


async def _within_deadline(answer: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(DEADLINE_S) as limit:
            return await answer
    except TimeoutError:
        if limit.expired():
            raise _TooLateError from None
        raise


def _run(find: "weakref.ref[Poll[Any]]", over: threading.Event) -> None:
    """Ask again and again, for as long as there is somebody who wants to know."""
    with asyncio.Runner() as runner:  # makes its loop when it first needs one
        while (poll := find()) is not None and not poll.stopped:
            poll.ask(runner)
            left_s = poll.every_s
            del poll
            while left_s > 0 and find() is not None and not over.wait(min(left_s, _LOOK_S)):
                left_s -= _LOOK_S


polls_of: Final = PerRegistry(lambda _collectors: Polls())
"""What is asked for a registry's sake."""
_LOG: Final = logging.getLogger("gwz_instrument")
