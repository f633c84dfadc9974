"""What an answer to a query holds: how much, and the last value of each series."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gwz_provision.bundle import Json

# Enough to compare any panel that a person can read, little enough to print.
MAX_VALUES = 200
_LONGEST_ERROR = 2000


@dataclass(frozen=True)
class Value:
    """The last number of one series."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Content:
    """How many frames hold data, how many points they hold, and the last value of up to `MAX_VALUES` series.

    `unknown` counts the numbers that are none: NaN, and null in JSON.
    """

    frames: int = 0
    points: int = 0
    values: tuple[Value, ...] = ()
    unknown: int = 0


def error_of(result: Json) -> str:
    """Return the error that stands in one query's result, as much of it as anybody reads; empty when it succeeded."""
    return str(result.get("error") or "")[:_LONGEST_ERROR]


def content_of(result: Json) -> Content:
    """Measure one query's result; exemplars, and numbers that are none (NaN), are not data."""
    frames = [_Frame(frame) for frame in result.get("frames") or () if frame["schema"].get("name") != "exemplar"]
    values = [value for frame in frames for value in frame.last_values()]
    return Content(
        frames=sum(1 for frame in frames if frame.points),
        points=sum(frame.points for frame in frames),
        values=tuple(values[:MAX_VALUES]),
        unknown=sum(frame.unknown for frame in frames),
    )


def content_of_search(answer: Json) -> Content:
    """Measure the answer of Tempo's search: each trace that was found is a point."""
    found = len(answer.get("traces") or [])
    return Content(frames=min(found, 1), points=found)


class _Frame:
    def __init__(self, frame: Json) -> None:
        self._columns = list(zip(frame["schema"]["fields"], frame["data"]["values"], strict=False))

    @property
    def points(self) -> int:
        """The numbers of a frame of numbers, the rows of any other: log lines, a trace's spans."""
        numbers = list(self._numbers())
        if numbers:
            return sum(len(column) for _, column in numbers)
        return max((len(column) for _, column in self._columns), default=0)

    @property
    def unknown(self) -> int:
        """The places of numbers that hold none."""
        return sum(column.count(None) for field, column in self._columns if field.get("type") == "number")

    def last_values(self) -> Iterator[Value]:
        for field, column in self._numbers():
            if column:
                yield Value(field.get("labels") or {}, column[-1])

    def _numbers(self) -> Iterator[tuple[Json, list[Any]]]:
        for field, column in self._columns:
            if field.get("type") == "number":
                yield field, [value for value in column if value is not None]
