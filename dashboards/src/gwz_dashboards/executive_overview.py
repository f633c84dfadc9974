"""Executive Overview: how much is asked, how long it takes, what it costs, what fails; then whose fault it is."""

from gwz_dashboards import filters, links
from gwz_dashboards.common import EXECUTIVE, Page, Row
from gwz_dashboards.filters import IN_ENVIRONMENT
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import Panel, bad_from, coloured, number, over_time, pie, promql, promql_now, stacked
from gwz_dashboards.queries import Match, highest, or_zero, quantile, rate, total
from gwz_dashboards.shared_panels import FAILED, anomalies, overall_health
from gwz_instrument.semconv import endpoints, health, http

_NOT_FAILED = Match(http.STATUS_CODE, "5..", "!~")


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="executive-overview-v1",
        title="Executive Overview",
        description="The gateway at a glance: requests, time, money, failures, and what is out of the ordinary.",
        folder=EXECUTIVE,
        variables=(filters.environment(),),
        refresh="30s",
        since="now-6h",
        rows=(
            Row(5, ((6, _active()), (6, _average()), (6, _cost()), (6, _error_rate()))),
            Row(8, ((24, _volume()),)),
            Row(8, ((12, _failures()), (12, overall_health(7)))),
            Row(8, ((12, _duration()), (12, _saturation()))),
            Row(6, ((24, anomalies(10, "Critical anomalies and alerts")),)),
        ),
    )


def _active() -> Panel:
    return number(
        1,
        "Active requests",
        "Requests that have arrived and are not answered yet.",
        "locale",
        promql_now(total(http.IN_PROGRESS, IN_ENVIRONMENT), "active"),
        links=(links.to_dashboard("Golden signals", links.SIGNALS_UID),),
    )


def _average() -> Panel:
    return number(
        2,
        "Average time of a model call (1 h)",
        "Mean time of the calls to models that ended in the last hour, streams to their last chunk.",
        "ms",
        json_query(endpoints.REALTIME, Column("avg_latency_ms", "Average"), params={"hours": 1}),
        steps=bad_from(5_000, 15_000),
        links=(links.to_dashboard("Which models", links.MODELS_UID),),
    )


def _cost() -> Panel:
    return number(
        3,
        "Cost (24 h)",
        "US dollars that the calls to models of the last 24 hours cost.",
        "currencyUSD",
        json_query(endpoints.REALTIME, Column("total_cost", "Cost"), params={"hours": 24}),
        links=(links.to_dashboard("Which providers", links.GATEWAY_UID),),
        decimals=2,
    )


def _error_rate() -> Panel:
    return number(
        4,
        "Model calls that failed (1 h)",
        "Share of the calls to models of the last hour that failed, after all fallbacks; what clients gave up does not count.",
        "percentunit",
        json_query(endpoints.REALTIME, Column("error_rate", "Failed"), params={"hours": 1}),
        steps=bad_from(0.05, 0.1),
        links=(links.to_lines(level="error|critical"), links.to_failed_traces()),
    )


def _volume() -> Panel:
    answered = rate(http.REQUESTS, IN_ENVIRONMENT, _NOT_FAILED)
    panel = over_time(
        5,
        "Request volume",
        "Requests that ended per second: answered, and failed with 5xx.",
        "reqps",
        promql(answered, "answered"),
        promql(or_zero(rate(http.REQUESTS, IN_ENVIRONMENT, FAILED), answered), "failed"),
        links=(links.to_lines(),),
    )
    return coloured(stacked(panel), {"answered": "blue", "failed": "red"})


def _failures() -> Panel:
    return pie(
        6,
        "Failed model calls by provider (24 h)",
        "Whose calls failed in the last 24 hours, by the provider that was asked last.",
        "locale",
        json_query(endpoints.REALTIME, Column("providers.*.failed_requests", "Failed"), params={"hours": 24}),
        name="provider",
        value="Failed",
        legend=("value", "percent"),
        nothing="None seen",
    )


def _duration() -> Panel:
    return over_time(
        8,
        "Duration of requests",
        "From a request's arrival to the last byte of its response. Each dot is one request: it leads to its trace.",
        "s",
        promql(quantile(0.5, http.DURATION, IN_ENVIRONMENT), "p50"),
        promql(quantile(0.95, http.DURATION, IN_ENVIRONMENT), "p95", exemplars=True),
        links=(links.to_lines(),),
    )


def _saturation() -> Panel:
    return over_time(
        9,
        "Saturation",
        "Processor and memory of the busiest process, as a share of what its container may use.",
        "percentunit",
        promql(highest(health.CPU, IN_ENVIRONMENT), "CPU"),
        promql(highest(health.MEMORY, IN_ENVIRONMENT), "memory"),
        steps=bad_from(0.8, 0.9),
        highest=1,
        links=(links.to_dashboard("Backend", links.BACKEND_UID),),
    )
