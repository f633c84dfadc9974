"""Model Performance Analytics: which models are asked for, which have issues, what they cost, how fast they are."""

from gwz_dashboards import filters, links
from gwz_dashboards.common import MODELS, Page, Row
from gwz_dashboards.filters import AT_PROVIDER, IN_ENVIRONMENT, OF_MODEL
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import (
    Panel,
    Query,
    Shown,
    bad_from,
    coloured,
    over_time,
    promql,
    rows,
    stacked,
)
from gwz_dashboards.queries import legend, quantile, rate
from gwz_instrument.semconv import endpoints, inference, spans

_CHOSEN = (IN_ENVIRONMENT, AT_PROVIDER, OF_MODEL)
_BY_MODEL = (inference.MODEL,)
_MODEL = Column("data[].model", "Model")
_PROVIDER = Column("data[].provider", "Provider")
_WHO = {
    "Model": Shown(links=(links.to_dashboard("This model", links.MODELS_UID, model="${__value.raw}"),)),
    "Provider": Shown(
        links=(links.to_dashboard("This provider", links.GATEWAY_UID, provider="${__value.raw}"),), width=155
    ),
}
_SHARE = Shown(unit="percentunit", steps=bad_from(0.05, 0.1), width=90)
_OF_SERIES = (links.to_traces("Traces", spans.MODEL, "${__field.labels.model}"),)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid=links.MODELS_UID,
        title="Model Performance Analytics",
        description="The models side by side, each at the provider that answered. The tables hold all of them, the lines the chosen ones.",
        folder=MODELS,
        variables=(filters.environment(), filters.provider(), filters.model()),
        refresh="60s",
        since="now-24h",
        rows=(
            Row(8, ((12, _top()), (12, _issues()))),
            Row(9, ((24, _volume()),)),
            Row(9, ((12, _cost()), (12, _percentiles()))),
            Row(13, ((12, _latency()), (12, _first_chunk()))),
            Row(9, ((24, _tokens()),)),
        ),
    )


def _trending(*columns: Column, limit: int, sort_by: str) -> Query:
    params = {"limit": limit, "sort_by": sort_by, "time_range": "24h"}
    return json_query(endpoints.TRENDING, _MODEL, _PROVIDER, *columns, params=params)


def _top() -> Panel:
    return rows(
        1,
        "Top 5 models (24 h)",
        "The five models, each at a provider, that were asked for most in the last 24 hours.",
        _trending(
            Column("data[].requests", "Calls"),
            Column("data[].success_rate", "Success"),
            limit=5,
            sort_by="requests",
        ),
        shown={
            **_WHO,
            "Calls": Shown(unit="locale", bar=True, width=140),
            "Success": Shown(unit="percentunit", width=80),
        },
        order=("Model", "Provider", "Calls", "Success"),
        nothing="No traffic in 24 hours",
    )


def _issues() -> Panel:
    return rows(
        2,
        "Models with issues (24 h)",
        "The models, each at a provider, most of whose calls failed in the last 24 hours; the share turns red from 10 %.",
        _trending(
            Column("data[].failed_requests", "Failed"),
            Column("data[].error_rate", "Share"),
            Column("data[].p95_latency", "p95"),
            limit=10,
            sort_by="errors",
        ),
        shown={
            **_WHO,
            "Failed": Shown(unit="locale", width=80),
            "Share": _SHARE,
            "p95": Shown(unit="ms", steps=bad_from(10_000, 30_000), width=90),
        },
        order=("Model", "Provider", "Failed", "Share", "p95"),
        nothing="No traffic in 24 hours",
    )


def _volume() -> Panel:
    return stacked(
        over_time(
            3,
            "Calls by model",
            "Calls per second that ended, however they ended.",
            "reqps",
            promql(rate(inference.REQUESTS, *_CHOSEN, by=_BY_MODEL), legend(inference.MODEL)),
            links=_OF_SERIES,
            legend_right=True,
        )
    )


def _cost() -> Panel:
    return rows(
        4,
        "Cost per call (24 h)",
        "The fifteen models, each at a provider, that cost most in the last 24 hours: what a call cost, and all of them.",
        _trending(
            Column("data[].cost_per_request", "Per call"),
            Column("data[].total_cost", "Total"),
            limit=15,
            sort_by="cost",
        ),
        shown={
            **_WHO,
            "Per call": Shown(unit="currencyUSD", bar=True, decimals=5, width=140),
            "Total": Shown(unit="currencyUSD", width=80),
        },
        order=("Model", "Provider", "Per call", "Total"),
        sorted_by="Per call",
        nothing="No traffic in 24 hours",
    )


def _percentiles() -> Panel:
    panel = over_time(
        5,
        "Latency distribution",
        "Seconds within which half, 95 % and 99 % of the chosen calls were over. Each dot is one call: it leads to its trace.",
        "s",
        promql(quantile(0.5, inference.DURATION, *_CHOSEN), "p50"),
        promql(quantile(0.95, inference.DURATION, *_CHOSEN), "p95"),
        promql(quantile(0.99, inference.DURATION, *_CHOSEN), "p99", exemplars=True),
        links=(links.to_lines(),),
    )
    return coloured(panel, {"p50": "green", "p95": "orange", "p99": "red"})


def _latency() -> Panel:
    return over_time(
        6,
        "Latency by model, p95",
        "Seconds within which 95 % of the model's calls were over.",
        "s",
        promql(quantile(0.95, inference.DURATION, *_CHOSEN, by=_BY_MODEL), legend(inference.MODEL)),
        links=_OF_SERIES,
    )


def _first_chunk() -> Panel:
    return over_time(
        7,
        "Time to the first chunk by model, p95",
        "How long those who asked for a stream wait for its beginning.",
        "s",
        promql(quantile(0.95, inference.FIRST_CHUNK, *_CHOSEN, by=_BY_MODEL), legend(inference.MODEL)),
        links=_OF_SERIES,
    )


def _tokens() -> Panel:
    return over_time(
        8,
        "Tokens",
        "Tokens per second that the chosen models were given and produced; estimated ones are those that no provider reported.",
        "short",
        promql(rate(inference.TOKENS, *_CHOSEN, by=(inference.TOKEN_TYPE,)), legend(inference.TOKEN_TYPE)),
        legend_right=True,
    )
