"""Spans are ended together, soon, all of them, and apart from the thread that answers."""

import os
import threading
import time
import weakref
from collections import Counter

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, StatusCode

from gwz_instrument import span_ends
from gwz_instrument.span_ends import SpanEnd, SpanEnds


class World:
    """Spans of a provider of its own, and what was counted."""

    def __init__(self):
        self.counted = Counter()
        self.exporter, self.provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.ends = SpanEnds(lambda signal, word, number: self.counted.update({(signal, word): number}))

    def put(self, name="GET /", *, failed=False, exception=None, end_ns=7):
        span = self.provider.get_tracer("test").start_span("GET", start_time=5)
        self.ends.put(SpanEnd(span, name, lambda: {"http.route": "/"}, failed, exception, end_ns))

    @property
    def names(self):
        return [span.name for span in self.exporter.get_finished_spans()]


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.01)


def test_a_span_ends_by_itself_with_everything_that_was_to_be_said():
    world = World()
    world.put("GET /a", failed=True, exception={"exception.type": "LookupError"})
    wait_for(lambda: world.names)
    (span,) = world.exporter.get_finished_spans()
    assert (span.name, dict(span.attributes), span.end_time) == ("GET /a", {"http.route": "/"}, 7)
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert (event.name, event.timestamp, dict(event.attributes)) == (
        "exception",
        7,
        {"exception.type": "LookupError"},
    )
    world.put("GET /b")
    wait_for(lambda: len(world.names) == 2)


def test_whoever_brings_a_span_does_not_end_it():
    world, threads = World(), []

    class Noting(SimpleSpanProcessor):
        def on_end(self, _span):
            threads.append(threading.current_thread().name)

    world.provider.add_span_processor(Noting(world.exporter))
    world.put()
    wait_for(lambda: threads)
    assert threads == ["gwz-span-ends"]


def test_a_flush_returns_when_all_that_was_put_has_ended():
    """Also while the thread is in the middle of one of them."""
    world = World()
    inside, go_on = threading.Event(), threading.Event()

    class Slow(SimpleSpanProcessor):
        def on_end(self, span):
            if span.name == "slow":
                inside.set()
                go_on.wait(10)

    world.provider.add_span_processor(Slow(world.exporter))
    world.put("slow")
    assert inside.wait(10), "our thread is at it"
    world.put("second")
    flushing = threading.Thread(target=world.ends.flush, args=(10,))
    flushing.start()
    flushing.join(0.2)
    assert flushing.is_alive(), "the slow one has not ended"
    go_on.set()
    flushing.join(10)
    assert world.names == ["slow", "second"]


def test_many_threads_lose_nothing_and_end_nothing_twice():
    world = World()

    def put_some(number):
        for each in range(300):
            world.put(f"{number}.{each}")

    threads = [threading.Thread(target=put_some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    world.ends.flush(10)
    assert Counter(world.names) == Counter(f"{number}.{each}" for number in range(4) for each in range(300))


def test_beyond_what_may_wait_the_bringer_ends_the_span_itself(monkeypatch):
    monkeypatch.setattr(span_ends, "_MOST", 2)
    monkeypatch.setattr(span_ends, "_GATHER_S", 60)
    world = World()
    for name in ("one", "two", "three"):
        world.put(name)
    assert world.names == ["three"]
    world.ends.flush(10)
    assert world.names == ["three", "one", "two"]


def test_where_no_thread_can_start_the_bringer_ends_the_span_itself(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    world = World()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    world.put()
    assert world.names == ["GET /"]


def test_a_processor_that_fails_costs_one_span_and_is_told_once(caplog):
    world = World()

    class Failing(SimpleSpanProcessor):
        def on_end(self, span):
            if span.name == "bad":
                raise ValueError("of the application")

    world.provider.add_span_processor(Failing(world.exporter))
    for name in ("bad", "good", "bad"):
        world.put(name)
    world.ends.flush(10)
    assert world.names == ["bad", "good", "bad"]
    assert world.counted == {("traces", "fault"): 2}
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "gwz-instrument failed at its own work (span)"
    ]


def test_a_processor_that_hangs_holds_up_a_flush_no_longer_than_it_is_told():
    world, reached, gate = World(), threading.Event(), threading.Event()

    class Hanging(SimpleSpanProcessor):
        def on_end(self, _span):
            reached.set()
            gate.wait(20)

    world.provider.add_span_processor(Hanging(world.exporter))
    try:
        for _ in range(3):
            world.put()
        assert reached.wait(10), "our thread is at the first of them"
        began = time.monotonic()
        assert world.ends.flush(0.1) is False
        world.ends.give_up()
        assert time.monotonic() - began < 5
        assert world.counted == {("traces", "shutdown"): 2}
    finally:
        gate.set()


def test_a_finalizer_may_bring_a_span_while_another_is_brought(monkeypatch):
    world, brought = World(), []

    class Wake:
        def put(self, _nothing):
            if not brought:
                brought.append(True)
                world.put("from a finalizer")

    monkeypatch.setattr(world.ends, "_wake", Wake())
    monkeypatch.setattr(world.ends, "_started", True)  # without a thread
    world.put("first")
    assert world.ends.flush(10)
    assert world.names == ["first", "from a finalizer"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside threads is the point
def test_a_child_ends_its_own_spans_and_none_of_its_parent_s(monkeypatch):
    monkeypatch.setattr(span_ends, "_GATHER_S", 0.5)
    world = World()
    world.put("parent's")
    child = os.fork()
    if child == 0:
        world.ends.flush(10)
        before = list(world.names)
        world.put("child's")
        until = time.monotonic() + 5
        while not world.names and time.monotonic() < until:
            time.sleep(0.01)
        os._exit(0 if (before, world.names) == ([], ["child's"]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    world.ends.flush(10)
    assert world.names == ["parent's"]


def test_who_is_dropped_is_freed_and_its_thread_ends(monkeypatch):
    monkeypatch.setattr(span_ends, "_ABANDONED_S", 0.05)
    monkeypatch.setattr(span_ends, "_GATHER_S", 0.01)
    before = set(threading.enumerate())
    ends = SpanEnds(lambda *_: None)
    ends.put(SpanEnd(INVALID_SPAN, "GET /", dict, False, None, 7))
    (thread,) = (one for one in threading.enumerate() if one not in before)
    found = weakref.ref(ends)
    del ends
    thread.join(10)
    assert not thread.is_alive()
    assert found() is None
