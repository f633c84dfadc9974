"""What the judge says of what an application emitted: every fault by its name, nothing of what is not ours."""

import sys
from dataclasses import replace

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    Summary,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from gwz_instrument import semconv
from gwz_instrument.faults import Fault
from gwz_instrument.judge import ALL, CORE, Emitted, EmittedLine, EmittedSpan, Signals, is_ours, judge
from gwz_instrument.semconv import http, inference, logs, spans

NOTHING = Signals((), (), (), ())
BOTH_FORMATS = pytest.mark.parametrize("generate", [generate_latest, generate_openmetrics], ids=["text", "openmetrics"])


def faults(emitted, of=NOTHING):
    return [(str(finding.fault), finding.name) for finding in judge(emitted, of=of)]


def exposed(entry, *values, generate=generate_latest, **changes):
    """The text of a registry that holds what `entry` declares, with one series."""
    registry = CollectorRegistry()
    entry = replace(entry, **changes)
    kind = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[entry.kind]
    options = {"buckets": entry.buckets} if entry.kind == "histogram" else {}
    metric = kind(entry.name, entry.brief, entry.label_names, registry=registry, **options)
    child = metric.labels(*values) if values else metric
    if entry.kind == "histogram":
        child.observe(1)
    else:
        child.inc()
    text = generate(registry).decode()
    return "".join(line for line in text.splitlines(keepends=True) if "_created" not in line)


REQUEST = ("app", "GET", "/x", "200")


# --- metrics


@BOTH_FORMATS
def test_a_metric_as_declared_has_no_fault(generate):
    assert faults(Emitted(exposed(http.REQUESTS, *REQUEST, generate=generate))) == []
    assert faults(Emitted(exposed(http.DURATION, "app", "GET", "/x", generate=generate))) == []
    assert faults(Emitted(exposed(semconv.health.LOOP_LAG, generate=generate))) == []


@BOTH_FORMATS
def test_a_name_that_nobody_declared_is_a_stranger_and_the_nearest_is_named(generate):
    text = exposed(http.REQUESTS, *REQUEST, generate=generate, name="fastapi_http_requests_total")
    (finding,) = judge(Emitted(text), of=NOTHING)
    assert (finding.signal, finding.fault, finding.name) == ("metrics", Fault.STRANGER, "fastapi_http_requests")
    assert finding.nearest == "fastapi_requests_total"
    assert finding.sentence == (
        "the metric fastapi_http_requests is emitted and not declared; the nearest declared name is "
        "fastapi_requests_total. Declare it in gwz_instrument.semconv, or give it a name outside the contract's"
    )
    assert str(finding) == f"stranger: {finding.sentence}"


@BOTH_FORMATS
def test_created_series_are_strangers(generate):
    registry = CollectorRegistry()
    Counter("tokens_used", "x", inference.TOKENS.label_names, registry=registry).labels("p", "m", "input").inc()
    stages = semconv.stages.FRONTEND
    Histogram(stages.name, "x", stages.label_names, buckets=stages.buckets, registry=registry).labels("/x").observe(1)
    assert faults(Emitted(generate(registry).decode())) == [
        ("stranger", "frontend_processing_seconds_created"),
        ("stranger", "tokens_used_created"),
    ]


@BOTH_FORMATS
def test_an_info_is_not_the_gauge_that_was_declared(generate):
    """The predecessor's `fastapi_app_info_info`."""
    registry = CollectorRegistry()
    Info("fastapi_app_info", "x", ["app_name"], registry=registry).labels("a").info({})
    found = faults(Emitted(generate(registry).decode()))
    assert len(found) == 1
    assert found[0] in [("stranger", "fastapi_app_info_info"), ("wrong type", "fastapi_app_info")]


@BOTH_FORMATS
def test_another_type_is_told_and_nothing_else_of_that_metric(generate):
    registry = CollectorRegistry()
    Summary("database_query_duration_seconds", "x", ["table"], registry=registry).labels("users").observe(1)
    text = "".join(x for x in generate(registry).decode().splitlines(keepends=True) if "_created" not in x)
    (finding,) = judge(Emitted(text), of=NOTHING)
    assert (finding.fault, finding.name) == (Fault.WRONG_TYPE, "database_query_duration_seconds")
    assert "is a summary, declared a histogram" in finding.sentence
    assert "replace_existing=True" in finding.sentence


@BOTH_FORMATS
def test_a_counter_that_was_made_a_gauge_is_a_wrong_type_not_a_stranger(generate):
    text = exposed(http.REQUESTS, *REQUEST, generate=generate, kind="gauge")
    assert faults(Emitted(text)) == [("wrong type", "fastapi_requests_total")]


@BOTH_FORMATS
@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ((http.METHOD, http.PATH, http.STATUS_CODE), REQUEST[1:]),
        ((http.APP_NAME, http.METHOD, http.PATH, http.STATUS_CODE, semconv.Label("pid", "")), (*REQUEST, "7")),
        ((http.APP_NAME, http.METHOD, semconv.Label("route", ""), http.STATUS_CODE), REQUEST),
    ],
    ids=["one less", "one more", "another name"],
)
def test_other_labels_are_told(generate, labels, values):
    text = exposed(http.REQUESTS, *values, generate=generate, labels=labels)
    assert faults(Emitted(text)) == [("wrong labels", "fastapi_requests_total")]


@BOTH_FORMATS
def test_a_value_outside_a_closed_set_is_told_with_the_set(generate):
    text = exposed(semconv.health.DROPPED, "logs", "bored", generate=generate)
    (finding,) = judge(Emitted(text), of=NOTHING)
    assert (finding.fault, finding.name) == (Fault.WRONG_VALUE, "gwz_telemetry_dropped_total")
    assert "reason of gwz_telemetry_dropped_total is 'bored', which is none of failed, fault," in finding.sentence


@BOTH_FORMATS
@pytest.mark.parametrize("buckets", [(0.5, 1.0), (*http.LATENCY_BUCKETS, 300.0)])
def test_other_buckets_are_told(generate, buckets):
    text = exposed(http.DURATION, "app", "GET", "/x", generate=generate, buckets=buckets)
    (finding,) = judge(Emitted(text), of=NOTHING)
    assert (finding.fault, finding.name) == (Fault.WRONG_BUCKETS, "fastapi_requests_duration_seconds")
    assert "declared are 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, inf" in finding.sentence


@BOTH_FORMATS
def test_a_metric_without_a_sample_is_mute(generate):
    """A labelled metric that nobody feeds still has its HELP and TYPE lines: the predecessor's dashboards fell for it."""
    registry = CollectorRegistry()
    Counter("cache_hits", "x", ["cache_name"], registry=registry)
    text = generate(registry).decode()
    assert "cache_hits" in text
    (finding,) = judge(Emitted(text), of=replace(NOTHING, metrics=(semconv.cache.HITS,)))
    assert (finding.fault, finding.name) == (Fault.MUTE, "cache_hits_total")
    assert "Have gwz_instrument.cache emit it" in finding.sentence


def test_mutes_are_those_of_the_part_that_is_asked_for():
    mutes = {name for fault, name in faults(Emitted(""), of=CORE) if fault == "mute"}
    assert mutes == {entry.name for entry in semconv.CORE}
    mutes = {name for fault, name in faults(Emitted(""), of=ALL) if fault == "mute"}
    assert mutes == {entry.name for entry in semconv.METRICS}


def test_what_is_declared_and_not_asked_for_is_no_stranger():
    assert "tokens_used_total" not in {entry.name for entry in CORE.metrics}
    text = exposed(inference.TOKENS, "openai", "gpt-4o", "input")
    assert [finding for finding in judge(Emitted(text)) if finding.fault is not Fault.MUTE] == []


@pytest.mark.parametrize(
    "name",
    [
        "orders_total",
        "http_requests_total",
        "http_request_duration_seconds",
        "stage_percentage",
        "redis_up",
        "cache_evictions_total",
        "time_to_live_seconds",
        "model_count",
        "active_users",
        "request_queue_seconds",
        "process_open_files",
        "python_threads",
        "fastapi",
        "gwzoo_total",
    ],
)
def test_an_applications_own_metrics_are_its_own(name):
    assert not is_ours(name)
    assert faults(Emitted(f"# TYPE {name} gauge\n{name} 1\n")) == []


@pytest.mark.parametrize(
    "name",
    [
        "fastapi_anything",
        "gwz_anything",
        "gatewayz_anything",
        "model_inference_errors",
        "database_query_duration_milliseconds",
        "cache_hits_ratio",
        "time_to_first_chunk_ms",
        "queue_size_bytes",
    ],
)
def test_names_of_the_contracts_namespaces_are_the_contracts(name):
    assert is_ours(name)
    assert faults(Emitted(f"# TYPE {name} gauge\n{name} 1\n")) == [("stranger", name)]


def test_what_cannot_be_parsed_raises():
    with pytest.raises(ValueError, match=r"this is no exposition .*'<html>who are you</html>\\n'\. Give the body"):
        judge(Emitted("<html>who are you</html>\n"), of=NOTHING)


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus_client has no process_* here")
@BOTH_FORMATS
def test_prometheus_clients_own_collectors_emit_what_is_declared_of_them(generate):
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    text = generate(registry).decode()
    assert faults(Emitted(text), of=replace(NOTHING, metrics=semconv.process.METRICS)) == []
    families = {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE ")}
    assert families == {entry.family for entry in semconv.process.METRICS}


# --- logs

LABELS = {"app": "gateway", "env": "test", "service": "gateway", "level": "info"}
IDS = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1", "request_id": "r"}
FIELDS = {
    "timestamp": "2026-01-01T00:00:00.000Z",
    "level": "info",
    "logger": "gwz_instrument.request",
    "message": "GET /x 200",
    "method": "GET",
    "path": "/x",
    "url_path": "/x",
    "status_code": 200,
    "duration_ms": 1.5,
    "outcome": "success",
}


def line(labels=LABELS, metadata=IDS, **fields):
    return EmittedLine(labels, metadata, {**FIELDS, **fields})


def line_faults(*lines, of=NOTHING):
    return faults(Emitted(lines=lines), of)


def test_a_request_line_as_declared_has_no_fault():
    assert line_faults(line(), line(duration_ms=2), line(provider="openai", model="gpt-4o", cut=True, stack="")) == []


def test_metadata_that_loki_adds_is_no_stranger():
    assert line_faults(line(metadata={**IDS, "detected_level": "info"})) == []


def test_a_stream_label_that_nobody_declared_is_a_stranger_whoever_wrote_the_line():
    (finding,) = judge(Emitted(lines=[line({**LABELS, "trace_ids": "1"}, logger="shop")]), of=NOTHING)
    assert (finding.signal, finding.fault, finding.name) == ("logs", Fault.STRANGER, "trace_ids")


def test_a_stream_without_one_of_its_labels_is_told():
    (finding,) = judge(Emitted(lines=[line({"app": "a", "level": "info"})]), of=NOTHING)
    assert (finding.fault, finding.name) == (Fault.WRONG_LABELS, "env, service")
    assert "its labels are app, level" in finding.sentence


def test_a_level_that_is_none_is_told():
    assert line_faults(line({**LABELS, "level": "INFO"})) == [("wrong value", "level")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status_kode": 200}, ("stranger", "status_kode")),
        ({"status_code": "200"}, ("wrong type", "status_code")),
        ({"status_code": True}, ("wrong type", "status_code")),
        ({"duration_ms": None}, ("wrong type", "duration_ms")),
        ({"outcome": "failed"}, ("wrong value", "outcome")),
        ({"method": "BREW"}, ("wrong value", "method")),
        ({"metadata": {**IDS, "user_id": "7"}}, ("stranger", "user_id")),
    ],
)
def test_a_line_of_ours_has_nothing_undeclared(change, fault):
    assert line_faults(line(**change)) == [fault]


def test_an_applications_extras_are_its_own():
    """It may even use a word of ours for something else: only what the handler wrote is judged."""
    own = line(metadata={**IDS, "shop": "7"}, logger="shop.orders", status_kode=1, status_code="teapot", outcome="sold")
    assert line_faults(own) == []
    assert line_faults(line(logger="gwz_instruments", x=1)) == []
    assert line_faults(line(logger="shop.orders", message=7)) == [("wrong type", "message")]


def test_fields_and_keys_that_no_line_has_are_mute():
    of = replace(CORE, metrics=(), spans=())
    assert line_faults(line(), of=of) == [
        ("mute", name) for name in ("chunks", "exception", "first_byte_ms", "longest_gap_ms", "model", "provider")
    ]
    assert {name for _, name in line_faults(of=of)} == {
        field.name for field in (*logs.STRUCTURED_METADATA, *logs.LINE_FIELDS)
    }


def test_the_same_fault_is_told_once():
    assert line_faults(*[line(status_kode=number) for number in range(50)]) == [("stranger", "status_kode")]


# --- spans

REQUEST_ATTRIBUTES = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.path": "/x",
    "url.scheme": "http",
    "gwz.outcome": "success",
    "gwz.request_id": "r",
}


def span(name="GET /x", kind="server", scope="gwz_instrument", /, without=(), **attributes):
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    base = REQUEST_ATTRIBUTES if kind == "server" else {}
    return EmittedSpan(name, kind, scope, {k: v for k, v in {**base, **given}.items() if k not in without})


def span_faults(*emitted, of=NOTHING):
    return faults(Emitted(spans=emitted), of)


def test_a_server_span_as_declared_has_no_fault():
    assert span_faults(span(), span(http__route="/x", server__port=80, gwz__kept=True)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"http__status_code": 200}, ("stranger", "http.status_code")),
        ({"gwz__mood": "good"}, ("stranger", "gwz.mood")),
        ({"server__port": "80"}, ("wrong type", "server.port")),
        ({"gwz__kept": "yes"}, ("wrong type", "gwz.kept")),
        ({"gwz__outcome": "failed"}, ("wrong value", "gwz.outcome")),
        ({"without": ("url.path", "url.scheme")}, ("wrong labels", "{method} {route}")),
    ],
)
def test_a_span_of_ours_has_nothing_undeclared_and_lacks_nothing(change, fault):
    assert span_faults(span(**change)) == [fault]


def test_an_applications_spans_and_attributes_are_its_own():
    assert span_faults(span("anything", "client", "shop", http__status_code="x")) == []
    assert span_faults(span(shop__order=7, user="x")) == []


def test_a_span_that_nothing_declares_is_a_stranger():
    assert span_faults(span("poll", "consumer")) == [("stranger", "poll")]
    assert span_faults(span("poll", "client", shop__order=7)) == [("stranger", "poll")]


# fmt: off
CALL = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o", "gwz__outcome": "abandoned"}
ATTEMPT = {**CALL, "gen_ai__provider__name": "openai", "gwz__attempt": 1}
REDIS = {"db__system__name": "redis", "db__operation__name": "get"}
POSTGRES = {"db__system__name": "postgresql", "db__operation__name": "select"}
HTTP = {"http__request__method": "GET", "server__address": "a.example", "server__port": 443}
# fmt: on


@pytest.mark.parametrize(
    ("attributes", "allowed", "refused"),
    [
        (CALL, {"gwz__attempts": 2, "gen_ai__response__finish_reasons": ["stop"]}, {"gwz__attempt": "x"}),
        (ATTEMPT, {"gen_ai__response__model": "gpt-4o-2024"}, {"gwz__attempts": 2}),
        (REDIS, {"db__operation__batch__size": 3}, {"db__collection__name": "users"}),
        (POSTGRES, {"db__collection__name": "users"}, {"db__operation__batch__size": 3}),
        (HTTP, {"http__response__status_code": 200}, {"url__full": "https://a.example/?key=secret"}),
    ],
    ids=["call", "attempt", "redis", "database", "http"],
)
def test_client_spans_are_told_apart_by_what_they_carry(attributes, allowed, refused):
    assert span_faults(span("x", "client", **attributes, **allowed)) == []
    assert len(span_faults(span("x", "client", **attributes, **refused))) == 1


def test_a_list_where_words_are_declared_is_a_wrong_type():
    assert span_faults(span("x", "client", **CALL, gen_ai__response__finish_reasons="stop")) == [
        ("wrong type", "gen_ai.response.finish_reasons")
    ]


def test_attributes_that_no_span_has_are_mute_and_so_are_spans():
    of = replace(CORE, metrics=(), metadata=(), fields=())
    assert span_faults(of=of) == [("mute", "{method} {route}")]
    everything = span(
        **{
            attribute.name.replace(".", "__"): value
            for attribute, value in zip(
                spans.SERVER.optional,
                ("/x", "localhost", 80, "ValueError", 2, 0.5, 0.5, True, "openai", "gpt-4o"),
                strict=True,
            )
        }
    )
    assert span_faults(everything, of=of) == []
    assert span_faults(replace(everything, attributes={**REQUEST_ATTRIBUTES, "http.route": "/x"}), of=of) == [
        ("mute", name)
        for name in sorted(attribute.name for attribute in spans.SERVER.optional if attribute.name != "http.route")
    ]


# --- all three


def test_a_signal_that_was_not_looked_at_is_not_judged():
    assert judge(Emitted(), of=ALL) == ()


def test_findings_are_sorted_by_signal_fault_and_name():
    found = judge(Emitted(exposition="", lines=[], spans=[]))
    assert list(found) == sorted(found, key=lambda finding: (finding.signal, finding.fault, finding.name))
    assert {finding.signal for finding in found} == {"metrics", "logs", "traces"}


def test_every_fault_has_a_name_and_a_definition():
    assert [str(fault) for fault in Fault][:4] == ["stranger", "mute", "ghost", "orphan"]
    assert all(fault.definition.endswith(".") for fault in Fault)
