"""How long this machine itself stood still: what an alert on delays that fires in the calm may be right about."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY_S = 0.05


class Stalls:
    """Sleeps over and over, and remembers by how much it woke up too late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest_s = 0.0
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    @contextmanager
    def watched(self) -> Iterator["Stalls"]:
        """Watch while the context lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        due = self._clock() + _EVERY_S
        while not self._over.wait(_EVERY_S):
            self.longest_s = max(self.longest_s, self._clock() - due)
            due = self._clock() + _EVERY_S
