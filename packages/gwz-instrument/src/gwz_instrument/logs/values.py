"""Turns any value into JSON that strict parsers read; what cannot be said becomes a placeholder, nothing raises."""

import dataclasses
import enum
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
"""Types whose values never change, exactly: a subclass may do anything."""

_MAX_DEPTH: Final = 20
_MAX_NODES: Final = 10_000  # of one value; the rest is left out
_MAX_TEXT: Final = 128 * 1024
_MAX_INT_BITS: Final = 1024

quote = json.encoder.encode_basestring


class Json(str):
    """Text that is JSON already."""

    __slots__ = ()


def snapshot(value: Any) -> Json:
    """JSON of what `value` is now: whatever the application does to it later, the line says this."""
    try:
        text = json.dumps(value, default=_plain_once, ensure_ascii=False, allow_nan=False)
    except Exception:  # noqa: BLE001  # a circle, NaN, keys that JSON does not know, a __str__ that raises
        text = _slowly(value)
    return Json(text if len(text) <= _MAX_TEXT else quote(f"{text[:_MAX_TEXT]} … (cut)"))


def encode(value: Any) -> str:
    """JSON of a scalar or a `Json`."""
    return _ENCODERS.get(type(value), snapshot)(value)


def text_of(value: Any) -> str:
    """`str(value)`, or a placeholder if that raises."""
    try:
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception as error:  # noqa: BLE001  # it is the application's method
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _int(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # Python refuses to write out more than sys.get_int_max_str_digits()
        return quote(_too_long(value))


def _float(value: float) -> str:
    return float.__repr__(value) if math.isfinite(value) else quote(str(value))


def _bool(value: object) -> str:
    return "true" if value else "false"


def _null(_value: object) -> str:
    return "null"


_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    str: quote,
    Json: str,
    int: _int,
    float: _float,
    bool: _bool,
    type(None): _null,
}


def _too_long(value: int) -> str:
    return f"<int of {value.bit_length()} bits>"


def _plain_once(value: Any) -> Any:
    """What json.dumps should write for a value that it does not know; it asks again for what is inside."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=text_of)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[:_MAX_TEXT]).decode("utf-8", "backslashreplace")
    return text_of(value)


def _slowly(value: Any) -> str:
    try:
        return json.dumps(_Plain().of(value, 0), ensure_ascii=False, allow_nan=False)
    except Exception as error:  # noqa: BLE001  # the last resort is to say so
        return quote(f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>")


def _leaf(value: Any) -> Any:
    """A value with nothing inside, as one of JSON's own; an enum's member is its value."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if value.bit_length() < _MAX_INT_BITS else _too_long(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return text_of(value) if isinstance(value, str) else value


class _Plain:
    """Walks a value, whatever it holds, within bounds."""

    def __init__(self) -> None:
        self._above: set[int] = set()
        self._nodes = 0

    def of(self, value: Any, depth: int) -> Any:
        """`value` made of nothing but dicts, lists, text, finite numbers, booleans and None."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return _leaf(value)
        self._nodes += 1
        if depth > _MAX_DEPTH or id(value) in self._above or self._nodes > _MAX_NODES:
            return f"<{type(value).__name__}, not followed further>"
        self._above.add(id(value))
        try:
            return self._inside(value, depth + 1)
        except Exception as error:  # noqa: BLE001  # this part becomes a placeholder, the others stay
            return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
        finally:
            self._above.discard(id(value))

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {text_of(name): self.of(held, depth) for name, held in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(held, depth) for held in value]
        return self.of(_plain_once(value), depth)
