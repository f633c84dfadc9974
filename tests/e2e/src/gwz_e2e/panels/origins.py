"""What the load does not decide, read where it comes from: the kernel's word on the process, Redis's on itself.

Each is moved once, so that a panel that stands still is seen to.
"""

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from gwz_e2e.case import Case
from gwz_instrument.runtime import CPU_WINDOW_S, cpu_use, memory_ratio

HELD_PATH = "/v1/chat/completions"
"""Where a request is held in progress, with a body that takes memory."""
_BLOCKED_S = 0.6
"""How long the process stands still, and its event loop with it."""
_BODY_BYTES = 96 * 2**20
_PIECE = b" " * 2**16
_SCRAPED_S = 2.5
"""Two scrapes, and what lies between them and an answer."""
_BUSY_S = CPU_WINDOW_S - _SCRAPED_S
_KEYS, _VALUE = 300, "x" * 20_000
_HITS, _MISSES = 40_000, 20_000
_SLOW = 400, "local x = 0 for i = 1, 100000 do x = x + i end return x"
"""Commands that take as long as all others together, so that what they take is what a command takes."""
_PREFIX = "gwz-e2e-origin"
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Used:
    """CPU time that was used until a moment."""

    at: float
    cpu_s: float


@dataclass(frozen=True)
class _Reading:
    """What Redis has done so far."""

    commands: int
    hits: int
    misses: int
    calls: int
    calls_s: float


class Origins:
    """The origins of one application and of the Redis that it asks."""

    def __init__(self, case: Case, pid: int) -> None:
        self._case = case
        self._pid = pid
        self._redis: Any = redis.Redis.from_url(case.engines.redis_url, socket_timeout=10, decode_responses=True)
        self._redis.eval("return 1", 0)  # a rate does not see how much a series begins with

    @contextmanager
    def moved(self, window_s: float) -> Iterator[Mapping[str, float]]:
        """Move every one, and give what they say while they are moved; rates are per second of a window of `window_s`."""
        before = self._read()
        try:
            with self._large_request():
                self._stop_for_a_moment()
                self._use_redis()
                idle = _Used(time.time(), self._cpu_s())
                self._use_cpu()
                time.sleep(_SCRAPED_S)
                yield {**self._said(before, self._read(), window_s), "cpu": self._cpu_since(idle)}
        finally:
            with suppress(redis.RedisError):
                self._redis.delete(*(f"{_PREFIX}:{number}" for number in range(_KEYS)))

    def _read(self) -> _Reading:
        stats, commands = self._redis.info("stats"), self._redis.info("commandstats").values()
        return _Reading(
            int(stats["total_commands_processed"]),
            int(stats["keyspace_hits"]),
            int(stats["keyspace_misses"]),
            sum(int(one["calls"]) for one in commands),
            sum(float(one["usec"]) for one in commands) / 1e6,
        )

    def _said(self, before: _Reading, now: _Reading, window_s: float) -> dict[str, float]:
        memory = self._redis.info("memory")
        hits, misses = now.hits - before.hits, now.misses - before.misses
        return {
            "memory": self._memory(),
            "loop_lag": _BLOCKED_S,
            "in_progress": 1.0,
            "redis_memory": memory["used_memory"] / memory["maxmemory"],
            "redis_keys": float(sum(one["keys"] for one in self._redis.info("keyspace").values())),
            "redis_hit_rate": hits / (hits + misses),
            "redis_commands": (now.commands - before.commands) / window_s,
            "redis_hits": hits / window_s,
            "redis_misses": misses / window_s,
            "redis_call_seconds": (now.calls_s - before.calls_s) / (now.calls - before.calls),
        }

    def _cpu_s(self) -> float:
        """CPU time of the control group that limits the process, else of the process."""
        use = cpu_use()
        if use is not None and use.who != "process":
            return use.used_s
        words = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICK

    def _cpu_since(self, then: _Used) -> float:
        """The share of what it may use, over as long as the gauge looks back."""
        use = cpu_use()
        cpus = use.cpus if use else float(os.cpu_count() or 1)
        return (self._cpu_s() - then.cpu_s) / (time.time() - then.at) / cpus

    def _memory(self) -> float:
        """Memory of the control group that limits the process, else of the process as a share of the machine's."""
        total = os.sysconf("SC_PHYS_PAGES") * _PAGE
        own, ratio = _resident(os.getpid()) / total, memory_ratio()
        if ratio is not None and not math.isclose(own, ratio, rel_tol=0.05):
            return ratio
        return _resident(self._pid) / total

    def _stop_for_a_moment(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        try:
            time.sleep(_BLOCKED_S)
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def _use_redis(self) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for number in range(_KEYS):
            pipeline.set(f"{_PREFIX}:{number}", _VALUE, ex=300)
        pipeline.set(f"{_PREFIX}:small", "x", ex=60)
        pipeline.execute()
        for _ in range(10):
            for _ in range(_HITS // 10):
                pipeline.get(f"{_PREFIX}:small")
            for _ in range(_MISSES // 10):
                pipeline.get(f"{_PREFIX}:none")
            pipeline.execute()
        times, script = _SLOW
        for _ in range(times):
            pipeline.eval(script, 0)
        pipeline.execute()

    def _use_cpu(self) -> None:
        """Have the process write its metrics over and over; no metric counts that."""
        until = time.monotonic() + _BUSY_S
        threads = [threading.Thread(target=self._ask_metrics, args=(until,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask_metrics(self, until: float) -> None:
        headers = {"authorization": f"Bearer {self._case.metrics_token}"}
        with httpx.Client(base_url=self._case.app_url, headers=headers, timeout=20, trust_env=False) as client:
            while time.monotonic() < until:
                client.get("/metrics")

    @contextmanager
    def _large_request(self) -> Iterator[None]:
        """A request whose body the application holds for as long as its end does not come."""
        url = urlsplit(self._case.app_url)
        with socket.create_connection((str(url.hostname), int(url.port or 80)), timeout=30) as connection:
            head = (
                f"POST {HELD_PATH} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
                f"content-length: {_BODY_BYTES + 1}\r\n\r\n"
            )
            connection.sendall(head.encode())
            for _ in range(_BODY_BYTES // len(_PIECE)):
                connection.sendall(_PIECE)
            yield


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * _PAGE
