"""What has to hold from the oldest supported versions to the newest, on a real server and through `instrument` only."""

import asyncio
import json
import threading
import time

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

from gwz_instrument import instrument

CHUNK = b"x" * 1000


def until(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class Served:
    """An instrumented application on a real server, a client, and everything it emitted."""

    def __init__(self, app, loki):
        self._loki = loki
        self.telemetry = instrument(app, registry=CollectorRegistry(), service_name="matrix", loki_url=loki.url)
        config = uvicorn.Config(
            app, port=0, log_config=None, access_log=False, loop="asyncio", ws="none", lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started)
        (listening,) = self._server.servers[0].sockets
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=10)

    def samples(self, name):
        """Label values but for the application's name → value, of what a scrape sees."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {tuple(value for key, value in one.labels.items() if key != "app_name"): one.value for one in samples}

    @property
    def requests(self):
        return self.samples("fastapi_requests_total")

    @property
    def outcomes(self):
        """The outcome on each request's log line, in order."""
        assert self.telemetry.force_flush(5)
        lines = [json.loads(line) for _, _, line, _ in self._loki.lines]
        return [line["outcome"] for line in lines if line["logger"] == "gwz_instrument.request"]

    def stop(self):
        self.client.close()
        self._server.should_exit = True
        self._thread.join(10)
        self.telemetry.shutdown(2)


@pytest.fixture
def serve(loki):
    served = []

    def start(app):
        served.append(Served(app, loki))
        return served[0]

    yield start
    for one in served:
        one.stop()


def stacked(app, layers=5):
    """`app` behind that many middlewares of the kind that polls `receive` and passes bodies on in pieces."""

    async def through(request, call_next):
        return await call_next(request)

    for _ in range(layers):
        app.add_middleware(BaseHTTPMiddleware, dispatch=through)
    return app


@pytest.fixture
def app():
    app = FastAPI()
    app.state.polled = []

    @app.get("/json/{x}")
    async def answer(x: str):
        return {"x": x}

    @app.post("/echo")
    async def echo(body: dict):
        return body

    @app.get("/stream")
    async def stream():
        async def produce():
            for _ in range(50):
                yield CHUNK
                await asyncio.sleep(0)

        return StreamingResponse(produce())

    @app.get("/endless")
    async def endless():
        async def produce():
            while True:
                yield CHUNK
                await asyncio.sleep(0.01)

        return StreamingResponse(produce())

    @app.get("/patient")
    async def patient(request: Request):
        while not await request.is_disconnected():  # noqa: ASYNC110  # how applications ask
            await asyncio.sleep(0.01)
        return "too late"

    async def polls(scope, receive, send):
        await PlainTextResponse("ok")(scope, receive, send)
        for _ in range(4):
            app.state.polled.append((await receive())["type"])

    async def plain(_request):
        return PlainTextResponse("plain")

    app.mount("/polls", polls)
    app.add_route("/plain", plain)
    return app


def test_behind_five_base_http_middlewares_every_request_is_what_it_was(app, serve):
    served = serve(stacked(app))
    assert served.client.get("/json/1").json() == {"x": "1"}
    assert served.client.post("/echo", json={"a": 1}).json() == {"a": 1}
    assert served.client.get("/stream").content == CHUNK * 50
    assert served.client.get("/nothing").status_code == 404
    assert served.requests == {
        ("GET", "/json/{x}", "200"): 1,
        ("POST", "/echo", "200"): 1,
        ("GET", "/stream", "200"): 1,
        ("GET", "<unmatched>", "404"): 1,
    }
    assert served.samples("fastapi_response_size_bytes_sum")["GET", "/stream"] == 50_000
    assert served.outcomes == ["success", "success", "success", "error"]


@pytest.mark.parametrize("path", ["/polls/", "/json/1", "/stream"])
def test_a_disconnect_that_follows_the_response_is_none(app, serve, path):
    """Servers answer each `receive` after the last byte with one; the outermost layer asks four times."""
    polled = []

    async def poll_after(request, call_next):
        async def poll():
            for _ in range(4):
                polled.append((await request.receive())["type"])

        response = await call_next(request)
        response.background = BackgroundTask(poll)
        return response

    if path == "/polls/":  # an application without any layer
        polled = app.state.polled
    else:
        stacked(app, 4).add_middleware(BaseHTTPMiddleware, dispatch=poll_after)
    served = serve(app)
    assert served.client.get(path).status_code == 200
    until(lambda: len(polled) == 4)
    assert polled.count("http.disconnect") >= 3, "the first may be the end of the request's body"
    assert list(served.requests.values()) == [1]
    assert served.outcomes == ["success"]


@pytest.mark.parametrize("layers", [0, 5])
def test_a_client_that_leaves_a_stream_is_told_from_one_that_stays(app, serve, layers):
    served = serve(stacked(app, layers))
    with served.client.stream("GET", "/endless") as response:
        assert next(response.iter_raw())
    until(lambda: served.requests == {("GET", "/endless", "200"): 1})
    assert served.samples("fastapi_requests_in_progress") == {("GET", "/endless"): 0}
    assert served.samples("fastapi_exceptions_total") == {}
    until(lambda: served.outcomes == ["client_disconnected"])


def test_a_client_that_leaves_before_the_response_is_499(app, serve):
    served = serve(app)
    with pytest.raises(httpx.ReadTimeout):
        served.client.get("/patient", timeout=0.2)
    until(lambda: served.requests == {("GET", "/patient", "499"): 1})
    until(lambda: served.outcomes == ["client_disconnected"])


class OwnTimeout:
    """A timeout that answers 504 and lets the handler go on: the call returns only when that ends."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        answered = asyncio.Event()

        async def send_unless_answered(message):
            if not answered.is_set():
                await send(message)

        handler = asyncio.ensure_future(self._app(scope, receive, send_unless_answered))
        if scope["type"] == "http" and not (await asyncio.wait([handler], timeout=0.1))[0]:
            answered.set()
            await JSONResponse({"detail": "timeout"}, 504)(scope, receive, send)
        await handler


def base_timeout(app):
    async def dispatch(request, call_next):
        try:
            return await asyncio.wait_for(call_next(request), 0.1)
        except TimeoutError:
            return JSONResponse({"detail": "timeout"}, 504)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)


@pytest.mark.parametrize("add_timeout", [base_timeout, lambda app: app.add_middleware(OwnTimeout)], ids=["base", "own"])
def test_a_handler_that_outlives_its_504_adds_nothing_to_it(app, serve, add_timeout):
    running = threading.Semaphore(0)
    release, done = threading.Event(), threading.Event()

    @app.get("/slow")
    async def slow():
        running.release()
        while not release.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.01)
        done.set()

    add_timeout(app)
    served = serve(app)
    try:
        assert served.client.get("/slow").status_code == 504
        assert running.acquire(timeout=10)
        time.sleep(0.5)
        assert not done.is_set()
        assert served.requests == {("GET", "/slow", "504"): 1}
        assert served.samples("fastapi_requests_in_progress") == {("GET", "/slow"): 0}
    finally:
        release.set()
    assert done.wait(10), "the handler went on"
    assert served.outcomes == ["timeout"]
    assert served.requests == {("GET", "/slow", "504"): 1}
    assert 0.1 <= served.samples("fastapi_requests_duration_seconds_sum")["GET", "/slow"] < 0.5


def test_head_is_a_method_of_its_own_and_has_no_body(app, serve):
    served = serve(stacked(app))
    assert served.client.head("/plain").content == b""
    assert served.client.head("/json/1").status_code == 405
    assert served.requests == {("HEAD", "/plain", "200"): 1, ("HEAD", "/json/{x}", "405"): 1}
    head = served.client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")


def test_options_is_a_preflight_that_no_route_sees_or_a_wrong_method(app, serve):
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    served = serve(stacked(app))
    preflight = {"origin": "https://a.example", "access-control-request-method": "GET"}
    assert served.client.options("/json/1", headers=preflight).status_code == 200
    assert served.client.options("/json/1").status_code == 405
    assert served.requests == {("OPTIONS", "<unrouted>", "200"): 1, ("OPTIONS", "/json/{x}", "405"): 1}


async def test_a_websocket_passes_through_unrecorded(app):
    @app.websocket("/ws/{name}")
    async def echo(websocket: WebSocket, name: str):
        await websocket.accept()
        await websocket.send_text(f"{name}: {await websocket.receive_text()}")
        await websocket.close(4001)

    stacked(app)
    registry = CollectorRegistry()
    telemetry = instrument(app, registry=registry, service_name="matrix")
    to_app = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    from_app = []

    async def receive():
        return to_app.pop(0)

    async def send(message):
        from_app.append(message)

    scope = {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "ws",
        "path": "/ws/me", "raw_path": b"/ws/me", "root_path": "", "query_string": b"", "headers": [],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 5), "subprotocols": [],
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 10)
    telemetry.shutdown(1)
    assert [message["type"] for message in from_app] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (from_app[1]["text"], from_app[2]["code"]) == ("me: hello", 4001)
    recorded = [sample for family in registry.collect() for sample in family.samples if "path" in sample.labels]
    assert recorded == []
