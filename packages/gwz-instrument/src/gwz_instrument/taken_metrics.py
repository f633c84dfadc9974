"""Collectors of the application whose metrics have names of the contract: found with their module, unregistered."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from .semconv import Metric


@dataclass(frozen=True, slots=True)
class TakenMetric:
    """A collector that has names of the contract."""

    names: tuple[str, ...]
    """The contract's; a collector of the application's own making may have several."""
    kind: str
    our_kind: str
    module: str
    collector: Collector = field(repr=False)
    families: frozenset[str] = field(repr=False)
    """Those of its metrics that stand in our way."""
    has_others: bool = field(repr=False)

    def __str__(self) -> str:
        """One line of an error."""
        kind = self.kind if self.kind == self.our_kind else f"{self.kind}; ours is a {self.our_kind}"
        return f"metric {', '.join(self.names)} ({kind}) in {self.module}"


def find(registry: CollectorRegistry, ours: Collector, entries: Iterable[Metric]) -> tuple[TakenMetric, ...]:
    """The collectors in `registry`, other than `ours`, with a name of an entry that this package emits."""
    owners = {name: entry for entry in entries if _is_ours(entry) for name in _names(_family(entry))}
    taken = {
        collector: (families, clashes)
        for collector, names in registered(registry).items()
        if collector is not ours and (not names or not owners.keys().isdisjoint(names))
        if (clashes := _clashes(families := _families(collector), owners))
    }
    modules = _modules(taken)
    return tuple(
        TakenMetric(
            names=tuple(entry.name for entry in clashes.values()),
            kind=next(family.type for family in families if family.name in clashes),
            our_kind=next(iter(clashes.values())).kind,
            module=modules.get(id(collector)) or _class_module(collector),
            collector=collector,
            families=frozenset(clashes),
            has_others=any(family.name not in clashes for family in families),
        )
        for collector, (families, clashes) in taken.items()
    )


def unregister(registry: CollectorRegistry, taken: Iterable[TakenMetric]) -> None:
    """Take these collectors out of `registry`; whoever holds them can go on feeding them, and their other metrics stay."""
    for metric in taken:
        registry.unregister(metric.collector)
        if metric.has_others:
            registry.register(_Rest(metric.collector, metric.families))


def registered(registry: CollectorRegistry) -> dict[Collector, list[str]]:
    """The collectors in `registry` with the names that are refused to others.

    prometheus_client has no public way to ask; its attribute has been the same from 0.21.0 to 0.26.0.
    """
    return dict(registry._collector_to_names)  # noqa: SLF001  # as above


class _Rest(Collector):
    """A collector without those of its families whose names are ours."""

    def __init__(self, inner: Collector, without: frozenset[str]) -> None:
        self._inner = inner
        self._without = without

    def collect(self) -> Iterator[Family]:
        """What is left."""
        return (family for family in self._inner.collect() if family.name not in self._without)

    def describe(self) -> Iterable[Family]:
        """The names of what is left."""
        return [family for family in _families(self._inner) if family.name not in self._without]


class _Described(Collector):
    """A collector that only says what it would yield."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def describe(self) -> Iterable[Family]:
        return [self._family]

    def collect(self) -> Iterable[Family]:
        return []


def _is_ours(entry: Metric) -> bool:
    return not entry.emitted_by.startswith("prometheus_client.")


def _family(entry: Metric) -> Family:
    return Family(entry.family, entry.brief, entry.kind)


def _names(family: Family) -> list[str]:
    """All names that `family` takes in a registry, suffixes included, by prometheus_client's own rules."""
    registry, probe = CollectorRegistry(), _Described(family)
    registry.register(probe)
    return registered(registry)[probe]


def _families(collector: Collector) -> list[Family]:
    """What `collector` describes; without a description it is asked for samples, as a registry itself does."""
    ask = getattr(collector, "describe", collector.collect)
    try:
        return list(ask())
    except Exception:  # noqa: BLE001  # a collector of the application that fails is not a matter of names
        return []


def _clashes(families: Iterable[Family], owners: Mapping[str, Metric]) -> dict[str, Metric]:
    """The families that have a name of ours, each with the entry that it takes the name from."""
    found = ((family.name, [owners[name] for name in _names(family) if name in owners]) for family in families)
    return {name: entries[0] for name, entries in found if entries}


def _modules(collectors: Collection[Collector]) -> dict[int, str]:
    """The module that has each collector as a global, by the collector's id.

    A collector may have been imported by others; the module that has most of them is the one that made them.
    """
    wanted = {id(collector) for collector in collectors}
    holders: dict[int, list[str]] = {}
    for name, module in list(sys.modules.items()):
        for key in wanted.intersection(map(id, _globals(module))):
            holders.setdefault(key, []).append(name)
    numbers = Counter(name for names in holders.values() for name in names)
    return {key: max(names, key=numbers.__getitem__) for key, names in holders.items()}


def _class_module(collector: Collector) -> str:
    module = type(collector).__module__
    return "an unknown module" if module.startswith("prometheus_client.") else module


def _globals(module: object) -> list[object]:
    """A module's globals; asked in this way, one that loads when it is first used stays asleep."""
    try:
        return list(object.__getattribute__(module, "__dict__").values())
    except AttributeError:
        return []
