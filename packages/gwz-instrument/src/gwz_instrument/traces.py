"""Traces by the OpenTelemetry SDK: the provider and its sampler, the way out, the remote parent of a request."""

import logging
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    TraceState,
)
from opentelemetry.util.types import AttributeValue

from .semconv import spans
from .settings import Settings, SettingsError
from .span_ends import SpanEnd, SpanEnds

if TYPE_CHECKING:  # the SDK loads when traces start
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.sampling import Sampler

    from .late_spans import LateSpans
    from .span_export import Outlet

Count = Callable[[str, str, int], None]

EXIT_S: Final = 1.2
"""How long the end of a process waits for its last spans."""
MAX_VALUE: Final = 4096
"""Characters of an attribute value; the rest is cut off."""

_RAILWAY: Final = {
    spans.SERVICE_NAMESPACE: "RAILWAY_PROJECT_NAME",
    spans.SERVICE_VERSION: "RAILWAY_GIT_COMMIT_SHA",
    spans.SERVICE_INSTANCE_ID: "RAILWAY_REPLICA_ID",
    spans.DEPLOYMENT_ID: "RAILWAY_DEPLOYMENT_ID",
    spans.CLOUD_REGION: "RAILWAY_REPLICA_REGION",
}


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """The tracer of an application and the way that its spans leave."""

    provider: TracerProvider
    tracer: Tracer
    outlet: "Outlet | None"
    """None where the spans are not ours to export: the provider is not the SDK's."""
    ends: SpanEnds | None = None
    """Who ends the spans of requests; None: whoever brings them."""
    late: "LateSpans | None" = None
    """Who begins them where the provider is ours."""

    def begin(self, name: str, parent: Context, start_ns: int) -> Span:
        """Start the span of a request; with the SDK where somebody else may want to hear of it in time."""
        if self.late is None or not self.late.provider.only_ours:
            return self.tracer.start_span(name, parent, SpanKind.SERVER, start_time=start_ns)
        return self.late.begin(name, parent, start_ns)

    def end(self, end: SpanEnd) -> None:
        """End a span, now or in a moment."""
        if self.ends is None:
            end.write()
        else:
            self.ends.put(end)

    def keep(
        self,
        *,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, object],
        start_ns: int,
        end_ns: int,
        failed: bool,
        exception: BaseException | None,
    ) -> None:
        """Write the server span of a request whose trace was not sampled, with the ids and times that it had."""
        if self.outlet is None:
            return
        from opentelemetry.sdk.trace import Event, ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        clean = {key: attribute(value) for key, value in attributes.items()} | {spans.KEPT.name: True}
        self.outlet.on_end(
            ReadableSpan(
                name=name,
                context=_sampled(context),
                parent=parent,
                resource=getattr(self.provider, "resource", None),
                attributes={key: value for key, value in clean.items() if value is not None},
                events=[] if exception is None else [Event("exception", exception_facts(exception), end_ns)],
                kind=SpanKind.SERVER,
                status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
                start_time=start_ns,
                end_time=end_ns,
                instrumentation_scope=InstrumentationScope(spans.SCOPE),
            )
        )

    def force_flush(self, timeout_s: float) -> bool:
        """Send every finished span; False if one was lost or is still here after `timeout_s`."""
        until = time.monotonic() + timeout_s
        ended = self.ends is None or self.ends.flush(timeout_s)
        return (self.outlet is None or self.outlet.flush(max(0.0, until - time.monotonic()))) and ended

    def shutdown(self, timeout_s: float = EXIT_S) -> None:
        """Send what is finished, for `timeout_s` at most, and count the rest as lost; safe to call twice.

        A provider that the application made goes on without us, and so does one that another application shares.
        """
        until = time.monotonic() + timeout_s
        if self.ends is not None and not self.ends.flush(timeout_s):
            self.ends.give_up()
        if self.outlet is not None:
            self.outlet.leave(self, max(0.0, until - time.monotonic()))


def start(settings: Settings, *, count: Count = lambda _signal, _word, _number: None) -> Traces | None:
    """Traces that go where the settings say, by the process's provider; None without an endpoint.

    A provider that the application has set is joined: our exporter is added, once, and its sampler stays. One that
    takes no exporter is left alone. Without one ours becomes the process's. SettingsError if OpenTelemetry refuses
    what its variables say.
    """
    if settings.traces_url is None:
        return None
    existing = trace.get_tracer_provider()
    unset = isinstance(existing, trace.ProxyTracerProvider)
    provider = _new_provider(settings) if unset else existing
    ends = _ends_of(provider, count, ours=unset)
    outlet = _outlet(provider, settings, count)
    if unset:
        trace.set_tracer_provider(provider)  # last: a wrong setting leaves the process as it was
    tracer = provider.get_tracer(spans.SCOPE)
    traces = Traces(provider, tracer, outlet, ends, _late_spans(provider, tracer))
    if outlet is not None:
        outlet.join(traces, count)
    return traces


def _ends_of(provider: TracerProvider, count: Count, *, ours: bool) -> SpanEnds | None:
    """Who ends spans of this provider; None for another's, whose processors might be flushed before they see the last ones."""
    if not ours:
        return _ends.get(provider)
    from .span_export import EndsFirst  # noqa: PLC0415

    ends = _ends[provider] = SpanEnds(count)
    provider.add_span_processor(EndsFirst(ends))  # type: ignore[attr-defined]  # the SDK's
    return ends


def _late_spans(provider: TracerProvider, tracer: Tracer) -> "LateSpans | None":
    """Who begins spans as ids alone; None for another's provider, and where OTEL_SDK_DISABLED has none made."""
    from opentelemetry.sdk.trace import Tracer as SdkTracer  # noqa: PLC0415

    from .late_spans import LateSpans, OurProvider  # noqa: PLC0415

    if not isinstance(provider, OurProvider) or not isinstance(tracer, SdkTracer):
        return None
    return LateSpans(provider, tracer)


def parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The remote parent that a request's `traceparent` names, else an empty context.

    W3C trace context and nothing else; what is not well-formed is as if it were absent, without a word.
    """
    found = [value for name, value in headers if name == b"traceparent"]
    if len(found) != 1 or not (match := _TRACEPARENT.fullmatch(found[0])):
        return _NO_PARENT
    version, trace_id, span_id, flags, rest = match.groups()
    if version == b"00" and rest:
        return _NO_PARENT
    context = SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=_trace_state(b",".join(value for name, value in headers if name == b"tracestate")),
    )
    return trace.set_span_in_context(NonRecordingSpan(context), _NO_PARENT)


def attribute(value: object) -> AttributeValue | None:
    """A value from outside as a span can carry it: texts cut, bytes decoded, sequences of texts; None has none."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:MAX_VALUE]
    if isinstance(value, bytes):
        return value[:MAX_VALUE].decode(errors="replace")
    if isinstance(value, Sequence):
        return _sequence(value)
    return str(value)[:MAX_VALUE]


def exception_facts(error: BaseException) -> dict[str, AttributeValue]:
    """What `Span.record_exception` writes, for an exception whose text cannot be had too."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # the application's __str__
        message = f"<{type(error).__name__}>"
    return {
        "exception.type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        "exception.message": message,
        "exception.stacktrace": "".join(traceback.format_exception(error)),
        "exception.escaped": "False",
    }


def _sequence(value: Sequence[object]) -> AttributeValue:
    """One type throughout, as OTLP's arrays in Python want it: texts unless the values are all of one kind already."""
    for kind in (bool, int, float):
        if all(type(one) is kind for one in value):
            return tuple(value)  # type: ignore[arg-type]  # the line above says so
    return tuple(str(attribute(one)) for one in value if one is not None)


def _sampled(context: SpanContext) -> SpanContext:
    return SpanContext(
        context.trace_id,
        context.span_id,
        is_remote=False,
        trace_flags=TraceFlags(context.trace_flags | TraceFlags.SAMPLED),
        trace_state=context.trace_state,
    )


def _new_provider(settings: Settings) -> TracerProvider:
    """A provider as the settings want it.

    The SDK's exit hook stays on: the application may add processors of its own, and ours has closed by then.
    """
    from .late_spans import OurProvider  # noqa: PLC0415

    return OurProvider(resource=_resource(settings), sampler=_sampler(settings))


def _outlet(provider: TracerProvider, settings: Settings, count: Count) -> "Outlet | None":
    """The way out of this provider to the endpoint of the settings; the one that is there already, if any."""
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        _LOG.warning(
            "gwz-instrument: the tracer provider of this process is %s.%s, which takes no exporter: spans go through it "
            "and not to %s. Set an opentelemetry.sdk.trace.TracerProvider before instrument(), or none",
            type(provider).__module__,
            type(provider).__qualname__,
            settings.traces_url,
        )
        return None
    from .span_export import Outlet  # noqa: PLC0415

    protocol, url = settings.protocol, str(settings.traces_url)
    with _lock:
        for outlet in _outlets:
            if outlet.leads(provider, protocol, url):
                return outlet
        try:
            outlet = Outlet(provider, protocol, url, count)
        except Exception as error:  # the SDK and each exporter refuse in their own way
            raise SettingsError(
                [f"the exporter of spans refuses its OTEL_BSP_* or OTEL_EXPORTER_OTLP_* variables: {error}"]
            ) from error
        add(outlet)
        _outlets.add(outlet)
        return outlet


def _sampler(settings: Settings) -> "Sampler":
    from opentelemetry.sdk.trace import sampling  # noqa: PLC0415

    ratio = settings.traces_sampler_arg
    makers: dict[str, Callable[[], Sampler]] = {
        "always_off": lambda: sampling.ALWAYS_OFF,
        "always_on": lambda: sampling.ALWAYS_ON,
        "parentbased_always_off": lambda: sampling.DEFAULT_OFF,
        "parentbased_always_on": lambda: sampling.DEFAULT_ON,
        "parentbased_traceidratio": lambda: sampling.ParentBasedTraceIdRatio(ratio),
        "traceidratio": lambda: sampling.TraceIdRatioBased(ratio),
    }
    return makers[settings.traces_sampler]()


def _resource(settings: Settings) -> "Resource":
    """What the process is: OTEL_RESOURCE_ATTRIBUTES before Railway's variables; the service's name is that of all signals."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    told = {entry.name: os.environ.get(variable, "").strip() for entry, variable in _RAILWAY.items()}
    found: dict[str, AttributeValue] = {name: value for name, value in told.items() if value}
    found[spans.DEPLOYMENT_ENVIRONMENT.name] = settings.environment
    found.update(OTELResourceDetector().detect().attributes)
    found[spans.SERVICE_NAME.name] = settings.service_name
    return Resource.create(found)


def _trace_state(header: bytes) -> TraceState | None:
    """The vendors' entries; none of them if one is not well-formed, as the W3C has it."""
    if not 0 < len(header) <= _MAX_TRACE_STATE:
        return None
    members = [member for piece in header.decode("latin-1").split(",") if (member := piece.strip(" \t"))]
    entries = {match[1]: match[2] for member in members if (match := _MEMBER.fullmatch(member))}
    if len(entries) != len(members) or len(entries) > _MAX_MEMBERS:
        return None
    return TraceState(list(entries.items()))


_MAX_TRACE_STATE: Final = 512  # bytes: what the W3C asks everybody to pass on
_MAX_MEMBERS: Final = 32
_NO_PARENT: Final = Context()
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_KEY_END: Final = r"[_0-9a-z\-*/]"
_MEMBER: Final = re.compile(
    rf"([a-z]{_KEY_END}{{0,255}}|[a-z0-9]{_KEY_END}{{0,240}}@[a-z]{_KEY_END}{{0,13}})"
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_LOG = logging.getLogger("gwz_instrument")
_lock = threading.Lock()
_outlets: "WeakSet[Outlet]" = WeakSet()
_ends: "WeakKeyDictionary[TracerProvider, SpanEnds]" = WeakKeyDictionary()
