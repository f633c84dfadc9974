"""What has to be seen to when the application has started, and again at each scrape."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from . import multiprocess
from .guard import Guard
from .metrics import Collectors
from .runtime import Runtime
from .semconv import health

_PUBLISH_S: Final = 1.0


class Upkeep:
    """Puts back what the application removed, measures the event loop that it runs on, publishes for other workers."""

    def __init__(self, guard: Guard, collectors: Collectors) -> None:
        self._guard = guard
        self._collectors = collectors
        self._serving_pid = 0
        for entry, read in (
            (health.LOOP_LAG, _RUNTIME.loop_lag_s),
            (health.CPU, _RUNTIME.cpu_ratio),
            (health.MEMORY, _RUNTIME.memory_ratio),
        ):
            collectors.watch(entry, _reader(read))

    def __call__(self) -> None:
        """See to it; cheap when all is well."""
        self._guard.put_back()
        with suppress(RuntimeError):  # a scrape is answered in a thread, where no loop runs
            _RUNTIME.watch_loop(asyncio.get_running_loop())
        if self._serving_pid != os.getpid():
            self._serving_pid = os.getpid()
            self._collectors.look()
            if multiprocess.enabled():
                threading.Thread(target=self._publish, name="gwz-publish", daemon=True).start()

    def _publish(self) -> None:
        """Let the other workers' scrapes see this one's gauges."""
        while True:
            time.sleep(_PUBLISH_S)
            with suppress(Exception):  # the files may be gone at the end; the next second tries again
                self._collectors.publish()


def _reader(read: Callable[[], float | None]) -> Callable[[], Mapping[tuple[str, ...], float]]:
    """One value without labels; what is not known has no series."""

    def values() -> Mapping[tuple[str, ...], float]:
        value = read()
        return {} if value is None else {(): value}

    return values


_RUNTIME: Final = Runtime()
"""One for the process, whatever the number of its applications."""
