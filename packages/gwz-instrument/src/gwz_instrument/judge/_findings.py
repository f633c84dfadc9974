"""Findings that all three signals have in common, in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches

from gwz_instrument.faults import Fault, Finding, Signal
from gwz_instrument.semconv import Attribute, Field, Label
from gwz_instrument.semconv.model import ValueType

_LONGEST = 80
_IS: Mapping[ValueType, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "string[]": lambda value: isinstance(value, list | tuple) and all(isinstance(item, str) for item in value),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "double": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
}


def stranger(signal: Signal, name: str, what: str, declared: Iterable[str]) -> Finding:
    """`name`, a `what`, is not among those that are declared; the nearest of them is named."""
    nearest = next(iter(get_close_matches(name, list(declared), n=1)), None)
    return Finding(
        signal,
        Fault.STRANGER,
        name,
        f"the {what} {shorten(name)} is emitted and not declared"
        + (f"; the nearest declared name is {nearest}. " if nearest else ". ")
        + "Declare it in gwz_instrument.semconv, or give it a name outside the contract's",
        nearest,
    )


def mute(signal: Signal, name: str, where: str, emitted_by: str) -> Finding:
    """`name` is declared and was not found `where` it belongs."""
    return Finding(
        signal,
        Fault.MUTE,
        name,
        f"{name} is declared and {where}. Have {emitted_by} emit it, or drive the application to where it does",
    )


def wrong_value(signal: Signal, owner: str, declared: Label | Field | Attribute, value: object) -> Iterator[Finding]:
    """Tell a value that the closed set of `declared` does not have."""
    if declared.values and value not in declared.values:
        yield Finding(
            signal,
            Fault.WRONG_VALUE,
            owner,
            f"{declared.name} of {owner} is {shorten(repr(value))}, which is none of {listed(declared.values)}. "
            "Add it to the entry, or correct what emits it",
        )


def wrong_content(signal: Signal, owner: str, declared: Field | Attribute, value: object) -> Iterator[Finding]:
    """Tell a value that is not of the type of `declared`, or not in its closed set."""
    if _IS[declared.type](value):
        yield from wrong_value(signal, owner, declared, value)
    else:
        yield Finding(
            signal,
            Fault.WRONG_TYPE,
            owner,
            f"{declared.name} of {owner} is {shorten(repr(value))}, declared as {declared.type}. "
            "Correct the entry, or what emits it",
        )


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names) or "none"


def shorten(text: str) -> str:
    """A text that may be anything, cut to what a sentence bears."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
