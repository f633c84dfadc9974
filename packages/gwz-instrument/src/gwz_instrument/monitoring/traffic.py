"""Calls, failures and tokens: what was asked of whom, and what became of it."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from gwz_instrument.semconv import inference

from . import models
from .condition import conditions
from .pages import (
    CALLS,
    Calls,
    Page,
    Tokens,
    all_calls,
    all_tokens,
    calls_by,
    head,
    hour_key,
    latency,
    mean,
    named,
    ratio,
    tokens_by,
    traffic,
    utc,
    whole,
)
from .quantiles import Buckets, by_group
from .store import HOUR_S, Ask, Store, Sums, Window

PROVIDER, MODEL = inference.PROVIDER.name, inference.MODEL.name
_STATUS, _TYPE = inference.STATUS.name, inference.TOKEN_TYPE.name
RANGES_S: Final = {"1h": HOUR_S, "24h": 24 * HOUR_S, "7d": 168 * HOUR_S, "30d": 720 * HOUR_S}
EVERYBODY: Final = "all"


def realtime(store: Store, hours: int, health_window_s: float) -> Page:
    """`/api/monitoring/stats/realtime`."""
    view = store.look(hours * HOUR_S)
    window, edges = view.window, view.window.hours
    each_hour = _hours(view.increases(_hourly(), edges))
    buckets, seconds = whole(view, Ask(inference.DURATION, (), "bucket"), Ask(inference.DURATION, (), "sum"))
    scores = {provider: one.score for provider, one in conditions(store.look(health_window_s)).items()}
    calls = all_calls(hour.all_calls for hour in each_hour)
    tokens = all_tokens(hour.all_tokens for hour in each_hour)
    known = [score for score in scores.values() if score is not None]
    body = models.Realtime(
        **head(store, window),
        **traffic(calls, window),
        **latency(by_group(buckets).get((), {}), sum(seconds.values())),
        hours=hours,
        providers={
            provider: _provider(each_hour, edges, provider, window, scores.get(provider))
            for provider in sorted(scores.keys() | {provider for hour in each_hour for provider in hour.seen})
        },
        total_errors=window.counted(calls.bad),
        tokens_input=window.counted(tokens.given),
        tokens_output=window.counted(tokens.produced),
        total_cost=window.amount(sum(hour.all_cost for hour in each_hour)),
        avg_health_score=sum(known) / len(known) if known else None,
        series=[_point(hour, start, window) for hour, start in zip(each_hour, edges, strict=False)],
    )
    return Page(body, window)


def hourly(store: Store, provider: str, hours: int) -> Page:
    """`/api/monitoring/stats/hourly/{provider}`."""
    view = store.look(hours * HOUR_S)
    edges = view.window.hours
    each_hour = _hours(view.increases(_hourly(((PROVIDER, provider),)), edges))
    data = _breakdown(each_hour, edges, provider, view.window)
    return Page(models.Hourly(**head(store, view.window), provider=provider, hours=hours, data=data), view.window)


def error_rates(store: Store, hours: int) -> Page:
    """`/api/monitoring/error-rates`."""
    view = store.look(hours * HOUR_S)
    window = view.window
    (sums,) = whole(view, Ask(CALLS, (MODEL, PROVIDER, _STATUS)))
    by_pair = calls_by(sums)
    found = {model: all_calls(calls for key, calls in by_pair.items() if key[0] == model) for model in named(by_pair)}
    ranked = sorted(found.items(), key=lambda item: (-(item[1].error_rate or 0.0), -item[1].bad, item[0]))
    everything = all_calls(found.values())
    body = models.ErrorRates(
        **head(store, window),
        **traffic(everything, window),
        hours=hours,
        total_errors=window.counted(everything.bad),
        models={
            model: models.ModelErrors(
                **traffic(calls, window), providers=sorted({key[1] for key in by_pair if key[0] == model})
            )
            for model, calls in ranked
        },
    )
    return Page(body, window)


def trending(store: Store, limit: int, sort_by: models.Sort, time_range: models.Range, gateway: str) -> Page:
    """`/v1/models/trending`."""
    view = store.look(RANGES_S[time_range])
    window = view.window
    where = () if gateway == EVERYBODY else ((PROVIDER, gateway),)
    by = (MODEL, PROVIDER)
    statuses, types, dollars, buckets, seconds = whole(
        view,
        Ask(CALLS, (*by, _STATUS), where=where),
        Ask(inference.TOKENS, (*by, _TYPE), where=where),
        Ask(inference.CREDITS, by, where=where),
        Ask(inference.DURATION, by, "bucket", where),
        Ask(inference.DURATION, by, "sum", where),
    )
    calls, tokens, groups = calls_by(statuses), tokens_by(types), by_group(buckets)
    found = [
        _Leader(
            key,
            calls.get(key, Calls()),
            tokens.get(key, Tokens()),
            dollars.get(key, 0.0),
            groups.get(key, {}),
            seconds.get(key, 0.0),
        )
        for key in calls.keys() | tokens.keys()
    ]
    found.sort(key=lambda one: (-_RANKS[sort_by](one), -one.calls.total, one.pair))
    rows = [_trending(one, window) for one in found[:limit]]
    body = models.Trending(
        **head(store, window),
        success=True,
        data=rows,
        count=len(rows),
        gateway=gateway,
        time_range=time_range,
        sort_by=sort_by,
    )
    return Page(body, window)


def tokens(store: Store, hours: int) -> Page:
    """`/api/tokens/efficiency`."""
    view = store.look(hours * HOUR_S)
    window = view.window
    statuses, types, dollars = whole(
        view, Ask(CALLS, (MODEL, _STATUS)), Ask(inference.TOKENS, (MODEL, _TYPE)), Ask(inference.CREDITS, (MODEL,))
    )
    calls, each = calls_by(statuses), tokens_by(types)
    body = models.TokenEfficiency(
        **head(store, window),
        **_tokens(all_tokens(each.values()), all_calls(calls.values()), sum(dollars.values()), window),
        hours=hours,
        models={
            key[0]: models.TokenCounts(
                **_tokens(each.get(key, Tokens()), calls.get(key, Calls()), dollars.get(key, 0.0), window)
            )
            for key in sorted(calls.keys() | each.keys())
        },
    )
    return Page(body, window)


class _Leader(NamedTuple):
    """What a model did at a provider."""

    pair: tuple[str, ...]
    calls: Calls
    tokens: Tokens
    dollars: float
    buckets: Buckets
    seconds: float


def _trending(one: _Leader, window: Window) -> models.TrendingModel:
    model, provider = one.pair
    return models.TrendingModel(
        **traffic(one.calls, window),
        **latency(one.buckets, one.seconds),
        model=model,
        provider=provider,
        gateway=provider,
        requests=window.counted(one.calls.total),
        total_tokens=window.counted(one.tokens.total),
        total_cost=window.amount(one.dollars),
        cost_per_request=ratio(one.dollars, one.calls.total),
        avg_speed=ratio(one.tokens.produced, one.seconds),
    )


class _Hour:
    """What was counted in one hour, by provider."""

    def __init__(self, statuses: Sums, types: Sums, dollars: Sums) -> None:
        self.calls = {key[0]: calls for key, calls in calls_by(statuses).items()}
        self.tokens = {key[0]: tokens for key, tokens in tokens_by(types).items()}
        self.cost = {key[0]: amount for key, amount in dollars.items()}
        self.all_calls = all_calls(self.calls.values())
        self.all_tokens = all_tokens(self.tokens.values())
        self.all_cost = sum(self.cost.values())
        self.seen = self.calls.keys() | self.tokens.keys()

    def of(self, provider: str, window: Window) -> models.HourOfProvider:
        """The row of one provider."""
        calls, tokens = self.calls.get(provider, Calls()), self.tokens.get(provider, Tokens())
        return models.HourOfProvider(
            total_requests=window.counted(calls.total),
            successful_requests=window.counted(calls.good),
            failed_requests=window.counted(calls.bad),
            tokens_input=window.counted(tokens.given),
            tokens_output=window.counted(tokens.produced),
            total_cost=window.amount(self.cost.get(provider, 0.0)),
        )


def _hourly(where: tuple[tuple[str, str], ...] = ()) -> tuple[Ask, Ask, Ask]:
    return (
        Ask(CALLS, (PROVIDER, _STATUS), where=where),
        Ask(inference.TOKENS, (PROVIDER, _TYPE), where=where),
        Ask(inference.CREDITS, (PROVIDER,), where=where),
    )


def _hours(found: Sequence[Sequence[Sums]]) -> list[_Hour]:
    return [_Hour(*sums) for sums in zip(*found, strict=True)]


def _provider(
    each_hour: Sequence[_Hour], edges: Sequence[float], provider: str, window: Window, score: float | None
) -> models.ProviderStats:
    calls = all_calls(hour.calls.get(provider, Calls()) for hour in each_hour)
    return models.ProviderStats(
        **traffic(calls, window),
        total_cost=window.amount(sum(hour.cost.get(provider, 0.0) for hour in each_hour)),
        health_score=score,
        hourly_breakdown=_breakdown(each_hour, edges, provider, window),
    )


def _breakdown(
    each_hour: Sequence[_Hour], edges: Sequence[float], provider: str, window: Window
) -> dict[str, models.HourOfProvider]:
    """The hours in which there was anything."""
    return {
        hour_key(start): hour.of(provider, window)
        for hour, start in zip(each_hour, edges, strict=False)
        if provider in hour.seen
    }


def _point(hour: _Hour, start: float, window: Window) -> models.Point:
    return models.Point(
        **traffic(hour.all_calls, window),
        time=utc(start),
        tokens_input=window.counted(hour.all_tokens.given),
        tokens_output=window.counted(hour.all_tokens.produced),
        total_cost=window.amount(hour.all_cost),
    )


def _tokens(tokens: Tokens, calls: Calls, dollars: float, window: Window) -> dict[str, Any]:
    return {
        "tokens_input": window.counted(tokens.given),
        "tokens_output": window.counted(tokens.produced),
        "tokens_total": window.counted(tokens.total),
        "tokens_estimated": window.counted(tokens.estimated),
        "total_requests": window.counted(calls.total),
        "total_cost": window.amount(dollars),
        "output_per_input_ratio": ratio(tokens.produced, tokens.given),
        "tokens_per_request": ratio(tokens.total, calls.total),
        "cost_per_request": ratio(dollars, calls.total),
        "cost_per_token": ratio(dollars, tokens.total),
    }


_RANKS: Final[dict[str, Callable[[_Leader], float]]] = {
    "requests": lambda one: one.calls.total,
    "tokens": lambda one: one.tokens.total,
    "cost": lambda one: one.dollars,
    "errors": lambda one: one.calls.bad,
    "latency": lambda one: mean(one.seconds, one.buckets) or 0.0,
}
"""What comes first has most of it: with errors and latency these are the models with issues."""
