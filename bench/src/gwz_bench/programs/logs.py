"""Measures a log handler from its caller's side, beside a logger that has only a NullHandler.

`python -m gwz_bench.programs.logs HANDLER SINK`
"""

import gc
import logging
import logging.handlers
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gwz_bench.child import Answer, Order, serve
from gwz_bench.figures import percentile
from gwz_bench.programs.sink import LOKI_PATH

OURS = "gwz-instrument LokiHandler"
STOCK = "python-logging-loki LokiHandler"
QUEUE = "logging.QueueHandler"
NULL = "logging.NullHandler"

_TAGS = {"app": "bench", "env": "bench"}
_WARM = 50
_FLUSH_S = 60.0
_AHEAD = 20_000
"""Lines that a writer of many may have under way: a queue that is full would drop the oldest."""


@dataclass
class Tally:
    """What a handler of ours says became of its lines."""

    words: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _signal: str, word: str, number: int) -> None:
        """Take a report."""
        with self._lock:
            self.words[word] = self.words.get(word, 0) + number

    @property
    def settled(self) -> int:
        """Lines whose fate is known."""
        return sum(self.words.values())


@dataclass(frozen=True, slots=True)
class Measured:
    """A handler, and how to wait until it has delivered everything."""

    handler: logging.Handler
    settle: Callable[[], None]
    tally: Tally | None = None


def ours(sink: str) -> Measured:
    """Our handler, used alone."""
    from gwz_instrument.logs import LokiHandler  # noqa: PLC0415

    tally = Tally()
    handler = LokiHandler(sink + LOKI_PATH, tags=_TAGS, version="1", count=tally)
    return Measured(handler, lambda: _flushed(handler.force_flush(_FLUSH_S)), tally)


def stock(sink: str) -> Measured:
    """python-logging-loki's own: every line is a request that the caller waits for."""
    from logging_loki import LokiHandler  # noqa: PLC0415

    return Measured(LokiHandler(sink + LOKI_PATH, tags=_TAGS, version="1"), lambda: None)


def queued(_sink: str) -> Measured:
    """The standard library's queue, with a listener that hands every record to a NullHandler."""
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    listener = logging.handlers.QueueListener(records, logging.NullHandler())
    listener.start()

    def settle() -> None:
        while records.unfinished_tasks:
            time.sleep(0.001)

    return Measured(logging.handlers.QueueHandler(records), settle)


def null(_sink: str) -> Measured:
    """The control."""
    return Measured(logging.NullHandler(), lambda: None)


HANDLERS: dict[str, Callable[[str], Measured]] = {OURS: ours, STOCK: stock, QUEUE: queued, NULL: null}


class Caller:
    """Somebody who logs."""

    def __init__(self, handler: str, sink: str) -> None:
        self._measured = HANDLERS[handler](sink)
        self._plain = _logger("gwz_bench.plain", logging.NullHandler())
        self._logger = _logger("gwz_bench.line", self._measured.handler)
        self._written = 0

    def obey(self, order: Order) -> Answer:
        """Carry out one order."""
        match order["do"]:
            case "round":
                return self._round(order["calls"], order["slices"])
            case "write":
                return self._write(order["lines"], together=order.get("together", False))
            case "pace":
                return self._pace(order["lines"], order["per_second"])
            case "settle":
                self._measured.settle()
                return self._state()
            case "state":
                return self._state()
            case other:
                raise ValueError(f"a caller knows no order {other!r}")

    def _round(self, calls: int, slices: int) -> Answer:
        """Nanoseconds per call: plain, handler, plain, handler … plain; the handler catches up between them."""
        self._slice(self._logger, _WARM)
        gc.collect()
        plain, variant, cpu = [self._slice(self._plain, calls)], [], []
        for _ in range(slices):
            begin = time.process_time_ns()
            variant.append(self._slice(self._logger, calls))
            self._measured.settle()
            cpu.append((time.process_time_ns() - begin) / calls)
            plain.append(self._slice(self._plain, calls))
        return {"plain": plain, "variant": variant, "cpu": cpu}

    def _slice(self, logger: logging.Logger, calls: int) -> float:
        first = self._written
        if logger is self._logger:
            self._written += calls
        begin = time.perf_counter_ns()
        for number in range(first, first + calls):
            logger.info("line %d of the benchmark took %.1f ms", number, 12.5)
        return (time.perf_counter_ns() - begin) / calls

    def _write(self, lines: int, *, together: bool) -> Answer:
        """Write many lines and wait until they are delivered; `together` as fast as it goes, without waiting."""
        tally = self._measured.tally
        begin = time.perf_counter_ns()
        for number in range(self._written, self._written + lines):
            self._logger.info("line %d of the benchmark took %.1f ms", number, 12.5)
            if not together and tally is not None and number % 1000 == 0:
                while number - tally.settled > _AHEAD:
                    time.sleep(0.001)
        self._written += lines
        if not together:
            self._measured.settle()
        return {"seconds": (time.perf_counter_ns() - begin) / 1e9}

    def _pace(self, lines: int, per_second: int) -> Answer:
        """Write at a steady pace and time every call."""
        took = []
        begin = time.perf_counter()
        for number in range(lines):
            if (early := begin + number / per_second - time.perf_counter()) > 0:
                time.sleep(early)
            called = time.perf_counter_ns()
            self._logger.info("line %d of the benchmark took %.1f ms", self._written + number, 12.5)
            took.append((time.perf_counter_ns() - called) / 1000)
        self._written += lines
        return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "worst": max(took)}

    def _state(self) -> Answer:
        tally = self._measured.tally
        return {"written": self._written, "words": {} if tally is None else tally.words}


def _logger(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def _flushed(everything: bool) -> None:  # noqa: FBT001  # the answer of force_flush
    if not everything:
        raise RuntimeError(f"not every line was delivered within {_FLUSH_S:g} s")


if __name__ == "__main__":
    serve(Caller(*sys.argv[1:]).obey)
