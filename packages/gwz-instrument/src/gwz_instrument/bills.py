"""What a call consumed and cost, as it is told: each kind once, measured or estimated."""

from collections.abc import Mapping
from typing import Final, NamedTuple

INPUT, OUTPUT, COST = "input_tokens", "output_tokens", "cost_usd"
"""The kinds of what is told."""


class Bill(NamedTuple):
    """Tokens and money by kind, and which kinds of tokens are an estimate."""

    numbers: Mapping[str, float]
    estimated: frozenset[str] = frozenset()


EMPTY: Final = Bill({})


def added(known: Bill, told: Bill) -> tuple[Bill, Bill, Mapping[str, float]]:
    """All that is known now, what of it is new, and what contradicts what was known: that stays as it was."""
    before = known.numbers
    if not before:
        return told, told, EMPTY.numbers
    new = {what: number for what, number in told.numbers.items() if what not in before}
    contradicting = {what: number for what, number in told.numbers.items() if before.get(what, number) != number}
    fresh = Bill(new, told.estimated & new.keys())
    return Bill({**before, **new}, known.estimated | fresh.estimated), fresh, contradicting
