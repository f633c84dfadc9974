"""A few threads that work through what they are given: an exit of the process waits for none of them."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")
_NAME: Final = "gwz-monitoring-worker"


class _Job(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]
    start_by: float


class Workers:
    """At most so many threads, begun when they are needed; they end with this object, and begin anew in the child of a fork."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pid = -1
        self._begin()

    def submit(self, work: Callable[[], T], within_s: float) -> Future[T]:
        """Have `work` done; TimeoutError instead of its result if no thread was free within so many seconds."""
        if self._pid != os.getpid():
            self._begin()
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future, time.monotonic() + within_s))
        if self._threads < self._number:
            self._threads += 1
            with suppress(RuntimeError):  # no thread starts at the end of the process
                threading.Thread(target=_work, args=(self._jobs,), name=_NAME, daemon=True).start()
        return future

    def _begin(self) -> None:
        self._pid, self._threads = os.getpid(), 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        weakref.finalize(self, _end, self._jobs, self._number).atexit = False


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        if time.monotonic() > job.start_by:
            job.future.set_exception(TimeoutError())
            continue
        try:
            job.future.set_result(job.work())
        except BaseException as error:  # noqa: BLE001  # it is for who waits
            job.future.set_exception(error)
        del job  # or it would be held until the next one comes


def _end(jobs: "SimpleQueue[_Job | None]", number: int) -> None:
    for _ in range(number):
        jobs.put(None)
