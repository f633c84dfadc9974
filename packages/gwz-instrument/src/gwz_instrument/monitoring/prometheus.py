"""The store behind which stands Prometheus, or Mimir or Thanos: all workers and replicas agree, and answers survive restarts."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gwz_instrument.semconv import Metric, inference, providers
from gwz_instrument.settings import PROMETHEUS

from . import error_lines
from .asking import DEADLINE_S, LOOKBACK_S, Asking
from .fetch import Server
from .heartbeats import census
from .lives import (
    Address,
    Frame,
    Place,
    Readings,
    Samples,
    Target,
    address,
    increases,
    last_scrapes,
    pace,
    places_to_read,
)
from .promql import at_most, duration, seconds_of, target_of
from .store import HOUR_S, SITTING, Ask, Breakers, Failures, Sums, Unavailable, Window, until

_REMEMBERED_S: Final = 7 * 86400.0
_PLACES: Final = 60
"""As many times are read with one question."""


class PrometheusStore:
    """Asks Prometheus for what the applications of this name have counted, and Loki for their failures."""

    source = PROMETHEUS

    def __init__(
        self,
        prometheus: Server,
        *,
        app_name: str,
        selector: str | None = None,
        declared: Iterable[str] = (),
        loki: Server | None = None,
        stream: Mapping[str, str] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock`: the present, instead of what Prometheus takes for it."""
        self._clock = clock
        self._prometheus = prometheus
        self._app_name = app_name
        self._selector = selector
        self._declared = frozenset(declared)
        self._loki = loki
        self._stream = dict(stream or {})

    def look(self, seconds: float, *, before_s: float = 0.0) -> "PrometheusView":
        """A look at the last so many seconds up to the last scrape, or at as many before the last `before_s`."""
        return PrometheusView(self._asking(), seconds, before_s)

    def knows(self, provider: str, model: str | None = None) -> bool:
        """Whether the last seven days have a call to such a provider, or model at it, or the settings declare the provider."""
        if model is None and provider in self._declared:
            return True
        asking = self._asking()
        addresses = asking.addresses(_REMEMBERED_S)
        where = {"provider": provider, **({} if model is None else {"model": model})}
        entry = providers.ATTEMPTS if model is None else inference.REQUESTS
        found = asking.series(f"{entry.name}{{{asking.matchers(addresses, where)}}}", _REMEMBERED_S)
        return any(address(target_of(labels)) in addresses for labels in found)

    def breakers(self) -> Breakers:
        """The worst state that a process reports of each provider."""
        asking = self._asking()
        asking.refuse_mixture(HOUR_S)
        addresses = asking.addresses(HOUR_S)
        at = max(_scrapes(asking, addresses).newest, asking.now - LOOKBACK_S)  # not now: that scrape may have failed
        rows = asking.vector(f"{providers.BREAKER_STATE.name}{{{asking.matchers(addresses, {})}}} == 1", at)
        order = providers.BREAKER_STATES  # from the best to the worst
        states: dict[str, str] = {}
        for labels, _ in rows:
            provider, state = labels.get("provider", ""), labels.get("state", "")
            if state in order and address(target_of(labels)) in addresses:
                states[provider] = max(states.get(provider, state), state, key=order.index)
        return Breakers(states, asking.now)

    def failures(self, provider: str, limit: int) -> Failures:
        """The newest calls that failed at a provider within a day, from the lines of their requests."""
        if self._loki is None:
            raise Unavailable(
                "error samples come from Loki, and there is none: set GWZ_LOKI_QUERY_URL, or GWZ_LOKI_URL, to its address"
            )
        now = (self._clock or time.time)()
        return error_lines.failures(self._loki, self._stream, provider, limit, now=now, until=until(DEADLINE_S))

    def _asking(self) -> Asking:
        """The questions of this answer; those that its other parts have put are not put again."""
        sitting = SITTING.get()
        kept = {} if sitting is None else sitting.kept
        if id(self) not in kept:
            kept[id(self)] = Asking(self._prometheus, self._app_name, self._selector, self._clock)
        asking: Asking = kept[id(self)]
        return asking


class PrometheusView:
    """A look at one window in Prometheus."""

    def __init__(self, asking: Asking, seconds: float, before_s: float) -> None:
        self._asking = asking
        reach = seconds + before_s + LOOKBACK_S
        asking.refuse_mixture(reach)
        self._addresses = asking.addresses(reach)
        self._frame, newest = _frame(_scrapes(asking, self._addresses), seconds, before_s)
        found = census(asking, self._addresses, self._frame)
        self._lives = found.lives
        self.window = Window(
            self._frame.start,
            self._frame.end,
            complete=found.complete and not asking.is_partial,
            exact=self._is_exact(newest),
        )
        self._was_partial = asking.is_partial

    def increases(self, asks: Sequence[Ask], edges: Sequence[float]) -> list[list[Sums]]:
        """For each ask, for each time between two edges, by how much it grew."""
        found = [increases(self._lives, edges, self._readings(ask, edges)) for ask in asks]
        if self._asking.is_partial and not self._was_partial:
            raise Unavailable("Prometheus answers in part only: a store behind it does not answer, look at its log")
        return found

    def _is_exact(self, newest: float) -> bool:
        """Whether no process ended in the window, and no call did within two scrapes of its edges."""
        start, end, pause = self._frame.start, self._frame.end, 2 * self._frame.pace
        if any(life.last < end or life.early for life in self._lives):
            return False
        # over a time, for a scrape that failed has ended every series of its target until the next one
        calls = f"{inference.REQUESTS.name}{{{self._asking.matchers(self._addresses, {})}}}[{duration(LOOKBACK_S)}]"
        times = {"a": start - pause, "b": min(start + pause, end), "c": end - pause, "d": max(newest, end)}
        rows = self._asking.parts(
            {name: f"sum(last_over_time({calls} @ {seconds_of(at)}))" for name, at in times.items()}, end
        )
        a, b, c, d = (sum(value for _, value in rows[name]) for name in times)
        return a == b and c == d

    def _readings(self, ask: Ask, edges: Sequence[float]) -> Readings:
        read: dict[float, dict[Target, Sums]] = {}
        for start, end, step in _runs(edges) if self._lives else ():
            for labels, samples in self._asking.matrix(
                _expression(ask, self._matchers(ask, self._addresses)), start, end, step
            ):
                _note(read, ask, labels, samples)
        for places in at_most(
            _PLACES, _grouped(place for life in self._lives for place in places_to_read(life, edges))
        ):
            expressions = {seconds_of(at): _expression(ask, self._matchers(ask, some), at) for at, some in places}
            for at, rows in self._asking.parts(expressions, self._frame.end).items():
                for labels, value in rows:
                    _note(read, ask, labels, [(float(at), value)])
        return Readings(read)

    def _matchers(self, ask: Ask, addresses: Iterable[Address]) -> str:
        return self._asking.matchers(addresses, dict(ask.where))


class _Scrapes(NamedTuple):
    """The usual pause between two scrapes, until when all were scraped that are alive, and the newest scrape of any."""

    pace: float
    end: float
    newest: float


def _scrapes(asking: Asking, addresses: Collection[Address]) -> _Scrapes:
    """What is known of the scrapes of these processes; of none, the present."""
    recent = asking.recent_beats(addresses) if addresses else []
    pause = pace(recent)
    return _Scrapes(pause, *(last_scrapes(recent, pause) or (asking.now, asking.now)))


def _frame(scrapes: _Scrapes, seconds: float, before_s: float) -> tuple[Frame, float]:
    """The window, and the time up to which anything is known of what is at its end."""
    end = round(scrapes.end - before_s, 3)
    newest = min(scrapes.newest, end + 2 * scrapes.pace) if before_s else scrapes.newest
    return Frame(round(end - seconds, 3), end, scrapes.pace), newest


def _expression(ask: Ask, which: str, at: float | None = None) -> str:
    """The sums of a counter, of each process and each value of the labels that were asked for; at a time of its own."""
    own = ", ".join(name for name in ask.entry.label_names if name not in ask.by)
    when = "" if at is None else f" @ {seconds_of(at)}"
    return f"sum without ({own}) ({_series_name(ask.entry, ask.part)}{{{which}}}{when})"


def _note(read: dict[float, dict[Target, Sums]], ask: Ask, labels: Mapping[str, str], samples: Samples) -> None:
    names = (*ask.by, "le") if ask.part == "bucket" else ask.by
    key = tuple(_bound(labels.get(name, "")) if name == "le" else labels.get(name, "") for name in names)
    target = target_of(labels, names)
    for at, value in samples:
        sums = read.setdefault(at, {}).setdefault(target, {})
        sums[key] = sums.get(key, 0.0) + value


def _grouped(places: Iterable[Place]) -> list[tuple[float, set[Address]]]:
    """Which processes are to be read when."""
    found: dict[float, set[Address]] = {}
    for target, at in places:
        found.setdefault(at, set()).add(address(target))
    return list(found.items())


def _runs(edges: Sequence[float]) -> list[tuple[float, float, float]]:
    """The edges as range queries: the first and the last, and the evenly spaced ones between them."""
    first, *inner, last = edges
    runs = [(first, last, last - first)] if last > first else [(first, last, 1.0)]
    if inner:
        runs.append((inner[0], inner[-1], inner[1] - inner[0] if len(inner) > 1 else 1.0))
    return runs


def _series_name(entry: Metric, part: str) -> str:
    return entry.name if part == "value" else f"{entry.name}_{part}"


def _bound(le: str) -> str:
    return le if le == "+Inf" else f"{float(le):g}"
