"""`instrument()` as a whole, in processes of their own: what an import does, and an application that collides."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gwz_instrument import instrument
from gwz_instrument.http import TelemetryMiddleware

HERE = Path(__file__).parent


def run(code, **environment):
    """The JSON that `code` prints last, run by an interpreter of its own."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": str(HERE), **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_an_import_loads_nothing_that_is_slow():
    """What `instrument()` needs is loaded by it."""
    loaded = run("import sys, json, gwz_instrument; print(json.dumps([name for name in sys.modules]))")
    heavy = (
        "opentelemetry",
        "logging_loki",
        "requests",
        "urllib3",
        "fastapi",
        "starlette",
        "grpc",
        "asyncio",
        "http.client",
    )
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_an_import_registers_nothing():
    """Not a collector, not a log handler, not a tracer provider."""
    code = """
import json, logging
from prometheus_client import REGISTRY
before = set(REGISTRY._collector_to_names)
import gwz_instrument, gwz_instrument.http, gwz_instrument.telemetry, gwz_instrument.logs, gwz_instrument.traces
from opentelemetry import trace
print(json.dumps([set(REGISTRY._collector_to_names) == before, logging.getLogger().handlers, type(trace.get_tracer_provider()).__name__]))
"""
    assert run(code) == [True, [], "ProxyTracerProvider"]


PREDECESSOR = """
import asyncio, json
import predecessor
from gwz_instrument import CollisionError, instrument
from prometheus_client import REGISTRY, generate_latest

app = predecessor.create_app()
try:
    instrument(app)
    refused = ""
except CollisionError as error:
    refused = str(error)
instrument(app, replace_existing=True)
predecessor.REQUESTS.labels("gatewayz", "GET", "/stale", "200").inc()
predecessor.LEGACY_REQUESTS.labels("GET", "/kept", "200").inc()
sent = []
async def ask(path):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": "", "scheme": "http",
             "server": ("h", 1), "client": ("c", 1), "http_version": "1.1", "asgi": {"version": "3.0"}}
    await app(scope, receive, send)
asyncio.run(ask("/metrics"))
print(json.dumps({"refused": refused, "exposed": sent[1]["body"].decode(), "routes": [str(getattr(r, "path", "")) for r in app.routes]}))
"""


@pytest.mark.slow
def test_the_predecessors_backend_is_refused_with_a_list_and_then_taken_over():
    """33 of its 36 collectors collide, two with another type; it goes on feeding the ones that it holds."""
    found = run(PREDECESSOR)
    assert "fastapi_app_info" in found["refused"]
    assert "database_query_duration_seconds" in found["refused"]
    assert "predecessor" in found["refused"], "each with its module"
    assert "GET /metrics" in found["refused"]
    assert "/metrics" not in found["routes"]
    exposed = found["exposed"]
    assert "# TYPE fastapi_app_info gauge" in exposed
    assert 'fastapi_app_info{app_name="gatewayz"} 1.0' in exposed
    assert "process_resident_memory_bytes " in exposed
    assert "python_info{" in exposed
    assert 'endpoint="/kept"' in exposed, "what is not ours stays"
    assert "/stale" not in exposed, "what it still feeds is seen by nobody"


WIRED = """
import asyncio, json, logging
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from gwz_instrument import instrument
from opentelemetry import trace

app, registry = FastAPI(), CollectorRegistry()

@app.get("/line")
async def line():
    logging.getLogger("application").warning("a line")
    return "ok"

app.get("/ping")(lambda: "ok")
telemetry = instrument(
    app, registry=registry, loki_url=LOKI, loki_token="t0ken", log_queue_bytes=300_000, exclude_paths=("/ping",),
    otlp_endpoint="http://127.0.0.1:9", traces_sampler="always_off", slow_request_s=1e-9,
)
kept = []
telemetry._traces.outlet.on_end = kept.append

async def ask(path):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        pass
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": "", "scheme": "http",
             "server": ("h", 1), "client": ("c", 1), "http_version": "1.1", "asgi": {"version": "3.0"}}
    await app(scope, receive, send)

asyncio.run(ask("/line"))
asyncio.run(ask("/ping"))
logging.getLogger("uvicorn").warning("the server's")
logging.getLogger("uvicorn.access").warning("GET /?api_key=secret")
flushed = telemetry.force_flush(5)
samples = {(s.name, *sorted(s.labels.items())): s.value for f in registry.collect() for s in f.samples}
print(json.dumps({
    "flushed": flushed, "limit": telemetry._logs._max_queue_bytes,
    "requests": [dict(s.labels) for f in registry.collect() for s in f.samples if s.name == "fastapi_requests_total"],
    "info": [s.value for f in registry.collect() for s in f.samples if s.name == "fastapi_app_info"],
    "delivered": samples["gwz_telemetry_items_total", ("outcome", "delivered"), ("signal", "logs")],
    "kept": [[span.name, f"{span.context.trace_id:032x}", span.attributes["gwz.kept"]] for span in kept],
}))
"""


def test_every_setting_reaches_the_part_that_it_is_for(loki):
    found = run(f"LOKI = {loki.url!r}" + WIRED)
    assert found["flushed"] is True
    assert found["limit"] == 300_000
    assert [labels["path"] for labels in found["requests"]] == ["/line"], "what is excluded leaves nothing"
    assert found["info"] == [1]
    ((name, trace_id, kept),) = found["kept"]
    assert (name, kept) == ("GET /line", True), "any request is slow here"
    messages = {json.loads(line)["message"]: metadata for _, _, line, metadata in loki.lines}
    assert set(messages) == {"a line", "the server's", "GET /line 200"}, "the access log is left alone"
    assert messages["a line"]["trace_id"] == messages["GET /line 200"]["trace_id"] == trace_id
    assert found["delivered"] == 3
    assert {head.get("authorization") for head in loki.heads} == {"Bearer t0ken"}


SHUT_DOWN = """
import json, time
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from gwz_instrument import instrument
import logging, socket
hanging = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
for name in ("one", "two"):
    telemetry = instrument(FastAPI(), registry=CollectorRegistry(), service_name=name, loki_url=url, otlp_endpoint=url)
    with telemetry._traces.tracer.start_as_current_span("work"):
        logging.getLogger("application").warning("a line")
from gwz_instrument.telemetry import _shut_all_down
began = time.monotonic()
_shut_all_down()
print(json.dumps(time.monotonic() - began))
"""


@pytest.mark.slow
def test_an_exit_takes_two_seconds_at_most_with_both_servers_hanging_and_two_applications():
    assert run(SHUT_DOWN) < 2 * 3  # a clock in a test: a factor of three beyond the two seconds


def test_a_registry_that_is_none_is_refused_before_anything_changes():
    app = FastAPI()
    with pytest.raises(TypeError, match=r"registry='x': give it a prometheus_client\.CollectorRegistry"):
        instrument(app, registry="x")
    assert instrument(app, registry=CollectorRegistry()).registry.get_sample_value(
        "fastapi_app_info", {"app_name": "gatewayz"}
    )


def test_threads_that_instrument_at_once_wrap_the_application_once():
    app, registry, handles = FastAPI(), CollectorRegistry(), []
    gate = threading.Barrier(4)

    def run_one():
        gate.wait(5)
        handles.append(instrument(app, registry=registry))

    threads = [threading.Thread(target=run_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(handles) == 4
    assert len(set(map(id, handles))) == 1
    stack, depth = app.build_middleware_stack(), 0
    while stack is not None:
        depth += isinstance(stack, TelemetryMiddleware)
        stack = getattr(stack, "app", None)
    assert depth == 1


EXIT_HOOKS = """
import atexit, json, time
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from gwz_instrument import instrument
import logging, socket
hanging = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
started = []
atexit.register(lambda: print(json.dumps(time.monotonic() - started[0])))
instrument(FastAPI(), registry=CollectorRegistry(), loki_url=url, otlp_endpoint=url)
logging.getLogger("application").warning("a line")
started.append(time.monotonic())
"""


@pytest.mark.slow
def test_all_exit_hooks_of_ours_together_keep_to_the_time_of_one():
    """The handler's own hook, registered later, must not wait a second time for the same Loki."""
    assert run(EXIT_HOOKS) < 2 * 3  # as above


LATE = """
import atexit, json, logging
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

registry = CollectorRegistry()
def count(outcome):
    return registry.get_sample_value("gwz_telemetry_items_total", {"signal": "logs", "outcome": outcome})

atexit.register(lambda: print(json.dumps([count("delivered"), count("dropped")])))
atexit.register(lambda: logging.getLogger("application").warning("late"))
from gwz_instrument import instrument
instrument(FastAPI(), registry=registry, loki_url=LOKI)
atexit.register(lambda: logging.getLogger("application").warning("from a hook that is younger"))
logging.getLogger("application").warning("in time")
"""


def test_what_an_exit_hook_older_than_ours_logs_is_counted_as_lost(loki):
    assert run(f"LOKI = {loki.url!r}" + LATE) == [2, 1]
    assert [json.loads(line)["message"] for _, _, line, _ in loki.lines] == ["in time", "from a hook that is younger"]
