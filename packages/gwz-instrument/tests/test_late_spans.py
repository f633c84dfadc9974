"""A server span that is made when it ends is the one that the SDK would have made at the start."""

import logging
import threading

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gwz_instrument.late_spans import GivenIds, LateSpan, LateSpans, OurProcessor, OurProvider
from gwz_instrument.traces import Traces

TRACE_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
SAMPLERS = {
    "on": sampling.DEFAULT_ON,
    "off": sampling.DEFAULT_OFF,
    "half": sampling.ParentBasedTraceIdRatio(0.5),
    "half, whatever the caller says": sampling.TraceIdRatioBased(0.5),
}


def called_by(flags, state=None):
    caller = SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
    return trace.set_span_in_context(NonRecordingSpan(caller), Context())


PARENTS = {
    "nobody": Context(),
    "unsampled": called_by(0),
    "sampled": called_by(1, TraceState([("vendor", "7")])),
    "sampled, random ids": called_by(3),
}


class Seen(OurProcessor):
    """Keeps what ends."""

    def __init__(self):
        self.spans = []

    def on_end(self, span):
        self.spans.append(span)


class Listening(SpanProcessor):
    """Somebody else's: keeps what starts, and in which thread."""

    def __init__(self):
        self.starts = []

    def on_start(self, span, parent_context=None):  # noqa: ARG002  # the SDK names it
        self.starts.append((span.name, threading.get_ident()))


class World:
    """Our provider, and what came out of it."""

    def __init__(self, sampler=sampling.DEFAULT_ON):
        self.provider = OurProvider(resource=Resource({"service.name": "shop"}), sampler=sampler)
        self.seen = Seen()
        self.provider.add_span_processor(self.seen)
        self.tracer = self.provider.get_tracer("test")
        self.traces = Traces(self.provider, self.tracer, None, late=LateSpans(self.provider, self.tracer))

    def begin(self, parent=PARENTS["nobody"]):
        return self.traces.begin("GET", parent, 5)


@pytest.mark.parametrize("parent", PARENTS.values(), ids=PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_its_ids_flags_and_state_are_those_that_the_sdk_gives(sampler, parent):
    """Callees, lines and exemplars have been told them by the time that it is made."""
    world, ids = World(sampler), GivenIds()
    peer = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False).get_tracer("test")
    for _ in range(50):
        span = world.begin(parent)
        context = span.get_span_context()
        ids.give((context.trace_id, context.span_id))
        wanted = peer.start_span("GET", parent, SpanKind.SERVER)
        assert (context, context.trace_state) == (wanted.get_span_context(), wanted.get_span_context().trace_state)
        assert span.is_recording() is wanted.is_recording()
        span.end(9)
        if wanted.is_recording():
            made = world.seen.spans.pop()
            assert (made.context, made.context.trace_state) == (context, context.trace_state)
            assert made.parent == wanted.parent
    assert world.seen.spans == []


def test_everything_that_was_said_is_on_the_span_with_the_time_at_which_it_was_said():
    world = World()
    span = world.begin()
    attributes, event = {"b": 2}, {"n": 1}
    span.set_attribute("a", 1)
    span.set_attributes(attributes)
    span.add_event("early", event, 6)
    span.add_event("now")
    attributes["b"], event["n"] = 3, 3  # what is changed afterwards was not said
    span.add_link(SpanContext(TRACE_ID, SPAN_ID, is_remote=True), {"why": "batch"})
    span.record_exception(LookupError("gone"), {"more": 1}, escaped=True)
    span.set_status(Status(StatusCode.ERROR, "no such thing"))
    span.update_name("GET /a")
    span.end(9_000_000_000_000_000_000)
    (made,) = world.seen.spans
    assert (made.name, made.kind, made.start_time, made.end_time) == ("GET /a", SpanKind.SERVER, 5, 9 * 10**18)
    assert dict(made.attributes) == {"a": 1, "b": 2}
    assert (made.status.status_code, made.status.description) == (StatusCode.ERROR, "no such thing")
    assert made.resource.attributes["service.name"] == "shop"
    assert made.instrumentation_scope.name == "test"
    assert [(link.context.span_id, dict(link.attributes)) for link in made.links] == [(SPAN_ID, {"why": "batch"})]
    early, now, raised = made.events
    assert (early.name, early.timestamp, dict(early.attributes)) == ("early", 6, {"n": 1})
    assert early.timestamp < now.timestamp <= raised.timestamp < made.end_time
    said = dict(raised.attributes)
    assert "LookupError: gone" in said.pop("exception.stacktrace")
    assert said == {
        "exception.type": "LookupError",
        "exception.message": "gone",
        "exception.escaped": "True",
        "more": 1,
    }


def test_who_says_very_much_to_it_meets_the_limits_of_the_sdk():
    world = World()
    span = world.begin()
    for number in range(100_000):
        span.add_event("chunk", {"n": number}, number + 1)
    assert span.is_recording()
    span.end(9)
    (made,) = world.seen.spans
    assert [event.timestamp for event in made.events] == list(range(100_000 - 127, 100_001))
    assert made.dropped_events == 100_000 - 128


def test_spans_inside_it_are_its_children():
    world = World()
    span = world.begin(PARENTS["sampled"])
    world.tracer.start_span("inside", trace.set_span_in_context(span, Context())).end()
    span.end(9)
    inside, outside = world.seen.spans
    assert inside.parent == outside.context == span.get_span_context()
    assert inside.context.span_id != outside.context.span_id
    assert outside.context.trace_id == inside.context.trace_id == TRACE_ID


def test_after_its_end_it_is_as_deaf_as_the_sdk_s(caplog):
    world = World()
    span = world.begin()
    span.end(9)
    assert not span.is_recording()
    with caplog.at_level(logging.WARNING, "opentelemetry.sdk.trace"):
        span.set_attribute("late", 1)
        span.end(10)
    assert [record.message for record in caplog.records] == [
        "Setting attribute on ended span.",
        "Calling end() on an ended span.",
    ]
    (made,) = world.seen.spans
    assert (made.end_time, dict(made.attributes)) == (9, {})


def test_who_listens_to_starts_hears_of_them_in_time():
    world, listening = World(), Listening()
    assert isinstance(world.begin(), LateSpan)
    world.provider.add_span_processor(listening)
    span = world.begin()
    assert listening.starts == [("GET", threading.get_ident())]
    span.end()
    assert len(world.seen.spans) == 1


def test_another_thread_makes_a_span_of_its_own_ids():
    world = World()
    world.provider.ids.give((1, 2))
    found = []
    thread = threading.Thread(target=lambda: found.append(world.tracer.start_span("x").get_span_context()))
    thread.start()
    thread.join()
    world.provider.ids.give(None)
    assert (found[0].trace_id, found[0].span_id) != (1, 2)
    assert world.tracer.start_span("y").get_span_context().trace_id not in (1, found[0].trace_id)
