"""What is seen of Loki and Tempo, working and broken: against fakes and, where their binaries are at hand, the real ones."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from gwz_instrument.judge import EmittedLine, EmittedSpan, judge_lines, judge_spans
from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.monitoring.far_end import FarEnds
from gwz_instrument.semconv import logs
from gwz_instrument.settings import Settings
from gwz_instrument.span_export import Outlet
from gwz_instrument.traces import Traces

TOKEN = "a-token-of-loki"
IDS = {"trace_id": "ab" * 16, "span_id": "cd" * 8}
QUERY_PATH, OTLP_PATH, SEARCH_PATH, TRACES_PATH = (
    "/loki/api/v1/query_range",
    "/v1/traces",
    "/api/search",
    "/api/traces",
)
HANGS = "hangs"


class Site:
    """Loki, an OTLP receiver and Tempo at one address, as far as they are asked here.

    `broken` says what a path answers instead: a status, a status and a text, or nothing for as long as the test lasts.
    """

    def __init__(self, certificate=None):
        self.lines, self.spans, self.broken, self.asked = [], [], {}, []
        self.released = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._answer(b"")

            def do_POST(self):
                self._answer(self.rfile.read(int(self.headers["content-length"])))

            def _answer(self, body):
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                url = urllib.parse.urlsplit(self.path)
                site.asked.append((url.path, self.headers))
                given = next((way for path, way in site.broken.items() if url.path.startswith(path)), None)
                if given == HANGS:
                    site.released.wait(20)
                    self.close_connection = True
                    return
                if given is None:
                    given = site.answer(url.path, dict(urllib.parse.parse_qsl(url.query)), body)
                status, content = given if isinstance(given, tuple) else (given, b"")
                self.send_response(status)
                if status != 204:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):  # the client is gone
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.loki = self.otlp_http = self.tempo = f"http{'s' if certificate else ''}://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path, parameters, body):
        if path == PUSH_PATH:
            return self.push(json.loads(body)["streams"])
        if path == QUERY_PATH:
            return 200, json.dumps({"data": {"result": list(self._selected(parameters))}}).encode()
        if path == OTLP_PATH:
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    self.spans += [(scope_spans.scope.name, span) for span in scope_spans.spans]
            return 200
        if path == SEARCH_PATH:
            found = [{"startTimeUnixNano": str(span.start_time_unix_nano)} for _, span in self.spans]
            return 200, json.dumps({"traces": found, "metrics": {}}).encode()
        if path.startswith(TRACES_PATH):
            found = [span for _, span in self.spans if span.trace_id.hex() == path.rpartition("/")[2]]
            return (200, json.dumps({"spans": [span.span_id.hex() for span in found]}).encode()) if found else 404
        return 404

    def push(self, streams):
        if not streams:
            return 422, b"error at least one valid stream is required for ingestion\n"
        self.lines += [(stream["stream"], *value) for stream in streams for value in stream["values"]]
        return 204

    def _selected(self, parameters):
        selector, _, text = parameters["query"].partition("|=")
        for labels, nanoseconds, line, _ in self.lines[-1:]:
            in_time = int(parameters["start"]) <= int(nanoseconds) < int(parameters["end"])
            matches = all(f'{name}="{value}"' in selector for name, value in labels.items() if name != "level")
            level = 'level="' not in selector or f'level="{labels["level"]}"' in selector
            if in_time and matches and level and (not text or json.loads(text) in line):
                yield {"stream": labels, "values": [[nanoseconds, line]]}

    def line(self, app):
        """(labels, line, metadata) of an app's only line."""
        ((labels, _, line, metadata),) = self.lines
        assert labels["app"] == app
        return labels, json.loads(line), metadata

    def span(self, trace_id):
        """(name, kind, scope, attributes) of the only span of a trace."""
        ((scope, span),) = [held for held in self.spans if held[1].trace_id.hex() == trace_id]
        return span.name, span.kind, scope, {one.key: one.value.string_value for one in span.attributes}

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class RealServers:
    """Loki and Tempo with the stack's configuration; the same words as the fake."""

    def __init__(self, binaries, folder):
        from gwz_stack import layout  # noqa: PLC0415
        from gwz_stack.ports import Reservation  # noqa: PLC0415
        from gwz_stack.render import dump, e2e_overrides, render, shipped  # noqa: PLC0415

        self._reservation = Reservation.of(layout.PORTS, given={})
        where = layout.Layout(folder, self._reservation.ports)
        self.processes = []
        for server, binary in binaries.items():
            where.data(server).mkdir(parents=True)
            config, log = folder / f"{server}.yml", folder / f"{server}.log"
            places = layout.places(server, where)
            rendered = render(server, shipped(server), places=places, overrides=e2e_overrides(server))
            config.write_text(dump(server, rendered))
            with log.open("wb") as output:
                started = subprocess.Popen([binary, f"-config.file={config}"], stdout=output, stderr=output)
            self.processes.append(started)
        urls = where.urls(grafana=False)
        self.loki, self.tempo, self.otlp_http, self.otlp_grpc = urls.loki, urls.tempo, urls.otlp_http, urls.otlp_grpc
        for url in (self.loki, self.tempo):
            self._wait_until_ready(url, folder)

    def _wait_until_ready(self, url, folder):
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/ready", timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError("\n".join(log.read_text()[-2000:] for log in folder.glob("*.log")))

    def line(self, app):
        query = urllib.parse.urlencode({"query": f'{{app="{app}"}}'})
        request = urllib.request.Request(
            f"{self.loki}{QUERY_PATH}?{query}", headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            (stream,) = json.load(answer)["data"]["result"]
        ((_, line, rest),) = stream["values"]
        return stream["stream"], json.loads(line), rest["structuredMetadata"]

    def span(self, trace_id):
        with urllib.request.urlopen(f"{self.tempo}{TRACES_PATH}/{trace_id}", timeout=10) as answer:
            (batch,) = json.load(answer)["batches"]
        (scoped,) = batch["scopeSpans"]
        (span,) = scoped["spans"]
        attributes = {one["key"]: one["value"]["stringValue"] for one in span["attributes"]}
        return (
            span["name"],
            1 if span["kind"] == "SPAN_KIND_INTERNAL" else span["kind"],
            scoped["scope"]["name"],
            attributes,
        )

    def signal(self, number):
        for process in self.processes:
            process.send_signal(number)

    def close(self):
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.wait(30)
        self._reservation.close()


def binary(server):
    """The path of a server that is here already; None if there is none."""
    from gwz_stack import archive, gobuild  # noqa: PLC0415
    from gwz_stack.cache import Cache  # noqa: PLC0415
    from gwz_stack.versions import pin  # noqa: PLC0415

    if chosen := os.environ.get(f"GWZ_{server.upper()}_BIN"):
        return Path(chosen)
    if found := shutil.which(server):
        return Path(found)
    wanted, cache = pin(server), Cache.from_environment()
    return (wanted.archive and archive.cached(wanted.archive, cache)) or (
        wanted.go and gobuild.cached(server, wanted.go, cache)
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    pytest.importorskip("gwz_stack", reason="the stack, which configures the real servers, is not installed here")
    binaries = {server: binary(server) for server in ("loki", "tempo")}
    if None in binaries.values():
        pytest.skip("no Loki or no Tempo here: `python -m gwz_stack find loki` and `… find tempo` fetch them")
    servers = RealServers(binaries, tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


@pytest.fixture(params=["fake", "real"])
def servers(request):
    return request.getfixturevalue("site" if request.param == "fake" else "real")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of localhost."""
    openssl = shutil.which("openssl") or pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def secure_site(certificate):
    made = Site(certificate)
    yield made
    made.close()


@pytest.fixture
def app():
    return f"app-{uuid.uuid4().hex}"


@pytest.fixture
def nobody():
    """An address that refuses connections, as nobody else gets it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def unreachable(nobody, secure_site):
    """Addresses by why there is no connection."""
    return {"refused": nobody, "dns": "http://no.such.host.invalid", "tls": secure_site.loki}


@pytest.fixture
def look_at(app):
    """Makes `FarEnds` of settings, with a handler and traces as `instrument()` would make them."""
    made = []

    def look_at(*, deadline_s=5.0, **given):
        settings = Settings(environ={}, service_name=app, environment="test", loki_token=TOKEN, **given)
        handler = traces = None
        if settings.loki_url:
            url = settings.loki_url + PUSH_PATH
            handler = LokiHandler(url, settings.stream_labels, token=TOKEN)
            made.append(lambda: handler.drain(0))
        if settings.traces_url:
            provider = TracerProvider(
                sampler=ALWAYS_OFF, resource=Resource.create({"service.name": app}), shutdown_on_exit=False
            )
            outlet = Outlet(provider, settings.protocol, settings.traces_url, lambda *_: None)
            provider.add_span_processor(outlet)
            traces = Traces(provider, provider.get_tracer("gwz_instrument"), outlet)
            outlet.join(traces, lambda *_: None)
            made.append(lambda: traces.shutdown(0.1))
        return FarEnds(settings, handler, traces, deadline_s=deadline_s)

    yield look_at
    for close in made:
        close()


def both(servers, **more):
    return {"loki_url": servers.loki, "otlp_endpoint": servers.otlp_http, "tempo_url": servers.tempo, **more}


def hops(body):
    return [(hop.hop, hop.ok or hop.reason) for hop in body.hops]


# What works.


def test_the_status_tells_that_lines_are_taken_and_given_back_and_writes_none(servers, look_at):
    """The same empty push is refused by the real Loki in the words that the fake has."""
    far = look_at(**both(servers))
    body = far.loki(with_urls=True)
    assert (body.status, hops(body), body.newest) == ("ok", [("push", True), ("query", True)], None)
    assert (body.push_url, body.query_url) == (servers.loki + PUSH_PATH, servers.loki)
    assert far.loki(with_urls=True).newest is None


def test_the_status_tells_that_spans_are_taken_and_writes_none(servers, look_at):
    body = look_at(**both(servers)).tempo(with_urls=True)
    assert (body.status, hops(body), body.newest) == ("ok", [("export", True), ("query", True)], None)
    assert (body.push_url, body.query_url) == (f"{servers.otlp_http}{OTLP_PATH}", servers.tempo)
    assert all(hop.took_ms > 0 for hop in body.hops)


@pytest.mark.parametrize("level", logs.LEVELS)
def test_a_test_line_is_found_and_is_one_of_the_contract(servers, look_at, app, level, monkeypatch):
    monkeypatch.setattr("gwz_instrument.monitoring.far_end.metadata", lambda: IDS)
    far = look_at(**both(servers))
    body = far.test_log("hello, password: hunter2", level)
    assert (body.status, hops(body)) == ("ok", [("send", True), ("push", True), ("find", True)])
    assert (body.trace_id, body.span_id) == (IDS["trace_id"], IDS["span_id"])
    assert body.duration_ms >= max(hop.took_ms for hop in body.hops)
    labels, line, metadata = servers.line(app)
    assert (labels["level"], line["level"], line["message"]) == (level, level, body.message)
    assert body.message.endswith(": hello, password: [redacted]")
    assert line["logger"] == "gwz_instrument.test"
    assert metadata.items() >= IDS.items()
    assert not list(judge_lines([EmittedLine(labels, metadata, line)], (), ()))
    assert abs(far.loki(with_urls=False).newest.timestamp() - time.time()) < 10


@pytest.mark.parametrize("message", ["password:", "x" * 300_000, '"quoted" \\ \n{app="x"} |= `y`', "token=\x00", ""])
def test_a_test_line_is_found_whatever_it_says(servers, look_at, message):
    assert look_at(**both(servers)).test_log(message, "info").status == "ok"


def test_a_test_span_is_found_by_its_id_though_the_sampler_drops_all(servers, look_at):
    body = look_at(**both(servers)).test_trace("hello")
    assert (body.status, hops(body)) == ("ok", [("send", True), ("export", True), ("find", True)])
    name, kind, scope, attributes = servers.span(body.trace_id)
    assert (name, kind, attributes) == ("gwz test", 1, {"message": "hello"})
    assert not list(judge_spans([EmittedSpan(name, "internal", scope, attributes)], ()))


def test_a_test_span_goes_by_grpc_too(real, look_at):
    far = look_at(otlp_endpoint=real.otlp_grpc, otlp_protocol="grpc", tempo_url=real.tempo)
    assert hops(far.tempo(with_urls=False)) == [("export", True), ("query", True)]
    assert hops(far.test_trace("hello")) == [("send", True), ("export", True), ("find", True)]


def test_the_newest_trace_is_told_once_it_can_be_searched(servers, look_at):
    far = look_at(**both(servers))
    assert far.test_trace("hello").status == "ok"
    until = time.monotonic() + 30
    while (newest := far.tempo(with_urls=False).newest) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert abs(newest.timestamp() - time.time()) < 40


def test_the_token_is_what_the_handler_sends_and_a_user_in_the_query_url_is_used_there(site, look_at):
    query_url = site.loki.replace("//", "//reader:pw@")
    assert (
        look_at(loki_url=site.loki.replace("//", "//u:p@"), loki_query_url=query_url).loki(with_urls=False).status
        == "ok"
    )
    assert [headers["authorization"] for _, headers in site.asked] == [f"Bearer {TOKEN}", "Basic cmVhZGVyOnB3"]


def test_the_receiver_is_sent_the_headers_of_opentelemetrys_variables(site, look_at, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc,x-scope=one")
    look_at(**both(site)).tempo(with_urls=False)
    headers = site.asked[0][1]
    assert (headers["authorization"], headers["x-scope"]) == ("Basic abc", "one")


def test_tls_is_trusted_where_the_variables_name_the_authority(secure_site, certificate, look_at, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert look_at(**both(secure_site)).health(with_urls=False).status == "ok"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate[0]))
    body = look_at(**both(secure_site)).health(with_urls=False)
    assert (hops(body.loki)[0], hops(body.tempo)[0]) == (("push", "tls"), ("export", True))


def test_a_signal_that_is_off_is_disabled(site, look_at):
    far = look_at()
    body = far.health(with_urls=True)
    assert (body.status, body.loki.status, body.tempo.status) == ("disabled", "disabled", "disabled")
    assert (body.loki.hops, body.loki.push_url) == ([], None)
    assert far.test_log("x", "info").status == far.test_trace("x").status == "disabled"
    assert look_at(loki_url=site.loki).health(with_urls=False).status == "ok"


# What is broken.

BREAKS = {
    "401": (401, "401"),
    "403": (403, "403"),
    "404": (404, "404"),
    "500": (500, "500"),
    "a login page": ((200, b"<html>Log in</html>"), None),
    "a redirection": ((302, b""), "302"),
    "hangs": (HANGS, "timeout"),
}
VARIABLES = {
    PUSH_PATH: ("GWZ_LOKI_TOKEN", "GWZ_LOKI_URL"),
    QUERY_PATH: ("GWZ_LOKI_TOKEN", "GWZ_LOKI_QUERY_URL"),
    OTLP_PATH: ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    SEARCH_PATH: ("GWZ_TEMPO_URL", "GWZ_TEMPO_URL"),
}
HOPS = {PUSH_PATH: "push", QUERY_PATH: "query", OTLP_PATH: "export", SEARCH_PATH: "query"}


@pytest.mark.parametrize("way", BREAKS)
@pytest.mark.parametrize("path", HOPS)
def test_the_status_names_the_hop_that_fails_and_what_to_set(site, look_at, path, way):
    """The other hop is tried all the same."""
    site.broken[path], reason = BREAKS[way]
    far = look_at(**both(site), loki_query_url=site.loki, deadline_s=0.5)
    body = far.loki(with_urls=False) if "loki" in path else far.tempo(with_urls=False)
    reason = reason or ("200" if path == PUSH_PATH else "unreadable")
    assert (body.status, body.failed_hop, body.reason) == ("failed", HOPS[path], reason)
    ((failed,), (fine,)) = [[hop for hop in body.hops if hop.ok is ok] for ok in (False, True)]
    assert (failed.hop, failed.reason, fine.reason, fine.cure) == (HOPS[path], reason, None, None)
    assert VARIABLES[path][reason not in {"401", "403"}] in failed.cure


@pytest.mark.parametrize("status", [400, 422])
def test_not_every_refusal_of_an_empty_push_is_lokis(site, look_at, status):
    site.broken[PUSH_PATH] = (status, b"bad request")
    assert hops(look_at(loki_url=site.loki).loki(with_urls=False)) == [("push", str(status)), ("query", True)]


@pytest.mark.parametrize("name", ["loki_url", "loki_query_url", "otlp_endpoint", "tempo_url"])
@pytest.mark.parametrize("reason", ["refused", "dns", "tls"])
def test_the_status_tells_why_there_is_no_connection(site, unreachable, look_at, name, reason):
    far = look_at(**{**both(site), "loki_query_url": site.loki, name: unreachable[reason]})
    body = far.loki(with_urls=False) if "loki" in name else far.tempo(with_urls=False)
    hop = {"loki_url": "push", "otlp_endpoint": "export"}.get(name, "query")
    assert (body.failed_hop, body.reason) == (hop, reason)
    variable = {"otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT"}.get(name, f"GWZ_{name.upper()}")
    assert variable in next(hop for hop in body.hops if not hop.ok).cure


def test_http_where_tls_is_spoken_breaks(secure_site, look_at):
    plain = secure_site.loki.replace("https", "http")
    body = look_at(loki_url=plain, otlp_endpoint=plain).health(with_urls=False)
    assert (body.loki.reason, body.tempo.reason) == ("broken", "broken")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (QUERY_PATH, b""),
        (QUERY_PATH, b"[]"),
        (QUERY_PATH, b'{"data": 1}'),
        (QUERY_PATH, b'{"data": {"result": [{}]}}'),
        (SEARCH_PATH, b""),
        (SEARCH_PATH, b"[]"),
        (SEARCH_PATH, b'{"traces": [1]}'),
        (SEARCH_PATH, b'{"traces": [{}]}'),
        (OTLP_PATH, b"OK"),
    ],
)
def test_an_answer_of_something_else_is_unreadable(site, look_at, path, answer):
    site.broken[path] = (200, answer)
    body = look_at(**both(site)).health(with_urls=False)
    assert (body.loki if path == QUERY_PATH else body.tempo).reason == "unreadable"


@pytest.mark.parametrize(
    ("way", "reason"), [(401, "401"), (404, "404"), (500, "500"), (HANGS, "timeout"), ("refused", "refused")]
)
def test_a_test_line_that_is_not_pushed_says_why(site, nobody, look_at, way, reason):
    site.broken[PUSH_PATH] = way
    far = look_at(loki_url=nobody if way == "refused" else site.loki, loki_query_url=site.loki, deadline_s=1.0)
    body = far.test_log("x", "info")
    assert hops(body) == [("send", True), ("push", reason), ("find", None)]
    assert (body.status, body.failed_hop, body.reason, body.duration_ms) == ("failed", "push", reason, None)
    assert body.hops[2].took_ms is None


@pytest.mark.parametrize(
    ("way", "reason"), [(401, "401"), (404, "404"), (500, "500"), (HANGS, "timeout"), ((200, b"{}"), "unreadable")]
)
def test_a_test_line_that_cannot_be_asked_for_says_why(site, look_at, way, reason):
    site.broken[QUERY_PATH] = way
    body = look_at(loki_url=site.loki, deadline_s=1.0).test_log("x", "info")
    assert hops(body) == [("send", True), ("push", True), ("find", reason)]


def test_a_line_that_is_accepted_and_not_given_back_is_not_found(site, look_at):
    site.broken[QUERY_PATH] = (200, b'{"data": {"result": []}}')
    body = look_at(loki_url=site.loki, deadline_s=0.8).test_log("x", "info")
    assert hops(body) == [("send", True), ("push", True), ("find", "not_found")]
    assert "GWZ_LOKI_URL" in body.hops[2].cure
    assert [path for path, _ in site.asked].count(QUERY_PATH) > 3


def test_a_line_that_comes_late_is_waited_for(site, look_at):
    site.broken[QUERY_PATH] = (200, b'{"data": {"result": []}}')
    timer = threading.Timer(0.4, site.broken.clear)
    timer.start()
    body = look_at(loki_url=site.loki).test_log("x", "info")
    timer.join()
    assert body.status == "ok"
    assert body.duration_ms >= 400


def test_a_line_that_loki_refuses_is_lost_and_not_merely_missing(site, look_at, capsys):
    """The line before it, which is there, is not taken for it."""
    far, push = look_at(loki_url=site.loki, deadline_s=0.8), site.push
    assert far.test_log("x", "info").status == "ok"
    site.push = lambda streams: (400, b"entry has timestamp too old") if streams else push(streams)
    body = far.test_log("x", "info")
    assert hops(body) == [("send", True), ("push", True), ("find", "lost")]
    assert 'gwz_telemetry_dropped_total{signal="logs"}' in body.hops[2].cure
    assert "refused 1 lines" in capsys.readouterr().err


def test_a_loki_that_takes_its_time_has_lost_nothing(site, look_at):
    push, site.broken[QUERY_PATH] = site.push, (200, b'{"data": {"result": []}}')
    site.push = lambda streams: (streams and time.sleep(0.2)) or push(streams)
    body = look_at(loki_url=site.loki, deadline_s=1.0).test_log("x", "info")
    assert hops(body) == [("send", True), ("push", True), ("find", "not_found")]


def test_a_line_that_waits_behind_others_is_a_timeout(site, look_at):
    """Loki lets us in, so that it is not the address that is wrong."""
    push = site.push
    site.push = lambda streams: (streams and not site.released.wait(20)) or push(streams)
    body = look_at(loki_url=site.loki, deadline_s=0.8).test_log("x", "info")
    assert hops(body) == [("send", True), ("push", "timeout"), ("find", None)]
    assert "wait to be sent" in body.hops[1].cure


@pytest.mark.parametrize("way", [401, 404, 500, HANGS, "refused"])
def test_a_test_span_that_is_not_exported_says_why(site, nobody, look_at, way):
    site.broken[OTLP_PATH] = way
    endpoint = nobody if way == "refused" else site.loki
    body = look_at(otlp_endpoint=endpoint, tempo_url=site.tempo, deadline_s=1.0).test_trace("x")
    assert hops(body) == [("send", True), ("export", {HANGS: "timeout"}.get(way, str(way))), ("find", None)]


@pytest.mark.parametrize(
    ("path", "way", "reason"),
    [
        (TRACES_PATH, 401, "401"),
        (TRACES_PATH, 500, "500"),
        (TRACES_PATH, HANGS, "timeout"),
        (TRACES_PATH, 404, "not_found"),
        (TRACES_PATH, (200, b"<html>"), "not_found"),
        ("/api", 404, "404"),
    ],
)
def test_a_test_span_that_cannot_be_asked_for_says_why(site, look_at, path, way, reason):
    """Tempo's 404 for a trace that it does not have is told from that of somebody else."""
    site.broken[path] = way
    body = look_at(**both(site), deadline_s=0.8).test_trace("x")
    assert hops(body) == [("send", True), ("export", True), ("find", reason)]
    assert "GWZ_TEMPO_URL" in body.hops[2].cure


def test_without_an_address_to_ask_the_last_hop_names_the_setting(site, look_at):
    far = look_at(otlp_endpoint=site.loki)
    status, proof = far.tempo(with_urls=True), far.test_trace("x")
    assert hops(status) == [("export", True), ("query", "not_configured")]
    assert hops(proof) == [("send", True), ("export", True), ("find", "not_configured")]
    assert "GWZ_TEMPO_URL" in status.hops[1].cure
    assert status.query_url is None


def test_a_provider_that_takes_no_exporter_sends_nothing(site, app):
    settings = Settings(environ={}, service_name=app, **both(site))
    provider = TracerProvider(shutdown_on_exit=False)
    body = FarEnds(settings, None, Traces(provider, provider.get_tracer("x"), None)).test_trace("x")
    assert hops(body) == [("send", "no_exporter"), ("export", None), ("find", None)]


@pytest.mark.parametrize("protocol", ["grpc"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (grpc.StatusCode.UNIMPLEMENTED, "unimplemented"),
        (grpc.StatusCode.INTERNAL, "internal"),
        (None, True),
    ],
)
def test_grpc_says_what_it_answers(receiver, look_at, protocol, code, reason):
    receiver.answers = [code]
    body = look_at(otlp_endpoint=receiver.url, otlp_protocol=protocol).tempo(with_urls=False)
    assert hops(body)[0] == ("export", reason)


def test_grpc_says_why_there_is_no_connection(site, secure_site, nobody, look_at):
    site.broken["/opentelemetry"] = site.broken["*"] = HANGS
    for url, reason in ((nobody, "refused"), (secure_site.loki, "tls"), (site.loki, "unavailable")):
        body = look_at(otlp_endpoint=url, otlp_protocol="grpc", deadline_s=2.0).tempo(with_urls=False)
        assert hops(body)[0] == ("export", reason), url
        assert "OTEL_EXPORTER_OTLP" in body.hops[0].cure


def test_grpc_goes_over_tls_to_the_authority_of_opentelemetrys_variable(certificate, look_at, monkeypatch):
    class Taker(TraceServiceServicer):
        def Export(self, _request, _context):  # noqa: N802  # the name of the service's method
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Taker(), server)
    pair = tuple(path.read_bytes() for path in reversed(certificate))
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate[0]))
    body = look_at(otlp_endpoint=f"https://localhost:{port}", otlp_protocol="grpc").tempo(with_urls=False)
    server.stop(None).wait()
    assert hops(body)[0] == ("export", True)


# What holds of all of them.


def test_no_token_and_no_address_is_told_to_who_may_not_see_them(site, look_at, nobody):
    site.broken = {QUERY_PATH: 401, SEARCH_PATH: (500, TOKEN.encode())}
    far = look_at(
        loki_url=site.loki.replace("//", "//user:hunter2@"),
        otlp_endpoint=nobody.replace("//", "//user:hunter2@"),
        tempo_url=site.loki.replace("//", "//user:hunter2@"),
        deadline_s=1.0,
    )
    told = "\n".join(
        body.model_dump_json() for body in (far.health(with_urls=False), far.test_log("x", "info"), far.test_trace("x"))
    )
    shown = far.health(with_urls=True)
    assert not [
        word for word in ("http://", "localhost", "127.0.0.1", str(site.port), TOKEN, "hunter2") if word in told
    ]
    assert (shown.loki.push_url, shown.loki.query_url) == (site.loki + PUSH_PATH, site.loki)
    assert (shown.tempo.push_url, shown.tempo.query_url) == (nobody + OTLP_PATH, site.tempo)
    assert "hunter2" not in shown.model_dump_json()
    assert TOKEN not in shown.model_dump_json()


def test_everything_is_over_at_the_deadline(site, look_at):
    site.broken["/"] = HANGS
    far = look_at(**both(site), deadline_s=0.6)
    for ask in (lambda: far.health(with_urls=False), lambda: far.test_log("x", "info"), lambda: far.test_trace("x")):
        began = time.monotonic()
        assert ask().status == "failed"
        assert time.monotonic() - began < 0.9


def test_a_host_name_that_is_looked_up_for_ever_is_a_timeout(look_at, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: held.wait(10) and [])
    far = look_at(loki_url="http://loki.example", otlp_endpoint="http://tempo.example", deadline_s=0.6)
    began = time.monotonic()
    body = far.health(with_urls=False)
    took = time.monotonic() - began
    held.set()
    assert hops(body.loki) == [("push", "timeout"), ("query", "timeout")]
    assert hops(body.tempo)[0] == ("export", "timeout")
    assert took < 0.9


def test_a_fault_of_ours_is_a_hop_that_failed(site, look_at, monkeypatch):
    monkeypatch.setattr("gwz_instrument.monitoring.logql.selector", lambda _labels: 1 / 0)
    body = look_at(**both(site)).loki(with_urls=False)
    assert hops(body) == [("push", True), ("query", "fault")]
    assert "ZeroDivisionError" in body.hops[1].cure


# The real ones, broken; the last has them killed.


def test_real_servers_that_hang_are_timeouts(real, look_at):
    far = look_at(**both(real), deadline_s=0.6)
    real.signal(signal.SIGSTOP)
    try:
        body = far.health(with_urls=False)
    finally:
        real.signal(signal.SIGCONT)
    assert hops(body.loki) == [("push", "timeout"), ("query", "timeout")]
    assert hops(body.tempo) == [("export", "timeout"), ("query", "timeout")]


def test_a_wrong_path_at_the_real_servers_is_told(real, look_at):
    wrong = {
        "loki_url": f"{real.loki}/wrong",
        "otlp_endpoint": f"{real.otlp_http}/wrong",
        "tempo_url": f"{real.tempo}/wrong",
    }
    body = look_at(**wrong).health(with_urls=False)
    assert hops(body.loki) == [("push", "404"), ("query", "404")]
    assert hops(body.tempo) == [("export", "404"), ("query", "404")]


def test_a_trace_that_the_real_tempo_never_got_is_not_found(real, site, look_at):
    body = look_at(otlp_endpoint=site.loki, tempo_url=real.tempo, deadline_s=1.0).test_trace("x")
    assert hops(body) == [("send", True), ("export", True), ("find", "not_found")]


def test_a_line_that_the_real_loki_never_got_is_not_found(real, site, look_at):
    body = look_at(loki_url=site.loki, loki_query_url=real.loki, deadline_s=1.0).test_log("x", "info")
    assert hops(body) == [("send", True), ("push", True), ("find", "not_found")]


def test_real_servers_that_were_killed_refuse(real, look_at):
    far = look_at(**both(real), deadline_s=2.0)
    real.signal(signal.SIGKILL)
    for process in real.processes:
        process.wait(30)
    body = far.health(with_urls=False)
    assert (body.loki.failed_hop, body.loki.reason) == ("push", "refused")
    assert (body.tempo.failed_hop, body.tempo.reason) == ("export", "refused")
    assert hops(far.test_log("x", "info")) == [("send", True), ("push", "refused"), ("find", None)]
    assert hops(far.test_trace("x")) == [("send", True), ("export", "refused"), ("find", None)]
