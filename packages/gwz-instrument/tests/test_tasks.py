"""A background task has a trace of its own and leaves the request that started it alone."""

import asyncio
import contextvars
import json

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from gwz_instrument import exchange as exchanges
from gwz_instrument import inference, instrument
from gwz_instrument import recording as recordings
from gwz_instrument.exchange import Exchange, metadata
from gwz_instrument.metrics import Collectors
from gwz_instrument.open_calls import current as current_call
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings
from gwz_instrument.tasks import task


class World:
    """Where tasks are written, and every span that was."""

    def __init__(self, *, traced=True):
        self.exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("gwz_instrument")
        self.recording = make_recording(
            Settings(environ={}),
            Collectors(),
            tracer=self.tracer if traced else None,
            lines=None,
            endpoint_of=lambda exchange: "_none" if exchange is None else "/route",
        )

    @property
    def spans(self):
        return {span.name: span for span in self.exporter.get_finished_spans()}


def made(monkeypatch, **options):
    world = World(**options)
    monkeypatch.setattr(recordings, "_installed", [world.recording])
    monkeypatch.setattr(recordings, "_complained", set())
    return world


@pytest.fixture
def world(monkeypatch):
    return made(monkeypatch)


@pytest.fixture
def request_of(world):
    """A request that is current, with its span."""
    exchange = Exchange({"path": "/", "headers": []}, "POST")
    exchange.recording = world.recording
    token = exchanges.current.set(exchange)
    with world.tracer.start_as_current_span("POST /chat") as exchange.span:
        yield exchange
    exchanges.current.reset(token)


def test_a_task_is_a_trace_of_its_own_linked_to_the_request(world, request_of):
    with task("record_usage"):
        pass
    span, started_by = world.spans["task record_usage"], request_of.span.get_span_context()
    assert span.parent is None
    assert span.context.trace_id != started_by.trace_id
    assert [link.context for link in span.links] == [started_by]
    assert (span.kind, dict(span.attributes)) == (SpanKind.INTERNAL, {"gwz.task": "record_usage"})
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.usefixtures("world")
def test_within_a_task_there_is_no_request_and_no_call_and_afterwards_there_is(request_of):
    with inference(provider="p", model="m") as call:
        with task("record_usage"):
            assert exchanges.current.get() is None
            assert current_call.get() is None
            assert trace.get_current_span() is not request_of.span
        assert exchanges.current.get() is request_of
        assert current_call.get() is call
        assert trace.get_current_span() is call.span


def test_lines_within_carry_the_tasks_own_trace(world, request_of):
    with task("record_usage"):
        found = metadata()
    context = world.spans["task record_usage"].context
    assert found == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert metadata()["trace_id"] == f"{request_of.span.get_span_context().trace_id:032x}"


@pytest.mark.usefixtures("request_of")
def test_spans_within_belong_to_the_task(world):
    with task("record_usage"), world.tracer.start_as_current_span("inner"):
        pass
    assert world.spans["inner"].parent.span_id == world.spans["task record_usage"].context.span_id


@pytest.mark.usefixtures("world")
def test_baggage_goes_with_the_task():
    token = otel_context.attach(baggage.set_baggage("plan", "pro"))
    with task("record_usage"):
        assert baggage.get_baggage("plan") == "pro"
    otel_context.detach(token)


def test_a_task_that_no_request_started_has_no_link(world):
    with task("tick"):
        pass
    assert list(world.spans["task tick"].links) == []


def test_what_is_raised_passes_through_and_is_the_error_type(world):
    error = LookupError()
    with pytest.raises(LookupError) as raised, task("tick"):
        raise error
    assert raised.value is error
    assert world.spans["task tick"].attributes["error.type"] == "LookupError"
    assert world.spans["task tick"].status.status_code is StatusCode.ERROR


async def test_a_task_that_is_cancelled_has_not_failed(world):
    async def tick():
        async with task("tick"):
            await asyncio.sleep(60)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    ticking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ticking
    assert world.spans["task tick"].attributes["error.type"] == "CancelledError"
    assert world.spans["task tick"].status.status_code is StatusCode.UNSET


async def test_each_call_of_a_decorated_function_is_a_task(world):
    @task("add")
    def add(a, b):
        return a + b

    @task("wait")
    async def wait():
        await asyncio.sleep(0)
        return 5

    assert (add(1, b=2), await asyncio.create_task(wait())) == (3, 5)
    assert set(world.spans) == {"task add", "task wait"}
    with pytest.raises(TypeError, match="is a generator"):

        @task("numbers")
        def numbers():
            yield 1


@pytest.mark.parametrize("name", [None, b"tick", "", 1])
def test_a_name_that_is_none_is_other(world, name):
    with task(name):
        pass
    assert set(world.spans) == {"task _other"}


def test_a_long_name_is_cut(world):
    with task("x" * 10_000):
        pass
    assert set(world.spans) == {"task " + "x" * 200}


def test_a_block_that_is_left_in_another_context_ends_its_span(world):
    block = task("tick")
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert set(world.spans) == {"task tick"}


def test_without_traces_the_request_is_left_all_the_same(monkeypatch):
    world = made(monkeypatch, traced=False)
    token = exchanges.current.set(Exchange({"path": "/", "headers": []}, "POST"))
    with world.tracer.start_as_current_span("somebody else's"), task("tick"):
        assert exchanges.current.get() is None
        assert metadata() == {}
    exchanges.current.reset(token)
    assert set(world.spans) == {"somebody else's"}


def test_before_there_is_an_application_the_block_just_runs(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    with task("tick"):
        done = True
    assert done


def test_a_fault_of_ours_does_not_reach_the_block(world, monkeypatch, caplog):
    monkeypatch.setattr(type(world.tracer), "start_span", lambda *_, **__: 1 / 0)
    with task("tick"):
        done = True
    assert done
    assert "failed at its own work (task)" in caplog.text


async def test_a_request_is_as_long_as_its_response_whatever_it_leaves_to_do(monkeypatch, loki):
    monkeypatch.setattr(recordings, "_installed", [])
    app, registry, seen = FastAPI(), CollectorRegistry(), []

    @task("record_usage")
    async def record_usage():
        await asyncio.sleep(0.3)
        seen.append(exchanges.current.get())

    @app.get("/chat")
    async def chat(background: BackgroundTasks):
        background.add_task(record_usage)
        return {}

    telemetry = instrument(app, registry=registry, loki_url=loki.url)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        assert (await http.get("/chat")).status_code == 200
    telemetry.shutdown(2)
    assert seen == [None]
    assert (
        registry.get_sample_value(
            "fastapi_requests_duration_seconds_sum",
            {"app_name": telemetry.settings.service_name, "method": "GET", "path": "/chat"},
        )
        < 0.2
    )
    assert [json.loads(line)["outcome"] for _, _, line, _ in loki.lines if '"/chat"' in line] == ["success"]
