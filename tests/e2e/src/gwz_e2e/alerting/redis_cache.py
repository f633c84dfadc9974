"""Redis as the cache that it is: full, which is well, and then of a kind that is not."""

import threading
from dataclasses import dataclass
from itertools import cycle

import redis

NEARLY = 0.95
"""The share of its memory at which Redis is nearly full."""
_PREFIX = "gwz-e2e-alerts"
_MIB = 1 << 20
_TIMEOUT_S = 10
_VALUE = bytes(_MIB // 8)
_ROUNDS = 2
"""How often over the values of a round have to be, so that none is left when it is asked for again."""
_EVERY_S = 0.005


def fill(url: str) -> None:
    """Write values until Redis has to evict some: the usual state of a cache that has lived for a while."""
    with _client(url) as client:
        number, before = 0, client.info("stats")["evicted_keys"]
        while client.info("stats")["evicted_keys"] == before:
            client.set(f"{_PREFIX}:full:{number}", bytes(_MIB))
            number += 1


@dataclass(frozen=True)
class NothingGoes:
    """Redis is nearly full and may evict nothing."""

    url: str

    def begin(self) -> None:
        """Make a little room, and forbid Redis to make more."""
        with _client(self.url) as client:
            for key in client.scan_iter(f"{_PREFIX}:full:*"):
                memory = client.info("memory")
                if memory["used_memory"] < NEARLY * memory["maxmemory"]:
                    break
                client.delete(key)
            client.config_set("maxmemory-policy", "noeviction")

    def end(self) -> None:
        """Let Redis evict what it likes again."""
        with _client(self.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")


class TooMuchAskedFor:
    """More than fits into Redis is asked for in turn, and written each time since it is not there any more."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="too much asked for", daemon=True)

    def begin(self) -> None:
        """Ask, in a thread."""
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with _client(self._url) as client:
            values = _ROUNDS * client.info("memory")["maxmemory"] // len(_VALUE)
            for number in cycle(range(values)):
                if self._over.wait(_EVERY_S):
                    return
                key = f"{_PREFIX}:round:{number}"
                if client.get(key) is None:
                    client.set(key, _VALUE)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
