"""`gwz-instrument endpoints`, against an application whose endpoints are the real ones, and against servers that lie."""

import contextlib
import copy
import json
import re
import socket
import subprocess
import sys
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import prometheus_client
import pytest
import uvicorn
from fastapi import FastAPI

from gwz_instrument import cli, inference, instrument
from gwz_instrument.endpoints_check import asking, cases, examine
from gwz_instrument.endpoints_check.asking import Answer, Asking
from gwz_instrument.endpoints_check.cases import Access, Call, NotTried, Seen
from gwz_instrument.endpoints_check.judge import judge
from gwz_instrument.semconv import endpoints

READER, ADMIN = "s3cret-of-the-reader", "s3cret-of-the-administrator"
TRENDING, REALTIME = "/v1/models/trending", "/api/monitoring/stats/realtime"
HEALTH, TOKENS = "/api/monitoring/health", "/api/tokens/efficiency"
AVAILABILITY, COSTS = "/api/monitoring/providers/availability", "/api/monitoring/cost-analysis"
RATES, ANOMALIES = "/api/monitoring/error-rates", "/api/monitoring/anomalies"
BREAKERS, ERRORS = "/api/monitoring/circuit-breakers", "/api/monitoring/errors/openai"
TRENDS, LATENCY = "/api/monitoring/latency-trends/openai", "/api/monitoring/latency/openai/gpt"
HOURLY = "/api/monitoring/stats/hourly/openai"


@contextlib.contextmanager
def running(*, traffic=True, **settings):
    """An instrumented application behind uvicorn; its address."""
    app = FastAPI()

    @app.get("/call")
    def call(provider: str, model: str, cost: float = 0.0, fails: bool = False):  # noqa: FBT001, FBT002
        with contextlib.suppress(TimeoutError), inference(provider, model) as one:
            if fails:
                raise TimeoutError
            one.usage(input_tokens=10, output_tokens=5, cost_usd=cost)

    names = {"providers": ("openai", "groq", "free"), "models": ("gpt", "meta/llama", "tiny")}
    given = {"monitoring": "local", "api_token": READER, "admin_token": ADMIN, **names, **settings}
    given = {name: value for name, value in given.items() if value is not None}
    telemetry = instrument(app, registry=prometheus_client.CollectorRegistry(), **given)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for query in (
        "provider=openai&model=gpt&cost=0.25", "provider=openai&model=gpt&cost=0.125", "provider=openai&model=gpt&cost=0.1",
        "provider=openai&model=gpt&fails=1", "provider=openai&model=gpt&fails=1", "provider=groq&model=meta/llama&cost=0.5",
        "provider=groq&model=meta/llama&fails=1", "provider=free&model=tiny",
    ) if traffic else ():  # fmt: skip
        urlopen(f"{url}/call?{query}").close()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        telemetry.shutdown(0.1)


@pytest.fixture(scope="module")
def live():
    with running() as url:
        yield url


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """A test server of its own needs no pause; the environment gives no token."""
    monkeypatch.setattr(asking, "_APART_S", 0.001)
    for name in ("GWZ_API_TOKEN", "GWZ_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def run(capsys, *arguments):
    code = cli.main(["endpoints", *arguments])
    shown = capsys.readouterr()
    assert READER not in shown.out + shown.err
    assert ADMIN not in shown.out + shown.err
    return code, shown.out, shown.err


# The real endpoints.


def test_the_real_endpoints_are_clean(live, capsys, monkeypatch):
    """With the token of the environment; a line for each call, and all fourteen endpoints are called."""
    monkeypatch.setenv("GWZ_API_TOKEN", READER)
    code, out, err = run(capsys, live)
    assert (code, err) == (0, ""), "\n".join(line for line in out.splitlines() if not line.startswith("ok"))
    *lines, summary = out.splitlines()
    assert re.fullmatch(rf"{live}: (\d+) calls, no findings, no calls not tried", summary)[1] == str(len(lines))
    assert all(line.startswith("ok   ") and re.search(r"  \d+ ms$", line) for line in lines)
    assert re.search(r"^ok   GET /api/monitoring/health  \d+ ms$", out, re.MULTILINE)
    for path in (
        HEALTH, f"{HEALTH}/openai", f"{HEALTH}/groq", REALTIME, HOURLY, RATES, ANOMALIES, BREAKERS, AVAILABILITY, TRENDING, TRENDS,
        LATENCY, "/api/monitoring/latency/groq/meta/llama", ERRORS, COSTS, TOKENS, f"{TRENDING}?gateway=openai&limit=5",
    ):  # fmt: skip
        assert f"ok   GET {path}  " in out, path
    assert "ok   GET /api/monitoring/stats/realtime?hours=169: 422, as it should" in out
    assert "ok   POST /api/tokens/efficiency: 405, as it should" in out
    assert "ok   GET /api/monitoring/health with a wrong token: 401, as it should" in out


def test_the_report_for_programs(live, capsys):
    code, out, _ = run(capsys, f"{live}/", "--token", READER, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["base_url"], document["clean"], document["not_tried"]) == (live, True, [])
    first = document["calls"][0]
    assert first | {"ms": 0} == {
        "method": "GET", "path": HEALTH, "how": "", "status": 200, "ms": 0, "ok": True, "note": "", "findings": [],
    }  # fmt: skip
    assert {call["status"] for call in document["calls"]} == {200, 401, 404, 405, 422}


def test_without_traffic_it_says_what_was_not_tried(capsys):
    """That is no finding."""
    with running(traffic=False) as url:
        code, out, _ = run(capsys, url, "--token", READER)
    assert code == 0
    assert "--   GET /api/monitoring/health/{provider}: not tried: no provider has had traffic" in out
    assert "--   GET /api/monitoring/latency/{provider}/{model:path}: not tried: no model has had traffic" in out
    assert out.splitlines()[-1].endswith("no findings, 5 calls not tried")
    assert "ok   GET /api/monitoring/errors/gwz-instrument-nobody?limit=1001: 422" in out


def test_an_open_instance_needs_no_token(capsys):
    with running(api_token=None, environment="development") as url:
        code, out, _ = run(capsys, url)
    assert code == 0
    assert "a token" not in out


def test_a_token_that_nobody_asks_for_is_a_finding(capsys):
    """Else an instance is open, and its owner does not know."""
    with running(api_token=None, environment="development") as url:
        code, out, _ = run(capsys, url, "--token", READER)
    assert code == 8
    assert (
        "FAIL GET /api/monitoring/health without a token: it answered 200 and not 401 or 403. Set GWZ_API_TOKEN there"
        in out
    )


def test_a_slow_rate_is_waited_for(capsys, monkeypatch):
    """The 429s of the real limiter; it is the clock that is stubbed."""
    waited = []
    monkeypatch.setattr(asking, "_wait_s", lambda after: waited.append(after) or 1.05)
    with running(monitoring_rate=5) as url:
        code, out, _ = run(capsys, url, "--token", READER)
    assert code == 0, out
    assert set(waited) == {"1"}


def test_what_is_disabled_is_seen_and_no_finding(live, capsys, monkeypatch):
    monkeypatch.setenv("GWZ_ADMIN_TOKEN", ADMIN)
    code, out, _ = run(capsys, live, "--token", READER, "--instrumentation")
    assert code == 0, [line for line in out.splitlines() if not line.startswith("ok")]
    assert re.search(r"ok   GET /api/instrumentation/health  \d+ ms  loki and tempo disabled", out)
    assert re.search(r"ok   POST /api/instrumentation/test-trace  \d+ ms  disabled", out)
    assert "ok   GET /api/instrumentation/loki/status without a token: 401, as it should" in out
    assert "ok   POST /api/instrumentation/test-log with the reader's token: 401, as it should" in out
    assert "ok   GET /api/instrumentation/test-log: 405, as it should" in out


def test_a_far_end_that_is_gone_is_a_finding_that_names_the_hop(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with running(loki_url=dead) as url:
            arguments = ("--token", READER, "--admin-token", ADMIN, "--instrumentation")
            code, out, _ = run(capsys, url, *arguments)
    assert code == 8
    assert "FAIL GET /api/instrumentation/loki/status: failed at the hop push: refused" in out
    assert "FAIL GET /api/instrumentation/health: loki failed at the hop push: refused" in out
    assert "FAIL POST /api/instrumentation/test-log: failed at the hop" in out


# Who is not there, or is somebody else.


@contextlib.contextmanager
def serving(answer):
    """A server that answers any request with `answer(handler)`; its address, and what it was asked."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self):
            seen.append((self.command, self.path, self.headers.get("Authorization")))
            with contextlib.suppress(OSError):
                answer(self)

        do_GET = do_POST = handle_any  # noqa: N815  # the base class looks for these

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


def send(handler, body, *, status=200, kind="application/json", **headers):
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), "Content_Type": kind, **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h: send(h, b'{"detail":"Not Found"}', status=404), "/api/monitoring/health answered 404, and so it is with the other"),
        (lambda h: send(h, b"<!doctype html>", kind="text/html"), "answered with text/html and not with JSON"),
        (lambda h: send(h, b"<p>Bad gateway", status=502, kind="text/html"), "answered 502, and so it is with the other endpoints"),
        (lambda h: send(h, b'{"detail":"Send it"}', status=401), "answered 401 Send it. Give the token that the application has: GWZ_API_TOKEN"),
        (lambda h: send(h, b"", status=307, Location="http://evil.example/x?key=hunter2"), "redirects to http://evil.example/x, which is not followed"),
        (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH_9\r\n"), "cannot be read"),
    ],
)  # fmt: skip
def test_somebody_else_is_six(answer, words, capsys):
    with serving(answer) as (url, seen):
        code, out, err = run(capsys, url, "--token", READER)
    assert (code, out) == (6, "")
    assert words in err
    assert "hunter2" not in err
    assert len(seen) <= 3


def test_nobody_there_is_six(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, out, err = run(capsys, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert (code, out) == (6, "")
    assert "Start the application, or correct the address" in err


def test_a_server_that_hangs_is_six_after_the_deadline(capsys, monkeypatch):
    monkeypatch.setattr(asking, "DEADLINE_S", 0.3)
    with serving(lambda _: time.sleep(3)) as (url, _):
        began = time.monotonic()
        code, _, err = run(capsys, url)
        assert time.monotonic() - began < 2
    assert code == 6
    assert "has not answered in full within 0.3 s" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ftp://host",), "'ftp://host' is no address of an application: give one like http://localhost:8000"),
        (("localhost:8000",), "is no address of an application"),
        (("http://ada:hunter2@host/",), "give a token in GWZ_API_TOKEN"),
        (("http://host", "--token", "a\nb"), "the token of --token has characters"),
        (("http://host", "--admin-token", "a\nb"), "the token of --admin-token has characters"),
        (("http://host", "--instrumentation"), "--instrumentation wants the administrator's token"),
    ],
)
def test_wrong_arguments_are_two(arguments, words, capsys):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "hunter2" not in err


@pytest.mark.parametrize("missing", ["pydantic", "fastapi"])
def test_without_pydantic_it_says_what_to_install(missing):
    script = f"""
import sys
from gwz_instrument import cli
for name in [one for one in sys.modules if one.partition(".")[0] == {missing!r} or "monitoring" in one or "endpoints_check" in one]:
    del sys.modules[name]
class Gone:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone())
sys.exit(cli.main(["endpoints", "http://127.0.0.1:9"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if missing == "fastapi":  # which only the application needs
        assert done.returncode == 6, done.stderr
    else:
        assert done.returncode == 2, done.stderr
        assert "pydantic is not installed here: pip install 'gwz-instrument[monitoring]'" in done.stderr


# A server that lies about one thing, with the real one behind it.


@contextlib.contextmanager
def lying(live, path, lie):
    """The live instance, of whose answers to GETs of `path` the lie is told instead."""

    def answer(handler):
        wanted = {name: handler.headers[name] for name in ("Authorization", "Content-Type") if handler.headers[name]}
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(live + handler.path, body or None, wanted, method=handler.command)
        try:
            response = urlopen(request)
        except HTTPError as error:
            response = error
        with response:
            true = response.read()
            if handler.command == "GET" and handler.path == path and response.status == 200:
                return lie(handler, true, response.headers)
            gwz = {
                name.replace("-", "_"): value
                for name, value in response.headers.items()
                if name.lower().startswith("gwz-")
            }
            return send(handler, true, status=response.status, **gwz)

    with serving(answer) as (url, seen):
        yield url, seen


def changed(change):
    def lie(handler, body, _headers):
        document = json.loads(body)
        change(document)
        send(handler, json.dumps(document).encode())

    return lie


@pytest.mark.parametrize(
    ("path", "lie", "words"),
    [
        (REALTIME, changed(lambda d: d.update(error_rate=0.9, success_rate=0.1)), "error_rate is 0.9, and 0.375 is the failed by"),
        (REALTIME, lambda h, *_: send(h, b"<p>hello", kind="text/html"), "calls itself 'text/html' and not application/json"),
        (REALTIME, lambda h, *_: send(h, b"<p>hello"), "the body is no JSON"),
        (REALTIME, lambda h, *_: send(h, b'{"detail":"broken"}', status=500), "it answered 500 and not 200: broken. Look at the application's log"),
        (REALTIME, lambda h, *_: send(h, b'{"detail":"Prometheus is away"}', status=503), "it answered 503 and not 200: Prometheus is away"),
        (REALTIME, lambda h, *_: send(h, b"", status=302, Location="http://evil.example/?a=hunter2"), "it redirects to http://evil.example/. Give"),
        (REALTIME, lambda *_: time.sleep(3), "has not answered in full within 0.5 s"),
        (REALTIME, lambda h, body, _: send(h, body, Content_Length=str(len(body) + 5)), "bytes of it are missing"),
        (HEALTH, lambda h, body, _: send(h, body), "the header GWZ-Complete is missing, which tells what a list is of"),
    ],
)  # fmt: skip
def test_a_lie_is_found_and_said_in_a_line(live, path, lie, words, capsys, monkeypatch):  # noqa: PLR0917  # fixtures
    monkeypatch.setattr(asking, "DEADLINE_S", 0.5)
    with lying(live, path, lie) as (url, seen):
        code, out, err = run(capsys, url, "--token", READER)
    assert (code, err) == (8, "")
    failed = [line for line in out.splitlines() if not line.startswith("ok")][:-1]
    assert all(line.startswith(f"FAIL GET {path}: ") for line in failed), failed
    assert any(words in line for line in failed), failed
    assert re.search(rf"\d+ calls, {len(failed) if len(failed) > 1 else '1'} findings? in 1 of them", out)
    assert "hunter2" not in out
    assert {host for _, host, _ in seen if "evil" in host} == set()


def test_an_instance_that_dies_is_not_asked_to_the_end(live, capsys, monkeypatch):
    monkeypatch.setattr(asking, "DEADLINE_S", 0.3)
    count = []

    def answer(handler):
        count.append(1)
        if len(count) > 3:
            time.sleep(2)
        request = Request(live + handler.path, headers={"Authorization": f"Bearer {READER}"})
        with urlopen(request) as response:
            send(
                handler,
                response.read(),
                **{name: value for name, value in response.headers.items() if name.startswith("gwz-")},
            )

    with serving(answer) as (url, _):
        code, out, _ = run(capsys, url, "--token", READER)
    assert code == 8
    assert out.count("has not answered in full") == 3
    assert "not tried: 3 calls in a row had no answer" in out


def test_nothing_that_a_server_says_steers_the_terminal(live, capsys):
    lie = changed(lambda document: document.update(source="\x1b[2J"))
    with lying(live, REALTIME, lie) as (url, _):
        code, out, _ = run(capsys, url, "--token", READER)
    assert code == 8
    assert "x1b[2J" in out
    assert "\x1b" not in out


def test_many_findings_of_one_call_are_cut_short(live, capsys):
    def change(document):
        document["models"] = {
            f"m{n}": {**one, "error_rate": 2} for n in range(9) for one in list(document["models"].values())[:1]
        }

    with lying(live, RATES, changed(change)) as (url, _):
        _, out, _ = run(capsys, url, "--token", READER)
    assert out.count(f"FAIL GET {RATES}: models.m") == 5
    assert "more, which --json lists" in out


# Every check, red once.


@pytest.fixture(scope="module")
def true(live):
    """What the live instance answers to good calls, by path."""
    asker, access = Asking(urlsplit(live)), Access(READER, ADMIN)
    seen = Seen(("openai", "groq"), (("openai", "gpt"),))
    calls = [*cases.first_calls(access), *cases.calls(seen, access)]
    good = {one.path: one for one in calls if isinstance(one, Call) and one.is_good}
    return {path: (call, asker.ask(call)) for path, call in good.items()}


def findings(true, path, change=lambda _: None, headers=()):
    call, answer = true[path]
    document = json.loads(answer.body)
    told = change(document)
    document = document if told is None or not isinstance(told, list) else told
    head = copy.deepcopy(answer.headers)
    for name, value in dict(headers).items():
        del head[name]
        if value is not None:
            head[name] = value
    return list(judge(call, Answer(200, head, json.dumps(document).encode(), 1.0), f"http://host{path}"))


def set_(*keys, **values):
    """A change: what is at `keys` gets these values."""

    def change(document):
        for key in keys:
            document = document[key]
        document.update(values)

    return change


def both(*changes):
    def change(document):
        for one in changes:
            one(document)

    return change


def far_apart(document):
    document["from"] = "2020-01-01T00:00:00Z"


def anomaly(severity):
    return {
        "type": "error_surge", "provider": "openai", "hour": "2026-01-01T00:00:00Z", "value": 1, "expected": 0, "severity": severity,
    }  # fmt: skip


COVERED = set_(complete=True)
WIDE = f"{TRENDING}?time_range=30d&limit=100"
FIVE = f"{TRENDING}?sort_by={{}}&limit=5"
LIES = [
    # shape
    (REALTIME, set_(error_rate=37.5), "shape", "error_rate is 37.5: Input should be less than or equal to 1"),
    (REALTIME, set_(total_requests="8"), "shape", "total_requests is '8'"),
    (REALTIME, set_(total_requests=8.0), "shape", "total_requests is 8.0"),
    (REALTIME, lambda d: d.pop("series") and None, "shape", "Field required"),
    (REALTIME, set_(p50_latency=float("nan")), "json", "NaN is no number of JSON's"),
    (HEALTH, lambda d: d[0].update(health_score=0.99 * 1000), "shape", "[0]"[1:2] + ".health_score is 990.0"),
    # the window, the question, unknowns and times
    (REALTIME, set_(**{"from": "2100-01-01T00:00:00Z"}), "window", "after to"),
    (REALTIME, far_apart, "window", "and 3600 s were asked for: more than a slot of an hour too much"),
    (f"{REALTIME}?hours=24", lambda d: d.update({"complete": True, "from": d["to"]}), "window", "0 s long and complete, and 86400 s"),
    (f"{COSTS}?days=90", both(COVERED, far_apart), "window", "and 7776000 s were asked for"),
    (WIDE, far_apart, "window", "and 2592000 s were asked for"),
    (REALTIME, set_(hours=24), "question", "hours is 24, and 1 was asked for"),
    (COSTS, set_(period_days=1), "question", "period_days is 1, and 7 was asked for"),
    (AVAILABILITY, set_(days=7), "question", "days is 7, and 1 was asked for"),
    (TRENDING, set_(time_range="7d"), "question", "time_range is '7d', and '24h' was asked for"),
    (TRENDING, set_(sort_by="cost"), "question", "sort_by is 'cost'"),
    (HOURLY, set_(provider="groq"), "question", "provider is 'groq', and 'openai' was asked for"),
    (LATENCY, set_(model="gp"), "question", "model is 'gp'"),
    (f"{HEALTH}/openai", set_(provider="groq"), "question", "provider is 'groq'"),
    (f"{TRENDING}?gateway=openai&limit=5", lambda d: d["data"][0].update(provider="x", gateway="x"), "question", "data[0].provider is 'x'"),
    (REALTIME, lambda d: d["providers"]["free"].update(failed_requests=0), "unknown", "providers.free.failed_requests is 0 in a window"),
    (HOURLY, lambda d: next(iter(d["data"].values())).update(tokens_input=0), "unknown", "tokens_input is 0 in a window"),
    (LATENCY, set_(count=0), "unknown", "count is 0"),
    (BREAKERS, lambda d: d[0].update(failure_count=0), "unknown", "[0].failure_count is 0 in a window that is not complete"),
    (REALTIME, lambda d: d["series"][0].update(time="2026-01-01T00:00:00"), "time", "series[0].time is 2026-01-01T00:00:00, which is not in UTC"),
    (REALTIME, set_(timestamp="2026-01-01T00:00:00+02:00"), "time", "which is not in UTC"),
    (REALTIME, set_(timestamp="2026-01-01T00:00:00Z"), "time", "after the answer was made"),
    (REALTIME, lambda d: d["series"][0].update(time="2026-01-01T00:00:00Z"), "window", "series[0].time is 2026-01-01T00:00:00+00:00, outside"),
    (TRENDS, lambda d: d["hourly_data"][0].update(hour="2026-01-01T00:00:00Z"), "window", "hourly_data[0].hour"),
    (AVAILABILITY, lambda d: d["series"][0].update(time="2026-01-01T00:00:00Z"), "window", "series[0].time"),
    (COSTS, lambda d: d["series"][0].update(time="2026-01-01T00:00:00Z"), "window", "series[0].time"),
    (HEALTH, lambda d: d[0].update(last_updated="2026-01-01T00:00:00Z"), "window", "[0].last_updated"),
    (f"{HEALTH}/openai", set_(last_updated="2026-01-01T00:00:00Z"), "window", "last_updated"),
    (ERRORS, lambda d: [one.update(timestamp=one["timestamp"] * 1000) for one in d] and None, "window", "[0].timestamp is 9999-12-31"),
    (HOURLY, lambda d: d["data"].update({"2026-01-01:00": next(iter(d["data"].values()))}), "window", "data.2026-01-01:00"),
    (HOURLY, lambda d: d["data"].update({"2026-99-01:00": next(iter(d["data"].values()))}), "time", "'2026-99-01:00', which is no hour"),
    (REALTIME, lambda d: d["providers"]["free"]["hourly_breakdown"].update({"2026-01-01:00": {**next(iter(d["providers"]["free"]["hourly_breakdown"].values()))}}), "window", "hourly_breakdown.2026-01-01:00"),
    # sums
    (REALTIME, set_(total_requests=9), "sum", "total_requests is 9, and that of its providers adds up to 8"),
    (REALTIME, set_(total_requests=9), "sum", "total_requests is 9, and that of its series adds up to 8"),
    (REALTIME, set_(failed_requests=4), "sum", "failed_requests is 4, and that of its providers adds up to 3"),
    (REALTIME, set_(successful_requests=4), "sum", "successful_requests is 4"),
    (REALTIME, set_(total_cost=1.0), "sum", "total_cost is 1.0, and that of its providers adds up to 0.975"),
    (REALTIME, set_(tokens_input=1), "sum", "tokens_input is 1, and that of its series adds up to 50"),
    (REALTIME, set_(tokens_output=1), "sum", "that of its hourly_breakdown of all providers adds up to 25"),
    (REALTIME, set_("providers", "openai", total_cost=1.0), "sum", "providers.openai.total_cost is 1.0, and that of its hourly_breakdown"),
    (REALTIME, set_("providers", "openai", total_requests=1), "sum", "providers.openai.total_requests is 1, less than the 3 that succeeded and the 2"),
    (REALTIME, set_(total_requests=1), "sum", "total_requests is 1, less than the 5 that succeeded and the 3 that failed"),
    (REALTIME, lambda d: d["series"][-1].update(total_requests=1), "sum", "total_requests is 1, less than"),
    (REALTIME, set_(total_errors=1), "agreement", "total_errors is 1, and failed_requests 3"),
    (RATES, set_(total_requests=9), "sum", "that of its models adds up to 8"),
    (RATES, set_(total_errors=1), "agreement", "total_errors is 1, and failed_requests 3"),
    (RATES, set_("models", "gpt", error_rate=0.5, success_rate=0.5), "ratio", "models.gpt.error_rate is 0.5, and 0.4"),
    (COSTS, set_(total_cost=1.0), "sum", "that of its providers adds up to 0.975"),
    (COSTS, set_(total_cost=1.0), "sum", "that of its series adds up to 0.975"),
    (COSTS, set_(total_requests=9), "sum", "total_requests is 9"),
    (COSTS, set_(start_date="2026-01-01T00:00:00Z"), "agreement", "start_date is 2026-01-01"),
    (COSTS, set_(end_date="2026-01-01T00:00:00Z"), "agreement", "end_date is 2026-01-01"),
    (TOKENS, set_(tokens_input=1), "sum", "tokens_input is 1, and that of its models adds up to 50"),
    (TOKENS, set_(tokens_estimated=1), "sum", "tokens_estimated is 1"),
    (TOKENS, set_("models", "gpt", tokens_total=1), "agreement", "models.gpt.tokens_total is 1, and tokens_input and tokens_output together 45"),
    (TRENDS, set_(count=9), "sum", "count is 9, and that of its hourly_data adds up to 5"),
    (LATENCY, set_(count=None), "sum", "ms of no calls"),
    (AVAILABILITY, set_("providers", "openai", failed_attempts=100), "sum", "attempts of openai are said to have failed"),
    (AVAILABILITY, set_("providers", "openai", hours_with_traffic=5), "agreement", "hours_with_traffic is 5, and the number of its hours"),
    (AVAILABILITY, set_("providers", "openai", hours_available=5), "agreement", "hours_available is 5, and the sum of its hours"),
    (ANOMALIES, set_(total_count=2), "agreement", "total_count is 2, and the number of anomalies 0"),
    (ANOMALIES, set_(anomalies=[anomaly("critical")], total_count=1, warning_count=1), "agreement", "critical_count is 0"),
    (ANOMALIES, set_(anomalies=[anomaly("warning")], total_count=1, critical_count=1), "agreement", "warning_count is 0"),
    (HEALTH, lambda d: d * 2, "sum", "free, groq, openai is in the list more than once"),
    (BREAKERS, lambda d: d * 2, "sum", "is in the list more than once"),
    # ratios
    (REALTIME, set_(error_rate=0.375 + 1e-8), "ratio", "error_rate is 0.37500001"),
    (REALTIME, set_(success_rate=0.6), "ratio", "do not add up to 1"),
    (REALTIME, set_(success_rate=None), "ratio", "do not add up to 1"),
    (REALTIME, lambda d: d["series"][-1].update(success_rate=0.1), "ratio", "do not add up to 1"),
    (REALTIME, set_(error_rate=None, success_rate=None), "ratio", "error_rate is None, and 0.375"),
    (REALTIME, set_(avg_health_score=1.0), "ratio", "is the mean of the providers' scores"),
    (AVAILABILITY, set_("providers", "openai", availability=0.5), "ratio", "providers.openai.availability is 0.5"),
    (COSTS, set_(cost_per_request=1.0), "ratio", "cost_per_request is 1.0, and 0.121875"),
    (COSTS, set_("providers", "openai", cost_per_request=1.0), "ratio", "providers.openai.cost_per_request is 1.0, and 0.095"),
    (TRENDING, lambda d: d["data"][0].update(cost_per_request=1.0), "ratio", "data[0].cost_per_request is 1.0, and 0.095"),
    (TRENDING, lambda d: d["data"][0].update(error_rate=1.0, success_rate=0.0), "ratio", "data[0].error_rate is 1.0"),
    *(
        (TOKENS, set_("models", "gpt", **{name: 7.0}), "ratio", f"models.gpt.{name} is 7.0")
        for name in ("output_per_input_ratio", "tokens_per_request", "cost_per_request", "cost_per_token")
    ),
    # words
    (HEALTH, lambda d: d[0].update(status="degraded", health_score=80), "word", "the status of free is degraded, and its score 80.0 is called healthy"),
    (HEALTH, lambda d: d[0].update(status="unhealthy", health_score=50), "word", "is called degraded"),
    (HEALTH, lambda d: d[0].update(status="degraded", health_score=49.9), "word", "is called unhealthy"),
    (HEALTH, lambda d: d[0].update(status="unhealthy", health_score=None), "word", "is called unknown"),
    (f"{HEALTH}/openai", set_(status="unknown"), "word", "the status of openai is unknown"),
    (BREAKERS, lambda d: d[0].update(is_available=False), "word", "is_available of free is false, and the breaker is CLOSED"),
    (BREAKERS, lambda d: d[0].update(state="OPEN"), "word", "is_available of free is true, and the breaker is OPEN"),
    (BREAKERS, lambda d: d[0].update(state="closed"), "shape", "state is 'closed'"),
    (TRENDING, lambda d: d["data"][0].update(gateway="x"), "agreement", "data[0].gateway is x, and provider openai"),
    (TRENDING, lambda d: d["data"][0].update(requests=1), "agreement", "data[0].requests is 1, and total_requests 5"),
    (TRENDING, set_(count=1), "agreement", "count is 1, and the number of models 3"),
    (TRENDS, set_(overall_avg_latency_ms=1.0), "agreement", "overall_avg_latency_ms is 1.0"),
    (TRENDS, set_(overall_p95_latency_ms=1.0), "agreement", "overall_p95_latency_ms is 1.0"),
    # order and limits
    (RATES, lambda d: d.update(models=dict(reversed(d["models"].items()))), "order", "models is not sorted by error_rate"),
    (COSTS, lambda d: d.update(providers=dict(reversed(d["providers"].items()))), "order", "providers is not sorted by total_cost"),
    (ERRORS, lambda d: d[::-1], "order", "the list is not sorted by timestamp"),
    *(
        (FIVE.format(sort), lambda d: d["data"].reverse(), "order", f"data is not sorted by {field}")
        for sort, field in (("requests", "requests"), ("tokens", "total_tokens"), ("cost", "total_cost"), ("errors", "failed_requests"))
    ),
    (FIVE.format("latency"), lambda d: d["data"][-1].update(avg_latency_ms=9e5), "order", "data is not sorted by avg_latency_ms"),
    (FIVE.format("requests"), lambda d: d.update(data=d["data"][:1] * 6, count=6), "limit", "there are 6 models, and at most 5"),
    (f"{ERRORS}?limit=5", lambda d: d[:1] * 6, "limit", "it has 6 rows, and at most 5 were asked for"),
    # units
    (REALTIME, set_(p50_latency=9e5, p95_latency=9e5, p99_latency=9e5), "unit", "p50 is 900000 ms, which is 15 minutes"),
    (REALTIME, set_(p50_latency=500.0, p95_latency=400.0, p99_latency=900.0), "order", "p50 is 500.0 ms, above p95, 400.0 ms"),
    (REALTIME, set_(p50_latency=500.0, p95_latency=600.0, p99_latency=550.0), "order", "p95 is 600.0 ms, above p99"),
    (REALTIME, set_(p95_latency=None), "order", "some are null and some are not"),
    (LATENCY, set_(p50=9e5, p95=9e5, p99=9e5), "unit", "p50 is 900000 ms"),
    (TRENDS, set_(p50_latency=9e5, p95_latency=9e5, p99_latency=9e5, overall_p95_latency_ms=9e5), "unit", "p50 is 900000 ms"),
    (TRENDS, lambda d: d["hourly_data"][-1].update(p50_latency_ms=9e5, p95_latency_ms=9e5, p99_latency_ms=9e5), "unit", "p50 is 900000 ms"),
    (TRENDING, lambda d: d["data"][0].update(p50_latency=9e5, p95_latency=9e5, p99_latency=9e5), "unit", "data[0].p50 is 900000 ms"),
    (BREAKERS, lambda d: d[0].update(last_updated=d[0]["last_updated"] * 1000), "unit", "which is no time of seconds since 1970"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "lie", "rule", "words"), LIES, ids=[f"{n}-{one[2]}" for n, one in enumerate(LIES)])
def test_every_lie_is_found(true, path, lie, rule, words):
    assert findings(true, path) == []
    found = findings(true, path, lie)
    assert [one for one in found if one.rule == rule and words in one.sentence], found
    assert all(one.cure for one in found)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        *(({name: None}, f"the header {name} is missing") for name in ("GWZ-Source", "GWZ-From", "GWZ-To", "GWZ-Complete", "GWZ-Exact")),
        ({"GWZ-Source": "hearsay"}, "a header has a value that it cannot have: GWZ-Source: hearsay"),
        ({"GWZ-From": "yesterday"}, "GWZ-From: yesterday"),
        ({"GWZ-Complete": "True"}, "GWZ-Complete: True"),
        ({"GWZ-Exact": "1"}, "GWZ-Exact: 1"),
        ({"GWZ-From": "2100-01-01T00:00:00Z"}, "after to"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [HEALTH, BREAKERS, ERRORS])
def test_a_list_says_in_headers_what_it_is_of(true, path, headers, words):
    assert any(words in one.sentence for one in findings(true, path, headers=headers))


def test_a_covered_window_may_have_zeros(true):
    """Then they were counted; the window is stretched to what was asked for."""

    def change(document):
        document.update(complete=True)
        document["providers"]["free"].update(failed_requests=0)

    call, _ = true[REALTIME]
    assert "unknown" not in [one.rule for one in findings(true, REALTIME, change)]
    assert call.span_s == 3600


def answer(status, document, kind="application/json", **headers):
    head = Message()
    head["Content-Type"] = kind
    for name, value in headers.items():
        head[name] = value
    return Answer(status, head, document if isinstance(document, bytes) else json.dumps(document).encode(), 1.0)


def wrong_call(part, how=""):
    access = Access(READER, ADMIN)
    every = [*cases.calls(Seen(), access), *cases.instrumentation_calls(access)]
    return next(
        one for one in every if isinstance(one, Call) and not one.is_good and one.path.endswith(part) and one.how == how
    )


@pytest.mark.parametrize(
    ("call", "given", "words"),
    [
        (wrong_call("hours=0"), answer(200, {}), "it answered 200 and not 422"),
        (wrong_call("hours=0"), answer(422, {"detail": [{"msg": "hours must be good"}]}), "does not name 1 to 168: 'hours must be good'"),
        (wrong_call("hours=0"), answer(422, {"detail": [{"msg": "1 to 168"}]}), "does not name hours"),
        (wrong_call("hours=0"), answer(422, {"error": "x"}), "the refusal has no message in detail"),
        (wrong_call("hours=0"), answer(422, b"<p>", "text/html"), "calls itself 'text/html'"),
        (wrong_call("efficiency?hours=abc"), answer(500, {"detail": "oh"}), "it answered 500 and not 422: oh"),
        (wrong_call("sort_by=nonsense"), answer(422, {"detail": [{"msg": "sort_by: requests, tokens, cost"}]}), "does not name errors, latency"),
        (wrong_call("time_range=2h"), answer(422, {"detail": [{"msg": "time_range: 1h, 24h, 7d"}]}), "does not name 30d"),
        (wrong_call("availability?days=31"), answer(200, {}), "it answered 200 and not 422"),
        (wrong_call("cost-analysis?days=0"), answer(200, {}), "it answered 200 and not 422"),
        (wrong_call("trending?limit=101"), answer(422, {"detail": "limit"}), "does not name 1 to 100"),
        (wrong_call("?limit=1001"), answer(422, {"detail": "limit"}), "does not name 1000"),
        (wrong_call("health/gwz-instrument-nobody"), answer(200, {}), "it answered 200 and not 404"),
        (wrong_call("health/gwz-instrument-nobody"), answer(404, {"detail": "Not Found"}), "does not name gwz-instrument-nobody"),
        (wrong_call("efficiency", "without a token"), answer(200, {}), "it answered 200 and not 401 or 403"),
        (wrong_call("health", "with a wrong token"), answer(200, {}), "it answered 200 and not 401 or 403"),
        (wrong_call("efficiency"), answer(200, {}), "it answered 200 and not 405"),
        (wrong_call("test-log", "without a token"), answer(200, {}), "it answered 200 and not 401"),
        (wrong_call("tempo/status", "with the reader's token"), answer(200, {}), "it answered 200 and not 401"),
    ],
)  # fmt: skip
def test_a_refusal_that_is_none_is_found(call, given, words):
    found = list(judge(call, given, "http://host"))
    assert any(words in one.sentence for one in found), found


def test_every_endpoint_is_called_well_and_badly():
    access = Access(READER, ADMIN)
    seen = Seen(("openai",), (("openai", "gpt"),))
    every = [*cases.first_calls(access), *cases.calls(seen, access), *cases.instrumentation_calls(access)]
    assert not any(isinstance(one, NotTried) for one in every)
    for endpoint in endpoints.ENDPOINTS:
        mine = [one for one in every if one.endpoint is endpoint]
        assert {200, 401, 405} <= {status for one in mine for status in one.wants}, endpoint.path
        assert ("{provider}" in endpoint.path) == any(404 in one.wants for one in mine)
        assert READER not in repr(mine)
        assert ADMIN not in repr(mine)


# The far ends.

HOP = {"hop": "push", "ok": True, "took_ms": 1.0, "reason": None, "cure": None}
BAD_HOP = {"hop": "query", "ok": False, "took_ms": 1.0, "reason": "refused", "cure": "start Loki"}
FAR = {
    "status": "ok", "timestamp": "2026-01-01T00:00:00Z", "service_name": "a", "environment": "b", "hops": [HOP], "failed_hop": None,
    "reason": None, "newest": None, "push_url": None, "query_url": None,
}  # fmt: skip
BAD_FAR = {**FAR, "status": "failed", "hops": [HOP, BAD_HOP], "failed_hop": "query", "reason": "refused"}
BOTH = {"status": "ok", "timestamp": "2026-01-01T00:00:00Z", "loki": FAR, "tempo": FAR}
PROOF = {
    "status": "ok", "timestamp": "2026-01-01T00:00:00Z", "message": "m", "trace_id": "a" * 32, "span_id": "b" * 16, "duration_ms": 5.0,
    "hops": [HOP], "failed_hop": None, "reason": None,
}  # fmt: skip
LOKI, BOTH_OF_THEM, TEST_LOG = endpoints.LOKI_STATUS, endpoints.INSTRUMENTATION, endpoints.TEST_LOG


@pytest.mark.parametrize(
    ("endpoint", "how", "status", "body", "words"),
    [
        (LOKI, "", 503, BAD_FAR, "failed at the hop query: refused. start Loki"),
        (LOKI, "", 503, {**BAD_FAR, "hops": [HOP, {**BAD_HOP, "cure": None}]}, "failed at the hop query: refused. The hops in the answer say more"),
        (LOKI, "", 200, BAD_FAR, "status is 'failed' in an answer of 200"),
        (LOKI, "", 503, FAR, "status is 'ok' in an answer of 503"),
        (LOKI, "", 200, {**FAR, "hops": [BAD_HOP]}, "and the hops that failed are ['query']"),
        (LOKI, "", 503, {**BAD_FAR, "failed_hop": "push"}, "failed_hop 'push', and the hops that failed are ['query']"),
        (LOKI, "", 200, {**FAR, "status": "fine"}, "status is 'fine'"),
        (LOKI, "", 401, {"detail": "Send it"}, "it answered 401 and not 200 or 503: Send it. Give the token"),
        (LOKI, "", 403, {"detail": "closed"}, "it answered 403 and not 200 or 503: closed. The administrator's endpoints are closed until"),
        (BOTH_OF_THEM, "", 503, {**BOTH, "status": "failed", "tempo": BAD_FAR}, "tempo failed at the hop query: refused"),
        (BOTH_OF_THEM, "", 200, {**BOTH, "loki": BAD_FAR}, "status is 'ok', that of loki 'failed'"),
        (BOTH_OF_THEM, "with the reader's token", 200, {**BOTH, "loki": {**FAR, "push_url": "http://loki"}}, "is told addresses"),
        (TEST_LOG, "", 503, {**PROOF, "status": "failed", "hops": [BAD_HOP], "failed_hop": "query", "reason": "not_found"}, "failed at the hop query: not_found"),
        (BOTH_OF_THEM, "", 503, BOTH, "status is 'ok' in an answer of 503"),
        (TEST_LOG, "", 503, PROOF, "status is 'ok' in an answer of 503"),
        (TEST_LOG, "", 200, {**PROOF, "trace_id": "xyz"}, "trace_id is 'xyz'"),
        (TEST_LOG, "", 200, {**PROOF, "duration_ms": None}, "duration_ms is null"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_far_end_is_found(endpoint, how, status, body, words):
    call = next(
        one
        for one in cases.instrumentation_calls(Access(READER, ADMIN))
        if one.endpoint is endpoint and one.is_good and one.how == how
    )
    found = [str(one) for one in judge(call, answer(status, body), "http://host")]
    assert any(words in one for one in found), found


@pytest.mark.parametrize(("endpoint", "body"), [(LOKI, FAR), (BOTH_OF_THEM, BOTH), (TEST_LOG, PROOF)])
def test_a_far_end_that_is_well_has_no_findings(endpoint, body):
    call = next(
        one for one in cases.instrumentation_calls(Access(READER, ADMIN)) if one.endpoint is endpoint and one.is_good
    )
    assert list(judge(call, answer(200, body), "http://host")) == []


# How it asks.


def test_it_keeps_apart_and_heeds_retry_after_once(monkeypatch):
    monkeypatch.setattr(asking, "_APART_S", 0.025)
    waits, left = [], [429, 429]

    def busy(handler):
        status = left.pop() if left else 200
        send(handler, b'{"detail":"Too many"}', status=status, Retry_After="7")

    call = Call(endpoints.HEALTH, "GET", HEALTH)
    with serving(busy) as (url, seen):
        asker = Asking(urlsplit(url), sleep=waits.append)
        given = asker.ask(call)
        assert (given.status, len(seen)) == (429, 2)
        assert asker.ask(call).status == 200
    assert 7.0 in waits
    assert any(0 < one <= 0.025 for one in waits)
    (found,) = judge(call, given, url)
    assert (
        str(found)
        == "it answered 429 and not 200: Too many. Raise GWZ_MONITORING_RATE there, or try when fewer ask with this token"
    )


@pytest.mark.parametrize(("text", "wait_s"), [("3", 3.0), ("9999", 10.0), ("", 1.0), ("Wed, 21 Oct", 1.0)])
def test_no_server_makes_it_wait_for_long(text, wait_s):
    assert asking._wait_s(text) == wait_s


def test_a_busy_provider_comes_first_and_a_name_with_a_slash_not_at_all():
    rows = [{"provider": name} for name in ("a/b", "idle")]
    call, _, trending = cases.first_calls(Access())
    body = [
        {**one, "health_score": None, "status": "unknown", "error_rate": None, "availability": None, "last_updated": "2026-01-01T00:00:00Z"}
        for one in rows
    ]  # fmt: skip
    assert examine._seen([(call, answer(200, body)), (trending, answer(500, {}))]) == Seen(("idle",), ())
