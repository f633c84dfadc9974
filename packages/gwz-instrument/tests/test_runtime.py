import asyncio
import gc
import importlib.util
import math
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gwz_instrument.runtime import (
    LAG_INTERVAL_S,
    CpuUse,
    Runtime,
    _Lag,
    cpu_use,
    memory_ratio,
    register_process_collectors,
)

GIGABYTE = 1 << 30
PAGE = 4096


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


def until(condition, timeout_s=10):
    """Wait in a thread until `condition()` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


@contextmanager
def running_loop(new=asyncio.new_event_loop):
    """A loop that runs in a thread of its own."""
    loop = new()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


LOOPS = [asyncio.new_event_loop]
if importlib.util.find_spec("uvloop"):
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


def test_a_block_cannot_look_shorter_by_more_than_a_tenth_of_a_second():
    """A block between two ticks is seen from the tick that it delays."""
    assert 0 < LAG_INTERVAL_S <= 0.1


@pytest.mark.parametrize("new", LOOPS)
def test_a_block_is_seen_while_it_goes_on_and_for_a_minute_after(new):
    """Read from another thread, as a scrape does; a loop that is blocked cannot tell."""
    runtime, blocked, release = Runtime(), threading.Event(), threading.Event()
    with running_loop(new) as loop:
        runtime.watch_loop(loop)
        until(lambda: runtime.loop_lag_s() is not None)
        loop.call_soon_threadsafe(lambda: (blocked.set(), release.wait(10)))
        assert blocked.wait(10)
        until(lambda: runtime.loop_lag_s() >= 0.3)
        release.set()
        answered = threading.Event()
        loop.call_soon_threadsafe(loop.call_later, 2 * LAG_INTERVAL_S, answered.set)
        assert answered.wait(10)
        assert 0.3 <= runtime.loop_lag_s() < 10


class StillLoop:
    """A loop whose timers are ticked by hand."""

    def call_later(self, _delay, tick, loop):
        self.tick = lambda: tick(loop)


async def test_the_worst_delay_is_forgotten_after_a_minute():
    clock, loop = Clock(), StillLoop()
    lag = _Lag(clock)
    lag.start(loop)
    for late in (0.0, 5.0, 1.0):
        clock.now += LAG_INTERVAL_S + late
        loop.tick()
        assert lag.worst() == pytest.approx(max(late, 5.0 if late == 1.0 else 0.0))
    for _ in range(58):
        clock.now += 1.0
        loop.tick()
    assert lag.worst() == pytest.approx(5.0)
    for _ in range(3):
        clock.now += 1.0
        loop.tick()
    assert lag.worst() == pytest.approx(1.0 - LAG_INTERVAL_S)


async def test_a_delay_is_forgotten_though_the_second_a_minute_later_had_no_tick():
    clock, loop = Clock(), StillLoop()
    lag = _Lag(clock)
    lag.start(loop)
    for seconds in (5.0, 58.0, 3.0):  # the last two delays are 58 and 3 seconds
        clock.now += LAG_INTERVAL_S + seconds
        loop.tick()
    assert lag.worst() == pytest.approx(58.0)
    for _ in range(57):
        clock.now += 1.0
        loop.tick()
    clock.now += 4.0  # no tick in the second in which the slot of the 58 would have been taken again
    loop.tick()
    assert lag.worst() == pytest.approx(4.0 - LAG_INTERVAL_S)


async def test_a_delay_that_goes_on_counts_from_when_its_tick_was_due():
    clock, loop = Clock(), StillLoop()
    lag = _Lag(clock)
    assert lag.worst() == 0.0
    lag.start(loop)
    clock.now += LAG_INTERVAL_S
    assert lag.worst() == pytest.approx(0.0)
    clock.now += 7.0
    assert lag.worst() == pytest.approx(7.0)


@pytest.mark.parametrize("new", LOOPS)
def test_a_loop_that_was_stopped_was_not_blocked(new):
    runtime, loop = Runtime(), new()
    runtime.watch_loop(loop)

    async def run():
        await asyncio.sleep(4 * LAG_INTERVAL_S)
        return runtime.loop_lag_s()

    assert loop.run_until_complete(run()) < 0.5
    assert runtime.loop_lag_s() is None, "nothing runs"
    time.sleep(1)
    assert loop.run_until_complete(run()) < 0.5
    loop.close()
    assert runtime.loop_lag_s() is None


@pytest.mark.parametrize("new", LOOPS)
def test_a_watched_loop_ends_in_silence_and_is_forgotten(new, capfd, recwarn):
    runtime = Runtime()
    for _ in range(3):
        loop = new()
        runtime.watch_loop(loop)
        runtime.watch_loop(loop)
        assert loop.run_until_complete(asyncio.sleep(3 * LAG_INTERVAL_S)) is None
        loop.close()
        runtime.watch_loop(loop)
    del loop
    gc.collect()
    assert len(runtime._lags) == 0
    assert capfd.readouterr().err == ""
    assert not recwarn.list


def test_the_worst_of_several_loops_counts():
    runtime, release, blocked = Runtime(), threading.Event(), threading.Event()
    with running_loop() as idle, running_loop() as busy:
        for loop in (idle, busy):
            runtime.watch_loop(loop)
        busy.call_soon_threadsafe(lambda: (blocked.set(), release.wait(10)))
        assert blocked.wait(10)
        try:
            until(lambda: runtime.loop_lag_s() >= 0.2)
        finally:
            release.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_anew(tmp_path):
    """The parent's loop runs on only in the parent, its CPU time is not the child's, and its locks stay held."""
    clock = Clock()
    runtime = Runtime(machine(tmp_path), clock)
    clock.now += 30
    with running_loop() as loop:
        runtime.watch_loop(loop)
        until(lambda: runtime.loop_lag_s() is not None)
        assert runtime.cpu_ratio() is not None
        with runtime._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                os._exit(0 if runtime.loop_lag_s() is None and runtime.cpu_ratio() is None else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_closed_loop_is_left_alone():
    loop = asyncio.new_event_loop()
    loop.close()
    Runtime().watch_loop(loop)


def lay(root: Path, **files):
    """Write `files`, whose names have __ for a slash, below `root`; None leaves one out."""
    for name, text in files.items():
        if text is not None:
            file = root / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return root


def machine(root, **files):
    """A machine of 8 GB on which this process holds 1 GB, without control groups."""
    return lay(
        root, proc__meminfo="MemTotal: 8388608 kB\nMemFree: 1 kB\n", proc__self__statm="9 262144 3 4 5 6 7\n", **files
    )


def version_2(root, path="", **files):
    """A container under version 2 of control groups, in the folder `path` of its tree."""
    machine(root, proc__self__cgroup=f"0::/{path}\n")
    lay(root, **{"sys__fs__cgroup__cgroup.controllers": "cpu memory\n"})
    lay(root / "sys/fs/cgroup" / path, **files)
    return root


def version_1(root, path="", *, mounted=True, **files):
    lines = "".join(
        f"{n}:{name}:/{path}\n" for n, name in ((3, "cpu"), (2, "cpuacct"), (4, "memory"), (1, "name=systemd"))
    )
    machine(root, proc__self__cgroup=lines + "0::/\n")
    for name, text in files.items():
        controller, file = name.split("__")
        lay(root / "sys/fs/cgroup" / controller / (path if mounted else ""), **{file: text})
    return root


MEMORY_2 = {
    "memory.max": f"{2 * GIGABYTE}\n", "memory.current": f"{GIGABYTE + 500}\n",
    "memory.stat": "anon 5\ninactive_file 500\nactive_file 7\n",
}  # fmt: skip
CPU_2 = {"cpu.max": "50000 100000\n", "cpu.stat": "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n"}
MEMORY_1 = {
    "memory__memory.limit_in_bytes": f"{2 * GIGABYTE}\n", "memory__memory.usage_in_bytes": f"{GIGABYTE + 500}\n",
    "memory__memory.stat": "inactive_file 9\ntotal_inactive_file 500\n",
}  # fmt: skip
CPU_1 = {
    "cpu__cpu.cfs_quota_us": "50000\n",
    "cpu__cpu.cfs_period_us": "100000\n",
    "cpuacct__cpuacct.usage": "2500000000\n",
}
NO_LIMIT_1 = "9223372036854771712\n"


@pytest.mark.parametrize("path", ["", "kubepods/pod1/container"])
def test_version_2_of_control_groups_is_read(tmp_path, path):
    root = version_2(tmp_path, path, **MEMORY_2, **CPU_2)
    assert memory_ratio(root) == 0.5
    use = cpu_use(root, 4)
    assert (use.used_s, use.cpus) == (2.5, 0.5)


@pytest.mark.parametrize(("path", "mounted"), [("", True), ("docker/abc", True), ("docker/abc", False)])
def test_version_1_of_control_groups_is_read_under_its_path_or_mounted_over(tmp_path, path, mounted):
    root = version_1(tmp_path, path, mounted=mounted, **MEMORY_1, **CPU_1)
    assert memory_ratio(root) == 0.5
    use = cpu_use(root, 4)
    assert (use.used_s, use.cpus) == (2.5, 0.5)


def test_the_tightest_limit_on_the_way_up_counts_with_its_own_use(tmp_path):
    root = version_2(tmp_path, "a/b", **(MEMORY_2 | {"memory.max": f"{3 * GIGABYTE}"}), **CPU_2)
    lay(root / "sys/fs/cgroup/a", **(MEMORY_2 | {"memory.current": f"{GIGABYTE // 2 + 500}"}))
    lay(root / "sys/fs/cgroup/a", **{"cpu.max": "25000 100000", "cpu.stat": "usage_usec 9000000"})
    lay(root / "sys/fs/cgroup", **(MEMORY_2 | CPU_2))
    lay(root / "sys/fs/cgroup", **{"memory.max": "max", "cpu.max": "max 100000"})
    assert memory_ratio(root) == 0.25
    assert cpu_use(root, 4) == CpuUse(str(root / "sys/fs/cgroup/a"), 9.0, 0.25)


@pytest.mark.parametrize(
    "lay_out",
    [
        machine,
        lambda root: version_2(root, **(MEMORY_2 | {"memory.max": "max\n"}), **(CPU_2 | {"cpu.max": "max 100000\n"})),
        version_2,
        lambda root: version_1(
            root,
            **(MEMORY_1 | {"memory__memory.limit_in_bytes": NO_LIMIT_1}),
            **(CPU_1 | {"cpu__cpu.cfs_quota_us": "-1\n"}),
        ),
    ],
    ids=["no groups", "version 2", "version 2, no files", "version 1"],
)
def test_without_a_limit_the_process_counts_against_the_machine(tmp_path, lay_out):
    root = lay_out(tmp_path)
    assert memory_ratio(root) == 0.125
    before = time.process_time()
    use = cpu_use(root, 4)
    assert (use.who, use.cpus) == ("process", 4)
    assert before <= use.used_s <= time.process_time()


def test_a_quota_beyond_the_usable_cpus_is_no_more_than_those(tmp_path):
    assert cpu_use(version_2(tmp_path, **CPU_2 | {"cpu.max": "900000 100000\n"}), 4).cpus == 4


def test_a_path_outside_the_container_is_not_followed(tmp_path):
    root = version_2(tmp_path, **MEMORY_2, **CPU_2)
    (root / "proc/self/cgroup").write_text("0::/../../other\n")
    assert memory_ratio(root) == 0.5


@pytest.mark.parametrize(
    "text", ["", "garbage\n", "0 100000\n", "-5 100000\n", "50000\n", "50000 0\n", "1 2 3\n", "nan 1\n", "\xff\n"]
)
def test_a_cpu_limit_that_makes_no_sense_gives_no_number(tmp_path, text):
    assert cpu_use(version_2(tmp_path, **CPU_2 | {"cpu.max": text}), 4) is None


@pytest.mark.parametrize(
    "file", [{"memory.max": "garbage"}, {"memory.max": ""}, {"memory.max": "0"}, {"memory.current": "x"},
             {"memory.current": None}, {"memory.stat": "anon 1"}, {"memory.stat": None}]
)  # fmt: skip
def test_memory_files_that_make_no_sense_give_no_number(tmp_path, file):
    assert memory_ratio(version_2(tmp_path, **MEMORY_2 | file)) is None


@pytest.mark.parametrize(
    "file", [{"cpu__cpu.cfs_quota_us": "0"}, {"cpu__cpu.cfs_period_us": None}, {"cpuacct__cpuacct.usage": "x"}]
)
def test_version_1_cpu_files_that_make_no_sense_give_no_number(tmp_path, file):
    assert cpu_use(version_1(tmp_path, **CPU_1 | file), 4) is None


def test_without_proc_there_is_no_memory_ratio_and_the_process_counts_for_cpu(tmp_path):
    """macOS, Windows."""
    assert memory_ratio(tmp_path) is None
    assert cpu_use(tmp_path, 4).who == "process"


@given(
    st.dictionaries(
        st.sampled_from(["memory.max", "memory.current", "memory.stat", "cpu.max", "cpu.stat"]), st.text(max_size=40)
    )
)
def test_no_content_of_a_file_raises_or_gives_a_wrong_kind_of_number(tmp_path_factory, files):
    root = version_2(tmp_path_factory.mktemp("root"))
    for name, text in (MEMORY_2 | CPU_2 | files).items():
        (root / "sys/fs/cgroup" / name).write_bytes(text.encode("utf-8", "replace"))
    ratio, use = memory_ratio(root), cpu_use(root, 4)
    assert ratio is None or (math.isfinite(ratio) and ratio >= 0)
    assert use is None or (math.isfinite(use.used_s) and math.isfinite(use.cpus) and use.cpus > 0)


def test_this_machine_is_read():
    runtime = Runtime()
    assert 0 < runtime.memory_ratio() < 10
    assert cpu_use().cpus > 0


class Cpu:
    """A container of half a CPU, and the time that goes by in it."""

    def __init__(self, root):
        self._root = version_2(root, **CPU_2 | {"cpu.stat": "usage_usec 0\n"})
        self._used_s = 0.0
        self.clock = Clock()
        self.runtime = Runtime(self._root, self.clock)

    def go_by(self, seconds, ratio):
        self.clock.now += seconds
        self._used_s += seconds * ratio * 0.5
        lay(self._root / "sys/fs/cgroup", **{"cpu.stat": f"usage_usec {round(self._used_s * 1e6)}\n"})

    def read(self):
        ratio = self.runtime.cpu_ratio()
        return None if ratio is None else round(ratio, 4)


@pytest.fixture
def cpu(tmp_path):
    return Cpu(tmp_path)


def test_cpu_use_is_that_since_the_reading_before(cpu):
    assert cpu.read() is None, "a moment is not enough"
    for ratio in (0.2, 0.8, 0.0):
        cpu.go_by(15, ratio)
        assert cpu.read() == ratio


def test_a_young_process_is_averaged_over_its_life(cpu):
    cpu.go_by(0.9, 1.0)
    assert cpu.read() is None
    cpu.go_by(0.1, 1.0)
    assert cpu.read() == 1.0
    cpu.go_by(1, 0.0)
    assert cpu.read() == 0.5


def test_two_scrapes_in_a_row_show_no_spike(cpu):
    cpu.go_by(15, 0.2)
    assert cpu.read() == 0.2
    cpu.go_by(0.01, 1.0)  # what a scrape itself costs
    assert cpu.read() == pytest.approx(0.2, abs=0.001)


def test_readers_do_not_take_each_others_time(cpu):
    """One every 15 seconds, another right after it, a third every second: each has a window of ten seconds or more."""
    cpu.go_by(15, 0.5)
    for second in range(60):
        cpu.go_by(1, 1.0 if second % 10 == 0 else 0.0)
        ratio = cpu.read()
        assert second < 25 or ratio == 0.1


def test_a_reader_in_a_hurry_takes_nobodys_time(cpu):
    cpu.go_by(15, 0.2)
    for _ in range(200):
        assert cpu.read() == pytest.approx(0.2, abs=0.03)
        cpu.go_by(0.002, 1.0)


def test_a_counter_that_goes_back_gives_no_number(cpu):
    cpu.go_by(15, 0.5)
    cpu.read()
    cpu._used_s = 0.0
    cpu.go_by(15, 0.1)
    assert cpu.read() is None
    for _ in range(2):
        cpu.go_by(15, 0.1)
        ratio = cpu.read()
    assert ratio == 0.1


def test_a_limit_that_appears_starts_a_new_history(cpu):
    cpu.go_by(15, 0.5)
    lay(cpu._root / "sys/fs/cgroup", **{"cpu.max": "max 100000\n"})
    assert cpu.read() is None
    cpu.clock.now += 15
    assert cpu.read() < 0.5, "the process's own use from here on"


def standard(registry):
    return [line.split()[0].split("{")[0] for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]


STANDARD = ("python_info", "python_gc_objects_collected_total", "process_cpu_seconds_total", "process_open_fds")


def test_a_fresh_registry_gets_process_and_python_metrics_once():
    registry = CollectorRegistry()
    assert len(register_process_collectors(registry)) == 3
    assert register_process_collectors(registry) == ()
    names = standard(registry)
    assert [names.count(name) for name in STANDARD if name != "python_gc_objects_collected_total"] == [1, 1, 1]
    assert names.count("python_gc_objects_collected_total") == 3, "one for each generation"
    assert not [name for name in names if name.endswith("_created")]


@pytest.mark.parametrize("auto_describe", [True, False])
def test_what_is_there_already_is_not_doubled(auto_describe):
    registry = CollectorRegistry(auto_describe=auto_describe)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    ProcessCollector(namespace="other", registry=registry)
    assert [type(one).__name__ for one in register_process_collectors(registry)] == ["PlatformCollector"]
    assert standard(registry).count("process_cpu_seconds_total") == 1


def test_a_collector_of_the_applications_own_for_the_same_names_stays():
    class Own(Collector):
        def collect(self):
            return [GaugeMetricFamily("process_open_fds", "ours", value=7)]

    registry = CollectorRegistry(auto_describe=True)
    registry.register(Own())
    assert len(register_process_collectors(registry)) == 2
    assert standard(registry).count("process_open_fds") == 1


def test_collectors_that_were_wiped_come_back():
    registry = CollectorRegistry(auto_describe=True)
    register_process_collectors(registry)
    for collector in list(registry._collector_to_names):
        registry.unregister(collector)
    assert len(register_process_collectors(registry)) == 3
    assert set(STANDARD) <= set(standard(registry))
