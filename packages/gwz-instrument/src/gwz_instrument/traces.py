"""Spans by the OpenTelemetry SDK: the provider, its sampler, its exporter, the server span of a request."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .semconv import spans
from .settings import GRPC, Settings

_EXPORT_TIMEOUT_S = 5
_TRACER_NAME = "gwz_instrument"

_SAMPLERS: dict[str, Callable[[float], sampling.Sampler]] = {
    "always_off": lambda _: sampling.ALWAYS_OFF,
    "always_on": lambda _: sampling.ALWAYS_ON,
    "parentbased_always_off": lambda _: sampling.DEFAULT_OFF,
    "parentbased_always_on": lambda _: sampling.DEFAULT_ON,
    "parentbased_traceidratio": sampling.ParentBasedTraceIdRatio,
    "traceidratio": sampling.TraceIdRatioBased,
}


@dataclass(frozen=True, slots=True)
class Traces:
    """The tracer of an application and the provider that its spans leave by."""

    provider: TracerProvider
    tracer: Tracer
    processor: BatchSpanProcessor

    def force_flush(self, timeout_s: float) -> bool:
        """Send every finished span; False if they are not all out within `timeout_s`."""
        return self.provider.force_flush(int(timeout_s * 1000))

    def shutdown(self) -> None:
        """Send what is finished and stop; a provider that the application made goes on without us."""
        self.processor.shutdown()  # type: ignore[no-untyped-call]


def start(settings: Settings) -> Traces | None:
    """A provider that exports to the settings' endpoint, the process's own if there is none yet; None without one.

    A TracerProvider that the application has set before is joined: our exporter is added, its sampler stays.
    """
    if settings.otlp_endpoint is None:
        return None
    processor = BatchSpanProcessor(_exporter(settings))
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        provider = existing
    else:
        provider = TracerProvider(resource=_resource(settings), sampler=_sampler(settings))
        trace.set_tracer_provider(provider)
    provider.add_span_processor(processor)
    return Traces(provider, provider.get_tracer(_TRACER_NAME), processor)


def parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The remote parent that a request's `traceparent` names, else an empty context."""
    carrier = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
    return _PROPAGATOR.extract(carrier, Context())


def start_server_span(tracer: Tracer, context: Context, method: str, start_ns: int) -> Span:
    """Start the span of a request; it gets its full name once the route is known."""
    return tracer.start_span(method, context, SpanKind.SERVER, start_time=start_ns)


def mark_failed(span: Span, error_type: str, error: BaseException | None) -> None:
    """Give the span of a failed request its error status, type and exception."""
    span.set_attribute(spans.ERROR_TYPE.name, error_type)
    if error is not None:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR))


def ids(span: Span) -> tuple[str, str] | None:
    """Trace id and span id in hex; None for a span that is not part of a trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def _exporter(settings: Settings) -> SpanExporter:
    """OTLP by the protocol of the settings; the modules are imported here because grpc is slow to load."""
    endpoint = str(settings.otlp_endpoint)
    if settings.protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter  # noqa: PLC0415

        return GrpcExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=_EXPORT_TIMEOUT_S)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    path = "" if endpoint.rstrip("/").endswith("/v1/traces") else "/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + path, timeout=_EXPORT_TIMEOUT_S)


def _sampler(settings: Settings) -> sampling.Sampler:
    return _SAMPLERS[settings.traces_sampler](settings.traces_sampler_arg)


def _resource(settings: Settings) -> Resource:
    return Resource.create(
        {
            spans.SERVICE_NAME.name: settings.service_name,
            spans.DEPLOYMENT_ENVIRONMENT.name: settings.environment,
        }
    )


_PROPAGATOR = TraceContextTextMapPropagator()
