"""Server spans of the providers: one service per provider, one way out for all."""

import os
from collections.abc import Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_SCHEDULE_MS = 500


class Spans:
    """Starts server spans in the name of any provider; exports them if OTEL_EXPORTER_OTLP_ENDPOINT is set."""

    def __init__(self, providers: Iterable[str]) -> None:
        self._processor = _processor()
        self._propagator = TraceContextTextMapPropagator()
        self._tracers = {name: self._provider(name).get_tracer(__name__) for name in providers}

    def start(self, provider: str, headers: Mapping[str, str], started_ns: int) -> Span:
        """Start the span of a call that arrived at `started_ns`, below the caller's span."""
        return self._tracers[provider].start_span(
            "POST /v1/chat/completions",
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            start_time=started_ns,
            attributes={"http.request.method": "POST", "http.route": "/v1/chat/completions"},
        )

    def close(self) -> None:
        """Send what is left."""
        self._processor.shutdown()

    def _provider(self, name: str) -> TracerProvider:
        provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        return provider


def _processor() -> SpanProcessor:
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return SpanProcessor()
    return BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=_SCHEDULE_MS)
