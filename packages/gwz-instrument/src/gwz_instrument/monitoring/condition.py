"""How providers are doing: scores, availability, anomalies, breakers, failures."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from gwz_instrument.health import anomalies as rules
from gwz_instrument.health import scores
from gwz_instrument.health.anomalies import Period
from gwz_instrument.health.scores import Tally
from gwz_instrument.semconv import inference, providers

from . import models
from .pages import Calls, Page, calls_by, head, named, utc, whole
from .store import HOUR_S, Ask, Store, Sums, View

_PROVIDER, _STATUS = inference.PROVIDER.name, inference.STATUS.name
_ATTEMPTS: Final = Ask(providers.ATTEMPTS, (_PROVIDER, _STATUS))
_WORTH: Final = Ask(providers.ANSWER_WORTH, (_PROVIDER,))
_TALLIED: Final = (
    _ATTEMPTS,
    _WORTH,
    Ask(providers.ANSWER_SECONDS, (_PROVIDER,)),
    Ask(inference.CREDITS, (_PROVIDER,)),
)
_NOT_ASKED: Final[Sums] = {}
_BASELINE_PARTS: Final = 24
"""The baseline begins with the first of so many parts in which the provider was asked at all."""
_CRITICAL_RATE: Final = 0.25
_HEALTHY: Final = 80.0
_DEGRADED: Final = 50.0
_ALL_MODELS: Final = "all"


class Condition(NamedTuple):
    """How a provider is doing; None where nothing was judged."""

    score: float | None
    """0 to 100."""
    error_rate: float | None
    availability: float | None
    failures: float


def conditions(view: View) -> dict[str, Condition]:
    """The providers that were asked in a window."""
    seen = _tallies(*whole(view, _ATTEMPTS, _WORTH))
    return {provider: _condition(one) for provider, one in seen.items() if one.attempts}


def health(store: Store, health_window_s: float) -> Page:
    """`/api/monitoring/health`."""
    view = store.look(health_window_s)
    body = [_health(provider, one, view) for provider, one in sorted(conditions(view).items())]
    return Page(body, view.window)


def one_health(store: Store, provider: str, health_window_s: float) -> Page:
    """`/api/monitoring/health/{provider}`."""
    view = store.look(health_window_s)
    one = _health(provider, conditions(view).get(provider, Condition(None, None, None, 0.0)), view)
    return Page(models.OneProviderHealth(**head(store, view.window), **one.model_dump()), view.window)


def availability(store: Store, days: int) -> Page:
    """`/api/monitoring/providers/availability`."""
    view = store.look(days * 24 * HOUR_S)
    window, edges = view.window, view.window.hours
    (each_hour,) = view.increases((_ATTEMPTS,), edges)
    hours = [{key[0]: calls for key, calls in calls_by(sums).items()} for sums in each_hour]
    body = models.Availability(
        **head(store, window),
        days=days,
        providers={
            provider: _availability([hour.get(provider, Calls()) for hour in hours], view)
            for provider in sorted({provider for hour in hours for provider in hour})
        },
        series=[
            models.AvailabilityPoint(time=utc(start), provider=provider, availability=_is_available(calls))
            for start, hour in zip(edges, hours, strict=False)
            for provider, calls in sorted(hour.items())
        ],
    )
    return Page(body, window)


def anomalies(store: Store, window_s: float, baseline_s: float) -> Page:
    """`/api/monitoring/anomalies`."""
    view, before = store.look(window_s), store.look(baseline_s, before_s=window_s)
    window = view.window
    now = _tallies(*whole(view, *_TALLIED))
    found = [
        models.Anomaly(
            type=cast("models.Kind", kind),
            provider=provider,
            hour=utc(window.start),
            value=_shown(kind, figures.value),
            expected=_shown(kind, figures.expected),
            severity="critical" if kind == rules.ERROR_SURGE and figures.value > _CRITICAL_RATE else "warning",
        )
        for provider, baseline in sorted(_baselines(before).items())
        for period in (Period(window.end - window.start, now.get(provider, Tally())),)
        for kind in sorted(rules.anomalies(period, baseline))
        for figures in (rules.figures(kind, period, baseline),)
    ]
    critical = sum(one.severity == "critical" for one in found)
    body = models.Anomalies(
        **head(store, window),
        window_s=window_s,
        baseline_s=baseline_s,
        anomalies=found,
        total_count=len(found),
        critical_count=critical,
        warning_count=len(found) - critical,
    )
    return Page(body, window)


def breakers(store: Store, health_window_s: float) -> Page:
    """`/api/monitoring/circuit-breakers`."""
    view, found = store.look(health_window_s), store.breakers()
    seen = conditions(view)
    body = [
        models.Breaker(
            provider=provider,
            model=_ALL_MODELS,
            state=cast("models.State", state.upper()),
            failure_count=view.window.counted(seen[provider].failures if provider in seen else 0.0),
            is_available=state != providers.BREAKER_STATES[-1],
            last_updated=found.at,
        )
        for provider, state in sorted(found.states.items())
    ]
    return Page(body, view.window)


def failures(store: Store, provider: str, limit: int) -> Page:
    """`/api/monitoring/errors/{provider}`."""
    found = store.failures(provider, limit)
    body = [
        models.Failure(
            model=one.model,
            error=one.error[:500],
            timestamp=one.at,
            latency_ms=None if one.seconds is None else one.seconds * 1e3,
        )
        for one in found.found
    ]
    return Page(body, found.window)


def _tallies(statuses: Sums, worth: Sums, seconds: Sums = _NOT_ASKED, cost: Sums = _NOT_ASKED) -> dict[str, Tally]:
    """What each provider did, as far as it was asked: the answers to `_TALLIED`, or the first two of them."""
    calls = calls_by(statuses)
    names = sorted({*named(calls), *named(cost)})  # means are then the same to the last digit, whoever answers
    return {
        name: Tally(
            successes=(one := calls.get((name,), Calls())).good,
            failures=one.bad,
            given_up=one.total - one.good - one.bad,
            answering_s=seconds.get((name,), 0.0),
            worth=worth.get((name,), 0.0),
            cost=cost.get((name,), 0.0),
        )
        for name in names
    }


def _condition(seen: Tally) -> Condition:
    score = scores.score(seen)
    return Condition(
        None if score is None else score * 100, scores.error_rate(seen), scores.availability(seen), seen.failures
    )


def _health(provider: str, one: Condition, view: View) -> models.ProviderHealth:
    return models.ProviderHealth(
        provider=provider,
        health_score=one.score,
        status=status_of(one.score),
        error_rate=one.error_rate,
        availability=one.availability,
        last_updated=utc(view.window.end),
    )


def status_of(score: float | None) -> models.Status:
    """The word for a score of 0 to 100."""
    if score is None:
        return "unknown"
    return "healthy" if score >= _HEALTHY else "degraded" if score >= _DEGRADED else "unhealthy"


def _availability(hours: Sequence[Calls], view: View) -> models.ProviderAvailability:
    judged = [available for calls in hours if (available := _is_available(calls)) is not None]
    everything = Calls(*map(sum, zip(*hours, strict=True)))
    return models.ProviderAvailability(
        availability=sum(judged) / len(judged) if judged else None,
        success_rate=everything.success_rate,
        total_attempts=view.window.counted(everything.total),
        failed_attempts=view.window.counted(everything.bad),
        hours_available=view.window.counted(sum(judged)),
        hours_with_traffic=view.window.counted(len(judged)),
    )


def _is_available(calls: Calls) -> float | None:
    return scores.availability(Tally(successes=calls.good, failures=calls.bad))


def _baselines(view: View) -> Mapping[str, Period]:
    """What each provider did before the window, from when it was first asked."""
    start, end = view.window.start, view.window.end
    step = round((end - start) / _BASELINE_PARTS, 3)  # Prometheus counts in milliseconds
    edges = [*(round(start + number * step, 3) for number in range(_BASELINE_PARTS)), end]
    parts = [_tallies(*found) for found in zip(*view.increases(_TALLIED, edges), strict=True)]
    return {provider: _period(provider, parts, edges) for provider in {name for part in parts for name in part}}


def _period(provider: str, parts: Sequence[Mapping[str, Tally]], edges: Sequence[float]) -> Period:
    each = [part.get(provider, Tally()) for part in parts]
    first = next((number for number, seen in enumerate(each) if seen.attempts), len(each))
    return Period(edges[-1] - edges[first], Tally(*map(sum, zip(*each, strict=True))))


def _shown(kind: str, figure: float) -> float:
    """Milliseconds for a time."""
    return figure * 1e3 if kind == rules.LATENCY_SPIKE else figure
