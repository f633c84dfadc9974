"""Gauges of the business are polled, its counters counted; mistakes in the code raise, mistakes in values never do."""

import asyncio
import enum
import gc
import importlib
import math
import os
import queue
import re
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gwz_instrument import business, instrument
from gwz_instrument import recording as recordings
from gwz_instrument.business import MAX_VALUES, count, gauge
from gwz_instrument.metrics import Collectors
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings

USAGE = "api_key_usage_total"
LIMITED = "rate_limited_requests_total"
INVALID = ("metrics", "invalid")


class World:
    """Where the numbers are written, and all that were."""

    def __init__(self):
        self.registry, self.collectors = CollectorRegistry(), Collectors()
        self.registry.register(self.collectors)
        self.recording = make_recording(
            Settings(environ={}), self.collectors, tracer=None, lines=None, endpoint_of=lambda _exchange: "_none"
        )

    def samples(self, name):
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and (sample.value or not name.startswith("gwz_"))
        }

    @property
    def refused(self):
        return self.samples("gwz_telemetry_dropped_total").get(INVALID, 0)


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(recordings, "_installed", [world.recording])
    monkeypatch.setattr(recordings, "_waiting", [])
    monkeypatch.setattr(recordings, "_complained", set())
    return world


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.005)


def shown(world, name, expected):
    """Wait until the series of a gauge are these."""
    wait_for(lambda: world.samples(name) == expected)


def test_a_mapping_gives_a_series_for_each_label_value(world):
    gauge("active_api_keys", lambda: {"active": 7, "revoked": 2})
    shown(world, "active_api_keys", {("active",): 7, ("revoked",): 2})


def test_a_tuple_gives_label_values_in_the_contracts_order(world):
    gauge("subscription_count", lambda: {("pro", "monthly"): 3, ("pro", "yearly"): Decimal(4)})
    shown(world, "subscription_count", {("pro", "monthly"): 3, ("pro", "yearly"): 4})


def test_a_plain_number_is_the_whole(world):
    gauge("trial_active", lambda: 5)
    gauge("subscription_count", lambda: 6)
    shown(world, "trial_active", {("_all",): 5})
    shown(world, "subscription_count", {("_all", "_all"): 6})


def test_a_plain_number_may_be_given_its_labels(world):
    mails, jobs = queue.Queue(), queue.Queue()
    mails.put(1)
    gauge("queue_size", mails.qsize, queue_name="mail")
    gauge("queue_size", jobs.qsize, queue_name="jobs")
    shown(world, "queue_size", {("mail",): 1, ("jobs",): 0})


async def _from_the_database():
    await asyncio.sleep(0)
    return {"free": 12.5}


def test_a_coroutine_function_is_awaited(world):
    gauge("user_credit_balance", _from_the_database)
    shown(world, "user_credit_balance", {("free",): 12.5})


def test_several_callbacks_are_merged_and_the_last_one_counts(world):
    gauge("active_connections", lambda: {"redis": 1, "http": 2})
    gauge("active_connections", lambda: {"redis": 3})
    shown(world, "active_connections", {("redis",): 3, ("http",): 2})


def test_the_same_callback_twice_is_one(world):
    class Pool:
        asked = 0

        def size(self):
            self.asked += 1
            return {"redis": 1}

    pool = Pool()
    gauge("active_connections", pool.size)
    gauge("active_connections", pool.size)
    shown(world, "active_connections", {("redis",): 1})
    assert pool.asked == 1


def test_a_new_answer_takes_the_place_of_the_old_one(world):
    answers = iter([{"a": 1}, {"b": 2}])
    gauge("queue_size", lambda: next(answers, {"b": 2}), every_s=0.01)
    shown(world, "queue_size", {("b",): 2})


def test_series_disappear_when_the_callback_fails_for_three_intervals(world, caplog):
    answers = iter([{"mail": 1}])
    gauge("queue_size", lambda: next(answers), every_s=0.05)
    shown(world, "queue_size", {("mail",): 1})
    shown(world, "queue_size", {})
    assert world.samples("gwz_telemetry_dropped_total")["metrics", "failed"] >= 1
    wait_for(lambda: caplog.records)
    (record,) = caplog.records
    assert record.getMessage() == (
        "gwz-instrument: the callback of the gauge queue_size raised StopIteration. Its series disappear when their values "
        "are 0.15 s old; it is asked every 0.05 s, and a line will tell when it answers again"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "3", b"3", None, True, object(), 2**60, [1]])
def test_a_value_that_is_none_is_refused_and_the_others_stay(world, caplog, value):
    gauge("queue_size", lambda: {"mail": 1, "jobs": value})
    shown(world, "queue_size", {("mail",): 1})
    assert world.refused == 1
    assert "a value of queue_size = " in caplog.text


@pytest.mark.parametrize("answer", [{("a", "b"): 1}, {(): 1}, "text", None])
def test_an_answer_that_is_none_gives_no_series(world, answer):
    gauge("queue_size", lambda: answer)
    world.samples("queue_size")
    wait_for(lambda: world.refused == 1)
    assert world.samples("queue_size") == {}


def test_an_answer_by_user_gives_no_user_a_series(world):
    gauge("user_credit_balance", lambda: {f"user-{number}": 1 for number in range(MAX_VALUES + 1)})
    shown(world, "user_credit_balance", {("_other",): MAX_VALUES + 1})
    assert world.samples("gwz_label_values_refused_total")["user_credit_balance", "plan_type"] == MAX_VALUES + 1


def test_label_values_that_come_bit_by_bit_are_bounded_too(world):
    number = iter(range(10**9))
    gauge("queue_size", lambda: {f"q{next(number)}": 1}, every_s=0.01)
    shown(world, "queue_size", {("_other",): 1})


def test_a_gauge_may_be_declared_before_there_is_an_application(world, monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    gauge("queue_size", lambda: {"mail": 1})
    recordings.install(world.recording)
    shown(world, "queue_size", {("mail",): 1})


@pytest.mark.usefixtures("world")
def test_nobody_is_asked_before_the_application_serves():
    asked = []
    gauge("queue_size", lambda: asked.append(1) or 1)
    time.sleep(0.05)
    assert asked == []


MODULE = """
from gwz_instrument import gauge

asked = []

def mails():
    asked.append(1)
    return {"mail": 1}

gauge("queue_size", mails, every_s=0.01)
"""


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Imports a module that feeds a gauge, in a process that has no application yet."""
    for name in ("_installed", "_waiting", "_of_modules"):
        monkeypatch.setattr(recordings, name, [])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gwz_mails.py").write_text(MODULE, "utf-8")
    yield lambda: importlib.import_module("gwz_mails")
    sys.modules.pop("gwz_mails", None)


def instrumented(registry=None):
    """The telemetry of a new application, and what shows the series of a gauge of it."""
    world, app = World.__new__(World), FastAPI()
    world.registry = registry or CollectorRegistry()
    world.app, world.telemetry = app, instrument(app, registry=world.registry)
    return world


def stands_still(asked):
    """Whether a callback that was asked every hundredth of a second is asked no more."""
    time.sleep(0.03)  # what was under way
    before = len(asked)
    time.sleep(0.1)
    return len(asked) == before


def test_what_a_module_feeds_is_fed_in_every_application_that_comes_after(module):
    module()
    for _ in range(2):
        world = instrumented()
        shown(world, "queue_size", {("mail",): 1})
        world.telemetry.shutdown(0)


def test_a_module_that_is_imported_while_there_is_an_application_feeds_that_and_the_next(module):
    worlds = [instrumented()]
    module()
    worlds.append(instrumented())
    for world in worlds:
        shown(world, "queue_size", {("mail",): 1})
        world.telemetry.shutdown(0)


@pytest.mark.usefixtures("module")
def test_what_a_function_feeds_is_fed_in_one_application():
    gauge("queue_size", lambda: {"mail": 1})
    first, second = instrumented(), instrumented()
    shown(first, "queue_size", {("mail",): 1})
    gauge("queue_size", lambda: {"jobs": 1})
    shown(second, "queue_size", {("jobs",): 1})
    shown(first, "queue_size", {("mail",): 1})


def test_a_telemetry_that_is_shut_down_asks_no_more(module):
    found, world = module(), instrumented()
    shown(world, "queue_size", {("mail",): 1})
    world.telemetry.shutdown(0)
    assert stands_still(found.asked)
    shown(world, "queue_size", {})
    assert stands_still(found.asked)


@pytest.mark.usefixtures("module")
def test_a_telemetry_that_is_shut_down_asks_what_it_is_then_given_neither():
    asked = []
    world = instrumented()
    world.telemetry.shutdown(0)
    gauge("queue_size", lambda: asked.append(1) or 1)
    world.samples("queue_size")
    time.sleep(0.05)
    assert asked == []
    shown(instrumented(), "queue_size", {("_all",): 1})


def test_applications_that_share_a_registry_are_fed_until_the_last_is_shut_down(module):
    found, first = module(), instrumented()
    second = instrumented(first.registry)
    shown(second, "queue_size", {("mail",): 1})
    first.telemetry.shutdown(0)
    first.telemetry.shutdown(0)
    assert not stands_still(found.asked)
    second.telemetry.shutdown(0)
    assert stands_still(found.asked)


def test_a_registry_is_fed_again_for_the_next_application(module):
    module()
    first = instrumented()
    first.telemetry.shutdown(0)
    shown(instrumented(first.registry), "queue_size", {("mail",): 1})


@pytest.mark.usefixtures("module")
def test_an_application_that_is_instrumented_again_after_its_shutdown_is_fed_again():
    """As by a lifespan that a test enters twice."""
    app = FastAPI()
    telemetry = instrument(app, registry=CollectorRegistry())
    telemetry.shutdown(0)
    assert instrument(app) is telemetry
    gauge("queue_size", lambda: {"mail": 7}, every_s=0.01)
    wait_for(lambda: 'queue_size{queue_name="mail"} 7.0' in generate_latest(telemetry.registry).decode())


@pytest.mark.usefixtures("module")
def test_what_was_asked_for_a_telemetry_goes_with_it():
    class Pool:
        def size(self):
            return {"redis": 1}

    pool, world = Pool(), instrumented()
    gone = weakref.ref(pool)
    gauge("active_connections", pool.size)
    shown(world, "active_connections", {("redis",): 1})
    world.telemetry.shutdown(0)
    recordings._installed.clear()
    del pool, world
    wait_for(lambda: gc.collect() and gone() is None)


async def test_an_application_that_starts_asks_before_its_first_scrape(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    monkeypatch.setattr(recordings, "_waiting", [])
    asked = threading.Event()
    gauge("queue_size", lambda: asked.set() or {"mail": 4})
    app, registry = FastAPI(), CollectorRegistry()
    instrument(app, registry=registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        await http.get("/")
        assert await asyncio.to_thread(asked.wait, 10)
        await asyncio.sleep(0.05)
        assert 'queue_size{queue_name="mail"} 4.0' in (await http.get("/metrics")).text


async def test_a_callback_that_hangs_delays_no_request_and_no_scrape(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    monkeypatch.setattr(recordings, "_waiting", [])
    gate, begun = threading.Event(), threading.Event()
    app, registry = FastAPI(), CollectorRegistry()
    instrument(app, registry=registry)
    gauge("queue_size", lambda: (begun.set(), gate.wait(30)))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
            began = time.monotonic()
            for path in ("/", "/metrics", "/", "/metrics"):
                await http.get(path)
            assert begun.wait(10)
            assert time.monotonic() - began < 5
    finally:
        gate.set()


def test_an_application_that_is_dropped_is_freed_with_its_gauges():
    world = World()
    business._add(world.recording, business._GAUGES["queue_size"], lambda: 1, 0.01, ("mail",))
    shown(world, "queue_size", {("mail",): 1})
    gone = weakref.ref(world.collectors)
    del world
    wait_for(lambda: gc.collect() is not None and gone() is None)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("feed", "name", "sentence"),
    [
        (
            lambda name: gauge(name, len),
            "active_api_kyes",
            "'active_api_kyes' is not declared in gwz_instrument.semconv",
        ),
        (lambda name: gauge(name, len), "active_api_kyes", "the nearest name is active_api_keys, and all are "),
        (lambda name: gauge(name, len), USAGE, "api_key_usage_total is a counter: feed it by gwz_instrument.count()"),
        (lambda name: gauge(name, len), "cache_size_bytes", "'cache_size_bytes' is not declared in"),
        (lambda name: gauge(name, len), None, "None is not declared in"),
        (lambda name: gauge(name, len), ["x"], r"\['x'\] is not declared in"),
        (count, "rate_limited_total", "the nearest name is rate_limited_requests_total"),
        (count, "queue_size", "queue_size is a gauge: feed it by gwz_instrument.gauge()"),
        (count, None, "None is not declared in"),
        (count, ["x"], r"\['x'\] is not declared in"),
        (
            lambda every_s: gauge("queue_size", len, every_s=every_s),
            0,
            "every_s of queue_size is 0: it must be a number",
        ),
        (lambda every_s: gauge("queue_size", len, every_s=every_s), math.nan, "every_s of queue_size is nan"),
        (lambda every_s: gauge("queue_size", len, every_s=every_s), "30", "every_s of queue_size is '30'"),
    ],
)
def test_a_mistake_in_the_code_raises_and_names_what_is_right(feed, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        feed(name)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("feed", "sentence"),
    [
        (lambda: gauge("queue_size", 7), "the callback of queue_size is 7, which cannot be called: give the function"),
        (lambda: gauge("queue_size", len, queue="mail"), "queue_size has the labels queue_name, and was given queue"),
        (lambda: count(USAGE), "api_key_usage_total has the labels status, and was given none"),
        (lambda: count(USAGE, limit_type="x"), "api_key_usage_total has the labels status, and was given limit_type"),
        (lambda: count(USAGE, status="x", user="y"), "has the labels status, and was given status, user"),
    ],
)
def test_other_labels_or_what_cannot_be_called_raise(feed, sentence):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        feed()


def test_mistakes_in_the_code_raise_before_there_is_an_application_too(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    with pytest.raises(ValueError, match="nearest name"):
        count("nonsense", status="ok")
    count(USAGE, status="ok")


def test_counters_count(world):
    count(USAGE, status="valid")
    count(USAGE, 2, status="valid")
    count(LIMITED, amount=0.5, limit_type="burst")
    assert world.samples(USAGE) == {("valid",): 3}
    assert world.samples(LIMITED) == {("burst",): 0.5}


@pytest.mark.parametrize("amount", [math.nan, math.inf, -1, "1", b"1", None, True, object(), 10**400, 2.0**60])
def test_an_amount_that_is_none_is_refused_counted_and_told_once(world, caplog, amount):
    for _ in range(3):
        count(USAGE, amount, status="valid")
    assert world.samples(USAGE) == {}
    assert world.refused == 3
    assert len(caplog.records) == 1
    assert "an amount of api_key_usage_total = " in caplog.text


@pytest.mark.parametrize("status", [None, 1, b"valid", "", ["valid"], "x" * 10_000, "\ud800"])
def test_a_label_value_that_is_none_is_other(world, status):
    count(USAGE, status=status)
    assert world.samples(USAGE) == {("_other",): 1}


def test_an_enumeration_is_its_value(world):
    class Status(enum.StrEnum):
        VALID = "valid"

    count(USAGE, status=Status.VALID)
    count(USAGE, status="valid")
    assert world.samples(USAGE) == {("valid",): 2}


def test_a_new_label_value_after_fifty_is_other(world):
    for number in range(60):
        count(USAGE, status=f"s{number}")
    assert len(world.samples(USAGE)) == MAX_VALUES + 1
    assert world.samples(USAGE)["_other",] == 10
    assert world.samples("gwz_label_values_refused_total")[USAGE, "status"] == 10


def test_a_fault_of_ours_does_not_reach_the_application(world, monkeypatch, caplog):
    monkeypatch.setattr(world.collectors, "child", lambda *_: 1 / 0)
    count(USAGE, status="valid")
    assert "failed at its own work (count)" in caplog.text


class Hostile:
    """Raises at whatever it is asked for."""

    def _no(self, *_args):
        raise RuntimeError("no")

    __str__ = __repr__ = __float__ = __bool__ = __eq__ = __hash__ = __lt__ = __iter__ = __len__ = _no


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.text(min_size=300, max_size=400),
    st.just(10**400),
    st.just("x" * 10_000),
    st.sampled_from(['"', "\\", "\n", "{", "\x00", "\ud800", "é"]),
    st.builds(Hostile),
    st.lists(st.integers()),
    st.just(object()),
)
keys = st.one_of(
    st.none(), st.integers(), st.text(), st.binary(), st.tuples(st.text(), st.text()), st.just("x" * 10_000)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(anything, anything), max_size=4), anything, st.dictionaries(keys, anything, max_size=5))
def test_whatever_is_given_nothing_raises_and_the_exposition_stays_parseable(counts, answer, mapping):
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "_installed", [world.recording])
        for amount, status in counts:
            count(USAGE, amount, status=status)
        for entry in business._GAUGES.values():
            values = ("_all",) * len(entry.labels)
            for each in (answer, mapping):
                numbers = business._read(world.recording, entry, values, each)
                assert all(0 <= number <= 2**60 for number in numbers.values())
                world.collectors.watch(entry, lambda numbers=numbers: numbers)
    families = list(text_string_to_metric_families(generate_latest(world.registry).decode()))
    found = [sample for family in families for sample in family.samples if sample.name in (USAGE, *business._GAUGES)]
    assert all(
        0 <= sample.value < math.inf and len(value) <= 200 for sample in found for value in sample.labels.values()
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_several_workers_show_the_largest_answer_and_forget_one_that_is_too_old(tmp_path):
    program = """
        import os, time, warnings
        from fastapi import FastAPI
        from gwz_instrument import gauge, instrument, multiprocess
        from gwz_instrument.metrics import collectors_of
        from prometheus_client import generate_latest, CollectorRegistry
        warnings.simplefilter("ignore")

        def scraped():
            collectors.publish()
            with multiprocess.merged_registry() as merged:
                return [line for line in generate_latest(merged).decode().splitlines() if line.startswith("queue_size{")]

        def until(expected):
            end = time.monotonic() + 10
            while (found := scraped()) != expected:
                assert time.monotonic() < end, found
                time.sleep(0.02)

        def length():
            if os.path.exists("stop"):
                raise LookupError
            return {"mail": 2 if os.getpid() == parent else 3}

        parent, registry = os.getpid(), CollectorRegistry()
        gauge("queue_size", length, every_s=0.1)
        instrument(FastAPI(), registry=registry)
        collectors = collectors_of(registry)
        until(['queue_size{queue_name="mail"} 2.0'])
        if (child := os.fork()) == 0:
            until(['queue_size{queue_name="mail"} 3.0'])
            open("stop", "w").close()
            until([])
            os._exit(7)
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            collectors.publish()  # as a worker that serves does each second
            time.sleep(0.05)
        status = ended[1]
        assert os.waitstatus_to_exitcode(status) == 7
        print("over")
    """
    shared = tmp_path / "shared"
    shared.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(shared)},
    )
    assert done.stdout == "over\n", done.stderr


def snippets():
    guide = (Path(__file__).resolve().parents[3] / "docs/guides/business.md").read_text("utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL))


async def test_the_snippets_of_the_guide_run_as_they_stand(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    monkeypatch.setattr(recordings, "_waiting", [])
    app, world, sent = FastAPI(), World.__new__(World), []
    world.registry = CollectorRegistry()
    names = {
        "app": app,
        "BackgroundTasks": BackgroundTasks,
        "database_client": SimpleNamespace(fetch=lambda _query: asyncio.sleep(0, [("free", 2.5), ("pro", 40)])),
        "known_keys": {"room"},
        "mails": queue.Queue(),
        "sent": sent,
    }
    exec(compile(snippets(), "business.md", "exec"), names)  # noqa: S102  # that is the point
    instrument(app, registry=world.registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        assert (await http.post("/chat/room")).json() == "hello"
        assert (await http.post("/invite/ann")).json() == {}
    names["refuse"]()
    assert sent == ["ann"]
    assert world.samples(USAGE) == {("valid",): 1}
    assert world.samples(LIMITED) == {("burst",): 1}
    stages = world.samples("request_stage_duration_seconds_count")
    assert stages == {("authentication", "/chat/{room}"): 1, ("parsing", "/chat/{room}"): 1}
    shown(world, "user_credit_balance", {("free",): 2.5, ("pro",): 40})
    shown(world, "subscription_count", {("pro", "monthly"): 31, ("pro", "yearly"): 12})
    shown(world, "queue_size", {("mail",): 0})
