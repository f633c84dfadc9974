"""Panels that stand on more than one dashboard."""

from gwz_dashboards import links
from gwz_dashboards.filters import IN_ENVIRONMENT
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import ORANGE, RED, Panel, Shown, dial, good_from, rows
from gwz_dashboards.queries import Match, or_zero, parsed, rate, share, written
from gwz_instrument.semconv import endpoints, http, logs

FAILED = Match(http.STATUS_CODE, "5..", "=~")
HEALTH = good_from(60, 80)
"""Of scores from 0 to 100."""

_KINDS = {
    "cost_spike": ("Cost spike", "text"),
    "error_surge": ("Error surge", "text"),
    "latency_spike": ("Latency spike", "text"),
    "unusual_pattern": ("Unusual pattern", "text"),
}
_SEVERITIES = {"critical": ("CRITICAL", RED), "warning": ("WARNING", ORANGE)}


def overall_health(id_: int) -> Panel:
    """The score that the alert `gwz-health-score-low` reads."""
    return dial(
        id_,
        "Overall health",
        "Mean health score of the providers with traffic in the last five minutes, 0 to 100: red below 60, green from 80. "
        "Below 30 it alerts. Without traffic nothing is known.",
        "none",
        json_query(endpoints.REALTIME, Column("avg_health_score", "Health score"), params={"hours": 1}),
        steps=HEALTH,
        highest=100,
        decimals=0,
        links=(links.to_dashboard("Which providers", links.GATEWAY_UID),),
        nothing="No traffic",
    )


def anomalies(id_: int, title: str) -> Panel:
    """Where providers depart from their own baseline, now."""
    return rows(
        id_,
        title,
        "Providers that cost, fail, lag or are asked much more than in the day before, seen in the last hour. "
        "Value and expectation are dollars, failures per attempt, milliseconds or attempts, by the kind.",
        json_query(
            endpoints.ANOMALIES,
            Column("anomalies[].severity", "Severity"),
            Column("anomalies[].type", "Kind"),
            Column("anomalies[].provider", "Provider"),
            Column("anomalies[].value", "Value"),
            Column("anomalies[].expected", "Expected"),
            Column("anomalies[].hour", "Since"),
        ),
        shown={
            "Severity": Shown(values=_SEVERITIES, width=120),
            "Kind": Shown(values=_KINDS),
            "Provider": Shown(links=(links.to_dashboard("Compare", links.GATEWAY_UID, provider="${__value.raw}"),)),
            "Value": Shown(unit="short"),
            "Expected": Shown(unit="short"),
        },
        order=("Severity", "Kind", "Provider", "Value", "Expected", "Since"),
        nothing="No anomalies: every provider is as it was in the day before",
    )


def request_errors(*matches: Match) -> str:
    """The share of the requests that were answered with 5xx; 0 when none was, nothing without requests."""
    answered = rate(http.REQUESTS, IN_ENVIRONMENT, *matches)
    return share(or_zero(rate(http.REQUESTS, IN_ENVIRONMENT, FAILED, *matches), answered), answered)


def readable(selected: str, condition: str = "") -> str:
    """Write what the JSON line says for people; its details keep the fields."""
    fields = (logs.PROVIDER, logs.MODEL, logs.ERROR_TYPE, logs.LOGGER)
    read = parsed(selected, logs.MESSAGE, *fields, logs.PATH, logs.STATUS_CODE, logs.DURATION_MS, logs.EXCEPTION)
    return written(f"{read} {condition}".rstrip(), logs.MESSAGE, *fields, last=logs.EXCEPTION)
