"""Hits and misses are counted by the cache's name; its size is told, or asked for off the request path."""

import gc
import threading
import time
import weakref

import pytest

from gwz_instrument import caches
from gwz_instrument import recording as recordings
from gwz_instrument.caches import MAX_CACHES, cache


def wait_for(condition):
    """Wait on another thread's work."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.01)


async def test_look_ups_are_counted(world):
    with cache("users") as users:
        users.hit()
        users.miss()
    async with cache("users") as users:
        users.hit()
    cache("models").miss()
    assert world.samples("cache_hits_total") == {("users",): 2}
    assert world.samples("cache_misses_total") == {("users",): 1, ("models",): 1}


@pytest.mark.usefixtures("world")
def test_what_is_raised_in_a_block_passes_through():
    error = LookupError()
    with pytest.raises(LookupError) as raised, cache("users"):
        raise error
    assert raised.value is error


def test_a_size_may_be_told(world):
    cache("users").size(100)
    cache("users").size(120.5)
    assert world.samples("cache_size_bytes") == {("users",): 120.5}


def test_a_size_may_be_a_function_that_is_asked_again_and_again(world, monkeypatch):
    monkeypatch.setattr(caches, "EVERY_S", 0.02)
    held = [0] * 5
    cache("users").size(lambda: len(held))
    wait_for(lambda: world.samples("cache_size_bytes") == {("users",): 5})
    held.append(0)
    wait_for(lambda: world.samples("cache_size_bytes") == {("users",): 6})


def test_a_function_that_hangs_delays_no_scrape_and_its_last_size_is_forgotten(world, monkeypatch):
    monkeypatch.setattr(caches, "EVERY_S", 0.1)
    go, sizes = threading.Event(), iter((5,))
    cache("users").size(lambda: next(sizes, None) or go.wait(10))
    wait_for(lambda: world.samples("cache_size_bytes") == {("users",): 5})
    wait_for(lambda: world.samples("cache_size_bytes") == {})
    began = time.monotonic()
    world.samples("cache_size_bytes")
    assert time.monotonic() - began < 1
    go.set()


def test_a_function_is_asked_no_more_when_the_telemetry_is_closed(world, monkeypatch):
    monkeypatch.setattr(caches, "EVERY_S", 0.01)
    asked = []
    recordings.install(world.recording)
    cache("users").size(lambda: asked.append(1) or 5)
    wait_for(lambda: world.samples("cache_size_bytes") == {("users",): 5})
    recordings.close(world.recording)
    time.sleep(0.03)  # what was under way
    before = len(asked)
    time.sleep(0.05)
    assert len(asked) == before
    assert world.samples("cache_size_bytes") == {}


def test_of_several_sizes_the_last_counts(world):
    cache("users").size(lambda: 5)
    cache("users").size(6)
    assert world.samples("cache_size_bytes") == {("users",): 6}


def test_what_is_no_longer_used_is_freed(world):
    cache("users").size(lambda: 5)
    collectors = weakref.ref(world.collectors)
    world.recording = world.collectors = world.registry = None
    recordings._installed.clear()
    gc.collect()
    assert collectors() is None


@pytest.mark.parametrize("size", [float("nan"), -1, "10", b"1", None, True, float("inf"), 10**400, lambda: -1])
def test_what_is_no_size_is_refused(world, size, caplog):
    cache("users").size(size)
    wait_for(lambda: world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 1})
    assert world.samples("cache_size_bytes") == {}
    wait_for(lambda: "the size of a cache" in caplog.text)


def test_a_function_that_raises_is_told_once(world, caplog):
    cache("users").size(lambda: 1 / 0)
    wait_for(lambda: "the callback of the size of users raised ZeroDivisionError" in caplog.text)
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "failed"): 1}


@pytest.mark.parametrize("name", [None, b"users", 7, [], "", "x" * 10_000, "\ud800"])
def test_what_is_no_name_is_other_and_raises_nothing(world, name):
    cache(name).hit()
    cache(name).size(1)
    assert world.samples("cache_hits_total") == {("_other",): 1}
    assert world.samples("cache_size_bytes") == {("_other",): 1}


def test_names_beyond_the_budget_are_one(world):
    for number in range(MAX_CACHES + 5):
        cache(f"c{number}").hit()
    assert len(world.samples("cache_hits_total")) == MAX_CACHES + 1
    assert world.samples("cache_hits_total")["_other",] == 5


def test_before_instrument_nothing_happens(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    cache("users").hit()
    cache("users").size(5)
