"""What the tests share: a Loki that keeps what it is sent, and spans in memory."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Loki:
    """Answers pushes with the statuses it is told to, then 204, and keeps each accepted line."""

    def __init__(self):
        self.lines = []  # (labels, nanoseconds, line, metadata)
        self.answers = []
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.requests += 1
                body = json.loads(gzip.decompress(self.rfile.read(int(self.headers["content-length"]))))
                status = outer.answers.pop(0) if outer.answers else 204
                if status == 204:
                    for stream in body["streams"]:
                        outer.lines += [(stream["stream"], int(ns), line, meta) for ns, line, meta in stream["values"]]
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def loki() -> Iterator[Loki]:
    server = Loki()
    yield server
    server.close()


@pytest.fixture
def spans():
    """(tracer, exporter): what ends is in `exporter.get_finished_spans()`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter
