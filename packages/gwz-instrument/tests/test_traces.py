"""The provider, what it samples and says of itself, the remote parent, the kept span."""

import logging
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util._once import Once

from gwz_instrument import traces
from gwz_instrument.late_spans import LateSpan
from gwz_instrument.settings import Settings, SettingsError
from gwz_instrument.span_ends import SpanEnd
from gwz_instrument.span_export import Outlet
from gwz_instrument.traces import Traces, attribute, parent

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing of these tests is sent
TRACE_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLED = SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(1))
UNSAMPLED = SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(0))


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process without a tracer provider; what a test starts is closed after it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    started = []
    start = traces.start

    def remember(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(traces, "start", remember)
    yield
    for one in started:
        if one is not None:
            one.shutdown(0)


def settings(**given):
    return Settings(environ={}, **{"otlp_endpoint": NOWHERE, **given})


def is_sampled(started, remote=None):
    context = None if remote is None else trace.set_span_in_context(trace.NonRecordingSpan(remote))
    span = started.tracer.start_span("probe", context)
    return span.get_span_context().trace_flags.sampled


def test_the_sdk_loads_when_traces_start_and_not_before():
    code = "import sys, gwz_instrument.traces; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_without_an_endpoint_there_are_no_traces():
    assert traces.start(settings(otlp_endpoint=None)) is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_our_provider_becomes_the_process_s_when_there_is_none():
    started = traces.start(settings())
    assert trace.get_tracer_provider() is started.provider


@pytest.mark.parametrize(
    ("name", "ratio", "root", "under_sampled", "under_unsampled"),
    [
        ("always_off", 1.0, False, False, False),
        ("always_on", 0.0, True, True, True),
        ("parentbased_always_off", 1.0, False, True, False),
        ("parentbased_always_on", 0.0, True, True, False),
        ("parentbased_traceidratio", 0.0, False, True, False),
        ("parentbased_traceidratio", 1.0, True, True, False),
        ("traceidratio", 0.0, False, False, False),
        ("traceidratio", 1.0, True, True, True),
    ],
)
def test_each_sampler_treats_roots_and_remote_parents_as_its_name_says(
    name, ratio, root, under_sampled, under_unsampled
):
    started = traces.start(settings(traces_sampler=name, traces_sampler_arg=ratio))
    assert (is_sampled(started), is_sampled(started, SAMPLED), is_sampled(started, UNSAMPLED)) == (
        root,
        under_sampled,
        under_unsampled,
    )


def test_the_ratio_keeps_about_its_share_of_the_roots():
    started = traces.start(settings(traces_sampler="parentbased_traceidratio", traces_sampler_arg=0.25))
    kept = sum(is_sampled(started) for _ in range(2000))
    assert 400 < kept < 600  # five standard deviations


RAILWAY = {
    "RAILWAY_PROJECT_NAME": "gatewayz",
    "RAILWAY_GIT_COMMIT_SHA": "8f3c1d",
    "RAILWAY_REPLICA_ID": "replica-7",
    "RAILWAY_DEPLOYMENT_ID": "deploy-3",
    "RAILWAY_REPLICA_REGION": "us-west2",
}


def attributes_of(started):
    return started.provider.resource.attributes


def test_the_resource_tells_service_environment_and_where_railway_runs_it(monkeypatch):
    for name, value in RAILWAY.items():
        monkeypatch.setenv(name, value)
    told = attributes_of(traces.start(settings(service_name="gw", environment="development")))
    expected = {
        "service.name": "gw",
        "deployment.environment.name": "development",
        "service.namespace": "gatewayz",
        "service.version": "8f3c1d",
        "service.instance.id": "replica-7",
        "deployment.id": "deploy-3",
        "cloud.region": "us-west2",
        "telemetry.sdk.language": "python",
    }
    assert {name: told.get(name) for name in expected} == expected


def test_resource_attributes_of_the_user_come_before_railway_s_and_never_before_the_service_name(monkeypatch):
    for name, value in RAILWAY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "service.version=2.0.3,deployment.environment.name=blue,team=core,service.name=x"
    )
    told = attributes_of(traces.start(settings(service_name="gw")))
    assert (told["service.version"], told["deployment.environment.name"], told["team"], told["service.name"]) == (
        "2.0.3",
        "blue",
        "core",
        "gw",
    )
    assert told["service.instance.id"] == "replica-7"


def test_outside_railway_the_resource_claims_nothing_of_it(monkeypatch):
    for name in RAILWAY:
        monkeypatch.delenv(name, raising=False)
    assert not {"service.version", "deployment.id", "cloud.region"} & set(attributes_of(traces.start(settings())))


class Counting(TracerProvider):
    """The SDK's provider, with the processors that were added to it."""

    def __init__(self, **options):
        super().__init__(shutdown_on_exit=False, **options)
        self.added = []

    def add_span_processor(self, span_processor):
        self.added.append(span_processor)
        super().add_span_processor(span_processor)


def test_a_provider_that_is_there_is_joined_and_keeps_its_sampler_and_resource():
    theirs = Counting(sampler=sampling.ALWAYS_OFF, resource=Resource({"service.name": "theirs"}))
    trace.set_tracer_provider(theirs)
    started = traces.start(settings(traces_sampler="always_on"))
    assert started.provider is theirs
    assert len(theirs.added) == 1
    assert not is_sampled(started)
    assert attributes_of(started)["service.name"] == "theirs"


def test_two_applications_share_one_processor_per_endpoint():
    theirs = Counting()
    trace.set_tracer_provider(theirs)
    first, second = traces.start(settings()), traces.start(settings())
    third = traces.start(settings(otlp_endpoint="http://127.0.0.1:10"))
    assert first.outlet is second.outlet
    assert third.outlet is not first.outlet
    assert len(theirs.added) == 2


def test_our_shutdown_leaves_the_joined_provider_at_work():
    exporter = InMemorySpanExporter()
    theirs = Counting()
    theirs.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(theirs)
    traces.start(settings()).shutdown(0)
    theirs.get_tracer("theirs").start_span("after").end()
    assert [span.name for span in exporter.get_finished_spans()] == ["after"]


class Foreign(trace.TracerProvider):
    """A provider that is not the SDK's, as ddtrace sets one."""

    def get_tracer(self, *args, **kwargs):  # noqa: ARG002  # the interface of the API
        return trace.NoOpTracer()


@pytest.mark.parametrize("provider", [Foreign(), trace.NoOpTracerProvider()])
def test_a_provider_that_takes_no_exporter_is_left_alone_with_one_line(provider, caplog):
    trace.set_tracer_provider(provider)
    started = traces.start(settings())
    assert started.provider is provider
    assert started.outlet is None
    assert started.force_flush(0)
    started.keep(
        name="GET /", context=UNSAMPLED, parent=None, attributes={}, start_ns=1, end_ns=2, failed=True, exception=None
    )
    started.shutdown(0)
    (record,) = caplog.records
    assert record.name == "gwz_instrument"
    assert type(provider).__qualname__ in record.getMessage()
    assert NOWHERE in record.getMessage()


@pytest.mark.parametrize(
    ("variable", "value", "protocol", "words"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "http/protobuf", "max_queue_size must be"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "lzma", "grpc", "lzma"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "grpc", "soon"),
    ],
)
def test_what_opentelemetry_refuses_is_an_error_of_the_settings_and_changes_nothing(
    variable, value, protocol, words, monkeypatch
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"OTEL_BSP_\* or OTEL_EXPORTER_OTLP_\*.*{words}"):
        traces.start(settings(otlp_protocol=protocol))
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@pytest.fixture
def kept():
    """(keep, exporter): what is kept is in `exporter.get_finished_spans()`, through our own processor."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, sampler=sampling.ALWAYS_OFF, resource=Resource({"r": "1"}))
    outlet = Outlet(provider, "", "memory", lambda *_: None, make_exporter=lambda _: exporter)
    made = Traces(provider, provider.get_tracer("x"), outlet)
    yield made, exporter
    outlet.close(1)


def test_a_kept_span_has_the_ids_and_times_of_the_unsampled_one(kept):
    made, exporter = kept
    context = made.tracer.start_span("unsampled").get_span_context()
    error = ValueError("no such model")
    made.keep(
        name="POST /v1/chat/completions",
        context=context,
        parent=UNSAMPLED,
        attributes={"http.response.status_code": 500, "nothing": None},
        start_ns=1_700_000_000_000_000_000,
        end_ns=1_700_000_003_000_000_007,
        failed=True,
        exception=error,
    )
    assert made.force_flush(5)
    (span,) = exporter.get_finished_spans()
    assert not context.trace_flags.sampled
    assert (span.context.trace_id, span.context.span_id) == (context.trace_id, context.span_id)
    assert span.context.trace_flags.sampled
    assert span.parent == UNSAMPLED
    assert (span.start_time, span.end_time) == (1_700_000_000_000_000_000, 1_700_000_003_000_000_007)
    assert (span.name, span.kind, span.status.status_code) == (
        "POST /v1/chat/completions",
        SpanKind.SERVER,
        StatusCode.ERROR,
    )
    assert dict(span.attributes) == {"http.response.status_code": 500, "gwz.kept": True}
    assert span.resource.attributes["r"] == "1"
    assert span.instrumentation_scope.name == "gwz_instrument"
    (event,) = span.events
    assert (event.name, event.timestamp) == ("exception", 1_700_000_003_000_000_007)
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "no such model"
    assert "ValueError: no such model" in event.attributes["exception.stacktrace"]


def test_a_slow_request_that_succeeded_is_kept_without_error_or_event(kept):
    made, exporter = kept
    made.keep(
        name="GET /", context=UNSAMPLED, parent=None, attributes={}, start_ns=1, end_ns=2, failed=False, exception=None
    )
    made.force_flush(5)
    (span,) = exporter.get_finished_spans()
    assert (span.parent, span.status.status_code, span.events) == (None, StatusCode.UNSET, ())


def span_context(headers):
    return trace.get_current_span(parent(headers)).get_span_context()


def test_the_parent_is_the_one_that_traceparent_names():
    found = span_context([(b"host", b"x"), (b"traceparent", TRACEPARENT), (b"tracestate", b"a=1,b@c=2")])
    assert (found.trace_id, found.span_id, found.is_remote) == (TRACE_ID, SPAN_ID, True)
    assert found.trace_flags.sampled
    assert dict(found.trace_state) == {"a": "1", "b@c": "2"}


def test_several_tracestate_headers_are_one_list():
    headers = [(b"traceparent", TRACEPARENT), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    assert dict(span_context(headers).trace_state) == {"a": "1", "b": "2"}


def test_a_later_version_of_traceparent_may_say_more():
    assert span_context([(b"traceparent", b"01" + TRACEPARENT[2:] + b"-what-comes")]).trace_id == TRACE_ID


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        b"ff" + TRACEPARENT[2:],
        TRACEPARENT.upper(),
        TRACEPARENT + b"-more",
        TRACEPARENT + b"\n",
        b" " + TRACEPARENT,
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        b"00-" + b"a" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_traceparent_that_is_not_well_formed_starts_a_new_trace(header):
    assert not span_context([(b"traceparent", header)]).is_valid


def test_two_traceparents_are_none():
    assert not span_context([(b"traceparent", TRACEPARENT), (b"traceparent", TRACEPARENT)]).is_valid


@pytest.mark.parametrize(
    "header",
    [
        b",".join(b"k%d=" % number + b"x" * 100 for number in range(5)),  # 519 bytes
        b"a=1,,a=2",
        b"A=1",
        b"a",
        b"a=" + b"\x80",
        b"=",
        b",".join(b"k%d=1" % number for number in range(33)),
    ],
)
def test_a_tracestate_that_is_not_well_formed_is_dropped_and_the_parent_stays(header):
    found = span_context([(b"traceparent", TRACEPARENT), (b"tracestate", header)])
    assert found.trace_id == TRACE_ID
    assert found.trace_state == TraceState()


def test_baggage_and_other_propagation_headers_are_not_read():
    context = parent([(b"traceparent", TRACEPARENT), (b"baggage", b"user=1"), (b"b3", b"0")])
    assert len(context) == 1


class Loud(logging.Handler):
    """Whoever logs for a single request floods the log."""

    def emit(self, record):
        raise AssertionError(record.getMessage())


pieces = st.sampled_from([b"00", b"01", b"ff", b"0", b"-", b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"])
keys = st.sampled_from([b"a", b"A", b"1a", b"a@b", b"a" * 300, b"", b"\xff", b" "])
hostile = st.one_of(
    st.binary(max_size=80),
    st.lists(pieces, max_size=9).map(b"".join),
    st.just(TRACEPARENT),
    st.lists(st.tuples(keys, st.binary(max_size=9)).map(b"=".join), max_size=40).map(b",".join),
)
headers_of_any_kind = st.lists(
    st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"host"]), hostile), max_size=4
)


@given(headers_of_any_kind)
@example([(b"traceparent", TRACEPARENT), (b"tracestate", b"a=1,a=1")])
def test_no_header_raises_or_logs(headers):
    loud = Loud()
    logging.getLogger().addHandler(loud)
    try:
        span_context(headers)
    finally:
        logging.getLogger().removeHandler(loud)


@given(hostile)
@example(TRACEPARENT)
def test_a_traceparent_means_what_opentelemetry_takes_it_for(header):
    text = header.decode("latin-1")
    theirs = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": text})).get_span_context()
    ours = span_context([(b"traceparent", header)])
    if ours.is_valid:
        assert ours == theirs


def test_without_traceparent_nothing_is_built():
    assert parent([(b"host", b"x"), (b"tracestate", b"a=1")]) is parent([])


@pytest.mark.parametrize(
    ("given", "carried"),
    [
        ("x" * 5000, "x" * 4096),
        (b"caf\xc3\xa9\xff", "café\ufffd"),
        (b"x" * 5000, "x" * 4096),
        (True, True),
        (7, 7),
        (0.5, 0.5),
        (None, None),
        (["a", "b" * 5000], ("a", "b" * 4096)),
        ([1, 2], (1, 2)),
        ([1, "a", None, b"b"], ("1", "a", "b")),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_a_value_from_outside_is_made_one_that_a_span_carries(given, carried):
    assert attribute(given) == carried
    assert type(attribute(given)) is type(carried)


@pytest.mark.parametrize("protocol", ["http/protobuf"])
def test_the_provider_s_own_flush_and_shutdown_miss_no_span_of_a_request(receiver, protocol):
    """Serverless code and tests flush the provider, whose processors come in the order in which they were added."""
    started = traces.start(settings(otlp_endpoint=receiver.url, otlp_protocol=protocol))
    exporter = InMemorySpanExporter()
    started.provider.add_span_processor(BatchSpanProcessor(exporter))
    for number, flush in enumerate((started.provider.force_flush, started.provider.shutdown), start=1):
        started.end(SpanEnd(started.tracer.start_span("GET"), "GET /", dict, False, None, 7))
        flush()
        assert [span.name for span in exporter.get_finished_spans()] == ["GET /"] * number


def test_spans_of_a_joined_provider_end_at_once():
    """What was added to it before us would be flushed before it had seen them."""
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    assert traces.start(settings()).ends is None


def test_spans_of_our_provider_begin_as_ids_in_every_application_that_shares_it():
    first, second = traces.start(settings()), traces.start(settings())
    for started in (first, second):
        span = started.begin("GET", Context(), 5)
        assert isinstance(span, LateSpan)
        span.end()


def test_spans_of_another_provider_begin_as_it_makes_them():
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    span = traces.start(settings()).begin("GET", Context(), 5)
    assert (span.name, span.kind, span.start_time) == ("GET", SpanKind.SERVER, 5)
    span.end()


def test_a_disabled_sdk_makes_none(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    span = traces.start(settings()).begin("GET", Context(), 5)
    assert not span.is_recording()
    assert not span.get_span_context().is_valid
