"""The doctor at a Grafana that answers oddly: each answer is told as the hop that it is, once, with its exit code."""

from typing import Any

import pytest
from stand_in import LIVE, Saying, frame, nothing, results, standing_in
from ward import alert, board, bundle, dumped, first, logql, notes, promql, states, traceql

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle
from gwz_provision.doctor.examine import examine
from gwz_provision.doctor.hops import hop_of
from gwz_provision.doctor.question import Question
from gwz_provision.errors import (
    Forbidden,
    ForeignServer,
    NotGrafana,
    OutOfTime,
    ProvisionError,
    Refused,
    Unanswered,
    Unauthorized,
    Unreachable,
)
from gwz_provision.grafana import Grafana, Reader
from gwz_provision.report import Report

WHOLE = bundle(
    board(promql("p", "app_info"), promql("p", "app_info * 2"), logql("l", '{a="b"}'), traceql("t", "{}")),
    rule_groups=({"rules": [alert("rule", "p", {"expr": "app_info"})]},),
)


def examined(asked: Bundle = WHOLE, question: Question | None = None, **otherwise: Saying) -> Report:
    with standing_in(**otherwise) as url, Grafana(Access(url, "t")) as grafana:
        return examine(asked, grafana.reader, question or Question())


def broken(report: Report) -> list[str]:
    return [check.id for check in report.checks if not check.ok]


# What Grafana itself answers.


@pytest.mark.parametrize("answer", [[{}], [None], [[]], [5], {"a": 1}, 5])
@pytest.mark.parametrize(
    "path",
    ["/api/datasources", "/api/search", "/api/v1/provisioning/alert-rules", "/api/v1/provisioning/contact-points"],
)
def test_a_list_that_grafana_does_not_answer_is_told_as_such(path: str, answer: Any) -> None:
    report = examined(**{path: (200, answer)})
    assert (report.first_broken_hop, report.exit_code) == ("grafana", 6), dumped(report)
    assert "JSON other than Grafana's" in first(report).cause
    assert "is missing or null" in first(report).cause or " is a" in first(report).cause


@pytest.mark.parametrize(
    "result",
    [
        None,
        [1],
        "x",
        {"error": {"a": 1}},
        {"frames": 5},
        {"frames": [None]},
        {"frames": [{}]},
        {"frames": [{"schema": None, "data": {"values": []}}]},
        {"frames": [{"schema": {"fields": None}, "data": None}]},
        {"frames": [{"schema": {"fields": [{"type": "number"}]}, "data": {"values": None}}]},
        {"frames": [{"schema": {"fields": [{"type": "number"}]}, "data": {"values": [None]}}]},
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_result_that_grafana_does_not_answer_is_told_as_such(status: int, result: Any) -> None:
    def said(references: list[str]) -> tuple[int, Any]:
        return status, {"results": dict.fromkeys(references, result)}

    report = examined(**{"/api/ds/query": said})
    assert (broken(report)[0], report.exit_code) == ("grafana", 6), dumped(report)
    assert "JSON other than Grafana's" in first(report).cause


def test_the_place_of_what_is_wrong_is_named() -> None:
    report = examined(**{"/api/datasources": (200, [*LIVE.values(), {**LIVE["p"], "type": 5}])})
    assert "asked for its data sources: [3].type is a number." in first(report).cause


@pytest.mark.parametrize(
    ("path", "said", "hop", "code"),
    [
        ("/api/health", (500, {}), "grafana", 6),
        ("/api/user", (500, {}), "grafana", 6),
        ("/api/user", None, "grafana", 6),
        ("/api/user", (401, {}), "login", 3),
        ("/permissions", (500, {}), "grafana", 6),
        ("/permissions", (401, {}), "login", 3),
        ("/api/datasources", (500, {}), "grafana", 6),
        ("/api/datasources", (401, {}), "login", 3),
        ("/api/datasources", (403, {}), "permission", 3),
        ("/api/search", (403, {}), "permission", 3),
        ("/contact-points", (403, {}), "permission", 3),
        ("/alert-rules", None, "grafana", 6),
        ("uid/p/health", (403, {}), "permission", 3),
        ("uid/p/health", (500, {"message": "database is locked"}), "health:p", 8),
        ("/api/ds/query", (401, {}), "login", 3),
        ("/api/ds/query", (403, {}), "permission", 3),
        ("/api/ds/query", (200, "<html>"), "grafana", 6),
        ("/api/ds/query", (500, {}), "query:p", 8),
        ("/api/ds/query", (400, {"results": None}), "query:p", 8),
        ("/api/ds/query", None, "health:p", 8),
        ("uid/p/api/v1/targets", (401, {}), "login", 3),
        ("uid/p/api/v1/targets", None, "health:p", 8),
        ("t/api/search", (403, {"message": "RBAC: access denied"}), "token:t", 8),
    ],
)
def test_each_refusal_is_told_once_as_the_hop_that_it_is(
    path: str, said: Saying, hop: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gwz_provision.transport.time.sleep", lambda _: None)
    report = examined(**{path: said})
    assert (report.first_broken_hop, report.exit_code) == (hop, code), dumped(report)
    assert [check.id for check in report.checks].count(hop) == 1
    assert {id_.partition(":")[0] for id_ in broken(report)} == {hop.partition(":")[0]}, dumped(report)


@pytest.mark.parametrize("answer", [{"message": "no such org"}, {"message": "no such org", "results": None}])
def test_a_call_that_is_refused_as_a_whole_is_told_with_grafana_s_words(answer: Any) -> None:
    report = examined(**{"/api/ds/query": (400, answer)})
    assert "Grafana answered 400 for the queries to data source p: no such org" in first(report).cause


def test_what_a_login_may_not_read_is_cured_by_the_role_that_the_doctor_needs() -> None:
    report = examined(**{"/contact-points": (403, {"message": "Forbidden"})})
    assert "contact points: Forbidden" in first(report).cause
    assert first(report).cure == "Give the service account the role Viewer, or a higher one."
    assert states(report) == ["ok"] * 4


@pytest.mark.parametrize("answered", [0, 1])
def test_an_answer_with_fewer_results_than_queries_is_not_one_without_data(answered: int) -> None:
    report = examined(
        bundle(board(promql("p", "app_info"), promql("p", "app_info * 2"), promql("p", "app_info * 3"))),
        **{"/api/ds/query": lambda references: results(*references[:answered])},
    )
    assert (broken(report), report.exit_code) == (["query:p"], 8), dumped(report)
    assert "Grafana did not answer each query" in first(report).cause
    assert f"{'3 queries wait' if not answered else '2 queries wait'} for this" in first(report).cause
    assert states(report) == ["ok"] * answered + ["error"] * (3 - answered)


def test_an_expression_s_missing_result_is_missed_too() -> None:
    calculated = {"datasource": {"uid": "__expr__", "type": "__expr__"}, "type": "math", "expression": "$A"}
    panel = board(promql("p", "app_info"))
    panel.model["panels"][0]["targets"] += [{"refId": "B", **calculated}]
    report = examined(bundle(panel), **{"/api/ds/query": lambda _: results("A")})
    assert broken(report) == ["query:p"], dumped(report)
    assert "1 query waits" in first(report).cause
    failing = (400, {"results": {"A": {"frames": [frame(1)]}, "B": {"error": "no such operation"}}})
    report = examined(bundle(panel), **{"/api/ds/query": failing})
    assert "no such operation" in first(report).cause


# What the servers behind it answer.


@pytest.mark.parametrize(
    ("path", "hop", "answers"),
    [
        ("api/v1/targets", "health:p", [{"activeTargets": 5}, {"activeTargets": [None]}, {"activeTargets": [{"labels": 5}]}]),
        ("api/v1/status/runtimeinfo", "health:p", [5, {"storageRetention": 5}]),
        ("job/values", "health:p", [5, [None], [{}]]),
        ("api/v1/series", "health:p", [5, [None]]),
        ("p/api/v1/query_range", "health:p", [5, {"result": 5}, {"result": [{}]}, {"result": [{"values": [[1]]}]}]),
        ("loki/api/v1/labels", "health:l", [5, [None]]),
        ("l/loki/api/v1/query_range", "health:l", [5, {"result": [{}]}, {"result": [{"values": [["x", "y"]]}]}]),
    ],
)  # fmt: skip
def test_what_another_server_answers_is_laid_at_its_data_source(path: str, hop: str, answers: list[Any]) -> None:
    panels = bundle(board(promql("p", 'requests_total{job="a"}'), logql("l", '{a="a"}')))
    for answer in ("<html>", [], b"[", *({"data": one} for one in answers)):
        report = examined(panels, **{"/api/ds/query": nothing, path: (200, answer)})
        assert hop in broken(report), (answer, dumped(report))
        assert report.exit_code == 8
        told = next(check.cause for check in report.checks if check.id == hop)
        assert "of another server, or of another version" in told


@pytest.mark.parametrize(
    "answer", ["x", [], {"traces": 5}, {"traces": [None]}, {"traces": [{"startTimeUnixNano": "x"}]}]
)
def test_what_is_no_answer_of_tempo_s_is_laid_at_its_data_source(answer: Any) -> None:
    report = examined(bundle(board(traceql("t", "{}"))), **{"t/api/search": (200, answer)})
    assert (broken(report), report.exit_code) == (["health:t"], 8), dumped(report)


@pytest.mark.parametrize("at", [1e300, -1e300, 4.2])
def test_a_last_sample_at_a_time_that_was_not_asked_for_is_none(at: float) -> None:
    said = (200, {"data": {"result": [{"values": [[at, "1"]]}]}})
    report = examined(
        bundle(board(promql("p", 'requests_total{job="a"}'))), **{"/api/ds/query": nothing, "/query_range": said}
    )
    assert broken(report) == ['range:requests_total{job="a"}'], dumped(report)
    assert "it had some, long ago" in first(report).cause


def test_who_refuses_to_tell_its_targets_and_rules_may_have_them_elsewhere() -> None:
    refusing = {path: (404, {}) for path in ("api/v1/targets", "api/v1/rules", "api/v1/status/runtimeinfo")}
    report = examined(bundle(board(promql("p", "app_info"))), **refusing)
    assert (broken(report), states(report)) == ([], ["ok"])


# The time.


def test_a_time_that_is_over_is_told_once_and_not_as_a_fault_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends while it is looked into why each of many queries is empty."""
    proxied = Reader.proxied

    def late(reader: Reader, uid: str, address: str, *rest: Any) -> Any:
        if address.endswith(("/values", "/labels", "api/search")):
            raise OutOfTime(f"There was no time left to ask for {address}.", "Give it more.")
        return proxied(reader, uid, address, *rest)

    monkeypatch.setattr(Reader, "proxied", late)
    many = [promql("p", f"metric_{number}") for number in range(40)]
    report = examined(bundle(board(*many, logql("l", '{a="b"}'), traceql("t", "{}"))), **{"/api/ds/query": nothing})
    assert (broken(report), report.exit_code) == (["deadline"], 8), dumped(report)
    assert "42 queries wait for this" in first(report).cause
    assert "--deadline" in first(report).cure


@pytest.mark.parametrize(
    ("error", "asked", "hop"),
    [
        (OutOfTime("c", "d"), "p", "deadline"),
        (Unanswered("c", "d"), "p", "health:p"),
        (Unanswered("c", "d"), "", "grafana"),
        (ForeignServer("c", "d"), "p", "health:p"),
        (Unauthorized("c", "d"), "p", "login"),
        (Forbidden("c", "d"), "p", "permission"),
        (Unreachable("c", "d"), "p", "grafana"),
        (NotGrafana("c", "d"), "p", "grafana"),
        (Refused("connection refused", "d"), "p", "host:p"),
        (Refused("c", "d"), "p", "metric:m"),
        (Refused("connection refused", "d"), "", "metric:m"),
    ],
)
def test_an_error_is_told_as_the_hop_that_it_broke(error: ProvisionError, asked: str, hop: str) -> None:
    assert hop_of(error, "metric", "m", LIVE.get(asked)).id == hop


def test_a_bundle_without_receivers_is_not_told_to_set_one() -> None:
    report = examined()
    assert broken(report) == []
    assert [words for words in notes(report) if "tell nobody" in words] == [
        "1 alert rules tell nobody: no receiver of the bundle is set."
    ]


# Which data source a query reaches.


VARIABLE = {"name": "DS", "type": "datasource", "query": "prometheus"}


@pytest.mark.parametrize(
    ("source", "values", "hop"),
    [
        ({"uid": "${DS}", "type": "prometheus"}, {}, None),
        ({"uid": "${DS}", "type": "prometheus"}, {"DS": "Metrics"}, None),
        ({"uid": "${DS}", "type": "prometheus"}, {"DS": "nope"}, "datasource:nope"),
        ({"uid": "${DS}", "type": "prometheus"}, {"DS": "l"}, "datasource:l"),
        ({"uid": "Metrics"}, {}, None),
        ("Metrics", {}, None),
        (None, {}, None),
        ("nope", {}, "datasource:nope"),
        ({"uid": "made-up", "type": "grafana-testdata-datasource"}, {}, None),
    ],
)
def test_a_data_source_is_looked_for_where_the_query_gets_it_from(
    source: Any, values: dict[str, str], hop: str | None
) -> None:
    made_up = {"uid": "made-up", "name": "Made up", "type": "grafana-testdata-datasource", "url": ""}
    panels = bundle(board({"datasource": source, "expr": "app_info", "instant": True}, variables=(VARIABLE,)))
    report = examined(panels, Question(values=values), **{"/api/datasources": (200, [*LIVE.values(), made_up])})
    assert report.first_broken_hop == hop, dumped(report)
    assert states(report) == (["waiting"] if hop else ["ok"])
    if hop:
        assert "the variable's value (--var)" in first(report).cure
        assert "apply" not in first(report).cure


@pytest.mark.parametrize(("current", "reached"), [("Metrics", "p"), ("default", "p"), ("a", "a"), ("gone", "a")])
def test_a_variable_may_remember_a_data_source_by_its_name_or_as_the_default(current: str, reached: str) -> None:
    other = {"uid": "a", "name": "Another", "type": "prometheus", "url": "http://a:9090"}
    remembering = {**VARIABLE, "current": {"text": current, "value": current}}
    asked = bundle(board(promql("${DS}", "app_info"), variables=(remembering,)))
    report = examined(asked, **{"/api/datasources": (200, [*LIVE.values(), other])})
    assert [answer.datasource for answer in report.answers] == [reached], dumped(report)


def test_a_data_source_that_only_a_variable_asks_is_looked_at_too() -> None:
    asking = {"name": "v", "type": "query", "query": {"label": "a"}, "datasource": {"uid": "nol", "type": "loki"}}
    report = examined(bundle(board(promql("p", 'app_info{a="$v"}'), variables=(asking,))))
    assert broken(report) == ["datasource:nol"], dumped(report)
    assert "1 query and 1 variable wait for this" in first(report).cause


def test_a_grafana_without_a_default_data_source_is_told_of_the_query_that_names_none() -> None:
    report = examined(bundle(board({"expr": "app_info"})), **{"/api/datasources": (200, [LIVE["l"]])})
    assert broken(report) == ["datasource"], dumped(report)
    assert "names no data source, and Grafana has no default one" in first(report).cause


def test_an_annotation_is_asked_like_a_panel() -> None:
    asked = board(promql("p", "app_info"))
    source = {"uid": "p", "type": "prometheus"}
    asked.model["annotations"] = {
        "list": [{"name": "Restarts", "datasource": source, "expr": "changes(never_seen[1m])"}]
    }
    report = examined(bundle(asked), **{"/values": (200, {"data": []}), "/api/ds/query": nothing})
    assert "metric:never_seen" in broken(report), dumped(report)
    assert [(answer.panel, answer.ref) for answer in report.answers] == [(1, "A"), (0, "Restarts")]
