"""`gwz-instrument check`, against an instrumented application on a socket, and against servers that mean no good."""

import contextlib
import gzip
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prometheus_client
import pytest
import uvicorn
from fastapi import FastAPI

from gwz_instrument import check, cli, instrument, semconv
from gwz_instrument.check import UnreachableError

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/check.md"
CLEAN = """\
# TYPE fastapi_requests_total counter
fastapi_requests_total{app_name="a",method="GET",path="/x",status_code="200"} 1
# TYPE shop_sold_total counter
shop_sold_total{what="tea"} 4
"""
FAULTY = """\
# TYPE fastapi_requets_total counter
fastapi_requets_total 1
# TYPE fastapi_requests_total gauge
fastapi_requests_total{app_name="a",method="GET",path="/x",status_code="200"} 1
# TYPE tokens_used_total counter
tokens_used_total{model="m",user="ada"} 1
# TYPE fastapi_requests_duration_seconds histogram
fastapi_requests_duration_seconds_bucket{app_name="a",method="GET",path="/x",le="1"} 1
fastapi_requests_duration_seconds_bucket{app_name="a",method="GET",path="/x",le="+Inf"} 1
fastapi_requests_duration_seconds_count{app_name="a",method="GET",path="/x"} 1
fastapi_requests_duration_seconds_sum{app_name="a",method="GET",path="/x"} 1
# TYPE gwz_telemetry_items_total counter
gwz_telemetry_items_total{signal="smoke",outcome="delivered"} 1
"""


@contextlib.contextmanager
def serving(answer):
    """A server whose GET is `answer(handler)`; its address."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, dict(self.headers)))
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request, client_address):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def send(handler, body, *, status=200, **headers):
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def run(capsys, *arguments):
    code = cli.main(["check", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def live():
    """An instrumented application behind uvicorn; its address."""
    app = FastAPI()

    @app.get("/x")
    async def x():
        return {}

    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("shop_sold", "The application's own.", registry=registry).inc()
    instrument(app, registry=registry, metrics_token="s3cret-of-the-scraper")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", registry
    server.should_exit = True
    thread.join(10)
    listener.close()


def test_an_instrumented_application_is_clean(live, capsys, monkeypatch):
    """By its bare address, with the token of the environment, compressed and as OpenMetrics."""
    monkeypatch.setenv("GWZ_METRICS_TOKEN", "s3cret-of-the-scraper")
    code, out, err = run(capsys, live[0])
    assert (code, err) == (0, "")
    assert out.startswith(f"{live[0]}/metrics: no findings, ")
    assert "not seen, a finding only with --full: " in out
    assert "tokens_used_total" in out


def test_what_a_live_application_has_not_emitted_is_a_finding_with_full_only(live, capsys):
    code, out, _ = run(capsys, live[0], "--full", "--token", "s3cret-of-the-scraper")
    assert code == 8
    assert "mute: tokens_used_total is declared and /metrics has no sample of it" in out
    assert "not seen" not in out


def test_a_stranger_in_a_live_application_is_found(live, capsys):
    prometheus_client.Gauge("gatewayz_provider_health_scor", "A slip.", registry=live[1]).set(1)
    code, out, _ = run(capsys, live[0], "--token", "s3cret-of-the-scraper")
    assert code == 8
    assert out.splitlines()[1].startswith("stranger: the metric gatewayz_provider_health_scor is emitted")
    assert "the nearest declared name is gatewayz_provider_health_score" in out


def test_a_wrong_token_is_unreachable_and_names_the_cure(live, capsys):
    code, out, err = run(capsys, live[0], "--token", "wr0ng")
    assert (code, out) == (6, "")
    assert "/metrics answered 401 Unauthorized" in err
    assert "GWZ_METRICS_TOKEN in the environment, or --token" in err
    assert "wr0ng" not in err


def test_every_kind_of_fault_is_listed_with_the_declared_name(tmp_path, capsys):
    file = tmp_path / "metrics.txt"
    file.write_text(FAULTY)
    code, out, err = run(capsys, str(file), "--json")
    assert (code, err) == (8, "")
    document = json.loads(out)
    assert document["clean"] is False
    assert [(one["fault"], one["name"], one["nearest"]) for one in document["findings"]] == [
        ("stranger", "fastapi_requets", "fastapi_requests_total"),
        ("wrong buckets", "fastapi_requests_duration_seconds", None),
        ("wrong labels", "tokens_used_total", None),
        ("wrong type", "fastapi_requests_total", None),
        ("wrong value", "gwz_telemetry_items_total", None),
    ]
    assert "active_api_keys" in document["not_seen"]
    assert "tokens_used_total" not in document["not_seen"]
    assert document["source"] == str(file)


def test_a_clean_file_says_how_much_was_seen(tmp_path, capsys):
    file = tmp_path / "metrics.txt"
    file.write_text(CLEAN)
    code, out, _ = run(capsys, str(file))
    assert code == 0
    assert out.startswith(f"{file}: no findings, 1 of {len(semconv.METRICS)} declared metrics seen\n")


def test_stdin_is_read_as_a_pipe():
    done = subprocess.run(
        [sys.executable, "-m", "gwz_instrument.cli", "check", "-"],
        input=FAULTY.encode(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 8
    assert done.stdout.startswith(b"stdin: 5 findings, ")
    assert done.stderr == b""


def test_openmetrics_is_read_too(capsys, monkeypatch):
    text = '# TYPE fastapi_requests counter\nfastapi_requests_total{app_name="a",method="GET",path="/x",status_code="200"} 1 # {trace_id="1"} 1\n# EOF\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(capsys, "-")[0] == 0


def test_the_token_goes_out_and_gzip_comes_back(capsys):
    def answer(handler):
        send(handler, gzip.compress(CLEAN.encode()), Content_Encoding="gzip")

    with serving(answer) as (url, seen):
        assert run(capsys, f"{url}/internal/metrics?key=1", "--token", "t0ken")[0] == 0
    path, headers = seen[0]
    assert path == "/internal/metrics?key=1"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h: send(h, b"<!doctype html><p>hi</p>"), "this is no exposition"),
        (lambda h: send(h, b"hello\n"), "this is no exposition"),
        (lambda h: send(h, b""), "has no sample at all"),
        (lambda h: send(h, b"\xff\xfe\x00"), "it is not UTF-8"),
        (lambda h: send(h, CLEAN.encode(), Content_Encoding="br"), "encoded as 'br'"),
        (lambda h: send(h, CLEAN.encode(), Content_Encoding="gzip"), "cannot be read"),
        (lambda h: send(h, gzip.compress(CLEAN.encode())[:-20], Content_Encoding="gzip"), "its gzip ends in the middle"),
        (lambda h: send(h, CLEAN.encode(), Content_Length="9999"), "bytes of it are missing"),
        (lambda h: send(h, b"no\n", status=404), "answered 404"),
        (lambda h: send(h, b"no\n", status=503), "Look at the application's log"),
        (lambda h: send(h, b"", status=204), "has status 204"),
        (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH_9\r\n"), "cannot be read"),
        (lambda h: send(h, b"", status=302, Location="http://localhost:9/metrics"), "redirects to http://localhost:9/metrics, another server"),
        (lambda h: send(h, b"", status=302, Location="file:///etc/passwd"), "Redirection to url 'file:///etc/passwd' is not allowed"),
        (lambda h: send(h, b"", status=302, Location="/metrics"), "answered 302"),
    ],
)  # fmt: skip
def test_what_is_no_exposition_is_six_and_says_what_it_is(answer, words, capsys):
    with serving(answer) as (url, _):
        code, out, err = run(capsys, url, "--token", "t0ken")
    assert (code, out) == (6, "")
    assert words in err
    assert "t0ken" not in err
    assert err.count("\n") == 1


def test_a_redirect_on_the_same_server_is_followed(capsys):
    def answer(handler):
        if handler.path == "/metrics":
            send(handler, b"", status=307, Location="/metrics/")
        else:
            send(handler, CLEAN.encode())

    with serving(answer) as (url, seen):
        assert run(capsys, url, "--token", "t0ken")[0] == 0
    assert [path for path, _ in seen] == ["/metrics", "/metrics/"]
    assert seen[1][1]["Authorization"] == "Bearer t0ken"


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"#")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [lambda _: time.sleep(3), drip])
def test_a_server_that_hangs_is_given_up_at_the_deadline(answer, capsys, monkeypatch):
    """Also one that sends a byte now and then, at which a socket's timeout begins anew."""
    monkeypatch.setattr(check, "DEADLINE_S", 0.5)
    with serving(answer) as (url, _):
        began = time.monotonic()
        code, _, err = run(capsys, url)
        assert time.monotonic() - began < 2
    assert code == 6
    assert "has not answered in full within 0.5 s" in err


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"# more\n" * 10_000)


def bomb(handler):
    send(handler, gzip.compress(b"# more\n" * 400_000), Content_Encoding="gzip")


@pytest.mark.parametrize("answer", [endless, bomb])
def test_an_answer_without_end_is_given_up(answer, capsys, monkeypatch):
    """Counted after decompression."""
    monkeypatch.setattr(check, "MAX_BYTES", 1024 * 1024)
    with serving(answer) as (url, _):
        code, _, err = run(capsys, url)
    assert code == 6
    assert "longer than 1 MiB" in err


def test_nobody_there_is_six(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        code, out, err = run(capsys, f"http://127.0.0.1:{taken.getsockname()[1]}/metrics?key=s3cret")
    assert (code, out) == (6, "")
    assert "ConnectionRefusedError" in err
    assert "Start the application, or correct the address" in err
    assert "s3cret" not in err


def test_a_file_that_is_not_there_is_six_and_tells_how_an_address_is_written(capsys):
    code, _, err = run(capsys, "localhost:8000")
    assert code == 6
    assert "localhost:8000 cannot be read (No such file or directory)" in err
    assert "an address begins with http:// or https://" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ftp://host/metrics",), "'ftp://host/metrics' is no address of a /metrics"),
        (("http://",), "is no address"),
        (("http://host:99999/",), "is no address"),
        (("http://ho st/",), "is no address"),
        (("http://ada:hunter2@host/",), "has a user or a password in it"),
        (("http://host/", "--token", "a\nb"), "the token of --token has characters that no header can carry"),
    ],
)
def test_wrong_arguments_are_two(arguments, words, capsys):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "hunter2" not in err


def test_nothing_that_an_exposition_says_steers_the_terminal(capsys, monkeypatch):
    head = "# TYPE gwz_telemetry_items_total counter\n"
    text = head + 'gwz_telemetry_items_total{signal="\x1b[2J",outcome="\u202e"} 1\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, out, _ = run(capsys, "-")
    assert code == 8
    assert "\\x1b[2J" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_the_snippet_of_the_guide_runs(tmp_path, monkeypatch):
    """`check` from Python."""
    snippet = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    Path("metrics.txt").write_text(CLEAN)
    exec(snippet, {})  # noqa: S102  # the guide's
    Path("metrics.txt").write_text(FAULTY)
    with pytest.raises(AssertionError, match="5 findings"):
        exec(snippet, {})  # noqa: S102  # as above


def test_from_python_what_cannot_be_read_raises(tmp_path):
    with pytest.raises(UnreachableError, match="cannot be read"):
        check.check(str(tmp_path))
