"""Metrics of the contract that no dashboard, rule or alert asks for, each with the reason why it is emitted all the same."""

from gwz_dashboards import recording
from gwz_dashboards.alerts import ALERTS_SHIPPED
from gwz_dashboards.common import finished
from gwz_dashboards.generate import pages
from gwz_dashboards.names import metric_names
from gwz_instrument.semconv import (
    Metric,
    business,
    cache,
    database,
    endpoints,
    health,
    http,
    inference,
    process,
    providers,
    stages,
)

_COUNTERS = (
    "The dashboards make it from counters, which add up over replicas; this is for readers of one process's /metrics."
)
_DETAIL = "Where a slow request is looked into, by hand: Explore, or a dashboard of one's own."
_BUSINESS = "Numbers of the business, for dashboards of one's own: those that ship show how the gateway is, not who pays for it."
_STANDARD = "Every Python process has it from prometheus_client; dashboards for that exist."

ORPHANS: dict[Metric, str] = {
    http.REQUEST_SIZE: "Looked at when a limit on bodies is chosen, not to see how the gateway is.",
    health.ITEMS: "What was delivered is what Loki, Tempo and Prometheus show; what was lost has a panel and an alert.",
    health.REFUSED: "Asked for when `_other` shows in a panel: the label's bound then has to be widened.",
    **dict.fromkeys(process.METRICS, _STANDARD),
    inference.PROVIDER_RESPONSE_TIME: "Single attempts; the panels show calls, which are what a client waits for.",
    providers.ANSWER_SECONDS: "The mean time of answers, for which the panels take quantiles.",
    **dict.fromkeys(
        (
            providers.AVAILABILITY,
            providers.ERROR_RATE,
            providers.HEALTH_SCORE,
            providers.MODEL_UPTIME,
            providers.TOKEN_EFFICIENCY,
            providers.DETECTED_ANOMALIES,
        ),
        _COUNTERS,
    ),
    **dict.fromkeys(database.METRICS, _DETAIL),
    **dict.fromkeys(stages.METRICS, _DETAIL),
    **dict.fromkeys(
        (cache.HITS, cache.MISSES, cache.SIZE), "Redis's own hit rate has a panel; a single cache is a detail."
    ),
    cache.REDIS_OPERATIONS: "Redis's own count of commands has a panel, and counts those of all processes.",
    cache.REDIS_POOL: "Looked at when the application waits longer for Redis than Redis takes, which a panel shows.",
    **dict.fromkeys(business.METRICS, _BUSINESS),
    endpoints.REQUESTS: "Who reads the JSON endpoints is Grafana itself.",
}


def asked() -> set[str]:
    """The name of every metric that a dashboard, a rule or an alert asks for."""
    expressions = [
        *(
            str(target.get("expr", ""))
            for page in pages()
            for panel in finished(page)["panels"]
            for target in panel.get("targets", [])
        ),
        *(rule.expression for rules in recording.GROUPS.values() for rule in rules),
        *(str(alert.ask(alert.timing).model.get("expr", "")) for alert in ALERTS_SHIPPED),
    ]
    return {name for expression in expressions for name in metric_names(expression)}
