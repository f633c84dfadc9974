"""Reads documents that anybody may have written: JSON and YAML within bounds, and of them what has the form that we use."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from types import UnionType
from typing import Any

from gwz_provision.shapes import Each, Either, Maybe, Shape

LARGEST = 10 * 1024 * 1024
"""The bytes that a document may have."""
_DEEPEST = 100
_MOST = 1_000_000
_SHOWN = 40
_HIDDEN = (".secureJsonData", ".settings")
"""At and below them values are never shown."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TYPES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


def text_of(data: bytes) -> str:
    """Decode a file; raises `ValueError` for one that is too large or no text."""
    if len(data) > LARGEST:
        raise ValueError(f"it has {len(data)} bytes, more than {LARGEST}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: {error}") from error


def json_of(data: bytes) -> Any:
    """Parse JSON; raises `ValueError` saying what is wrong, also with what Grafana would read in another way than we."""
    text = text_of(data)
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_number, parse_float=_number)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    _bounded(content)
    if _SURROGATE.search(text):
        _encodable(content)
    return content


def yaml_of(data: bytes) -> Any:
    """Parse YAML into what JSON can hold; raises `ValueError` saying what is wrong."""
    import yaml  # noqa: PLC0415 - slow to load, and only rule files of Prometheus are YAML

    text = text_of(data)
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        _named_once(node)
        content = None if node is None else loader.construct_document(node)
        _bounded(content)
        return json.loads(json.dumps(content, default=str, allow_nan=False))
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # Its constructors stumble over `!!int ""`, `!!bool x` and `!!timestamp x`.
    except (yaml.YAMLError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"it is not YAML: {error}") from error


def fitted(content: Any, shape: Shape, place: str = "") -> tuple[Any, list[str]]:
    """Return the part of a document that has the shape, and a sentence on each place that has another.

    What is null counts as left out; what the shape does not name stays as it is. A part that lacks what it needs is left
    out as a whole, so that whoever reads the rest finds what the shape promises.
    """
    problems: list[str] = []
    return _fitted(content, shape, place, problems), problems


_TOO_DEEP = f"it is nested too deeply: more than {_DEEPEST} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(_twice(name))
        found[name] = value
    return found


def _named_once(node: Any) -> None:
    """Refuse what `_object` refuses; a node may stand at several places, and within itself."""
    pending, seen = [node], set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen or isinstance(one.value, str):
            continue
        seen.add(id(one))
        names = [each[0].value for each in one.value if isinstance(each, tuple) and isinstance(each[0].value, str)]
        if len(set(names)) < len(names):
            raise ValueError(_twice(next(name for name, count in Counter(names).items() if count > 1)))
        pending += [each[1] if isinstance(each, tuple) else each for each in one.value]


def _twice(name: str) -> str:
    return f"an object has the name {name!r} twice, and only the last would count"


def _number(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text} is no number of JSON")
    return found


def _bounded(content: Any) -> None:
    level, left = [content], _MOST
    for _ in range(_DEEPEST):
        level = list(islice((child for one in level for child in _children(one)), left + 1))
        left -= len(level)
        if not level:
            return
        if left < 0:
            raise ValueError(f"it holds more than {_MOST} values")
    raise ValueError(_TOO_DEEP)


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _encodable(content: Any) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it holds half of a character: {error.reason}") from error


def _fitted(value: Any, shape: Shape, place: str, problems: list[str]) -> Any:  # noqa: PLR0911 - one return for each shape
    """Return the part that fits; None when nothing does, which was then said."""
    match shape:
        case Maybe():
            return None if value is None else _fitted(value, shape.of, place, problems)
        case Either():
            fits = next((one for one in shape.of if _is_of(value, one)), None)
            return _wrong(value, shape, place, problems) if fits is None else _fitted(value, fits, place, problems)
        case _ if not _is_of(value, shape):
            return _wrong(value, shape, place, problems)
        case list():
            items = [_fitted(one, shape[0], f"{place}[{at}]", problems) for at, one in enumerate(value)]
            return [one for one in items if one is not None]
        case tuple():
            items = [_fitted(one, shape[at], f"{place}[{at}]", problems) for at, one in enumerate(value)]
            return None if None in items else items
        case Each():
            found = {name: _fitted(one, shape.of, f"{place}.{name}", problems) for name, one in value.items()}
            return {name: one for name, one in found.items() if one is not None}
        case Mapping():
            return _object_of(value, shape, place, problems)
        case _:
            return value


def _object_of(value: dict[str, Any], shape: Mapping[str, Shape], place: str, problems: list[str]) -> Any:
    found, whole = dict(value), True
    for name, one in shape.items():
        needed = not isinstance(one, Maybe)
        if needed and value.get(name) is None:
            problems.append(f"{place.removeprefix('.') or 'it'} has no {name}")
            fits = None
        else:
            fits = _fitted(value.get(name), one, f"{place}.{name}", problems)
        if fits is None:
            found.pop(name, None)
            whole = whole and not needed
        else:
            found[name] = fits
    return found if whole else None


def _is_of(value: Any, shape: Shape) -> bool:
    match shape:
        case tuple():
            return isinstance(value, list) and len(value) == len(shape)
        case list():
            return isinstance(value, list)
        case Each() | Mapping():
            return isinstance(value, dict)
        case re.Pattern():
            return isinstance(value, str) and shape.fullmatch(value) is not None
        case type() | UnionType():
            # True is an int in Python alone.
            return isinstance(value, shape) and (
                not isinstance(value, bool) or not {bool, object}.isdisjoint(_types(shape))
            )
        case _:
            return False


def _types(shape: type | UnionType) -> tuple[type, ...]:
    return shape.__args__ if isinstance(shape, UnionType) else (shape,)


def _wrong(value: Any, shape: Shape, place: str, problems: list[str]) -> None:
    shown = "something else" if any(one in place for one in _HIDDEN) else _shown(value)
    problems.append(f"{place.removeprefix('.') or 'it'} is {shown}, not {_named(shape)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "a list" if text[_SHOWN:] else text
    return f"{text[:_SHOWN]}…" if text[_SHOWN:] else text


def _named(shape: Shape) -> str:
    match shape:
        case Either():
            return " or ".join(_named(one) for one in shape.of if not isinstance(one, re.Pattern))
        case tuple():
            return f"a list of {len(shape)}"
        case list():
            return "a list"
        case re.Pattern():
            return f"one of {', '.join(shape.pattern.split('|'))}"
        case type() | UnionType():
            named = [_TYPES[one] for one in _types(shape)]
            return " or ".join(one for one in named if not (one == _TYPES[int] and _TYPES[float] in named))
        case _:
            return "an object"
