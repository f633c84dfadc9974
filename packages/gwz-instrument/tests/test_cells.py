import os
import sys
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference
from prometheus_client.metrics_core import Metric as Family

from gwz_instrument import cells
from gwz_instrument.cells import Bundle, Counter, Gauge, Histogram
from gwz_instrument.metrics import Collectors, collectors_of
from gwz_instrument.semconv import Label, Metric, health, http

ENTRY = Metric("h_seconds", "histogram", "s", (Label("a", "closed"),), "Brief.", "test", (0.1, 1.0))


def exposed(cell, name="h_seconds", kind="histogram"):
    family = Family(name, "Brief.", kind)
    cell.add_to(family, {"a": "x"})
    return family.samples


def test_a_histogram_says_what_prometheus_clients_own_says():
    registry = CollectorRegistry()
    reference = Reference("h_seconds", "Brief.", ["a"], registry=registry, buckets=(0.1, 1.0))
    cell = Histogram(ENTRY)
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        reference.labels("x").observe(value)
        cell.observe(value)
    wanted = {
        (s.name, s.labels.get("le")): s.value for f in registry.collect() for s in f.samples if "_created" not in s.name
    }
    assert {(s.name, s.labels.get("le")): s.value for s in exposed(cell)} == wanted


def test_no_count_is_lost_between_threads():
    """Eight threads count the same cells at once."""
    counter, histogram, bundle_of = Counter(ENTRY), Histogram(ENTRY), (Histogram(ENTRY), Histogram(ENTRY))
    bundled = Counter(ENTRY)
    bundle = Bundle(bundled, bundle_of)

    def work():
        for _ in range(20_000):
            counter.inc()
            histogram.observe(0.5)
            bundle.observe((0.5, 2.0))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [exposed(each, "c", "counter")[0].value for each in (counter, bundled)] == [160_000, 160_000]
    for cell, total in ((histogram, 80_000), (bundle_of[0], 80_000), (bundle_of[1], 320_000)):
        samples = {s.name: s.value for s in exposed(cell)}
        assert (samples["h_seconds_count"], samples["h_seconds_sum"]) == (160_000, total)


def counted(cell):
    return next(sample.value for sample in exposed(cell) if sample.name == "h_seconds_count")


@pytest.fixture
def hasty():
    """Threads take turns so often that they meet in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_a_scrape_misses_nothing_that_another_one_is_just_adding():
    """What has been observed before a scrape is in it, whoever else scrapes."""
    cell, over = Histogram(ENTRY), threading.Event()
    bundle = Bundle(Counter(ENTRY), (cell,))

    def scrape():
        while not over.is_set():
            counted(cell)

    others = [threading.Thread(target=scrape) for _ in range(2)]
    for other in others:
        other.start()
    missed, until, number = [], time.monotonic() + 3, 0
    while time.monotonic() < until and not missed:
        for _ in range(20):
            number += 1
            bundle.observe((0.5,))
        if (seen := counted(cell)) != number:
            missed.append((number, seen))
    over.set()
    for other in others:
        other.join()
    assert missed == []


class Slow(float):
    """A value that takes its time to find its bucket: until it is released."""

    def __new__(cls, value):
        slow = super().__new__(cls, value)
        slow.reached, slow.released = threading.Event(), threading.Event()
        return slow

    def __gt__(self, bound):
        self.reached.set()
        assert self.released.wait(10)
        return float(self) > bound


@pytest.fixture
def slow():
    """(bundle, its histogram, thread that is adding 256 observations and stands still, value that it stands at)."""
    value, cell = Slow(0.5), Histogram(ENTRY)
    bundle = Bundle(Counter(ENTRY), (cell,))

    def work():
        for _ in range(255):
            bundle.observe((0.5,))
        bundle.observe((value,))

    adding = threading.Thread(target=work)
    adding.start()
    assert value.reached.wait(10)
    yield bundle, cell, adding, value
    value.released.set()
    adding.join(10)


def test_a_scrape_waits_for_what_a_request_is_just_adding(slow):
    """The count and the sum are of the same observations."""
    _, cell, adding, value = slow
    found = []
    scrape = threading.Thread(target=lambda: found.extend(exposed(cell)))
    scrape.start()
    scrape.join(0.2)
    value.released.set()
    scrape.join(10)
    adding.join(10)
    assert {s.name: s.value for s in found if "bucket" not in s.name} == {"h_seconds_count": 256, "h_seconds_sum": 128}


def test_a_request_waits_for_nobody_who_is_adding(slow):
    """It leaves its observations to whoever comes next."""
    bundle, cell, adding, value = slow
    for _ in range(600):
        bundle.observe((0.5,))
    assert adding.is_alive()
    value.released.set()
    adding.join(10)
    assert counted(cell) == 856


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_the_collector_ends_while_a_batch_is_added_is_not_overwritten(monkeypatch):
    """It may run within any call, and a request of another status that it ends adds to the same histogram."""
    histogram, counter, others = Histogram(ENTRY), Counter(ENTRY), Counter(ENTRY)
    full, other = Bundle(counter, (histogram,)), Bundle(others, (histogram,))
    for _ in range(255):
        full.observe((1.0,))

    def collecting(values):
        monkeypatch.undo()
        full.observe((1.0,))
        return sum(values)

    monkeypatch.setattr(cells, "sum", collecting, raising=False)
    other.observe((1.0,))
    assert exposed(others, "c", "counter")[0].value == 1
    assert exposed(counter, "c", "counter")[0].value == 256
    samples = {sample.name: sample.value for sample in exposed(histogram)}
    assert (samples["h_seconds_count"], samples["h_seconds_sum"]) == (257, 257)


def test_a_child_that_is_forked_while_somebody_adds_can_scrape_and_count(slow, exit_status):
    """A lock that nobody of its threads holds does not stop it."""
    bundle, cell, _, _ = slow
    if (child := os.fork()) == 0:
        before = counted(cell)
        for _ in range(300):
            bundle.observe((0.5,))
        os._exit(0 if counted(cell) == before + 300 else 1)
    assert exit_status(child) == 0


def test_threads_that_come_and_go_add_no_parts_for_ever():
    counter = Counter(ENTRY)
    for _ in range(200):
        thread = threading.Thread(target=counter.inc)
        thread.start()
        thread.join()
    assert exposed(counter, "c", "counter")[0].value == 200
    assert len(counter._parts) < 20


def test_an_exemplar_is_the_last_trace_of_its_bucket():
    cell = Histogram(ENTRY)
    cell.observe(0.5, 0xABC)
    cell.observe(0.6, 0xDEF)
    cell.observe(0.7)
    found = {s.labels["le"]: s.exemplar for s in exposed(cell) if s.exemplar}
    assert list(found) == ["1.0"]
    assert found["1.0"].labels == {"trace_id": f"{0xDEF:032x}"}
    assert found["1.0"].value == 0.6


@pytest.mark.parametrize(
    ("cell", "wrong"), [(Counter, "set"), (Counter, "observe"), (Gauge, "inc"), (Histogram, "set")]
)
def test_what_a_metric_of_another_kind_would_do_is_refused(cell, wrong):
    with pytest.raises(TypeError, match=cell.__name__):
        getattr(cell(ENTRY), wrong)(1.0)


def test_a_label_too_few_is_an_error_with_the_labels():
    with pytest.raises(ValueError, match=r"fastapi_requests_total has the labels .*status_code"):
        Collectors().child(http.REQUESTS, "gw", "GET", "/")


def test_what_is_told_is_counted_by_outcome_and_reason():
    collectors, registry = Collectors(), CollectorRegistry()
    registry.register(collectors)
    collectors.tell("logs", "delivered", 5)
    collectors.tell("logs", "queue_full", 2)
    text = generate_latest(registry).decode()
    assert 'gwz_telemetry_items_total{outcome="delivered",signal="logs"} 5.0' in text
    assert 'gwz_telemetry_items_total{outcome="dropped",signal="logs"} 2.0' in text
    assert 'gwz_telemetry_dropped_total{reason="queue_full",signal="logs"} 2.0' in text
    assert 'gwz_telemetry_dropped_total{reason="shutdown",signal="traces"} 0.0' in text, "there from the start"
    assert "_created" not in text


def test_a_gauge_that_is_read_has_a_series_only_while_something_is_known():
    collectors, registry, known = Collectors(), CollectorRegistry(), {}
    registry.register(collectors)
    collectors.watch(health.LOOP_LAG, lambda: known)
    assert "\ngatewayz_event_loop_lag_seconds " not in generate_latest(registry).decode()
    known[()] = 0.25
    assert "\ngatewayz_event_loop_lag_seconds 0.25\n" in generate_latest(registry).decode()


def test_applications_that_share_a_registry_share_its_collectors():
    one, other = CollectorRegistry(), CollectorRegistry()
    assert collectors_of(one) is collectors_of(one)
    assert collectors_of(one) is not collectors_of(other)


def test_who_observes_the_same_histograms_together_shares_what_waits():
    """Two applications, or a rebuilt middleware stack, and two statuses: nobody's observations hide another's."""
    collectors, registry = Collectors(), CollectorRegistry()
    registry.register(collectors)
    for status in ("200", "200", "500"):
        bundle = collectors.bundle(http.REQUESTS, (http.DURATION, http.REQUEST_SIZE), "gw", "GET", "/", status)
        bundle.observe((0.5, 3.0))
    text = generate_latest(registry).decode()
    for status, number in (("200", 2.0), ("500", 1.0)):
        assert f'fastapi_requests_total{{app_name="gw",method="GET",path="/",status_code="{status}"}} {number}' in text
    for name in ("fastapi_requests_duration_seconds", "fastapi_request_size_bytes"):
        assert f'{name}_count{{app_name="gw",method="GET",path="/"}} 3.0' in text
