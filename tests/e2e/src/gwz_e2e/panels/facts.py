"""What answers are held against: a ledger, what was chosen on the dashboards, what was scraped, what the origins say."""

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fastapi_app.load.ledger import Entry
from gwz_dashboards import tempo_metrics as tempo
from gwz_e2e.books import Books, Calls
from gwz_e2e.case import Case
from gwz_e2e.checks import endpoints
from gwz_e2e.engines import Series
from gwz_e2e.expected import Expected, Question
from gwz_e2e.panels.answers import LEAST_STEP_S, Window
from gwz_e2e.panels.boards import Chosen
from gwz_e2e.panels.tallies import Tallies, Written, lines
from gwz_e2e.reading import Answer, Reader
from gwz_instrument.monitoring.far_loki import LOGGER
from gwz_instrument.semconv import Endpoint, Metric, logs
from gwz_instrument.semconv import endpoints as names

RULE_S = 300.0
"""The window of the recording rules."""
_STEPS_S = (LEAST_STEP_S, 60.0, 120.0, 300.0)
SETTLED_S = 30.0
"""After the load: its last scrape, an evaluation of the rules, and what Tempo derives from spans are behind this."""
_EDGE_S = 3.0
_OLDEST_S = 3600.0


class TooLong(Exception):  # noqa: N818  # a finding, no error
    """A load that no window of a rule holds."""


def load_window(case: Case) -> Window:
    """The range in which the last point's windows hold the whole load; raises TooLong when those of the rules cannot."""
    started, ended = case.summary["started_at"], case.summary["ended_at"]
    # On a full step: there Loki puts its points.
    end = math.ceil((ended + SETTLED_S) / LEAST_STEP_S) * LEAST_STEP_S
    needed = end - started + _EDGE_S
    fitting = [step for step in _STEPS_S if _rate_s(step) >= needed]
    if needed > RULE_S or not fitting:
        raise TooLong(
            f"the load took {ended - started:.0f} s: with what comes after it, more than the {RULE_S:.0f} s of the rules"
        )
    step = fitting[0]
    return Window(end - max(RULE_S, 2 * step), end, step, _rate_s(step))


def now_window(now: float) -> Window:
    """The last minutes, in the shortest steps."""
    return Window(now - RULE_S, now, LEAST_STEP_S, _rate_s(LEAST_STEP_S))


def _rate_s(step_s: float) -> float:
    """`$__rate_interval`: at least four scrapes, of the interval that the data source is told."""
    return max(step_s + LEAST_STEP_S, 4 * LEAST_STEP_S)


@dataclass(frozen=True)
class Grown:
    """What a series grew by within a window, from its first sample in it to its last."""

    labels: Mapping[str, str]
    last: float
    delta: float
    stretch: float
    """How much more `rate` makes of it, which reckons on to the edges of the window: less than a scrape at either."""
    most: float
    """How much more it may make of it in a window that ends up to an evaluation of the rules earlier."""


class Scrapes:
    """The samples as they were scraped of an application, read once for each metric. Thread-safe."""

    def __init__(self, case: Case, end: float) -> None:
        self._case = case
        self._end = end
        self._known: dict[str, list[Series]] = {}
        self._lock = threading.Lock()

    def grown(self, metric: Metric, window_s: float, *, suffix: str = "") -> list[Grown]:
        """What each series of a metric grew by in the window before the end."""
        return [_grown(one, self._end - window_s, self._end) for one in self._series(metric, suffix)]

    def _series(self, metric: Metric, suffix: str) -> list[Series]:
        name = f"{metric.name}{suffix}"
        with self._lock:
            if name not in self._known:
                case = self._case
                whose = (
                    f'{tempo.SERVICE.name}="{case.service}"'
                    if metric in tempo.METRICS
                    else f'instance="{case.address}"'
                )
                self._known[name] = case.engines.prometheus.scraped(f"{name}{{{whose}}}", _OLDEST_S, at=self._end)
            return self._known[name]


def _grown(series: Series, start: float, end: float) -> Grown:
    samples = [sample for sample in series.samples if sample[0] > start]
    if len(samples) < 2:
        return Grown(series.labels, samples[0][1] if samples else 0.0, 0.0, 1.0, 1.0)
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    covered = last_at - first_at
    scrape = covered / (len(samples) - 1)
    reckoned = _reckoned(last_at, end, scrape)
    before = _reckoned(start, first_at, scrape)
    if last > first:  # a counter is not reckoned to have been below zero
        before = min(before, covered * first / (last - first))
    return Grown(series.labels, last, last - first, (covered + before + reckoned) / covered, 1 + 2.2 * scrape / covered)


def _reckoned(earlier: float, later: float, scrape: float) -> float:
    """What Prometheus adds at an edge: all of it, or of a gap that is longer than a scrape, half a scrape."""
    gap = later - earlier
    return gap if gap < 1.1 * scrape else scrape / 2


@dataclass(frozen=True)
class Known:
    """What is the same by every ledger."""

    case: Case
    window: Window
    chosen: Chosen
    scrapes: Scrapes
    beside: Sequence[Written] = ()
    """Lines of the range that other hops had written, to see that they arrive."""


def written_beside(case: Case, window: Window) -> list[Written]:
    """The lines that the application was told to send to Loki by its own endpoint for that."""
    found = case.engines.loki.lines(f'{{app="{case.service}"}} |= "{LOGGER}"', window.start, window.end)
    return [
        Written(str(line.labels["level"]), LOGGER, None) for line in found if line.fields[logs.LOGGER.name] == LOGGER
    ]


class Facts:
    """One ledger and everything else that is known; `entries` may be of another load than the one that was made."""

    def __init__(self, known: Known, entries: Sequence[Entry], origins: Mapping[str, float]) -> None:
        self.known = known
        self.entries = entries
        self.origins = origins

    @property
    def case(self) -> Case:
        """The application."""
        return self.known.case

    @property
    def window(self) -> Window:
        """The range that is asked about."""
        return self.known.window

    def of(self, entries: Sequence[Entry]) -> "Facts":
        """The same by another ledger."""
        return Facts(self.known, entries, self.origins)

    def now(self, origins: Mapping[str, float]) -> "Facts":
        """The same of the last minutes, with what the origins say."""
        return Facts(replace(self.known, window=now_window(math.floor(time.time()))), self.entries, origins)

    def narrowed(self, names_: Iterable[str]) -> dict[str, Sequence[str]]:
        """What was chosen of these variables."""
        return {name: self.known.chosen[name] for name in names_}

    @cached_property
    def books(self) -> Books:
        """The calls of the ledger."""
        calls = Calls([entry for entry in self.entries if entry.provider is not None])
        return Books(calls, self.case.summary["started_at"], self.case.summary["ended_at"])

    @cached_property
    def tallies(self) -> Tallies:
        """What each metric has to say."""
        return Tallies(self.case.service, self.books, self.entries)

    @cached_property
    def lines(self) -> list[Written]:
        """Every line of the range."""
        return [*lines(self.entries), *self.known.beside]

    @cached_property
    def by_trace(self) -> dict[str, Entry]:
        """The entries by trace id."""
        return {str(entry.trace_id): entry for entry in self.entries}

    def told(self, endpoint: Endpoint, asked: Mapping[str, int | str]) -> tuple[Answer, Any]:
        """What an endpoint answers now, and what it has to answer."""
        expected = self._expected
        make = {
            names.HEALTH: expected.health,
            names.REALTIME: expected.realtime,
            names.ANOMALIES: expected.anomalies,
            names.BREAKERS: expected.breakers,
            names.AVAILABILITY: expected.availability,
            names.COSTS: expected.costs,
            names.TRENDING: expected.trending,
        }[endpoint]
        answer = self._reader.ask(Question(endpoint, make, parameters=asked))
        return answer, make(answer)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.case.app_url, self.case.tokens.api)

    @cached_property
    def _expected(self) -> Expected:
        found = endpoints.expected(self.case, "local")
        return Expected(found.source, self.books, found.speeds, found.states, found.health_window_s)
