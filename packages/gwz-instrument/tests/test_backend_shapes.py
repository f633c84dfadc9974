"""What an application with the backend's shapes does is recorded exactly: over real sockets, by what the guides say."""

import importlib.util
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from gwz_instrument import instrument, watches
from gwz_instrument import recording as recordings
from gwz_instrument.testing.capture import capture

_SPEC = importlib.util.spec_from_file_location("backend_shapes", Path(__file__).with_name("backend_shapes.py"))
shapes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(shapes)


@pytest.fixture(autouse=True)
def brief_pause(monkeypatch):
    """anyio's threads, and the frames that it cancelled, hold on to a stream whose client has left."""
    monkeypatch.setattr(watches, "_PAUSE_S", 0.5)


CHAT, SYNC, DATABASE = "/v1/chat/completions", "/api/sync/chat", "/database/{what}"
MODEL, KEY = shapes.MODEL, shapes.KEY
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMPT = "How are you this morning?"

FAMILIES = {
    "fastapi_requests_total": ("method", "path", "status_code"),
    "fastapi_requests_duration_seconds_count": ("method", "path"),
    "fastapi_requests_in_progress": ("method", "path"),
    "fastapi_exceptions_total": ("exception_type",),
    "model_inference_requests_total": ("provider", "model", "status"),
    "model_inference_duration_seconds_count": ("provider", "model"),
    "provider_response_time_seconds_count": ("provider",),
    "backend_ttfb_seconds_count": ("provider", "model", "endpoint"),
    "time_to_first_chunk_seconds_count": ("provider", "model"),
    "streaming_duration_seconds_count": ("provider", "model", "endpoint"),
    "tokens_used_total": ("provider", "model", "token_type"),
    "credits_used_total": ("provider", "model"),
    "gatewayz_cost_by_provider_total": ("provider",),
    "database_queries_total": ("table", "operation"),
    "database_query_duration_seconds_count": ("table",),
    "gwz_telemetry_dropped_total": ("signal", "reason"),
}
"""The families that are compared as a whole, with their labels; of the HTTP server's, but for the application's name."""
MONEY = ("credits_used_total", "gatewayz_cost_by_provider_total")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of request, and what it is known to cause."""

    providers: tuple[str, ...] = ("openrouter",)
    labels: tuple[str, ...] = ()
    """The providers as they are counted, if not by their names."""
    model: str = MODEL
    model_label: str = MODEL
    reader: str = ""
    plan: str = ""
    path: str = CHAT
    key: str = KEY
    leaves: bool = False

    status: int = 200
    ends: str | None = "success"
    """How the call ends; None: there is none."""
    chunks: bool = False
    tokens: str | None = "reported"
    text: str = "".join(shapes.WORDS)
    settled: bool = True
    """Whether the price is computed, and the database told."""

    def body(self, prompt):
        streamed = {"stream": True, "reader": self.reader} if self.reader else {}
        return {"model": self.model, "providers": self.providers, "prompt": prompt, "plan": self.plan, **streamed}


def streamed(reader, *providers, **known):
    return Kind(reader=reader, providers=providers or ("openrouter",), **{"chunks": True, **known})


FAILED = {"tokens": None, "settled": False}
LEFT = {"ends": "client_disconnected", "leaves": True, **FAILED}
BROKEN = {"ends": "stream_error", **FAILED}
KINDS = {
    "answered": Kind(),
    "failed over": Kind(providers=("fireworks", "together", "openrouter")),
    "given up": Kind(providers=("huggingface", "openrouter")),
    "limited": Kind(providers=("groq",), ends="error", status=429, **FAILED),
    "failed everywhere": Kind(providers=("groq", "fireworks"), ends="error", status=500, **FAILED),
    "timed out": Kind(providers=("fireworks", "together"), ends="timeout", status=504, **FAILED),
    "paid and refused": Kind(plan="exceeded", status=402, settled=False),
    "of a stranger": Kind(providers=("evil-123",), labels=("_other",)),
    "of no model": Kind(model="made-up", model_label="_other", providers=("groq",), ends="error", status=429, **FAILED),
    "read in a threadpool": streamed("threadpool"),
    "read by next": streamed("next", "fireworks", "openrouter"),
    "read by executors": streamed("executors"),
    "read by to_thread": streamed("to_thread", "groq", "openrouter"),
    "read asynchronously": streamed("async", "groq", "openrouter"),
    "not reported": streamed("threadpool", "near", tokens="estimated"),
    "broken": streamed("threadpool", "deepinfra", **BROKEN),
    "broken elsewhere": streamed("executors", "fireworks", "deepinfra", **BROKEN),
    "broken asynchronously": streamed("async", "deepinfra", **BROKEN),
    "said to fail": streamed("next", "novita", ends="stream_error", tokens="estimated", text=shapes.WORDS[0]),
    "empty": streamed("threadpool", "chutes", ends="error", chunks=False, **FAILED),
    "left in a threadpool": streamed("threadpool", "featherless", **LEFT),
    "left in to_thread": streamed("to_thread", "featherless", **LEFT),
    "left in executors": streamed("executors", "fireworks", "featherless", **LEFT),
    "left asynchronously": streamed("async", "featherless", **LEFT),
    "never read": streamed("threadpool", ends="abandoned", chunks=False, plan="exceeded", status=402, **FAILED),
    "sync": Kind(path=SYNC, providers=("fireworks", "openrouter"), chunks=True, settled=False),
    "sync and broken": Kind(path=SYNC, providers=("deepinfra",), chunks=True, **BROKEN),
    "sync and left": Kind(path=SYNC, providers=("featherless",), chunks=True, **LEFT),
    "without a key": Kind(key="nobody's", ends=None, status=401, **FAILED),
}


class Ledger:
    """What the test has caused, in counters of its own."""

    def __init__(self):
        self.counts = {name: Counter() for name in FAMILIES}

    def add(self, name, *labels, amount=1):
        self.counts[name][labels] += amount

    def request(self, method, path, status):
        self.add("fastapi_requests_total", method, path, str(status))
        self.add("fastapi_requests_duration_seconds_count", method, path)

    def query(self, table, operation):
        self.add("database_queries_total", table, operation)
        self.add("database_query_duration_seconds_count", table)

    def chat(self, kind, prompt):
        self.request("POST", kind.path, kind.status)
        self.query("users", "select")
        if kind.ends is None:
            return
        labels = kind.labels or kind.providers
        provider, model = labels[-1], kind.model_label
        self.add("model_inference_requests_total", provider, model, kind.ends)
        self.add("model_inference_duration_seconds_count", provider, model)
        for asked in labels:
            self.add("provider_response_time_seconds_count", asked)
        if kind.chunks or kind.ends == "success":
            self.add("backend_ttfb_seconds_count", provider, model, kind.path)
        if kind.chunks:
            self.add("time_to_first_chunk_seconds_count", provider, model)
            self.add("streaming_duration_seconds_count", provider, model, kind.path)
        if kind.tokens == "reported":
            tokens, suffix = (len(prompt), shapes.OUTPUT_TOKENS), ""
        elif kind.tokens == "estimated":
            tokens, suffix = (len(prompt) // 4, len(kind.text) // 4), "_estimated"
        else:
            return
        self.add("tokens_used_total", provider, model, f"input{suffix}", amount=tokens[0])
        self.add("tokens_used_total", provider, model, f"output{suffix}", amount=tokens[1])
        if kind.settled:
            dollars = tokens[0] * 0.000003 + tokens[1] * 0.000015
            self.add("credits_used_total", provider, model, amount=dollars)
            self.add("gatewayz_cost_by_provider_total", provider, amount=dollars)
            self.query("deduct_credits", "rpc")
            self.query("activity_log", "insert")

    def differences(self, found):
        """{} if `found` is the same; else of each family that is not, what was found and what was caused."""
        return {
            name: (found[name], dict(caused))
            for name, caused in self.counts.items()
            if found[name] != (pytest.approx(dict(caused), rel=0, abs=1e-9) if name in MONEY else caused)
        }


class Backend:
    """The application on a real server, its far ends, a client of it, and what it emitted."""

    captured = None
    """What keeps spans and lines in memory; without it they leave the process."""

    def __init__(self, instrument):
        self.providers, self.database = shapes.FarEnd(shapes.Provider), shapes.FarEnd(shapes.Postgrest)
        app = shapes.make_app(self.providers.url, self.database.url)
        self.state = app.state
        self.state.telemetry = instrument(app, models=(MODEL,), providers=tuple(shapes.BEHAVIOUR))
        config = uvicorn.Config(
            app, port=0, log_config=None, access_log=False, loop="asyncio", ws="none", lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        shapes.until(lambda: self._server.started)
        (listening,) = self._server.servers[0].sockets
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30, verify=shapes.NO_TLS
        )

    def chat(self, kind, prompt=PROMPT):
        """The text that came back; of one that leaves, as far as it was read."""
        asked = {"json": kind.body(prompt), "headers": {"authorization": f"Bearer {kind.key}"}}
        with self.client.stream("POST", kind.path, **asked) as response:
            assert response.status_code == kind.status
            if kind.leaves:
                return next(response.iter_text())
            return response.read().decode()

    def scrape(self, accept="text/plain"):
        return self.client.get("/metrics", headers={"accept": accept}).text

    def ask_database(self, what, status=200):
        assert self.client.get(f"/database/{what}", params={"api_key": KEY}).status_code == status

    def check(self, ledger):
        """Everything was counted that was caused, and nothing else, also by what goes on after the last response."""
        assert self.settled_differences(ledger) == {}
        self.stop()
        assert ledger.differences(counted(generate_latest(self.state.telemetry.registry).decode())) == {}
        if self.captured is not None:
            self.captured.assert_clean()

    def settled_differences(self, ledger):
        """How what was counted differs from the ledger, once it does not or has had its time."""
        until = time.monotonic() + shapes.LONG_S
        while (found := ledger.differences(counted(self.scrape()))) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def stop(self):
        """Let everything that is under way come to its end."""
        self.client.close()
        self.providers.release.set()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.providers.stop()
        self.database.stop()

    def span(self, name, **attributes):
        return self.captured.span(name, **attributes)

    def line(self, logger, **fields):
        return self.captured.line(logger=f"gwz_instrument.{logger}", **fields)


def counted(exposition):
    """{family: {label values: value}} of what is not zero, for the families of the ledger."""
    found = {name: {} for name in FAMILIES}
    lines = [line for line in exposition.splitlines(keepends=True) if line.startswith(tuple(FAMILIES))]
    for family in text_string_to_metric_families("".join(lines)):
        for sample in family.samples:
            if sample.name in FAMILIES:
                labels = {name: value for name, value in sample.labels.items() if name != "app_name"}
                assert labels.keys() == set(FAMILIES[sample.name])
                if sample.value:
                    found[sample.name][tuple(labels[name] for name in FAMILIES[sample.name])] = sample.value
    return found


def values(exposition, name):
    """{label values: value} of one series name."""
    families = text_string_to_metric_families(exposition)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return {tuple(sample.labels.values()): sample.value for sample in samples}


def parent_of(span):
    return span.parent and span.parent.span_id


def told(span):
    """What an attempt's span says of how it went."""
    attributes = span.attributes
    return attributes["gwz.outcome"], attributes.get("error.type"), span.status.status_code.name


@pytest.fixture
def backend():
    with capture() as captured:
        made = Backend(captured.instrument)
        made.captured = captured
        yield made
        made.stop()


@pytest.fixture
def exporting(monkeypatch, caplog, receiver, loki):
    """As `backend`, with spans and lines that leave the process; `told` are all texts that did."""
    caplog.set_level(logging.INFO)  # httpx's own lines are of that level, and have URLs
    monkeypatch.setattr(recordings, "_installed", [])
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    def exported(app, **settings):
        registry = CollectorRegistry()
        return instrument(app, registry=registry, otlp_endpoint=receiver.url, loki_url=loki.url, **settings)

    made = Backend(exported)
    yield made
    made.stop()
    made.state.telemetry.shutdown(5)


@pytest.fixture
def ledger():
    return Ledger()


def test_a_request_of_each_kind_causes_what_it_is_known_to_cause_and_nothing_else(backend, ledger):
    for name, kind in KINDS.items():
        backend.chat(kind)
        ledger.chat(kind, PROMPT)
        assert (name, backend.settled_differences(ledger)) == (name, {})
    backend.check(ledger)


def test_requests_of_all_kinds_at_once_are_recorded_as_one_by_one(backend, ledger):
    """Two of each kind, as many at a time as there are threads, each with a prompt of its own."""
    work = [(kind, "x" * (20 + number)) for number, kind in enumerate([*KINDS.values()] * 2)]
    with ThreadPoolExecutor(24) as pool:
        for done in [pool.submit(backend.chat, *each) for each in work]:
            done.result(60)
    for each in work:
        ledger.chat(*each)
    backend.check(ledger)


def test_the_ledger_tells_one_count_too_many_or_too_few(backend, ledger):
    """Else the tests above would prove nothing."""
    backend.chat(KINDS["answered"])
    ledger.chat(KINDS["answered"], PROMPT)
    backend.check(ledger)
    found = counted(generate_latest(backend.state.telemetry.registry).decode())
    for name, labels in ((name, labels) for name, series in found.items() for labels in series):
        for change in (-1, 1e-8 if name in MONEY else 1):
            changed = {**found, name: {**found[name], labels: found[name][labels] + change}}
            assert list(ledger.differences(changed)) == [name]
    stray = {**found, "credits_used_total": {**found["credits_used_total"], ("groq", MODEL): 1e-8}}
    assert list(ledger.differences(stray)) == ["credits_used_total"]


def test_a_failover_is_one_call_with_a_span_for_each_attempt(backend):
    backend.chat(KINDS["failed over"])
    shapes.until(lambda: backend.captured.spans(f"POST {CHAT}"))
    request, call = backend.span(f"POST {CHAT}"), backend.span(f"chat {MODEL}")
    assert parent_of(call) == request.context.span_id
    assert told(call) == ("success", None, "UNSET")
    assert call.attributes["gen_ai.provider.name"] == "openrouter"
    assert call.attributes["gwz.attempts"] == 3
    assert call.attributes["gen_ai.usage.input_tokens"] == len(PROMPT)
    attempts = [backend.span(f"chat {MODEL} at {provider}") for provider in ("fireworks", "together", "openrouter")]
    assert [told(attempt) for attempt in attempts] == [
        ("error", "APIStatusError", "ERROR"),
        ("timeout", "ReadTimeout", "ERROR"),
        ("success", None, "UNSET"),
    ]
    assert [attempt.attributes["gwz.attempt"] for attempt in attempts] == [1, 2, 3]
    assert {parent_of(attempt) for attempt in attempts} == {call.context.span_id}
    assert attempts[2].attributes["gen_ai.response.model"] == f"openrouter/{MODEL}"

    asked = backend.captured.spans("POST")  # what the attached client sent, and the provider received
    assert [parent_of(span) for span in asked] == [attempt.context.span_id for attempt in attempts]
    sent = [headers["traceparent"].split("-")[1:3] for _, headers, _ in backend.providers.seen]
    assert sent == [[f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"] for span in asked]
    assert {span.context.trace_id for span in [call, *attempts, *asked]} == {request.context.trace_id}


def test_the_time_of_an_attempt_is_its_provider_s_and_the_call_s_is_all_of_it(backend):
    backend.chat(KINDS["failed over"])
    shapes.until(lambda: backend.captured.spans(f"POST {CHAT}"))
    seconds = values(backend.scrape(), "provider_response_time_seconds_sum")
    (whole,) = values(backend.scrape(), "model_inference_duration_seconds_sum").values()
    assert seconds["together",] >= 0.15
    assert sum(seconds.values()) <= whole
    call = backend.span(f"chat {MODEL}")
    assert whole == pytest.approx((call.end_time - call.start_time) / 1e9, abs=0.1)


def test_a_request_s_line_says_what_its_call_became(backend):
    backend.chat(KINDS["failed over"])
    shapes.until(lambda: backend.captured.lines(logger="gwz_instrument.inference"))
    shapes.until(lambda: backend.captured.lines(logger="gwz_instrument.request"))
    fields = backend.line("request", path=CHAT).fields
    assert {name: fields[name] for name in ("provider", "model", "attempts", "outcome", "stream", "input_tokens")} == {
        "provider": "openrouter",
        "model": MODEL,
        "attempts": 3,
        "outcome": "success",
        "stream": False,
        "input_tokens": len(PROMPT),
    }
    late = backend.line("inference")  # the price came after the call
    assert late.fields["cost_usd"] == pytest.approx(len(PROMPT) * 0.000003 + 7 * 0.000015, rel=0, abs=1e-9)
    assert late.metadata["trace_id"] == f"{backend.span(f'chat {MODEL}').context.trace_id:032x}"


def test_a_thread_that_answers_after_its_deadline_changes_nothing(backend, ledger):
    backend.chat(KINDS["given up"])
    ledger.chat(KINDS["given up"], PROMPT)
    assert backend.state.stragglers == ["openrouter"]
    backend.providers.release.set()
    shapes.until(lambda: backend.state.stragglers == ["openrouter", "huggingface"])
    assert told(backend.span(f"chat {MODEL} at huggingface")) == ("timeout", "TimeoutError", "ERROR")
    backend.check(ledger)


def test_a_generator_may_swallow_what_breaks_its_stream(backend):
    """The request has gone well, and the call has not."""
    said = backend.chat(KINDS["broken"]).split("\n\n")
    assert said == ['data: "Good "', 'data: {"error": "RemoteProtocolError"}', "data: [DONE]", ""]
    shapes.until(lambda: backend.captured.lines(logger="gwz_instrument.request"))
    shapes.until(lambda: backend.captured.spans(f"POST {CHAT}"))
    request = backend.span(f"POST {CHAT}")
    assert (request.attributes["gwz.outcome"], request.status.status_code.name) == ("success", "UNSET")
    fields = backend.line("request").fields
    assert (fields["outcome"], fields["status_code"], fields["error_type"]) == ("success", 200, "RemoteProtocolError")
    for name in (f"chat {MODEL}", f"chat {MODEL} at deepinfra"):
        assert told(backend.span(name)) == ("stream_error", "RemoteProtocolError", "ERROR")


def test_each_chunk_may_be_asked_for_by_another_thread(backend):
    """And the stream is the client's own: what it has besides, and its end."""
    assert backend.chat(KINDS["read by executors"]).endswith("data: [DONE]\n\n")
    (stream,) = backend.state.streams
    assert stream.closed
    assert len(set(stream.threads)) == 2
    assert all(one != other for one, other in zip(stream.threads, stream.threads[1:], strict=False))
    call = backend.span(f"chat {MODEL}")
    assert call.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert call.attributes["gen_ai.usage.output_tokens"] == shapes.OUTPUT_TOKENS


def test_an_estimate_is_visible(backend):
    backend.chat(KINDS["not reported"])
    shapes.until(lambda: len(backend.captured.lines(logger="gwz_instrument.inference")) == 2)
    tokens, price = backend.captured.lines(logger="gwz_instrument.inference")
    assert (tokens.fields["input_tokens"], tokens.fields["output_tokens"]) == (len(PROMPT) // 4, 4)
    assert tokens.fields["estimated"] is True
    assert "cost_usd" in price.fields


def test_a_client_that_leaves_is_told_from_a_stream_that_nobody_reads(backend, ledger):
    kinds = [kind for kind in KINDS.values() if kind.leaves or kind.ends == "abandoned"]
    for kind in kinds:
        backend.chat(kind)
        ledger.chat(kind, PROMPT)
    backend.check(ledger)
    for name, provider in ((f"chat {MODEL}", None), (f"chat {MODEL} at ", "featherless")):
        left = backend.captured.spans(name + (provider or ""), gen_ai_provider_name="featherless")
        assert [told(span)[0] for span in left] == ["client_disconnected"] * 5
    assert told(backend.span(f"chat {MODEL}", gen_ai_provider_name="openrouter")) == ("abandoned", None, "ERROR")
    requests = [span for span in backend.captured.spans() if span.name.startswith("POST /")]
    assert sorted(span.attributes["gwz.outcome"] for span in requests) == ["client_disconnected"] * 5 + ["error"]


# The database


QUERIES = {
    "select": ("users", "select", 200),
    "insert": ("activity_log", "insert", 200),
    "upsert": ("user_credits", "upsert", 200),
    "update": ("users", "update", 200),
    "delete": ("sessions", "delete", 200),
    "rpc": ("deduct_credits", "rpc", 200),
    "conflict": ("chat_history", "insert", 409),
    "missing": ("_other", "select", 404),
}
"""What the application is asked for → table, operation and status."""


def test_queries_over_http_are_counted_by_table_and_operation(backend, ledger):
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(backend.ask_database, what, status) for what, (*_, status) in QUERIES.items() for _ in range(3)
        ]
        for done in asked:
            done.result(60)
    for table, operation, status in QUERIES.values():
        for _ in range(3):
            ledger.request("GET", DATABASE, status)
            ledger.query(table, operation)
    backend.check(ledger)


def test_a_query_has_one_span_with_its_failure_and_no_text(backend):
    for what, (*_, status) in QUERIES.items():
        backend.ask_database(what, status)
    spans = backend.captured.spans(db_system_name="postgresql")
    assert [(span.name, span.attributes.get("error.type"), span.status.status_code.name) for span in spans] == [
        ("select users", None, "UNSET"),
        ("insert activity_log", None, "UNSET"),
        ("upsert user_credits", None, "UNSET"),
        ("update users", None, "UNSET"),
        ("delete sessions", None, "UNSET"),
        ("rpc deduct_credits", None, "UNSET"),
        ("insert chat_history", "409", "ERROR"),
        ("select no_such_table", "404", "ERROR"),
    ]
    shapes.until(lambda: len(backend.captured.spans(f"GET {DATABASE}")) == len(QUERIES))
    requests = {span.context.span_id for span in backend.captured.spans(f"GET {DATABASE}")}
    assert {parent_of(span) for span in spans} == requests


class Told:
    """What left the process, as text, once it has."""

    def __init__(self, backend, receiver, loki, *, spans):
        shapes.until(lambda: backend.state.telemetry.force_flush(10) and len(receiver.spans) >= spans)
        own = str(backend.client.base_url)  # which the test's client, that is not attached, logs
        scraped = backend.scrape(OPENMETRICS)
        samples = [sample for family in openmetrics_families(scraped) for sample in family.samples]
        self.exemplars = [str(sample.exemplar.labels) for sample in samples if sample.exemplar]
        self.spans = [str(span) for span in receiver.spans]
        self.lines = [f"{line} {metadata}" for _, _, line, metadata in loki.lines if own not in line]
        self.all = [scraped, *self.exemplars, *self.spans, *self.lines]

    def holding(self, *texts):
        return [(text, told) for told in self.all for text in texts if text in told]


CRASHED = "Exception in ASGI application"
OVER_HTTP = pytest.mark.parametrize("protocol", ["http/protobuf"])


@OVER_HTTP
def test_no_span_line_or_exemplar_has_a_key_or_a_query(exporting, receiver, loki):
    for what, (*_, status) in QUERIES.items():
        exporting.ask_database(what, status)
    for name in ("answered", "read in a threadpool", "broken"):
        exporting.chat(KINDS[name])
    assert sum(KEY in path for path, _, _ in exporting.database.seen) >= 5  # they were sent
    # Each request and its query; three with a call, an attempt and what was sent; of two of them the late queries.
    spans = 2 * (len(QUERIES) + 3) + 3 * 3 + 2 * 2
    told = Told(exporting, receiver, loki, spans=spans)
    assert len(told.spans) == spans
    assert len(told.exemplars) > 5
    assert sum("HTTP Request: POST" in line and "/rest/v1/" in line for line in told.lines) == 8
    assert told.holding(KEY, shapes.EMAIL, "api_key=", "on_conflict", "select=id", "columns=", "eq.") == []


@OVER_HTTP
def test_an_exception_that_holds_a_url_takes_no_key_along(exporting, ledger, receiver, loki):
    """Its text is in the server span, and in the traceback that the server logs."""
    last = {"connection": "close"}  # the server does so in any case
    assert exporting.client.get("/crash", params={"api_key": KEY}, headers=last).status_code == 500
    ledger.request("GET", "/crash", 500)
    ledger.query("chat_history", "insert")
    ledger.add("fastapi_exceptions_total", "HTTPStatusError")
    # The server logs it once all of ours is said.
    shapes.until(
        lambda: exporting.state.telemetry.force_flush(10) and any(CRASHED in line for _, _, line, _ in loki.lines)
    )
    told = Told(exporting, receiver, loki, spans=2)
    (span,) = (span for span in told.spans if "GET /crash" in span)
    (line,) = (line for line in told.lines if CRASHED in line)
    for text in (span, line):
        assert "/rest/v1/chat_history?api_key=[redacted]" in text
    assert told.holding(KEY) == []
    exporting.check(ledger)
