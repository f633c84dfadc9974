"""An answer of JSON held against what it has to be, leaf by leaf: what nobody expected is a difference as well."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

MONEY = 1e-9
RELATIVE = 1e-6


@runtime_checkable
class Leaf(Protocol):
    """What a value has to be."""

    def accepts(self, found: Any) -> bool:
        """Whether the value is that."""


@dataclass(frozen=True)
class Number:
    """A number within a tolerance, and at least so much."""

    value: float
    absolute: float = 0.0
    relative: float = 0.0
    at_least: float = -math.inf

    def accepts(self, found: Any) -> bool:
        """Whether it is within both tolerances' larger one, and not too small."""
        return (
            isinstance(found, int | float)
            and not isinstance(found, bool)
            and math.isclose(found, self.value, rel_tol=self.relative, abs_tol=self.absolute)
            and found >= self.at_least
        )

    def __str__(self) -> str:
        bound = "" if self.at_least == -math.inf else f" and at least {self.at_least:g}"
        return f"{self.value:.12g}{bound}"


@dataclass(frozen=True)
class Between:
    """A number from one to another."""

    low: float
    high: float

    def accepts(self, found: Any) -> bool:
        """Whether it lies there."""
        return isinstance(found, int | float) and not isinstance(found, bool) and self.low <= found <= self.high

    def __str__(self) -> str:
        return f"{self.low:.12g} to {self.high:.12g}"


@dataclass(frozen=True)
class Moment:
    """A time of day with its zone, from one moment to another, in unix seconds."""

    earliest: float
    latest: float

    def accepts(self, found: Any) -> bool:
        """Whether it lies there; what says no zone is no such time."""
        return isinstance(found, str) and self.earliest <= seconds(found) <= self.latest

    def __str__(self) -> str:
        return f"a time from {self.earliest:.3f} to {self.latest:.3f}"


@dataclass(frozen=True)
class Among:
    """One of several values."""

    values: Sequence[Any]

    def accepts(self, found: Any) -> bool:
        """Whether it is one of them."""
        return found in self.values

    def __str__(self) -> str:
        return f"one of {self.values}"


class Ranked(dict[str, Any]):
    """An object whose keys come in this order."""


@dataclass(frozen=True)
class Summed:
    """Rows that have these keys and others, and of which these add up to this; null adds nothing."""

    totals: Mapping[str, Any]
    others: frozenset[str]


@dataclass
class Comparison:
    """What was compared: how many leaves, and in which they differ."""

    leaves: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, found: Any, wanted: Any, where: str) -> None:
        """Hold an answer, or a part of one, against what it has to be."""
        match wanted:
            case Mapping():
                self._object(found, wanted, where)
            case list():
                self._list(found, wanted, where)
            case Summed():
                self._rows(found, wanted, where)
            case _:
                self.leaves += 1
                if not _is(found, wanted):
                    self.differences.append(f"{where} is {found!r} instead of {wanted}")

    def _object(self, found: Any, wanted: Mapping[str, Any], where: str) -> None:
        if not isinstance(found, dict):
            self.differences.append(f"{where} is {found!r}, no object")
            return
        self.differences += [f"nobody expects {where}.{key}: {found[key]!r}" for key in found.keys() - wanted.keys()]
        self.differences += [f"{where}.{key} is missing" for key in wanted.keys() - found.keys()]
        if isinstance(wanted, Ranked) and found.keys() == wanted.keys() and list(found) != list(wanted):
            self.differences.append(f"{where} is in the order {', '.join(found)} instead of {', '.join(wanted)}")
        for key in wanted.keys() & found.keys():
            self.compare(found[key], wanted[key], f"{where}.{key}")

    def _list(self, found: Any, wanted: list[Any], where: str) -> None:
        if not isinstance(found, list) or len(found) != len(wanted):
            number = len(found) if isinstance(found, list) else "no"
            self.differences.append(f"{where} has {number} items instead of {len(wanted)}")
            return
        for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
            self.compare(one, other, f"{where}[{place}]")

    def _rows(self, found: Any, wanted: Summed, where: str) -> None:
        rows = list(found.values()) if isinstance(found, dict) else found
        for place, row in enumerate(rows):
            if row.keys() != wanted.totals.keys() | wanted.others:
                self.differences.append(f"{where}[{place}] has the keys {', '.join(row)}")
                return
        for key, total in wanted.totals.items():
            values = [row[key] for row in rows if row[key] is not None]
            self.compare(sum(values) if values else None, total, f"the sum of {where}[].{key}")


def seconds(text: str) -> float:
    """A time of day in unix seconds; NaN for what is none, or has no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return math.nan if moment.tzinfo is None else moment.timestamp()


def _is(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Leaf):
        return wanted.accepts(found)
    return type(found) is type(wanted) and bool(found == wanted)
