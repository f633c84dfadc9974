"""What every dashboard keeps, whatever it shows."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from gwz_dashboards import tempo_metrics
from gwz_dashboards.common import finished
from gwz_dashboards.datasources import datasources
from gwz_dashboards.generate import pages
from gwz_instrument.semconv import METRICS, logs

pytestmark = pytest.mark.dashboard

PANELS_WITHOUT_NUMBERS = {"logs", "table"}
DASHBOARDS = [finished(page) for page in pages()]
DECLARED = {metric.name: metric for metric in (*METRICS, *tempo_metrics.METRICS)}
MADE_BY_PROMETHEUS = {"le"}


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{dashboard['uid']}/{panel['id']}")
        for dashboard in DASHBOARDS
        for panel in dashboard["panels"]
    ]


def targets() -> list[Any]:
    return [
        pytest.param(target, id=f"{dashboard['uid']}/{panel['id']}/{target['refId']}")
        for dashboard in DASHBOARDS
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def metric_names(expression: str) -> set[str]:
    """Find what is named before a selector: all our builders write one, even when it is empty."""
    return set(re.findall(r"([A-Za-z_:][\w:]*)\{", expression))


def declared_name(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in DECLARED and DECLARED[base].kind == "histogram" else name


def label_names(expression: str) -> Iterator[str]:
    yield from re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        yield from (name.strip() for name in group.split(","))


@pytest.mark.parametrize("panel", panels())
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"].strip()
    assert panel["description"].strip().endswith(".")
    if panel["type"] not in PANELS_WITHOUT_NUMBERS:
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"] is True


@pytest.mark.parametrize("target", targets())
def test_a_query_goes_to_one_of_the_three_data_sources(target: dict[str, Any]) -> None:
    kinds = {source["uid"]: source["type"] for source in datasources()}
    assert set(kinds) == {"grafana_prometheus", "grafana_loki", "grafana_tempo"}
    assert kinds[target["datasource"]["uid"]] == target["datasource"]["type"]


@pytest.mark.parametrize("target", targets())
def test_a_query_names_only_what_is_declared(target: dict[str, Any]) -> None:
    if target["datasource"]["type"] == "prometheus":
        names = {declared_name(name) for name in metric_names(target["expr"])}
        assert names
        assert names <= set(DECLARED)
        labels = {label.name for name in names for label in DECLARED[name].labels}
        assert set(label_names(target["expr"])) <= labels | MADE_BY_PROMETHEUS
    if target["datasource"]["type"] == "loki":
        assert set(label_names(target["expr"])) <= {label.name for label in logs.STREAM_LABELS}


@pytest.mark.parametrize("target", targets())
def test_a_legend_names_only_labels_that_the_query_keeps(target: dict[str, Any]) -> None:
    kept = {
        name.strip() for group in re.findall(r"\bby \(([^)]*)\)", target.get("expr", "")) for name in group.split(",")
    }
    assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= kept


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda item: item["uid"])
def test_ids_are_unique_and_the_uid_fits(dashboard: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,40}", dashboard["uid"])
    assert max(Counter(panel["id"] for panel in dashboard["panels"]).values()) == 1


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda item: item["uid"])
def test_no_panel_covers_another(dashboard: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda item: item["uid"])
def test_every_variable_in_use_is_declared_and_every_declared_one_is_used(dashboard: dict[str, Any]) -> None:
    used = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\$([A-Za-z]\w*)", target.get("expr", "") + target.get("query", ""))
    }
    assert used == {variable["name"] for variable in dashboard["templating"]["list"]}


def test_uids_and_titles_occur_once() -> None:
    assert max(Counter(page.uid for page in pages()).values()) == 1
    assert max(Counter((page.folder.uid, page.title) for page in pages()).values()) == 1
