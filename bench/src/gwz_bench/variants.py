"""What is attached to an application: nothing, ours, a peer. Each imports what it measures only when it is chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from gwz_bench.drive import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

OURS = "gwz-instrument"
OURS_ALL = "gwz-instrument, sampled"
OURS_UNSAMPLED = "gwz-instrument, unsampled"
OURS_TRACED = "gwz-instrument, metrics and spans"
OURS_TOLD = "gwz-instrument, told the route"
PFI = "prometheus-fastapi-instrumentator"
STARLETTE_EXPORTER = "starlette-exporter"
OTEL = "OpenTelemetry FastAPI"
SDK_SPAN = "a span of OpenTelemetry's SDK by hand"
OTEL_PFI = "OpenTelemetry + PFI + logging"
PLAIN = "plain app against itself"

_FLUSH_S = 60.0


def _settled() -> None:
    """Nothing is under way."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What a variant has set up."""

    settle: Callable[[], None] = _settled
    """Wait until everything that requests caused is delivered."""
    counter: str | None = None
    """The counter of requests on /metrics."""
    path_label: str = "path"
    spans: int | None = 0
    """Spans per request; None for as many as the peer likes, the same number for each."""
    lines: int = 0
    """Log lines per request."""


def plain(_app: FastAPI, _sink: str) -> Attached:
    """Nothing: what it seems to cost is the error of the method."""
    return Attached()


def ours(app: FastAPI, _sink: str) -> Attached:
    """All HTTP metrics; no address, so no spans and no lines."""
    return _instrumented(app)


def ours_told(app: FastAPI, _sink: str) -> Attached:
    """The same, but with its first request's route for all that follow: it looks at no routes."""
    from gwz_instrument.routes import Known, RouteTemplates  # noqa: PLC0415

    look: Callable[[RouteTemplates, Scope], Known | None] = RouteTemplates.known
    found: list[Known] = []

    def told(templates: RouteTemplates, scope: Scope) -> Known | None:
        if not found and (known := look(templates, scope)) is not None:
            found.append(known)
        return found[0] if found else None

    RouteTemplates.known = told  # type: ignore[method-assign,assignment]  # a variant has a process to itself
    return _instrumented(app)


def ours_traced(app: FastAPI, sink: str) -> Attached:
    """All HTTP metrics and an exported span per request."""
    return _instrumented(app, otlp_endpoint=sink, spans=1)


def ours_all(app: FastAPI, sink: str) -> Attached:
    """Metrics, an exported span and a line to Loki per request."""
    return _instrumented(app, otlp_endpoint=sink, loki_url=sink, spans=1, lines=1)


def ours_unsampled(app: FastAPI, sink: str) -> Attached:
    """The same, with a sampler that keeps no trace."""
    return _instrumented(
        app,
        otlp_endpoint=sink,
        loki_url=sink,
        traces_sampler="parentbased_traceidratio",
        traces_sampler_arg=0.0,
        lines=1,
    )


def pfi(app: FastAPI, _sink: str) -> Attached:
    """prometheus-fastapi-instrumentator with its default metrics and the requests in progress."""
    from prometheus_fastapi_instrumentator import Instrumentator  # noqa: PLC0415

    instrumentator = Instrumentator(should_instrument_requests_inprogress=True, inprogress_labels=True)
    instrumentator.instrument(app).expose(app)
    return Attached(counter="http_requests_total", path_label="handler")


def starlette_exporter(app: FastAPI, _sink: str) -> Attached:
    """starlette-exporter with its default metrics."""
    from starlette_exporter import PrometheusMiddleware, handle_metrics  # noqa: PLC0415

    app.add_middleware(PrometheusMiddleware)
    app.add_route("/metrics", handle_metrics)
    return Attached(counter="starlette_requests_total")


def otel(app: FastAPI, sink: str) -> Attached:
    """OpenTelemetry's instrumentation of FastAPI with its defaults: every trace sampled, exported in batches by OTLP."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415

    provider = _exporting(sink)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return Attached(settle=lambda: _flushed(provider.force_flush(int(_FLUSH_S * 1000))), spans=None)


def sdk_span(app: FastAPI, sink: str) -> Attached:
    """One server span with the attributes of ours, and nothing else: what no instrumentation by the SDK can be cheaper than."""
    from opentelemetry import trace  # noqa: PLC0415

    provider = _exporting(sink)
    tracer, build = provider.get_tracer("bench"), app.build_middleware_stack

    def wrapped() -> ASGIApp:
        inner = build()

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await inner(scope, receive, send)
                return
            span = tracer.start_span("GET", kind=trace.SpanKind.SERVER)
            with trace.use_span(span, end_on_exit=True):
                await inner(scope, receive, send)
                span.update_name("GET /stream")
                span.set_attributes(_ATTRIBUTES)

        return call

    app.build_middleware_stack = wrapped  # type: ignore[method-assign]  # where ours stands too
    return Attached(settle=lambda: _flushed(provider.force_flush(int(_FLUSH_S * 1000))), spans=1)


def otel_pfi(app: FastAPI, sink: str) -> Attached:
    """The usual pair; the scenario adds the logging call."""
    metrics, spans = pfi(app, sink), otel(app, sink)
    return Attached(settle=spans.settle, counter=metrics.counter, path_label=metrics.path_label, spans=spans.spans)


VARIANTS: Mapping[str, Callable[[FastAPI, str], Attached]] = {
    PLAIN: plain,
    OURS: ours,
    OURS_TRACED: ours_traced,
    OURS_TOLD: ours_told,
    OURS_ALL: ours_all,
    OURS_UNSAMPLED: ours_unsampled,
    PFI: pfi,
    STARLETTE_EXPORTER: starlette_exporter,
    OTEL: otel,
    SDK_SPAN: sdk_span,
    OTEL_PFI: otel_pfi,
}
_ATTRIBUTES: Mapping[str, str | int | float] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "http.route": "/stream",
    "url.path": "/stream",
    "url.scheme": "http",
    "server.address": "127.0.0.1",
    "server.port": 8000,
    "gwz.outcome": "success",
    "gwz.request_id": "b43a8d5cb7337b15861c41de38978428",
    "gwz.response.chunks": 50,
    "gwz.response.time_to_first_byte": 0.001,
    "gwz.response.longest_gap": 0.001,
}


def _exporting(sink: str) -> "TracerProvider":
    """A provider that exports to the sink; it is not made global, for the plain application in this process must stay plain."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces")))
    return provider


def _instrumented(app: FastAPI, *, spans: int = 0, lines: int = 0, **settings: Any) -> Attached:
    from gwz_instrument import instrument  # noqa: PLC0415

    telemetry = instrument(app, service_name="bench", environment="test", **settings)
    return Attached(
        settle=(lambda: _flushed(telemetry.force_flush(_FLUSH_S))) if settings else _settled,
        counter="fastapi_requests_total",
        spans=spans,
        lines=lines,
    )


def _flushed(everything: bool) -> None:  # noqa: FBT001  # the answer of somebody's force_flush
    if not everything:
        raise RuntimeError(f"not everything was delivered within {_FLUSH_S:g} s")
