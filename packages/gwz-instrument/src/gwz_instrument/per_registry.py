"""What a recorder keeps for each registry that it feeds: the bounds of its labels, the cells that it has looked up."""

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from .metrics import Collectors

_T = TypeVar("_T")


class PerRegistry(Generic[_T]):
    """One `make(collectors)` for each `Collectors`, which it must not hold: it goes when they go."""

    def __init__(self, make: Callable[[Collectors], _T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Collectors, _T] = WeakKeyDictionary()

    def __call__(self, collectors: Collectors) -> _T:
        """What belongs to these collectors; made when it is first asked for."""
        made = self._made.get(collectors)
        return self._made.setdefault(collectors, self._make(collectors)) if made is None else made
