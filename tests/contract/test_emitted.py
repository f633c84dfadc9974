"""Any application that calls `instrument(app)` emits the contract, all of it and nothing else."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gwz_instrument.judge import Emitted, EmittedLine, EmittedSpan, judge

pytestmark = [pytest.mark.contract, pytest.mark.slow]

APP = Path(__file__).with_name("another_app.py")
TOKEN = "scrapes-only"
SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
UNSAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"}
PATIENCE_S = 30


class Sink:
    """Takes log lines as Loki does and spans as Tempo does, and keeps them."""

    def __init__(self):
        self.lines, self.spans = [], []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                take = sink.take_lines if self.path == "/loki/api/v1/push" else sink.take_spans
                take(body)
                self.send_response(204 if take == sink.take_lines else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take_lines(self, body):
        for stream in json.loads(body)["streams"]:
            for _, line, *metadata in stream["values"]:
                self.lines.append(EmittedLine(stream["stream"], dict(*metadata), json.loads(line)))

    def take_spans(self, body):
        kinds = {1: "internal", 2: "server", 3: "client"}
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
                    self.spans.append(EmittedSpan(span.name, kinds[span.kind], scope.scope.name, attributes))

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def sink():
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def url(sink):
    foreign = ("OTEL_", "GWZ_", "RAILWAY_", "PROMETHEUS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {
        "GWZ_ENVIRONMENT": "production",
        "GWZ_METRICS_TOKEN": TOKEN,
        "GWZ_LOKI_URL": sink.url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with subprocess.Popen([sys.executable, str(APP)], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def used(url):
    """The application, after requests of every kind that there is."""
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        for headers in (SAMPLED, UNSAMPLED):
            assert client.get("/orders/7", headers=headers).json() == {"order": 7}
            assert client.get("/orders/7/chat", headers=headers).text == "onetwothree"
            assert client.post("/orders/7/fail", headers=headers).status_code == 500
            assert client.get("/nowhere", headers=headers).status_code == 404
            assert client.get("/teapot", headers=headers).status_code == 418
        yield client


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_its_metrics_have_no_fault(used, accept):
    headers = {"accept": accept, "authorization": f"Bearer {TOKEN}"}
    answer = settled(lambda: Emitted(exposition=used.get("/metrics", headers=headers).raise_for_status().text))
    assert 'orders_sold_total{kind="book"} 2.0' in answer.exposition


@pytest.mark.usefixtures("used")
def test_its_log_lines_have_no_fault(sink):
    emitted = settled(lambda: Emitted(lines=list(sink.lines)))
    assert [line for line in emitted.lines if line.fields["logger"] == "shop"], "its own lines are among them"


@pytest.mark.usefixtures("used")
def test_its_spans_have_no_fault(sink):
    emitted = settled(lambda: Emitted(spans=list(sink.spans)))
    assert [span for span in emitted.spans if span.scope == "shop"], "its own spans are among them"


def settled(emitted):
    """What was emitted, once nothing is missing: signals take their time, a fault never goes away."""
    deadline = time.monotonic() + PATIENCE_S
    while judge(found := emitted()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [str(finding) for finding in judge(found)] == []
    return found
