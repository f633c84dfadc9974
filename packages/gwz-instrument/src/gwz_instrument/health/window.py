"""A ring of time slots: sums by key, of the last so many slots, in memory that only new keys add to."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

Sums = TypeVar("Sums", bound=Sequence[float])
_NEVER: Final = -(2**62)
"""The number of a slot that was not used yet: no clock gives it."""


class Ring(Generic[Sums]):
    """What was added for each key in the last `slots` slots of `slot_s` seconds, the present one included.

    `width` numbers are added up at a time, and `make` gives the sums their names. Adding takes the same time whatever
    the ring holds. Nothing is ever forgotten of which keys there were: the caller bounds them. Not thread-safe.
    """

    def __init__(self, make: Callable[[Iterable[float]], Sums], width: int, *, slot_s: float, slots: int) -> None:
        self.slot_s = slot_s
        self.slots = slots
        self._make = make
        self._width = width
        self._tracks: dict[str, _Track] = {}

    def slot(self, at: float) -> int:
        """The number of the slot that the time `at` is in."""
        return int(at // self.slot_s)

    def add(self, key: str, at: float, amounts: Sequence[float]) -> None:
        """Add to the slot of `at`; what is older than the whole ring is left out."""
        number = self.slot(at)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(number, self.slots, self._width)
        place = number % self.slots
        if track.numbers[place] > number:
            return
        start = place * self._width
        if track.numbers[place] < number:
            track.numbers[place] = number
            track.sums[start : start + self._width] = array("d", amounts)
            return
        for offset, amount in enumerate(amounts, start):
            track.sums[offset] += amount

    def __iter__(self) -> Iterator[str]:
        """Every key that anything was ever added for."""
        return iter(list(self._tracks))

    def first_slot(self, key: str) -> int:
        """The number of the slot in which `key` came up."""
        return self._tracks[key].first

    def total(self, key: str, first: int, last: int) -> Sums:
        """The sums of the slots from number `first` to `last`, both included."""
        rows = self.each(key, first, last)
        return self._make(map(sum, zip(*rows, strict=True)) if rows else [0.0] * self._width)

    def each(self, key: str, first: int, last: int) -> list[tuple[float, ...]]:
        """The sums of each slot from number `first` to `last` in which anything was added, in no order."""
        track, width = self._tracks[key], self._width
        rows = zip(*(track.sums[offset::width] for offset in range(width)), strict=True)
        return [row for number, row in zip(track.numbers, rows, strict=True) if first <= number <= last]


class _Track:
    """The slots of one key: their numbers, and their sums one after the other."""

    __slots__ = ("first", "numbers", "sums")

    def __init__(self, first: int, slots: int, width: int) -> None:
        self.first = first
        self.numbers = array("q", [_NEVER]) * slots
        self.sums = array("d", [0.0]) * (slots * width)
