"""What a setting's value must be: each rule reads a variable's text, checks a value, and says what it wants."""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

_TRUE, _FALSE = ("1", "on", "true", "yes"), ("0", "false", "no", "off")
_MATCHER = r"\s*[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*\"(?:[^\"\\\n]|\\.)*\"\s*"
_MATCHERS = re.compile(f"{_MATCHER}(?:,{_MATCHER})*,?\\s*")
_CREDENTIALS = re.compile(r"[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of value: `check` returns what is kept, or raises ValueError or TypeError; `wanted` follows "it must be"."""

    wanted: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any] = str
    """The value that a variable's text means."""
    shown: Callable[[object], str] = repr
    """How a value may be printed."""

    def value(self, source: str, given: object) -> Any:
        """`given`, checked; ValueError names `source`, the value and what it must be."""
        try:
            return self.check(given)
        except (TypeError, ValueError):
            raise ValueError(f"{source} is {self.shown(given)}: it must be {self.wanted}") from None

    def read_value(self, variable: str, text: str) -> Any:
        """The value of a variable's text, checked as by `value`."""
        try:
            return self.check(self.read(text))
        except (TypeError, ValueError):
            raise ValueError(f"{variable} is {self.shown(text)}: it must be {self.wanted}") from None


def optional(rule: Rule) -> Rule:
    """`rule`, or None."""
    return replace(rule, check=lambda value: None if value is None else rule.check(value))


def one_of(*words: str) -> Rule:
    """One of these words, in any case."""

    def check(value: Any) -> str:
        _require(isinstance(value, str) and value.lower() in words)
        return str(value.lower())

    return Rule(f"one of {', '.join(words)}", check)


def switch(*words: str) -> Rule:
    """One of these words, or False, in a variable `off`."""

    def check(value: Any) -> str | bool:
        _require(value is False or (isinstance(value, str) and value.lower() in words))
        return value is not False and str(value.lower())

    def read(text: str) -> str | bool:
        return text.lower() not in (*_FALSE, "none") and text

    return Rule(f"one of {', '.join(words)}, or False, in the environment off", check, read)


def address(example: str, *, without: str = "") -> Rule:
    """An HTTP address; a slash at its end and the path `without` are cut off."""

    def check(value: Any) -> str:
        _require(_is_address(value))
        return str(value).rstrip("/").removesuffix(without).rstrip("/") if without else str(value).rstrip("/")

    return Rule(f"an address such as {example}", check, shown=_without_credentials)


def number(low: float, high: float = math.inf) -> Rule:
    """A finite number from `low` to `high`."""

    def check(value: Any) -> float:
        _require(isinstance(value, int | float) and not isinstance(value, bool))
        _require(math.isfinite(value) and low <= value <= high)
        return float(value)

    return Rule(f"a number from {low:g} to {high:g}" if high < math.inf else f"a number, {low:g} or more", check, float)


def whole(low: int) -> Rule:
    """A whole number that is at least `low`."""

    def check(value: Any) -> int:
        _require(isinstance(value, int) and not isinstance(value, bool) and value >= low)
        return int(value)

    return Rule(f"a whole number, {low} or more", check, int)


def names(example: str) -> Rule:
    """Names without repetition: comma-separated in a variable, a tuple as an argument."""

    def check(value: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_text(name).strip() for name in _members(value)))

    return Rule(f"names, such as ({example!r},) as an argument or {example} in the environment", check, _split)


def paths(*, always: Collection[str]) -> Rule:
    """URL paths; those that are `always` there come first."""

    def check(value: Any) -> tuple[str, ...]:
        given = [_text(path) for path in _members(value)]
        _require(all(path.startswith("/") and not set(path) & set("{}?#") for path in given))
        return tuple(dict.fromkeys((*always, *given)))

    wanted = "URL paths without parameters, such as ('/ping',) as an argument or /ping in the environment"
    return Rule(wanted, check, _split)


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


def _text(value: Any) -> str:
    _require(isinstance(value, str) and value.strip() and value.isprintable())
    return str(value)


def _secret(value: Any) -> str:
    _require(isinstance(value, str) and value.isascii() and value.isprintable() and value and " " not in value)
    return str(value)


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


def _read_flag(text: str) -> bool:
    _require(text.lower() in _TRUE + _FALSE)
    return text.lower() in _TRUE


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _members(value: Any) -> list[Any]:
    _require(isinstance(value, list | tuple | set | frozenset))
    return sorted(value) if isinstance(value, set | frozenset) else list(value)


def _is_address(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    parts = urlsplit(value)
    bare = not parts.query and not parts.fragment and not value.endswith(("?", "#"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and bare


def _without_credentials(value: object) -> str:
    return repr(_CREDENTIALS.sub("[redacted]@", value) if isinstance(value, str) else value)


def _hidden(value: object) -> str:
    return repr(value) if value is None else "'[redacted]'"


def _selector(value: Any) -> str:
    _require(isinstance(value, str) and _MATCHERS.fullmatch(value.strip().removeprefix("{").removesuffix("}")))
    return str(value).strip().removeprefix("{").removesuffix("}")


def _callable(value: Any) -> Any:
    _require(callable(value))
    return value


CALLABLE = Rule("a function", _callable, shown=lambda value: getattr(value, "__qualname__", repr(value)))
SELECTOR = Rule('matchers of labels, such as job="gatewayz_production"', _selector)
TEXT = Rule("printable text, not empty", _text)
SECRET = Rule("printable ASCII without spaces, as a header can carry it", _secret, shown=_hidden)
FLAG = Rule(f"True or False as an argument, one of {', '.join(_TRUE + _FALSE)} in the environment", _flag, _read_flag)
