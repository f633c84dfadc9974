"""The process itself: how late its event loops run, and how much of its container's CPU and memory is used."""

import asyncio
import math
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.registry import Collector, CollectorRegistry

from .taken_metrics import registered

LAG_INTERVAL_S: Final = 0.08
"""A compromise: a block may look shorter by this much, and a tick of an idle loop costs about 0.1 ms of CPU."""
LAG_WINDOW_S: Final = 60
CPU_WINDOW_S: Final = 10.0
"""The least time that CPU use is averaged over, as soon as the process is that old."""
_CPU_SPACING_S: Final = 1.0
_CPU_SAMPLES: Final = 64
_MICRO: Final = 1e6
_NANO: Final = 1e9
_ROOT: Final = Path("/")
_CGROUPS: Final = "sys/fs/cgroup"
_MEMORY_1: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_MEMORY_2: Final = ("memory.max", "memory.current", "inactive_file")
_NONSENSE: Final = (OSError, ValueError, LookupError, ArithmeticError)
"""What reading a file that is not what the kernel writes can raise."""
_STANDARD: Final = (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR)
_STANDARD_KINDS: Final = (ProcessCollector, PlatformCollector, GCCollector)


class Runtime:
    """What the process has to say about itself at a scrape. Thread-safe; None means that nobody knows."""

    def __init__(self, root: Path = _ROOT, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._start_anew()
        self.cpu_ratio()  # so that the first scrape has something to compare with
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_start_anew, weakref.ref(self)))

    def _start_anew(self) -> None:
        """Forget everything: the loops and the CPU time of a parent process, and a lock that a thread of it may hold."""
        self._lock = threading.Lock()
        self._lags: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lag] = weakref.WeakKeyDictionary()
        self._cpu = _CpuHistory()

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure the delays of `loop` for as long as it lives; idempotent, and callable from any thread."""
        with self._lock:
            if loop in self._lags or loop.is_closed():
                return
            lag = self._lags[loop] = _Lag(self._clock)
        loop.call_soon_threadsafe(lag.start, loop)

    def loop_lag_s(self) -> float | None:
        """The worst delay of the last minute in a loop that runs, a delay that still goes on included."""
        with self._lock:
            lags = [lag for loop, lag in self._lags.items() if loop.is_running()]
        return max((lag.worst() for lag in lags), default=None)

    def cpu_ratio(self) -> float | None:
        """CPU used of what the container may use; over the ten seconds or more since an earlier reading."""
        with self._lock:
            return self._cpu.ratio(self._clock(), cpu_use(self._root))

    def memory_ratio(self) -> float | None:
        """Memory that the kernel cannot take back, of what the container or else the machine has."""
        return memory_ratio(self._root)


def _start_anew(runtime: "weakref.ref[Runtime]") -> None:
    if (alive := runtime()) is not None:
        alive._start_anew()  # noqa: SLF001  # a bound method would keep every one alive


class _Lag:
    """How late the ticks of one loop come. No lock: only the loop's thread writes, and each fact at once.

    A timer rather than a task: nothing has to be cancelled when the loop ends.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = math.inf
        self._run: weakref.ref[object] | None = None
        self._worst: list[tuple[int, float]] = [(0, 0.0)] * LAG_WINDOW_S  # (second, delay), one slot per second

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to tick; called on the loop."""
        self._is_same_run()
        self._set(loop)

    def worst(self) -> float:
        """The worst delay of the window; a tick that is overdue counts as what it is late by now."""
        now = self._clock()
        past = (delay for second, delay in self._worst if now - second <= LAG_WINDOW_S)
        return max(0.0, now - self._due, *past)

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._clock() + LAG_INTERVAL_S
        loop.call_later(LAG_INTERVAL_S, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        if self._is_same_run():
            second = int(now)
            slot = second % LAG_WINDOW_S
            noted, delay = self._worst[slot]
            self._worst[slot] = (second, max(now - self._due, delay if noted == second else 0.0))
        self._set(loop)

    def _is_same_run(self) -> bool:
        """Whether the loop has run since the last call: one that was stopped in between was not blocked.

        Each run installs new bound methods of the loop as the thread's generator hooks, in asyncio and in uvloop.
        """
        hook = sys.get_asyncgen_hooks().firstiter
        same = self._run is not None and self._run() is hook
        if not same:
            self._run = None if hook is None else weakref.ref(hook)
        return same


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU time that `who` (a control group, or the process) has used, and the CPUs it may use at a time."""

    who: str
    used_s: float
    cpus: float


class _CpuHistory:
    """Readings, one a second at most, so that one reader never takes another's time to compare with."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, CpuUse]] = deque(maxlen=_CPU_SAMPLES)

    def ratio(self, now: float, use: CpuUse | None) -> float | None:
        """Add `use`, read `now`, and compare it with an earlier one; None without an earlier one."""
        if use is None:
            return None
        if self._readings and self._readings[-1][1].who != use.who:
            self._readings.clear()
        earlier = self._earlier(now)
        if not self._readings or now - self._readings[-1][0] >= _CPU_SPACING_S:
            self._readings.append((now, use))
        if earlier is None:
            return None
        ratio = (use.used_s - earlier[1].used_s) / (now - earlier[0]) / use.cpus
        return ratio if ratio >= 0 else None

    def _earlier(self, now: float) -> tuple[float, CpuUse] | None:
        """The newest reading that is a window old, or else the oldest, unless it has only just been taken."""
        old = [reading for reading in self._readings if now - reading[0] >= CPU_WINDOW_S]
        if old:
            return old[-1]
        return next((reading for reading in self._readings if now - reading[0] >= _CPU_SPACING_S), None)


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a control group may use, and uses: CPUs and CPU seconds, or bytes."""

    most: float
    used: float
    group: Path


def cpu_use(root: Path = _ROOT, usable_cpus: int | None = None) -> CpuUse | None:
    """That of the tightest control group with a limit, or else the process's; None if the files make no sense."""
    cpus = usable_cpus or _usable_cpus()
    try:
        limit = min(_cpu_limits(root), key=_most, default=None)
    except _NONSENSE:
        return None
    if limit is None:
        return CpuUse("process", time.process_time(), cpus)
    return CpuUse(str(limit.group), limit.used, min(limit.most, cpus))


def memory_ratio(root: Path = _ROOT) -> float | None:
    """Use of the tightest limit below the machine's memory, or else the process's share of that; None if unknown."""
    try:
        total = _fields(root / "proc/meminfo")["MemTotal:"] * 1024
        limit = min(_memory_limits(root), key=_most, default=None)
        if limit is not None and limit.most < total:  # version 1 writes "no limit" as a number beyond any memory
            return limit.used / limit.most
        return _resident_bytes(root) / total
    except _NONSENSE:
        return None


def register_process_collectors(registry: CollectorRegistry) -> tuple[Collector, ...]:
    """Make `registry` hold prometheus_client's `process_*` and `python_*`; what had been missing. Idempotent."""
    there = tuple(registered(registry))
    missing = tuple(one for one in _STANDARD if one not in there)
    names = {name for other in there for name in _standard_names(other)} if missing else set()
    return tuple(one for one in missing if not names.issuperset(_standard_names(one)) and _register(registry, one))


def _register(registry: CollectorRegistry, collector: Collector) -> bool:
    try:
        registry.register(collector)
    except ValueError:  # a collector of the application's own tells the same
        return False
    return True


def _standard_names(collector: Collector) -> set[str]:
    """Names of what a collector of prometheus_client's own three kinds yields: they do not describe themselves."""
    return {family.name for family in collector.collect()} if isinstance(collector, _STANDARD_KINDS) else set()


def _cpu_limits(root: Path) -> Iterator[_Limit]:
    """The CPU limits of this process's control groups, from version 2's files or else version 1's."""
    if _is_version_2(root):
        for group in _groups(root, ""):
            quota, period = _words(group / "cpu.max", "max 100000")
            if quota != "max":
                used = _fields(group / "cpu.stat")["usage_usec"] / _MICRO
                yield _Limit(_positive(quota) / _positive(period), used, group)
        return
    for group, account in zip(_groups(root, "cpu"), _groups(root, "cpuacct"), strict=False):
        (most,) = _words(group / "cpu.cfs_quota_us", "-1")
        if most != "-1":
            (period,), (used_ns,) = _words(group / "cpu.cfs_period_us"), _words(account / "cpuacct.usage")
            yield _Limit(_positive(most) / _positive(period), int(used_ns) / _NANO, group)


def _memory_limits(root: Path) -> Iterator[_Limit]:
    """The memory limits likewise; used is the working set: without the files that the kernel can drop at once."""
    version_2 = _is_version_2(root)
    limit, usage, inactive = _MEMORY_2 if version_2 else _MEMORY_1
    for group in _groups(root, "" if version_2 else "memory"):
        (most,) = _words(group / limit, "max")
        if most != "max":
            (used,) = _words(group / usage)
            working_set = int(used) - _fields(group / "memory.stat")[inactive]
            yield _Limit(_positive(most), max(working_set, 0), group)


def _is_version_2(root: Path) -> bool:
    return (root / _CGROUPS / "cgroup.controllers").exists()


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it, innermost first; "" is version 2's only tree."""
    top = root / _CGROUPS / controller
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = top / path.lstrip("/")
            if ".." not in own.parts and own.exists():  # else the path is one outside this container
                yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top) and folder != top)
    if top.exists():
        yield top


def _resident_bytes(root: Path) -> int:
    return int(_words(root / "proc/self/statm")[1]) * os.sysconf("SC_PAGE_SIZE")


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text(file: Path) -> str | None:
    try:
        return file.read_text("ascii", "replace")
    except FileNotFoundError:
        return None


def _words(file: Path, absent: str = "") -> list[str]:
    """The words of a file of one line; those of `absent` when there is no such file."""
    text = _text(file)
    return (absent if text is None else text).split()


def _fields(file: Path) -> dict[str, int]:
    """The numbers of a file of `name number` lines."""
    return {words[0]: int(words[1]) for line in (_text(file) or "").splitlines() if len(words := line.split()) > 1}


def _positive(text: str) -> int:
    if (number := int(text)) <= 0:
        raise ValueError(f"{text} is no limit")
    return number


def _most(limit: _Limit) -> float:
    return limit.most
