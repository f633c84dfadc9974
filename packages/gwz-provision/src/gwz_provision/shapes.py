"""The shapes of what Grafana, and the servers behind it, answer: as much of each as is read here, held against it in one place."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Maybe:
    """A place that may be left out, or hold null."""

    of: "Shape"


@dataclass(frozen=True)
class Each:
    """An object with any names, all of whose places are alike."""

    of: "Shape"


@dataclass(frozen=True)
class Either:
    """A place of one of several shapes, which differ in their types."""

    of: "tuple[Shape, ...]"


Shape: TypeAlias = "type | UnionType | re.Pattern[str] | Maybe | Each | Either | Sequence[Shape] | Mapping[str, Shape]"
"""A type, a text of a pattern, a list of one item's shape, a tuple of the first items' shapes, or an object by its names."""


def misfit(answer: Any, shape: Shape, place: str = "") -> str:  # noqa: PLR0911 - one return for each kind of shape
    """Say where an answer is of another shape, and what stands there; empty when it fits."""
    match shape:
        case Maybe():
            return "" if answer is None else misfit(answer, shape.of, place)
        case Either() if any(not misfit(answer, one) for one in shape.of):
            return ""
        case Each() if isinstance(answer, dict):
            return _first(misfit(one, shape.of, f"{place}.{name}") for name, one in answer.items())
        case list() if isinstance(answer, list):
            return _first(misfit(one, shape[0], f"{place}[{at}]") for at, one in enumerate(answer))
        case tuple() if isinstance(answer, list) and len(answer) >= len(shape):
            return _first(misfit(answer[at], one, f"{place}[{at}]") for at, one in enumerate(shape))
        case Mapping() if isinstance(answer, dict):
            return _first(misfit(answer.get(name), one, f"{place}.{name}") for name, one in shape.items())
        case re.Pattern() if isinstance(answer, str) and shape.fullmatch(answer):
            return ""
        case type() | UnionType() if isinstance(answer, shape):
            return ""
        case _:
            return f"{place.removeprefix('.') or 'the whole'} is {_NAMES[type(answer)]}"


def _first(found: Iterator[str]) -> str:
    return next(filter(None, found), "")


_NAMES = {
    type(None): "missing or null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
_NUMBER = int | float
_DIGITS = re.compile(r"[0-9]{1,19}")
_DURATION = re.compile(r"0|(?:[0-9]{1,12}(?:ms|[smhdwy]))*")

# Grafana's own.

HEALTH: Shape = {"database": Maybe(str), "version": Maybe(str)}
HITS: Shape = [{"uid": str, "type": str, "title": str, "tags": Maybe([str]), "folderUid": Maybe(str)}]
FOLDER: Shape = {"uid": str, "title": str, "parentUid": Maybe(str)}
COUNTS: Shape = Each(_NUMBER)
DATASOURCE: Shape = {
    "uid": str,
    "name": str,
    "type": str,
    "url": Maybe(str),
    "jsonData": Maybe(dict),
    "secureJsonFields": Maybe(dict),
    "isDefault": Maybe(bool),
}
DASHBOARD: Shape = {"dashboard": {"title": Maybe(str), "tags": Maybe([str])}, "meta": dict}
VERSIONS: Shape = [{"data": Maybe(dict)}]
RULES: Shape = [
    {
        "uid": str,
        "title": str,
        "folderUID": str,
        "labels": Maybe(dict),
        "annotations": Maybe(dict),
        "for": Maybe(_DURATION),
        "data": Maybe([{"model": Maybe(dict), "relativeTimeRange": Maybe(dict)}]),
    }
]
RULE_GROUPS: Shape = {"groups": Maybe([{"interval": Maybe(_DURATION), "rules": Maybe([{"uid": str}])}])}
CONTACT_POINTS: Shape = [{"uid": str, "name": str, "type": str, "settings": dict}]
CONTACT_POINTS_IN_CLEAR: Shape = {"contactPoints": Maybe([{"receivers": Maybe([{"uid": str, "settings": dict}])}])}
_ROUTE: dict[str, Shape] = {
    "object_matchers": Maybe([[str]]),
    **dict.fromkeys(("group_wait", "group_interval", "repeat_interval"), Maybe(_DURATION)),
}
_ROUTE["routes"] = Maybe([_ROUTE])
POLICIES: Shape = _ROUTE
TIMINGS: Shape = [{"name": str}]
TEMPLATES: Shape = [{"name": str, "template": str}]
FRAME: Shape = {
    "schema": {
        "name": Maybe(str),
        "fields": [{"name": Maybe(str), "type": Maybe(str), "labels": Maybe(Each(str))}],
    },
    "data": {"values": [list]},
}
RESULTS: Shape = {"results": Maybe(Each({"error": Maybe(str), "frames": Maybe([FRAME])}))}

# What Prometheus, Loki and Tempo answer through Grafana, under `data` but for Tempo.

TARGETS: Shape = {
    "activeTargets": Maybe(
        [
            {
                "labels": Maybe({"job": Maybe(str), "instance": Maybe(str)}),
                "scrapeUrl": Maybe(str),
                "health": Maybe(str),
                "lastError": Maybe(str),
            }
        ]
    )
}
RUNTIME: Shape = {"storageRetention": Maybe(str)}
LABEL_VALUES: Shape = [str]
SERIES: Shape = [dict]
MATRIX: Shape = {"result": Maybe([{"values": [(_NUMBER, str)]}])}
STREAMS: Shape = {"result": Maybe([{"values": [(_DIGITS, str)]}])}
TRACES: Shape = {"traces": Maybe([{"startTimeUnixNano": Maybe(_DIGITS)}])}
TAG_VALUES: Shape = {"tagValues": Maybe([dict])}
