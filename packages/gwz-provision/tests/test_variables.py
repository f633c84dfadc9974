"""Variables, resolved as the browser does when somebody opens the dashboard."""

from typing import Any

import pytest

from gwz_provision.bundle import Dashboard
from gwz_provision.errors import QueryFailed
from gwz_provision.variables import Choice, LabelValues, Variable, variables

ALL = {"text": "All", "value": "$__all"}


def variable(**entry: Any) -> Variable:
    return Variable("d", {"name": "v", "type": "query", **entry})


def test_those_that_queries_can_name_are_listed() -> None:
    listed = [{"name": name, "type": name} for name in ("query", "custom", "adhoc", "textbox", "datasource")]
    found = variables(Dashboard("f", {"uid": "d", "templating": {"list": listed}}))
    assert [item.id for item in found] == [
        "variable:d/query",
        "variable:d/custom",
        "variable:d/textbox",
        "variable:d/datasource",
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("label_values(app_info, app_name)", LabelValues("app_name", "app_info")),
        ('label_values(up{job=~"$job", a="b"}, instance)', LabelValues("instance", 'up{job=~"$job", a="b"}')),
        ("label_values(job)", LabelValues("job")),
        ({"query": "label_values(up, job)", "refId": "A"}, LabelValues("job", "up")),
        ({"label": "env", "stream": '{app=~".+"}', "type": 1}, LabelValues("env", '{app=~".+"}')),
        ("query_result(up)", None),
    ],
)
def test_the_label_that_is_asked_for(query: Any, expected: object) -> None:
    assert variable(query=query).label_values == expected


@pytest.mark.parametrize(
    ("entry", "options", "expected"),
    [
        # The first of its values, when nothing is written down or what is written is no longer one.
        ({}, ["a", "b"], Choice(("a",))),
        ({"current": {"value": "b"}}, ["a", "b"], Choice(("b",))),
        ({"current": {"value": "gone"}}, ["a", "b"], Choice(("a",))),
        ({"current": {"value": ["a", "b"]}, "multi": True}, ["a", "b", "c"], Choice(("a", "b"), pattern=True)),
        ({}, [], None),
        # All: its own value as it is, else every value.
        ({"includeAll": True, "current": ALL, "allValue": ".+"}, [], Choice((".+",), verbatim=True)),
        ({"includeAll": True, "current": ALL}, ["a", "b"], Choice(("a", "b"), pattern=True)),
        ({"includeAll": True}, ["a", "b"], Choice(("a", "b"), pattern=True)),
        ({"includeAll": True, "current": ALL}, [], None),
        # What the dashboard itself names.
        ({"type": "custom", "query": "all : .+, one : 1"}, [".+", "1"], Choice((".+",))),
        ({"type": "textbox", "query": "", "current": {"value": ""}}, [""], Choice(("",))),
        ({"type": "textbox", "query": "", "current": {"value": "typed"}}, [""], Choice(("typed",))),
        ({"type": "constant", "query": "gw"}, ["gw"], Choice(("gw",))),
        ({"type": "interval", "query": "auto,1m,5m", "current": {"value": "5m"}}, ["1m", "5m"], Choice(("5m",))),
    ],
)
def test_what_the_browser_would_choose(entry: dict[str, Any], options: list[str], expected: object) -> None:
    assert variable(**entry).chosen(options) == expected


def test_a_value_that_somebody_passed_goes_before_all() -> None:
    several = variable(includeAll=True, current=ALL, allValue=".*")
    assert several.chosen([], "x") == Choice(("x",), pattern=True)
    assert several.chosen([], "$__all") == Choice((".*",), verbatim=True)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"type": "custom", "query": "all : .+, error : error, plain"}, [".+", "error", "plain"]),
        ({"type": "custom", "query": r"a\,b, c"}, ["a,b", "c"]),
        ({"type": "interval", "query": "auto,1m,5m"}, ["1m", "5m"]),
        ({"type": "textbox", "query": "typed, with a comma"}, ["typed, with a comma"]),
    ],
)
def test_the_values_that_the_dashboard_names(entry: dict[str, Any], expected: list[str]) -> None:
    assert variable(**entry).options() == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ["b", "a10", "a9", "B"]),
        ({"sort": 1}, ["B", "a10", "a9", "b"]),
        ({"sort": 2}, ["b", "a9", "a10", "B"]),
        ({"sort": 3}, ["B", "b", "a9", "a10"]),
        ({"sort": 5, "regex": "/a(\\d+)/"}, ["10", "9"]),
        ({"regex": "b"}, ["b"]),
        # As the browser reads it: between slashes anywhere in the value, without them the whole of it.
        ({"regex": "/a/"}, ["a10", "a9"]),
        ({"regex": "a"}, []),
        ({"regex": "/B/i"}, ["b", "B"]),
        ({"regex": "/(?<text>a)(?<value>\\d)/"}, ["1", "9"]),
        ({"regex": "/(?<text>a)\\d/"}, ["a"]),
        ({"regex": "/([a-z])|\\d/g"}, ["b", "a"]),
        ({"regex": "/(x)?a/"}, []),
        ({"regex": None}, ["b", "a10", "a9", "B"]),
    ],
)
def test_what_a_data_source_answers_is_filtered_and_sorted(entry: dict[str, Any], expected: list[str]) -> None:
    assert variable(**entry).offered(["b", "a10", "a9", "B", "b"]) == expected


@pytest.mark.parametrize("regex", ["/(/", "/(a+)+$/", "/\\p{Lu}/", "(?<!"])
def test_a_filter_that_is_wrong_or_only_the_browser_can_apply_is_named(regex: str) -> None:
    with pytest.raises(QueryFailed) as caught:
        variable(regex=regex).offered(["a" * 60 + "!"])
    assert f"Variable v filters its values by {regex}, which is wrong" in caught.value.cause
    assert "--var v=value" in caught.value.cure


def test_a_data_source_by_its_name_is_a_reference_too() -> None:
    assert variable(datasource="Prometheus").datasource == {"uid": "Prometheus"}
    assert variable(datasource=None).datasource == {}


def test_only_what_nobody_wrote_down_is_asked_for() -> None:
    assert variable(includeAll=True, current=ALL).needs_options
    assert not variable(includeAll=True, current=ALL, allValue=".*").needs_options
    assert not variable(type="custom", query="a").needs_options
