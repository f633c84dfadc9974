"""Server spans of others: found wherever they are made, and FastAPI's own switched off unless asked for."""

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.util._once import Once
from starlette.applications import Starlette

from gwz_instrument.foreign_spans import (
    current_server_span,
    foreign_server_spans,
    hide_from_mounted,
    replace_native,
)
from gwz_instrument.traces import parent

NATIVE = pytest.mark.skipif(not hasattr(FastAPI(), "_telemetry"), reason="this FastAPI makes no spans of its own")
CONTRIB = "opentelemetry.instrumentation.asgi.OpenTelemetryMiddleware"
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch):
    """The process's provider writes into this exporter."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def contrib():
    return pytest.importorskip(
        "opentelemetry.instrumentation.fastapi", reason="needs OpenTelemetry's contrib for FastAPI"
    )


@pytest.fixture
def contrib_middleware():
    module = pytest.importorskip("opentelemetry.instrumentation.asgi", reason="needs OpenTelemetry's contrib for ASGI")
    return module.OpenTelemetryMiddleware


class Ours:
    """Stands where our middleware stands and notes what it can see of others."""

    def __init__(self, app):
        self.app, self.found = app, foreign_server_spans(app)
        self.outside, self.inside = None, None

    async def __call__(self, scope, receive, send):
        hide_from_mounted(scope)
        self.outside = current_server_span()

        async def see_send(message):
            self.inside = trace.get_current_span()
            await send(message)

        await self.app(scope, receive, see_send)


def wrap(app):
    """Put Ours outside of the middleware stack, as instrument() does."""
    build, made = app.build_middleware_stack, []

    def build_with_ours():
        made.append(Ours(build()))
        return made[-1]

    app.build_middleware_stack = build_with_ours
    return made


def application(**options):
    app = FastAPI(**options)

    @app.get("/")
    async def index():
        return {}

    return app


async def get(app, path="/"):
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        return messages.pop(0)

    async def send(_message):
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"x")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)


def server_spans(spans):
    return [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]


async def test_a_stack_without_instrumentation_has_no_foreign_spans(spans):
    app = application()
    replace_native(app)
    made = wrap(app)
    await get(app)
    assert (made[0].found, made[0].outside) == (None, None)
    assert spans.get_finished_spans() == ()


def test_a_stack_that_turns_in_circles_is_walked_once():
    class Circle:
        pass

    circle = Circle()
    circle.app = circle
    assert foreign_server_spans(circle) is None


async def test_an_application_that_contrib_instrumented_before_us_keeps_its_one_server_span(spans, contrib):
    app = application()
    replace_native(app)
    contrib.FastAPIInstrumentor.instrument_app(app)
    made = wrap(app)
    await get(app)
    assert made[0].found == CONTRIB
    (span,) = server_spans(spans)
    assert made[0].inside.get_span_context() == span.context  # whence our log line and exemplar have the trace


async def test_contrib_called_after_us_is_in_the_stack_or_makes_no_span(spans, contrib):
    """Newer versions give up, with an error in the log, when what they wrap is not Starlette's own stack."""
    app = application()
    replace_native(app)
    made = wrap(app)
    contrib.FastAPIInstrumentor.instrument_app(app)
    await get(app)
    assert len(server_spans(spans)) == (1 if made[0].found else 0)


async def test_contrib_for_all_applications_is_found(spans, contrib):
    contrib.FastAPIInstrumentor().instrument()
    try:
        app = contrib.fastapi.FastAPI()
        replace_native(app)
        made = wrap(app)
        await get(app)
    finally:
        contrib.FastAPIInstrumentor().uninstrument()
    assert made[0].found == CONTRIB
    assert len(server_spans(spans)) == 1


async def test_contrib_s_middleware_is_found_where_the_application_added_it(spans, contrib_middleware):
    class Derived(contrib_middleware):
        pass

    app = application()
    replace_native(app)
    made = wrap(app)
    app.add_middleware(Derived)
    await get(app)
    assert made[0].found.endswith("Derived")
    assert len(server_spans(spans)) == 1


async def test_starlette_s_instrumentor_is_found(spans):
    instrumentor = pytest.importorskip("opentelemetry.instrumentation.starlette", reason="needs contrib for Starlette")
    app = Starlette()
    instrumentor.StarletteInstrumentor.instrument_app(app)
    made = wrap(app)
    await get(app, "/nowhere")
    assert made[0].found == CONTRIB
    assert len(server_spans(spans)) == 1


async def test_a_middleware_around_the_whole_application_is_seen_by_its_current_span(spans, contrib_middleware):
    app = application()
    replace_native(app)
    made = wrap(app)
    await get(contrib_middleware(app))
    (span,) = server_spans(spans)
    assert made[0].found is None
    assert made[0].outside.get_span_context() == span.context


@NATIVE
async def test_fastapi_s_own_spans_are_switched_off(spans):
    app = application()
    replace_native(app)
    made = wrap(app)
    await get(app)
    assert made[0].outside is None
    assert spans.get_finished_spans() == ()


@NATIVE
@pytest.mark.parametrize("outer", [FastAPI, Starlette])
async def test_a_mounted_fastapi_application_makes_no_second_server_span(spans, outer):
    app = outer()
    app.mount("/inner", application())
    replace_native(app)
    wrap(app)
    await get(app, "/inner/")
    assert spans.get_finished_spans() == ()


@NATIVE
async def test_fastapi_s_own_spans_stay_where_the_application_gave_them_a_provider(spans):
    app = application(telemetry={"tracer_provider": trace.get_tracer_provider()})
    replace_native(app)
    made = wrap(app)
    await get(app)
    (span,) = server_spans(spans)
    assert made[0].outside.get_span_context() == span.context


def test_an_application_without_native_spans_is_left_as_it_is():
    app = Starlette()
    replace_native(app)
    assert not hasattr(app, "_telemetry")


def test_only_a_server_span_of_this_process_counts_as_one():
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("t").start_as_current_span("call", kind=SpanKind.CLIENT):
        assert current_server_span() is None
    with provider.get_tracer("t").start_as_current_span("serve", kind=SpanKind.SERVER) as span:
        assert current_server_span() is span
    remote = trace.get_current_span(parent([(b"traceparent", TRACEPARENT)]))
    with trace.use_span(remote):
        assert current_server_span() is None
    assert current_server_span() is None


def test_an_unsampled_server_span_counts_too():
    provider = TracerProvider(shutdown_on_exit=False, sampler=sampling.ALWAYS_OFF)
    with provider.get_tracer("t").start_as_current_span("serve", kind=SpanKind.SERVER) as span:
        assert current_server_span() is span
