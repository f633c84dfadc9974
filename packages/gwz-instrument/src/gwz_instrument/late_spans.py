"""Server spans that are a context and a list while the request runs: the SDK makes them when they end, apart from it.

Imports the OpenTelemetry SDK and is therefore itself imported when traces start, not before.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.util.types import Attributes, AttributeValue

from .traces import exception_facts

_MOST_SAID: Final = 128
"""Who has more to say to a span has the SDK make it at once, which knows its limits."""
_RANDOM: Final = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)  # since OpenTelemetry 1.40 or so


class _Given(threading.local):
    """Of each thread, the ids of trace and span that it has been given."""

    ids: tuple[int, int] | None = None


class GivenIds(RandomIdGenerator):
    """Random ids, but for a thread that says which ones the span is to have that it makes next."""

    def __init__(self) -> None:
        self._given = _Given()

    def give(self, ids: tuple[int, int] | None) -> None:
        """Have the calling thread's spans get these ids, of trace and span, until it is told None."""
        self._given.ids = ids

    def generate_trace_id(self) -> int:
        """The given id, else a random one."""
        given = self._given.ids
        return super().generate_trace_id() if given is None else given[0]

    def generate_span_id(self) -> int:
        """The given id, else a random one."""
        given = self._given.ids
        return super().generate_span_id() if given is None else given[1]


class OurProcessor(SpanProcessor):
    """One that does not care when a span started: it hears of it at its end."""


class OurProvider(TracerProvider):
    """The process's provider where the application has none: knows whether others listen to its spans."""

    def __init__(self, *, resource: Resource, sampler: Sampler) -> None:
        self.ids = GivenIds()
        self.only_ours = True
        super().__init__(sampler=sampler, resource=resource, id_generator=self.ids)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Let a processor hear of spans; one that is not ours hears of their starts in time from now on."""
        self.only_ours = self.only_ours and isinstance(span_processor, OurProcessor)
        super().add_span_processor(span_processor)


@dataclass(frozen=True, slots=True, eq=False)
class LateSpans:
    """Begins server spans of our provider, while nobody else listens to it."""

    provider: OurProvider
    tracer: Tracer

    def begin(self, name: str, parent: Context, start_ns: int) -> Span:
        """A server span: recording if the provider's sampler wants it, else nothing but its ids."""
        provider = self.provider
        origin = trace.get_current_span(parent).get_span_context()
        known = origin.is_valid
        trace_id = origin.trace_id if known else provider.ids.generate_trace_id()
        wanted = provider.sampler.should_sample(parent, trace_id, name, SpanKind.SERVER)
        flags = (origin.trace_flags if known else _RANDOM) & _RANDOM
        if wanted.decision is Decision.RECORD_AND_SAMPLE:
            flags |= TraceFlags.SAMPLED
        span_id = provider.ids.generate_span_id()
        context = SpanContext(trace_id, span_id, False, TraceFlags(flags), wanted.trace_state)
        if wanted.decision is Decision.DROP:
            return NonRecordingSpan(context)
        return LateSpan(self, context, name, parent, start_ns)

    def make(self, context: SpanContext, name: str, parent: Context, start_ns: int) -> Span:
        """A span with these ids as the SDK makes it; its sampler says again what it said."""
        self.provider.ids.give((context.trace_id, context.span_id))
        try:
            return self.tracer.start_span(name, parent, SpanKind.SERVER, start_time=start_ns)
        finally:
            self.provider.ids.give(None)


class LateSpan(Span):
    """Remembers what is said to it, and says it to the SDK's span when it ends."""

    kind = SpanKind.SERVER

    def __init__(self, late: LateSpans, context: SpanContext, name: str, parent: Context, start_ns: int) -> None:
        # No closure: many wait at a time, and whatever the collector has to look at costs requests.
        self._late = late
        self._context = context
        self._name = name
        self._parent = parent
        self._start_ns = start_ns
        self._said: list[tuple[str, tuple[Any, ...]]] = []
        self._made: Span | None = None

    def get_span_context(self) -> SpanContext:
        """Its ids and flags."""
        return self._context

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._made is None or self._made.is_recording()

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute."""
        self._say("set_attribute", key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set several attributes."""
        self._say("set_attributes", dict(attributes))

    def update_name(self, name: str) -> None:
        """Give it another name."""
        self._say("update_name", name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went."""
        self._say("set_status", status, description)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note something that happened, now if no time is given."""
        self._say("add_event", name, attributes and dict(attributes), timestamp or time.time_ns())

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Refer to another span."""
        self._say("add_link", context, attributes and dict(attributes))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # OpenTelemetry's signature
    ) -> None:
        """Note an exception as an event."""
        facts = {**exception_facts(exception), "exception.escaped": str(escaped), **(attributes or {})}
        self.add_event("exception", facts, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Have the SDK make it, with the ids that it had from the start, and end that one."""
        try:
            self._be_made()
        finally:
            if self._made is not None:
                self._made.end(end_time)

    def _say(self, what: str, *arguments: Any) -> None:
        if self._made is None and len(self._said) < _MOST_SAID:
            self._said.append((what, arguments))
        else:
            getattr(self._be_made(), what)(*arguments)

    def _be_made(self) -> Span:
        """The SDK's span, which has heard everything so far."""
        if self._made is None:
            self._made = self._late.make(self._context, self._name, self._parent, self._start_ns)
            for what, arguments in self._said:
                getattr(self._made, what)(*arguments)
            self._said.clear()
        return self._made
