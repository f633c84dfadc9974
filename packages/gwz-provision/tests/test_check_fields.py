"""The names of a panel's fields: those that its queries yield, and those that it names in vain."""

import json
from pathlib import Path
from typing import Any

import pytest

from gwz_provision.check.contract import load
from gwz_provision.check.run import check

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "grafana_prometheus"}
CONTRACT = load()


def columns(*names: str, ref: str = "A", **changes: Any) -> Json:
    """Return a JSON query with these columns, whose first is a text."""
    listed = [
        {"selector": "error_rate" if number else "provider", "text": name, "type": "number" if number else "string"}
        for number, name in enumerate(names)
    ]
    return {
        "refId": ref, "datasource": {"type": "yesoreyeram-infinity-datasource", "uid": "gatewayz_api"}, "type": "json",
        "source": "url", "parser": "backend", "format": "table", "url": "/api/monitoring/health", "root_selector": "",
        "columns": listed, **changes,
    }  # fmt: skip


def series(legend: str, ref: str = "A", **changes: Any) -> Json:
    expr = "sum by (provider) (rate(model_inference_requests_total[5m]))"
    return {"refId": ref, "datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, **changes}


def lines(legend: str) -> Json:
    expr = 'sum by (level, app) (rate({app=~".+"}[1m]))'
    return {"refId": "A", "datasource": {"type": "loki", "uid": "grafana_loki"}, "expr": expr, "legendFormat": legend}


def named(*names: str) -> Json:
    """Return the settings that override fields of these names."""
    return {"overrides": [{"matcher": {"id": "byName", "options": name}, "properties": []} for name in names]}


def change(id_: str, **options: Any) -> Json:
    return {"id": id_, "options": options}


def found(folder: Path, targets: list[Json], **panel: Any) -> list[str]:
    model = {
        "uid": "d",
        "title": "D",
        "panels": [{"id": 1, "type": "table", "title": "P", "targets": targets, **panel}],
    }
    (folder / "d.json").write_text(json.dumps(model))
    return [f"{one.sentence} {one.cure}" for one in check([folder], CONTRACT).findings if one.id == "panel/field"]


TABLE = [columns("Provider", "Share")]
JOINED = [
    columns("provider", "Share"),
    columns("provider", "Lost", ref="B"),
    series("", "C", format="table", instant=True),
]


@pytest.mark.parametrize(
    ("targets", "panel", "words"),
    [
        (TABLE, {"transformations": [change("organize", renameByName={"Provder": "Who"})]}, "renameByName of the transformation organize names 'Provder', and no field of the panel is called so. Did you mean Provider?"),
        (TABLE, {"transformations": [change("organize", excludeByName={"Time": True})]}, "excludeByName of the transformation organize names 'Time'"),
        (TABLE, {"transformations": [change("filterFieldsByName", include={"names": ["Provider", "Shares"]})]}, "include of the transformation filterFieldsByName names 'Shares'"),
        (TABLE, {"transformations": [change("calculateField", mode="binary", binary={"left": "Share", "right": "Al"}, alias="x")]}, "binary of the transformation calculateField names 'Al'"),
        (TABLE, {"transformations": [change("calculateField", mode="binary", binary={"left": {"matcher": {"id": "byName", "options": "Shar"}}, "right": "100"})]}, "names 'Shar'"),
        (TABLE, {"transformations": [change("calculateField", reduce={"include": ["Sum"]})]}, "reduce of the transformation calculateField names 'Sum'"),
        (TABLE, {"transformations": [change("rowsToFields", mappings=[{"fieldName": "Name"}])]}, "mappings of the transformation rowsToFields names 'Name'"),
        # What one transformation makes, the next one finds, and nothing else.
        (TABLE, {"transformations": [change("organize", renameByName={"Share": "Part"}), change("sortBy", sort=[{"field": "Share"}])]}, "sort of the transformation sortBy names 'Share', and no field of the panel is called so. There are Part, Provider."),
        (TABLE, {"transformations": [change("organize", excludeByName={"Share": True})], "fieldConfig": named("Share")}, "an override names 'Share'"),
        (JOINED, {"transformations": [change("joinByField", byField="Provider")]}, "byField of the transformation joinByField names 'Provider'"),
        ([*JOINED[:1], columns("Provider", "Lost", ref="B")], {"transformations": [change("joinByField", byField="provider")]}, "names 'provider', and 1 of the panel's queries have no such field: they are left out."),
        ([series("5xx")], {"fieldConfig": named("5XX")}, "an override names '5XX', and no field of the panel is called so. There are 5xx, Time, Value."),
        ([lines("{{level}}")], {"fieldConfig": named("eror")}, "an override names 'eror', and no field of the panel is called so. Did you mean error?"),
        (TABLE, {"options": {"sortBy": [{"displayName": "share"}]}}, "sortBy of the panel names 'share'"),
        (TABLE, {"type": "xychart", "options": {"series": [{"x": "Share", "y": "Cost"}]}}, "series of the panel names 'Cost'"),
        (TABLE, {"type": "xychart", "options": {"series": [{"x": {"matcher": {"id": "byName", "options": "Cost"}}}]}}, "series of the panel names 'Cost'"),
    ],
)  # fmt: skip
def test_a_name_that_no_query_yields_is_found(tmp_path: Path, targets: list[Json], panel: Json, words: str) -> None:
    (sentence,) = found(tmp_path, targets, **panel)
    assert words in sentence


@pytest.mark.parametrize(
    ("targets", "panel"),
    [
        (TABLE, {"transformations": [change("organize", excludeByName={"Time": False}, renameByName={"Share": "Part"})], "fieldConfig": named("Part")}),
        (TABLE, {"transformations": [change("calculateField", alias="Double"), change("sortBy", sort=[{"field": "Double"}])]}),
        (TABLE, {"transformations": [{**change("sortBy", sort=[{"field": "x"}]), "disabled": True}]}),
        (JOINED, {"transformations": [change("joinByField", byField="provider")], "fieldConfig": named("Share", "Lost", "Value", "Value #C", "Share B")}),
        (JOINED, {"transformations": [change("merge"), change("filterFieldsByName", include={"names": ["Share B"]}), change("organize", renameByName={"Share B": "Second"})], "fieldConfig": named("Second")}),
        ([series("5xx")], {"fieldConfig": named("5xx", "Value", "Time")}),
        ([lines("{{level}}")], {"fieldConfig": named("error")}),
        (TABLE, {"transformations": [{**change("organize", excludeByName={"timeEnd": True}), "topic": "annotations"}]}),
        ([series("", format="table", instant=True)], {"transformations": [change("organize", excludeByName={"Time": True, "__name__": True})]}),
        # What nobody can tell beforehand.
        ([series("{{provider}}")], {"fieldConfig": named("openai")}),
        ([series("$model")], {"fieldConfig": named("gpt")}),
        ([series("")], {"fieldConfig": named("x")}),
        ([lines("{{app}}")], {"fieldConfig": named("backend")}),
        ([columns("Provider", "Share", format="timeseries")], {"fieldConfig": named("openai")}),
        ([{**columns(), "columns": []}], {"fieldConfig": named("x")}),
        ([*TABLE, {**series("{{provider}}", "B")}], {"fieldConfig": named("openai")}),
        (TABLE, {"transformations": [change("reduce")], "fieldConfig": named("Last")}),
        (TABLE, {"transformations": [change("calculateField", mode="binary", alias="x", binary={"left": {"matcher": {"id": "byType", "options": "number"}}, "right": {"fixed": "100"}})], "fieldConfig": named("Share * 100")}),
        ([series("", format="table", instant=True)], {"transformations": [change("calculateField", alias="x", replaceFields=True), change("sortBy", sort=[{"field": "Time"}])]}),
        (TABLE, {"transformations": [change("concatenate")], "fieldConfig": named("frame · Share")}),
        ([series("[[model]]")], {"fieldConfig": named("gpt")}),
        (TABLE, {"transformations": [{**change("organize", excludeByName={"Share": True}), "filter": {"id": "byRefId"}}], "fieldConfig": named("Share")}),
        (TABLE, {"fieldConfig": {"defaults": {"displayName": "${__data.fields.Provider}"}, **named("openai")}}),
        (TABLE, {"fieldConfig": named("${name}")}),
        (TABLE, {"description": "gwz-ignore panel/field: the panel of another version", "fieldConfig": named("Gone")}),
        ([], {"fieldConfig": named("x")}),
    ],
)  # fmt: skip
def test_a_name_that_a_query_yields_or_may_yield_is_not_reported(tmp_path: Path, targets: list[Json], panel: Json) -> None:  # fmt: skip
    assert found(tmp_path, targets, **panel) == []


def test_a_query_that_is_hidden_yields_nothing(tmp_path: Path) -> None:
    hidden = series("lost", "B", hide=True)
    assert len(found(tmp_path, [series("5xx"), hidden], fieldConfig=named("lost"))) == 1
