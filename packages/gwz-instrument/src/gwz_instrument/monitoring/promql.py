"""PromQL as text, and the rows of its answers."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, TypeVar

from .lives import Samples, Target

T = TypeVar("T")


def quoted(text: str) -> str:
    """A string of PromQL and LogQL."""
    return json.dumps(text, ensure_ascii=False)


def literally(text: str) -> str:
    """A regular expression that matches only `text`."""
    return "".join(f"\\{one}" if one in r"\.+*?()|[]{}^$" else one for one in text)


def seconds_of(seconds: float) -> str:
    """A time as Prometheus takes it, to the millisecond."""
    return f"{seconds:.3f}"


def duration(seconds: float) -> str:
    """How long a range reaches back; at least a millisecond."""
    return f"{max(1, round(seconds * 1000))}ms"


def union(expressions: Sequence[str]) -> str:
    """All series of all expressions. Halved again and again: Prometheus would compare the last with all before it."""
    if len(expressions) == 1:
        return expressions[0]
    half = len(expressions) // 2
    return f"({union(expressions[:half])} or {union(expressions[half:])})"


def at_most(number: int, things: Sequence[T]) -> Iterator[Sequence[T]]:
    """The things, so many at a time."""
    return (things[first : first + number] for first in range(0, len(things), number))


def target_of(labels: Mapping[str, str], own: Collection[str] = ()) -> Target:
    """What a series has from its target: its labels without the metric's own."""
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__" and name not in own))


def samples_of(row: Mapping[str, Any]) -> Samples:
    """Times and values of a row of an answer."""
    return [(float(at), float(value)) for at, value in row.get("values", ()) if isfinite(float(value))]
