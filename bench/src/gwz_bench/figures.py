"""The statistics of a run: a figure is the median and the quartiles of its rounds."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

FAR = 3.0
"""A reach that is missed by more than this factor is no noise."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The middle and the spread of one quantity over the rounds, in the unit of the samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> "Figure":
        """The median and the quartiles of `samples`; one sample has no spread."""
        values = sorted(samples)
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    @property
    def iqr(self) -> float:
        """The distance between the quartiles."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Reach:
    """What a ratio to a peer is wanted to be: at most, or at least, a limit."""

    limit: float
    of: str
    sign: Literal["≤", "≥"] = "≤"

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g} × {self.of}"

    def holds(self, ratio: float) -> bool:
        """Whether `ratio` is within reach."""
        return ratio <= self.limit if self.sign == "≤" else ratio >= self.limit

    def far(self, ratio: float) -> bool:
        """Whether `ratio` misses by more than any clock's noise."""
        return ratio > self.limit * FAR if self.sign == "≤" else ratio * FAR < self.limit


def added(plain: Sequence[float], variant: Sequence[float]) -> float:
    """What the variant adds, when each of its slices ran between two of the plain one: p v p v … p.

    Each slice is compared with the mean of its two neighbours, so that a drift of the machine cancels
    out, and the median of the differences is taken, so that one disturbed slice does not count.
    """
    if len(plain) != len(variant) + 1:
        raise ValueError(f"{len(variant)} slices need {len(variant) + 1} plain ones around them, not {len(plain)}")
    return statistics.median(v - (a + b) / 2 for v, (a, b) in zip(variant, pairwise(plain), strict=True))


def same_within_noise(figure: Figure, base: Figure, control: Figure, colder: float = 1.0) -> bool | None:
    """Whether `figure` is above `base` by no more than the noise; None when the noise would hide anything.

    `colder`: how much dearer a fixed piece of work is where `figure` was measured. After more code of others there is
    less of its own in the processor's caches.

    The noise is the widest spread of both, or the error of the method: how far the control is from nothing.
    Two plain applications are not equally fast either, as they lie in different places of the memory.
    """
    noise = max(figure.iqr, base.iqr, abs(control.low), abs(control.high))
    expected = base.median * max(1.0, colder)
    if figure.median - expected > noise:
        return False
    return True if noise <= FAR * expected else None


def percentile(samples: Iterable[float], share: float) -> float:
    """The smallest sample that at least `share` of all samples do not exceed."""
    values = sorted(samples)
    return values[max(0, -int(-share * len(values) // 1) - 1)]


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of the straight line with the least squares."""
    return statistics.linear_regression(xs, ys).slope
