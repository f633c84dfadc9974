import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gwz_e2e.case import Case, Engines
from gwz_e2e.checks import app, contract, health
from gwz_e2e.checks.traces import _failed, _is_kept, _wrong_traces
from gwz_e2e.engines import Line, Loki, Prometheus, Span, Tempo, _attributes
from gwz_instrument import semconv
from gwz_instrument.semconv import spans

NOWHERE = "http://127.0.0.1:9"
SERVER = {
    "http.request.method": "GET",
    "http.response.status_code": 500,
    "url.path": "/x",
    "url.scheme": "http",
    "gwz.outcome": "error",
    "gwz.request_id": "r",
    "http.route": "/x",
    "server.address": "127.0.0.1",
    "server.port": 80,
    "error.type": "ValueError",
    "gwz.response.chunks": 2,
    "gwz.response.time_to_first_byte": 0.1,
    "gwz.response.longest_gap": 0.1,
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
}


def case(url=NOWHERE, share=1.0):
    engines = Engines(Prometheus(NOWHERE), Loki(url), Tempo(NOWHERE), "redis://127.0.0.1:9")
    return Case("gateway", url, Path("l"), Path("s"), engines, share, "token")


def span(service="gateway", kind="SPAN_KIND_SERVER", scope="gwz_instrument", **attributes):
    return Span(service, scope, "GET /x", kind, "b", "", True, {**SERVER, **attributes})


def line(**fields):
    return Line({}, {}, 0, {"status_code": 200, "outcome": "success", **fields})


@pytest.fixture
def answers():
    """What a server of the test answers, by path, and what it was asked with."""
    given, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append({name.lower(): value for name, value in self.headers.items()})
            body = gzip.compress(given[self.path.split("?")[0]].encode())
            self.send_response(200)
            self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", given, asked
    server.shutdown()
    server.server_close()


def kept(**attributes):
    return span(**{"gwz.kept": True, **attributes})


def test_spans_as_declared_have_no_fault_and_other_services_are_not_judged():
    assert contract.span_faults(case(share=0.25), [kept(), span(service="openai", **{"gwz.mood": "good"})]) == []


def test_a_strange_attribute_of_a_span_is_a_fault():
    assert contract.span_faults(case(share=0.25), [kept(**{"gwz.mood": "good"})])[0].startswith(
        "stranger: the server span's attribute gwz.mood is"
    )


def test_where_every_trace_is_sampled_each_declared_span_is_wanted():
    names = [entry.name for entry in spans.DOMAIN]
    found = contract.span_faults(case(), [span()])
    assert len(found) == len(names)
    assert all(any(fault.startswith(f"mute: {name} is declared") for fault in found) for name in names)


def test_a_kept_span_is_wanted_only_where_not_every_trace_is_sampled():
    assert not [fault for fault in contract.span_faults(case(), [span()]) if "gwz.kept" in fault]
    assert contract.span_faults(case(share=0.25), [span()])[0].startswith("mute: gwz.kept is declared and no span")
    assert contract.span_faults(case(share=0.25), [span(**{"gwz.kept": True})]) == []


def test_a_kept_trace_is_one_server_span_that_says_so():
    kept = span(**{"gwz.kept": True})
    assert _is_kept([kept])
    assert not _is_kept([])
    assert not _is_kept([span()])
    assert not _is_kept([kept, span(kind="SPAN_KIND_CLIENT")])


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({}, False),
        ({"status_code": 404, "outcome": "error"}, False),
        ({"status_code": 500, "outcome": "error"}, True),
        ({"outcome": "stream_error"}, True),
        ({"status_code": 499, "outcome": "client_disconnected"}, False),
    ],
)
def test_the_span_of_a_request_that_failed_is_kept(fields, failed):
    assert _failed(line(**fields)) is failed


def test_a_trace_that_is_not_where_it_should_be_is_named():
    assert _wrong_traces("kept", {"a"}, {"a"}) == []
    assert _wrong_traces("kept", {"a", "b"}, {"a"}) == ["1 traces are kept, 2 should be: b is none"]
    assert _wrong_traces("kept", {"a"}, {"a", "b"}) == ["2 traces are kept, 1 should be: b is one"]


def test_lines_come_with_labels_and_metadata_apart(answers):
    url, given, asked = answers
    stream = {"app": "gateway", "env": "test", "service": "gateway", "level": "info"}
    values = [["7", '{"logger": "shop"}', {"structuredMetadata": {"trace_id": "t"}}], ["8", "{}", {}]]
    given["/loki/api/v1/query_range"] = json.dumps({"data": {"result": [{"stream": stream, "values": values}]}})
    assert Loki(url).lines("{}", 0, 1) == [
        Line(stream, {"trace_id": "t"}, 7, {"logger": "shop"}),
        Line(stream, {}, 8, {}),
    ]
    assert asked[0]["x-loki-response-encoding-flags"] == "categorize-labels"


def test_attributes_become_plain_values():
    typed = {"a": {"intValue": "7"}, "b": {"boolValue": True}, "c": {"arrayValue": {"values": [{"stringValue": "x"}]}}}
    given = {"attributes": [{"key": key, "value": value} for key, value in typed.items()]}
    assert _attributes(given) == {"a": 7, "b": True, "c": ["x"]}


def test_an_exposition_without_the_declared_metrics_names_them(answers):
    url, given, _ = answers
    given["/metrics"] = "# TYPE fastapi_mood gauge\nfastapi_mood 1\n"
    assert len(contract.metric_faults(case(url))) == len(semconv.METRICS) + 1
    finding = app.exposes(case(url))
    assert not finding.ok
    assert finding.sentence.startswith("mute: active_api_keys is declared and /metrics has no sample of it")


def test_what_the_application_admits_to_have_lost_is_told(answers):
    url, given, _ = answers
    given["/metrics"] = (
        "# TYPE gwz_telemetry_items_total counter\n"
        'gwz_telemetry_items_total{signal="logs",outcome="delivered"} 7\n'
        'gwz_telemetry_items_total{signal="logs",outcome="dropped"} 2\n'
        'gwz_telemetry_items_total{signal="traces",outcome="delivered"} 9\n'
        'gwz_telemetry_items_total{signal="traces",outcome="dropped"} 0\n'
    )
    assert health.admissions(case(url), "traces", 9) == []
    assert health.admissions(case(url), "logs", 8) == [
        "the application says that it delivered 7 logs, 8 arrived",
        "the application gave up 2 logs",
    ]
