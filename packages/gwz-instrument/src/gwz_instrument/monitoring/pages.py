"""What the endpoints' answers have in common: who says it, of which time, and how calls are added up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from gwz_instrument.health.scores import FAILURES
from gwz_instrument.outcomes import SUCCESS
from gwz_instrument.semconv import inference

from .quantiles import Buckets, quantile
from .store import Ask, Store, Sums, View, Window

CALLS: Final = inference.REQUESTS
_ESTIMATED: Final = "_estimated"
_SHARES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Page:
    """A body, one object or a list of them, and the window that it is of."""

    body: BaseModel | Sequence[BaseModel]
    window: Window


class Calls(NamedTuple):
    """Calls, or attempts, that ended."""

    total: float = 0.0
    good: float = 0.0
    bad: float = 0.0

    def plus(self, other: "Calls") -> "Calls":
        """Both together."""
        return Calls(self.total + other.total, self.good + other.good, self.bad + other.bad)

    @property
    def error_rate(self) -> float | None:
        """Failures among what was answered or failed, 0 to 1."""
        judged = self.good + self.bad
        return self.bad / judged if judged else None

    @property
    def success_rate(self) -> float | None:
        """Successes among the same."""
        judged = self.good + self.bad
        return self.good / judged if judged else None


class Tokens(NamedTuple):
    """Tokens that were given and produced, estimates among them."""

    given: float = 0.0
    produced: float = 0.0
    estimated: float = 0.0

    def plus(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(self.given + other.given, self.produced + other.produced, self.estimated + other.estimated)

    @property
    def total(self) -> float:
        """All of them."""
        return self.given + self.produced


def head(store: Store, window: Window) -> dict[str, Any]:
    """What every object says of itself."""
    return {
        "timestamp": datetime.now(UTC),
        "source": store.source,
        "start": utc(window.start),
        "end": utc(window.end),
        "complete": window.complete,
        "exact": window.exact,
    }


def utc(seconds: float) -> datetime:
    """A time of the clock."""
    return datetime.fromtimestamp(seconds, UTC)


def hour_key(seconds: float) -> str:
    """The hour that a time is in, as YYYY-MM-DD:HH."""
    return utc(seconds).strftime("%Y-%m-%d:%H")


def whole(view: View, *asks: Ask) -> list[Sums]:
    """By how much each grew in the whole window."""
    return [sums for (sums,) in view.increases(asks, [view.window.start, view.window.end])]


def calls_by(sums: Sums) -> dict[tuple[str, ...], Calls]:
    """Calls by the labels before the status, which comes last; who had none is left out."""
    found: dict[tuple[str, ...], Calls] = {}
    for labels, number in sums.items():
        if number:
            key, status = labels[:-1], labels[-1]
            calls = Calls(number, number * (status == SUCCESS), number * (status in FAILURES))
            found[key] = found[key].plus(calls) if key in found else calls
    return found


def tokens_by(sums: Sums) -> dict[tuple[str, ...], Tokens]:
    """Tokens by the labels before their type, which comes last; who had none is left out."""
    found: dict[tuple[str, ...], Tokens] = {}
    for labels, number in sums.items():
        if number:
            key, kind = labels[:-1], labels[-1]
            given = kind.startswith(inference.TOKEN_TYPES[0])
            tokens = Tokens(number * given, number * (not given), number * kind.endswith(_ESTIMATED))
            found[key] = found[key].plus(tokens) if key in found else tokens
    return found


def all_calls(each: Iterable[Calls]) -> Calls:
    """All of them together."""
    total = Calls()
    for calls in each:
        total = total.plus(calls)
    return total


def all_tokens(each: Iterable[Tokens]) -> Tokens:
    """All of them together."""
    total = Tokens()
    for tokens in each:
        total = total.plus(tokens)
    return total


def traffic(calls: Calls, window: Window) -> dict[str, Any]:
    """The fields of `models.Traffic`."""
    return {
        "total_requests": window.counted(calls.total),
        "successful_requests": window.counted(calls.good),
        "failed_requests": window.counted(calls.bad),
        "error_rate": calls.error_rate,
        "success_rate": calls.success_rate,
    }


def latency(buckets: Buckets, seconds: float) -> dict[str, Any]:
    """The fields of `models.Quantiles`."""
    p50, p95, p99 = (in_ms(quantile(share, buckets)) for share in _SHARES)
    return {"avg_latency_ms": in_ms(mean(seconds, buckets)), "p50_latency": p50, "p95_latency": p95, "p99_latency": p99}


def mean(seconds: float, buckets: Buckets) -> float | None:
    """The mean of the observations in these buckets."""
    count = buckets[max(buckets)] if buckets else 0.0
    return ratio(seconds, count)


def in_ms(seconds: float | None) -> float | None:
    """Milliseconds."""
    return None if seconds is None else seconds * 1e3


def ratio(part: float | None, of: float | None) -> float | None:
    """`part` for each `of`; None of nothing."""
    return part / of if part is not None and of else None


def named(sums: Mapping[tuple[str, ...], Any]) -> list[str]:
    """The first label of each, once, in order."""
    return sorted({key[0] for key in sums})
