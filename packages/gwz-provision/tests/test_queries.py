"""Queries found in dashboards, and the values put into them."""

from datetime import timedelta
from typing import Any

import pytest

from gwz_provision.bundle import Dashboard
from gwz_provision.errors import Misconfigured, QueryFailed
from gwz_provision.queries import INFINITY, Query, named, period, queries, substituted
from gwz_provision.variables import Choice


def ask(text: str, kind: str = "prometheus", **values: str | Choice) -> str:
    field = {"tempo": "query", INFINITY: "url"}.get(kind, "expr")
    given = {name: Choice((value,)) if isinstance(value, str) else value for name, value in values.items()}
    return substituted(Query("d", 1, "A", "uid", kind, {field: text, "refId": "A"}), given).text


def test_every_target_of_every_panel_is_found_with_its_data_source() -> None:
    model = {
        "uid": "d",
        "panels": [
            {"id": 1, "datasource": {"uid": "p", "type": "prometheus"}, "targets": [{"refId": "A"}, {"refId": "B"}]},
            {"id": 2, "type": "row", "panels": [
                {"id": 3, "targets": [{"refId": "A", "datasource": {"uid": "l", "type": "loki"}}]},
            ]},
        ],
    }  # fmt: skip
    found = queries(Dashboard("f", model, frozenset({3})))
    assert [(item.id, item.datasource, item.kind, item.may_be_empty) for item in found] == [
        ("query:d/1/A", "p", "prometheus", False),
        ("query:d/1/B", "p", "prometheus", False),
        ("query:d/3/A", "l", "loki", True),
    ]
    assert found[0].target["datasource"] == {"uid": "p", "type": "prometheus"}


def test_what_lacks_a_name_gets_the_one_that_the_browser_gives_it() -> None:
    panels = [
        {"id": 4, "targets": [{"refId": "B"}, {}, {"refId": "A"}, {"refId": ""}]},
        {"targets": [{}]},
        {"targets": [{} for _ in range(27)]},
    ]
    found = [(item.panel, item.ref) for item in queries(Dashboard("f", {"uid": "d", "panels": panels}))]
    assert found[:6] == [(4, "B"), (4, "C"), (4, "A"), (4, "D"), (5, "A"), (6, "A")]
    assert found[-2:] == [(6, "Z"), (6, "AA")]
    assert len(set(found)) == len(found)


def test_a_data_source_may_be_named_by_a_text_or_by_nothing() -> None:
    panels = [{"id": 1, "datasource": "Prometheus", "targets": [{"refId": "A"}, {"refId": "B", "datasource": "Loki"}]}, {"id": 2, "targets": [{"refId": "A"}]}]  # fmt: skip
    found = queries(Dashboard("f", {"uid": "d", "panels": panels}))
    assert [item.target["datasource"] for item in found] == [{"uid": "Prometheus"}, {"uid": "Loki"}, {}]
    assert [item.datasource for item in found] == ["Prometheus", "Loki", ""]


@pytest.mark.parametrize(
    "target",
    [
        {"hide": True, "datasource": {"uid": "p", "type": "prometheus"}},
        {"datasource": {"uid": "-- Dashboard --", "type": "datasource"}},
        {"datasource": {"uid": "-- Mixed --"}},
        {"datasource": "-- Grafana --"},
        {"datasource": {"uid": "grafana"}},
    ],
)
def test_what_the_browser_does_not_ask_is_not_asked(target: Any) -> None:
    panels = [{"id": 1, "targets": [{"refId": "A", **target}]}]
    assert queries(Dashboard("f", {"uid": "d", "panels": panels})) == []


def test_what_is_hidden_is_asked_where_an_expression_calculates_with_it() -> None:
    targets = [
        {"refId": "A", "hide": True, "datasource": {"uid": "p", "type": "prometheus"}},
        {"refId": "B", "datasource": {"uid": "__expr__", "type": "__expr__"}, "type": "math", "expression": "$A * 2"},
    ]
    found = queries(Dashboard("f", {"uid": "d", "panels": [{"id": 1, "targets": targets}]}))
    assert [(item.ref, item.target["hide"]) for item in found] == [("A", False), ("B", False)]


def test_what_annotations_ask_is_asked_and_may_find_nothing() -> None:
    prometheus = {"uid": "p", "type": "prometheus"}
    listed = [
        {"name": "Restarts", "datasource": prometheus, "expr": "changes(a[1m]) > 0"},
        {"name": "Lines", "datasource": "Logs", "target": {"expr": '{a="b"}', "refId": "Anno"}},
        {"name": "Off", "enable": False, "datasource": prometheus, "expr": "a"},
        {"name": "Alerts", "builtIn": 1, "datasource": {"uid": "-- Grafana --", "type": "grafana"}},
        {"name": "Tags", "datasource": prometheus, "target": {"tags": []}},
    ]
    found = queries(Dashboard("f", {"uid": "d", "time": {"from": "now-1h"}, "annotations": {"list": listed}}))
    assert [(item.id, item.datasource, item.text, item.since) for item in found] == [
        ("query:d/0/Restarts", "p", "changes(a[1m]) > 0", "now-1h"),
        ("query:d/0/Lines", "Logs", '{a="b"}', "now-1h"),
    ]
    assert all(item.may_be_empty for item in found)


def test_the_range_is_the_panel_s_own_else_the_dashboard_s_else_grafana_s() -> None:
    target = {"refId": "A", "datasource": {"uid": "p", "type": "prometheus"}}
    panels = [{"id": 1, "timeFrom": "24h", "targets": [target]}, {"id": 2, "targets": [target]}]
    board = Dashboard("f", {"uid": "d", "time": {"from": "now-1h", "to": "now"}, "panels": panels})
    assert [item.since for item in queries(board)] == ["now-24h", "now-1h"]
    assert [item.since for item in queries(board, "now-5m")] == ["now-5m", "now-5m"]
    absolute = Dashboard("f", {"uid": "d", "time": {"from": "2026-01-01"}, "panels": panels[1:]})
    assert [item.since for item in queries(absolute)] == ["now-6h"]
    epoch = Dashboard("f", {"uid": "d", "time": {"from": 1767225600000}, "panels": panels[1:]})
    assert [item.since for item in queries(epoch)] == ["now-6h"]
    endless = Dashboard("f", {"uid": "d", "panels": [{**panels[0], "timeFrom": "999999999999d"}]})
    assert [item.since for item in queries(endless)] == ["now-6h"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('up{a="$app"}', 'up{a="gw.1"}'),
        ('up{a="${app}"}', 'up{a="gw.1"}'),
        ('up{a="[[app]]"}', 'up{a="gw.1"}'),
        ('up{a=~"${app:regex}"}', r'up{a=~"gw\.1"}'),
        ("rate(x[$__rate_interval])", "rate(x[$__rate_interval])"),
        ('label_replace(x, "a", "$1", "b", "(.*)$")', 'label_replace(x, "a", "$1", "b", "(.*)$")'),
        ("x > $__from", "x > 1000"),
    ],
)
def test_values_go_where_the_browser_puts_them(text: str, expected: object) -> None:
    assert ask(text, app="gw.1", __from="1000") == expected


SEVERAL = Choice(("a.b", "c"), pattern=True)


@pytest.mark.parametrize(
    ("kind", "text", "choice", "expected"),
    [
        ("prometheus", '{p=~"$v"}', SEVERAL, r'{p=~"(a\\.b|c)"}'),
        ("prometheus", '{p=~"$v"}', Choice(("/v1/{id}",), pattern=True), r'{p=~"/v1/\\{id\\}"}'),
        ("prometheus", '{p=~"$v"}', Choice((".*",), verbatim=True), '{p=~".*"}'),
        ("prometheus", '{p=~"${v:regex}"}', SEVERAL, r'{p=~"(a\.b|c)"}'),
        ("prometheus", '{p=~"${v:pipe}"}', SEVERAL, '{p=~"a.b|c"}'),
        ("loki", '{p=~"$v"}', SEVERAL, r'{p=~"a\\.b|c"}'),
        ("tempo", '{span.p=~"$v"}', SEVERAL, '{span.p=~"a.b|c"}'),
        (INFINITY, "/x?p=$v", SEVERAL, "/x?p={a.b,c}"),
        (INFINITY, "/x?p=${v:csv}", SEVERAL, "/x?p=a.b,c"),
        (INFINITY, "/x?p=${v:json}", SEVERAL, '/x?p=["a.b", "c"]'),
        (INFINITY, "/x?p=${v:percentencode}", Choice(("a b",)), "/x?p=a%20b"),
    ],
)
def test_several_values_are_written_in_the_language_s_way_or_the_query_s(
    kind: str, text: str, choice: Choice, expected: str
) -> None:
    assert ask(text, kind, v=choice) == expected


def test_a_data_source_may_be_a_variable() -> None:
    target = {"expr": "up", "refId": "A", "datasource": {"uid": "${ds}", "type": "prometheus"}}
    done = substituted(Query("d", 1, "A", "${ds}", "prometheus", target), {"ds": Choice(("p1",))})
    assert (done.datasource, done.kind) == ("p1", "prometheus")


def test_a_data_source_whose_variable_has_no_value_is_not_asked() -> None:
    target = {"expr": "up", "refId": "A", "datasource": {"uid": "${ds}", "type": "prometheus"}}
    with pytest.raises(QueryFailed, match=r"\$\{ds\} has no value, so this was not asked: up"):
        substituted(Query("d", 1, "A", "${ds}", "prometheus", target), {})


def test_a_name_that_only_begins_alike_is_another_variable() -> None:
    with pytest.raises(QueryFailed, match=r"\$application has no value"):
        ask('up{a="$application"}', app="x")


def test_loki_does_not_know_rate_interval_so_it_is_put_in() -> None:
    assert ask('rate({a="$app"}[$__rate_interval])', "loki", app="x") == 'rate({a="x"}[1m])'
    assert ask('rate({a="x"}[$__auto])', "loki") == 'rate({a="x"}[$__auto])'


def test_auto_is_loki_s_alone() -> None:
    with pytest.raises(QueryFailed, match=r"\$__auto has no value"):
        ask("rate(x[$__auto])")


def test_tempo_replaces_nothing_so_nothing_may_be_left() -> None:
    assert ask('{resource.service.name="$app"}', "tempo", app="x") == '{resource.service.name="x"}'
    with pytest.raises(QueryFailed, match=r"\$__interval has no value"):
        ask("{} | rate() by ($__interval)", "tempo")


def test_what_is_left_is_named_once_with_the_query() -> None:
    with pytest.raises(QueryFailed) as caught:
        ask('up{a="$app", b="${env}", c="$app"}')
    assert caught.value.cause == (
        '$app, ${env} has no value, so this was not asked: up{a="$app", b="${env}", c="$app"}'
    )
    assert "--var name=value" in caught.value.cure


def test_the_variables_of_a_query_are_named_wherever_they_stand() -> None:
    assert named({"expr": 'up{a="$app"}', "params": [{"value": "${env:csv}"}], "hide": False}) == {"app", "env"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("now-15m", timedelta(minutes=15)), ("now-2d", timedelta(days=2)), ("now-1w", timedelta(weeks=1))],
)
def test_a_period_is_read_as_grafana_writes_it(text: str, expected: object) -> None:
    assert period(text) == expected


@pytest.mark.parametrize(
    "text",
    ["15m", "now", "now-m", "now-1y", "yesterday", "now-0m", "now+5m", "now-60y", "now-99999d", "now-999999999999d"],
)
def test_another_period_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Misconfigured, match="now-15m") as caught:
        period(text)
    assert repr(text) in caught.value.cause
