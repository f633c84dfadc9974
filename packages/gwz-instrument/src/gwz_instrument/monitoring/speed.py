"""How long calls take."""

from collections import Counter
from collections.abc import Iterable, Mapping

from gwz_instrument.semconv import inference

from . import models
from .pages import Page, head, latency, utc, whole
from .quantiles import Buckets, by_group
from .store import HOUR_S, Ask, Store, Sums, Window

_PROVIDER, _MODEL = inference.PROVIDER.name, inference.MODEL.name


def trends(store: Store, provider: str, hours: int) -> Page:
    """`/api/monitoring/latency-trends/{provider}`."""
    view = store.look(hours * HOUR_S)
    window, edges = view.window, view.window.hours
    each_hour = [_read(found) for found in zip(*view.increases(_asks((_PROVIDER, provider)), edges), strict=True)]
    buckets, seconds = _added(each_hour)
    overall = latency(buckets, seconds)
    body = models.LatencyTrends(
        **head(store, window),
        **overall,
        provider=provider,
        hours=hours,
        count=_count(buckets, window),
        overall_avg_latency_ms=overall["avg_latency_ms"],
        overall_p95_latency_ms=overall["p95_latency"],
        hourly_data=[_point(start, *hour, window) for start, hour in zip(edges, each_hour, strict=False)],
    )
    return Page(body, window)


def of_model(store: Store, provider: str, model: str, hours: int) -> Page:
    """`/api/monitoring/latency/{provider}/{model}`."""
    view = store.look(hours * HOUR_S)
    buckets, seconds = _read(whole(view, *_asks((_PROVIDER, provider), (_MODEL, model))))
    found = latency(buckets, seconds)
    body = models.Latency(
        **head(store, view.window),
        provider=provider,
        model=model,
        hours=hours,
        count=_count(buckets, view.window),
        avg=found["avg_latency_ms"],
        p50=found["p50_latency"],
        p95=found["p95_latency"],
        p99=found["p99_latency"],
    )
    return Page(body, view.window)


def _asks(*where: tuple[str, str]) -> tuple[Ask, Ask]:
    return Ask(inference.DURATION, (), "bucket", where), Ask(inference.DURATION, (), "sum", where)


def _read(found: "tuple[Sums, ...] | list[Sums]") -> tuple[Buckets, float]:
    buckets, seconds = found
    return by_group(buckets).get((), {}), sum(seconds.values())


def _added(each: Iterable[tuple[Buckets, float]]) -> tuple[Buckets, float]:
    """All hours together."""
    total: Counter[float] = Counter()
    seconds = 0.0
    for buckets, took in each:
        total.update(buckets)
        seconds += took
    return total, seconds


def _count(buckets: Buckets, window: Window) -> int | None:
    return window.counted(buckets[max(buckets)] if buckets else 0.0)


def _point(start: float, buckets: Buckets, seconds: float, window: Window) -> models.LatencyPoint:
    found: Mapping[str, float | None] = latency(buckets, seconds)
    return models.LatencyPoint(
        hour=utc(start),
        count=_count(buckets, window),
        avg_latency_ms=found["avg_latency_ms"],
        p50_latency_ms=found["p50_latency"],
        p95_latency_ms=found["p95_latency"],
        p99_latency_ms=found["p99_latency"],
    )
