import asyncio
import contextlib
import contextvars
import copy
import dataclasses
import gc
import gzip
import json
import logging
import os
import threading
import time
import weakref

import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import (
    binary,
    booleans,
    fixed_dictionaries,
    floats,
    integers,
    lists,
    none,
    one_of,
    sampled_from,
    text,
    tuples,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from gwz_instrument import SettingsError, annotate, http, instrument
from gwz_instrument.exchange import Ending, ending
from gwz_instrument.exchange import metadata as metadata_now
from gwz_instrument.exposition import Exposition
from gwz_instrument.http import Parts, TelemetryMiddleware
from gwz_instrument.labels import HttpLabels
from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.metrics import Collectors
from gwz_instrument.routes import RouteTemplates
from gwz_instrument.server_span import ServerSpans
from gwz_instrument.traces import Traces

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUESTS, DURATION_COUNT = "fastapi_requests_total", "fastapi_requests_duration_seconds_count"


class World:
    """An application behind the middleware, and everything it emitted."""

    def __init__(self, app, traces=None, exporter=None, handler=None, *, max_paths=50, token=None):
        self.app, self._exporter = app, exporter
        self.registry, self.collectors = CollectorRegistry(), Collectors()
        self.registry.register(self.collectors)
        self.asgi = TelemetryMiddleware(
            app,
            Parts(
                app_name="gw",
                templates=RouteTemplates(app),
                collectors=self.collectors,
                exposition=Exposition(self.registry, self.collectors, token),
                labels=HttpLabels(self.collectors, max_paths=max_paths),
                spans=traces and ServerSpans(traces, slow_s=0.1),
                lines=handler,
                exclude_paths=("/health",),
            ),
        )

    def samples(self, name):
        return {
            tuple(value for key, value in sample.labels.items() if key not in ("app_name", "le")): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    @property
    def span(self):
        (span,) = self._exporter.get_finished_spans()
        return span

    async def get(self, path, **options):
        return await call(self.asgi, path, **options)


async def call(app, path, *, method="GET", headers=(), body=b"", leave_after=None, root_path=""):
    """Drive one ASGI call; with `leave_after` the client leaves after that many messages of the response."""
    sent, left = [], asyncio.Event()
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    if leave_after == 0:
        left.set()

    async def receive():
        if messages:
            return messages.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if len(sent) == leave_after:
            left.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "root_path": root_path, "scheme": "http", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 5),
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 10)
    return sent


def traces_of(provider, exporter):
    """Traces whose spans, kept ones included, end in `exporter`."""
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    return Traces(provider, provider.get_tracer("test"), processor), exporter


@pytest.fixture
def spans():
    return traces_of(TracerProvider(), InMemorySpanExporter())


@pytest.fixture
def unsampled():
    """An unsampled trace leaves only what is kept."""
    return traces_of(TracerProvider(sampler=ALWAYS_OFF), InMemorySpanExporter())


@pytest.fixture
def app():
    app = FastAPI()
    inner, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/outer")
    sub = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str):
        return {"item": item}

    @inner.get("/{name:path}")
    async def included(name: str):
        return name

    @sub.get("/things/{thing}")
    async def mounted(thing: str):
        return thing

    @app.get("/raise")
    async def failing():
        raise LookupError("nothing there")

    @app.get("/timeout")
    async def timeout():
        raise HTTPException(504)

    @app.get("/stream")
    async def stream():
        async def produce():
            for _ in range(3):
                yield b"chunk"
                await asyncio.sleep(0)

        return StreamingResponse(produce())

    @app.get("/stream-hold")
    async def stream_hold():
        async def produce():
            yield b"chunk"
            await asyncio.sleep(30)

        return StreamingResponse(produce())

    @app.get("/stream-break")
    async def stream_break():
        async def produce():
            yield b"chunk"
            raise ConnectionResetError("upstream went away")

        return StreamingResponse(produce())

    @app.get("/late")
    async def late(tasks: BackgroundTasks):
        async def fail():
            await asyncio.sleep(0.2)
            raise LookupError("after the response")

        tasks.add_task(fail)

    @app.get("/annotated")
    async def annotated():
        annotate(provider="groq", model="llama")

    @app.get("/health")
    async def health():
        return "ok"

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.mount("/mnt/{tenant}", sub)
    return app


@pytest.fixture
def world(app, spans):
    return World(app, *spans)


@pytest.mark.parametrize(
    ("status", "complete", "disconnected", "error", "expected"),
    [
        (200, True, False, None, Ending(200, "success")),
        (404, True, False, None, Ending(404, "error")),
        (504, True, False, None, Ending(504, "timeout")),
        (408, True, False, None, Ending(408, "timeout")),
        (500, True, False, LookupError(), Ending(500, "error")),
        (None, False, False, LookupError(), Ending(500, "error")),
        (None, False, False, None, Ending(500, "error")),
        (None, False, True, None, Ending(499, "client_disconnected")),
        (None, False, True, LookupError(), Ending(499, "client_disconnected")),
        (200, False, True, None, Ending(200, "client_disconnected")),
        (200, False, True, asyncio.CancelledError(), Ending(200, "client_disconnected")),
        (200, False, False, asyncio.CancelledError(), Ending(200, "cancelled")),
        (None, False, False, asyncio.CancelledError(), Ending(500, "cancelled")),
        (200, False, False, None, Ending(200, "stream_error")),
        (200, False, False, LookupError(), Ending(200, "stream_error")),
        (200, True, True, None, Ending(200, "client_disconnected")),
    ],
)
def test_every_way_a_request_can_end_has_its_status_and_outcome(status, complete, disconnected, error, expected):
    assert ending(status=status, complete=complete, disconnected=disconnected, error=error) == expected


@pytest.mark.parametrize(
    ("path", "template", "status"),
    [
        ("/items/1", "/items/{item}", "200"),
        ("/v1/outer/inner/a/b", "/v1/outer/inner/{name:path}", "200"),
        ("/mnt/acme/things/7", "/mnt/{tenant}/things/{thing}", "200"),
        ("/mnt/acme/nothing", "<unmatched>", "404"),
        ("/wp-login.php", "<unmatched>", "404"),
        ("/items/1/", "<unmatched>", "307"),
    ],
)
async def test_the_path_label_is_the_route_template(world, path, template, status):
    await world.get(path)
    assert world.samples(REQUESTS) == {("GET", template, status): 1}
    assert world.samples(DURATION_COUNT) == {("GET", template): 1}


async def test_a_wrong_method_keeps_its_route(world):
    await world.get("/items/1", method="DELETE")
    assert world.samples(REQUESTS) == {("DELETE", "/items/{item}", "405"): 1}


async def test_mounts_of_plain_starlette_have_whole_templates():
    app = Starlette(
        routes=[Mount("/a/{x}", routes=[Route("/b/{y}", lambda _: PlainTextResponse("ok")), Mount("/c", routes=[Route("/d", lambda _: PlainTextResponse("ok"))])])]
    )  # fmt: skip
    world = World(app)
    await world.get("/a/1/b/2")
    await world.get("/a/1/c/d")
    assert world.samples(REQUESTS) == {("GET", "/a/{x}/b/{y}", "200"): 1, ("GET", "/a/{x}/c/d", "200"): 1}


async def test_hostile_paths_methods_and_hosts_add_one_label_set(world):
    for number in range(200):
        await world.get(f"/{number}", method=f"X{number}", headers=[("host", f"h{number}")])
    assert world.samples(REQUESTS) == {("_OTHER", "<unmatched>", "404"): 200}


async def test_an_answer_given_before_routing_is_unrouted(app):
    async def gate(scope, receive, send):
        await PlainTextResponse("no", 401)(scope, receive, send)

    gate.routes = app.routes
    world = World(gate)
    await world.get("/items/1")
    assert world.samples(REQUESTS) == {("GET", "<unrouted>", "401"): 1}


async def test_an_unhandled_exception_is_500_and_counted_and_reaches_the_server(world):
    sent = []
    with pytest.raises(LookupError, match="nothing there"):
        sent = await world.get("/raise")
    assert sent == []
    assert world.samples(REQUESTS) == {("GET", "/raise", "500"): 1}
    assert world.samples("fastapi_exceptions_total") == {("LookupError",): 1}
    assert world.span.status.status_code is StatusCode.ERROR
    assert world.span.attributes["error.type"] == "LookupError"
    assert world.span.events[0].attributes["exception.message"] == "nothing there"


async def test_a_handled_failure_is_no_exception(world):
    await world.get("/timeout")
    assert world.samples(REQUESTS) == {("GET", "/timeout", "504"): 1}
    assert world.samples("fastapi_exceptions_total") == {}
    assert world.span.attributes["gwz.outcome"] == "timeout"
    assert world.span.attributes["error.type"] == "504"


async def test_a_stream_is_measured_to_its_last_byte(world):
    await world.get("/stream")
    assert world.samples("fastapi_response_size_bytes_sum") == {("GET", "/stream"): 15}
    assert world.span.attributes["gwz.outcome"] == "success"


async def test_a_client_that_leaves_a_stream_keeps_the_status_that_was_sent(world):
    await world.get("/stream-hold", leave_after=2)
    assert world.samples(REQUESTS) == {("GET", "/stream-hold", "200"): 1}
    assert world.span.attributes["gwz.outcome"] == "client_disconnected"
    assert world.span.status.status_code is StatusCode.UNSET


async def test_a_client_that_leaves_before_the_response_is_499(spans):
    async def app(_scope, receive, send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    app.routes = ()
    world = World(app, *spans)
    await world.get("/", leave_after=0)
    assert world.samples(REQUESTS) == {("GET", "<unrouted>", "499"): 1}
    assert world.span.attributes["gwz.outcome"] == "client_disconnected"


async def test_a_stream_that_breaks_is_an_error_though_200_was_sent(world):
    with pytest.raises(BaseException, match=r"upstream went away|unhandled errors"):
        await world.get("/stream-break")
    assert world.samples(REQUESTS) == {("GET", "/stream-break", "200"): 1}
    assert world.samples("fastapi_exceptions_total") == {("ConnectionResetError",): 1}
    assert world.span.attributes["gwz.outcome"] == "stream_error"
    assert world.span.status.status_code is StatusCode.ERROR


async def test_a_background_task_adds_nothing_to_the_duration(world):
    with pytest.raises(LookupError):
        await world.get("/late")
    assert world.samples("fastapi_requests_duration_seconds_sum")[("GET", "/late")] < 0.2
    assert world.samples("fastapi_exceptions_total") == {("LookupError",): 1}
    assert (world.span.end_time - world.span.start_time) < 0.2e9
    assert world.span.status.status_code is StatusCode.UNSET, "the response was fine"


async def test_requests_in_progress_show_their_route_and_go_back_to_zero(world):
    task = asyncio.create_task(world.get("/stream-hold", leave_after=None))
    await asyncio.sleep(0.05)
    assert world.samples("fastapi_requests_in_progress") == {("GET", "/stream-hold"): 1}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.samples("fastapi_requests_in_progress") == {("GET", "/stream-hold"): 0}
    assert world.span.attributes["gwz.outcome"] == "cancelled"


async def test_a_route_stays_at_zero_when_the_application_builds_its_middlewares_anew(world):
    """Starlette does so when a middleware is added by hand after the start."""
    await world.get("/items/1")
    world.asgi = TelemetryMiddleware(world.app, world.asgi._parts)
    assert world.samples("fastapi_requests_in_progress") == {("GET", "/items/{item}"): 0}
    await world.get("/items/2")
    assert world.samples(REQUESTS) == {("GET", "/items/{item}", "200"): 2}
    assert world.samples("fastapi_requests_in_progress") == {("GET", "/items/{item}"): 0}


async def test_a_sample_is_there_before_the_client_has_the_last_byte(world):
    seen = []

    async def send(message):
        if message["type"] == "http.response.body" and not message.get("more_body"):
            seen.append(world.samples(REQUESTS))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/items/1", "headers": [], "query_string": b""}
    await world.asgi(scope, receive, send)
    assert seen == [{("GET", "/items/{item}", "200"): 1}]


async def test_the_span_joins_the_callers_trace(world):
    await world.get("/items/1", headers=[("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")])
    span = world.span
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID
    assert (span.name, span.kind) == ("GET /items/{item}", SpanKind.SERVER)
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["http.route"] == "/items/{item}"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.path"] == "/items/1"


async def test_a_broken_traceparent_starts_a_new_trace(world):
    await world.get("/items/1", headers=[("traceparent", "00-zz-1-01")])
    assert world.span.parent is None


async def test_an_exemplar_names_the_trace_of_a_sampled_request_only(world):
    for flag in ("01", "00"):
        await world.get("/items/1", headers=[("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-{flag}")])
    exemplars = [
        sample.exemplar.labels
        for family in world.registry.collect()
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert exemplars == [{"trace_id": TRACE_ID}]


async def test_the_request_line_says_what_happened(app, spans, loki):
    handler = LokiHandler(loki.url + PUSH_PATH, metadata=metadata_now)
    world = World(app, *spans, handler)
    await world.get("/annotated", headers=[("x-request-id", "r-1"), ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")])
    assert handler.force_flush(2)
    handler.drain()
    ((labels, _, text, metadata),) = loki.lines
    line = json.loads(text)
    assert labels == {"level": "info"}
    assert metadata == {"request_id": "r-1", "trace_id": TRACE_ID, "span_id": f"{world.span.context.span_id:016x}"}
    assert line.pop("duration_ms") > 0
    assert line.pop("timestamp")
    assert line == {
        "level": "info", "logger": "gwz_instrument.request", "message": "GET /annotated 200", "method": "GET",
        "path": "/annotated", "url_path": "/annotated", "status_code": 200, "outcome": "success",
        "provider": "groq", "model": "llama",
    }  # fmt: skip
    assert world.span.attributes["gen_ai.provider.name"] == "groq"


async def test_a_failed_requests_line_is_an_error_with_its_traceback(app, loki):
    handler = LokiHandler(loki.url + PUSH_PATH)
    world = World(app, handler=handler)
    with pytest.raises(LookupError):
        await world.get("/raise")
    assert handler.force_flush(2)
    handler.drain()
    ((labels, _, text, _),) = loki.lines
    assert labels == {"level": "error"}
    assert "LookupError: nothing there" in json.loads(text)["exception"]


async def test_excluded_paths_and_metrics_leave_nothing(world):
    await world.get("/health")
    await world.get("/metrics")
    assert world.samples(REQUESTS) == {}


@pytest.mark.parametrize("size", ["-1", "1e3", "x", ""])
async def test_a_hostile_content_length_reaches_the_application_unharmed(world, size):
    await world.get("/items/1", headers=[("content-length", size)])
    assert world.samples("fastapi_requests_in_progress") == {("GET", "/items/{item}"): 0}


async def test_a_request_whose_headers_the_application_has_spoilt_is_counted():
    app = FastAPI()

    @app.post("/spoilt")
    async def spoilt(request: Request):
        await request.body()
        request.scope["headers"] = None

    world = World(app)
    await world.get("/spoilt", method="POST", body=b"abc")
    assert world.samples(REQUESTS) == {("POST", "/spoilt", "200"): 1}
    assert world.samples("fastapi_request_size_bytes_sum") == {("POST", "/spoilt"): 3}


async def test_metrics_answer_200_in_the_format_that_is_asked_for(world):
    await world.get("/items/1", headers=[("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")])
    start, body = await world.get("/metrics")
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"].startswith(b"text/plain")
    assert b"_created" not in body["body"]
    start, body = await world.get("/metrics", headers=[("accept", "application/openmetrics-text;version=1.0.0")])
    assert dict(start["headers"])[b"content-type"].startswith(b"application/openmetrics-text")
    assert f'# {{trace_id="{TRACE_ID}"}}'.encode() in body["body"]
    assert body["body"].endswith(b"# EOF\n")


async def test_one_line_instruments_an_application_and_a_second_one_changes_nothing():
    app, registry = FastAPI(), CollectorRegistry()

    @app.get("/")
    async def home():
        return "ok"

    telemetry = instrument(app, registry=registry, service_name="one")
    assert instrument(app, registry=registry) is telemetry
    await call(app, "/")
    (requests,) = [family for family in registry.collect() if family.name == "fastapi_requests"]
    assert [(sample.labels["app_name"], sample.value) for sample in requests.samples] == [("one", 1)]


class Broken:
    def write(self, **_):
        raise RuntimeError("our own fault")


async def test_a_fault_of_ours_never_reaches_the_application_and_is_told_once(app, monkeypatch, caplog):
    monkeypatch.setattr(RouteTemplates, "of", lambda *_: 1 / 0)
    world = World(app, handler=Broken())
    for _ in range(3):
        start, body = await world.get("/items/1")
    assert (start["status"], body["body"]) == (200, b'{"item":"1"}')
    told = [record.message for record in caplog.records if record.name == "gwz_instrument"]
    assert len(told) == 2, "one for each step that failed"
    assert "failed at its own work (send)" in told[0]
    dropped = world.samples("gwz_telemetry_dropped_total")
    assert (dropped["metrics", "fault"], dropped["logs", "fault"]) == (3, 3)


async def test_messages_that_make_no_sense_are_the_servers_to_refuse(world):
    async def nonsense(_scope, _receive, send):
        for message in ({}, {"type": "http.response.start"}, {"type": "http.response.body", "body": None}):
            await send(message)

    world.asgi.app = nonsense
    assert len(await world.get("/")) == 3


def saying(received, sent, error):
    """An application that takes as many messages as there are, sends its own, and may raise."""

    async def app(_scope, receive, send):
        for _ in received:
            await receive()
        for message in sent:
            await send(message)
        if error is not None:
            raise error

    return app


async def converse(world, received, **scope):
    """What a server that says `received` is sent, and what is raised."""
    passed, left = [], list(received)

    async def receive():
        return left.pop(0)

    async def send(message):
        passed.append(message)

    try:
        await world.asgi({"type": "http", "method": "GET", "path": "/", **scope}, receive, send)
    except BaseException as raised:  # noqa: BLE001
        return passed, raised
    return passed, None


@given(
    received=lists(sampled_from([{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}, {}]), max_size=4),
    sent=lists(
        sampled_from(
            [
                {"type": "http.response.start", "status": 200, "headers": []},
                {"type": "http.response.start"},
                {"type": "http.response.body", "body": b"x", "more_body": True},
                {"type": "http.response.body"},
                {"type": "http.response.pathsend", "path": "/x"},
                {"type": "nonsense"},
                {},
            ]
        ),
        max_size=6,
    ),
    error=sampled_from([None, LookupError("x"), asyncio.CancelledError(), OSError("x")]),
)
async def test_any_sequence_of_messages_passes_unchanged_and_is_counted_once(received, sent, error):
    world = World(saying(received, sent, error))
    passed, raised = await converse(world, received, headers=[])
    assert raised is error
    assert passed == sent
    assert sum(world.samples(REQUESTS).values()) == 1
    assert set(world.samples("fastapi_requests_in_progress").values()) == {0}


ANYTHING = one_of(
    none(), booleans(), integers(), floats(), text(max_size=5), binary(max_size=5), lists(integers(), max_size=2)
)
KINDS = [
    "http.request", "http.disconnect", "http.response.start", "http.response.body", "http.response.pathsend",
    "http.response.zerocopysend", "http.response.trailers", "nonsense",
]  # fmt: skip
SCOPE_FIELDS = ("path", "method", "headers", "root_path", "scheme", "server", "route", "endpoint", "fastapi", "state")
MESSAGES = lists(
    fixed_dictionaries(
        {},
        optional={
            "type": one_of(sampled_from(KINDS), ANYTHING),
            **dict.fromkeys(("status", "body", "more_body", "headers", "path", "count", "file"), ANYTHING),
        },
    ),
    max_size=5,
)


class Lines:
    def __init__(self):
        self.written = []

    def write(self, **line):
        self.written.append(line)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first draw loads tables, which a busy machine does slowly
@given(
    received=MESSAGES,
    sent=MESSAGES,
    odd=fixed_dictionaries({}, optional=dict.fromkeys(SCOPE_FIELDS, ANYTHING)),
    headers=lists(tuples(binary(max_size=12), binary(max_size=12)), max_size=4),
    error=sampled_from([None, LookupError("x"), asyncio.CancelledError(), OSError("x"), KeyboardInterrupt()]),
)
async def test_whatever_an_application_and_a_server_say_nothing_of_ours_surfaces(received, sent, odd, headers, error):
    """Fields of any type, or none: what passes is unchanged, what is raised is the application's."""

    traces, exporter = traces_of(TracerProvider(), InMemorySpanExporter())
    world = World(saying(received, sent, error), traces, exporter, Lines())
    passed, raised = await converse(world, received, **{"headers": headers, **odd})
    assert raised is error
    assert passed == sent
    assert world.asgi._live == set()
    assert sum(world.samples("fastapi_requests_in_progress").values()) == 0


async def test_a_scrape_does_not_wait_for_the_applications_threads(world):
    """The backend holds its providers in the default pool, for minutes."""
    release = threading.Event()
    held = [asyncio.create_task(asyncio.to_thread(release.wait, 10)) for _ in range(64)]
    await asyncio.sleep(0.05)
    try:
        await asyncio.wait_for(world.get("/metrics"), 5)
    finally:
        release.set()
        await asyncio.gather(*held)


@pytest.mark.parametrize("size", ["9" * 19, "9" * 400, "9" * 5000])
async def test_a_claimed_size_beyond_reason_is_not_believed(world, size):
    start, _ = await world.get("/items/1", headers=[("content-length", size)])
    assert start["status"] == 200
    assert world.samples("fastapi_request_size_bytes_sum") == {("GET", "/items/{item}"): 0}


@pytest.mark.parametrize(
    ("path", "outcome"), [("/raise", "error"), ("/stream-break", "stream_error"), ("/timeout", "timeout")]
)
async def test_an_unsampled_request_that_fails_keeps_its_server_span(app, unsampled, path, outcome):
    world = World(app, *unsampled)
    with contextlib.suppress(Exception):
        await world.get(path, headers=[("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00")])
    span = world.span
    assert (span.name, span.kind) == (f"GET {path}", SpanKind.SERVER)
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID
    assert span.attributes["gwz.kept"] is True
    assert span.attributes["gwz.outcome"] == outcome
    assert 0 <= span.end_time - span.start_time < 1e9
    assert abs(span.end_time - time.time_ns()) < 5e9


async def test_an_unsampled_request_that_is_slow_keeps_its_span_and_a_quick_one_none(app, unsampled):
    @app.get("/slow")
    async def slow():
        await asyncio.sleep(0.15)

    world = World(app, *unsampled)
    await world.get("/items/1")
    await world.get("/slow")
    assert world.span.name == "GET /slow"
    assert (world.span.end_time - world.span.start_time) >= 0.15e9
    assert world.span.status.status_code is StatusCode.UNSET


async def test_a_kept_span_has_the_ids_of_the_requests_lines(app, unsampled):
    seen = {}

    @app.get("/ids")
    async def ids():
        seen.update(metadata_now())
        raise HTTPException(503)

    world = World(app, *unsampled)
    await world.get("/ids")
    assert seen["trace_id"] == f"{world.span.context.trace_id:032x}"
    assert seen["span_id"] == f"{world.span.context.span_id:016x}"


async def test_a_stream_says_how_its_parts_came(world):
    @world.app.get("/parts")
    async def parts():
        async def produce():
            yield b"a"
            await asyncio.sleep(0.05)
            yield b"b"
            yield b"c"

        return StreamingResponse(produce())

    await world.get("/parts")
    attributes = world.span.attributes
    assert attributes["gwz.response.chunks"] == 3
    assert 0 < attributes["gwz.response.time_to_first_byte"] < 0.05 <= attributes["gwz.response.longest_gap"]


async def test_the_line_and_the_span_are_there_while_a_background_task_still_runs(app, spans, loki):
    release = asyncio.Event()

    @app.get("/working")
    async def working(tasks: BackgroundTasks):
        tasks.add_task(release.wait)

    handler = LokiHandler(loki.url + PUSH_PATH)
    world = World(app, *spans, handler)
    task = asyncio.create_task(world.get("/working"))
    while not world._exporter.get_finished_spans():  # noqa: ASYNC110  # an exporter tells nobody
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(handler.force_flush, 2)
    assert json.loads(loki.lines[0][2])["outcome"] == "success"
    assert not task.done()
    release.set()
    await task
    handler.drain()


async def test_templates_beyond_the_budget_are_one_label_set(app):
    for number in range(60):
        app.add_api_route(f"/r{number}/{{x}}", lambda x: x)
    world = World(app, max_paths=10)
    for number in range(60):
        await world.get(f"/r{number}/1")
    counted = world.samples(REQUESTS)
    assert len(counted) == 11
    assert counted["GET", "_other", "200"] == 50
    assert world.samples("fastapi_requests_in_progress")["GET", "_other"] == 0


@pytest.mark.parametrize(
    ("status", "label"), [(200, "200"), (99, "_other"), (600, "_other"), (10**9, "_other"), ("x", "500")]
)
async def test_a_status_that_is_none_becomes_no_label_value_of_its_own(status, label):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    world = World(app)
    await world.get("/")
    assert list(world.samples(REQUESTS)) == [("GET", "<unrouted>", label)]


async def test_metrics_want_the_token_and_are_read_only(app):
    world = World(app, token="t0ken")
    assert (await world.get("/metrics"))[0]["status"] == 401
    assert (await world.get("/metrics", method="POST"))[0]["status"] == 405
    allowed = [("authorization", "Bearer t0ken")]
    assert (await world.get("/metrics", headers=allowed))[0]["status"] == 200
    head = await world.get("/metrics", method="HEAD", headers=allowed)
    assert (head[0]["status"], head[1]["body"]) == (200, b"")
    assert world.samples("gwz_telemetry_items_total")["metrics", "delivered"] == 2


async def test_a_collector_that_raises_is_a_counted_failure_of_the_scrape(world, caplog):
    class Raising:
        def describe(self):
            return []

        def collect(self):
            raise RuntimeError("not now")

    raising = Raising()
    world.registry.register(raising)
    start, body = await world.get("/metrics")
    assert (start["status"], body["body"][:18]) == (500, b"A collector failed")
    assert "RuntimeError: not now" in caplog.text
    world.registry.unregister(raising)
    assert world.samples("gwz_telemetry_items_total")["metrics", "dropped"] == 1


async def test_a_secret_in_a_request_id_reaches_no_line(app, spans, loki):
    handler = LokiHandler(loki.url + PUSH_PATH, metadata=metadata_now)
    world = World(app, *spans, handler)
    await world.get("/items/1", headers=[("x-request-id", "sk-abcdefgh12345678abcdefgh")])
    assert handler.force_flush(2)
    handler.drain()
    ((_, _, _, metadata),) = loki.lines
    assert metadata["request_id"] == "[redacted]"


async def test_an_application_that_is_dropped_is_freed():
    left = weakref.WeakSet()
    for _ in range(3):
        app = FastAPI()
        instrument(app, registry=CollectorRegistry())
        left.add(app)
    del app
    gc.collect()
    assert len(left) == 0


async def test_metrics_are_compressed_once_whatever_compresses_inside(app):
    app.add_middleware(GZipMiddleware, minimum_size=1)
    registry = CollectorRegistry()
    instrument(app, registry=registry)
    start, body = await call(app, "/metrics", headers=[("accept-encoding", "gzip")])
    assert [value for name, value in start["headers"] if name == b"content-encoding"] == [b"gzip"]
    assert gzip.decompress(body["body"]).startswith(b"# HELP")


async def test_metrics_below_a_root_path_are_found(world):
    start, _ = await call(world.asgi, "/api/metrics", root_path="/api")
    assert start["status"] == 200
    await call(world.asgi, "/api/health", root_path="/api")
    assert world.samples(REQUESTS) == {}


async def test_a_file_that_the_server_sends_is_measured(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"x" * 300)

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(file)})

    world = World(app)
    await world.get("/")
    assert world.samples("fastapi_response_size_bytes_sum") == {("GET", "<unrouted>"): 300}


async def test_a_zero_copy_response_ends_with_its_last_part():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.zerocopysend", "file": 1, "count": 5, "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": 1, "count": 7})

    world = World(app)
    await world.get("/")
    assert world.samples("fastapi_response_size_bytes_sum") == {("GET", "<unrouted>"): 12}


async def test_a_request_that_is_closed_from_another_context_is_recorded(spans):
    """What the garbage collector does to a server that has forgotten a request."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    world = World(app, *spans)
    coroutine = world.asgi(
        {"type": "http", "method": "GET", "path": "/", "headers": []}, None, lambda _: asyncio.sleep(0)
    )
    contextvars.Context().run(coroutine.send, None)
    contextvars.Context().run(coroutine.send, None)
    contextvars.Context().run(coroutine.close)
    assert world.samples(REQUESTS) == {("GET", "<unrouted>", "200"): 1}
    assert world.samples("fastapi_requests_in_progress") == {("GET", "<unrouted>"): 0}
    assert world.span.attributes["gwz.outcome"] == "stream_error"


async def test_a_finished_request_is_freed_without_the_garbage_collector(app):
    world, left = World(app), weakref.WeakSet()
    begin = world.asgi._begin
    world.asgi._begin = lambda scope: left.add(exchange := begin(scope)) or exchange
    gc.collect()
    gc.disable()
    try:
        await world.get("/items/1")
        assert len(left) == 0
    finally:
        gc.enable()


async def test_a_span_made_by_somebody_outside_is_not_made_twice(app, spans):
    """FastAPI with a provider of its own stands outside of us."""
    world = World(app, *spans)
    tracer = TracerProvider().get_tracer("outside")
    with tracer.start_as_current_span("theirs", kind=SpanKind.SERVER) as theirs:
        await world.get("/items/1")
    assert world._exporter.get_finished_spans() == ()
    exemplars = [s.exemplar.labels["trace_id"] for f in world.registry.collect() for s in f.samples if s.exemplar]
    assert exemplars == [f"{theirs.get_span_context().trace_id:032x}"]


@pytest.mark.parametrize(("path", "kept"), [("/raise", ["GET /raise"]), ("/items/1", [])])
async def test_an_unsampled_span_of_somebody_outside_keeps_a_failure_all_the_same(app, unsampled, path, kept):
    """Contrib's instrumentation or FastAPI's own makes the span; what it drops and we would keep is kept."""
    world = World(app, *unsampled)
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("outside")
    with contextlib.suppress(LookupError), tracer.start_as_current_span("theirs", kind=SpanKind.SERVER) as theirs:
        await world.get(path, headers=[("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00")])
    written = world._exporter.get_finished_spans()
    assert [span.name for span in written] == kept
    for span in written:
        assert span.context.trace_id == theirs.get_span_context().trace_id
        assert f"{span.parent.span_id:016x}" == PARENT_ID
        assert span.attributes["gwz.kept"] is True


async def test_an_exception_without_a_text_is_told_by_its_class(app, spans):
    class MuteError(Exception):
        def __str__(self):
            raise ValueError("no words")

    @app.get("/mute")
    async def mute():
        raise MuteError

    world = World(app, *spans)
    with pytest.raises(MuteError):
        await world.get("/mute")
    assert world.span.events[0].attributes["exception.message"] == "<MuteError>"
    assert "test_http" in world.span.events[0].attributes["exception.stacktrace"]
    assert world.samples("gwz_telemetry_dropped_total").get(("traces", "fault"), 0) == 0


async def test_a_mounted_application_that_is_instrumented_too_counts_no_request_again():
    registry, outer, inner = CollectorRegistry(), FastAPI(), FastAPI()
    inner.get("/things/{thing}")(lambda thing: thing)
    outer.mount("/inner", inner)
    instrument(outer, registry=registry, service_name="outer")
    instrument(inner, registry=registry, service_name="inner")
    await call(outer, "/inner/things/1")
    await call(inner, "/things/1")
    (requests,) = [family for family in registry.collect() if family.name == "fastapi_requests"]
    assert {(s.labels["app_name"], s.labels["path"]): s.value for s in requests.samples} == {
        ("outer", "/inner/things/{thing}"): 1,
        ("inner", "/things/{thing}"): 1,
    }


async def test_a_mounted_application_with_metrics_of_its_own_counts_there_and_tells_nothing(loki):
    """One request is one line, whatever the number of applications that it passes."""
    outer, inner, registries = FastAPI(), FastAPI(), (CollectorRegistry(), CollectorRegistry())
    inner.get("/things/{thing}")(lambda thing: thing)
    outer.mount("/inner", inner)
    handles = [
        instrument(app, registry=registry, service_name=name, loki_url=loki.url)
        for app, registry, name in zip((outer, inner), registries, ("outer", "inner"), strict=True)
    ]
    try:
        await call(outer, "/inner/things/1")
        counted = [
            {s.labels["path"]: s.value for f in registry.collect() for s in f.samples if s.name == REQUESTS}
            for registry in registries
        ]
        assert counted == [{"/inner/things/{thing}": 1}, {"/things/{thing}": 1}]
        start, _ = await call(outer, "/inner/metrics")
        assert start["status"] == 200
    finally:
        for handle in handles:
            handle.shutdown()
    messages = [json.loads(line)["message"] for _, _, line, _ in loki.lines]
    assert [message for message in messages if "things" in message] == ["GET /inner/things/{thing} 200"]


async def test_a_scope_can_be_copied_and_used_again(world):
    scope = {"type": "http", "method": "GET", "path": "/items/1", "headers": [], "root_path": "", "query_string": b""}
    copies = []

    async def app(scope, _receive, send):
        copies.append(copy.deepcopy({key: value for key, value in scope.items() if key != "app"}))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(_message):
        pass

    world.asgi.app = app
    for _ in range(2):
        await world.asgi(scope, None, send)
    assert len(copies) == 2
    assert sum(world.samples(REQUESTS).values()) == 2


@pytest.mark.parametrize("asgi", [{"asgi": {"version": "3.0", "spec_version": "2.4"}}, {"asgi": None}, {}])
async def test_a_client_that_has_left_is_no_exception_of_the_application(asgi):
    """From 2.4 of the specification on a server is to raise OSError for what can no longer be sent, and who names no version may."""
    gone = OSError("the client has left")

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(_message):
        raise gone

    app.routes = ()
    world = World(app)
    with pytest.raises(OSError, match="the client has left"):
        await world.asgi({"type": "http", "method": "GET", "path": "/", "headers": [], **asgi}, None, send)
    assert world.samples("fastapi_exceptions_total") == {}
    assert world.samples(REQUESTS) == {("GET", "<unrouted>", "200"): 1}


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ExceptionGroup("one", [LookupError("x")]), {("LookupError",): 1}),
        (ExceptionGroup("two", [LookupError("x"), OSError("y")]), {("ExceptionGroup",): 1}),
        (ClientDisconnect(), {}),
        (asyncio.CancelledError(), {}),
    ],
)
async def test_an_exception_is_counted_by_what_the_application_meant(error, counted):
    """A task group wraps what was raised in it; a client that left and a cancellation are nobody's exception."""
    world = World(saying([], [], error))
    _, raised = await converse(world, [], headers=[])
    assert raised is error
    assert world.samples("fastapi_exceptions_total") == counted


async def test_headers_that_can_be_read_once_reach_the_application(world):
    seen = []

    async def app(scope, _receive, _send):
        seen.extend(scope["headers"])

    world.asgi.app = app
    await converse(world, [], headers=iter([(b"host", b"x")]))
    assert seen == [(b"host", b"x")]


async def test_a_request_whose_route_cannot_be_told_costs_no_scrape(monkeypatch):
    inside, release = asyncio.Event(), asyncio.Event()

    async def app(_scope, _receive, _send):
        inside.set()
        await release.wait()

    app.routes = ()
    monkeypatch.setattr(RouteTemplates, "of", lambda *_: 1 / 0)
    world = World(app)
    under_way = asyncio.create_task(converse(world, [], headers=[]))
    await inside.wait()
    start, _ = await world.get("/metrics")
    assert start["status"] == 200
    assert world.samples("fastapi_requests_in_progress") == {("GET", "<unmatched>"): 1}
    release.set()
    await under_way


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside threads is the point
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_process_that_was_scraped_answers_its_own_scrapes(world):
    asyncio.run(world.get("/metrics"))
    child = os.fork()
    if child == 0:
        threads = http._threads()
        os._exit(threads.submit(lambda: 7).result(5) if threads is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("headers", [5, [(b"a",)], None])
async def test_a_scrape_with_headers_that_are_none_is_refused(world, headers):
    sent, raised = await converse(world, [], path="/metrics", headers=headers)
    assert raised is None
    assert sent[0]["status"] == 400


async def test_lifespan_messages_that_make_no_sense_are_the_servers_to_refuse():
    async def inner(_scope, _receive, send):
        await send("nonsense")
        await send(None)

    sent = []

    async def send(message):
        sent.append(message)

    await World(inner).asgi({"type": "lifespan"}, None, send)
    assert sent == ["nonsense", None]


@pytest.mark.parametrize("last", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
async def test_an_application_that_stops_waits_for_what_is_left(world, last):
    """Behind a server that ends by a signal nothing runs after this."""
    order = []

    async def inner(_scope, _receive, send):
        await send({"type": last})

    async def send(message):
        order.append(message["type"])

    world.asgi.app = inner
    world.asgi._parts = dataclasses.replace(
        world.asgi._parts, flush=lambda: order.append(threading.current_thread().name[:10])
    )
    await world.asgi({"type": "lifespan"}, None, send)
    assert order == ["gwz-scrape", last]


@pytest.mark.parametrize(("count", "size"), [(5, 5), (-5, 0), ("x", 0), (None, 0), (2.5, 0)])
async def test_a_zero_copy_part_counts_what_is_a_size(count, size):
    messages = [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.zerocopysend", "file": 3, "count": count},
    ]
    world = World(saying([], messages, None))
    assert await converse(world, [], headers=[]) == (messages, None)
    assert list(world.samples("fastapi_response_size_bytes_sum").values()) == [size]


async def test_two_applications_of_a_process_share_metrics_and_keep_their_names():
    registry, apps = CollectorRegistry(), {}
    for name in ("one", "two"):
        apps[name] = FastAPI()
        apps[name].get("/")(lambda: "ok")
        instrument(apps[name], registry=registry, service_name=name)
        await call(apps[name], "/")
    (requests,) = [family for family in registry.collect() if family.name == "fastapi_requests"]
    assert {sample.labels["app_name"]: sample.value for sample in requests.samples} == {"one": 1, "two": 1}
    (info,) = [family for family in registry.collect() if family.name == "fastapi_app_info"]
    assert {sample.labels["app_name"] for sample in info.samples} == {"one", "two"}


async def test_lifespan_and_websockets_pass_through():
    seen = []

    async def inner(scope, receive, send):
        seen.append((scope["type"], await receive()))
        await send({"type": "lifespan.startup.complete"})

    world, sent = World(inner), []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "x"}

    for kind in ("lifespan", "websocket", "unknown"):
        await world.asgi({"type": kind}, receive, send)
    assert seen == [("lifespan", {"type": "x"}), ("websocket", {"type": "x"}), ("unknown", {"type": "x"})]
    assert len(sent) == 3
    assert world.samples(REQUESTS) == {}


async def test_a_set_up_that_fails_leaves_nothing_behind():
    app, registry = FastAPI(), CollectorRegistry()
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(SettingsError, match="no-such-middleware"):
        instrument(app, registry=registry, loki_url="http://127.0.0.1:9", remove_middleware=("no-such-middleware",))
    assert list(registry.collect()) == []
    assert logging.getLogger().handlers == handlers
    instrument(app, registry=registry)


async def test_shutdown_takes_the_handler_off_and_a_scrape_does_not_put_it_back(loki):
    app, registry = FastAPI(), CollectorRegistry()
    before = list(logging.getLogger().handlers)
    telemetry = instrument(app, registry=registry, loki_url=loki.url)
    try:
        logging.getLogger("application").warning("one line")
        await call(app, "/metrics")
        assert telemetry.force_flush(3)
    finally:
        telemetry.shutdown()
    await call(app, "/metrics")
    assert logging.getLogger().handlers == before
    assert [json.loads(line)["message"] for _, _, line, _ in loki.lines].count("one line") == 1
