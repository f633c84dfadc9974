"""Names that the application gives: whatever they are, text or nothing."""

from typing import Final

MAX_NAME: Final = 200


def plain(value: object) -> object:
    """A text as itself, not what a class derived from `str` makes of it, as an enumeration does; anything else as it is."""
    return str.__str__(value) if issubclass(type(value), str) else value


def name_of(value: object) -> str:
    """A name as spans and lines carry it: text, cut; empty for what is none."""
    return str.__str__(value)[:MAX_NAME] if issubclass(type(value), str) else ""
