"""The Four Golden Signals: latency, traffic, errors, saturation, each with its numbers of now and its course."""

from gwz_dashboards import filters, links, redis_metrics
from gwz_dashboards.common import EXECUTIVE, Heading, Page, Row
from gwz_dashboards.filters import IN_ENVIRONMENT, ON_PATH
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import (
    Panel,
    Query,
    Shown,
    bad_from,
    by_hour,
    coloured,
    dial,
    number,
    over_time,
    promql,
    promql_now,
    rows,
)
from gwz_dashboards.queries import highest, quantile, rate, share, total
from gwz_instrument.semconv import endpoints, health, http, inference

_LATENCY = bad_from(10_000, 30_000)
_SATURATION = bad_from(0.8, 0.9)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid=links.SIGNALS_UID,
        title="The Four Golden Signals",
        description="Latency, traffic, errors and saturation, after Google's Site Reliability Engineering.",
        folder=EXECUTIVE,
        variables=(filters.environment(), filters.path()),
        refresh="30s",
        since="now-6h",
        rows=(
            Heading("Latency: how long a call to a model takes"),
            Row(
                5,
                (
                    (6, _latency(1, "p50", "p50_latency", "half of the calls")),
                    (6, _latency(2, "p95", "p95_latency", "95 % of the calls")),
                    (6, _latency(3, "p99", "p99_latency", "99 % of the calls")),
                    (6, _average()),
                ),
            ),
            Row(9, ((24, _latency_trend()),)),
            Heading("Traffic: how much is asked"),
            Row(5, ((8, _calls()), (8, _request_rate()), (8, _in_flight()))),
            Row(8, ((24, _calls_by_hour()),)),
            Heading("Errors: how much of it fails"),
            Row(8, ((6, _error_rate()), (6, _errors()), (12, _worst_models()))),
            Row(8, ((24, _error_trend()),)),
            Heading("Saturation: how full it is"),
            Row(6, ((8, _cpu()), (8, _memory()), (8, _redis()))),
            Row(9, ((24, _saturation_trend()),)),
        ),
    )


def _now(*columns_: Column, hours: int = 1) -> Query:
    return json_query(endpoints.REALTIME, *columns_, params={"hours": hours})


def _by_hour(column: Column) -> Query:
    return json_query(endpoints.REALTIME, "series[].time", column, params={"hours": 24})


def _latency(id_: int, title: str, field: str, whom: str) -> Panel:
    return number(
        id_,
        f"Latency {title} (1 h)",
        f"Milliseconds within which {whom} of the last hour were over, streams to their last chunk.",
        "ms",
        _now(Column(field, title)),
        steps=_LATENCY,
        links=(links.to_dashboard("Which models", links.MODELS_UID),),
    )


def _average() -> Panel:
    return number(
        4,
        "Average (1 h)",
        "Mean of the same calls. Far above p50 it says that a few are very slow.",
        "ms",
        _now(Column("avg_latency_ms", "average")),
        steps=_LATENCY,
    )


def _latency_trend() -> Panel:
    def line(share_: float) -> str:
        return quantile(share_, inference.DURATION, IN_ENVIRONMENT)

    panel = over_time(
        5,
        "Latency of model calls",
        "From the start of a call to its end, failed attempts included. Each dot is one call: it leads to its trace.",
        "s",
        promql(line(0.5), "p50"),
        promql(line(0.95), "p95"),
        promql(line(0.99), "p99", exemplars=True),
        links=(links.to_lines(),),
    )
    return coloured(panel, {"p50": "green", "p95": "orange", "p99": "red"})


def _calls() -> Panel:
    return number(
        6,
        "Model calls (1 h)",
        "Calls to models that ended in the last hour, however they ended.",
        "locale",
        _now(Column("total_requests", "calls")),
    )


def _request_rate() -> Panel:
    return number(
        7,
        "Request rate",
        "Requests per second that ended, on the chosen paths.",
        "reqps",
        promql(rate(http.REQUESTS, IN_ENVIRONMENT, ON_PATH), "requests"),
        trend=True,
    )


def _in_flight() -> Panel:
    return number(
        8,
        "Active requests",
        "Requests that have arrived and are not answered yet, on the chosen paths.",
        "locale",
        promql(total(http.IN_PROGRESS, IN_ENVIRONMENT, ON_PATH), "active"),
        trend=True,
    )


def _calls_by_hour() -> Panel:
    return by_hour(
        9,
        "Model calls by hour (24 h)",
        "Calls to models in each of the last 24 hours; the first and the last column are of parts of an hour.",
        "locale",
        _by_hour(Column("series[].total_requests", "calls")),
        time="time",
    )


def _error_rate() -> Panel:
    return dial(
        10,
        "Failed (1 h)",
        "Share of the calls to models of the last hour that failed, after all fallbacks; what clients gave up does not count.",
        "percentunit",
        _now(Column("error_rate", "failed")),
        steps=bad_from(0.05, 0.1),
        highest=1,
        links=(links.to_lines(level="error|critical"), links.to_failed_traces()),
    )


def _errors() -> Panel:
    return number(
        11,
        "Failures (1 h)",
        "Calls to models of the last hour that failed.",
        "locale",
        _now(Column("total_errors", "failures")),
        links=(links.to_lines(level="error|critical"), links.to_failed_traces()),
    )


def _worst_models() -> Panel:
    return rows(
        12,
        "Models with the most failures (24 h)",
        "The five models, each at a provider, most of whose calls failed in the last 24 hours; and the share of them.",
        json_query(
            endpoints.TRENDING,
            Column("data[].model", "Model"),
            Column("data[].provider", "Provider"),
            Column("data[].failed_requests", "Failed"),
            Column("data[].error_rate", "Share"),
            params={"limit": 5, "sort_by": "errors", "time_range": "24h"},
        ),
        shown={
            "Provider": Shown(width=155),
            "Failed": Shown(unit="locale", width=80),
            "Share": Shown(unit="percentunit", steps=bad_from(0.05, 0.1), width=90),
        },
        order=("Model", "Provider", "Failed", "Share"),
        nothing="No traffic in 24 hours",
    )


def _error_trend() -> Panel:
    return by_hour(
        13,
        "Failed model calls by hour (24 h)",
        "Share of the calls that failed in each of the last 24 hours; no column without calls.",
        "percentunit",
        _by_hour(Column("series[].error_rate", "failed")),
        time="time",
        steps=bad_from(0.05, 0.1),
    )


def _cpu() -> Panel:
    return dial(
        14,
        "CPU",
        "Processor time of the busiest process, as a share of what its container may use.",
        "percentunit",
        promql_now(highest(health.CPU, IN_ENVIRONMENT), "CPU"),
        steps=_SATURATION,
        highest=1,
    )


def _memory() -> Panel:
    return dial(
        15,
        "Memory",
        "Memory of the fullest container, as a share of its limit.",
        "percentunit",
        promql_now(highest(health.MEMORY, IN_ENVIRONMENT), "memory"),
        steps=_SATURATION,
        highest=1,
    )


def _redis() -> Panel:
    return dial(
        16,
        "Redis memory",
        "Memory that Redis holds, as a share of its limit; without a limit there is no share.",
        "percentunit",
        promql_now(_redis_memory(), "Redis"),
        steps=_SATURATION,
        highest=1,
        links=(links.to_dashboard("Redis", links.BACKEND_UID),),
        nothing="No limit",
    )


def _saturation_trend() -> Panel:
    panel = over_time(
        17,
        "Saturation",
        "The same three over time: from 80 % on there is little room for a burst.",
        "percentunit",
        promql(highest(health.CPU, IN_ENVIRONMENT), "CPU"),
        promql(highest(health.MEMORY, IN_ENVIRONMENT), "memory"),
        promql(_redis_memory(), "Redis memory"),
        steps=_SATURATION,
        highest=1,
    )
    return coloured(panel, {"CPU": "blue", "memory": "orange", "Redis memory": "red"})


def _redis_memory() -> str:
    return share(highest(redis_metrics.MEMORY_USED), highest(redis_metrics.MEMORY_MAX))
