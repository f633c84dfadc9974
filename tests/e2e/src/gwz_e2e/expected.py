"""What the monitoring endpoints have to answer, field by field, from the ledger; times of calls from Prometheus itself."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from fastapi_app.load.ledger import Entry, Outcome
from gwz_e2e.books import BAD, HOUR_S, Books, Calls
from gwz_e2e.leaves import MONEY, RELATIVE, Among, Between, Moment, Number, Ranked, Summed, seconds
from gwz_e2e.reading import Answer
from gwz_e2e.speeds import SHARES, Speeds, bucket_of
from gwz_instrument.semconv import Endpoint, endpoints

_DAY_S = 24 * HOUR_S
_RATIO = 1e-9
_SAME_S = 0.001
_SLOTS_S = ((3 * HOUR_S, 60.0), (_DAY_S, 900.0), (inf, HOUR_S))
"""A window of an application's own begins at most so long before it would: as far back → the length of a slot."""
_RANGES_S = {"1h": HOUR_S, "24h": _DAY_S, "7d": 7 * _DAY_S, "30d": 30 * _DAY_S}
_KEPT_S = 7 * _DAY_S
"""An application remembers no more of itself."""
_STATES = {"closed": "CLOSED", "half_open": "HALF_OPEN", "open": "OPEN"}
_BROKE = ("RemoteProtocolError", "ReadError")
_ERRORS = {
    429: ("rate_limited",),
    500: ("JSONDecodeError",),
    502: ("HTTPStatusError",),
    503: _BROKE,
    504: ("ReadTimeout",),
}
"""What goes wrong with a call, by the status that the client gets."""


@dataclass(frozen=True)
class Question:
    """A question to an endpoint, and what the answer to it has to be."""

    endpoint: Endpoint
    wanted: Callable[[Answer], Any]
    about: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The endpoint's path, about whom it is asked."""
        path = self.endpoint.path
        for name, value in self.about.items():
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        return path

    def __str__(self) -> str:
        asked = "&".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.path}{asked and f'?{asked}'}"


@dataclass(frozen=True)
class Expected:
    """What has to be answered from one store: `states` are those of the breakers, as the gauge has them."""

    source: str
    books: Books
    speeds: Speeds
    states: Mapping[str, str]
    health_window_s: float
    anomaly_window_s: float = HOUR_S
    anomaly_baseline_s: float = _DAY_S

    def questions(self) -> Iterator[Question]:
        """Every endpoint, about every provider and every model of the ledger."""
        calls, asked = self.books.calls, self.books.asked
        yield Question(endpoints.HEALTH, self.health)
        for hours in (1, 24, 168):
            yield Question(endpoints.REALTIME, self.realtime, {}, {"hours": hours})
        for hours in (1, 24):
            yield Question(endpoints.ERROR_RATES, self.error_rates, {}, {"hours": hours})
            yield Question(endpoints.TOKENS, self.tokens, {}, {"hours": hours})
        yield Question(endpoints.ANOMALIES, self.anomalies)
        yield Question(endpoints.BREAKERS, self.breakers)
        for days in (1, 7):
            yield Question(endpoints.AVAILABILITY, self.availability, {}, {"days": days})
            yield Question(endpoints.COSTS, self.costs, {}, {"days": days})
        for sort_by in endpoints.SORTS:
            yield Question(endpoints.TRENDING, self.trending, {}, {"sort_by": sort_by, "limit": 100})
        for time_range in endpoints.RANGES:
            yield Question(endpoints.TRENDING, self.trending, {}, {"time_range": time_range, "limit": 3})
        yield Question(endpoints.TRENDING, self.trending, {}, {"gateway": asked[0]})
        for provider in asked:
            about = {"provider": provider}
            yield Question(endpoints.PROVIDER, self.one_health, about)
            yield Question(endpoints.HOURLY, self.hourly, about, {"hours": 24})
            yield Question(endpoints.LATENCY_TRENDS, self.latency_trends, about, {"hours": 24})
            yield Question(endpoints.ERRORS, self.failures, about, {"limit": 1000})
        for provider, model in calls.pairs:
            yield Question(endpoints.LATENCY, self.latency_of_model, {"provider": provider, "model": model})

    def health(self, answer: Answer) -> Any:
        """`/api/monitoring/health`."""
        end = seconds(answer.window("to"))
        rows = [self._health(provider, end) for provider in self.books.asked]
        return {**self._window(answer, self.health_window_s), "rows": rows}

    def one_health(self, answer: Answer) -> Any:
        """`/api/monitoring/health/{provider}`."""
        provider = answer.question.about["provider"]
        return {
            **self._head(answer, self.health_window_s),
            **self._health(provider, seconds(answer.body["to"])),
        }

    def realtime(self, answer: Answer) -> Any:
        """`/api/monitoring/stats/realtime`."""
        calls, hours = self.books.calls, int(answer.parameter("hours"))
        scores = [score for provider in self.books.asked if (score := self._score(provider)) is not None]
        row = {**_traffic(calls), "tokens_input": _count(calls.given), "tokens_output": _count(calls.produced)}
        row["total_cost"] = _amount(calls.cost)
        empty = {**_traffic(Calls([])), "tokens_input": None, "tokens_output": None, "total_cost": None}
        return {
            **self._head(answer, hours * HOUR_S),
            **row,
            **self._latency(),
            "hours": hours,
            "total_errors": _count(calls.bad),
            "avg_health_score": _ratio(sum(scores), len(scores)),
            "providers": Ranked({name: self._provider(name) for name in calls.providers}),
            "series": self._by_hour(answer, "time", row, empty),
        }

    def hourly(self, answer: Answer) -> Any:
        """`/api/monitoring/stats/hourly/{provider}`."""
        provider, hours = answer.question.about["provider"], int(answer.parameter("hours"))
        return {
            **self._head(answer, hours * HOUR_S),
            "provider": provider,
            "hours": hours,
            "data": self._breakdown(provider),
        }

    def error_rates(self, answer: Answer) -> Any:
        """`/api/monitoring/error-rates`."""
        calls, hours = self.books.calls, int(answer.parameter("hours"))
        by_model = {model: calls.of(model=model) for model in calls.models}
        ranked = sorted(by_model, key=lambda name: (-_share(by_model[name]), -by_model[name].bad, name))
        return {
            **self._head(answer, hours * HOUR_S),
            **_traffic(calls),
            "hours": hours,
            "total_errors": _count(calls.bad),
            "models": Ranked(
                {name: {**_traffic(by_model[name]), "providers": by_model[name].providers} for name in ranked}
            ),
        }

    def anomalies(self, answer: Answer) -> Any:
        """`/api/monitoring/anomalies`: there is none, for there is no baseline to depart from."""
        return {
            **self._head(answer, self.anomaly_window_s),
            "window_s": self.anomaly_window_s,
            "baseline_s": self.anomaly_baseline_s,
            "anomalies": [],
            "total_count": 0,
            "critical_count": 0,
            "warning_count": 0,
        }

    def breakers(self, answer: Answer) -> Any:
        """`/api/monitoring/circuit-breakers`."""
        rows = [
            {
                "provider": provider,
                "model": "all",
                "state": _STATES[state],
                "failure_count": _count(self.books.attempts(provider).bad),
                "is_available": state != "open",
                "last_updated": Between(self.books.ended, time.time() + 1.0),
            }
            for provider, state in sorted(self.states.items())
        ]
        return {**self._window(answer, self.health_window_s), "rows": rows}

    def availability(self, answer: Answer) -> Any:
        """`/api/monitoring/providers/availability`."""
        days, hour = int(answer.parameter("days")), self.books.hour
        providers = {name: self._availability(name) for name in self.books.asked}
        series: Any = Summed({}, frozenset({"time", "provider", "availability"}))
        if hour is not None:
            at = _same(max(hour, seconds(answer.body["from"])))
            series = [
                {"time": at, "provider": name, "availability": self._available(name)} for name in self.books.asked
            ]
        return {
            **self._head(answer, days * _DAY_S),
            "days": days,
            "providers": Ranked(providers),
            "series": series,
        }

    def trending(self, answer: Answer) -> Any:
        """`/v1/models/trending`."""
        sort_by, time_range = answer.parameter("sort_by", "requests"), answer.parameter("time_range", "24h")
        gateway, limit = answer.parameter("gateway", "all"), int(answer.parameter("limit", "10"))
        pairs = [pair for pair in self.books.calls.pairs if gateway in ("all", pair[0])]
        rank = {pair: self._rank(sort_by, pair) for pair in pairs}
        total = {pair: self._of(pair).total for pair in pairs}
        pairs.sort(key=lambda pair: (-rank[pair], -total[pair], pair[1], pair[0]))
        return {
            **self._head(answer, _RANGES_S[time_range]),
            "success": True,
            "data": [self._trend(pair) for pair in pairs[:limit]],
            "count": len(pairs[:limit]),
            "gateway": gateway,
            "time_range": time_range,
            "sort_by": sort_by,
        }

    def latency_trends(self, answer: Answer) -> Any:
        """`/api/monitoring/latency-trends/{provider}`."""
        provider, hours = answer.question.about["provider"], int(answer.parameter("hours"))
        found, count = self._latency(provider), _count(self.books.calls.of(provider=provider).total)
        names = ("avg_latency_ms", "p50_latency", "p95_latency", "p99_latency")
        each = [name if name.endswith("_ms") else f"{name}_ms" for name in names]
        row = {"count": count, **{key: found[name] for key, name in zip(each, names, strict=True)}}
        return {
            **self._head(answer, hours * HOUR_S),
            **found,
            "provider": provider,
            "hours": hours,
            "count": count,
            "overall_avg_latency_ms": found["avg_latency_ms"],
            "overall_p95_latency_ms": found["p95_latency"],
            "hourly_data": self._by_hour(answer, "hour", row, dict.fromkeys(row)),
        }

    def latency_of_model(self, answer: Answer) -> Any:
        """`/api/monitoring/latency/{provider}/{model}`."""
        provider, model = answer.question.about["provider"], answer.question.about["model"]
        found = self._latency(provider, model)
        return {
            **self._head(answer, HOUR_S),
            "provider": provider,
            "model": model,
            "hours": 1,
            "count": _count(self._of((provider, model)).total),
            "avg": found["avg_latency_ms"],
            "p50": found["p50_latency"],
            "p95": found["p95_latency"],
            "p99": found["p99_latency"],
        }

    def failures(self, answer: Answer) -> Any:
        """`/api/monitoring/errors/{provider}`: each failure once, the newest first, none faster than it was planned."""
        own = self.books.calls.of(provider=answer.question.about["provider"])
        planned: dict[tuple[str, str], list[float]] = {}
        for entry in own.entries:
            if entry.outcome in BAD:
                planned.setdefault((str(entry.model), _errors_of(entry)[0]), []).append(entry.planned_delay_s)
        rows = _failures(answer.body, planned, self.books)
        now = time.time() + 1.0
        window = {"from": Moment(0.0, self.books.began), "to": Moment(self.books.ended, now)}
        # The lines of requests, which Prometheus' store reads, name the last call only.
        return {**window, "source": self.source, "complete": self.source == "local", "exact": True, "rows": rows}

    def costs(self, answer: Answer) -> Any:
        """`/api/monitoring/cost-analysis`."""
        calls, days = self.books.calls, int(answer.parameter("days"))
        each = {name: calls.of(provider=name) for name in calls.providers}
        paid = {name: one for name, one in each.items() if one.cost}
        series: Any = Summed({"total_cost": _amount(calls.cost)}, frozenset({"time", "provider"}))
        hour = self.books.hour
        if hour is not None:
            at = _same(max(hour // _DAY_S * _DAY_S, seconds(answer.body["from"])))
            series = [
                {"time": at, "provider": name, "total_cost": _amount(one.cost)} for name, one in sorted(paid.items())
            ]
        return {
            **self._head(answer, days * _DAY_S),
            "period_days": days,
            "start_date": _same(seconds(answer.body["from"])),
            "end_date": _same(seconds(answer.body["to"])),
            "providers": Ranked(
                {
                    name: {
                        "total_cost": _amount(each[name].cost),
                        "total_requests": _count(each[name].total),
                        "cost_per_request": _ratio(each[name].cost, each[name].total),
                    }
                    for name in sorted(each, key=lambda name: (-each[name].cost, name))
                }
            ),
            "total_cost": _amount(calls.cost),
            "total_requests": _count(calls.total),
            "cost_per_request": _ratio(calls.cost, calls.total),
            "series": series,
        }

    def tokens(self, answer: Answer) -> Any:
        """`/api/tokens/efficiency`."""
        calls, hours = self.books.calls, int(answer.parameter("hours"))
        return {
            **self._head(answer, hours * HOUR_S),
            **_tokens(calls),
            "hours": hours,
            "models": Ranked({model: _tokens(calls.of(model=model)) for model in calls.models}),
        }

    def _head(self, answer: Answer, window_s: float) -> dict[str, Any]:
        """What every object says of itself; windows reach back to before the application, and so are not complete."""
        return {"timestamp": Moment(answer.asked_at - 2.0, time.time() + 1.0), **self._window(answer, window_s)}

    def _window(self, answer: Answer, window_s: float) -> dict[str, Any]:
        end = seconds(answer.window("to"))
        slot_s = next(slot for reach, slot in _SLOTS_S if window_s <= reach) if self.source == "local" else 0.0
        back = min(window_s, _KEPT_S) if self.source == "local" else window_s
        return {
            "source": self.source,
            "from": Moment(end - back - slot_s - _SAME_S, end - back + _SAME_S),
            "to": Moment(self.books.ended, time.time() + 1.0),
            "complete": False,
            "exact": True,
        }

    def _health(self, provider: str, end: float) -> dict[str, Any]:
        seen, score = self.books.attempts(provider), self._score(provider)
        return {
            "provider": provider,
            "health_score": None if score is None else Number(score, relative=_RATIO),
            "status": "unknown" if score is None else _status(score),
            "error_rate": _ratio(seen.bad, seen.good + seen.bad),
            "availability": self._available(provider),
            "last_updated": _same(end),
        }

    def _score(self, provider: str) -> float | None:
        """All answers of the load are faster than what counts as slow, so that each is worth a whole success."""
        seen = self.books.attempts(provider)
        return 100.0 * seen.good / (seen.good + seen.bad) if seen.good + seen.bad else None

    def _available(self, provider: str) -> float | None:
        seen = self.books.attempts(provider)
        return float(seen.good >= seen.bad) if seen.good + seen.bad else None

    def _availability(self, provider: str) -> dict[str, Any]:
        seen, available = self.books.attempts(provider), self._available(provider)
        judged: dict[str, Any] = {
            "availability": available,
            "hours_available": _count(int(available or 0)),
            "hours_with_traffic": _count(int(available is not None)),
        }
        if self.books.hour is None:  # two hours, of which each was as it was
            judged = {
                "availability": Among((None, 0.0, 0.5, 1.0)),
                "hours_available": Among((None, 1, 2)),
                "hours_with_traffic": Among((None, 1, 2)),
            }
        return {
            **judged,
            "success_rate": _ratio(seen.good, seen.good + seen.bad),
            "total_attempts": _count(seen.total),
            "failed_attempts": _count(seen.bad),
        }

    def _provider(self, provider: str) -> dict[str, Any]:
        calls, score = self.books.calls.of(provider=provider), self._score(provider)
        return {
            **_traffic(calls),
            "total_cost": _amount(calls.cost),
            "health_score": None if score is None else Number(score, relative=_RATIO),
            "hourly_breakdown": self._breakdown(provider),
        }

    def _breakdown(self, provider: str) -> Any:
        row = _hour_of(self.books.calls.of(provider=provider))
        hour = self.books.hour
        return Summed(row, frozenset()) if hour is None else {f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%d:%H}": row}

    def _by_hour(self, answer: Answer, name: str, row: Mapping[str, Any], empty: Mapping[str, Any]) -> Any:
        """A row for each hour of the window, of which all but one are empty."""
        hour = self.books.hour
        if hour is None:
            counts = {key: one for key, one in row.items() if key in _ADD_UP}
            return Summed(counts, frozenset({name, *row}) - counts.keys())
        start, end = seconds(answer.body["from"]), seconds(answer.body["to"])
        starts = [start, *_full_hours(start, end)]
        place = max(number for number, at in enumerate(starts) if at <= max(hour, start))
        return [{name: _same(at), **(row if number == place else empty)} for number, at in enumerate(starts)]

    def _latency(self, *key: str) -> dict[str, Any]:
        """Mean and quantiles of a provider's calls, or of those for one model, or of all."""
        count, calls = self.speeds.counts.get(key), self._of(key)
        if not count:
            return dict.fromkeys(("avg_latency_ms", "p50_latency", "p95_latency", "p99_latency"))
        return {
            "avg_latency_ms": Number(self.speeds.sums[key] / count * 1e3, relative=RELATIVE),
            **{
                f"p{share * 100:.0f}_latency": Number(
                    self.speeds.quantiles[share, key] * 1e3,
                    relative=RELATIVE,
                    at_least=bucket_of(calls.planned(share)) * 1e3,
                )
                for share in SHARES
            },
        }

    def _of(self, key: Sequence[str]) -> Calls:
        provider, model = (*key, None, None)[:2]
        return self.books.calls.of(provider=provider, model=model)

    def _trend(self, pair: tuple[str, str]) -> dict[str, Any]:
        calls = self._of(pair)
        return {
            **_traffic(calls),
            **self._latency(*pair),
            "provider": pair[0],
            "gateway": pair[0],
            "model": pair[1],
            "requests": _count(calls.total),
            "total_tokens": _count(calls.given + calls.produced),
            "total_cost": _amount(calls.cost),
            "cost_per_request": _ratio(calls.cost, calls.total),
            "avg_speed": Number(calls.produced / self.speeds.sums[pair], relative=RELATIVE),
        }

    def _rank(self, sort_by: str, pair: tuple[str, str]) -> float:
        calls = self._of(pair)
        return {
            "requests": calls.total,
            "tokens": calls.given + calls.produced,
            "cost": calls.cost,
            "errors": calls.bad,
            "latency": self.speeds.sums[pair] / self.speeds.counts[pair],
        }[sort_by]


_ADD_UP = frozenset(
    {"total_requests", "successful_requests", "failed_requests", "tokens_input", "tokens_output", "total_cost", "count"}
)


def _count(number: int) -> int | None:
    """A count of a window that is not covered: nothing was seen of what is not known."""
    return number or None


def _amount(number: float) -> Number | None:
    return Number(number, absolute=MONEY) if number else None


def _ratio(part: float, of: float) -> Number | None:
    return Number(part / of, absolute=MONEY, relative=_RATIO) if of else None


def _same(at: float) -> Moment:
    return Moment(at - _SAME_S, at + _SAME_S)


def _share(calls: Calls) -> float:
    return calls.bad / (calls.good + calls.bad) if calls.good + calls.bad else 0.0


def _status(score: float) -> str:
    return "healthy" if score >= 80 else "degraded" if score >= 50 else "unhealthy"


def _traffic(calls: Calls) -> dict[str, Any]:
    return {
        "total_requests": _count(calls.total),
        "successful_requests": _count(calls.good),
        "failed_requests": _count(calls.bad),
        "error_rate": _ratio(calls.bad, calls.good + calls.bad),
        "success_rate": _ratio(calls.good, calls.good + calls.bad),
    }


def _hour_of(calls: Calls) -> dict[str, Any]:
    return {
        "total_requests": _count(calls.total),
        "successful_requests": _count(calls.good),
        "failed_requests": _count(calls.bad),
        "tokens_input": _count(calls.given),
        "tokens_output": _count(calls.produced),
        "total_cost": _amount(calls.cost),
    }


def _tokens(calls: Calls) -> dict[str, Any]:
    total = calls.given + calls.produced
    return {
        "tokens_input": _count(calls.given),
        "tokens_output": _count(calls.produced),
        "tokens_total": _count(total),
        "tokens_estimated": _count(calls.estimated),
        "total_requests": _count(calls.total),
        "total_cost": _amount(calls.cost),
        "output_per_input_ratio": _ratio(calls.produced, calls.given),
        "tokens_per_request": _ratio(total, calls.total),
        "cost_per_request": _ratio(calls.cost, calls.total),
        "cost_per_token": _ratio(calls.cost, total),
    }


def _full_hours(start: float, end: float) -> list[float]:
    hours = range(int(start // HOUR_S) + 1, int(end // HOUR_S) + 1)
    return [hour * HOUR_S for hour in hours if hour * HOUR_S < end]


def _errors_of(entry: Entry) -> tuple[str, ...]:
    return _BROKE if entry.outcome is Outcome.STREAM_ERROR else _ERRORS[entry.status]


def _failures(found: Any, planned: dict[tuple[str, str], list[float]], books: Books) -> list[dict[str, Any]]:
    """The rows that there have to be, in the order of those that there are; each as slow as one that was planned."""
    names = dict.fromkeys(_BROKE, _BROKE[0])
    delays = {key: sorted(each) for key, each in planned.items()}
    kinds = Counter((row["model"], names.get(row["error"], row["error"])) for row in found)
    if kinds != Counter({key: len(each) for key, each in delays.items()}):
        return [{"model": model, "error": error, "times": len(each)} for (model, error), each in delays.items()]
    slowest_first = sorted(range(len(found)), key=lambda place: -found[place]["latency_ms"])
    rows: dict[int, dict[str, Any]] = {}
    for place in slowest_first:
        row = found[place]
        least = delays[row["model"], names.get(row["error"], row["error"])].pop()
        newest = found[place - 1]["timestamp"] if place else books.ended + 1.0
        rows[place] = {
            "model": row["model"],
            "error": row["error"],
            "timestamp": Between(books.began, newest),
            "latency_ms": Between(least * 1e3, inf),
        }
    return [rows[place] for place in range(len(found))]
