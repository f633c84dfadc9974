"""Ends spans together and apart from the thread that answers: SDK calls for many at once cost a fraction of the same calls one by one."""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from opentelemetry.trace import Span, Status, StatusCode

from .semconv import health

_GATHER_S: Final = 1.0
_MOST: Final = 4096
"""Spans that wait; the thread that brings one more ends it itself."""


class SpanEnd(NamedTuple):
    """All that is still to be said of a span."""

    span: Span
    name: str | None
    """Another than it began with."""
    attributes: Callable[[], Mapping[str, Any]]
    failed: bool
    exception: Mapping[str, Any] | None
    """What `Span.record_exception` would write."""
    end_ns: int

    def write(self) -> None:
        """Say it, and end the span."""
        try:
            if self.name is not None:
                self.span.update_name(self.name)
            self.span.set_attributes(self.attributes())
            if self.failed:
                self.span.set_status(Status(StatusCode.ERROR))
            if self.exception is not None:
                self.span.add_event("exception", self.exception, self.end_ns)
        finally:
            self.span.end(self.end_ns)


class SpanEnds:
    """Writes what it is given within moments, on a thread of its own; never raises. A fork's child starts empty."""

    def __init__(self, count: Callable[[str, str, int], None]) -> None:
        self._count = count
        self._complained = False
        self._start_empty()
        if hasattr(os, "register_at_fork"):  # not on Windows
            in_child = weakref.WeakMethod(self._start_empty)
            os.register_at_fork(after_in_child=lambda: (method := in_child()) and method())

    def put(self, end: SpanEnd) -> None:
        """Have `end` written; without a lock, as a request may end in a finalizer."""
        if len(self._waiting) >= _MOST or not (self._started or self._start()):
            self._write(end)
            return
        self._waiting.append(end)
        if self._idle:
            self._wake.put(None)

    def flush(self, timeout_s: float) -> bool:
        """Write everything that was put before; False if something is left after `timeout_s`, as with a processor that hangs."""
        until = time.monotonic() + timeout_s
        if not self._writing.acquire(timeout=timeout_s):
            return False
        try:
            while self._waiting:
                if time.monotonic() > until:
                    return False
                self._write(self._waiting.popleft())
        finally:
            self._writing.release()
        return True

    def give_up(self) -> None:
        """Count what still waits as lost."""
        lost = 0
        with suppress(IndexError):
            while True:
                self._waiting.popleft()
                lost += 1
        self._count("traces", health.SHUTDOWN, lost)

    def _start_empty(self) -> None:
        self._waiting: deque[SpanEnd] = deque()
        self._writing = threading.RLock()
        self._wake: SimpleQueue[None] = SimpleQueue()  # whose put may be called within a put, by a finalizer
        self._idle, self._started = True, False

    def _start(self) -> bool:
        self._started = True
        thread = threading.Thread(target=_run, args=(weakref.ref(self), self._wake), name="gwz-span-ends", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends
            self._started = False
        return self._started

    def _round(self) -> None:
        """Write what has gathered; afterwards it is known whether somebody has to wake us."""
        self.flush(_FOREVER_S)
        while not self._wake.empty():
            self._wake.get()
        self._idle = True
        if self._waiting:  # brought in between, by who saw us at work
            self._wake.put(None)

    def _write(self, end: SpanEnd) -> None:
        try:
            end.write()
        except Exception:  # noqa: BLE001  # no fault of ours, or of a processor, may stop the others
            self._count("traces", health.FAULT, 1)
            if not self._complained:
                self._complained = True
                _LOG.exception("gwz-instrument failed at its own work (span); requests are not affected")


def _run(find: "weakref.ref[SpanEnds]", wake: "SimpleQueue[None]") -> None:
    """Write round after round, for as long as there is somebody to write for."""
    while True:
        with suppress(Empty):
            wake.get(timeout=_ABANDONED_S)
        ends = find()
        if ends is None:
            return
        ends._idle = False  # noqa: SLF001  # of this module
        del ends
        time.sleep(_GATHER_S)
        if (ends := find()) is not None:
            ends._round()  # noqa: SLF001  # as above
        del ends


_ABANDONED_S: Final = 30.0
_FOREVER_S: Final = 3600.0
_LOG = logging.getLogger("gwz_instrument")
