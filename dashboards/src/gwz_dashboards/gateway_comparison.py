"""Gateway & Provider Comparison: which provider is well, what each costs for what it delivers, and how that moved."""

from gwz_dashboards import filters, links, recording
from gwz_dashboards.common import GATEWAY, Page, Row
from gwz_dashboards.filters import AT_PROVIDER, IN_ENVIRONMENT
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    Bubbles,
    Panel,
    Shown,
    bad_from,
    bars,
    bubbles,
    good_from,
    over_time,
    pie,
    promql,
    promql_rows,
    rows,
    stacked,
    tiles,
)
from gwz_dashboards.queries import highest, legend, quantile, total
from gwz_dashboards.shared_panels import HEALTH
from gwz_instrument.semconv import endpoints, inference, spans

_STATUSES = {
    "healthy": ("HEALTHY", GREEN),
    "degraded": ("DEGRADED", ORANGE),
    "unhealthy": ("UNHEALTHY", RED),
    "unknown": ("NO TRAFFIC", "text"),
}
_SUCCESS = good_from(0.9, 0.95)
_TO_MODELS = links.to_dashboard("Models", links.MODELS_UID, provider="${__field.labels.provider}")
_TO_TRACES = links.to_traces("Traces", spans.PROVIDER, "${__field.labels.provider}")
_OF_SERIES = (_TO_MODELS, _TO_TRACES)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid=links.GATEWAY_UID,
        title="Gateway & Provider Comparison",
        description="The providers side by side: health, traffic, money, latency. The tables hold all providers, the lines the chosen ones.",
        folder=GATEWAY,
        variables=(filters.environment(), filters.provider()),
        refresh="60s",
        since="now-24h",
        rows=(
            Row(8, ((24, _grid()),)),
            Row(19, ((8, _scores()), (16, _matrix()))),
            Row(13, ((10, _worth()), (7, _requests()), (7, _cost()))),
            Row(9, ((24, _latency()),)),
            Row(9, ((12, _cost_trend()), (12, _failures()))),
        ),
    )


def _grid() -> Panel:
    return tiles(
        1,
        "Provider health",
        "Each provider by its health score of the last five minutes: HEALTHY from 80, DEGRADED from 50, UNHEALTHY below; "
        "NO TRAFFIC is none of them.",
        json_query(endpoints.HEALTH, "[].provider", "[].status"),
        name="provider",
        value="status",
        values=_STATUSES,
        nothing="No provider was asked in five minutes",
    )


def _scores() -> Panel:
    return bars(
        2,
        "Health score",
        "Mean worth of the attempts of the last five minutes, 0 to 100: a failure is worth nothing, a slow answer less.",
        "none",
        json_query(endpoints.HEALTH, "[].provider", Column("[].health_score", "Health score")),
        steps=HEALTH,
        highest=100,
        rows_of=("provider",),
        nothing="No provider was asked in five minutes",
    )


def _matrix() -> Panel:
    day = {"hours": 24}
    p95 = quantile(0.95, inference.DURATION, IN_ENVIRONMENT, by=(inference.PROVIDER,), window="1h")
    return rows(
        3,
        "Comparison (24 h)",
        "Calls, failures and cost of 24 hours, health of five minutes, p95 of the last hour. Uptime: hours in which at least "
        "half of the attempts were answered, of those with traffic.",
        json_query(
            endpoints.REALTIME,
            Column("providers.*.health_score", "Health"),
            Column("providers.*.total_requests", "Calls"),
            Column("providers.*.error_rate", "Failed"),
            Column("providers.*.total_cost", "Cost"),
            params=day,
        ),
        json_query(endpoints.AVAILABILITY, Column("providers.*.availability", "Uptime"), params={"days": 1}),
        promql_rows(p95),
        shown={
            "provider": Shown(
                links=(links.to_dashboard("Models", links.MODELS_UID, provider="${__value.raw}"),), title="Provider"
            ),
            "Health": Shown(unit="none", steps=HEALTH, width=75),
            "Calls": Shown(unit="locale", width=75),
            "Failed": Shown(unit="percentunit", steps=bad_from(0.05, 0.1), width=85),
            "Cost": Shown(unit="currencyUSD", width=85),
            "Uptime": Shown(unit="percentunit", steps=_SUCCESS, width=85),
            "Value": Shown(unit="s", title="p95", width=90),
        },
        order=("provider", "Health", "Calls", "Failed", "Value", "Uptime", "Cost"),
        sorted_by="Calls",
        joined_by="provider",
        nothing="No traffic in 24 hours",
    )


def _worth() -> Panel:
    return bubbles(
        4,
        "Cost against reliability (24 h)",
        "A bubble for each provider: to the right it costs more, higher up it fails less, large it is asked more. "
        "Best are the large ones at the top left.",
        json_query(
            endpoints.REALTIME,
            Column("providers.*.total_cost", "Cost"),
            Column("providers.*.success_rate", "Success"),
            # Fields come in the order of their names, and Grafana 11.0 ignores the size if it is the first of them.
            Column("providers.*.total_requests", "Requests"),
            params={"hours": 24},
        ),
        fields=Bubbles(x="Cost", y="Success", size="Requests", colour="Success"),
        units={"Cost": "currencyUSD", "Success": "percentunit", "Requests": "locale"},
        steps=_SUCCESS,
        nothing="No traffic in 24 hours",
    )


def _requests() -> Panel:
    return pie(
        5,
        "Calls by provider (24 h)",
        "Calls to models that ended in the last 24 hours, by the provider that was asked last.",
        "locale",
        json_query(endpoints.REALTIME, Column("providers.*.total_requests", "Calls"), params={"hours": 24}),
        name="provider",
        value="Calls",
        ring=True,
        nothing="No traffic in 24 hours",
    )


def _cost() -> Panel:
    return pie(
        6,
        "Cost by provider (7 d)",
        "US dollars of the last seven days, by the provider that was paid.",
        "currencyUSD",
        json_query(endpoints.COSTS, Column("providers.*.total_cost", "Cost"), params={"days": 7}),
        name="provider",
        value="Cost",
        nothing="No traffic in seven days",
    )


def _latency() -> Panel:
    return over_time(
        7,
        "Latency by provider, p95",
        "Seconds within which 95 % of the calls were over that the provider answered last, over five minutes.",
        "s",
        promql(
            highest(recording.CALL_P95.metric, IN_ENVIRONMENT, AT_PROVIDER, by=(inference.PROVIDER,)),
            legend(inference.PROVIDER),
        ),
        links=_OF_SERIES,
        legend_right=True,
    )


def _cost_trend() -> Panel:
    spent = total(recording.COST_RATE.metric, IN_ENVIRONMENT, AT_PROVIDER, by=(inference.PROVIDER,))
    return stacked(
        over_time(
            8,
            "Cost per hour by provider",
            "What the provider would be paid in an hour at the pace of the last five minutes.",
            "currencyUSD",
            promql(f"3600 * {spent}", legend(inference.PROVIDER)),
            links=_OF_SERIES,
            legend_right=True,
        )
    )


def _failures() -> Panel:
    return over_time(
        9,
        "Failed attempts by provider",
        "Share of the attempts that the provider failed over five minutes, those hidden by a fallback included.",
        "percentunit",
        promql(
            highest(recording.ATTEMPTS_FAILED.metric, IN_ENVIRONMENT, AT_PROVIDER, by=(inference.PROVIDER,)),
            legend(inference.PROVIDER),
        ),
        steps=bad_from(0.1, 0.5),
        highest=1,
        links=(links.to_lines(search="${__field.labels.provider}", level="error|critical"), *_OF_SERIES),
        legend_right=True,
    )
