"""What a /metrics page says."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

LabelSet = frozenset[tuple[str, str]]


def total(page: str, counter: str, label: str, value: str) -> float:
    """The sum of a counter's samples whose `label` has `value`."""
    found = (s for s in _samples(page) if s.name == counter and s.labels.get(label) == value)
    return float(sum(sample.value for sample in found))


def label_sets(page: str, prefixes: Iterable[str]) -> dict[str, set[LabelSet]]:
    """The label sets of each metric whose name starts with one of `prefixes`; a histogram's buckets are one."""
    wanted = tuple(prefixes)
    found: dict[str, set[LabelSet]] = {}
    for family in text_string_to_metric_families(page):
        if family.name.startswith(wanted):
            found[family.name] = {
                frozenset((name, value) for name, value in sample.labels.items() if name != "le")
                for sample in family.samples
            }
    return found


def grown(before: dict[str, set[LabelSet]], after: dict[str, set[LabelSet]]) -> dict[str, int]:
    """How many label sets each metric has gained."""
    return {name: len(sets - before.get(name, set())) for name, sets in after.items()}


def _samples(page: str) -> Iterator[Any]:
    for family in text_string_to_metric_families(page):
        yield from family.samples
