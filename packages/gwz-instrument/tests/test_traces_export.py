"""Spans on their way out: delivered by HTTP and gRPC, each one counted, no secret among them, no end delayed."""

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import grpc
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from gwz_instrument import traces
from gwz_instrument.redact import redact
from gwz_instrument.settings import Settings
from gwz_instrument.span_export import Account, Outlet
from gwz_instrument.span_text import cleaned, encodable

HTTP, GRPC = "http/protobuf", "grpc"
BOTH = pytest.mark.parametrize("protocol", [HTTP, GRPC])
TOKEN = "Bearer abcdef0123456789abcdef0123456789"
CONTEXT = SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=TraceFlags(1))


class World:
    """Traces of a provider of their own, and what was counted."""

    def __init__(self, url, protocol):
        self.counted = Counter()
        self._lock = threading.Lock()
        provider = TracerProvider(shutdown_on_exit=False, resource=Resource({"service.name": "gw"}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trace, "get_tracer_provider", lambda: provider)
            settings = Settings(environ={}, otlp_endpoint=url, otlp_protocol=protocol)
            self.traces = traces.start(settings, count=self.count)

    def count(self, signal, word, number):
        assert signal == "traces"
        with self._lock:
            self.counted[word] += number

    def end(self, number=1, name="probe"):
        for _ in range(number):
            self.traces.tracer.start_span(name).end()

    def close(self, timeout_s=5):
        self.traces.shutdown(timeout_s)
        return dict(self.counted)


@pytest.fixture
def world():
    """Makes worlds and closes them."""
    made = []

    def make(url, protocol=HTTP):
        made.append(World(url, protocol))
        return made[-1]

    yield make
    for one in made:
        one.close(0)


@BOTH
def test_what_ends_arrives_with_its_ids_and_times(world, receiver, protocol):
    here = world(receiver.url, protocol)
    span = here.traces.tracer.start_span("GET /users/{id}", start_time=1_700_000_000_000_000_000)
    span.set_attribute("http.response.status_code", 200)
    span.end(1_700_000_000_250_000_000)
    assert here.traces.force_flush(10)
    (arrived,) = receiver.spans
    assert arrived.name == "GET /users/{id}"
    assert int.from_bytes(arrived.trace_id) == span.get_span_context().trace_id
    assert (arrived.start_time_unix_nano, arrived.end_time_unix_nano) == (
        1_700_000_000_000_000_000,
        1_700_000_000_250_000_000,
    )
    assert here.close() == {"delivered": 1}


@BOTH
def test_a_kept_span_arrives_as_the_one_that_was_not_sampled(world, receiver, protocol):
    here = world(receiver.url, protocol)
    unsampled = SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=TraceFlags(0))
    caller = SpanContext(0xAB, 0xEF, is_remote=True, trace_flags=TraceFlags(0))
    here.traces.keep(
        name="POST /v1/chat/completions",
        context=unsampled,
        parent=caller,
        attributes={"gwz.outcome": "error", "secret": TOKEN},
        start_ns=1_700_000_000_000_000_000,
        end_ns=1_700_000_012_000_000_000,
        failed=True,
        exception=RuntimeError("upstream died"),
    )
    assert here.traces.force_flush(10)
    (arrived,) = receiver.spans
    ids = [int.from_bytes(one) for one in (arrived.trace_id, arrived.span_id, arrived.parent_span_id)]
    assert ids == [0xAB, 0xCD, 0xEF]
    assert arrived.end_time_unix_nano - arrived.start_time_unix_nano == 12_000_000_000
    assert (arrived.kind, arrived.status.code) == (arrived.SPAN_KIND_SERVER, arrived.status.STATUS_CODE_ERROR)
    said = {one.key: one.value for one in arrived.attributes}
    assert said["gwz.kept"].bool_value is True
    assert said["gwz.outcome"].string_value == "error"
    assert TOKEN not in said["secret"].string_value
    assert [event.name for event in arrived.events] == ["exception"]


@BOTH
def test_the_variables_of_opentelemetry_reach_the_exporter(world, receiver, protocol, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    here = world(receiver.url, protocol)
    here.end()
    assert here.traces.force_flush(10)
    assert len(receiver.spans) == 1
    assert receiver.headers[0]["x-tenant"] == "blue"
    if protocol == HTTP:  # gRPC's own layer undoes and hides it
        assert receiver.headers[0]["content-encoding"] == "gzip"


@pytest.fixture
def impatient(monkeypatch):
    """The exporters give up after a second."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("protocol", "answer", "word"),
    [
        (HTTP, 400, "rejected"),
        (HTTP, 401, "rejected"),
        (HTTP, 413, "rejected"),
        (HTTP, 429, "failed"),
        (GRPC, grpc.StatusCode.INVALID_ARGUMENT, "rejected"),
        (GRPC, grpc.StatusCode.UNAUTHENTICATED, "rejected"),
        (GRPC, grpc.StatusCode.INTERNAL, "failed"),
    ],
)
def test_a_batch_that_does_not_arrive_is_counted_by_who_is_to_blame(world, receiver, protocol, answer, word):
    here = world(receiver.url, protocol)
    receiver.answers += [answer] * 9
    here.end(3)
    assert not here.traces.force_flush(10)
    assert here.counted == {word: 3}


@pytest.mark.parametrize("protocol", [HTTP])
def test_spans_that_the_receiver_refused_among_others_are_counted(world, receiver, protocol):
    receiver.answers.append(ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=2)))
    here = world(receiver.url, protocol)
    here.end(5)
    here.traces.force_flush(10)
    here.end(1)
    here.traces.force_flush(10)
    assert here.counted == {"delivered": 4, "rejected": 2}


@pytest.mark.parametrize("protocol", [HTTP])
def test_an_outage_is_two_lines_however_long_it_lasts(world, receiver, protocol, caplog):
    here = world(receiver.url.replace("http://", "http://user:hunter2@"), protocol)
    receiver.answers += [400] * 3
    for _ in range(5):
        here.end(2)
        here.traces.force_flush(10)
    lines = [(record.name, record.getMessage()) for record in caplog.records]
    assert [name for name, _ in lines] == ["gwz_instrument", "gwz_instrument"]
    assert "400" in lines[0][1]
    assert "6 were lost" in lines[1][1]
    assert "hunter2" not in str(lines)


def test_what_other_exporters_log_is_not_ours_to_silence(caplog):
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("theirs")
    assert caplog.messages == ["theirs"]


class Scripted(SpanExporter):
    """An exporter whose every batch ends as the script says, then well."""

    def __init__(self, script=()):
        self.script, self.batches = list(script), []
        self.gate = threading.Event()
        self.gate.set()

    def export(self, spans):
        self.gate.wait()
        outcome = self.script.pop(0) if self.script else SpanExportResult.SUCCESS
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is SpanExportResult.SUCCESS:
            self.batches.append(list(spans))
        return outcome


class Memory:
    """An outlet to a scripted exporter."""

    def __init__(self, exporter):
        self.counted, self.exporter = Counter(), exporter
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.outlet = Outlet(self.provider, "", "memory", self.count, make_exporter=lambda _: exporter)
        self.outlet.join(self, self.count)
        self.provider.add_span_processor(self.outlet)
        self._lock = threading.Lock()

    def count(self, _signal, word, number):
        with self._lock:
            self.counted[word] += number

    def end(self, number):
        tracer = self.provider.get_tracer("t")
        for _ in range(number):
            tracer.start_span("probe").end()


@pytest.fixture
def memory():
    made = []

    def make(exporter):
        made.append(Memory(exporter))
        return made[-1]

    yield make
    for one in made:
        one.exporter.gate.set()
        one.outlet.close(5)


OUTCOMES = [
    SpanExportResult.SUCCESS,
    SpanExportResult.FAILURE,
    ConnectionError("refused"),
    ValueError("a bug"),
]


@given(
    script=st.lists(st.sampled_from(OUTCOMES), max_size=8),
    bursts=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    queue=st.integers(1, 40),
    in_time=st.booleans(),
    data=st.data(),
)
@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_ended_span_is_counted_exactly_once(script, bursts, queue, in_time, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(queue))
        patch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(data.draw(st.integers(1, queue))))
        here = Memory(Scripted(script))
    if not in_time:
        here.exporter.gate.clear()
    threads = [threading.Thread(target=here.end, args=(burst,)) for burst in bursts]
    for thread in threads:
        thread.start()
    here.outlet.flush(0.02)
    if data.draw(st.booleans()):
        here.outlet.close(0.02)
    for thread in threads:
        thread.join()
    here.outlet.close(5 if in_time else 0.02)
    before = here.counted.total()
    here.exporter.gate.set()
    here.end(3)
    assert (before, here.counted.total()) == (sum(bursts), sum(bursts) + 3)
    assert here.counted["delivered"] <= sum(bursts)
    assert here.counted["shutdown"] >= 3


def test_past_the_queue_every_span_is_dropped_and_counted_and_the_sdk_drops_none(memory, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    here = memory(Scripted())
    here.exporter.gate.clear()
    here.end(50)
    assert here.counted == {"queue_full": 30}
    here.exporter.gate.set()
    assert here.outlet.flush(5)
    assert here.counted == {"queue_full": 30, "delivered": 20}
    assert sum(map(len, here.exporter.batches)) == 20
    assert caplog.records == []


def test_what_was_given_up_is_not_sent_afterwards(memory, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "40")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    before = set(threading.enumerate())
    here = memory(Scripted())
    workers = set(threading.enumerate()) - before
    here.exporter.gate.clear()
    here.end(30)
    here.outlet.close(0.05)
    assert here.counted == {"shutdown": 30}
    here.exporter.gate.set()
    for worker in workers:
        worker.join(10)
    assert sum(map(len, here.exporter.batches)) <= 5  # the batch that was under way


def test_a_span_may_end_while_the_thread_is_busy_with_the_account(memory):
    """As in the finalizer of a generator that the garbage collector runs: a lock would never be free again."""
    here = memory(Scripted())

    def end_while_busy():
        with here.outlet._account._progress:
            here.end(1)

    thread = threading.Thread(target=end_while_busy, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert here.outlet.flush(5)
    assert here.counted == {"delivered": 1}


def test_what_is_given_up_twice_is_counted_once():
    """A provider and an application may close at the same time."""
    counted = Counter()
    account = Account(5, lambda _signal, word, number: counted.update({word: number}))
    assert account.take()
    assert account.take()
    account.refuse()
    assert (account.close(), account.close()) == (2, 0)
    assert counted == {"shutdown": 2}


def test_unsampled_spans_are_not_ours_to_count(memory):
    here = memory(Scripted())
    here.outlet.on_end(ReadableSpan("x", SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0))))
    here.outlet.on_end(ReadableSpan("x", None))
    assert here.outlet.flush(5)
    assert here.counted == {}


def test_a_fault_of_the_exporter_is_counted_as_one_and_the_next_batch_goes_out(memory):
    here = memory(Scripted([ValueError("a bug"), SpanExportResult.FAILURE, OSError("network")]))
    for _ in range(4):
        here.end(2)
        here.outlet.flush(5)
    assert here.counted == {"fault": 2, "failed": 4, "delivered": 2}


def test_a_span_that_cannot_be_redacted_stays_and_the_others_go(memory, monkeypatch, caplog):
    def broken(text):
        if "poison" in text:
            raise RecursionError
        return text

    monkeypatch.setattr("gwz_instrument.span_text.redact", broken)
    here = memory(Scripted())
    for name in ("a", "poison", "b", "poison"):
        here.provider.get_tracer("t").start_span(name).end()
    here.outlet.flush(5)
    assert here.counted == {"delivered": 2, "fault": 2}
    assert [span.name for batch in here.exporter.batches for span in batch] == ["a", "b"]
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info


def test_the_last_application_to_leave_closes_and_the_next_opens_again(memory):
    here = memory(Scripted())
    other, third = object(), object()
    here.outlet.join(other, here.count)
    here.outlet.leave(here, 5)
    here.outlet.leave(here, 5)
    here.end(1)
    here.outlet.leave(other, 5)
    assert here.counted == {"delivered": 1}
    here.end(1)
    here.outlet.join(third, here.count)
    here.end(1)
    here.outlet.leave(third, 5)
    assert here.counted == {"delivered": 2, "shutdown": 1}


@contextlib.contextmanager
def dead(kind):
    """The address of a receiver that refuses, accepts and never answers, or does not even accept."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        if kind == "hangs":
            server.listen(64)
        elif kind == "backlog full":
            server.listen(0)
            for _ in range(3):
                caller = waiting.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}"


DEAD = pytest.mark.parametrize("kind", ["refuses", "hangs", "backlog full"])


@BOTH
@DEAD
def test_a_dead_receiver_delays_neither_flush_nor_shutdown(world, protocol, kind):
    with dead(kind) as url:
        here = world(url, protocol)
        here.end(700)
        start = time.monotonic()
        assert not here.traces.force_flush(0.3)
        flushed = time.monotonic()
        counted = here.close(0.3)
        closed = time.monotonic()
    assert flushed - start < 0.8
    assert closed - flushed < 0.8
    assert sum(counted.values()) == 700
    assert set(counted) <= {"failed", "shutdown"}


@BOTH
def test_a_provider_that_is_shut_down_with_a_dead_receiver_waits_as_long_as_an_exit(world, protocol):
    with dead("hangs") as url:
        here = world(url, protocol)
        here.end(1)
        start = time.monotonic()
        assert not here.traces.provider.force_flush(200)
        here.traces.provider.shutdown()
        here.traces.provider.shutdown()
        assert time.monotonic() - start < 0.2 + traces.EXIT_S + 0.5
    assert here.counted == {"shutdown": 1}


@BOTH
def test_shutdown_delivers_all_that_is_finished(world, receiver, protocol):
    here = world(receiver.url, protocol)
    here.end(1500)
    assert here.close(20) == {"delivered": 1500}
    assert len(receiver.spans) == 1500


EXIT = """
import atexit, sys, time
from gwz_instrument import traces
from gwz_instrument.redact import redact
from gwz_instrument.settings import Settings

url, protocol = sys.argv[1:]
started = traces.start(Settings(environ={}, otlp_endpoint=url, otlp_protocol=protocol))
for _ in range(700):
    started.tracer.start_span("probe").end()
atexit.register(started.shutdown)
print(time.monotonic(), flush=True)
"""


@BOTH
@DEAD
def test_a_process_with_a_dead_receiver_ends_within_two_seconds(protocol, kind):
    with dead(kind) as url:
        done = subprocess.run(
            [sys.executable, "-c", EXIT, url, protocol], capture_output=True, text=True, timeout=30, check=True
        )
        ended = time.monotonic()
    assert ended - float(done.stdout) < 2 * 3  # a clock in a test: a factor of three beyond the two seconds
    assert len(done.stderr.splitlines()) <= 2


FORK = """
import json, os, sys
from collections import Counter
from gwz_instrument import traces
from gwz_instrument.redact import redact
from gwz_instrument.settings import Settings

url, protocol = sys.argv[1:]
counted = Counter()
started = traces.start(
    Settings(environ={}, otlp_endpoint=url, otlp_protocol=protocol),
    count=lambda signal, word, number: counted.update({word: number}),
)

def end(name, number):
    for _ in range(number):
        started.tracer.start_span(name).end()

end("before", 4)
assert started.force_flush(10)
end("pending", 3)
children = []
for _ in range(3):
    if (child := os.fork()) == 0:
        counted.clear()
        end("child", 5)
        flushed = started.force_flush(3)  # sooner than the batch processor would by itself
        started.shutdown(10)
        os._exit(0 if flushed and counted == {"delivered": 5} else 1)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
started.shutdown(10)
print(json.dumps([statuses, counted]))
"""


@BOTH
def test_children_send_their_own_spans_by_their_own_connections_and_none_of_the_parent_s(receiver, protocol):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, receiver.url, protocol],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == [[0, 0, 0], {"delivered": 7}]
    assert Counter(span.name for span in receiver.spans) == {"before": 4, "pending": 3, "child": 15}
    assert len(receiver.peers) == 4


def test_a_span_with_nothing_to_hide_is_passed_as_it_is():
    span = ReadableSpan(
        "GET /",
        CONTEXT,
        attributes={"a": "text", "n": 1, "list": ("a", "b")},
        events=[Event("e", {"k": "v"})],
        links=[Link(CONTEXT, {"k": "v"})],
        status=Status(StatusCode.ERROR, "plain"),
    )
    assert cleaned(span) is span


@pytest.mark.parametrize(
    "given",
    [
        {"name": TOKEN},
        {"attributes": {"a": TOKEN}},
        {"attributes": {"a": ("x", TOKEN)}},
        {"attributes": {TOKEN: "a"}},
        {"events": [Event("e"), Event("exception", {"exception.message": TOKEN}, 7)]},
        {"events": [Event(TOKEN)]},
        {"links": [Link(CONTEXT, {"a": TOKEN})]},
        {"status": Status(StatusCode.ERROR, TOKEN)},
    ],
)
def test_a_secret_leaves_no_part_of_a_span(given):
    span = ReadableSpan(**{"name": "GET /", "context": CONTEXT, "start_time": 1, "end_time": 2, **given})
    clean = cleaned(span)
    assert TOKEN in span.to_json()
    assert TOKEN.split()[1] not in clean.to_json()
    assert (clean.context, clean.start_time, clean.end_time, clean.kind) == (CONTEXT, 1, 2, span.kind)


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [TOKEN, "password=", "hunter2", "sk-abcdefgh12345678", "https://u:p@h/", "a@b.example", "\n", "{", '"']
    ),
)
values = st.one_of(texts, st.integers(-(2**65), 2**65), st.booleans(), st.lists(texts, max_size=3).map(tuple))


@given(name=texts, attributes=st.dictionaries(st.sampled_from("abcdé"), values), described=texts)
def test_every_text_of_a_span_is_redacted_as_it_would_be_alone(name, attributes, described):
    span = ReadableSpan(name, CONTEXT, attributes=attributes, status=Status(StatusCode.ERROR, described))
    clean = cleaned(span)
    assert clean.name == encodable(redact(name))
    assert clean.status.description == encodable(redact(described))
    for key, value in attributes.items():
        if isinstance(value, str):
            assert clean.attributes[key] == encodable(redact(value))
        elif isinstance(value, tuple):
            assert clean.attributes[key] == tuple(encodable(redact(one)) for one in value)
        elif abs(value) < 2**63:
            assert clean.attributes[key] is value
        else:
            assert int(clean.attributes[key]) == value


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        ((1, 2**63), (1, "9223372036854775808")),
        ("\ud83d", "?"),
        (("a", "\ud83d"), ("a", "?")),
    ],
)
def test_a_value_that_protobuf_cannot_carry_is_replaced_alone(value, carried):
    clean = cleaned(ReadableSpan("GET /", CONTEXT, attributes={"a": value, "b": 1}))
    assert dict(clean.attributes) == {"a": carried, "b": 1}


@pytest.mark.parametrize("protocol", [HTTP])
def test_what_protobuf_cannot_carry_does_not_cost_the_batch(world, receiver, protocol):
    here = world(receiver.url, protocol)
    span = here.traces.tracer.start_span("half \ud83d")
    span.set_attributes({"half": "\ud83d", "big": 2**64, "list": ["\ud83d", "b"], "whole": "😀"})
    span.end()
    here.end(1)
    assert here.traces.force_flush(10)
    first, second = receiver.spans
    said = {one.key: one.value for one in first.attributes}
    assert (first.name, second.name) == ("half ?", "probe")
    assert (said["half"].string_value, said["whole"].string_value) == ("?", "😀")
    assert said["big"].string_value == "18446744073709551616"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "plain-words"),
        ("db.password", "correct horse"),
        ("http.request.header.authorization", ("plain-words",)),
        ("http.request.header.x_api_key", ("plain-words",)),
    ],
)
def test_a_secret_that_only_its_name_tells_is_hidden(name, value):
    span = ReadableSpan(
        "GET /",
        CONTEXT,
        attributes={name: value, "kept": "text"},
        events=[Event("e", {name: value})],
        links=[Link(CONTEXT, {name: value})],
    )
    clean = cleaned(span)
    assert dict(clean.attributes) == {name: "[redacted]", "kept": "text"}
    assert dict(clean.events[0].attributes) == {name: "[redacted]"}
    assert dict(clean.links[0].attributes) == {name: "[redacted]"}


@pytest.mark.parametrize("name", ["gen_ai.usage.input_tokens", "gen_ai.token.type", "gen_ai.request.max_tokens"])
def test_a_number_of_tokens_is_no_secret(name):
    span = ReadableSpan("chat", CONTEXT, attributes={name: 12})
    assert cleaned(span) is span
