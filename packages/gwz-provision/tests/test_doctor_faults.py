"""The doctor at a real Grafana with real servers behind it: each fault is brought about, and named.

Only what is there is judged: without a real Grafana, Prometheus, Loki and Tempo these tests are skipped.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backends
import pytest
import ward as wards
from raw import Place
from ward import (
    BOARD,
    RULE,
    RULES,
    Ward,
    alert,
    board,
    bundle,
    dumped,
    endpoint,
    first,
    logql,
    notes,
    promql,
    states,
    traceql,
)

from gwz_provision.access import Access
from gwz_provision.doctor.examine import examine
from gwz_provision.doctor.question import Question
from gwz_provision.errors import EXIT_FINDINGS
from gwz_provision.grafana import Grafana
from gwz_provision.queries import INFINITY
from gwz_provision.report import Report


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with wards.opened(tmp_path_factory.mktemp("ward")) as opened:
        yield opened


@pytest.fixture(scope="module")
def prometheus(ward: Ward) -> str:
    """A data source at the Prometheus, which is well."""
    return ward.source("prometheus", ward.prometheus.url)


@pytest.fixture(scope="module")
def api(ward: Ward) -> str:
    """A data source at the JSON API."""
    return ward.source(INFINITY, ward.api.url)


def named(report: Report, hop: str, *words: str) -> None:
    """Expect this hop to be the first broken one, and its cause and cure to say these words."""
    assert report.first_broken_hop == hop, dumped(report)
    said = f"{first(report).cause} {first(report).cure}"
    for word in words:
        assert word in said
    assert report.exit_code == EXIT_FINDINGS


# The way into Grafana.


def test_a_login_without_permission_is_told_which_it_lacks(ward: Ward, prometheus: str) -> None:
    token = ward.place.token("None")
    with Grafana(Access(ward.place.url, token)) as grafana:
        report = examine(bundle(board(promql(prometheus, "up"))), grafana.reader, Question())
    assert (report.first_broken_hop, report.exit_code) == ("permission", 3)
    assert "lacks datasources:read and datasources:query" in first(report).cause
    assert report.answers == []


def test_a_viewer_s_token_is_enough(ward: Ward, prometheus: str) -> None:
    with Grafana(Access(ward.place.url, ward.place.token("Viewer"))) as grafana:
        report = examine(bundle(board(promql(prometheus, "app_info"))), grafana.reader, Question())
    assert report.first_broken_hop is None, dumped(report)
    assert states(report) == ["ok"]


def test_a_dashboard_that_grafana_has_not_is_named(ward: Ward, prometheus: str) -> None:
    absent = board(promql(prometheus, "app_info"))
    absent.model["uid"] = "gwz-nowhere"
    named(ward.examine(bundle(absent)), "dashboards", "gwz-nowhere", "gwz-provision apply")


# The way to a data source.


def test_a_plugin_that_is_not_there(real_place: Place) -> None:
    """This Grafana does not load unsigned plugins, or has none."""
    body = {"uid": "ward-plugin", "name": "ward-plugin", "type": INFINITY, "access": "proxy", "url": "http://x"}
    real_place.call("POST", "/datasources", body)
    with Grafana(Access(real_place.url, ("admin", real_place.password))) as grafana:
        report = examine(bundle(board(endpoint("ward-plugin", "/x", "a"))), grafana.reader, Question())
    named(report, f"plugin:{INFINITY}", "not installed, or not loaded because it is unsigned", "GF_INSTALL_PLUGINS")
    assert states(report) == ["waiting"]


def test_a_data_source_that_is_not_there_makes_its_queries_wait_as_one(ward: Ward) -> None:
    report = ward.examine(bundle(board(promql("nowhere", "a"), promql("nowhere", "b"))))
    named(report, "datasource:nowhere", "2 queries wait for this", "correct the uid that the dashboard names")
    assert states(report) == ["waiting", "waiting"]
    assert [answer.hop for answer in report.answers] == ["datasource:nowhere"] * 2


def test_a_data_source_of_another_type(ward: Ward) -> None:
    uid = ward.source("loki", ward.loki)
    named(ward.examine(bundle(board(promql(uid, "up")))), f"datasource:{uid}", "is of type loki", "for prometheus")


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        ("prometheus", "", ("has the URL ''", "environment variable", "PROMETHEUS_INTERNAL_URL")),
        ("prometheus", "/", ("has the URL '/'", "environment variable")),
        ("loki", ":3100", ("has the URL ':3100'", "LOKI_URL")),
        ("prometheus", "http://nowhere.invalid:9090", ("nowhere.invalid does not resolve where Grafana runs",)),
        ("loki", "http://nowhere.invalid:3100", ("nowhere.invalid does not resolve where Grafana runs",)),
        ("tempo", "http://nowhere.invalid:3200", ("nowhere.invalid does not resolve", "TEMPO_INTERNAL_URL")),
        ("prometheus", "http://127.0.0.1:9", ("nothing listens on port 9", "PROMETHEUS_INTERNAL_URL")),
        ("loki", "http://127.0.0.1:9", ("nothing listens on port 9", "LOKI_URL")),
        ("tempo", "http://127.0.0.1:9", ("nothing listens on port 9", "TEMPO_INTERNAL_URL")),
        ("prometheus", "http://127.9.8.7", ("nothing listens on port 80", "the URL names no port")),
        ("prometheus", "https://{prometheus}", ("speaks http, and the URL says https", "http://")),
        ("loki", "https://{loki}", ("speaks http, and the URL says https", "http://")),
        ("tempo", "https://{tempo}", ("speaks http, and the URL says https", "http://")),
    ],
)
def test_an_address_that_leads_nowhere(ward: Ward, kind: str, url: str, words: tuple[str, ...]) -> None:
    hosts = {"prometheus": ward.prometheus.url, "loki": ward.loki, "tempo": ward.tempo}
    uid = ward.source(kind, url.format(**{name: host.partition("//")[2] for name, host in hosts.items()}))
    target = {"prometheus": promql(uid, "up"), "loki": logql(uid, '{a="b"}'), "tempo": traceql(uid, "{}")}[kind]
    report = ward.examine(bundle(board(target)))
    named(report, f"host:{uid}", "1 query waits for this", *words)
    assert states(report) == ["waiting"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", ("nothing listens on port 9", "GWZ_API_URL")),
        ("http://nowhere.invalid", ("nowhere.invalid does not resolve",)),
        ("https://{api}", ("speaks http, and the URL says https",)),
    ],
)
def test_an_api_that_is_not_reached_is_known_by_its_queries(ward: Ward, url: str, words: tuple[str, ...]) -> None:
    """The plugin calls itself healthy whatever its address is."""
    uid = ward.source(INFINITY, url.format(api=ward.api.url.partition("//")[2]))
    report = ward.examine(bundle(board(endpoint(uid, "/a", "x"), endpoint(uid, "/b", "x"))))
    named(report, f"host:{uid}", "2 queries wait for this", *words)
    assert states(report) == ["error", "error"]


def test_an_api_that_the_plugin_may_not_ask(ward: Ward) -> None:
    uid = ward.source(
        INFINITY,
        ward.api.url,
        jsonData={"auth_method": "bearerToken", "allowedHosts": ["http://other:1"]},
        secureJsonData={"bearerToken": "t"},
    )
    named(ward.examine(bundle(board(endpoint(uid, "/a", "x")))), f"host:{uid}", "allowed hosts do not name it")


def test_a_loki_that_wants_a_tenant(ward: Ward) -> None:
    uid = ward.source("loki", ward.tenants)
    named(ward.examine(bundle(board(logql(uid, '{app="gw"}')))), f"tenant:{uid}", "no X-Scope-OrgID", "httpHeaderName1")


def test_a_loki_whose_lines_are_another_tenant_s(ward: Ward) -> None:
    backends.push(ward.tenants, {"app": "gw"}, {time.time_ns(): "hello"}, tenant="theirs")
    header = {
        "jsonData": {"httpHeaderName1": "X-Scope-OrgID"},
        "secureJsonData": {"httpHeaderValue1": "ours"},
    }
    uid = ward.source("loki", ward.tenants, **header)
    report = ward.examine(bundle(board(logql(uid, '{app="gw"}'))))
    named(report, f"stream:{uid}", "No log line has reached", "as another tenant than the X-Scope-OrgID")


def test_another_server_at_the_address(ward: Ward) -> None:
    uid = ward.source("prometheus", ward.api.url)
    named(ward.examine(bundle(board(promql(uid, "up")))), f"health:{uid}", "is no prometheus", "Correct the host")


# From the exporter to the label.


def test_a_target_that_is_down_is_named_with_its_error(ward: Ward, prometheus: str) -> None:
    watching = {"rule_groups": ({"rules": [alert("down", prometheus, {"expr": 'up{job="redis_exporter"}'})]},)}
    report = ward.examine(bundle(board(promql(prometheus, "redis_up")), **watching))
    named(
        report,
        "target:redis_exporter/127.0.0.1:9",
        "cannot scrape http://127.0.0.1:9/metrics (job redis_exporter)",
        "connection refused",
        "1 query waits for this",
        "Start it",
    )


def test_a_target_that_is_down_is_named_while_panels_still_show_something(ward: Ward, prometheus: str) -> None:
    watching = {"rule_groups": ({"rules": [alert("down", prometheus, {"expr": 'up{job="redis_exporter"}'})]},)}
    report = ward.examine(bundle(board(promql(prometheus, "app_info")), **watching))
    named(report, "target:redis_exporter/127.0.0.1:9", "connection refused")
    assert states(report) == ["ok"]


def test_a_target_that_prometheus_was_never_told_of(ward: Ward, prometheus: str) -> None:
    watching = {"rule_groups": ({"rules": [alert("down", prometheus, {"expr": 'min(up{job=~"loki_.+"})'})]},)}
    report = ward.examine(bundle(board(promql(prometheus, "loki_build_info")), **watching))
    named(report, 'target:up{job=~"loki_.+"}', "scrapes no target", "1 query waits for this", "scrape_configs")


def test_a_metric_whose_target_was_removed(ward: Ward, prometheus: str, tmp_path: Path) -> None:
    del prometheus
    past = wards._past("left_total", int(time.time()) - 600).replace("gatewayz_test", "gatewayz_old")
    with backends.prometheus(tmp_path, "scrape_configs: []\n", past=past) as other:
        uid = ward.source("prometheus", other.url)
        report = ward.examine(bundle(board(promql(uid, "left_total"))))
    named(report, "target:gatewayz_old", "scrapes no target of the job gatewayz_old any more")


def test_a_metric_that_was_never_seen(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "sum(rate(fastapi_requests_total[1m]))"))))
    named(report, "metric:fastapi_requests_total", "the application emits it", "gwz-instrument check")
    assert states(report) == ["empty"]


def test_a_recording_rule_that_is_not_loaded(ward: Ward, prometheus: str) -> None:
    files = {"rule_files": (("rules/x.yml", RULES),)}
    report = ward.examine(bundle(board(promql(prometheus, f"max({RULE})")), **files))
    named(
        report,
        f"rule:{prometheus}",
        f"Recording rule {RULE} is not loaded",
        "1 query waits for this",
        "gwz-provision rules",
        "rule_files",
    )


def test_a_rule_that_is_not_loaded_is_named_while_its_panel_still_shows_something(ward: Ward, prometheus: str) -> None:
    files = {"rule_files": (("rules/x.yml", RULES),)}
    report = ward.examine(bundle(board(promql(prometheus, f"max({RULE}) or vector(1)")), **files))
    named(report, f"rule:{prometheus}", f"Recording rule {RULE} is not loaded")
    assert states(report) == ["ok"]


def test_a_recording_rule_whose_evaluation_fails(ward: Ward, tmp_path: Path) -> None:
    """Two series of one side match one of the other: only the evaluation can know."""
    broken = RULES.replace("sum by (job) (requests_total)", "requests_total / on (job) requests_total")
    (tmp_path / "rules.yml").write_text(broken)
    config = wards._SCRAPES.format(api=ward.api.url.removeprefix("http://")) + "rule_files: [rules.yml]\n"
    with backends.prometheus(tmp_path, config) as other:
        backends.until(lambda: b"many-to-many" in backends.fetch(f"{other.url}/api/v1/rules"))
        uid = ward.source("prometheus", other.url)
        report = ward.examine(bundle(board(promql(uid, RULE)), rule_files=(("rules/x.yml", broken),)))
    named(report, f"rule:{RULE}", "its evaluation fails", "many-to-many")


def test_what_a_loaded_rule_is_made_of_is_looked_into(ward: Ward, tmp_path: Path) -> None:
    rules = RULES.replace("requests_total", "never_seen_total")
    (tmp_path / "rules.yml").write_text(rules)
    with backends.prometheus(tmp_path, "rule_files: [rules.yml]\n") as other:
        uid = ward.source("prometheus", other.url)
        report = ward.examine(bundle(board(promql(uid, f"max({RULE})")), rule_files=(("rules/x.yml", rules),)))
    named(report, "metric:never_seen_total", "No sample of never_seen_total")


def test_a_label_that_the_metric_has_not(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, 'requests_total{route=~".+"}'))))
    named(report, "label:requests_total.route", "No requests_total has the label route")


def test_a_value_that_the_label_has_not(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, 'sum(rate(requests_total{path="/c"}[1m]))'))))
    named(report, 'value:requests_total{path="/c"}', "there are /a, /b", "--var name=value")


def test_values_that_do_not_go_together(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, 'requests_total{path="/a", status="500"}'))))
    named(report, 'value:requests_total{path="/a", status="500"}', "nothing meets all of them")


def test_an_empty_range_tells_when_the_last_sample_was(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "sum(gone_total)", instant=False, range=True))))
    named(report, "range:gone_total", "Only the range is empty: the last sample of gone_total was 2 h ago")


def test_series_of_which_the_query_makes_nothing(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "requests_total / on (path) app_info"))))
    named(report, f"samples:{BOARD}/1/A", "the labels of its two sides do not match", "scrape_interval")


def test_a_query_that_prometheus_refuses(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "sum("), promql(prometheus, "app_info"))))
    named(report, f"query:{BOARD}/1/A", "refused sum(", "gwz-provision validate")
    assert states(report) == ["error", "ok"]


def test_a_retention_that_is_shorter_than_what_is_shown(ward: Ward, tmp_path: Path) -> None:
    config = wards._SCRAPES.format(api=ward.api.url.removeprefix("http://"))
    with backends.prometheus(tmp_path, config, "--storage.tsdb.retention.time=1h") as other:
        backends.until(lambda: bool(other.ask("app_info")))
        uid = ward.source("prometheus", other.url)
        report = ward.examine(bundle(board(promql(uid, "app_info"), since="now-6h")))
    named(report, f"retention:{uid}", "keeps samples for 1h", "shows the range now-6h")
    assert states(report) == ["ok"]


# Empty, and rightly so.


def test_nothing_that_passes_a_comparison_is_an_answer(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "requests_total > 1000"))))
    assert report.first_broken_hop is None, dumped(report)
    assert "none passes its comparison" in notes(report)[0]


def test_a_quantile_of_nothing_is_an_answer(ward: Ward, prometheus: str) -> None:
    """Prometheus works out NaN."""
    expr = "histogram_quantile(0.9, rate(idle_seconds_bucket[2m]))"
    report = ward.examine(bundle(board(promql(prometheus, expr))))
    assert report.first_broken_hop is None, dumped(report)
    assert "not a number, because nothing happened" in notes(report)[0]


def test_a_panel_that_the_bundle_lets_be_empty_is_not_broken_but_for_its_metric(ward: Ward, prometheus: str) -> None:
    excused = board(
        promql(prometheus, 'requests_total{path="/c"}'), promql(prometheus, "gone_total"), may_be_empty=True
    )
    report = ward.examine(bundle(excused))
    assert report.first_broken_hop is None, dumped(report)
    assert all(words.startswith("Empty, which is an answer: ") for words in notes(report))
    assert states(report) == ["ok", "ok"]
    report = ward.examine(bundle(board(promql(prometheus, "never_seen"), may_be_empty=True)))
    named(report, "metric:never_seen", "nothing that we know emits it")


# Log lines.


def test_the_chain_of_log_lines(ward: Ward) -> None:
    uid = ward.source("loki", ward.loki)
    nothing = ward.examine(bundle(board(logql(uid, '{app="gw"}'))))
    named(nothing, f"stream:{uid}", "No log line has reached", "LOKI_URL where the application runs")
    hour_ago = time.time_ns() - 3600 * 10**9
    backends.push(ward.loki, {"app": "gw", "level": "info"}, {hour_ago: "old"})
    asked = {
        '{app="gw", env=~".+"}': ("label:env", "No log line has the label env"),
        '{app="other"}': ('value:{app="other"}', "there is gw"),
        'sum(rate({app="gw"} [1m]))': ('range:{app="gw"}', "the last line"),
    }
    for expr, (hop, words) in asked.items():
        named(ward.examine(bundle(board(logql(uid, expr)))), hop, words)
    backends.push(ward.loki, {"app": "gw", "level": "info"}, {time.time_ns(): "new"})
    filtered = ward.examine(bundle(board(logql(uid, '{app="gw"} |= "nowhere"'), logql(uid, '{app="gw"}'))))
    assert filtered.first_broken_hop is None, dumped(filtered)
    assert states(filtered) == ["ok", "ok"]


# Traces.


def test_the_chain_of_traces(ward: Ward) -> None:
    uid = ward.source("tempo", ward.tempo)
    ours = '{resource.service.name="gw"}'
    named(ward.examine(bundle(board(traceql(uid, ours)))), f"trace:{uid}", "No trace has reached", "OTEL_EXPORTER_OTLP")
    backends.send_span(ward.otlp, "gw")
    backends.until(lambda: states(ward.examine(bundle(board(traceql(uid, ours))))) == ["ok"])
    other = ward.examine(bundle(board(traceql(uid, '{resource.service.name="other"}'))))
    named(other, 'value:{resource.service.name="other"}', "No span has", "there is gw")
    absent = ward.examine(bundle(board(traceql(uid, '{span.nowhere="x"}'))))
    named(absent, "label:span.nowhere", "No span has the label span.nowhere")
    failing = ward.examine(bundle(board(traceql(uid, "{status=error}"))))
    named(failing, "value:{status=error}", "Traces have come, and none of seven days meets {status=error}.")


# JSON.


def test_a_wrong_token(ward: Ward) -> None:
    ward.api.says("/secret", {"a": 1})
    ward.api.token = "right"
    try:
        uid = ward.source(
            INFINITY,
            ward.api.url,
            jsonData={"auth_method": "bearerToken", "allowedHosts": [ward.api.url]},
            secureJsonData={"bearerToken": "wrong"},
        )
        report = ward.examine(bundle(board(endpoint(uid, "/secret", "a"))))
    finally:
        ward.api.token = ""
    named(report, f"token:{uid}", "401 Unauthorized", "GWZ_API_TOKEN")


def test_a_path_that_is_not_there_beside_one_that_is(ward: Ward, api: str) -> None:
    ward.api.says("/here", {"a": 1})
    report = ward.examine(bundle(board(endpoint(api, "/here", "a"), endpoint(api, "/gone", "a"))))
    named(report, f"endpoint:{api}/gone", "/gone answers 404", "GWZ_API_URL")
    assert states(report) == ["ok", "error"]


def test_no_path_at_all_is_one_hop(ward: Ward, api: str) -> None:
    report = ward.examine(bundle(board(endpoint(api, "/gone", "a"), endpoint(api, "/lost", "a"))))
    named(report, f"endpoint:{api}", "none of the 2 paths", "2 queries wait for this")


def test_the_words_of_an_api_that_is_not_ready_are_passed_on(ward: Ward, api: str) -> None:
    ward.api.says("/busy", {"detail": "Prometheus does not answer: is it up?"}, 503)
    report = ward.examine(bundle(board(endpoint(api, "/busy", "a"))))
    named(report, f"endpoint:{api}/busy", "503 Service Unavailable", "Prometheus does not answer: is it up?")


def test_a_page_instead_of_json(ward: Ward, api: str) -> None:
    ward.api.says("/page", "<html>Log in</html>", kind="text/html")
    report = ward.examine(bundle(board(endpoint(api, "/page", "a"))))
    named(report, f"endpoint:{api}/page", "something other than JSON")


@pytest.mark.parametrize(
    ("body", "columns", "root", "hop", "words"),
    [
        ({"a": 1}, ("a", "b"), "", "column:{api}/doc#b", "has no b: there are a"),
        ({"a": 1}, ("x",), "rows", "column:{api}/doc#rows", "nothing at rows"),
        ({"rows": []}, ("x",), "rows", "rows:{api}/doc", "its list is empty"),
        ({"a": None}, ("a",), "", "column:{api}/doc#a", "null for a, which the contract does not allow"),
    ],
)
def test_an_answer_without_what_the_panel_shows(  # noqa: PLR0917 - the columns of a table
    ward: Ward, api: str, body: Any, columns: tuple[str, ...], root: str, hop: str, words: str
) -> None:
    ward.api.says("/doc", body)
    report = ward.examine(bundle(board(endpoint(api, "/doc", *columns, root=root))))
    named(report, hop.format(api=api), words)


def test_an_empty_list_is_an_answer_where_the_bundle_says_so(ward: Ward, api: str) -> None:
    ward.api.says("/list", {"rows": []})
    report = ward.examine(bundle(board(endpoint(api, "/list", "x", root="rows"), may_be_empty=True)))
    assert report.first_broken_hop is None, dumped(report)
    assert states(report) == ["ok"]


def test_null_is_an_answer_where_the_contract_lets_it_be(ward: Ward, api: str) -> None:
    ward.api.says("/api/monitoring/stats/realtime", {"avg_health_score": None, "total_requests": 0})
    path = "/api/monitoring/stats/realtime"
    report = ward.examine(bundle(board(endpoint(api, path, "avg_health_score"))))
    assert report.first_broken_hop is None, dumped(report)
    assert "says null, which it may" in notes(report)[0]


# Variables.


def variable(uid: str, kind: str, query: Any, **more: Any) -> dict[str, Any]:
    return {"name": "v", "type": "query", "datasource": {"uid": uid, "type": kind}, "query": query, **more}


def test_a_variable_takes_the_first_of_its_values(ward: Ward, prometheus: str, api: str) -> None:
    loki = ward.source("loki", ward.loki)
    backends.push(ward.loki, {"app": "gw", "level": "info"}, {time.time_ns(): "line"})
    backends.until(lambda: b"gw" in backends.fetch(f"{ward.loki}/loki/api/v1/label/app/values"))
    ward.api.says("/names", [{"name": "/a"}, {"name": "/b"}])
    asked = endpoint(api, "/names", "name")
    asked["columns"][0]["type"] = "string"
    cases = [
        (promql(prometheus, 'requests_total{path="$v"}'), variable(prometheus, "prometheus", "label_values(requests_total, path)", sort=1)),
        (promql(prometheus, 'requests_total{path=~"$v"}'), variable(prometheus, "prometheus", "label_values(requests_total, path)", includeAll=True, multi=True)),
        (logql(loki, '{app="$v"}'), variable(loki, "loki", {"label": "app", "stream": '{level="info"}', "type": 1})),
        (promql(prometheus, 'requests_total{path="$v"}'), variable(api, INFINITY, {"queryType": "infinity", "infinityQuery": asked})),
    ]  # fmt: skip
    for target, asking in cases:
        report = ward.examine(bundle(board(target, variables=(asking,))))
        assert report.first_broken_hop is None, dumped(report)
        assert states(report) == ["ok"]


def test_a_variable_without_values_makes_its_queries_wait_for_what_it_is_made_of(ward: Ward, prometheus: str) -> None:
    asking = variable(prometheus, "prometheus", "label_values(fastapi_app_info, app_name)")
    both = (promql(prometheus, 'requests_total{a="$v"}'), promql(prometheus, "app_info"))
    report = ward.examine(bundle(board(*both, variables=(asking,))))
    named(report, "metric:fastapi_app_info", "1 query and 1 variable wait for this")
    assert states(report) == ["waiting", "ok"]
    chosen = ward.examine(
        bundle(board(promql(prometheus, 'app_info{app_name="$v"}'), variables=(asking,))), values={"v": "gw"}
    )
    assert chosen.first_broken_hop is None, dumped(chosen)


# Alerts.


def test_an_alert_rule_whose_query_fails_is_named(ward: Ward, prometheus: str) -> None:
    group = {
        "rules": [
            alert("bad", prometheus, {"expr": "sum(", "instant": True}),
            alert("good", prometheus, {"expr": "up"}),
        ]
    }
    report = ward.examine(bundle(board(promql(prometheus, "app_info")), rule_groups=(group,)))
    broken = {check.id: check.cause for check in report.checks if not check.ok}
    assert "2 of 2 alert rules: bad, good" in broken["alert-rules"]
    assert "unclosed left parenthesis" in broken["alert-rule:bad/A"]
    assert "alert-rule:good/A" not in broken


def test_a_receiver_that_grafana_has_not(ward: Ward, prometheus: str) -> None:
    rule = alert("told", prometheus, {"expr": "up"}, labels={"severity": "critical"})
    meant = {
        "rule_groups": ({"rules": [rule]},),
        "routes": ({"receiver": "On call", "object_matchers": [["severity", "=", "critical"]]},),
        "contact_points": ({"uid": "c", "name": "On call", "type": "webhook", "settings": {"url": "${HOOK}"}},),
    }
    report = ward.examine(bundle(**meant))
    broken = {check.id: check.cause for check in report.checks if not check.ok}
    assert "contact point On call, which Grafana does not have" in broken["receiver:On call"]
    ward.place.send(
        "POST", "/v1/provisioning/contact-points", {**meant["contact_points"][0], "settings": {"url": "http://x"}}
    )
    again = ward.examine(bundle(**meant))
    assert "receiver:On call" not in [check.id for check in again.checks if not check.ok]


# How it asks.


def test_one_call_for_each_data_source_and_dashboard(ward: Ward, prometheus: str) -> None:
    asked = [promql(prometheus, f"app_info + {number}") for number in range(40)]
    few, many = (ward.examine(bundle(board(*asked[:count]))) for count in (1, 40))
    assert states(many) == ["ok"] * 40
    assert many.requests == few.requests


def test_no_time_at_all_ends_the_questions(ward: Ward, prometheus: str) -> None:
    report = ward.examine(bundle(board(promql(prometheus, "app_info"))), seconds=0.0)
    assert (report.first_broken_hop, report.exit_code) == ("deadline", EXIT_FINDINGS)
    assert "no time left" in first(report).cause


def test_a_server_that_hangs_is_named_and_waited_for_once(ward: Ward, prometheus: str) -> None:
    """A port that takes connections and never answers."""
    with backends.silent() as url:
        uid, api = ward.source("prometheus", url), ward.source(INFINITY, url)
        asked = [promql(uid, "up"), promql(prometheus, "app_info"), endpoint(api, "/a", "x")]
        others = [board(endpoint(api, "/a", "x"), uid=f"other-{number}") for number in range(29)]
        began = time.monotonic()
        report = ward.examine(bundle(board(*asked), *others), seconds=12.0)
        seconds = time.monotonic() - began
    broken = {check.id: check.cause for check in report.checks if not check.ok}
    assert list(broken) == [f"health:{uid}", f"health:{api}", "dashboards"], dumped(report)
    assert "does not answer" in broken[f"health:{uid}"]
    assert "30 queries wait for this" in broken[f"health:{api}"]
    assert [answer.state for answer in report.answers if answer.datasource == prometheus] == ["ok"]
    assert seconds < 12


def test_a_deadline_is_told_as_such(ward: Ward) -> None:
    """Five times as many servers that hang as are asked at once, and each may take a quarter of the time."""
    with backends.silent() as url:
        asked = [promql(ward.source("prometheus", url), "up") for _ in range(20)]
        report = ward.examine(bundle(board(*asked)), seconds=2.0)
    broken = {check.id: check.cure for check in report.checks if not check.ok}
    assert "--deadline" in broken["deadline"], dumped(report)


def test_the_shipped_bundle_is_examined_without_a_single_choice(ward: Ward, tmp_path: Path) -> None:
    """On servers that have little of what it asks for: every query is judged all the same."""
    del tmp_path
    from gwz_provision.bundle import load, shipped  # noqa: PLC0415

    report = ward.examine(load(shipped()))
    assert report.answers
    assert not [check.id for check in report.checks if check.id.startswith("variable:") and not check.ok]
    assert json.loads(json.dumps(report.document()))["queries"]
    assert os.linesep not in report.lines()[0]
