"""When a provider departs from its own baseline, which never contains what is judged by it; and how often that is counted."""

from math import sqrt
from typing import Final, NamedTuple

from gwz_instrument.semconv import providers

from .scores import Tally, error_rate

COST_SPIKE, ERROR_SURGE, LATENCY_SPIKE, UNUSUAL_PATTERN = providers.ANOMALIES

LEAST_SEEN: Final = 10.0
"""A window with fewer attempts is chance."""
LEAST_BASELINE: Final = 20.0
"""And so is a baseline with fewer."""
FACTOR: Final = 2.0
"""So many times its baseline makes a spike."""
LEAST_ERROR_RATE: Final = 0.1
LEAST_FAILURES: Final = 5.0
DEVIATIONS: Final = 3.0
"""So many standard deviations a surge is above the failures that the baseline lets expect."""
TRAFFIC_FACTOR: Final = 4.0
"""Traffic doubles and halves by the time of day; this is more than that."""


class Period(NamedTuple):
    """What a provider did in a time of so many seconds."""

    seconds: float
    seen: Tally


def anomalies(window: Period, baseline: Period) -> frozenset[str]:
    """The departures of `window` from `baseline`, the time before it: none while the baseline is the shorter one, or thin."""
    if baseline.seconds < window.seconds or baseline.seen.attempts < LEAST_BASELINE:
        return frozenset()
    found = {UNUSUAL_PATTERN} if _is_unusual(window, baseline) else set()
    if window.seen.attempts >= LEAST_SEEN:
        found |= {kind for kind, holds in _SPIKES.items() if holds(window, baseline)}
    return frozenset(found)


def _is_unusual(window: Period, baseline: Period) -> bool:
    """Four times the traffic, or a quarter of it."""
    seen, usual = window.seen.attempts, baseline.seen.attempts * window.seconds / baseline.seconds
    return max(seen, usual) >= LEAST_BASELINE and not usual / TRAFFIC_FACTOR <= seen <= usual * TRAFFIC_FACTOR


def _is_cost_spike(window: Period, baseline: Period) -> bool:
    """Twice the money for the same time."""
    usual = baseline.seen.cost * window.seconds / baseline.seconds
    return 0.0 < usual * FACTOR < window.seen.cost


def _is_latency_spike(window: Period, baseline: Period) -> bool:
    """Answers that take twice as long, on average."""
    seen, usual = window.seen, baseline.seen
    if seen.successes < LEAST_SEEN or usual.successes < LEAST_SEEN or not usual.answering_s:
        return False
    return seen.answering_s / seen.successes > FACTOR * usual.answering_s / usual.successes


def _is_error_surge(window: Period, baseline: Period) -> bool:
    """Every tenth attempt fails, twice as many as usual, and more than chance explains."""
    rate, usual_rate = error_rate(window.seen), error_rate(baseline.seen)
    if rate is None or usual_rate is None or window.seen.failures < LEAST_FAILURES:
        return False
    usual = usual_rate * window.seen.judged
    surplus = window.seen.failures - usual
    return rate > max(LEAST_ERROR_RATE, FACTOR * usual_rate) and surplus > DEVIATIONS * sqrt(usual)


_SPIKES: Final = {COST_SPIKE: _is_cost_spike, ERROR_SURGE: _is_error_surge, LATENCY_SPIKE: _is_latency_spike}


class Figures(NamedTuple):
    """What an anomaly is told from: the window's number and the baseline's, in dollars, seconds, shares or attempts."""

    value: float
    expected: float


def figures(kind: str, window: Period, baseline: Period) -> Figures:
    """The numbers behind an anomaly that `anomalies` has found."""
    seen, usual, share = window.seen, baseline.seen, window.seconds / baseline.seconds
    if kind == COST_SPIKE:
        return Figures(seen.cost, usual.cost * share)
    if kind == ERROR_SURGE:
        return Figures(error_rate(seen) or 0.0, error_rate(usual) or 0.0)
    if kind == LATENCY_SPIKE:
        return Figures(seen.answering_s / seen.successes, usual.answering_s / usual.successes)
    return Figures(seen.attempts, usual.attempts * share)


class Alarm(NamedTuple):
    """One kind of anomaly of one provider: whether it goes on, and the slot in which one was last counted."""

    goes_on: bool = False
    counted: int | None = None


def begins(alarm: Alarm, *, seen: bool, slot: int, window_slots: int) -> bool:
    """Whether an anomaly that is seen at `slot` is to be counted: when it begins, and at most once in a window."""
    return seen and not alarm.goes_on and (alarm.counted is None or slot - alarm.counted >= window_slots)


def after(alarm: Alarm, *, seen: bool, slot: int, window_slots: int) -> Alarm:
    """The alarm once `slot` was judged."""
    counted = slot if begins(alarm, seen=seen, slot=slot, window_slots=window_slots) else alarm.counted
    return Alarm(goes_on=seen, counted=counted)
