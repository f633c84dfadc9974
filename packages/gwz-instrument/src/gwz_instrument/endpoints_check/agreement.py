"""Whether the numbers of an answer agree: sums with their parts, ratios with what they are of, words with scores, orders."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isclose
from typing import Any, Final

from gwz_instrument.monitoring import models
from gwz_instrument.monitoring.condition import status_of

from .cases import Call
from .report import Finding

MOST_MS: Final = 600_000
"""A median beyond ten minutes: it was not measured in milliseconds."""
_TINY: Final = 1e-9
_HOUR: Final = timedelta(hours=1)
_SLACK: Final = timedelta(seconds=2)
_REPORT: Final = (
    "Ask the application itself, past any proxy or cache; if it says the same, report it with the output of --json"
)
_UNIT: Final = "Latencies are in milliseconds: look for what passes seconds or nanoseconds"
_OPEN: Final = "OPEN"
_ADDED: Final = ("total_requests", "successful_requests", "failed_requests", "total_cost")
_TOKENS: Final = ("tokens_input", "tokens_output")


def findings(call: Call, body: Any) -> Iterator[Finding]:
    """What disagrees in an answer."""
    if isinstance(body, models.Traffic):
        yield from _traffic("", body)
    if isinstance(body, models.Quantiles):
        yield from _quantiles("", body.p50_latency, body.p95_latency, body.p99_latency)
    if judge := _JUDGES.get(type(body)):
        yield from judge(call, body)
    for number, row in enumerate(body if isinstance(body, list) else ()):
        if judge := _JUDGES.get(type(row)):
            yield from _below(f"[{number}].", judge(call, row))
    if isinstance(body, list):
        yield from _rows(call, body)


def within(body: Any, start: datetime, end: datetime) -> Iterator[Finding]:
    """What of an answer lies outside of its window."""
    times: list[tuple[str, datetime]] = []
    match body:
        case models.Realtime():
            times = [(f"series[{n}].time", point.time) for n, point in enumerate(body.series)]
            for name, provider in body.providers.items():
                yield from _keys(f"providers.{name}.hourly_breakdown", provider.hourly_breakdown, start, end)
        case models.Hourly():
            yield from _keys("data", body.data, start, end)
        case models.LatencyTrends():
            times = [(f"hourly_data[{n}].hour", point.hour) for n, point in enumerate(body.hourly_data)]
        case models.Availability():
            times = [(f"series[{n}].time", point.time) for n, point in enumerate(body.series)]
        case models.CostAnalysis():
            times = [(f"series[{n}].time", point.time) for n, point in enumerate(body.series)]
        case models.OneProviderHealth():
            times = [("last_updated", body.last_updated)]
        case list():
            times = [pair for n, row in enumerate(body) for pair in _row_times(n, row)]
    yield from (
        _outside(where, at, start, end) for where, at in times if not start - _SLACK <= _aware(at) <= end + _SLACK
    )


def _row_times(number: int, row: Any) -> Iterator[tuple[str, datetime]]:
    if isinstance(row, models.ProviderHealth):
        yield f"[{number}].last_updated", row.last_updated
    if isinstance(row, models.Failure):
        yield f"[{number}].timestamp", _moment(row.timestamp)


def _keys(where: str, keys: Iterable[str], start: datetime, end: datetime) -> Iterator[Finding]:
    for key in keys:
        try:
            hour = datetime.strptime(key, "%Y-%m-%d:%H").replace(tzinfo=UTC)
        except ValueError:
            yield Finding("time", f"{where}.{key}", f"{where} has the key {key!r}, which is no hour", _REPORT)
        else:
            if not start - _HOUR < hour <= end + _SLACK:
                yield _outside(f"{where}.{key}", hour, start, end)


def _outside(where: str, at: datetime, start: datetime, end: datetime) -> Finding:
    sentence = f"{where} is {at.isoformat()}, outside of the window from {start.isoformat()} to {end.isoformat()}"
    return Finding("window", where, sentence, _REPORT)


def _traffic(where: str, one: models.Traffic) -> Iterator[Finding]:
    good, bad, total = one.successful_requests or 0, one.failed_requests or 0, one.total_requests or 0
    if total < good + bad:
        sentence = f"{where}total_requests is {total}, less than the {good} that succeeded and the {bad} that failed"
        yield Finding("sum", f"{where}total_requests", sentence, _REPORT)
    yield from _ratio(f"{where}error_rate", one.error_rate, bad, good + bad, "failed by successful and failed")
    rates = one.error_rate, one.success_rate
    if (rates[0] is None) != (rates[1] is None) or not _close(
        sum(rate or 0.0 for rate in rates), float(None not in rates)
    ):
        sentence = f"{where}error_rate {one.error_rate} and {where}success_rate {one.success_rate} do not add up to 1"
        yield Finding("ratio", f"{where}success_rate", sentence, _REPORT)


def _quantiles(where: str, *found: float | None) -> Iterator[Finding]:
    """The median, the 95th and the 99th percentile."""
    names = ("p50", "p95", "p99")
    for (lower, less), (upper, more) in pairwise(zip(names, found, strict=True)):
        if less is not None and more is not None and less > more:
            yield Finding("order", f"{where}{lower}", f"{where}{lower} is {less} ms, above {upper}, {more} ms", _REPORT)
    if len({one is None for one in found}) > 1:
        yield Finding(
            "order", f"{where}p50", f"of {where}p50, p95 and p99 some are null and some are not: {found}", _REPORT
        )
    if found[0] is not None and found[0] >= MOST_MS:
        yield Finding(
            "unit", f"{where}p50", f"{where}p50 is {found[0]:g} ms, which is {found[0] / 6e4:.0f} minutes", _UNIT
        )


def _health(_call: Call, one: models.ProviderHealth) -> Iterator[Finding]:
    if one.status != (word := status_of(one.health_score)):
        sentence = f"the status of {one.provider} is {one.status}, and its score {one.health_score} is called {word}"
        yield Finding("word", "status", sentence, _REPORT)


def _realtime(_call: Call, body: models.Realtime) -> Iterator[Finding]:
    providers = body.providers.values()
    for name in _ADDED:
        yield from _sum(name, body, providers, "providers")
    for name in (*_ADDED, *_TOKENS):
        yield from _sum(name, body, body.series, "series")
    for whose, one in body.providers.items():
        yield from _traffic(f"providers.{whose}.", one)
        for name in _ADDED:
            yield from _sum(name, one, one.hourly_breakdown.values(), "hourly_breakdown", f"providers.{whose}.")
    for number, point in enumerate(body.series):
        yield from _traffic(f"series[{number}].", point)
    for name in _TOKENS:
        hours = [hour for one in providers for hour in one.hourly_breakdown.values()]
        yield from _sum(name, body, hours, "hourly_breakdown of all providers")
    yield from _same("total_errors", body.total_errors, "failed_requests", body.failed_requests)
    scores = [one.health_score for one in providers if one.health_score is not None]
    yield from _ratio(
        "avg_health_score", body.avg_health_score, sum(scores), len(scores), "mean of the providers' scores"
    )


def _error_rates(_call: Call, body: models.ErrorRates) -> Iterator[Finding]:
    for name in _ADDED[:3]:
        yield from _sum(name, body, body.models.values(), "models")
    yield from _same("total_errors", body.total_errors, "failed_requests", body.failed_requests)
    for model, one in body.models.items():
        yield from _traffic(f"models.{model}.", one)
    yield from _descending("models", "error_rate", [one.error_rate for one in body.models.values()])


def _anomalies(_call: Call, body: models.Anomalies) -> Iterator[Finding]:
    yield from _same("total_count", body.total_count, "the number of anomalies", len(body.anomalies))
    for severity, said in (("critical", body.critical_count), ("warning", body.warning_count)):
        listed = sum(one.severity == severity for one in body.anomalies)
        yield from _same(f"{severity}_count", said, f"the number of {severity} anomalies", listed)


def _breaker(_call: Call, one: models.Breaker) -> Iterator[Finding]:
    if one.is_available != (one.state != _OPEN):
        sentence = f"is_available of {one.provider} is {str(one.is_available).lower()}, and the breaker is {one.state}"
        yield Finding("word", "is_available", sentence, _REPORT)
    if not datetime(2020, 1, 1, tzinfo=UTC) < _moment(one.last_updated) < datetime.now(UTC) + 24 * _HOUR:
        sentence = f"last_updated of {one.provider} is {one.last_updated}, which is no time of seconds since 1970"
        yield Finding("unit", "last_updated", sentence, _REPORT)


def _availability(_call: Call, body: models.Availability) -> Iterator[Finding]:
    for name, one in body.providers.items():
        judged = [
            point.availability for point in body.series if point.provider == name and point.availability is not None
        ]
        up, hours = one.hours_available or 0, one.hours_with_traffic or 0
        yield from _ratio(
            f"providers.{name}.availability", one.availability, up, hours, "hours available by hours with traffic"
        )
        yield from _same(
            f"providers.{name}.hours_with_traffic", hours, "the number of its hours in series", len(judged)
        )
        yield from _same(f"providers.{name}.hours_available", up, "the sum of its hours in series", sum(judged))
        if (one.failed_attempts or 0) > (one.total_attempts or 0):
            sentence = f"{one.failed_attempts} of {one.total_attempts} attempts of {name} are said to have failed"
            yield Finding("sum", f"providers.{name}.failed_attempts", sentence, _REPORT)


def _trending(call: Call, body: models.Trending) -> Iterator[Finding]:
    yield from _same("count", body.count, "the number of models", len(body.data))
    if len(body.data) > (limit := call.asked["limit"]):
        yield Finding(
            "limit", "data", f"there are {len(body.data)} models, and at most {limit} were asked for", _REPORT
        )
    rank = _RANKS[call.asked["sort_by"]]
    yield from _descending("data", rank, [getattr(row, rank) for row in body.data])
    for number, row in enumerate(body.data):
        where = f"data[{number}]."
        yield from _traffic(where, row)
        yield from _quantiles(where, row.p50_latency, row.p95_latency, row.p99_latency)
        yield from _same(f"{where}requests", row.requests, "total_requests", row.total_requests)
        yield from _same(f"{where}gateway", row.gateway, "provider", row.provider)
        yield from _ratio(
            f"{where}cost_per_request", row.cost_per_request, row.total_cost, row.total_requests, "cost by requests"
        )
        if call.asked["gateway"] not in ("all", row.provider):
            sentence = f"{where}provider is {row.provider!r}, and {call.asked['gateway']!r} was asked for"
            yield Finding("question", f"{where}provider", sentence, _REPORT)


def _trends(_call: Call, body: models.LatencyTrends) -> Iterator[Finding]:
    yield from _sum("count", body, body.hourly_data, "hourly_data")
    yield from _same("overall_avg_latency_ms", body.overall_avg_latency_ms, "avg_latency_ms", body.avg_latency_ms)
    yield from _same("overall_p95_latency_ms", body.overall_p95_latency_ms, "p95_latency", body.p95_latency)
    for n, point in enumerate(body.hourly_data):
        yield from _quantiles(f"hourly_data[{n}].", point.p50_latency_ms, point.p95_latency_ms, point.p99_latency_ms)


def _latency(_call: Call, body: models.Latency) -> Iterator[Finding]:
    yield from _quantiles("", body.p50, body.p95, body.p99)
    if not body.count and body.avg is not None:
        yield Finding("sum", "avg", f"avg is {body.avg} ms of no calls", _REPORT)


def _costs(_call: Call, body: models.CostAnalysis) -> Iterator[Finding]:
    for name in ("total_cost", "total_requests"):
        yield from _sum(name, body, body.providers.values(), "providers")
    yield from _sum("total_cost", body, body.series, "series")
    yield from _same("start_date", body.start_date, "from", body.start)
    yield from _same("end_date", body.end_date, "to", body.end)
    rows: list[tuple[str, Any]] = [("", body), *((f"providers.{name}.", one) for name, one in body.providers.items())]
    for where, one in rows:
        yield from _ratio(
            f"{where}cost_per_request", one.cost_per_request, one.total_cost, one.total_requests, "cost by requests"
        )
    yield from _descending("providers", "total_cost", [one.total_cost for one in body.providers.values()])


def _efficiency(_call: Call, body: models.TokenEfficiency) -> Iterator[Finding]:
    for name in (*_TOKENS, "tokens_total", "tokens_estimated", "total_requests", "total_cost"):
        yield from _sum(name, body, body.models.values(), "models")
    for where, one in [("", body), *((f"models.{name}.", one) for name, one in body.models.items())]:
        both = (one.tokens_input or 0) + (one.tokens_output or 0)
        yield from _same(f"{where}tokens_total", one.tokens_total or 0, "tokens_input and tokens_output together", both)
        for name, part, of in (
            ("output_per_input_ratio", one.tokens_output, one.tokens_input),
            ("tokens_per_request", one.tokens_total, one.total_requests),
            ("cost_per_request", one.total_cost, one.total_requests),
            ("cost_per_token", one.total_cost, one.tokens_total),
        ):
            yield from _ratio(f"{where}{name}", getattr(one, name), part, of, "that of the numbers beside it")


def _rows(call: Call, rows: Sequence[Any]) -> Iterator[Finding]:
    """What disagrees among the rows of a list."""
    if len(rows) > (limit := call.asked.get("limit", len(rows))):
        yield Finding("limit", "the list", f"it has {len(rows)} rows, and at most {limit} were asked for", _REPORT)
    failures = [row.timestamp for row in rows if isinstance(row, models.Failure)]
    yield from _descending("the list", "timestamp", failures)
    names = [row.provider for row in rows if isinstance(row, models.ProviderHealth | models.Breaker)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield Finding("sum", "provider", f"{', '.join(twice)} is in the list more than once", _REPORT)


def _sum(name: str, whole: Any, parts: Iterable[Any], whose: str, where: str = "") -> Iterator[Finding]:
    """What is unknown counts as nothing."""
    said, added = getattr(whole, name) or 0, sum(getattr(part, name) or 0 for part in parts)
    if not _close(said, added):
        sentence = f"{where}{name} is {getattr(whole, name)}, and that of its {whose} adds up to {added}"
        yield Finding("sum", f"{where}{name}", sentence, _REPORT)


def _ratio(where: str, said: float | None, part: float | None, of: float | None, meaning: str) -> Iterator[Finding]:
    wanted = (part or 0) / of if of else None
    if (said is None) != (wanted is None) or not _close(said or 0.0, wanted or 0.0):
        yield Finding("ratio", where, f"{where} is {said}, and {wanted} is the {meaning}", _REPORT)


def _same(where: str, said: Any, other: str, wanted: Any) -> Iterator[Finding]:
    if said != wanted:
        yield Finding("agreement", where, f"{where} is {said}, and {other} {wanted}", _REPORT)


def _descending(where: str, by: str, found: Sequence[float | None]) -> Iterator[Finding]:
    for number, (before, after) in enumerate(pairwise(one or 0 for one in found)):
        if after > before:
            sentence = f"{where} is not sorted by {by}, the greatest first: {before} comes before {after}"
            yield Finding("order", f"{where}[{number + 1}]", sentence, _REPORT)
            return


def _below(where: str, found: Iterable[Finding]) -> Iterator[Finding]:
    yield from (Finding(one.rule, f"{where}{one.subject}", one.sentence, one.cure) for one in found)


def _close(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=_TINY, abs_tol=_TINY)


def _moment(seconds: float) -> datetime:
    """A time of seconds since 1970; the end of time for what is none."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_RANKS: Final = {
    "requests": "requests",
    "tokens": "total_tokens",
    "cost": "total_cost",
    "errors": "failed_requests",
    "latency": "avg_latency_ms",
}
_JUDGES: Final[dict[type[Any], Callable[[Call, Any], Iterator[Finding]]]] = {
    models.ProviderHealth: _health,
    models.OneProviderHealth: _health,
    models.Realtime: _realtime,
    models.ErrorRates: _error_rates,
    models.Anomalies: _anomalies,
    models.Breaker: _breaker,
    models.Availability: _availability,
    models.Trending: _trending,
    models.LatencyTrends: _trends,
    models.Latency: _latency,
    models.CostAnalysis: _costs,
    models.TokenEfficiency: _efficiency,
}
