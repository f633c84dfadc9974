"""What the tests share: a Loki and receivers of OTLP that keep what they are sent, spans in memory, and where recorders write."""

import collections
import contextlib
import datetime as dt
import gzip
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from gwz_instrument import recording as recordings
from gwz_instrument.metrics import Collectors
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings


class Loki:
    """Answers pushes as it is told to, then as Loki does: it keeps the valid lines, and 400 says how many were not.

    `answers` are statuses, or tuples of status, text and headers. What it finds invalid, and its words, are compared
    with the real server by test_logs_loki.py.
    """

    def __init__(self):
        self.lines = []  # (labels, nanoseconds, line, metadata)
        self.answers = []
        self.heads = []  # the headers of each request
        self.requests = 0
        self.connections = 0
        self._connections = set()
        self._server = None
        self._port = 0
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    def start(self):
        """Listen, at the port of before if there was one."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                outer.connections += 1
                outer._connections.add(self.connection)

            def finish(self):
                outer._connections.discard(self.connection)
                super().finish()

            def do_POST(self):
                outer.requests += 1
                outer.heads.append(self.headers)
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = outer.answers.pop(0) if outer.answers else None
                if answer is None or answer == 204:
                    answer = outer.take(json.loads(gzip.decompress(body)))
                status, text, headers = (*answer, {})[:3] if isinstance(answer, tuple) else (answer, "", {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 50

            def handle_error(self, request, client_address):  # the client is gone
                pass

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, push):
        """Keep the valid lines of a push; the answer."""
        errors, behind, now = [], [], time.time_ns()
        for stream in push["streams"]:
            labels = "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(stream["stream"].items())) + "}"
            if any(not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) for name in stream["stream"]):
                return 400, "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'\n"
            newest = max((ns for held, ns, _, _ in self.lines if held == stream["stream"]), default=0)
            given = 0
            for ns, line, meta in stream["values"]:
                assert isinstance(ns, str)
                assert isinstance(line, str)
                assert all(isinstance(value, str) for value in meta.values())
                at = dt.datetime.fromtimestamp(int(ns) // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                if now - int(ns) > 7 * 86400 * 10**9:
                    errors.append(f"entry for stream '{labels}' has timestamp too old: {at}, oldest acceptable is: …")
                elif int(ns) - now > 600 * 10**9:
                    errors.append(f"entry for stream '{labels}' has timestamp too new: {at}")
                elif len(line.encode()) > 256 * 1024:
                    errors.append(f"Max entry size '262144' bytes exceeded for stream '{labels}' …")
                elif len(meta) > 128:
                    errors.append(
                        f"stream '{labels}' has too many structured metadata labels: '{len(meta)}', limit: '128'"
                    )
                elif int(ns) < newest - 3600 * 10**9:
                    given += 1
                    behind.append(f"entry with timestamp {at} ignored, reason: 'entry too far behind, …',\n")
                else:
                    given += 1
                    self.lines.append((stream["stream"], int(ns), line, meta))
            if behind:
                return (
                    400,
                    f"{''.join(behind[:10])}user 'fake', total ignored: {len(behind)} out of {given} for stream: {labels}\n",
                )
        if len(errors) > 1:
            errors = [f"{number} errors like: {error}" for error, number in collections.Counter(errors).items()]
        return (400, "; ".join(errors) + "\n") if errors else (204, "")

    def stop(self):
        """Be away: refuse connections, and drop those there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for connection in list(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    close = stop


class Receiver:
    """An OTLP receiver: answers what it is told to, then accepts, and keeps each span it accepted."""

    def __init__(self):
        self.spans, self.answers, self.headers, self.peers = [], [], [], set()

    def accept(self, body, headers, peer):
        self.peers.add(peer)
        self.headers.append({key.lower(): value for key, value in headers})
        if self.answers:
            return self.answers.pop(0)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                self.spans += scope_spans.spans
        return None


class HttpReceiver(Receiver):
    """Answers are a status or a message."""

    def __init__(self):
        super().__init__()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as receivers do

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = (
                    outer.accept(body, self.headers.items(), self.client_address) if self.path == "/v1/traces" else 404
                )
                content = answer.SerializeToString() if isinstance(answer, ExportTraceServiceResponse) else b""
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class GrpcReceiver(Receiver, TraceServiceServicer):
    """Answers are a status code."""

    def __init__(self):
        super().__init__()
        self._server = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, self._server)
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Export(self, request, context):  # noqa: N802  # the name of the service's method
        answer = self.accept(request.SerializeToString(), context.invocation_metadata(), context.peer())
        if answer is not None:
            context.abort(answer, "as told")
        return ExportTraceServiceResponse()

    def close(self):
        self._server.stop(None).wait()


@pytest.fixture
def receiver(protocol):
    """An OTLP receiver of the protocol that the test names by this parameter."""
    made = (GrpcReceiver if protocol == "grpc" else HttpReceiver)()
    yield made
    made.close()


@pytest.fixture
def loki() -> Iterator[Loki]:
    server = Loki()
    yield server
    server.close()


class Interruption:
    """Calls something at one line of some files, as the collector may; `passed` is how many lines there were."""

    def __init__(self, is_within):
        self._is_within = is_within
        self.look = self._look  # once: each time anew it would be an allocation, at which the collector comes
        self.at(0, None)

    def at(self, number, call):
        """From now on, at the line of this number."""
        self.passed, self._number, self._call = 0, number, call

    def _look(self, frame, event, _arg):
        if not self._is_within(frame.f_code.co_filename):
            return None
        if event == "line":
            self.passed += 1
            if self.passed == self._number:
                self._call()
        return self.look

    @contextlib.contextmanager
    def here(self):
        """On this thread, and only within."""
        before = sys.gettrace()
        sys.settrace(self.look)
        try:
            yield
        finally:
            sys.settrace(before)


@pytest.fixture
def interruption():
    """`Interruption`: made with a function that says whether a file is one of those."""
    return Interruption


@pytest.fixture
def exit_status():
    """A function: the exit status of a fork's child; None, and it is ended, if it is not done in ten seconds."""

    def wait(child):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(0.01)
        os.kill(child, 9)
        os.waitpid(child, 0)
        return None

    return wait


@pytest.fixture
def spans():
    """(tracer, exporter): what ends is in `exporter.get_finished_spans()`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


class World:
    """Where recorders write, and everything that was written."""

    def __init__(self, tracer, exporter):
        self.registry, self.collectors, self.exporter = CollectorRegistry(), Collectors(), exporter
        self.registry.register(self.collectors)
        self.recording = make_recording(
            Settings(environ={}), self.collectors, tracer=tracer, lines=None, endpoint_of=lambda _exchange: "/route"
        )

    def samples(self, name):
        return {
            tuple(value for key, value in sample.labels.items() if key != "le"): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    @property
    def spans(self):
        return [
            (span.name, dict(span.attributes), span.status.status_code.name)
            for span in self.exporter.get_finished_spans()
        ]


@pytest.fixture
def world(monkeypatch, spans):
    """A `World` that recorders write into; a test with a fixture of this name of its own has that."""
    made = World(*spans)
    monkeypatch.setattr(recordings, "_installed", [made.recording])
    monkeypatch.setattr(recordings, "_complained", set())
    return made
