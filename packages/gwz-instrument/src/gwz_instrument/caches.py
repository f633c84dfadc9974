"""`cache`: counts the hits and misses of the application's caches, and says how large they are."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Self

from .cells import Cell
from .labels import OTHER, Bounded
from .metrics import Collectors, Values
from .per_registry import PerRegistry
from .polling import Poll, polls_of
from .recording import Recording, recording
from .semconv import cache as metrics
from .semconv import health

MAX_CACHES: Final = 100
EVERY_S: Final = 30.0
"""How often a function is asked for a size."""

SizeOf = Callable[[], Any]


def cache(name: str) -> "Cache":
    """A cache of the application's by its name, a constant of your code; after some hundred the rest is `_other`.

    `hit()` and `miss()` count one look-up each, `size()` says how large it is. A `with` block gives the same object and
    does nothing by itself.
    """
    return Cache(name)


class Cache:
    """A cache by its name. No method raises; thread-safe."""

    __slots__ = ("_name",)

    def __init__(self, name: object) -> None:
        self._name = name

    def __enter__(self) -> Self:
        """Give the cache."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Do nothing; an exception passes through."""

    async def __aenter__(self) -> Self:
        """Give the cache."""
        return self

    async def __aexit__(self, *_raised: object) -> None:
        """Do nothing; an exception passes through."""

    def hit(self) -> None:
        """Count a look-up that found what it asked for."""
        self._count(0)

    def miss(self) -> None:
        """Count a look-up that found nothing."""
        self._count(1)

    def size(self, size: SizeOf | float) -> None:
        """Say how many bytes the cache holds: a number, or a function that is asked for one from now on.

        The function is asked twice a minute, on a thread of its own, so that one that hangs delays nobody; what it said last
        is then forgotten, as an old size is a wrong one. Of several sizes for a name the last one counts.
        """
        found = recording()
        if found is None:
            return
        try:
            label = self._label(found)
            if callable(size):
                _kept(found.collectors).say(label, _polled(found, label, size))
            elif (number := _read(found, size)) is not None:
                _kept(found.collectors).say(label, lambda: number)
        except Exception:  # noqa: BLE001  # no fault of ours may cost the application its cache
            found.complain("cache")

    def _count(self, which: int) -> None:
        found = recording()
        if found is None:
            return
        try:
            name, kept = self._name, _kept(found.collectors)
            cells = kept.cells.get(name) if name.__class__ is str else None
            if cells is None:
                cells = kept.find(found.collectors, self._label(found))
            cells[which].inc()
        except Exception:  # noqa: BLE001  # no fault of ours may cost the application its cache
            found.complain("cache")

    def _label(self, found: Recording) -> str:
        """The name as a label value."""
        return _kept(found.collectors).names.admit(found.name("the name of a cache", self._name))


class _Cells(NamedTuple):
    hits: Cell
    misses: Cell


class _Sizes:
    """What says the size of each cache at a scrape."""

    def __init__(self) -> None:
        self.by_name: dict[str, Callable[[], float | None]] = {}

    def now(self) -> dict[Values, float]:
        """Those that are known."""
        sizes = {(label,): say() for label, say in list(self.by_name.items())}
        return {values: size for values, size in sizes.items() if size is not None}


class _Kept:
    """The bounds of the names, the cells of those that they admitted, and the sizes."""

    def __init__(self, collectors: Collectors) -> None:
        self.cells: dict[str, _Cells] = {}
        self.names = Bounded(collectors, metrics.HITS, "cache_name", budget=MAX_CACHES, declared=(OTHER,))
        sizes = _Sizes()
        self._sizes = weakref.ref(sizes)  # they know the collectors, which hold them
        collectors.watch(metrics.SIZE, lambda: sizes.now(), owner=sizes)  # noqa: PLW0108  # a method would not hold them

    def say(self, label: str, say: Callable[[], float | None]) -> None:
        """Let `say` say the size of a cache from now on."""
        if (sizes := self._sizes()) is not None:
            sizes.by_name[label] = say

    def find(self, collectors: Collectors, label: str) -> _Cells:
        """The cells of a cache. Both: a ratio needs its zero."""
        cells = _Cells(collectors.child(metrics.HITS, label), collectors.child(metrics.MISSES, label))
        self.cells[label] = cells
        return cells


def _polled(found: Recording, label: str, size: SizeOf) -> Callable[[], float | None]:
    failed = partial(found.collectors.tell, "metrics", health.FAILED)
    poll = Poll[float | None](f"the size of {label}", size, EVERY_S, read=partial(_read, found), failed=failed)
    polls_of(found.collectors).add(poll)
    poll.begin()
    return poll.answer


def _read(found: Recording, value: object) -> float | None:
    """The number of bytes that `value` is; None, counted, for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return float(value)
    found.refuse("the size of a cache", value)
    return None


_MOST: Final = 2.0**63
_kept: Final = PerRegistry(_Kept)
