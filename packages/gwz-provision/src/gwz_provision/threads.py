"""Work on threads that nobody has to wait for: a command that is over ends at once, whatever they are still at."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
# A signal that comes just before a wait begins does not end it: it is seen between two short ones.
_GLANCE_SECONDS = 0.2


class Call(Future[_T]):
    """A call on another thread, for which one can wait and still hear Ctrl-C at any moment."""

    def is_over_within(self, seconds: float) -> bool:
        """Wait for so long at most."""
        ends = time.monotonic() + seconds
        while not self.done() and (left := ends - time.monotonic()) > 0:
            wait([self], min(left, _GLANCE_SECONDS))
        return self.done()

    def result(self, timeout: float | None = None) -> _T:
        """Wait for what it returns or raises; raises `TimeoutError` when that takes longer."""
        self.is_over_within(math.inf if timeout is None else timeout)
        return super().result(0)


def started(call: Callable[[], _T]) -> Call[_T]:
    """Begin a call on a thread of its own."""
    future: Call[_T] = Call()
    threading.Thread(target=_fulfil, args=(future, call), daemon=True).start()
    return future


class Pool:
    """Carries out so many calls at once; what has not begun when its block ends never does, and nothing is waited for.

    `ThreadPoolExecutor` waits for its threads when its block ends and when the process does: Ctrl-C would hang with them.
    """

    def __init__(self, at_once: int) -> None:
        """Start the threads."""
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._submitted: list[Future[Any]] = []
        self._threads = at_once
        for _ in range(at_once):
            threading.Thread(target=self._labour, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._submitted:
            future.cancel()
        for _ in range(self._threads):
            self._work.put(None)

    def submit(self, call: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> Call[_T]:
        """Put a call at the end of the queue."""
        future: Call[_T] = Call()
        self._submitted.append(future)
        self._work.put(partial(_fulfil, future, partial(call, *args, **options)))
        return future

    def _labour(self) -> None:
        while work := self._work.get():
            work()


def _fulfil(future: Future[_T], call: Callable[[], _T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
