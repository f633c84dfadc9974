"""The embedded store: what this process counted, remembered at the edges of time slots for seven days."""

import bisect
import logging
import os
import threading
import time
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final, NamedTuple

from gwz_instrument.call_records import CallFailed
from gwz_instrument.cells import Counter, Histogram
from gwz_instrument.metrics import Collectors
from gwz_instrument.semconv import Metric, inference, providers
from gwz_instrument.settings import LOCAL

from .store import Ask, Breakers, Failed, Failures, Sums, Window

TRACKED: Final = (
    inference.REQUESTS,
    inference.DURATION,
    inference.TOKENS,
    inference.CREDITS,
    providers.ATTEMPTS,
    providers.ANSWER_SECONDS,
    providers.ANSWER_WORTH,
)
"""What is remembered; nothing else can be asked for."""
_COUNTS: Final = frozenset({inference.REQUESTS.name, providers.ATTEMPTS.name})
"""Counters of whole numbers: kept in 32 bits, whose overflow a difference does not see."""
_WRAP: Final = 2**32
TIERS: Final = ((60.0, 3 * 3600.0), (900.0, 24 * 3600.0), (3600.0, 7 * 24 * 3600.0))
"""Length of a slot → how long edges of such slots are kept; a window begins at the edge of a slot."""
KEPT_FAILURES: Final = 100
"""Of each provider."""

_LOG: Final = logging.getLogger("gwz_instrument")


class Snapshot(NamedTuple):
    """Everything that is tracked, at one moment: series that came later are not in it."""

    counts: "array[int]"
    amounts: "array[float]"


class _Series(NamedTuple):
    """Where a label set of a metric is in the snapshots."""

    values: tuple[str, ...]
    counts: range
    amounts: range


class History:
    """Cumulative numbers at the edges of slots. Not thread-safe."""

    def __init__(self, collectors: Collectors, now: float) -> None:
        self._collectors = collectors
        self._series: dict[str, dict[tuple[str, ...], _Series]] = {entry.name: {} for entry in TRACKED}
        self._sizes = [0, 0]
        self._edges: list[float] = []
        self._snapshots: list[Snapshot] = []
        self._holes: list[tuple[float, float]] = []
        self.began = now
        self._first = self.read()
        self._next = _next_edge(now)

    def settle(self, now: float) -> None:
        """Remember the edges that have passed since the last time.

        Usually that is one, and what was counted until now belongs before it. Of several, after a sleep of the machine or
        without the thread, nobody knows where it belongs: it goes after the last, and windows that begin at one of them are
        not exact. A clock that was set back makes the history worthless.
        """
        if now < self._next - 2 * TIERS[0][0]:
            self._start_over(now)
        if self._next > now:
            return
        read, last = self._unless_same(self.read()), self._next - TIERS[0][0]
        late = now - self._next >= TIERS[0][0] and read is not self.newest
        snapshot = self.newest if late else read
        for edge in sorted({(last // slot_s + 1) * slot_s for slot_s, _ in TIERS}):
            if edge <= now:
                self._remember(edge, snapshot)
        if late:
            self._holes.append((last, now))
            self._remember(now, read)
        if now - last > TIERS[-1][1]:
            self._first = read  # nothing that is older can be asked for
        self._next = _next_edge(now)
        self._forget(now)

    @property
    def newest(self) -> Snapshot:
        """The numbers at the last edge."""
        return self._snapshots[-1] if self._snapshots else self._first

    def is_exact(self, edge: float) -> bool:
        """Whether the numbers at an edge are those of that moment."""
        return not any(start < edge <= end for start, end in self._holes)

    def _start_over(self, now: float) -> None:
        self.began, self._first, self._next = now, self.read(), _next_edge(now)
        self._edges, self._snapshots, self._holes = [], [], []

    def at(self, edge: float) -> Snapshot:
        """The numbers at an edge; between edges those of the one before."""
        place = bisect.bisect_right(self._edges, edge)
        return self._snapshots[place - 1] if place else self._first

    def read(self, entries: Iterable[Metric] = TRACKED) -> Snapshot:
        """The numbers of now, of these metrics; those of the others are zero."""
        counts, amounts = [0] * self._sizes[0], [0.0] * self._sizes[1]
        for entry in entries:
            known = self._series[entry.name]
            for values, cell in self._collectors.cells(entry):
                series = known.get(values) or self._place(entry, values, counts, amounts)
                if isinstance(cell, Histogram):
                    *buckets, total = cell.totals()
                    counts[series.counts.start : series.counts.stop] = [int(number) % _WRAP for number in buckets]
                    amounts[series.amounts.start] = total
                elif isinstance(cell, Counter):
                    if entry.name in _COUNTS:
                        counts[series.counts.start] = int(cell.value()) % _WRAP
                    else:
                        amounts[series.amounts.start] = cell.value()
        return Snapshot(array("I", counts), array("d", amounts))

    def series(self, entry: Metric) -> Iterable[_Series]:
        """The label sets that a metric has had."""
        return self._series[entry.name].values()

    @property
    def sizes(self) -> tuple[int, int]:
        """How long a snapshot is that has every series."""
        return self._sizes[0], self._sizes[1]

    def _place(self, entry: Metric, values: tuple[str, ...], counts: list[int], amounts: list[float]) -> _Series:
        whole = len(entry.buckets) + 1 if entry.buckets else int(entry.name in _COUNTS)
        parts = int(entry.name not in _COUNTS)
        series = _Series(values, range(len(counts), len(counts) + whole), range(len(amounts), len(amounts) + parts))
        counts += [0] * whole
        amounts += [0.0] * parts
        self._sizes[:] = [len(counts), len(amounts)]
        self._series[entry.name][values] = series
        return series

    def _unless_same(self, read: Snapshot) -> Snapshot:
        """The snapshot before, if nothing has happened since: an idle process needs no memory."""
        return self.newest if read == self.newest else read

    def _remember(self, edge: float, snapshot: Snapshot) -> None:
        self._edges.append(edge)
        self._snapshots.append(snapshot)

    def _forget(self, now: float) -> None:
        self._holes = [hole for hole in self._holes if now - hole[1] <= TIERS[-1][1]]
        kept = [
            (edge, snapshot) for edge, snapshot in zip(self._edges, self._snapshots, strict=True) if _keep(edge, now)
        ]
        if len(kept) < len(self._edges):
            self._edges = [edge for edge, _ in kept]
            self._snapshots = [snapshot for _, snapshot in kept]


def _next_edge(after: float) -> float:
    step = TIERS[0][0]
    return (after // step + 1) * step


def _keep(edge: float, now: float) -> bool:
    """Whether an edge is one of a tier that reaches back so far, or one slot further; or the end of a hole."""
    if edge % TIERS[0][0]:
        return now - edge <= TIERS[-1][1]
    return any(edge % slot_s == 0 and now - edge <= reach_s + slot_s for slot_s, reach_s in TIERS)


class LocalStore:
    """The store of one process. Costs a call nothing: the counters that it has anyway are read once a minute."""

    source = LOCAL

    def __init__(
        self,
        collectors: Collectors,
        *,
        declared: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._collectors = collectors
        self._declared = frozenset(declared)
        self._clock = clock
        self._history = History(collectors, clock())
        self._failures: dict[str, deque[Failed]] = {}

    def __call__(self, fact: object) -> None:
        """Take a fact: of those of the recorders, failures are remembered."""
        if isinstance(fact, CallFailed):
            kept = self._failures.get(fact.provider)
            if kept is None:
                kept = self._failures.setdefault(fact.provider, deque(maxlen=KEPT_FAILURES))
            kept.append(Failed(self._clock(), fact.model, fact.error_type, fact.seconds))

    def tick(self) -> float:
        """Remember the edges that have passed; how many seconds there are to the next one."""
        with _reading:
            now = self._clock()
            self._history.settle(now)
            return _next_edge(now) - now

    def look(self, seconds: float, *, before_s: float = 0.0) -> "LocalView":
        """A look at the last so many seconds, or at as many before the last `before_s`; edges are those of slots."""
        with _reading:
            now = self._clock()
            self._history.settle(now)
            slot_s = next((slot for slot, reach in TIERS if seconds + before_s <= reach), TIERS[-1][0])
            end = (now - before_s) // slot_s * slot_s if before_s else now
            start = (now - before_s - seconds) // slot_s * slot_s
            reach = min(max(start, (now - TIERS[-1][1]) // slot_s * slot_s), end)
            exact = self._history.is_exact(reach) and self._history.is_exact(end)
            window = Window(reach, end, complete=self._history.began <= start == reach, exact=exact)
            return LocalView(self._history, window, now)

    def knows(self, provider: str, model: str | None = None) -> bool:
        """Whether there was a call to such a provider, or model at it, or the settings declare the provider."""
        if model is None:
            if provider in self._declared:
                return True
            return any(values[0] == provider for values, _ in self._collectors.cells(providers.ATTEMPTS))
        return any(values[:2] == (provider, model) for values, _ in self._collectors.cells(inference.REQUESTS))

    def breakers(self) -> Breakers:
        """The circuit breakers' states, as the gauge has them."""
        states = {
            provider: state
            for (provider, state), holds in self._collectors.current(providers.BREAKER_STATE).items()
            if holds
        }
        return Breakers(states, self._clock())

    def failures(self, provider: str, limit: int) -> Failures:
        """The newest calls that failed at a provider, of the last hundred."""
        now, kept = self._clock(), list(self._failures.get(provider, ()))
        found = kept[::-1][:limit]
        whole = len(kept) < KEPT_FAILURES
        start = self._history.began if whole else kept[0].at
        return Failures(found, Window(start, now, complete=whole or limit <= len(kept), exact=True))


class LocalView:
    """A look at one window of a local store."""

    def __init__(self, history: History, window: Window, now: float) -> None:
        self.window = window
        self._history = history
        self._now = now

    def increases(self, asks: Sequence[Ask], edges: Sequence[float]) -> list[list[Sums]]:
        """For each ask, for each time between two edges, by how much it grew."""
        with _reading:
            live = self._history.read({ask.entry.name: ask.entry for ask in asks}.values())
            snapshots = [
                _padded(live if edge >= self._now else self._history.at(edge), self._history.sizes) for edge in edges
            ]
            return [self._increases(ask, snapshots) for ask in asks]

    def _increases(self, ask: Ask, snapshots: Sequence[Snapshot]) -> list[Sums]:
        readings = [dict(zip(keys, numbers, strict=True)) for keys, numbers in self._read(ask, snapshots)]
        grown = _wrapped if ask.part == "bucket" or ask.entry.name in _COUNTS else _never_less
        found = [
            {key: grown(before[key], number) for key, number in after.items()} for before, after in pairwise(readings)
        ]
        return [_cumulated(sums) for sums in found] if ask.part == "bucket" else found

    def _read(self, ask: Ask, snapshots: Sequence[Snapshot]) -> Iterator[tuple[Sequence[tuple[str, ...]], list[float]]]:
        groups = self._groups(ask)
        whole = ask.part == "bucket" or (ask.part == "value" and ask.entry.name in _COUNTS)
        keys, getters = list(groups), [_getter(places) for places in groups.values()]
        for snapshot in snapshots:
            numbers: Any = snapshot.counts if whole else snapshot.amounts
            yield keys, [sum(get(numbers)) for get in getters]

    def _groups(self, ask: Ask) -> dict[tuple[str, ...], list[int]]:
        """Where the numbers of each group are."""
        names = ask.entry.label_names
        by = [names.index(name) for name in ask.by]
        where = [(names.index(name), value) for name, value in ask.where]
        bounds = [*(f"{bound:g}" for bound in ask.entry.buckets), "+Inf"]
        groups: dict[tuple[str, ...], list[int]] = {}
        for series in self._history.series(ask.entry):
            if any(series.values[place] != value for place, value in where):
                continue
            key = tuple(series.values[place] for place in by)
            if ask.part == "bucket":
                for number, bound in enumerate(bounds):
                    groups.setdefault((*key, bound), []).append(series.counts[number])
            else:
                groups.setdefault(key, []).extend(series.amounts or series.counts)
        return groups


def _wrapped(before: float, after: float) -> float:
    """By how much a counter of 32 bits grew."""
    return float((after - before) % _WRAP)


def _never_less(before: float, after: float) -> float:
    """By how much an amount grew: the order of an addition may make it less in its last digit."""
    return max(0.0, after - before)


def _cumulated(buckets: Sums) -> Sums:
    """What is in each bucket and those below; the bounds of a group ascend."""
    totals: Sums = {}
    for key, number in buckets.items():
        totals[key[:-1]] = totals.get(key[:-1], 0.0) + number
        buckets[key] = totals[key[:-1]]
    return buckets


def _getter(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    if len(places) == 1:
        (place,) = places
        return lambda numbers: (numbers[place],)
    return itemgetter(*places)


def _padded(snapshot: Snapshot, sizes: tuple[int, int]) -> Snapshot:
    """The snapshot with a zero for each series that came later."""
    counts, amounts = sizes[0] - len(snapshot.counts), sizes[1] - len(snapshot.amounts)
    if not counts and not amounts:
        return snapshot
    return Snapshot(snapshot.counts + array("I", [0]) * counts, snapshot.amounts + array("d", [0.0]) * amounts)


def keep_ticking(store: LocalStore) -> None:
    """Have a thread tell the store of each edge that passes, for as long as there is the store; one thread does it for all.

    To be called again now and then: the child of a fork has no thread.
    """
    global _thread  # noqa: PLW0603  # the one
    with _starting:
        _ticked.add(store)
        if _thread is None or _thread[0] != os.getpid() or not _thread[1].is_alive():
            _thread = (os.getpid(), threading.Thread(target=_tick, name="gwz-monitoring", daemon=True))
            with suppress(RuntimeError):  # no thread starts at the end of the process
                _thread[1].start()


def _tick() -> None:
    while stores := list(_ticked):
        left = min(map(_tick_one, stores))
        del stores
        time.sleep(max(left, 0.01))


def _tick_one(store: LocalStore) -> float:
    try:
        return store.tick()
    except Exception:  # noqa: BLE001  # one store's fault must not cost the others their edges
        _LOG.exception("gwz-instrument could not remember what was counted")
        return TIERS[0][0]


def _unlock() -> None:
    global _starting, _reading  # a fork may have copied them locked by a thread that the child does not have
    _starting, _reading = threading.Lock(), threading.RLock()


_ticked: "weakref.WeakSet[LocalStore]" = weakref.WeakSet()
_thread: tuple[int, threading.Thread] | None = None
_starting: threading.Lock
_reading: threading.RLock
"""Held while a history is read or added to; one for all, as that is done once a minute, and for each answer."""
_unlock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
