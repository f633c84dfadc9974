"""Faults in what is asked: PromQL, LogQL, TraceQL, and questions to JSON endpoints."""

import re
from collections.abc import Callable
from copy import deepcopy

from gwz_dashboards import recording
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID
from gwz_e2e.panels.boards import Json, Query
from gwz_instrument.semconv import endpoints, health, http, inference

Change = Callable[[Query], Query | None]
"""Makes a query wrong; None where it does not apply."""


def first_replaced(pattern: str, by: str | Callable[[re.Match[str]], str], *kinds: str) -> Change:
    """Replace the first match in the question."""

    def change(query: Query) -> Query | None:
        name = "expr" if "expr" in query.target else "query"
        if query.kind not in (kinds or ("prometheus",)) or name not in query.target:
            return None
        return query.asking(**{name: re.sub(pattern, by, query.target[name], count=1)})

    return change


def all_replaced(pattern: str, by: str, *kinds: str) -> Change:
    """Replace all matches in the question."""

    def change(query: Query) -> Query | None:
        name = "expr" if "expr" in query.target else "query"
        if query.kind not in (kinds or ("prometheus",)) or name not in query.target:
            return None
        return query.asking(**{name: re.sub(pattern, by, query.target[name])})

    return change


def wrapped(before: str, after: str) -> Change:
    def change(query: Query) -> Query | None:
        return query.asking(expr=f"{before}{query.target['expr']}{after}") if query.kind == "prometheus" else None

    return change


def instead(expression: str) -> Change:
    return lambda query: query.asking(expr=expression) if query.kind == "prometheus" else None


_SIBLINGS = {
    http.EXCEPTIONS.name: http.REQUESTS.name,
    http.REQUESTS.name: endpoints.REQUESTS.name,
    http.IN_PROGRESS.name: http.REQUESTS.name,
    http.DURATION.name: inference.DURATION.name,
    inference.REQUESTS.name: "gatewayz_provider_attempts_total",
    inference.DURATION.name: inference.PROVIDER_RESPONSE_TIME.name,
    inference.FIRST_CHUNK.name: inference.STREAMING_DURATION.name,
    inference.TOKENS.name: inference.CREDITS.name,
    health.CPU.name: health.MEMORY.name,
    health.MEMORY.name: health.CPU.name,
    health.LOOP_LAG.name: health.CPU.name,
    health.DROPPED.name: health.ITEMS.name,
    "redis_keyspace_hits_total": "redis_keyspace_misses_total",
    "redis_keyspace_misses_total": "redis_keyspace_hits_total",
    "redis_memory_used_bytes": "redis_memory_max_bytes",
    "redis_commands_processed_total": "redis_keyspace_hits_total",
    "redis_db_keys": "redis_keyspace_hits_total",
    recording.FAILED.metric.name: recording.JUDGED.metric.name,
    recording.CALL_P95.metric.name: recording.ATTEMPTS_FAILED.metric.name,
    recording.COST_RATE.metric.name: recording.ATTEMPTS_FAILED.metric.name,
    recording.ATTEMPTS_FAILED.metric.name: recording.HEALTH_SCORE.metric.name,
    recording.OVERALL_HEALTH.metric.name: recording.REQUESTS_FAILED.metric.name,
    recording.REQUESTS_FAILED.metric.name: recording.OVERALL_HEALTH.metric.name,
}
"""A metric that one may take for another."""


def other_metric(query: Query) -> Query | None:
    for name, other in _SIBLINGS.items():
        if query.kind == "prometheus" and re.search(rf"(?<![\w:]){name}(?![a-z:])", query.target["expr"]):
            return query.asking(expr=re.sub(rf"(?<![\w:]){name}(?=_bucket|{{)", other, query.target["expr"]))
    return None


def unless_shares(change: Change) -> Change:
    """Where a share is taken, of calls or of a whole, what scales both sides alike is no fault."""

    def apply(query: Query) -> Query | None:
        text = query.target.get("expr", "")
        return None if "histogram_quantile" in text or " / " in text else change(query)

    return apply


def condition_gone(label: str) -> Change:
    return all_replaced(rf'(?:, )?{label}(?:=~|!~|=|!=)"[^"]*"(?:, (?=\w))?', "", "prometheus", "loki")


def other_quantile(found: re.Match[str]) -> str:
    return f"histogram_quantile({ {'0.5': '0.95', '0.95': '0.5', '0.99': '0.9'}[found[1]] }"


def grouping_gone(query: Query) -> Query | None:
    return first_replaced(
        r" by \((?!le\))[^)]*\)",
        lambda found: " by (le)" if "le" in found[0].split("(")[1].rstrip(")").split(", ") else "",
        "prometheus",
        "loki",
    )(query)


def swapped(query: Query) -> Query | None:
    """The share of the whole in the part."""
    if query.kind != "prometheus" or ") / (" not in query.target["expr"]:
        return None
    part, whole = query.target["expr"].split(") / (", 1)
    return query.asking(expr=f"({whole.removesuffix(' > 0)')}) / {part})")


_FIELDS = {
    "avg_latency_ms": "p95_latency",
    "p50_latency": "p99_latency",
    "p95_latency": "p50_latency",
    "p99_latency": "p50_latency",
    "total_cost": "total_requests",
    "cost_per_request": "total_cost",
    "error_rate": "success_rate",
    "success_rate": "error_rate",
    "failed_requests": "total_requests",
    "total_errors": "total_requests",
    "total_requests": "failed_requests",
    "requests": "failed_requests",
    "avg_health_score": "success_rate",
    "health_score": "error_rate",
    "availability": "success_rate",
    "failure_count": "last_updated",
    "status": "provider",
    "state": "provider",
    "model": "provider",
}


def of_column(change: Callable[[Json], Json | None]) -> Change:
    """Change the first column of a JSON query that can be changed."""

    def apply(query: Query) -> Query | None:
        columns = deepcopy(query.target.get("columns") or [])
        for place, column in enumerate(columns):
            if (changed := change(column)) is not None:
                columns[place] = changed
                return query.asking(columns=columns)
        return None

    return apply


def other_field(column: Json) -> Json | None:
    other = _FIELDS.get(column["selector"])
    return {**column, "selector": other} if other else None


def field_gone(column: Json) -> Json | None:
    return {**column, "selector": f"{column['selector']}s"} if column["type"] == "number" else None


def as_text(column: Json) -> Json | None:
    return {**column, "type": "string"} if column["type"] == "number" else None


def as_milliseconds(column: Json) -> Json | None:
    return {**column, "type": "timestamp_epoch"} if column["type"] == "timestamp_epoch_s" else None


def renamed(column: Json) -> Json | None:
    return {**column, "text": f"{column['text']}s"}


def parameter(name: str, value: str) -> Change:
    def change(query: Query) -> Query | None:
        options = deepcopy(query.target.get("url_options") or {})
        for one in options.get("params", []):
            if one["key"] == name:
                one["value"] = value
                return query.asking(url_options=options)
        return None

    return change


_PATHS = {
    endpoints.REALTIME.path: endpoints.AVAILABILITY.path,
    endpoints.COSTS.path: endpoints.AVAILABILITY.path,
    endpoints.HEALTH.path: endpoints.BREAKERS.path,
    endpoints.BREAKERS.path: endpoints.HEALTH.path,
    endpoints.AVAILABILITY.path: endpoints.COSTS.path,
    endpoints.TRENDING.path: endpoints.TOKENS.path,
    endpoints.ANOMALIES.path: f"{endpoints.ANOMALIES.path}s",
}


def other_path(query: Query) -> Query | None:
    return query.asking(url=_PATHS[query.target["url"]]) if "url" in query.target else None


def other_root(query: Query) -> Query | None:
    if "root_selector" not in query.target:
        return None
    root = query.target["root_selector"]
    return query.asking(root_selector=root.replace("providers", "models") if root else "provider")


def simple_parser(query: Query) -> Query | None:
    return query.asking(parser="simple") if "parser" in query.target else None


def other_source(query: Query) -> Query | None:
    others = {"prometheus": ("loki", LOKI_UID), "loki": ("prometheus", PROMETHEUS_UID)}
    if query.kind not in others:
        return None
    kind, uid = others[query.kind]
    return query.asking(datasource={"type": kind, "uid": uid})


def legend(query: Query) -> Query | None:
    legend = str(query.target.get("legendFormat", ""))
    return query.asking(legendFormat=re.sub(r"\{\{\w+\}\}", "{{nothing}}", legend)) if "{{" in legend else None
