"""The numbers behind the metrics: a counter, a gauge or a histogram of one label set, cheap to change.

Each thread adds to a part of its own and a scrape adds the parts up, so that nothing is lost and no request
waits: a lock for each would cost more than everything else here. Identifiers of threads that have ended are
used again, which bounds the parts by the threads that run at once.
"""

import time
from _thread import get_ident
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from .locks import renewed
from .semconv import Metric, logs

Labels = dict[str, str]
_BATCH: Final = 256
_NOBODY: Final = 0  # no thread has this identifier
_adding: Final = renewed()
"""Held while a bundle adds what waits, and while that is read; one for all, as it is asked for once in so many requests."""


class Cell(Protocol):
    """One label set of a metric; which of the three methods makes sense is the metric's kind."""

    def inc(self, amount: float = 1.0) -> None:
        """Count up."""

    def set(self, value: float) -> None:
        """Replace the value."""

    def observe(self, value: float, trace_id: int = 0) -> None:
        """Add an observation; a trace id other than 0 becomes the exemplar of its bucket."""


class Refusing:
    """What a metric of another kind would do is refused."""

    __slots__ = ()

    def inc(self, amount: float = 1.0) -> None:
        """Raise TypeError."""
        raise TypeError(f"a {type(self).__name__} cannot count up by {amount}")

    def set(self, value: float) -> None:
        """Raise TypeError."""
        raise TypeError(f"a {type(self).__name__} cannot be set to {value}")

    def observe(self, value: float, trace_id: int = 0) -> None:
        """Raise TypeError."""
        raise TypeError(f"a {type(self).__name__} cannot observe {value} (trace {trace_id:x})")


class Counter(Refusing):
    """A number that only grows."""

    __slots__ = ("_parts", "bundles")

    def __init__(self, _entry: Metric) -> None:
        self._parts: dict[int, float] = {}
        self.bundles: list[Bundle] = []

    def inc(self, amount: float = 1.0) -> None:
        """Count up."""
        parts, thread = self._parts, get_ident()
        try:  # no call between reading and writing: in one, the collector may end a request, which counts here too
            parts[thread] += amount
        except KeyError:
            parts.setdefault(thread, 0.0)
            parts[thread] += amount

    def add_to(self, family: Family, labels: Labels) -> None:
        """Expose the value."""
        family.add_sample(family.name + "_total", labels, self.value())

    def value(self) -> float:
        """All that was counted."""
        for bundle in list(self.bundles):
            bundle.add_waiting()
        return sum(list(self._parts.values()))


class Gauge(Refusing):
    """A number that goes up and down."""

    __slots__ = ("_value",)

    def __init__(self, _entry: Metric) -> None:
        self._value = 0.0

    def set(self, value: float) -> None:
        """Replace the value."""
        self._value = value

    def add_to(self, family: Family, labels: Labels) -> None:
        """Expose the value."""
        family.add_sample(family.name, labels, self._value)


class Histogram(Refusing):
    """Observations by bucket, with the last trace seen in each."""

    __slots__ = ("_exemplars", "_parts", "bounds", "bundles")

    def __init__(self, entry: Metric) -> None:
        self.bounds = entry.buckets
        self._parts = {_NOBODY: [0.0] * (len(self.bounds) + 2)}
        self._exemplars: dict[int, tuple[int, float, float]] = {}
        self.bundles: list[Bundle] = []

    def observe(self, value: float, trace_id: int = 0) -> None:
        """Add an observation; a trace id other than 0 becomes the exemplar of its bucket."""
        part = self._parts.get(get_ident()) or self.part()
        bucket = bisect_left(self.bounds, value)
        part[bucket] += 1
        part[-1] += value
        if trace_id:
            self.exemplify(value, trace_id)

    def part(self) -> list[float]:
        """The calling thread's part: the count of each bucket, the last without a bound, and the sum."""
        return self._parts.setdefault(get_ident(), [0.0] * (len(self.bounds) + 2))

    def exemplify(self, value: float, trace_id: int) -> None:
        """Let an observation stand as the example of its bucket."""
        self._exemplars[bisect_left(self.bounds, value)] = (trace_id, value, time.time())

    def add_to(self, family: Family, labels: Labels) -> None:
        """Expose the buckets, cumulated, their count and the sum."""
        *counts, total = self.totals()
        number = 0.0
        for bucket, (bound, count) in enumerate(zip(self._bound_names(), counts, strict=True)):
            number += count
            family.add_sample(family.name + "_bucket", {**labels, "le": bound}, number, exemplar=self._exemplar(bucket))
        family.add_sample(family.name + "_count", labels, number)
        family.add_sample(family.name + "_sum", labels, total)

    def totals(self) -> list[float]:
        """The count of each bucket and the sum, of everything that has been observed."""
        with _adding():
            for bundle in list(self.bundles):
                bundle.add_waiting()
            return self._added_up()

    def _added_up(self) -> list[float]:
        return list(map(sum, zip(*(tuple(part) for part in list(self._parts.values())), strict=True)))

    def _bound_names(self) -> Iterator[str]:
        yield from map(floatToGoString, self.bounds)
        yield "+Inf"

    def _exemplar(self, bucket: int) -> Exemplar | None:
        seen = self._exemplars.get(bucket)
        return seen and Exemplar({logs.TRACE_ID.name: f"{seen[0]:032x}"}, seen[1], seen[2])


class Bundle:
    """A counter and histograms that change together, at every request: observations wait and are added many at a time.

    That costs a third of adding each when it comes. A scrape adds what waits before it reads.
    """

    __slots__ = ("_counter", "_first", "_histograms", "_waiting")

    def __init__(self, counter: Counter, histograms: Sequence[Histogram]) -> None:
        self._counter = counter
        self._histograms = histograms
        self._first = histograms[0]
        self._waiting: deque[Sequence[float]] = deque()
        counter.bundles.append(self)
        for histogram in histograms:
            histogram.bundles.append(self)

    def observe(self, values: Sequence[float], trace_id: int = 0) -> None:
        """Count one, and add an observation to each histogram; the exemplar is the first one's."""
        self._waiting.append(values)
        if trace_id:
            self._first.exemplify(values[0], trace_id)
        if len(self._waiting) >= _BATCH:
            self._add_unless_somebody_does()

    def _add_unless_somebody_does(self) -> None:
        """Add what waits; while another thread adds or reads, leave it to the next one: a request waits for nobody."""
        lock = _adding()
        if lock.acquire(blocking=False):
            try:
                self._add_waiting()
            finally:
                lock.release()

    def add_waiting(self) -> None:
        """Add what waits, once nobody else is in the middle of it."""
        with _adding():
            self._add_waiting()

    def _add_waiting(self) -> None:
        batch = []
        with suppress(IndexError):
            while True:
                batch.append(self._waiting.popleft())
        if not batch:
            return
        self._counter.inc(len(batch))
        for histogram, values in zip(self._histograms, zip(*batch, strict=True), strict=True):
            part, bounds = histogram.part(), histogram.bounds
            for value in values:
                part[bisect_left(bounds, value)] += 1
            total = sum(values)  # not within the next line, as in `Counter.inc`
            part[-1] += total


KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
