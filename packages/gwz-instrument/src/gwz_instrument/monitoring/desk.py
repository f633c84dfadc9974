"""Where questions are put to a store: kept for a second, limited per reader, and answered within two seconds or not at all."""

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from math import ceil
from typing import Any, Final, TypeVar

from fastapi import HTTPException
from pydantic import BaseModel
from starlette.responses import Response

from .pages import Page, utc
from .store import Store, Unavailable, Window

FRESH_S: Final = 1.0
DEADLINE_S: Final = 1.9
"""What a question may take, the wait for a thread included."""
RETRY_S: Final = 2
_THREADS: Final = 4
_MOST_ANSWERS: Final = 500
_MOST_READERS: Final = 1000
_LOG = logging.getLogger("gwz_instrument")

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


class Desk:
    """Puts questions to the store in threads of its own, so that neither the event loop nor the application's threads wait."""

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
        self._answers: OrderedDict[Hashable, tuple[float, Future[Response]]] = OrderedDict()
        self._lock = threading.Lock()
        self._made_in = -1
        self._pool: ThreadPoolExecutor | None = None

    async def page(self, reader: str, question: Hashable, make: Callable[[], Page]) -> Response:
        """The answer to a question, which may be up to a second old; HTTPException 404, 429 or 503 if there is none."""
        return await self._wait(
            self._asked(reader, question, lambda: _page(make(), self.store.source)), self._deadline_s
        )

    async def work(self, reader: str, make: Callable[[], T], deadline_s: float) -> T:
        """What `make` returns, which is never kept; HTTPException 429 or 503."""
        with self._lock:
            self._admit(reader)
            future = self._threads().submit(make)
        return await self._wait(future, deadline_s)

    def _asked(self, reader: str, question: Hashable, make: Callable[[], Response]) -> "Future[Response]":
        with self._lock:
            now = self._clock()
            kept = self._answers.get(question)
            if kept is not None and _holds(*kept, now):
                return kept[1]
            self._admit(reader)
            future = self._threads().submit(make)
            self._answers[question] = (now + FRESH_S, future)
            self._answers.move_to_end(question)
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return future

    def _admit(self, reader: str) -> None:
        if wait_s := self._limit.refuses(reader):
            raise HTTPException(
                429,
                "Too many questions a second: ask less often, or raise GWZ_MONITORING_RATE",
                {"Retry-After": str(max(1, ceil(wait_s)))},
            )

    def _threads(self) -> ThreadPoolExecutor:
        """The threads of this process: those of its parent did not come along with a fork."""
        if self._pool is None or self._made_in != os.getpid():
            self._pool = ThreadPoolExecutor(_THREADS, "gwz-monitoring")
            self._made_in = os.getpid()
            self._answers.clear()
        return self._pool

    async def _wait(self, future: "Future[T]", deadline_s: float) -> T:
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), deadline_s)
        except HTTPException:
            raise
        except Unavailable as error:
            raise _unavailable(str(error)) from error
        except (TimeoutError, CancelledError) as error:
            future.cancel()  # if it has not begun: nobody waits for it any more
            raise _unavailable("the store has not answered in time: it is overloaded or cannot be reached") from error
        except Exception as error:
            self._complain()
            _LOG.exception("gwz-instrument failed to answer a monitoring endpoint")
            raise HTTPException(
                500, "gwz-instrument failed at this: the application's log has the traceback"
            ) from error


def _holds(until: float, future: "Future[Any]", now: float) -> bool:
    """Whether an answer that is kept can be given, or is about to come."""
    if not future.done():
        return not future.cancelled()
    return now < until and not future.cancelled() and future.exception() is None


def _unavailable(reason: str) -> HTTPException:
    return HTTPException(503, reason, {"Retry-After": str(RETRY_S)})


def _page(page: Page, source: str) -> Response:
    """The bytes of a page; a list says of which window it is in its headers."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(page.body, BaseModel):
        text = page.body.model_dump_json(by_alias=True)
    else:
        text = f"[{','.join(one.model_dump_json(by_alias=True) for one in page.body)}]"
        headers |= _window_headers(page.window, source)
    return Response(text, headers=headers, media_type="application/json")


def _window_headers(window: Window, source: str) -> dict[str, str]:
    """What an object says in its fields, for a list."""
    return {
        "GWZ-Source": source,
        "GWZ-From": utc(window.start).isoformat().replace("+00:00", "Z"),
        "GWZ-To": utc(window.end).isoformat().replace("+00:00", "Z"),
        "GWZ-Complete": str(window.complete).lower(),
        "GWZ-Exact": str(window.exact).lower(),
    }


def reader_of(authorization: str | None, host: str) -> str:
    """A name for who asks, that gives no token away."""
    return hashlib.sha256(f"{authorization or host}".encode()).hexdigest()[:32]
