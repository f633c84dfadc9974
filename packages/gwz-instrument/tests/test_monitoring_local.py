"""LocalStore: what it remembers, for how long, in how much memory, and what it says of windows that it does not cover."""

import gc
import random
import threading
import time
import tracemalloc
import weakref
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from gwz_instrument.call_records import AttemptEnded, CallFailed
from gwz_instrument.metrics import Collectors
from gwz_instrument.monitoring import condition, local, speed, spending, traffic
from gwz_instrument.monitoring.local import KEPT_FAILURES, LocalStore
from gwz_instrument.monitoring.store import Ask
from gwz_instrument.semconv import inference, providers

MINUTE, HOUR, DAY = 60, 3600, 86400
START = 1_796_000_400 // DAY * DAY + 7 * HOUR + 600


class World:
    """A process with a clock of its own; `ticks` says whether its thread runs."""

    def __init__(self, *, ticks=True, now=START, **settings):
        self.now, self.ticks = float(now), ticks
        self.collectors = Collectors()
        CollectorRegistry().register(self.collectors)
        self.store = LocalStore(self.collectors, clock=lambda: self.now, **settings)
        self.calls = []

    def wait(self, seconds):
        until = self.now + seconds
        while self.ticks and (edge := (self.now // MINUTE + 1) * MINUTE) <= until:
            self.now = edge
            self.store.tick()
        self.now = until

    def call(self, provider="groq", model="m", status="success", seconds=0.3, tokens=10, cost=0.25):  # noqa: PLR0917
        child = self.collectors.child
        for one in inference.STATUSES:
            child(inference.REQUESTS, provider, model, one), child(providers.ATTEMPTS, provider, one)
        child(inference.REQUESTS, provider, model, status).inc()
        child(providers.ATTEMPTS, provider, status).inc()
        child(inference.DURATION, provider, model).observe(seconds)
        if status == "success":
            child(inference.TOKENS, provider, model, "input").inc(tokens)
            child(inference.TOKENS, provider, model, "output").inc(3 * tokens)
            child(inference.CREDITS, provider, model).inc(cost)
            child(providers.ANSWER_SECONDS, provider).inc(seconds)
            child(providers.ANSWER_WORTH, provider).inc(1.0)
        self.calls.append((self.now, provider, model, status, seconds, tokens, cost))

    def within(self, window):
        return [call for call in self.calls if window.start <= call[0] <= window.end]

    def count(self, seconds, *by, **where):
        view = self.store.look(seconds)
        ask = Ask(inference.REQUESTS, by, where=tuple(where.items()))
        ((sums,),) = view.increases([ask], [view.window.start, view.window.end])
        return {key: number for key, number in sums.items() if number}


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(("hours", "slot_s"), [(1, MINUTE), (3, MINUTE), (4, 900), (24, 900), (25, HOUR), (168, HOUR)])
def test_a_window_is_rounded_outwards_to_a_slot_and_its_counts_are_exact(world, hours, slot_s):
    rng = random.Random(hours)
    for _ in range(60):
        world.wait(rng.choice((7, 40, 130, 900, 1800, 3900, 6 * HOUR)))
        world.call(rng.choice(("groq", "xai")), rng.choice("mn"), rng.choice(inference.STATUSES))
    window = world.store.look(hours * HOUR).window
    asked = world.now - hours * HOUR
    assert asked - slot_s < window.start <= asked
    assert window.start % slot_s == 0
    assert (window.end, window.exact) == (world.now, True)
    wanted = Counter((p, m, s) for _, p, m, s, *_ in world.within(window))
    assert world.count(hours * HOUR, "provider", "model", "status") == wanted


def test_without_a_thread_nothing_that_happened_before_an_edge_is_lost():
    """A process that slept, or whose thread died, still has its counts; only the slots are coarser."""
    world = World(ticks=False)
    world.call()
    world.wait(10 * MINUTE)
    assert world.count(HOUR) == {(): 1}
    world.call()
    assert world.count(HOUR) == {(): 2}
    world.wait(8 * DAY)
    assert world.count(HOUR) == {}


def test_hours_add_up_to_the_window(world):
    for number in range(150):
        world.wait(917)
        world.call("groq" if number % 3 else "xai", cost=number / 7)
    view = world.store.look(24 * HOUR)
    edges = view.window.hours
    assert [edge % HOUR for edge in edges[1:-1]] == [0] * (len(edges) - 2)
    each, dollars = view.increases([Ask(inference.REQUESTS), Ask(inference.CREDITS, ("provider",))], edges)
    assert sum(sums[()] for sums in each) == len(world.within(view.window))
    for (start, end), sums in zip(pairwise(edges), each, strict=True):
        assert sums[()] == sum(start <= call[0] < end for call in world.calls) + (end == world.now)
    total = sum(call[6] for call in world.within(view.window))
    assert sum(sum(sums.values()) for sums in dollars) == pytest.approx(total, abs=1e-9)


def test_a_window_is_complete_once_the_process_has_run_for_it(world):
    world.call()
    assert not world.store.look(HOUR).window.complete
    world.wait(HOUR + MINUTE)
    assert world.store.look(HOUR).window.complete
    assert not world.store.look(24 * HOUR).window.complete
    world.wait(7 * DAY + HOUR)
    assert world.store.look(7 * DAY).window.complete
    window = world.store.look(30 * DAY).window
    assert (window.complete, round((world.now - window.start) / DAY)) == (False, 7)


def test_a_count_is_zero_only_where_the_window_is_covered(world):
    page = traffic.realtime(world.store, 1, 300).body
    assert (page.complete, page.total_requests, page.total_cost, page.error_rate) == (False, None, None, None)
    assert (page.p95_latency, page.avg_health_score, page.providers) == (None, None, {})
    world.wait(2 * HOUR)
    page = traffic.realtime(world.store, 1, 300).body
    assert (page.complete, page.total_requests, page.total_cost, page.error_rate) == (True, 0, 0.0, None)
    assert (page.p95_latency, page.avg_health_score) == (None, None)


def test_counts_before_the_store_began_are_not_its_own():
    """Another application of the process may have used the registry before."""
    first = World()
    for _ in range(5):
        first.call()
    second = LocalStore(first.collectors, clock=lambda: first.now)
    first.call()
    view = second.look(HOUR)
    assert view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end]) == [[{(): 1}]]


def test_counters_beyond_32_bits_do_not_overflow_a_window(world):
    cell = world.collectors.child(inference.REQUESTS, "groq", "m", "success")
    cell.inc(2**32 - 3)
    world.wait(2 * HOUR)
    cell.inc(10)
    assert world.count(HOUR) == {(): 10}
    assert world.count(3 * HOUR) == {(): (2**32 + 7) % 2**32}


def test_a_service_of_two_hundred_pairs_fits_into_16_mib_for_a_week():
    pairs = [(f"p{number % 20}", f"model-{number}") for number in range(200)]
    tracemalloc.start()
    try:
        world = World(ticks=False)
        for provider, model in pairs:
            world.call(provider, model)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for step in (HOUR,) * 150 + (900,) * 90 + (MINUTE,) * 190:
            world.now += step
            for provider, model in pairs:  # something changes everywhere, so that no slot can share another's memory
                world.collectors.child(inference.REQUESTS, provider, model, "success").inc()
                world.collectors.child(inference.CREDITS, provider, model).inc(0.1)
            world.store.tick()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2**20 < after - before < 16 * 2**20, f"{(after - before) / 2**20:.1f} MiB"


def test_an_idle_process_shares_the_memory_of_its_slots(world):
    world.call()
    world.wait(2 * DAY)
    snapshots = world.store._history._snapshots
    assert len(snapshots) > 200
    assert len({id(snapshot) for snapshot in snapshots}) == 1


def test_failures_are_the_newest_first_and_bounded(world):
    for number in range(KEPT_FAILURES + 20):
        world.now += 1
        world.store(CallFailed("groq", f"m{number}", "TimeoutError", 0.5))
        world.store(AttemptEnded("groq", "m", "success", 0.1))
    found = world.store.failures("groq", 3)
    assert [one.model for one in found.found] == ["m119", "m118", "m117"]
    assert found.window.complete
    every = world.store.failures("groq", 1000)
    assert (len(every.found), every.window.complete) == (100, False)
    assert world.store.failures("xai", 5).found == []


def test_providers_and_models_are_known_by_their_calls_or_by_the_settings():
    world = World(declared=("idle",))
    world.call("groq", "m")
    known = [world.store.knows(*names) for names in (("groq",), ("idle",), ("xai",), ("groq", "m"), ("groq", "n"))]
    assert known == [True, True, False, True, False]


def ticking():
    return [thread for thread in threading.enumerate() if thread.name == "gwz-monitoring"]


def until(holds):
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    assert holds()


def test_one_thread_tells_all_stores_of_the_edges_and_ends_with_the_last(monkeypatch):
    monkeypatch.setattr(local, "_ticked", weakref.WeakSet())
    monkeypatch.setattr(local, "_thread", None)
    monkeypatch.setattr(local, "TIERS", ((0.05, 10.0), (1.0, 20.0)))
    others = set(ticking())
    stores = [LocalStore(Collectors()) for _ in range(3)]
    for store in stores * 2:
        local.keep_ticking(store)
    (thread,) = set(ticking()) - others
    until(lambda: all(len(one._history._edges) >= 3 for one in stores))
    del store
    stores.clear()
    gc.collect()
    until(lambda: not thread.is_alive())


def test_what_was_counted_while_nobody_looked_is_in_the_newest_slot_and_said_to_be_inexact():
    """A machine that slept: the calls came after it woke up, and before its thread did."""
    world = World()
    world.call()
    world.wait(2 * HOUR)
    world.ticks = False
    world.wait(2 * HOUR)
    world.call()
    world.wait(20)
    view = world.store.look(HOUR)
    assert view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end]) == [[{(): 1.0}]]
    assert (view.window.complete, view.window.exact) == (True, False)
    world.ticks = True
    world.wait(2 * HOUR)
    assert world.store.look(HOUR).window.exact
    assert world.count(3 * HOUR) == {(): 1}


@pytest.mark.parametrize("back", [2 * HOUR, 400 * DAY])
def test_a_clock_that_is_set_back_begins_a_new_history(back):
    world = World()
    for _ in range(90):
        world.wait(MINUTE)
        world.call()
    world.now -= back
    assert world.count(HOUR) == {}
    for _ in range(30):
        world.wait(MINUTE)
        world.call()
    assert world.count(HOUR) == {(): 30}
    assert not world.store.look(HOUR).window.complete


def test_an_amount_that_an_addition_made_smaller_has_not_grown(world):
    cell = world.collectors.child(inference.CREDITS, "groq", "m")
    cell.inc(0.3)
    world.wait(2 * HOUR)
    cell.inc(-1e-17)
    cell.inc(-1e-9)
    view = world.store.look(HOUR)
    assert view.increases([Ask(inference.CREDITS)], [view.window.start, view.window.end]) == [[{(): 0.0}]]


def test_a_window_before_all_that_is_remembered_is_empty(world):
    window = world.store.look(DAY, before_s=30 * DAY).window
    assert window.start <= window.end
    assert not window.complete


# The pages, whichever store is behind them.


def test_realtime_tells_calls_tokens_money_and_latency(world):
    for seconds in (0.05, 0.05, 0.3, 4.0):
        world.call("groq", seconds=seconds)
    world.call("xai", status="timeout", seconds=20.0)
    world.call("xai", status="client_disconnected", seconds=0.05)
    page = traffic.realtime(world.store, 1, 300).body
    assert (page.total_requests, page.successful_requests, page.failed_requests, page.total_errors) == (6, 4, 1, 1)
    assert (page.error_rate, page.success_rate) == (0.2, 0.8)
    assert (page.tokens_input, page.tokens_output, page.total_cost) == (40, 120, 1.0)
    assert page.avg_latency_ms == pytest.approx(sum((0.05, 0.05, 0.3, 4.0, 20.0, 0.05)) / 6 * 1e3)
    assert page.p50_latency == pytest.approx(100.0)  # the third of six, at the end of its bucket
    assert 10_000 <= page.p95_latency <= 25_000
    assert (page.providers["groq"].health_score, page.providers["xai"].health_score) == (100.0, 0.0)
    assert page.avg_health_score == 50.0
    hour = datetime.fromtimestamp(world.now, UTC).strftime("%Y-%m-%d:%H")
    assert list(page.providers["groq"].hourly_breakdown) == [hour]
    row = page.providers["groq"].hourly_breakdown[hour]
    assert (row.total_requests, row.tokens_output, row.total_cost) == (4, 120, 1.0)
    assert sum(point.total_requests or 0 for point in page.series) == 6


def test_health_has_only_who_was_asked_and_a_status_for_the_score(world):
    for _ in range(7):
        world.call("good")
    for number in range(10):
        world.call("half", status="success" if number < 6 else "error")
        world.call("bad", status="timeout" if number else "success")
    world.call("gone", status="client_disconnected")
    found = {
        one.provider: (one.health_score, one.status, one.error_rate) for one in condition.health(world.store, 300).body
    }
    assert found == {
        "good": (100.0, "healthy", 0.0),
        "half": (60.0, "degraded", 0.4),
        "bad": (10.0, "unhealthy", 0.9),
        "gone": (None, "unknown", None),
    }
    world.wait(20 * MINUTE)
    assert condition.health(world.store, 300).body == []
    assert condition.one_health(world.store, "good", 300).body.health_score is None


def test_error_rates_have_the_worst_model_first(world):
    world.call("groq", "fine")
    for status in ("success", "error"):
        world.call("groq", "half", status)
        world.call("xai", "half", status)
    world.call("xai", "broken", "stream_error")
    page = traffic.error_rates(world.store, 24).body
    assert [(name, one.error_rate, one.providers) for name, one in page.models.items()] == [
        ("broken", 1.0, ["xai"]),
        ("half", 0.5, ["groq", "xai"]),
        ("fine", 0.0, ["groq"]),
    ]
    assert (page.total_requests, page.failed_requests, page.total_errors) == (6, 3, 3)


@pytest.mark.parametrize(
    ("sort_by", "first"),
    [("requests", "many"), ("tokens", "big"), ("cost", "dear"), ("errors", "broken"), ("latency", "slow")],
)
def test_trending_is_sorted_by_what_was_asked(world, sort_by, first):
    for _ in range(3):
        world.call("groq", "many", tokens=1)
    world.call("groq", "big", tokens=1000, seconds=2.0)
    world.call("groq", "dear", tokens=1, cost=9.0)
    world.call("xai", "broken", "error")
    world.call("xai", "slow", tokens=1, seconds=50.0)
    page = traffic.trending(world.store, 5, sort_by, "1h", "all").body
    assert page.data[0].model == first
    assert (page.count, page.sort_by, page.success) == (5, sort_by, True)
    assert [row.model for row in traffic.trending(world.store, 2, sort_by, "1h", "all").body.data] == [
        row.model for row in page.data[:2]
    ]
    assert {row.provider for row in traffic.trending(world.store, 5, sort_by, "1h", "xai").body.data} == {"xai"}
    big = next(row for row in page.data if row.model == "big")
    assert (big.total_tokens, big.avg_speed, big.cost_per_request) == (4000, 1500.0, 0.25)


def test_availability_is_the_share_of_hours_in_which_a_provider_answered(world):
    for hour in range(4):
        world.call("groq", status="error" if hour == 1 else "success")
        world.wait(HOUR)
    world.call("groq", status="client_disconnected")
    world.wait(1)
    page = condition.availability(world.store, 1).body
    groq = page.providers["groq"]
    assert (groq.availability, groq.hours_available, groq.hours_with_traffic) == (0.75, 3, 4)
    assert (groq.total_attempts, groq.failed_attempts, groq.success_rate) == (5, 1, 0.75)
    assert [point.availability for point in page.series] == [1.0, 0.0, 1.0, 1.0, None]


def test_costs_have_the_dearest_provider_first(world):
    world.call("groq", cost=1.5)
    world.call("xai", cost=2.5)
    world.call("xai", status="error")
    page = spending.costs(world.store, 7).body
    assert [(name, one.total_cost, one.cost_per_request) for name, one in page.providers.items()] == [
        ("xai", 2.5, 1.25),
        ("groq", 1.5, 1.5),
    ]
    assert (page.total_cost, page.total_requests, page.period_days) == (4.0, 3, 7)


def test_efficiency_is_output_for_each_input(world):
    world.call(tokens=10)
    world.collectors.child(inference.TOKENS, "groq", "m", "input_estimated").inc(20)
    world.collectors.child(inference.TOKENS, "groq", "m", "output_estimated").inc(30)
    page = traffic.tokens(world.store, 24).body
    assert (page.tokens_input, page.tokens_output, page.tokens_total, page.tokens_estimated) == (30, 60, 90, 50)
    assert (page.output_per_input_ratio, page.models["m"].output_per_input_ratio) == (2.0, 2.0)
    assert (page.tokens_per_request, page.cost_per_token) == (90.0, 0.25 / 90)


def test_latency_trends_go_by_the_hour(world):
    world.call(seconds=0.3)
    world.wait(HOUR)
    world.call(seconds=4.0)
    page = speed.trends(world.store, "groq", 3).body
    rows = [(row.count, row.avg_latency_ms) for row in page.hourly_data if row.count]
    assert rows == [(1, pytest.approx(300.0)), (1, pytest.approx(4000.0))]
    assert (page.count, page.overall_avg_latency_ms) == (2, pytest.approx(2150.0))
    assert page.overall_p95_latency_ms == page.p95_latency
    assert speed.of_model(world.store, "groq", "m", 1).body.count == 2 - (world.store.look(HOUR).window.start > START)


def test_breakers_are_those_of_the_gauge(world):
    states = {("groq", "open"): 1.0, ("groq", "closed"): 0.0, ("xai", "half_open"): 1.0, ("near", "closed"): 1.0}
    world.collectors.watch(providers.BREAKER_STATE, lambda: states)
    world.call("groq", status="error")
    found = {
        one.provider: (one.state, one.failure_count, one.is_available)
        for one in condition.breakers(world.store, 300).body
    }
    assert found == {"groq": ("OPEN", 1, False), "xai": ("HALF_OPEN", None, True), "near": ("CLOSED", None, True)}


def test_an_anomaly_is_a_departure_from_the_time_before(world):
    for _ in range(100):
        world.wait(6 * MINUTE)
        world.call("groq", seconds=0.3)
        world.call("xai", seconds=0.3)
    for number in range(20):
        world.wait(3 * MINUTE)
        world.call("groq", status="error" if number % 2 else "success", seconds=0.3)
        world.call("xai", seconds=0.3, cost=2.5)
    page = condition.anomalies(world.store, HOUR, DAY).body
    found = {(one.provider, one.type): one for one in page.anomalies}
    assert set(found) == {("groq", "error_surge"), ("xai", "cost_spike")}
    surge, spike = found["groq", "error_surge"], found["xai", "cost_spike"]
    assert (round(surge.value, 1), surge.expected, surge.severity) == (0.5, 0.0, "critical")
    assert spike.value == pytest.approx(20 * 2.5, abs=5)
    assert spike.severity == "warning"
    assert (page.total_count, page.critical_count, page.warning_count) == (2, 1, 1)


def test_a_provider_that_nobody_asked_before_is_no_anomaly(world):
    for _ in range(100):
        world.wait(3 * MINUTE)
        world.call("groq")
    for _ in range(40):
        world.call("new", status="error")
    assert condition.anomalies(world.store, HOUR, DAY).body.anomalies == []
