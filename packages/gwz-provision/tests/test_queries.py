"""Queries found in dashboards, and the values put into them."""

from datetime import timedelta

import pytest

from gwz_provision.bundle import Dashboard
from gwz_provision.errors import Misconfigured, QueryFailed
from gwz_provision.queries import Query, period, queries, substituted, variables


def ask(text: str, kind: str = "prometheus", **values: str) -> str:
    target = {"expr": text, "refId": "A"} if kind != "tempo" else {"query": text, "refId": "A"}
    return substituted(Query("d", 1, "A", "uid", kind, target), values).text


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
    found = queries(Dashboard("f", model))
    assert [(item.id, item.datasource, item.kind) for item in found] == [
        ("query:d/1/A", "p", "prometheus"),
        ("query:d/1/B", "p", "prometheus"),
        ("query:d/3/A", "l", "loki"),
    ]
    assert found[0].target["datasource"] == {"uid": "p", "type": "prometheus"}


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


def test_variables_that_are_asked_from_a_data_source_are_listed() -> None:
    model = {
        "uid": "d",
        "templating": {
            "list": [
                {
                    "name": "app",
                    "type": "query",
                    "datasource": {"uid": "p"},
                    "query": "label_values(app_info, app_name)",
                },
                {"name": "env", "type": "query", "datasource": {"uid": "p"}, "query": {"query": "query_result(up)"}},
                {"name": "step", "type": "interval", "query": "1m"},
            ]
        },
    }
    app, env = variables(Dashboard("f", model))
    assert (app.id, app.label_values) == ("variable:d/app", ("app_info", "app_name"))
    assert (env.id, env.label_values) == ("variable:d/env", None)


@pytest.mark.parametrize(("text", "expected"), [("now-15m", timedelta(minutes=15)), ("now-2d", timedelta(days=2))])
def test_a_period_is_read_as_grafana_writes_it(text: str, expected: object) -> None:
    assert period(text) == expected


@pytest.mark.parametrize("text", ["15m", "now", "now-m", "now-1y", "yesterday"])
def test_another_period_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Misconfigured, match="now-15m") as caught:
        period(text)
    assert repr(text) in caught.value.cause
