"""The metrics of a gateway's day, made from the contract: which series there are, and what each says at every scrape."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Literal

from fastapi_app import catalog
from gwz_dashboards import redis_metrics, scrape_metrics, tempo_metrics
from gwz_instrument.semconv import (
    METRICS,
    Label,
    Metric,
    business,
    cache,
    database,
    health,
    http,
    inference,
    process,
    stages,
)
from gwz_instrument.semconv import providers as health_of

REQUESTS_PER_S = 1.0
"""On average; at noon half as many again, at midnight half as many."""
APP = "gateway"
TARGETS = {
    "gatewayz_production": "gateway:8000",
    "redis_exporter": "redis_exporter:9121",
    "prometheus": "localhost:9090",
    "loki": "loki:3100",
    "tempo": "tempo:3200",
    "grafana": "grafana:3000",
}
"""What stack/prometheus/prometheus.yml scrapes: job → instance."""
_DAY_S = 86_400
_AHEAD_S = 3600
"""Data go on for so long after the day was made: whoever asks asks for the last day as it is then."""
_OPENED = ("chat/completions", "messages", "responses", "images/generations")
_RESOURCES = (
    *("models", "providers", "gateways", "ranking", "catalog", "users", "keys", "plans", "trials", "payments"),
    *("subscriptions", "credits", "coupons", "referrals", "activity", "history", "sessions", "messages", "folders"),
    *("prompts", "images", "notifications", "roles", "audit"),
)
ROUTES = (
    *(("POST", f"/v1/{name}") for name in _OPENED),
    *(
        (method, f"/v1/{name}{rest}")
        for name in _RESOURCES
        for method, rest in (("GET", ""), ("POST", ""), ("GET", "/{item_id}"), ("DELETE", "/{item_id}"))
        if (method, f"{name}{rest}") != ("POST", "messages")
    ),
    ("GET", http.UNMATCHED),
)
"""A hundred: a third of those that the real gateway has."""
_OPEN: Mapping[Label, Sequence[str]] = {
    http.APP_NAME: (APP,),
    http.STATUS_CODE: ("200", "404", "429", "500", "502"),
    http.EXCEPTION_TYPE: ("RuntimeError", "TimeoutError", "ValueError"),
    health.METRIC: (http.REQUESTS.name, inference.REQUESTS.name),
    health.LABEL: ("path", "model"),
    process.VERSION: ("3.11.7",),
    process.IMPLEMENTATION: ("CPython",),
    process.MAJOR: ("3",),
    process.MINOR: ("11",),
    process.PATCHLEVEL: ("7",),
    inference.ENDPOINT: [f"/v1/{name}" for name in _OPENED[:2]],
    database.TABLE: [f"table_{number}" for number in range(43)],
    database.OPERATION: ("select", "insert", "update", "delete", "rpc"),
    cache.CACHE_NAME: [f"cache_{number}" for number in range(8)],
    cache.OPERATION: ("get", "set", "del", "incr", "expire", "hget", "hset", "pipeline"),
    stages.STAGE: ("auth_validation", "request_parsing", "request_preparation"),
    business.KEY_STATUS: ("valid", "invalid", "expired"),
    business.TRIAL_STATUS: ("active", "expired"),
    business.PLAN_TYPE: ("free", "pro", "max"),
    business.BILLING_CYCLE: ("monthly", "yearly"),
    business.CONNECTION_TYPE: ("http", "stream"),
    business.QUEUE_NAME: ("charges", "usage"),
    business.LIMIT_TYPE: ("requests", "tokens", "concurrency"),
    redis_metrics.DB: [f"db{number}" for number in range(16)],
    redis_metrics.POLICY: ("allkeys-lru",),
    redis_metrics.CMD: [f"command_{number}" for number in range(40)],
    tempo_metrics.SERVICE: (APP,),
    tempo_metrics.SPAN_NAME: [f"{method} {path}" for method, path in ROUTES],
    tempo_metrics.CLIENT: (APP, "user"),
    tempo_metrics.SERVER: (*catalog.PROVIDERS, APP, "redis", "postgrest"),
}
"""The values of labels that the contract does not list; those of providers and models are the size of a day."""
_STILL = {
    process.START_TIME: 1.7e9,
    redis_metrics.MEMORY_MAX: 512e6,
    redis_metrics.UP: 1.0,
    scrape_metrics.UP: 1.0,
    health_of.AVAILABILITY: 1.0,
}
"""Gauges that stand still; every other one moves with the traffic."""
_FULL = {redis_metrics.MEMORY_USED: 256e6, redis_metrics.KEYS: 1e4, process.RESIDENT_MEMORY: 256e6}
"""Gauges that are larger than one."""


@dataclass(frozen=True)
class Size:
    """How much there is: which providers serve which models, each all of them, how often they are scraped, for how long."""

    providers: tuple[str, ...] = catalog.PROVIDERS
    models: tuple[str, ...] = tuple(model.id for model in catalog.MODELS)
    interval_s: int = 60
    span_s: int = _DAY_S


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a counter grows with the requests, a gauge follows them or stands still, a heartbeat counts scrapes."""

    name: str
    labels: Mapping[str, str]
    moves: Literal["grows", "follows", "stands", "beats"]
    size: float

    @property
    def text(self) -> str:
        """The series as it is written before its value."""
        inside = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{inside}}}"


class Day:
    """The scrapes of a day up to `now`, a unix time, and of what comes then; what the gateway was asked by each of them."""

    def __init__(self, size: Size, now: int) -> None:
        start, interval_s = now - size.span_s, size.interval_s
        self.now = now
        self.times = range(start - start % interval_s, now + _AHEAD_S, interval_s)
        self.busy = [1 - math.cos(2 * math.pi * at / _DAY_S) / 2 for at in self.times]
        self.requests = list(accumulate(share * REQUESTS_PER_S * interval_s for share in self.busy))

    def values(self, series: Series, scrapes: range) -> list[str]:
        """What a series says at these scrapes, by their places in the day."""
        size = series.size
        match series.moves:
            case "grows":
                return [str(int(size * self.requests[place])) for place in scrapes]
            case "follows":
                return [f"{size * self.busy[place]:.6g}" for place in scrapes]
            case "beats":
                return [str(place + 1) for place in scrapes]
            case "stands":
                return [f"{size:.10g}"] * len(scrapes)


def every_series(size: Size) -> Iterator[Series]:
    """Every series that Prometheus has of a gateway, of its Redis and of what Tempo makes of its spans."""
    for metric in METRICS:
        yield from _of(metric, size, "gatewayz_production")
    for metric in redis_metrics.METRICS:
        yield from _of(metric, size, "redis_exporter")
    for metric in tempo_metrics.METRICS:  # written by Tempo, scraped by nobody
        yield from _of(metric, size, None)
    for job in TARGETS:
        yield from _of(scrape_metrics.UP, size, job)


def _of(metric: Metric, size: Size, job: str | None) -> Iterator[Series]:
    target = {} if job is None else {"job": job, "instance": TARGETS[job]}
    children = list(_children(metric, size))
    weights = [weight for _, weight in children]
    for labels, weight in children:
        share = weight / sum(weights)
        everything = {**labels, **target}
        if metric.kind == "histogram":
            yield from _histogram(metric, everything, share)
        elif metric.kind == "counter":
            yield Series(metric.name, everything, "beats" if _is_heartbeat(metric, labels) else "grows", share)
        elif metric in _STILL or metric.name.endswith("_info"):
            yield Series(metric.name, everything, "stands", _STILL.get(metric, 1.0))
        elif metric is health_of.BREAKER_STATE:
            is_closed = labels[health_of.STATE.name] == health_of.BREAKER_STATES[0]
            yield Series(metric.name, everything, "stands", float(is_closed))
        else:
            yield Series(metric.name, everything, "follows", _FULL.get(metric, 0.4))


def _histogram(metric: Metric, labels: Mapping[str, str], share: float) -> Iterator[Series]:
    """As many observations in each bucket as in any other."""
    bounds = [*(f"{bound:g}" if bound % 1 else f"{bound:.1f}" for bound in metric.buckets), "+Inf"]
    for place, bound in enumerate(bounds, 1):
        yield Series(f"{metric.name}_bucket", {**labels, "le": bound}, "grows", share * place / len(bounds))
    yield Series(f"{metric.name}_count", labels, "grows", share)
    yield Series(f"{metric.name}_sum", labels, "grows", share * metric.buckets[len(metric.buckets) // 2])


def _children(metric: Metric, size: Size) -> Iterator[tuple[dict[str, str], float]]:
    """The label values of each of a metric's series, and how often it is the one, beside the others."""
    apart = [label for label in metric.labels if label not in (http.METHOD, http.PATH)]
    choices = [_weighted(label, _values(label, size)) for label in apart]
    if len(apart) < len(metric.labels):
        choices.append(
            [({"method": method, "path": path}, 1 / place) for place, (method, path) in enumerate(ROUTES, 1)]
        )
    for chosen in product(*choices):
        labels = {name: value for given, _ in chosen for name, value in given.items()}
        yield labels, math.prod(weight for _, weight in chosen)


def _weighted(label: Label, values: Sequence[str]) -> list[tuple[dict[str, str], float]]:
    """The usual value comes first: of a closed set by far, as with the ways in which a call can end."""
    steep = 4 if label.values or label is http.STATUS_CODE else 1
    return [({label.name: value}, place**-steep) for place, value in enumerate(values, 1)]


def _values(label: Label, size: Size) -> Sequence[str]:
    sized = {inference.PROVIDER: size.providers, inference.MODEL: size.models}
    found = label.values or sized.get(label) or _OPEN.get(label)
    if not found:
        raise LookupError(f"the day has no values for the label {label.name} ({label.bound}): add some to {__name__}")
    return found


def _is_heartbeat(metric: Metric, labels: Mapping[str, str]) -> bool:
    """Whether it is by this counter that the JSON endpoints see how often a process was scraped."""
    return metric is health.ITEMS and set(labels.values()) == {"metrics", health.DELIVERED}
