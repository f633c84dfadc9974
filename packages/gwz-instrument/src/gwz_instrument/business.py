"""`gauge` and `count`: the numbers of the business, polled from callbacks or counted where they come about."""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import MethodType
from typing import Any, Final
from weakref import WeakValueDictionary

from . import recording as recordings
from .cells import Cell
from .labels import OTHER, Bounded
from .metrics import Collectors, Values
from .per_registry import PerRegistry
from .polling import Poll, polls_of
from .recording import Recording, recording
from .reports import as_amount
from .semconv import Metric, business, health

Callback = Callable[[], Any]
"""Returns a number, or a mapping from label values to numbers, or is a coroutine function that does."""

_Key = tuple[object, ...]

MAX_VALUES: Final = 50
"""Different values of one label of one metric."""
WHOLE: Final = "_all"
"""The label value of a number that is not divided."""
_MOST_SERIES: Final = 1000
_MOST: Final = 2.0**53
"""Beyond this a float no longer counts by one."""
_GAUGES: Final = {entry.name: entry for entry in business.METRICS if entry.kind == "gauge"}
_COUNTERS: Final = {entry.name: entry for entry in business.METRICS if entry.kind == "counter"}


def gauge(name: str, callback: Callback, *, every_s: float = 30, **labels: str) -> None:
    """Ask `callback`, `every_s` seconds after its last answer, for the gauge `name`, on a thread beside the application.

    It returns a number or a mapping from label values to numbers: a string, or a tuple in the contract's order. The values
    of a plain number are `labels`, else `_all`. A coroutine function runs on an event loop of its own.
    One that hangs delays nobody. What it takes longer than 10 seconds for, or raises, is logged once per outage, and its
    series disappear when their values are older than 3 × `every_s`: old data is wrong data.

    It begins when the application starts to serve, or is scraped: a process that only forks the workers asks nothing.
    It ends with the application's telemetry. May be called before `instrument()`: it is then of the next application, or,
    if a module says so while it is imported, of every one that comes after, as a test's. Several callbacks for one name
    are merged: of the same label values the last one's count. The same callback twice is one. Values that are none (negative, NaN, a text) are refused and
    counted. A label has 50 values at most; an answer that would need more brings none that is new, for then it is not
    divided by plans but by users: they add up as `_other`.

    Several workers each ask, and the scrape shows the largest answer, not the sum: they ask the same database. What only
    a worker knows, the length of its own queue, is that of the worker where it is largest.

    Raises ValueError for a name that is none of the contract's business gauges or an interval that is none, and TypeError
    for what cannot be called or other labels than the gauge has.
    """
    entry = _entry(name, _GAUGES)
    if not callable(callback):
        raise TypeError(
            f"the callback of {name} is {callback!r}, which cannot be called: give the function, not its result"
        )
    if as_amount(every_s) is None or not every_s > 0:
        raise ValueError(f"every_s of {name} is {every_s!r}: it must be a number of seconds above 0")
    values = _in_order(entry, labels) if labels else (WHOLE,) * len(entry.labels)
    recordings.when_installed(partial(_add, entry=entry, callback=callback, every_s=float(every_s), values=values))


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add `amount` to the counter `name` of the contract's: `api_key_usage_total` or `rate_limited_requests_total`.

    A mistake in the code raises: ValueError for another name, TypeError for other labels than the counter has. A mistake
    in a value does not: an amount that is none is refused and counted, a label value that is none is `_other`, and so is
    every new one after fifty. Thread-safe.
    """
    entry = _entry(name, _COUNTERS)
    values = _in_order(entry, labels)
    found = recording()
    if found is not None:
        try:
            _count(found, entry, values, amount)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            found.complain("count")


def _count(found: Recording, entry: Metric, values: tuple[object, ...], amount: object) -> None:
    number = _number(amount)
    if number is None:
        found.refuse(f"an amount of {entry.name}", amount)
        return
    kept = _kept(found.collectors)
    key = (entry.name, *values)
    cell = kept.cells.get(key) if all(value.__class__ is str for value in values) else None
    if cell is None:
        labels = kept.labels(found, entry, values, admit=True)
        cell = found.collectors.child(entry, *labels)
        if labels == values:  # not under a name that was refused: they may be many
            kept.cells[key] = cell
    cell.inc(number)


class _Series:
    """The series of one gauge: what its callbacks say."""

    def __init__(self) -> None:
        self._polls: dict[_Key, Poll[Mapping[Values, float]]] = {}

    def add(self, key: _Key, make: Callable[[], Poll[Mapping[Values, float]]]) -> None:
        """Let one more be asked, unless it is."""
        for each, poll in list(self._polls.items()):
            if poll.stopped:
                del self._polls[each]
        if key not in self._polls:
            self._polls[key] = make()

    def read(self) -> dict[Values, float]:
        """All values that are not too old; of the same label values the last one's."""
        found: dict[Values, float] = {}
        for poll in list(self._polls.values()):
            found.update(poll.answer() or {})
        return found


class _Kept:
    """The bounds of the labels, the cells of what they admitted, and the series of the gauges."""

    def __init__(self, collectors: Collectors) -> None:
        self.cells: dict[tuple[object, ...], Cell] = {}
        self.series: WeakValueDictionary[str, _Series] = WeakValueDictionary()
        """Weak: their polls know the collectors, which hold them."""
        self._bounds = {
            (entry.name, label): Bounded(collectors, entry, label, budget=MAX_VALUES, declared=(OTHER, WHOLE))
            for entry in business.METRICS
            for label in entry.label_names
        }

    def labels(self, found: Recording, entry: Metric, values: Iterable[object], *, admit: bool) -> Values:
        """Label values for what the application gave; a new one only if it may be admitted."""
        return tuple(
            self._label(found, entry, label, value, admit=admit)
            for label, value in zip(entry.label_names, values, strict=True)
        )

    def _label(self, found: Recording, entry: Metric, label: str, value: object, *, admit: bool) -> str:
        bound, text = self._bounds[entry.name, label], found.name(f"{label} of {entry.name}", value)
        return bound.admit(text) if admit else bound.of(text)


def _add(found: Recording, entry: Metric, callback: Callback, every_s: float, values: Values) -> None:
    kept = _kept(found.collectors)
    series = kept.series.get(entry.name)
    if series is None:
        series = kept.series[entry.name] = _Series()
        found.collectors.watch(entry, partial(_Series.read, series), owner=series)  # a method would be held weakly

    def make() -> Poll[Mapping[Values, float]]:
        poll = Poll(
            f"the gauge {entry.name}",
            callback,
            every_s,
            read=partial(_read, found, entry, values),
            failed=partial(found.collectors.tell, "metrics", health.FAILED),
        )
        polls_of(found.collectors).add(poll)
        return poll

    series.add((*_identity(callback), *values), make)


def _identity(callback: Callback) -> tuple[int, int]:
    """What tells a callback from others, while it is held: a bound method is a new object each time."""
    if isinstance(callback, MethodType):
        return id(callback.__self__), id(callback.__func__)
    return id(callback), 0


def _read(found: Recording, entry: Metric, values: Values, answer: Any) -> Mapping[Values, float]:
    """The numbers in an answer, by label values; what maps to the same ones adds up."""
    items = list(_items(found, entry, values, answer))
    kept, numbers = _kept(found.collectors), dict[Values, float]()
    for given, value in items:
        number = _number(value)
        if number is None:
            found.refuse(f"a value of {entry.name}", value)
        else:
            labels = kept.labels(found, entry, given, admit=len(items) <= MAX_VALUES)
            numbers[labels] = numbers.get(labels, 0.0) + number
    return numbers


def _items(found: Recording, entry: Metric, values: Values, answer: Any) -> Iterator[tuple[tuple[object, ...], object]]:
    if not isinstance(answer, Mapping):
        yield values, answer
        return
    for key, value in islice(answer.items(), _MOST_SERIES):
        given = key if isinstance(key, tuple) else (key,)
        if len(given) == len(entry.labels):
            yield given, value
        else:
            found.refuse(f"label values of {entry.name}, which has {entry.label_names},", key)


def _number(value: object) -> float | None:
    """A number that a metric can take; None for what is none."""
    try:
        number = as_amount(value)
    except Exception:  # noqa: BLE001  # an object of the application's
        return None
    return None if number is None or math.isnan(number) or number > _MOST else number


def _entry(name: object, declared: Mapping[str, Metric]) -> Metric:
    entry = declared.get(name) if isinstance(name, str) else None
    if entry is not None:
        return entry
    if isinstance(name, str) and name in _GAUGES | _COUNTERS:
        feeder, kind = ("gauge", "gauge") if name in _GAUGES else ("count", "counter")
        raise ValueError(f"{name} is a {kind}: feed it by gwz_instrument.{feeder}()")
    nearest = difflib.get_close_matches(str(name), declared, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"{name!r} is not declared in gwz_instrument.semconv.business; the nearest name is {nearest}, and all are "
        + ", ".join(declared)
    )


def _in_order(entry: Metric, labels: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of `labels` as the contract has them."""
    names = entry.label_names
    if len(labels) == len(names):
        try:
            return tuple(labels[name] for name in names)
        except KeyError:
            pass
    raise TypeError(f"{entry.name} has the labels {', '.join(names)}, and was given {', '.join(labels) or 'none'}")


_kept: Final = PerRegistry(_Kept)
