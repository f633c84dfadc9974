"""The contract of what is emitted, read from contract.json, and the metrics of others that we know."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from gwz_provision import forms, reading
from gwz_provision.check.units import Unit
from gwz_provision.errors import Misconfigured

Json = dict[str, Any]
Values = tuple[str, ...]
Labels = Mapping[str, Values]
"""A label's closed set of values by its name; empty when the set is open."""

# Prometheus itself puts these on every series that it scrapes.
TARGET: Labels = {"job": (), "instance": ()}
_ANY: Labels | None = None


@dataclass(frozen=True)
class Series:
    """What a metric name selects; `labels` is None when they are not known."""

    name: str
    kind: str
    unit: str
    labels: Labels | None
    ratio: bool = False
    measured: Unit | None = None
    """What a recording rule's expression gives, which no contract declares."""


@dataclass(frozen=True)
class Field:
    """A field of a log line, a span's attribute, or of a JSON answer."""

    name: str
    type: str = "string"
    values: Values = ()
    brief: str = ""
    unit: str = ""
    nullable: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A JSON endpoint: its path's template, and the fields of its answer."""

    method: str
    path: str
    many: bool
    fields: tuple[Field, ...]
    parameters: tuple[Json, ...] | None = None


@dataclass(frozen=True)
class Contract:
    """Every name that a query may ask for."""

    series: Mapping[str, Series]
    histograms: frozenset[str] = frozenset()
    stream: Labels = field(default_factory=dict)
    metadata: Mapping[str, Field] = field(default_factory=dict)
    fields: Mapping[str, Field] = field(default_factory=dict)
    span: Mapping[str, Field] = field(default_factory=dict)
    resource: Mapping[str, Field] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()

    def with_series(self, more: Mapping[str, Series]) -> "Contract":
        """Know further metrics, such as the recording rules of the same run."""
        return replace(self, series={**self.series, **more})

    def metric(self, series: str) -> str:
        """Return the metric that a series is of: that of `x_bucket` is the histogram `x`."""
        base = re.sub(r"_(?:bucket|sum|count)$", "", series)
        return base if base in self.histograms else series

    def find(self, name: str) -> Series | None:
        """Return what a metric name selects, be it ours or another's; None for a ghost."""
        return self.series.get(name) or _foreign(name)


def load(file: Traversable | None = None) -> Contract:
    """Read a contract, by default the one in the wheel; raises `Misconfigured` when it cannot be used."""
    source = file or files("gwz_provision") / "bundle" / "contract.json"
    try:
        content, problems = reading.fitted(reading.json_of(source.read_bytes()), forms.CONTRACT)
    except OSError as error:
        raise _unusable([f"{source}: cannot read the contract: {error.strerror}"]) from error
    except ValueError as error:
        raise _unusable([f"{source} is not a contract: {error}"]) from error
    if problems:
        raise _unusable([f"{source} is not a contract: {problem}" for problem in problems])
    return _contract(content)


def _unusable(problems: list[str]) -> Misconfigured:
    return Misconfigured(
        problems, "Pass what `gwz-instrument contract` prints with --contract, or check without one: --no-contract."
    )


def _contract(document: Json) -> Contract:
    logs = document["logs"]
    return Contract(
        series={series.name: series for metric in document["metrics"] for series in _series(metric)},
        histograms=frozenset(metric["name"] for metric in document["metrics"] if metric["type"] == "histogram"),
        stream=_labels(logs["labels"]),
        metadata=_fields(logs["metadata"]),
        fields=_fields(logs["fields"]),
        span=_fields([attribute for span in document["spans"] for attribute in span["attributes"]]),
        resource=_fields(document["resource"]),
        endpoints=tuple(_endpoint(entry) for entry in document.get("endpoints", ())),
    )


def _series(metric: Json) -> list[Series]:
    name, kind, unit = metric["name"], metric["type"], metric["unit"]
    labels = {**_labels(metric["labels"]), **TARGET}
    if kind != "histogram":
        return [Series(name, kind, unit, labels, _is_ratio(metric))]
    return [
        Series(f"{name}_bucket", "bucket", unit, {**labels, "le": ()}),
        Series(f"{name}_sum", "counter", unit, labels),
        Series(f"{name}_count", "counter", "{observation}", labels),
    ]


def _is_ratio(metric: Json) -> bool:
    """Tell shares from states, which have no unit either: the name or the brief says so."""
    brief = metric.get("brief", "").lower()
    return metric["unit"] == "1" and ("share" in brief or "0 to 1" in brief or metric["name"].endswith("_ratio"))


def _labels(entries: list[Json]) -> dict[str, Values]:
    return {entry["name"]: tuple(entry.get("values", ())) for entry in entries}


def _fields(entries: list[Json]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for entry in entries:
        one = Field(
            entry["name"],
            entry["type"],
            tuple(entry.get("values", ())),
            entry.get("brief", ""),
            entry.get("unit", ""),
            bool(entry.get("nullable")),
        )
        before = found.get(one.name)
        # An attribute of several spans has the values of all; one open set opens it for all.
        both = before and before.values and one.values
        values = tuple(dict.fromkeys((*before.values, *one.values))) if before and both else ()
        found[one.name] = replace(one, values=values if before else one.values)
    return found


def _endpoint(entry: Json) -> Endpoint:
    return Endpoint(
        entry["method"],
        entry["path"],
        entry["many"],
        tuple(_fields(entry["fields"]).values()),
        tuple(entry["parameters"]) if "parameters" in entry else None,
    )


def _exactly(kind: str, unit: str, labels: str, *names: str) -> dict[str, Series]:
    known: Labels = {**dict.fromkeys(labels.split(), ()), **TARGET}
    return {name: Series(name, kind, unit, known) for name in names}


_SPAN = "service span_name span_kind status_code status_message"
_EDGE = "client server connection_type"

OTHERS: Mapping[str, Series] = {
    # Prometheus writes them about each target and each alert.
    **_exactly("gauge", "1", "", "up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"),
    **_exactly("gauge", "s", "", "scrape_duration_seconds"),
    **{name: Series(name, "gauge", "1", _ANY) for name in ("ALERTS", "ALERTS_FOR_STATE")},
    # Tempo's metrics generator makes them from spans.
    **_exactly("counter", "{span}", _SPAN, "traces_spanmetrics_calls_total", "traces_spanmetrics_latency_count"),
    **_exactly("counter", "s", _SPAN, "traces_spanmetrics_latency_sum"),
    **_exactly("bucket", "s", f"{_SPAN} le", "traces_spanmetrics_latency_bucket"),
    **_exactly("counter", "By", _SPAN, "traces_spanmetrics_size_total"),
    **_exactly(
        "counter",
        "{request}",
        _EDGE,
        "traces_service_graph_request_total",
        "traces_service_graph_request_failed_total",
        "traces_service_graph_request_client_seconds_count",
        "traces_service_graph_request_server_seconds_count",
    ),
    **_exactly(
        "counter",
        "s",
        _EDGE,
        "traces_service_graph_request_client_seconds_sum",
        "traces_service_graph_request_server_seconds_sum",
    ),
    **_exactly(
        "bucket",
        "s",
        f"{_EDGE} le",
        "traces_service_graph_request_client_seconds_bucket",
        "traces_service_graph_request_server_seconds_bucket",
    ),
    # redis_exporter; further ones pass too, see `_PREFIXES`.
    **_exactly("gauge", "1", "", "redis_up"),
    **_exactly("gauge", "", "err", "redis_exporter_last_scrape_error"),
    **_exactly("gauge", "", "", "redis_slowlog_last_id"),
    **_exactly("gauge", "{client}", "", "redis_connected_clients", "redis_blocked_clients", "redis_slowlog_length"),
    **_exactly("gauge", "s", "", "redis_uptime_in_seconds"),
    **_exactly("gauge", "By", "", "redis_memory_used_bytes", "redis_memory_max_bytes", "redis_config_maxmemory"),
    **_exactly("gauge", "{key}", "db", "redis_db_keys", "redis_db_keys_expiring"),
    **_exactly(
        "counter",
        "{event}",
        "",
        "redis_commands_processed_total",
        "redis_keyspace_hits_total",
        "redis_keyspace_misses_total",
        "redis_evicted_keys_total",
        "redis_expired_keys_total",
        "redis_rejected_connections_total",
    ),
    **_exactly("counter", "{event}", "cmd", "redis_commands_total", "redis_commands_failed_calls_total"),
    **_exactly("counter", "s", "cmd", "redis_commands_duration_seconds_total"),
}
"""Metrics that our code does not emit and our stack has."""

_PREFIXES = ("prometheus_", "loki_", "tempo_", "grafana_", "go_", "redis_")
"""The servers' own metrics: hundreds, which change with each version of theirs."""
_NEAR = 2


def _foreign(name: str) -> Series | None:
    if found := OTHERS.get(name):
        return found
    if not name.startswith(_PREFIXES):
        return None
    # A name two letters away from one that we know is a slip, not another metric.
    if any(abs(len(name) - len(other)) <= _NEAR and near(name, other) for other in OTHERS):
        return None
    return Series(name, "", "", _ANY)


def near(one: str, other: str) -> bool:
    """Tell whether at most two insertions, deletions or replacements lie between two names."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        last, row[0] = row[0], index
        for place, compared in enumerate(other, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (letter != compared))
    return row[-1] <= _NEAR
