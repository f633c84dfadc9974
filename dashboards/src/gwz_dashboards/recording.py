"""Recording rules: what several panels, replicas or alerts need, computed once by Prometheus and read as a metric.

They are named `level:metric:operation`: the labels that are left, what it is made of, what was done in which window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gwz_dashboards import queries
from gwz_dashboards.queries import Match, grown, one_of, or_zero, quantile, rate, series, share
from gwz_dashboards.scrape_metrics import JOB
from gwz_instrument.semconv import Label, Metric, http, inference, providers

WINDOW = "5m"
"""As `Settings.health_window_s`: so the health score of a rule and of the JSON endpoints are of the same time."""

_RULES = "recording rule"
_FAILED = Match(http.STATUS_CODE, "5..", "=~")
_PROVIDERS = (JOB, inference.PROVIDER)


@dataclass(frozen=True)
class Recorded:
    """A recording rule: the metric that it makes, and of what."""

    metric: Metric
    expression: str


def _recorded(name: str, unit: str, labels: Sequence[Label], brief: str, expression: str) -> Recorded:
    return Recorded(Metric(name, "gauge", unit, tuple(labels), brief, _RULES), expression)


def _requests_failed() -> str:
    answered = rate(http.REQUESTS, by=(JOB,), window=WINDOW)
    return share(or_zero(rate(http.REQUESTS, _FAILED, by=(JOB,), window=WINDOW), answered, by=(JOB,)), answered)


def _of_judged(part: Recorded) -> str:
    """Have zero for a provider that was asked and has no such series: one that never succeeded has no worth."""
    return or_zero(series(part.metric), series(JUDGED.metric), by=_PROVIDERS)


REQUESTS_FAILED = _recorded(
    "job:fastapi_requests:error_ratio5m",
    "1",
    (JOB,),
    "Share of the requests that were answered with 5xx; none without requests.",
    _requests_failed(),
)
WORTH = _recorded(
    "job_provider:gatewayz_provider_answer_worth:grown5m",
    "1",
    _PROVIDERS,
    "What the answers of the provider are worth.",
    grown(providers.ANSWER_WORTH, by=_PROVIDERS, window=WINDOW),
)
JUDGED = _recorded(
    "job_provider:gatewayz_provider_attempts_judged:grown5m",
    "{attempt}",
    _PROVIDERS,
    "Attempts that the provider itself ended, well or badly.",
    grown(providers.ATTEMPTS, one_of(providers.STATUS, queries.JUDGED), by=_PROVIDERS, window=WINDOW),
)
FAILED = _recorded(
    "job_provider:gatewayz_provider_attempts_failed:grown5m",
    "{attempt}",
    _PROVIDERS,
    "Attempts that the provider failed.",
    grown(providers.ATTEMPTS, one_of(providers.STATUS, queries.FAILURES), by=_PROVIDERS, window=WINDOW),
)
HEALTH_SCORE = _recorded(
    "job_provider:gatewayz_provider_health_score:ratio5m",
    "1",
    _PROVIDERS,
    "Health score of the provider, 0 to 1, as `gwz_instrument.health.scores.score` defines it; none without attempts.",
    # Sums may be a rounding error above 1.
    f"clamp_max({share(_of_judged(WORTH), series(JUDGED.metric))}, 1)",
)
OVERALL_HEALTH = _recorded(
    "job:gatewayz_provider_health_score:avg5m",
    "1",
    (JOB,),
    "Mean of the providers' health scores, 0 to 1.",
    f"avg by ({JOB.name}) ({series(HEALTH_SCORE.metric)})",
)
ATTEMPTS_FAILED = _recorded(
    "job_provider:gatewayz_provider_attempts:error_ratio5m",
    "1",
    _PROVIDERS,
    "Share of the attempts at the provider that failed; none without attempts.",
    share(_of_judged(FAILED), series(JUDGED.metric)),
)
CALL_P95 = _recorded(
    "job_provider:model_inference_duration_seconds:p95_5m",
    "s",
    _PROVIDERS,
    "Seconds within which 95 % of the calls that the provider answered last were over.",
    quantile(0.95, inference.DURATION, by=_PROVIDERS, window=WINDOW),
)
COST_RATE = _recorded(
    "job_provider:gatewayz_cost_by_provider:rate5m",
    "{USD}/s",
    _PROVIDERS,
    "US dollars per second that the provider is paid.",
    rate(inference.COST, by=_PROVIDERS, window=WINDOW),
)

GROUPS: dict[str, tuple[Recorded, ...]] = {
    "gwz-http": (REQUESTS_FAILED,),
    # Within a group one after the other: a rule may read what those before it have just written.
    "gwz-providers": (WORTH, JUDGED, FAILED, HEALTH_SCORE, OVERALL_HEALTH, ATTEMPTS_FAILED, CALL_P95, COST_RATE),
}
"""The groups, each with its rules in the order in which they are computed."""

METRICS = tuple(rule.metric for rules in GROUPS.values() for rule in rules)


def rule_files() -> dict[str, dict[str, Any]]:
    """Describe the rule files as Prometheus reads them, by name."""
    return {
        f"{name}.yml": {
            "groups": [
                {"name": name, "rules": [{"record": rule.metric.name, "expr": rule.expression} for rule in rules]}
            ]
        }
        for name, rules in GROUPS.items()
    }
