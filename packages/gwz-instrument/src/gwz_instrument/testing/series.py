"""Reads numbers out of registries, and says what is there when the number that was asked for is not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from prometheus_client.registry import CollectorRegistry

from gwz_instrument import semconv

_SHOWN: Final = 20
_DECLARED: Final = {
    name: entry
    for entry in semconv.METRICS
    for name in (
        (f"{entry.name}_bucket", f"{entry.name}_count", f"{entry.name}_sum")
        if entry.kind == "histogram"
        else (entry.name,)
    )
}

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Series:
    """Every series of some registries, by name and labels, at one moment."""

    numbers: Mapping[Key, float]

    def matching(self, name: str, labels: Mapping[str, str]) -> dict[Key, float]:
        """The series of this name that have these labels, whatever others they have.

        AssertionError if there can be none: no metric has the name, or the metric has no such label.
        """
        named = {key: number for key, number in self.numbers.items() if key[0] == name}
        known = {label for _, pairs in named for label, _ in pairs}
        if name in _DECLARED:
            known.update(_DECLARED[name].label_names)
        elif not named:
            raise AssertionError(self._no_name(name))
        if unknown := sorted(labels.keys() - known):
            raise AssertionError(
                f"{name} has no label {', '.join(unknown)}: its labels are {', '.join(sorted(known)) or 'none'}"
            )
        wanted = labels.items()
        return {key: number for key, number in named.items() if wanted <= dict(key[1]).items()}

    def none_matches(self, name: str, labels: Mapping[str, str]) -> str:
        """Say that there is no such series, and which there are of that name."""
        there = [f"{written(*key)} {number:g}" for key, number in sorted(self.numbers.items()) if key[0] == name]
        return f"no series matches {written(name, labels.items())}; {listed(f'of {name} there are', there)}"

    def _no_name(self, name: str) -> str:
        names = {*_DECLARED, *(known for known, _ in self.numbers)}
        if near := get_close_matches(name, sorted(names), n=3):
            return f"no metric is called {name}; the nearest names are {', '.join(near)}"
        if histogram := [known for known in sorted(names) if known.startswith(f"{name}_")]:
            return f"no series is called {name}; there are {', '.join(histogram)}"
        return f"no metric is called {name}: neither the contract nor a registry of this process has a name like it"


def series_of(registries: Iterable[CollectorRegistry]) -> Series:
    """What the registries hold now; what two of them have alike is added up."""
    numbers: dict[Key, float] = {}
    for registry in registries:
        for key, number in _samples(registry):
            numbers[key] = numbers.get(key, 0.0) + number
    return Series(numbers)


def texts(labels: Mapping[str, object]) -> dict[str, str]:
    """Labels as Prometheus has them: `status_code=200` means the same as `status_code="200"`."""
    return {name: str(value) for name, value in labels.items()}


def written(name: str, labels: Iterable[tuple[str, str]]) -> str:
    """A series as PromQL writes it."""
    pairs = ", ".join(f'{label}="{value}"' for label, value in labels)
    return f"{name}{{{pairs}}}"


def listed(what: str, things: Iterable[str]) -> str:
    """A sentence and what it speaks of, one a line; the beginning of it where there is much."""
    things = list(things)
    if not things:
        return f"{what} none"
    more = [f"… and {len(things) - _SHOWN} more"] if len(things) > _SHOWN else []
    return "\n  ".join([f"{what}:", *things[:_SHOWN], *more])


def _samples(registry: CollectorRegistry) -> Iterator[tuple[Key, float]]:
    for family in registry.collect():
        for sample in family.samples:
            yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value
