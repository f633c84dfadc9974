"""Judges an answer of /metrics."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING

from gwz_instrument import semconv
from gwz_instrument.faults import Fault, Finding
from gwz_instrument.semconv import Metric

from ._findings import listed, mute, shorten, stranger, wrong_value

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

NAMESPACES = ("fastapi_", "gatewayz_", "gwz_")
"""Every metric whose name begins so is the contract's, declared or not."""


def is_ours(family: str) -> bool:
    """Whether a metric of this name is the contract's to declare; any other is the application's own.

    It is if it begins with one of NAMESPACES, or with the words of a metric that this package emits, all
    but the last of them, though never with one word alone: `model_inference_*`, but not `model_*`.
    """
    return family.startswith(NAMESPACES) or any(family == stem or family.startswith(f"{stem}_") for stem in _STEMS)


def judge_metrics(exposition: str, expected: Iterable[Metric]) -> Iterator[Finding]:
    """Hold an exposition against the contract; of `expected` each has to have a sample."""
    sampled = set()
    for family in _parse(exposition):
        entry = _ENTRIES.get(family.name)
        if entry is None:
            if is_ours(family.name):
                yield stranger("metrics", family.name, "metric", _NAMES)
        elif family.samples:
            sampled.add(entry)
            yield from _judge_family(entry, family)
    for entry in expected:
        if entry not in sampled:
            yield mute("metrics", entry.name, "/metrics has no sample of it", entry.emitted_by)


def _judge_family(entry: Metric, family: "Family") -> Iterator[Finding]:
    if family.type != entry.kind:
        yield Finding(
            "metrics",
            Fault.WRONG_TYPE,
            entry.name,
            f"{entry.name} is a {family.type}, declared a {entry.kind}: a collector of the application has taken "
            "its name. Remove that collector, or set replace_existing=True",
        )
        return
    for sample in family.samples:
        if sample.name in _series(entry):
            yield from _judge_labels(entry, sample.labels)
        else:
            yield stranger("metrics", sample.name, "series", _NAMES)
    if entry.kind == "histogram":
        yield from _judge_buckets(entry, family)


def _judge_labels(entry: Metric, labels: Mapping[str, str]) -> Iterator[Finding]:
    given = labels.keys() - {"le"}
    if given != set(entry.label_names):
        yield Finding(
            "metrics",
            Fault.WRONG_LABELS,
            entry.name,
            f"the labels of {entry.name} are {listed(sorted(given))}, declared are {listed(sorted(entry.label_names))}. "
            f"Correct the entry, or what {entry.emitted_by} emits",
        )
    for label in entry.labels:
        if label.name in labels:
            yield from wrong_value("metrics", entry.name, label, labels[label.name])


def _judge_buckets(entry: Metric, family: "Family") -> Iterator[Finding]:
    series: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            series.setdefault(labels, []).append(float(sample.labels.get("le", "nan")))
    for bounds in series.values():
        if tuple(sorted(bounds)) != (*entry.buckets, inf):
            yield Finding(
                "metrics",
                Fault.WRONG_BUCKETS,
                entry.name,
                f"the buckets of {entry.name} are {_numbers(sorted(bounds))}, declared are "
                f"{_numbers((*entry.buckets, inf))}. Correct the entry, or what {entry.emitted_by} emits",
            )


def _series(entry: Metric) -> tuple[str, ...]:
    """The names that its samples may have: `_created` is none of them."""
    if entry.kind == "histogram":
        return tuple(f"{entry.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
    return (entry.name,)


def _parse(exposition: str) -> "list[Family]":
    # Imported here: who imports the contract for its names needs no prometheus_client.
    if exposition.rstrip().endswith("# EOF"):
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # noqa: PLC0415
    else:
        from prometheus_client.parser import text_string_to_metric_families as parse  # noqa: PLC0415
    try:
        return list(parse(exposition))  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ValueError(
            f"this is no exposition ({error}): {shorten(repr(exposition))}. Give the body of a /metrics answer with status 200"
        ) from error


def _stem(family: str) -> str:
    words = family.split("_")
    return "_".join(words[: max(2, len(words) - 1)])


def _numbers(numbers: Iterable[float]) -> str:
    return listed(f"{number:g}" for number in numbers)


# By its sample's name too: a counter that was registered as a gauge goes by that.
_ENTRIES = {name: entry for entry in semconv.METRICS for name in (entry.name, entry.family)}
_NAMES = tuple(entry.name for entry in semconv.METRICS)
_STEMS = tuple({_stem(entry.family) for entry in semconv.METRICS if entry.emitted_by.startswith("gwz_instrument.")})
