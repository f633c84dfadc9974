"""Real servers behind a data source, started on loopback where they are on this machine, and a JSON API of our own."""

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LOKI = """
auth_enabled: {auth}
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}, log_level: warn}}
analytics: {{reporting_enabled: false}}
common:
  instance_addr: 127.0.0.1
  path_prefix: {folder}
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}}}
  storage: {{filesystem: {{chunks_directory: {folder}/chunks, rules_directory: {folder}/rules}}}}
schema_config:
  configs: [{{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}]
ingester: {{lifecycler: {{min_ready_duration: 0s}}}}
pattern_ingester: {{enabled: false}}
frontend_worker: {{frontend_address: "127.0.0.1:{grpc}"}}
limits_config: {{discover_service_name: []}}
"""
TEMPO = """
server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}, log_level: warn}}
usage_report: {{reporting_enabled: false}}
distributor: {{receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{otlp}"}}}}}}}}}}
ingester: {{lifecycler: {{min_ready_duration: 0s}}, trace_idle_period: 1s, flush_check_period: 1s}}
querier: {{frontend_worker: {{frontend_address: "127.0.0.1:{grpc}"}}}}
storage: {{trace: {{backend: local, local: {{path: {folder}/blocks}}, wal: {{path: {folder}/wal}}}}}}
"""
_PATIENCE_SECONDS = 60.0


def binary(name: str) -> str:
    """The path of a server that is here already: GWZ_<NAME>_BIN, on PATH, or what the stack has fetched; skips without one."""
    if found := os.environ.get(f"GWZ_{name.upper()}_BIN") or shutil.which(name):
        return found
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatewayz-observability"
    cache = Path(os.environ.get("GWZ_CACHE") or base)
    fetched = [path for path in cache.glob(f"*/{name}-*/**/{name}") if path.is_file()]
    if not fetched:
        pytest.skip(f"no {name} here: `python -m gwz_stack find {name}` fetches one")
    return str(max(fetched, key=lambda path: path.stat().st_mtime))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus and its configuration file."""

    url: str
    file: Path

    def configure(self, config: str) -> None:
        """Let it read another configuration."""
        self.file.write_text(config)
        fetch(f"{self.url}/-/reload", method="POST")

    def ask(self, query: str) -> list[Any]:
        """The series of an instant query."""
        answer = fetch(f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}")
        return list(json.loads(answer)["data"]["result"])


@contextmanager
def prometheus(folder: Path, config: str, *flags: str, past: str = "") -> Iterator[Prometheus]:
    """Run a Prometheus that remembers a past, written as OpenMetrics with times."""
    folder.mkdir(parents=True, exist_ok=True)
    file, data, port = folder / "prometheus.yml", folder / "data", free_port()
    file.write_text(config)
    if past:
        (folder / "past.om").write_text(past)
        command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        subprocess.run([*command, folder / "past.om", data], check=True, capture_output=True)
    command = [
        binary("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        *flags,
    ]
    with _running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield Prometheus(f"http://127.0.0.1:{port}", file)


@contextmanager
def loki(folder: Path, *, tenants: bool = False) -> Iterator[str]:
    """Run a Loki; with tenants it wants X-Scope-OrgID in every request."""
    port, grpc = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "loki.yml"
    config.write_text(LOKI.format(auth=str(tenants).lower(), port=port, grpc=grpc, folder=folder))
    url = f"http://127.0.0.1:{port}"
    with _running([binary("loki"), f"-config.file={config}"], folder / "loki.log", f"{url}/ready"):
        yield url


@contextmanager
def tempo(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a Tempo: its own address, and the one that takes spans."""
    port, grpc, otlp = free_port(), free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "tempo.yml"
    config.write_text(TEMPO.format(port=port, grpc=grpc, otlp=otlp, folder=folder))
    url = f"http://127.0.0.1:{port}"
    with _running([binary("tempo"), f"-config.file={config}"], folder / "tempo.log", f"{url}/ready"):
        yield url, f"http://127.0.0.1:{otlp}"


@contextmanager
def _running(command: list[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
    try:
        _wait(ready, process, log)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)


def _wait(ready: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            fetch(ready)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{ready} did not get ready; the end of its log:\n{log.read_text(errors='replace')[-2000:]}")


def until(true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.2)


def fetch(url: str, *, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    """Send a call that must succeed; its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, method=method, data=data, headers={"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def push(loki_url: str, labels: Mapping[str, str], lines: Mapping[int, str], *, tenant: str = "") -> None:
    """Write log lines by their times in nanoseconds."""
    body = {"streams": [{"stream": dict(labels), "values": [[str(at), line] for at, line in lines.items()]}]}
    fetch(
        f"{loki_url}/loki/api/v1/push",
        method="POST",
        body=body,
        headers={"X-Scope-OrgID": tenant} if tenant else {},
    )


def send_span(otlp_url: str, service: str) -> None:
    """Send a trace of one span that ends now."""
    now = time.time_ns()
    span = {
        "traceId": os.urandom(16).hex(),
        "spanId": os.urandom(8).hex(),
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    fetch(f"{otlp_url}/v1/traces", method="POST", body=body)


@dataclass
class Api:
    """What our JSON API answers by path: a status and a body; it wants a token when one is set."""

    url: str = ""
    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    token: str = ""

    def says(self, path: str, body: Any, status: int = 200, kind: str = "application/json") -> None:
        """Answer a path with a body from now on."""
        self.answers[path] = (status, body if isinstance(body, str) else json.dumps(body), kind)


@contextmanager
def api() -> Iterator[Api]:
    """Serve JSON, and metrics to be scraped."""
    served = Api()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = (404, '{"detail": "Not Found"}', "application/json")
            status, body, kind = served.answers.get(self.path.partition("?")[0], missing)
            if served.token and self.headers.get("Authorization") != f"Bearer {served.token}":
                status, body, kind = 401, '{"detail": "a token is wanted"}', "application/json"
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent() -> Iterator[str]:
    """Take connections, and never answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
