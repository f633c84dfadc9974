"""Where questions are put to a store: kept for a second, limited per reader, and answered within two seconds or not at all."""

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from math import ceil
from typing import Final, NamedTuple, TypeVar

from fastapi import HTTPException
from pydantic import BaseModel
from starlette.responses import Response

from .pages import Page, utc
from .store import Store, Unavailable, Window, deadline
from .workers import Workers

FRESH_S: Final = 1.0
DEADLINE_S: Final = 1.9
"""What a question may take, the wait for a thread included."""
RETRY_S: Final = 2
_MARGIN_S: Final = 0.2
"""For what follows the store's answer: its reason for having none is to be told in time."""
_THREADS: Final = 4
_MOST_ANSWERS: Final = 500
_MOST_READERS: Final = 1000

T = TypeVar("T")


class Limit:
    """So many questions a second for each reader; what was saved up in a second can be asked at once. Not thread-safe."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refuses(self, reader: str) -> float:
        """0.0 if the reader may ask, which is counted; else the seconds until it may."""
        now = self._clock()
        left, at = self._left.pop(reader, (self._rate, now))
        left = min(self._rate, left + (now - at) * self._rate)
        admitted = left >= 1.0
        self._left[reader] = (left - admitted, now)
        if len(self._left) > _MOST_READERS:
            self._left.popitem(last=False)
        return 0.0 if admitted else (1.0 - left) / self._rate


class _Answer(NamedTuple):
    """What is sent: each reader gets a response of its own made of it."""

    body: bytes
    headers: dict[str, str]


class _Kept(NamedTuple):
    """An answer that is there or about to come, and how long it may be given."""

    until: float
    future: "Future[_Answer]"

    def holds(self, now: float) -> bool:
        """Whether it can still be given."""
        return not self.future.done() or (now < self.until and self.future.exception() is None)


class Desk:
    """Puts questions to the store in threads of its own, so that neither the event loop nor the application's threads wait.

    `complain` counts a fault of ours, which is being handled, and logs it the first time.
    """

    def __init__(
        self,
        store: Store,
        *,
        rate: float,
        complain: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.store = store
        self._limit = Limit(rate, clock)
        self._complain = complain
        self._clock = clock
        self._deadline_s = deadline_s
        self._answers: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._questions, self._errands = Workers(_THREADS), Workers(_THREADS)

    async def page(self, reader: str, question: Hashable, make: Callable[[], Page]) -> Response:
        """The answer to a question, which may be up to a second old; HTTPException 404, 429 or 503 if there is none."""
        answer = await self._wait(self._asked(reader, question, make), self._deadline_s)
        return Response(answer.body, headers=answer.headers, media_type="application/json")

    async def work(self, reader: str, make: Callable[[], T], deadline_s: float) -> T:
        """What `make` returns, which is never kept; HTTPException 429 or 503. Questions to the store do not wait for it."""
        with self._held():
            self._admit(reader)
        return await self._wait(self._errands.submit(make, deadline_s), deadline_s)

    def _asked(self, reader: str, question: Hashable, make: Callable[[], Page]) -> "Future[_Answer]":
        with self._held():
            now = self._clock()
            kept = self._answers.get(question)
            if kept is not None and kept.holds(now):
                return kept.future
            self._admit(reader)
            self._forget(now)
            until = time.monotonic() + self._deadline_s
            future = self._questions.submit(partial(_answered, make, self.store.source, until), self._deadline_s)
            self._answers[question] = _Kept(now + FRESH_S, future)
            self._answers.move_to_end(question)
            return future

    def _held(self) -> threading.Lock:
        """The lock; in the child of a fork a new one, and nothing that is about to come: nobody is at work on it there."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._answers.clear()
        return self._lock

    def _forget(self, now: float) -> None:
        """Let go of what may not be given any more, and of the oldest if there is still too much."""
        while self._answers:
            question, kept = next(iter(self._answers.items()))
            if kept.holds(now) and len(self._answers) < _MOST_ANSWERS:
                return
            del self._answers[question]

    def _admit(self, reader: str) -> None:
        if wait_s := self._limit.refuses(reader):
            raise HTTPException(
                429,
                "Too many questions a second: ask less often, or raise GWZ_MONITORING_RATE",
                {"Retry-After": str(max(1, ceil(wait_s)))},
            )

    async def _wait(self, future: "Future[T]", deadline_s: float) -> T:
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), deadline_s)
        except HTTPException as error:  # the same for each who waits, and each adds to its traceback
            raise HTTPException(error.status_code, error.detail, error.headers) from error
        except Unavailable as error:
            raise _unavailable(str(error)) from error
        except TimeoutError as error:
            raise _unavailable("the store has not answered in time: it is overloaded or cannot be reached") from error
        except Exception as error:
            self._complain()
            raise HTTPException(
                500, "gwz-instrument failed at this: the application's log has the traceback, once"
            ) from error


def _unavailable(reason: str) -> HTTPException:
    return HTTPException(503, reason, {"Retry-After": str(RETRY_S)})


def _answered(make: Callable[[], Page], source: str, until: float) -> _Answer:
    """The answer, of a store that is given no longer than whoever waits for it."""
    with deadline(max(0.0, until - time.monotonic() - _MARGIN_S)):
        return _answer(make(), source)


def _answer(page: Page, source: str) -> _Answer:
    """The bytes of a page; a list says of which window it is in its headers."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(page.body, BaseModel):
        text = page.body.model_dump_json(by_alias=True)
    else:
        text = f"[{','.join(one.model_dump_json(by_alias=True) for one in page.body)}]"
        headers |= _window_headers(page.window, source)
    return _Answer(text.encode(), headers)


def _window_headers(window: Window, source: str) -> dict[str, str]:
    """What an object says in its fields, for a list."""
    return {
        "GWZ-Source": source,
        "GWZ-From": utc(window.start).isoformat().replace("+00:00", "Z"),
        "GWZ-To": utc(window.end).isoformat().replace("+00:00", "Z"),
        "GWZ-Complete": str(window.complete).lower(),
        "GWZ-Exact": str(window.exact).lower(),
    }
