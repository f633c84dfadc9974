"""A world of real processes on free loopback ports: gateway, providers, and a place where their spans arrive."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    service: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    seconds: float
    attributes: dict[str, Any]


@dataclass(frozen=True)
class World:
    url: str
    providers_url: str
    spans: list[Span]
    """What has arrived until now."""


@contextmanager
def _otlp_endpoint() -> Iterator[tuple[str, list[Span]]]:
    """Receive OTLP/HTTP in this process."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.extend(_decode(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", spans
        server.shutdown()
        thread.join()


def _decode(body: bytes) -> Iterator[Span]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    service=resource["service.name"],
                    kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    attributes=_attributes(span.attributes),
                )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(module: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "GWZ_"))}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", module], env=kept | environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _await_health(url: str, log: Path) -> None:
    with httpx.Client() as client:
        for _ in range(600):
            try:
                client.get(f"{url}/health").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
    pytest.fail(f"{url} did not become healthy: {log.read_text()}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    logs = folder / "gateway.log", folder / "providers.log"
    ports = [str(_free_port()) for _ in range(3)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with _otlp_endpoint() as (otlp, spans):
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        settings = {
            "PROVIDERS_URL": urls[1],
            "POSTGREST_URL": f"{urls[1]}/rest/v1",
            "DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}",
            "REDIS_URL": f"redis://127.0.0.1:{ports[2]}/0",  # nobody listens there
            "OTEL_SERVICE_NAME": "gateway",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        with (
            _process("fastapi_app", {"PORT": ports[0], **settings, **telemetry}, logs[0]),
            _process("fastapi_app.providers", {"PORT": ports[1], **telemetry}, logs[1]),
        ):
            for url, log in zip(urls, logs, strict=False):
                _await_health(url, log)
            yield World(*urls[:2], spans)
