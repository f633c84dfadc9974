"""Two tallies held against each other, and the differences in words."""

from collections.abc import Mapping
from typing import Any

_SHOWN = 4


def differences(wanted: Mapping[Any, float], found: Mapping[Any, float]) -> list[str]:
    """A phrase for each key whose numbers differ; a key that one side lacks counts as zero there."""
    return [
        f"{_words(key)}: {_number(found.get(key, 0))} instead of {_number(wanted.get(key, 0))}"
        for key in sorted(wanted.keys() | found.keys(), key=str)
        if wanted.get(key, 0) != found.get(key, 0)
    ]


def shorten(phrases: list[str]) -> str:
    """The first few phrases, and how many more there are."""
    more = len(phrases) - _SHOWN
    return "; ".join(phrases[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _words(key: Any) -> str:
    return " ".join(str(part) or "(none)" for part in key) if isinstance(key, tuple) else str(key)


def _number(value: float) -> str:
    return f"{value:g}"
