"""The contract's metrics as one collector in prometheus_client's registry."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MethodType
from weakref import WeakKeyDictionary, WeakMethod

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from . import multiprocess, semconv
from .cells import KINDS, Bundle, Cell, Counter, Gauge, Histogram
from .semconv import Metric, health

Values = tuple[str, ...]
Bundled = Bundle | multiprocess.Bundle
Reader = Callable[[], Mapping[Values, float]]
"""Called at each scrape: the gauge's values by label values; no entry, no series."""

_OWN = tuple(entry for entry in semconv.METRICS if entry.emitted_by.startswith("gwz_instrument."))


class Collectors(Collector):
    """Every metric of the contract that this package emits, registered as one collector.

    One collector can be taken out and put back as a whole, has no `_created` series, and its cells cost a
    fraction of prometheus_client's children. In multi-process mode the cells are prometheus_client's own,
    which write the files that the workers share.
    """

    def __init__(self, entries: Iterable[Metric] = _OWN) -> None:
        self._entries = tuple(entries)
        # By name, because the hash of an entry is that of everything it says.
        self._cells: dict[str, dict[Values, Cell]] = {entry.name: {} for entry in self._entries}
        self._readers: dict[str, dict[int, Callable[[], Reader | None]]] = {}
        self._bundles: dict[tuple[str, ...], Bundled] = {}
        self._shared = multiprocess.Shared() if multiprocess.enabled() else None
        for signal in health.SIGNAL.values:
            for outcome in health.OUTCOME.values:
                self.child(health.ITEMS, signal, outcome)
            for reason in health.REASON.values:
                self.child(health.DROPPED, signal, reason)

    def child(self, entry: Metric, *values: str) -> Cell:
        """The cell of `entry` for these label values, in the contract's order; made at zero when it is new."""
        cells = self._cells[entry.name]
        cell = cells.get(values)
        return cells.setdefault(values, self._make(entry, values)) if cell is None else cell

    def bundle(self, counter: Metric, histograms: Sequence[Metric], *values: str) -> Bundled:
        """The cells of a counter and of histograms that change together; one for all who ask.

        The counter has all of `values` as its label values, the histograms all but the last.
        """
        key = (counter.name, *values)
        found = self._bundles.get(key)
        if found is None:
            cells = [self.child(entry, *values[:-1]) for entry in histograms]
            found = self._bundles.setdefault(key, self._bundle(self.child(counter, *values), cells))
        return found

    def _bundle(self, counter: Cell, histograms: Sequence[Cell]) -> Bundled:
        if isinstance(counter, Counter):
            return Bundle(counter, [cell for cell in histograms if isinstance(cell, Histogram)])
        return multiprocess.Bundle(counter, histograms)

    def count(self, entry: Metric, *values: str, amount: float = 1.0) -> None:
        """Add `amount` to the counter `entry`."""
        self.child(entry, *values).inc(amount)

    def tell(self, signal: str, word: str, number: int = 1) -> None:
        """Count items of a signal: `word` is `delivered`, or the reason for which they were given up. Never raises."""
        with suppress(Exception):  # several workers' files may not be there, and who tells has other things to see to
            if word != health.DELIVERED:
                self.count(health.DROPPED, signal, word, amount=number)
            outcome = word if word == health.DELIVERED else health.DROPPED_OUTCOME
            self.count(health.ITEMS, signal, outcome, amount=number)

    def watch(self, entry: Metric, reader: Reader, owner: object = None) -> None:
        """Take the gauge `entry` from `reader` at each scrape: a gauge that is read cannot leak. One reader per owner.

        A method is held weakly, so that applications that are dropped are freed.
        """
        found: Callable[[], Reader | None] = WeakMethod(reader) if isinstance(reader, MethodType) else lambda: reader
        self._readers.setdefault(entry.name, {})[id(owner)] = found

    def cells(self, entry: Metric) -> list[tuple[Values, Cell]]:
        """The cells of `entry` by their label values."""
        return list(self._cells[entry.name].items())

    def current(self, entry: Metric) -> Mapping[Values, float]:
        """What a watched gauge says now."""
        return self._read(entry)

    def look(self) -> None:
        """Read what is watched, so that what its readers ask elsewhere is on its way before the first scrape."""
        for entry in self._entries:
            self._read(entry)

    def collect(self) -> Iterator[Family]:
        """Yield every metric of the contract."""
        for entry in self._entries:
            family = Family(entry.family, entry.brief, entry.kind)
            for values, cell in list(self._cells[entry.name].items()):
                if isinstance(cell, Counter | Gauge | Histogram):
                    cell.add_to(family, dict(zip(entry.label_names, values, strict=True)))
            for values, number in self._read(entry).items():
                family.add_sample(entry.name, dict(zip(entry.label_names, values, strict=True)), number)
            yield family

    def describe(self) -> Iterable[Family]:
        """Name what `collect` yields, so that the registry can refuse duplicates."""
        return [Family(entry.family, entry.brief, entry.kind) for entry in self._entries]

    def publish(self) -> None:
        """In multi-process mode, write what is read at a scrape, so that another worker's scrape has it too.

        Raises LostFilesError when nobody can read what this worker writes.
        """
        if self._shared is not None:
            self.tell("metrics", health.DELIVERED, 0)  # a worker that was forked opens its files when it first counts
            multiprocess.check_own_files()
            for entry in self._entries:
                if entry.name in self._readers:
                    self._publish(entry, self._read(entry))

    def _publish(self, entry: Metric, now: Mapping[Values, float]) -> None:
        for values in set(self._cells[entry.name]).difference(now):
            self.child(entry, *values).set(multiprocess.gone(entry))
        for values, number in now.items():
            self.child(entry, *values).set(number)

    def _read(self, entry: Metric) -> Mapping[Values, float]:
        found: dict[Values, float] = {}
        for find in list(self._readers.get(entry.name, {}).values()):
            reader = find()
            for values, number in reader().items() if reader else ():
                found[values] = found.get(values, 0.0) + number
        return found

    def _make(self, entry: Metric, values: Values) -> Cell:
        if len(values) != len(entry.labels):
            raise ValueError(f"{entry.name} has the labels {entry.label_names}, not as many as {values!r}")
        return KINDS[entry.kind](entry) if self._shared is None else self._shared.child(entry, values)


def collectors_of(registry: CollectorRegistry) -> Collectors:
    """The collectors that feed `registry`: applications of one process that share it share them too."""
    if registry not in _collectors:
        _collectors[registry] = Collectors()
    return _collectors[registry]


_collectors: "WeakKeyDictionary[CollectorRegistry, Collectors]" = WeakKeyDictionary()
