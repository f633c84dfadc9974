"""How long this machine itself stood still: what an alert on delays that fires in the calm may be right about."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gwz_e2e.repeated import repeated

_EVERY_S = 0.05


class Stalls:
    """Sleeps over and over, and remembers by how much it woke up too late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest_s = 0.0
        self._clock = clock
        self._due = 0.0

    @contextmanager
    def watched(self) -> Iterator["Stalls"]:
        """Watch while the context lasts."""
        self._due = self._clock() + _EVERY_S
        with repeated(self._look, _EVERY_S, "stalls"):
            yield self

    def _look(self) -> None:
        self.longest_s = max(self.longest_s, self._clock() - self._due)
        self._due = self._clock() + _EVERY_S
