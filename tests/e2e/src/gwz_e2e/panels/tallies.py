"""The ledger as the metrics and the log see it: a number for each series, a line for each thing that is logged."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastapi_app.accounts import BROKE
from fastapi_app.load.ledger import Entry, Outcome, answering, provider_answered
from gwz_dashboards import recording
from gwz_dashboards import tempo_metrics as tempo
from gwz_dashboards.queries import Match
from gwz_e2e.books import Books
from gwz_e2e.checks.data import redis_operations
from gwz_instrument.http import REQUEST_LOGGER
from gwz_instrument.semconv import Label, Metric, cache, health, http, inference

Series = Mapping[str, str]
Group = tuple[str, ...]

USAGE_LOGGER, SERVER_LOGGER, APP_LOGGER = "gwz_instrument.inference", "uvicorn.error", "fastapi_app.app"
_BROKEN = "RemoteProtocolError"
SAME_AS = {"ReadError": _BROKEN}
"""Which of two exceptions a connection that breaks raises, nobody plans."""
_UNSET, _ERROR = "STATUS_CODE_UNSET", "STATUS_CODE_ERROR"


@dataclass(frozen=True)
class Written:
    """A line of the application, and the request of the ledger that has it written."""

    level: str
    logger: str
    entry: Entry | None


class Tallies:
    """What every metric has to say of a load, series by series, without the labels of the process."""

    def __init__(self, service: str, books: Books, entries: Sequence[Entry]) -> None:
        self._series: defaultdict[str, list[tuple[Series, float]]] = defaultdict(list)
        self._requests(entries)
        self._calls(books.calls.entries)
        self._health(books)
        self._traces(service, entries)
        for operation, number in redis_operations(list(entries)).items():
            self._add(cache.REDIS_DURATION, number, operation=operation[0])
        for signal in health.SIGNALS:
            self._add(health.DROPPED, 0, signal=signal)

    def of(
        self, metric: Metric, where: Iterable[Match] = (), chosen: Mapping[str, Sequence[str]] | None = None
    ) -> list[tuple[Series, float]]:
        """The series of a metric that fulfil the conditions and are among what was chosen."""
        return [
            (labels, number) for labels, number in self._series[metric.name] if fulfils(labels, where, chosen or {})
        ]

    def _add(self, metric: Metric, number: float, **labels: str) -> None:
        self._series[metric.name].append((labels, number))

    def _requests(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            route = {"method": entry.method, "path": entry.route}
            self._add(http.REQUESTS, 1, **route, status_code=str(entry.status))
            self._add(http.DURATION, 1, **route)
            self._add(http.RESPONSE_SIZE, 1, **route)
            if entry.status == 500 or entry.outcome is Outcome.STREAM_ERROR:
                raised = _BROKEN if entry.outcome is Outcome.STREAM_ERROR else "JSONDecodeError"
                self._add(http.EXCEPTIONS, 1, exception_type=raised)

    def _calls(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            whom = {"provider": str(entry.provider), "model": str(entry.model)}
            self._add(inference.REQUESTS, 1, **whom, status=str(entry.outcome))
            self._add(inference.DURATION, 1, **whom)
            if entry.stream and entry.status == 200:
                self._add(inference.FIRST_CHUNK, 1, **whom)
            if entry.cost_usd is not None:
                kind = "_estimated" if entry.estimated else ""
                self._add(inference.TOKENS, entry.input_tokens or 0, **whom, token_type=f"input{kind}")
                self._add(inference.TOKENS, entry.output_tokens or 0, **whom, token_type=f"output{kind}")
                self._add(inference.COST, entry.cost_usd, provider=whom["provider"])

    def _health(self, books: Books) -> None:
        """What the rules make of the counters; every answer is fast enough to be worth a whole one."""
        scores = []
        for provider in books.asked:
            seen = books.attempts(provider)
            judged = seen.good + seen.bad
            self._add(recording.WORTH.metric, seen.good, provider=provider)
            self._add(recording.JUDGED.metric, judged, provider=provider)
            self._add(recording.FAILED.metric, seen.bad, provider=provider)
            if judged:
                scores.append(seen.good / judged)
                self._add(recording.HEALTH_SCORE.metric, scores[-1], provider=provider)
                self._add(recording.ATTEMPTS_FAILED.metric, seen.bad / judged, provider=provider)
        self._add(recording.OVERALL_HEALTH.metric, sum(scores) / len(scores))

    def _traces(self, service: str, entries: Iterable[Entry]) -> None:
        for entry in entries:
            status = _ERROR if failed(entry) else _UNSET
            self._add(tempo.SPAN_CALLS, 1, service=service, span_kind="SPAN_KIND_SERVER", status_code=status)
            asked = answering(entry)
            if entry.provider and not provider_answered(entry):
                asked = [*asked, entry.provider]
            for provider in asked:
                self._add(tempo.EDGE_CALLS, 1, client=service, server=provider)


def lines(entries: Iterable[Entry]) -> list[Written]:
    """Every line that the application writes of these requests."""
    found: list[Written] = []
    for entry in entries:
        found.append(Written("error" if failed(entry) else "info", REQUEST_LOGGER, entry))
        if entry.status == 500 or entry.outcome is Outcome.STREAM_ERROR:
            found.append(Written("error", SERVER_LOGGER, entry))
        if entry.cost_usd is not None and entry.stream:
            found.append(Written("info", USAGE_LOGGER, entry))
        if entry.cost_usd is not None and entry.api_key == BROKE.api_key:
            found.append(Written("warning", APP_LOGGER, entry))
    return found


def failed(entry: Entry) -> bool:
    """Whether a request counts as one that the application failed."""
    return entry.status >= 500 or entry.outcome is Outcome.STREAM_ERROR


def grouped(series: Iterable[tuple[Series, float]], by: Sequence[Label]) -> dict[Group, float]:
    """Sums by the values of labels."""
    sums: defaultdict[Group, float] = defaultdict(float)
    for labels, number in series:
        sums[group(labels, by)] += number
    return dict(sums)


def group(labels: Series, by: Sequence[Label]) -> Group:
    """The values of these labels; of those that mean the same, one."""
    values = (labels.get(label.name, "") for label in by)
    return tuple(SAME_AS.get(value, value) for value in values)


def fulfils(labels: Series, where: Iterable[Match], chosen: Mapping[str, Sequence[str]]) -> bool:
    """Whether a series is asked for."""
    return all(_matches(labels, match) for match in where) and all(
        labels.get(name, "") in values for name, values in chosen.items()
    )


def _matches(labels: Series, match: Match) -> bool:
    value = labels.get(match.label.name, "")
    equal = value == match.value if match.operator in ("=", "!=") else re.fullmatch(match.value, value) is not None
    return equal == (match.operator in ("=", "=~"))
