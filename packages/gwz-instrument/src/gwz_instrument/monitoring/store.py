"""What the endpoints ask of their numbers' source, and what it answers: increases of counters between edges in time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from gwz_instrument.semconv import Metric

Part = Literal["value", "bucket", "sum"]
Sums = dict[tuple[str, ...], float]
"""Increases by the values of the labels that were asked for."""

HOUR_S = 3600.0


class Ask(NamedTuple):
    """A counter, or a part of a histogram, summed by labels.

    Buckets are cumulative, and their keys end in the bound, as text: `+Inf` for the last.
    """

    entry: Metric
    by: tuple[str, ...] = ()
    part: Part = "value"
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """The time that was counted, seconds since 1970.

    `complete`: nothing of it is missing. `exact`: nothing was counted that lies outside, and nothing left out that
    lies inside; else what lies within one scrape interval of an edge may be on the wrong side of it.
    """

    start: float
    end: float
    complete: bool
    exact: bool

    @property
    def hours(self) -> list[float]:
        """The window's edges, and the full hours between them."""
        return self.edges(HOUR_S)

    def edges(self, step_s: float) -> list[float]:
        """The window's edges, and the multiples of `step_s` between them."""
        first = int(self.start // step_s) + 1
        inner = range(first, int(self.end // step_s) + 1)
        return [self.start, *(number * step_s for number in inner if number * step_s < self.end), self.end]

    def counted(self, number: float) -> int | None:
        """A count: 0 only where nothing can have been missed."""
        return round(number) if number or self.complete else None

    def amount(self, number: float) -> float | None:
        """As `counted`, for what is not a whole number."""
        return number if number or self.complete else None


class Failed(NamedTuple):
    """A call that failed, when it ended in seconds since 1970, and how long it took."""

    at: float
    model: str
    error: str
    seconds: float | None


class Failures(NamedTuple):
    """The newest failures, newest first, and the window that was searched."""

    found: Sequence[Failed]
    window: Window


class Breakers(NamedTuple):
    """The state of each provider's breaker, in the contract's words, and when that was read."""

    states: Mapping[str, str]
    at: float


class View(Protocol):
    """A look at one window."""

    window: Window

    def increases(self, asks: Sequence[Ask], edges: Sequence[float]) -> list[list[Sums]]:
        """For each ask, for each time between two edges, by how much it grew; edges ascend and lie in the window."""


class Store(Protocol):
    """Where the numbers are. Methods block, and raise Unavailable when there is no answer in time."""

    source: str

    def look(self, seconds: float, *, before_s: float = 0.0) -> View:
        """A look at the last so many seconds, or at as many before the last `before_s`."""

    def knows(self, provider: str, model: str | None = None) -> bool:
        """Whether there ever was such a provider, or such a model at it."""

    def breakers(self) -> Breakers:
        """The circuit breakers' states."""

    def failures(self, provider: str, limit: int) -> Failures:
        """The newest calls that failed at a provider."""


class Unavailable(Exception):  # noqa: N818  # it says what the store is
    """The store does not answer; the message says which hop failed, and what to do."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """What is asked for one answer: until when of the monotonic clock, and what a store keeps meanwhile."""

    until: float
    kept: dict[int, Any] = field(default_factory=dict)


SITTING: Final[ContextVar[Sitting | None]] = ContextVar("gwz_monitoring_sitting", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """All that a store is asked within this block, in this thread, has so many seconds together."""
    token = SITTING.set(Sitting(time.monotonic() + seconds))
    try:
        yield
    finally:
        SITTING.reset(token)


def until(seconds: float) -> float:
    """When what is asked now has to be answered, by the monotonic clock; in so many seconds if nobody set a deadline."""
    sitting = SITTING.get()
    return time.monotonic() + seconds if sitting is None else sitting.until
