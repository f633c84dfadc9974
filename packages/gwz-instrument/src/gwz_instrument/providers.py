"""The health of providers and models, from the attempts that end here; it refuses no call."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import ceil, inf
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from . import outcomes
from .bills import COST, INPUT, OUTPUT
from .call_records import AttemptEnded, UsageKnown
from .health import anomalies, breakers, scores
from .health.anomalies import Alarm, Period
from .health.breakers import Breaker, Observed
from .health.scores import Answers, Tally, Tokens
from .health.window import Ring
from .labels import OTHER, Bounded
from .locks import renewed
from .metrics import Collectors, Values
from .recording import Recording, recording
from .semconv import providers as metrics
from .settings import Settings

_FACTS: Final = (AttemptEnded, UsageKnown)
_BATCH: Final = 64
"""So many facts wait before they are added up; the request whose fact fills it pays a fraction of a millisecond."""
_adding: Final = renewed()
"""Held while facts are added up and read; one for all, as it is asked for once in so many facts and at scrapes."""
_HEALTH_SLOTS: Final = 30
_ANOMALY_SLOTS: Final = 12
_MOST_SLOTS: Final = 600
"""A short anomaly window before a long baseline would take any number of slots."""
_UPTIME_SLOT_S: Final = 300.0
_UPTIME_SLOTS: Final = 288
_GRAINS: Final = 16
"""Facts of the same sixteenth of a slot are added as one."""
_OPEN_SHARE: Final = 0.2
"""The share of the health window that a shadow of a breaker stays open for: a minute of five."""

_CLOSED: Final = Breaker()

_Callback = TypeVar("_Callback", bound=Callable[[], Any])


class ProviderHealth:
    """An observer of facts, and the readers of the gauges that come of them.

    A fact only waits when it comes, so that a request pays for no more than an append; facts are added up many at a
    time, and before a scrape reads. What is held is bounded by the labels, which facts carry already.
    """

    def __init__(
        self,
        collectors: Collectors,
        *,
        health_window_s: float = 300.0,
        anomaly_window_s: float = 3600.0,
        anomaly_baseline_s: float = 86400.0,
        max_providers: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._waiting: deque[tuple[float, AttemptEnded | UsageKnown]] = deque()
        slot_s = health_window_s / _HEALTH_SLOTS
        self._recent: Ring[Tally] = Ring(Tally._make, len(Tally._fields), slot_s=slot_s, slots=_HEALTH_SLOTS)
        self._tokens: Ring[Tokens] = Ring(Tokens._make, len(Tokens._fields), slot_s=slot_s, slots=_HEALTH_SLOTS)
        self._answers: Ring[Answers] = Ring(
            Answers._make, len(Answers._fields), slot_s=_UPTIME_SLOT_S, slots=_UPTIME_SLOTS
        )
        self._history = _History(anomaly_window_s, anomaly_baseline_s)
        self._grain_s = min(slot_s, self._history.slot_s) / _GRAINS
        self._open_s = health_window_s * _OPEN_SHARE
        self._shadows: dict[str, Breaker] = {}
        self._holder: tuple[int, int] | None = None
        self._observed: Observed | None = None
        self._breaker_names = Bounded(collectors, metrics.BREAKER_STATE, "provider", budget=max_providers)
        # Cells, not the collectors: whoever holds those keeps a dropped application alive.
        self._anomalies = {kind: collectors.child(metrics.DETECTED_ANOMALIES, kind) for kind in metrics.ANOMALIES}
        for entry, reader in (
            (metrics.AVAILABILITY, self.availability),
            (metrics.ERROR_RATE, self.error_rate),
            (metrics.HEALTH_SCORE, self.score),
            (metrics.BREAKER_STATE, self.breaker_state),
            (metrics.MODEL_UPTIME, self.uptime),
            (metrics.TOKEN_EFFICIENCY, self.efficiency),
        ):
            collectors.watch(entry, reader, owner=self)

    def __call__(self, fact: object) -> None:
        """Take a fact; of other kinds than its own it takes no notice."""
        if isinstance(fact, _FACTS):
            self._waiting.append((self._clock(), fact))
            if len(self._waiting) >= _BATCH:
                self._add_unless_somebody_does()

    def availability(self) -> Mapping[Values, float]:
        """`provider_availability`."""
        return self._by_provider(scores.availability)

    def error_rate(self) -> Mapping[Values, float]:
        """`provider_error_rate`."""
        return self._by_provider(scores.error_rate)

    def score(self) -> Mapping[Values, float]:
        """`gatewayz_provider_health_score`."""
        return self._by_provider(scores.score)

    def breaker_state(self) -> Mapping[Values, float]:
        """`gatewayz_circuit_breaker_state`: every state of every breaker, of which one is 1."""
        states = self._shadow_states() if self._observed is None else self._observed.states()
        return {
            (provider, state): float(state == in_force)
            for provider, in_force in states.items()
            for state in metrics.BREAKER_STATES
        }

    def uptime(self) -> Mapping[Values, float]:
        """`gatewayz_model_uptime_24h`."""
        with self._alone():
            now = self._settled()
            ring, last = self._answers, self._answers.slot(now)
            slots = {model: ring.each(model, last - ring.slots + 1, last) for model in ring}
        return _known({model: scores.uptime(seen) for model, seen in slots.items()})

    def efficiency(self) -> Mapping[Values, float]:
        """`gatewayz_token_efficiency`."""
        with self._alone():
            totals = _totals(self._tokens, self._settled())
        return _known({model: scores.efficiency(seen) for model, seen in totals.items()})

    def observe_breaker(self, callback: Callable[[], Any], within: Recording) -> None:
        """From now on the breakers' states are what `callback` says; `within` counts what it says wrongly."""

        def understand(answer: Any) -> Mapping[str, str]:
            return self._understood(answer, within)

        self._observed = Observed(callback, understand, clock=self._clock, complain=within.complain)
        self._observed.states()  # asks, so that the first scrape has an answer

    def _by_provider(self, judge: Callable[[Tally], float | None]) -> Mapping[Values, float]:
        with self._alone():
            totals = _totals(self._recent, self._settled())
        return _known({provider: judge(seen) for provider, seen in totals.items()})

    def _shadow_states(self) -> Mapping[str, str]:
        """Of the providers that were judged in the window: a breaker that nobody tries says nothing."""
        with self._alone():
            now = self._settled()
            return {
                provider: breakers.at(self._shadows[provider], now, open_s=self._open_s).state
                for provider, seen in _totals(self._recent, now).items()
                if seen.judged
            }

    def _understood(self, answer: Any, within: Recording) -> Mapping[str, str]:
        states: dict[str, str] = {}
        for name, said in dict(answer).items():
            provider, state = self._breaker_names.admit(name), breakers.state_of(said)
            if state is None:
                within.refuse("the state of a breaker", said)
            elif provider != OTHER:  # several breakers have no one state
                states[provider] = state
        return states

    def _add_unless_somebody_does(self) -> None:
        lock = _adding()
        if self._holder != _me() and lock.acquire(blocking=False):
            try:
                with self._alone():
                    self._add_waiting()
            finally:
                lock.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock; what the collector ends meanwhile on this thread waits as well, though it could take it."""
        with _adding():
            self._holder = _me()
            try:
                yield
            finally:
                self._holder = None

    def _settled(self) -> float:
        """Add what waits and look for anomalies; returns the time. The caller holds the lock."""
        now = self._clock()
        self._add_waiting()
        for kind in self._history.begun(now):
            self._anomalies[kind].inc()
        return now

    def _add_waiting(self) -> None:
        """Add what waits to the rings, group by group: adding each fact by itself would take several times as long."""
        attempts: dict[tuple[float, str, str, str], list[float]] = {}
        usages: dict[tuple[float, str, str], list[Mapping[str, float]]] = {}
        with suppress(IndexError):
            while True:
                at, fact = self._waiting.popleft()
                moment = at // self._grain_s
                if isinstance(fact, AttemptEnded):
                    provider, model, status, seconds = fact
                    attempts.setdefault((moment, provider, model, status), []).append(seconds)
                    self._cast_shadow(at, provider, status)
                else:
                    usages.setdefault((moment, fact.provider, fact.model), []).append(fact.usage)
        for (moment, provider, model, status), times in attempts.items():
            self._add_attempts(moment * self._grain_s, provider, model, scores.tally(status, times))
        for (moment, provider, model), told in usages.items():
            self._add_usages(moment * self._grain_s, provider, model, told)

    def _cast_shadow(self, at: float, provider: str, status: str) -> None:
        if (succeeded := status == outcomes.SUCCESS) or status in scores.FAILURES:
            shadow = self._shadows.get(provider, _CLOSED)
            self._shadows[provider] = breakers.after(shadow, at, succeeded=succeeded, open_s=self._open_s)

    def _add_attempts(self, at: float, provider: str, model: str, seen: Tally) -> None:
        self._recent.add(provider, at, seen)
        self._history.add(provider, at, seen)
        self._answers.add(model, at, Answers(seen.successes, seen.failures))

    def _add_usages(self, at: float, provider: str, model: str, told: Sequence[Mapping[str, float]]) -> None:
        both = [usage for usage in told if INPUT in usage and OUTPUT in usage]  # one without the other is no ratio
        if both:
            tokens = Tokens(sum(_sane(usage[INPUT]) for usage in both), sum(_sane(usage[OUTPUT]) for usage in both))
            self._tokens.add(model, at, tokens)
        if cost := sum(_sane(usage.get(COST, 0.0)) for usage in told):
            self._history.add(provider, at, Tally(cost=cost))


class _Span(NamedTuple):
    """Slots by their numbers, both included."""

    first: int
    last: int


class _History:
    """What providers did, for so long as anomalies are told from it, and which anomalies go on. Not thread-safe."""

    def __init__(self, window_s: float, baseline_s: float) -> None:
        slot_s = max(window_s / _ANOMALY_SLOTS, (window_s + baseline_s) / _MOST_SLOTS)
        self._window = max(1, round(window_s / slot_s))
        self._baseline = ceil(baseline_s / slot_s)
        slots = self._window + self._baseline + 1  # and the one that is not over
        self._ring: Ring[Tally] = Ring(Tally._make, len(Tally._fields), slot_s=slot_s, slots=slots)
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._judged: int | None = None
        self.slot_s = slot_s

    def add(self, provider: str, at: float, seen: Tally) -> None:
        """Note what a provider did."""
        self._ring.add(provider, at, seen)

    def begun(self, now: float) -> list[str]:
        """The kinds of the anomalies that have begun, once for each; asked at each scrape, it looks when a slot has ended."""
        last = self._ring.slot(now) - 1
        if self._judged is not None and last <= self._judged:
            return []
        self._judged = last
        return [kind for provider in self._ring for kind in self._begun_of(provider, last)]

    def _begun_of(self, provider: str, last: int) -> list[str]:
        found = anomalies.anomalies(*self._periods(provider, last))
        begun = []
        for kind in metrics.ANOMALIES:
            alarm, seen = self._alarms.get((provider, kind), Alarm()), kind in found
            if anomalies.begins(alarm, seen=seen, slot=last, window_slots=self._window):
                begun.append(kind)
            self._alarms[provider, kind] = anomalies.after(alarm, seen=seen, slot=last, window_slots=self._window)
        return begun

    def _periods(self, provider: str, last: int) -> tuple[Period, Period]:
        """The window up to slot `last`, and the baseline: the time before it, since the provider is known."""
        first = last - self._window + 1
        known = max(first - self._baseline, self._ring.first_slot(provider))
        return self._period(provider, _Span(first, last)), self._period(provider, _Span(known, first - 1))

    def _period(self, provider: str, span: _Span) -> Period:
        seconds = max(0, span.last - span.first + 1) * self._ring.slot_s
        return Period(seconds, self._ring.total(provider, span.first, span.last))


def _me() -> tuple[int, int]:
    """This thread; in a fork's child another one."""
    return os.getpid(), threading.get_ident()


_Sums = TypeVar("_Sums", Tally, Tokens)


def _totals(ring: Ring[_Sums], now: float) -> dict[str, _Sums]:
    """What the whole ring holds of each key."""
    last = ring.slot(now)
    return {key: ring.total(key, last - ring.slots + 1, last) for key in ring}


def _known(values: Mapping[str, float | None]) -> Mapping[Values, float]:
    """What is not known has no series."""
    return {(key,): value for key, value in values.items() if value is not None}


def _sane(number: float) -> float:
    """A number that sums bear: one that is none would stay in them for as long as they are kept."""
    return number if 0.0 <= number < inf else 0.0


def watch_providers(collectors: Collectors, settings: Settings) -> ProviderHealth:
    """The provider health of these collectors, to be added to the observers; made with the settings of who asks first.

    Applications that share the collectors share it: the gauges of two would be added up to availabilities of 2.
    """
    if (existing := _watching.get(collectors)) is not None:
        return existing
    made = ProviderHealth(
        collectors,
        health_window_s=settings.health_window_s,
        anomaly_window_s=settings.anomaly_window_s,
        anomaly_baseline_s=settings.anomaly_baseline_s,
        max_providers=settings.max_providers,
    )
    return _watching.setdefault(collectors, made)


def observe_breaker(callback: _Callback) -> _Callback:
    """Expose the states of the application's own circuit breakers, instead of what the library would make of the outcomes.

    `callback` returns the states by provider, `closed`, `half_open` or `open`; it is asked in a thread of its own, when
    the metrics are scraped. Returns `callback`, so that it can decorate it. Call it after `instrument(app)`, of which the
    last application counts. Raises TypeError for what cannot be called.
    """
    if not callable(callback):
        raise TypeError(
            f"observe_breaker needs a function that returns the states of the breakers, not {callback!r:.100}: "
            'give it one like lambda: {"groq": "closed"}'
        )
    if (found := recording()) is not None:
        for observer in found.observers:
            if isinstance(observer, ProviderHealth):
                observer.observe_breaker(callback, found)
    return callback


_watching: "WeakKeyDictionary[Collectors, ProviderHealth]" = WeakKeyDictionary()
