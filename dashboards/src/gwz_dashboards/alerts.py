"""The alerts: each a template over window, `for` and interval, with the fault that makes it fire and a page on what to do.

Grafana evaluates them. They ask for counters, not for recording rules, so that one template can be tried with short windows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gwz_dashboards import queries, redis_metrics, scrape_metrics, tempo_metrics
from gwz_dashboards.common import ALERTS
from gwz_dashboards.json_queries import API_UID, JsonQuery, json_query
from gwz_dashboards.links import BACKEND_UID, FLOW_UID, GATEWAY_UID, LOGS_UID, MODELS_UID
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID
from gwz_dashboards.queries import (
    Match,
    grown,
    highest,
    line_count,
    lines,
    lowest,
    one_of,
    or_zero,
    quantile,
    rate,
    series,
    share,
)
from gwz_dashboards.scrape_metrics import INSTANCE, JOB
from gwz_instrument.semconv import Label, Metric, endpoints, health, http, inference, logs, providers

RUNBOOKS = "${GWZ_RUNBOOKS_URL:-https://github.com/Alpaca-Network/gatewayz-observability/blob/main/docs/runbooks}"
"""Where the pages are; who keeps them elsewhere says so to gwz-provision."""
SLO = 0.995
"""The share of the requests that shall not be answered with 5xx, over 30 days."""
GATEWAY_JOBS = "gatewayz_.+"

State = Literal["OK", "Alerting"]
Severity = Literal["critical", "warning"]

# Grafana's own defaults, written down so that what is read back equals what was sent.
_MODEL_DEFAULTS = {"intervalMs": 1000, "maxDataPoints": 43200}
_LOOKED_BACK_S = 600
"""The range that a query is given; those of Prometheus and Loki ask for its end and bring windows of their own."""


@dataclass(frozen=True)
class Timing:
    """What may differ between the rule that ships and the one that is tried."""

    window_s: int
    for_s: int
    interval_s: int = 60

    def divided(self, factor: int) -> "Timing":
        """The same rule, `factor` times as fast; a second is the least that the engines know, except for `for`."""
        return Timing(max(1, self.window_s // factor), self.for_s // factor, max(1, self.interval_s // factor))


@dataclass(frozen=True)
class Query:
    """One question to a data source; Loki's and Prometheus's for the end of the range."""

    datasource: str
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Alert:
    """A rule: what is asked, from which value on it fires, what to say, and what must break for it to fire."""

    slug: str
    title: str
    summary: str
    fault: str
    """What has to go wrong, in a sentence that a test can act on."""
    timing: Timing
    ask: Callable[[Timing], Query]
    fires: tuple[Literal["gt", "lt"], float]
    severity: Severity
    panel: tuple[str, int]
    """The dashboard and the id of the panel that show it; Grafana links to them."""
    missing: State = "OK"
    """What missing data and errors mean."""
    team: str = "gateway"

    @property
    def uid(self) -> str:
        """The uid, which is also the name of its page."""
        return f"gwz-{self.slug}"


def duration(seconds: int) -> str:
    """Write seconds as Grafana writes them back: `5m`, `1m30s`, `1h`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{left}s" if left else ""]
    return "".join(parts) or "0s"


def _promql(make: Callable[[str], str]) -> Callable[[Timing], Query]:
    """Ask Prometheus; `make` is given the window."""

    def ask(timing: Timing) -> Query:
        expression = make(duration(timing.window_s))
        return Query(PROMETHEUS_UID, {"expr": expression, "instant": True, "range": False})

    return ask


def _logql(make: Callable[[str], str]) -> Callable[[Timing], Query]:
    def ask(timing: Timing) -> Query:
        return Query(LOKI_UID, {"expr": make(duration(timing.window_s)), "queryType": "instant"})

    return ask


def _endpoint(query: JsonQuery) -> Callable[[Timing], Query]:
    """Ask an endpoint, whose window is its own."""
    # What Grafana keeps beside the model is not repeated in it.
    described = {key: value for key, value in query.to_json().items() if key not in {"refId", "datasource"}}
    return lambda _: Query(API_UID, described)


def _realtime(column: str) -> JsonQuery:
    built = json_query(endpoints.REALTIME, column, params={"hours": 1}).build()
    assert isinstance(built, JsonQuery)  # noqa: S101 - the builder's type does not say which query
    return built


_FAILED = Match(http.STATUS_CODE, "5..", "=~")
_SUCCEEDED = Match(providers.STATUS, "success")
_JUDGED = one_of(providers.STATUS, queries.JUDGED)
_ATTEMPT_FAILED = one_of(providers.STATUS, queries.FAILURES)
_SERVED = Match(tempo_metrics.SPAN_KIND, "SPAN_KIND_SERVER")
_OPEN = Match(providers.STATE, "open")
_MAY_EVICT = Match(redis_metrics.POLICY, "allkeys-.+", "=~")
_WINDOWS_OF_A_DAY = 288
"""Of five minutes each."""
_FALLEN = 0.5
"""The share of its hits of the day before that a cache keeps when it evicts what is asked for."""
_FEWEST = 5
"""Attempts in the window below which a share says nothing."""
_PROVIDERS = (JOB, inference.PROVIDER)


def _error_ratio(window: str) -> str:
    answered = rate(http.REQUESTS, by=(JOB,), window=window)
    return share(or_zero(rate(http.REQUESTS, _FAILED, by=(JOB,), window=window), answered, by=(JOB,)), answered)


def _burned(times: float, short: int) -> Callable[[Timing], Query]:
    """Ask whether the error budget burns `times` as fast as it may, over the window and over a part of it.

    The long window says that it matters, the short one that it still goes on.
    """

    def ask(timing: Timing) -> Query:
        both = (duration(timing.window_s), duration(max(1, timing.window_s // short)))
        limit = f"{times * (1 - SLO):.4g}"
        over = " and ".join(f"({_error_ratio(window)} > {limit})" for window in both)
        return Query(PROMETHEUS_UID, {"expr": over, "instant": True, "range": False})

    return ask


def _p95(metric: Metric, *by: Label) -> Callable[[str], str]:
    """Ask for a quantile where there is one: of nothing it is no number, which Grafana's thresholds take for an alarm."""
    return lambda window: f"{quantile(0.95, metric, by=by, window=window)} >= 0"


def _attempts(share_of: Match) -> Callable[[str], str]:
    def expression(window: str) -> str:
        judged = grown(providers.ATTEMPTS, _JUDGED, by=_PROVIDERS, window=window)
        part = grown(providers.ATTEMPTS, share_of, by=_PROVIDERS, window=window)
        return f"({or_zero(part, judged, by=_PROVIDERS)}) / ({judged} >= {_FEWEST})"

    return expression


def _was_open(window: str) -> str:
    opened = f"max_over_time({series(providers.BREAKER_STATE, _OPEN)}[{window}])"
    return f"max by ({inference.PROVIDER.name}) ({opened})"


def _spending(timing: Timing) -> Query:
    """Ask for the pace of spending in the window against that of the 24 windows before it, if there was spending so long ago.

    A rate over more than there is reads too low, and a new deployment would look like a spike.
    """
    window, before, first = (duration(times * timing.window_s) for times in (1, 24, 25))
    usual = f"sum by ({JOB.name}) (rate({series(inference.CREDITS)}[{before}] offset {window}))"
    expression = share(rate(inference.CREDITS, by=(JOB,), window=window), usual)
    known = f"count by ({JOB.name}) ({series(inference.CREDITS)} offset {first})"
    over = f"{expression} and on({JOB.name}) {known}"
    return Query(PROMETHEUS_UID, {"expr": over, "instant": True, "range": False})


def _untraced(window: str) -> str:
    """Requests that were served in the window, if no span of a server came with them."""
    served = f"sum(increase({series(http.REQUESTS)}[{window}])) > 10"
    spans = f"sum(increase({series(tempo_metrics.SPAN_CALLS, _SERVED)}[{window}])) > 0"
    return f"({served}) unless ({spans})"


def _lost(window: str) -> str:
    by = (health.SIGNAL, health.REASON)
    return grown(health.DROPPED, by=by, window=window)


def _hit_share(window: str, offset: str = "") -> str:
    hits, misses = (
        f"sum(rate({series(metric)}[{window}]{offset}))" for metric in (redis_metrics.HITS, redis_metrics.MISSES)
    )
    return share(hits, f"{hits} + {misses}")


def _short_of_memory(timing: Timing) -> Query:
    """Ask for the share of its memory that Redis holds, unless it may make room and nobody misses what had to go.

    A cache that may evict every key is full by and by, and well: until it evicts what is asked for.
    """
    window, day = (duration(times * timing.window_s) for times in (1, _WINDOWS_OF_A_DAY))
    evicts = f"{rate(redis_metrics.EVICTED, window=window)} > 0"
    misses = f"{_hit_share(window)} < {_FALLEN} * {_hit_share(day, f' offset {window}')}"
    may_evict = f"count({series(redis_metrics.INSTANCE, _MAY_EVICT)})"
    held = share(highest(redis_metrics.MEMORY_USED), highest(redis_metrics.MEMORY_MAX))
    return Query(
        PROMETHEUS_UID,
        {
            "expr": f"{held} unless ({may_evict} unless ({evicts} and {misses}))",
            "instant": True,
            "range": False,
        },
    )


def _redis_answers(_window: str) -> str:
    scraped = lowest(scrape_metrics.UP, Match(JOB, "redis_exporter"))
    return f"{lowest(redis_metrics.UP)} or {scraped}"


ALERTS_SHIPPED: tuple[Alert, ...] = (
    Alert(
        slug="health-score-low",
        title="Health score low",
        summary='🚨 CRITICAL: System health score has fallen below 30%! It is {{ printf "%.1f" $values.B.Value }}.',
        fault="Most attempts at most providers fail, until the mean health score is below 30.",
        timing=Timing(window_s=300, for_s=300),
        ask=_endpoint(_realtime("avg_health_score")),
        fires=("lt", 30),
        severity="critical",
        panel=(BACKEND_UID, 1),
    ),
    Alert(
        slug="api-down",
        title="API down",
        summary="The gateway's API does not answer Grafana.",
        fault="The application ends, or its JSON endpoints answer with an error.",
        timing=Timing(window_s=60, for_s=120),
        # A field that every answer has, and whose value is known: what fires is that there is none.
        ask=_endpoint(_realtime("hours")),
        fires=("lt", 1),
        severity="critical",
        panel=(BACKEND_UID, 1),
        missing="Alerting",
    ),
    Alert(
        slug="error-rate-high",
        title="Error rate high",
        summary="{{ humanizePercentage $values.B.Value }} of the requests to {{ $labels.job }} are answered with 5xx.",
        fault="More than 10 % of the requests are answered with 5xx.",
        timing=Timing(window_s=300, for_s=300),
        ask=_promql(_error_ratio),
        fires=("gt", 0.1),
        severity="critical",
        panel=(LOGS_UID, 2),
    ),
    Alert(
        slug="latency-high",
        title="Latency high",
        summary="95 % of the requests to {{ $labels.job }} take up to {{ humanizeDuration $values.B.Value }}.",
        fault="More than 5 % of the requests take longer than 10 seconds.",
        timing=Timing(window_s=300, for_s=300),
        ask=_promql(_p95(http.DURATION, JOB)),
        fires=("gt", 10),
        severity="warning",
        panel=(LOGS_UID, 3),
    ),
    Alert(
        slug="availability-burn-fast",
        title="Availability burns fast",
        summary="{{ $labels.job }} spends its error budget 14.4 times as fast as it may: all of it in two days.",
        fault="More than 7.2 % of the requests of an hour, and of its last five minutes, are answered with 5xx.",
        timing=Timing(window_s=3600, for_s=120),
        ask=_burned(14.4, short=12),
        fires=("gt", 0),
        severity="critical",
        panel=(LOGS_UID, 2),
    ),
    Alert(
        slug="availability-burn-slow",
        title="Availability burns slowly",
        summary="{{ $labels.job }} spends its error budget six times as fast as it may: all of it in five days.",
        fault="More than 3 % of the requests of six hours, and of the last half hour, are answered with 5xx.",
        timing=Timing(window_s=21600, for_s=900),
        ask=_burned(6, short=12),
        fires=("gt", 0),
        severity="warning",
        panel=(LOGS_UID, 2),
    ),
    Alert(
        slug="provider-down",
        title="Provider down",
        summary="{{ $labels.provider }} answers only {{ humanizePercentage $values.B.Value }} of its attempts.",
        fault="Fewer than half of the attempts at one provider succeed, at least five in the window.",
        timing=Timing(window_s=300, for_s=120),
        ask=_promql(_attempts(_SUCCEEDED)),
        fires=("lt", 0.5),
        severity="critical",
        panel=(GATEWAY_UID, 9),
        team="providers",
    ),
    Alert(
        slug="provider-errors",
        title="Provider errors",
        summary="{{ humanizePercentage $values.B.Value }} of the attempts at {{ $labels.provider }} fail.",
        fault="More than 30 % of the attempts at one provider fail, at least five in the window.",
        timing=Timing(window_s=900, for_s=600),
        ask=_promql(_attempts(_ATTEMPT_FAILED)),
        fires=("gt", 0.3),
        severity="warning",
        panel=(GATEWAY_UID, 9),
        team="providers",
    ),
    Alert(
        slug="breaker-open",
        title="Circuit breaker open",
        summary="The circuit breaker of {{ $labels.provider }} was open within the last minutes.",
        fault="Five attempts in a row at one provider fail.",
        timing=Timing(window_s=300, for_s=0),
        ask=_promql(_was_open),
        fires=("gt", 0),
        severity="warning",
        panel=(BACKEND_UID, 4),
        team="providers",
    ),
    Alert(
        slug="first-byte-slow",
        title="First byte slow",
        summary="{{ $labels.provider }} takes up to {{ humanizeDuration $values.B.Value }} to the first byte of its answers.",
        fault="More than 5 % of one provider's answers begin later than 3 seconds after the call.",
        timing=Timing(window_s=300, for_s=300),
        ask=_promql(_p95(inference.BACKEND_TTFB, *_PROVIDERS)),
        fires=("gt", 3),
        severity="warning",
        panel=(MODELS_UID, 7),
        team="providers",
    ),
    Alert(
        slug="streams-slow",
        title="Streams slow",
        summary="{{ $labels.provider }} takes up to {{ humanizeDuration $values.B.Value }} from a stream's first chunk to its last.",
        fault="More than 5 % of one provider's streams take longer than 30 seconds from first chunk to last.",
        timing=Timing(window_s=300, for_s=300),
        ask=_promql(_p95(inference.STREAMING_DURATION, *_PROVIDERS)),
        fires=("gt", 30),
        severity="warning",
        panel=(GATEWAY_UID, 7),
        team="providers",
    ),
    Alert(
        slug="redis-down",
        title="Redis down",
        summary="Redis, or its exporter, does not answer.",
        fault="Redis ends, or its exporter does.",
        timing=Timing(window_s=60, for_s=120),
        ask=_promql(_redis_answers),
        fires=("lt", 1),
        severity="critical",
        panel=(BACKEND_UID, 8),
        team="platform",
    ),
    Alert(
        slug="redis-memory-high",
        title="Redis memory high",
        summary="Redis holds {{ humanizePercentage $values.B.Value }} of the memory that it may: it cannot make room, or evicts what is asked for.",
        fault="Redis holds more than 90 % of its maxmemory and may not evict every key, or it evicts and look-ups hit half as often as in the day before.",
        timing=Timing(window_s=300, for_s=300),
        ask=_short_of_memory,
        fires=("gt", 0.9),
        severity="warning",
        panel=(BACKEND_UID, 9),
        team="platform",
    ),
    Alert(
        slug="event-loop-lag",
        title="Event loop lags",
        summary="The event loop of {{ $labels.instance }} was blocked for {{ humanizeDuration $values.B.Value }}.",
        fault="Something blocks the event loop of a process for more than 500 milliseconds, again and again.",
        timing=Timing(window_s=60, for_s=300),
        ask=_promql(lambda _: highest(health.LOOP_LAG, by=(JOB, INSTANCE))),
        fires=("gt", 0.5),
        severity="warning",
        panel=(BACKEND_UID, 7),
    ),
    Alert(
        slug="cost-spike",
        title="Cost spike",
        summary="{{ $labels.job }} spends {{ humanize $values.B.Value }} times as much as on average of the day before.",
        fault="The money of an hour is more than twice that of an average hour of the day before.",
        timing=Timing(window_s=3600, for_s=900),
        ask=_spending,
        fires=("gt", 2),
        severity="warning",
        panel=(GATEWAY_UID, 8),
    ),
    Alert(
        slug="target-not-scraped",
        title="Target not scraped",
        summary="Prometheus does not scrape the gateway {{ $labels.instance }}, or does not answer Grafana.",
        fault="The application's /metrics does not answer Prometheus, or Prometheus does not answer Grafana.",
        timing=Timing(window_s=60, for_s=180),
        ask=_promql(lambda _: lowest(scrape_metrics.UP, Match(JOB, GATEWAY_JOBS, "=~"), by=(JOB, INSTANCE))),
        fires=("lt", 1),
        severity="critical",
        panel=(BACKEND_UID, 6),
        missing="Alerting",
        team="platform",
    ),
    Alert(
        slug="no-logs",
        title="No logs",
        summary="No line of any application has reached Loki within the window, or Loki does not answer Grafana.",
        fault="The application cannot push lines to Loki, or Loki does not answer Grafana.",
        timing=Timing(window_s=900, for_s=300),
        ask=_logql(lambda window: line_count(lines(Match(logs.APP, ".+", "=~")), window=window)),
        fires=("lt", 1),
        severity="critical",
        panel=(LOGS_UID, 5),
        missing="Alerting",
        team="platform",
    ),
    Alert(
        slug="no-traces",
        title="No traces",
        summary='{{ printf "%.0f" $values.B.Value }} requests were served, and no span of them has reached Tempo.',
        fault="Requests are served while no span reaches Tempo, or Tempo's generator cannot write to Prometheus.",
        timing=Timing(window_s=900, for_s=300),
        ask=_promql(_untraced),
        fires=("gt", 0),
        severity="critical",
        panel=(FLOW_UID, 9),
        team="platform",
    ),
    Alert(
        slug="telemetry-lost",
        title="Telemetry lost",
        summary="Telemetry of the signal {{ $labels.signal }} was given up, {{ humanize $values.B.Value }} in number: {{ $labels.reason }}.",
        fault="An exporter gives up lines, spans or scrapes.",
        timing=Timing(window_s=600, for_s=0),
        ask=_promql(_lost),
        fires=("gt", 0),
        severity="warning",
        panel=(FLOW_UID, 13),
        team="platform",
    ),
)


def rule(alert: Alert, timing: Timing | None = None) -> dict[str, Any]:
    """Describe a rule as Grafana's provisioning API takes it and gives it back."""
    timing = timing or alert.timing
    operator, limit = alert.fires
    dashboard, panel = alert.panel
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": "C",
        "for": duration(timing.for_s),
        "noDataState": alert.missing,
        "execErrState": alert.missing,
        "isPaused": False,
        "labels": {"severity": alert.severity, "team": alert.team},
        "annotations": {
            "summary": alert.summary,
            "runbook_url": f"{RUNBOOKS}/{alert.uid}.md",
            "__dashboardUid__": dashboard,
            "__panelId__": str(panel),
            "fault": alert.fault,
        },
        "data": [
            _asked(alert.ask(timing)),
            _expression("B", {"type": "reduce", "expression": "A", "reducer": "last"}),
            _expression(
                "C",
                {
                    "type": "threshold",
                    "expression": "B",
                    "conditions": [{"evaluator": {"type": operator, "params": [limit]}}],
                },
            ),
        ],
    }


def alert_files(factor: int = 1) -> dict[str, dict[str, Any]]:
    """Describe the rule groups, one for each team, by the name of their file; `factor` times as fast as they ship."""
    groups: dict[str, list[Alert]] = {}
    for alert in ALERTS_SHIPPED:
        groups.setdefault(f"gwz-{alert.team}", []).append(alert)
    return {
        f"{name}.json": {
            "groups": [
                {
                    "name": name,
                    "folder": ALERTS.uid,
                    "interval": duration(_interval(name, members, factor)),
                    "rules": [rule(alert, alert.timing.divided(factor)) for alert in members],
                }
            ]
        }
        for name, members in groups.items()
    }


def _interval(name: str, members: list[Alert], factor: int) -> int:
    intervals = {alert.timing.divided(factor).interval_s for alert in members}
    if len(intervals) != 1:
        raise ValueError(f"{name}: a group has one interval, its rules want {sorted(intervals)}: give them one.")
    return intervals.pop()


def _asked(query: Query) -> dict[str, Any]:
    model = {"refId": "A", **_MODEL_DEFAULTS, **query.model}
    return {
        "refId": "A",
        "datasourceUid": query.datasource,
        "queryType": str(query.model.get("queryType", "")),
        "relativeTimeRange": {"from": _LOOKED_BACK_S, "to": 0},
        "model": model,
    }


def _expression(ref_id: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """A step that Grafana computes itself."""
    return {
        "refId": ref_id,
        "datasourceUid": "__expr__",
        "queryType": "",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": ref_id, **_MODEL_DEFAULTS, **model},
    }
