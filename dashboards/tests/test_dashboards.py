"""What every dashboard keeps, whatever it shows."""

import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from gwz_dashboards import links
from gwz_dashboards.common import finished
from gwz_dashboards.datasources import datasources
from gwz_dashboards.generate import pages
from gwz_dashboards.names import DECLARED, MADE_BY_PROMETHEUS, label_names, metric_names
from gwz_instrument.monitoring.fields import fields_of
from gwz_instrument.semconv import endpoints, logs, spans

pytestmark = pytest.mark.dashboard

PANELS_WITHOUT_NUMBERS = {"logs", "table"}
DASHBOARDS = [finished(page) for page in pages()]
LINE_FIELDS = {field.name for field in (*logs.LINE_FIELDS, *logs.DOMAIN_FIELDS, *logs.RARE)}
ENDPOINTS = {endpoint.path: endpoint for endpoint in endpoints.MONITORING}
UNITS = {
    *("none", "short", "locale", "percentunit", "currencyUSD"),
    *("s", "ms", "reqps", "cps", "ops", "bytes", "decbytes", "dateTimeFromNow"),
}
PROMISED = {
    "executive-overview-v1": ("Executive Overview", "Executive", 10, "30s"),
    "four-golden-signals-v1": ("The Four Golden Signals", "Executive", 17, "30s"),
    "backend-health-v1": ("Backend Health & Service Status", "Backend", 13, "10s"),
    "gateway-comparison-v1": ("Gateway & Provider Comparison", "Gateway", 9, "60s"),
    "model-performance-v1": ("Model Performance Analytics", "Models", 8, "60s"),
    "logs-monitoring-v1": ("Logs & Diagnostics", "Logs", 9, "10s"),
    "gwz-request-flow": ("Request Flow", "Backend", 13, "10s"),
}
"""Title, folder, panels without text and rows, refresh."""


def shown(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] not in {"row", "text"}]


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{dashboard['uid']}/{panel['id']}")
        for dashboard in DASHBOARDS
        for panel in shown(dashboard)
    ]


def targets() -> list[Any]:
    return [
        pytest.param(target, id=f"{dashboard['uid']}/{panel['id']}/{target['refId']}")
        for dashboard in DASHBOARDS
        for panel in shown(dashboard)
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("panel", panels())
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"].strip()
    assert panel["description"].strip().endswith(".")
    if panel["type"] not in PANELS_WITHOUT_NUMBERS:
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"] is True


@pytest.mark.parametrize("panel", panels())
def test_a_panel_is_not_misread(panel: dict[str, Any]) -> None:
    """Seen in a browser: 10000 % where nothing failed, slices of one colour, a red "No traffic", "Data outside time range" in a zoomed one."""
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] in {"timeseries", "barchart"} and defaults["unit"] in {"percentunit", "locale", "short", "reqps"}:
        assert {"max", "axisSoftMax"} & {*defaults, *defaults.get("custom", {})}
    if panel["type"] == "piechart":
        assert panel["transformations"][0]["id"] == "rowsToFields"
    if panel["type"] in {"stat", "gauge"}:
        assert defaults["thresholds"]["steps"][0]["color"] in {"text", "blue"}
    assert "timeFrom" not in panel


@pytest.mark.parametrize("target", targets())
def test_a_query_goes_to_one_of_the_four_data_sources(target: dict[str, Any]) -> None:
    kinds = {source["uid"]: source["type"] for source in datasources()}
    assert set(kinds) == {"grafana_prometheus", "grafana_loki", "grafana_tempo", "gatewayz_api"}
    assert kinds[target["datasource"]["uid"]] == target["datasource"]["type"]


@pytest.mark.parametrize("target", targets())
def test_a_query_names_only_what_is_declared(target: dict[str, Any]) -> None:
    if target["datasource"]["type"] == "prometheus":
        names = metric_names(target["expr"])
        assert names
        assert names <= set(DECLARED)
        labels = {label.name for name in names for label in DECLARED[name].labels}
        assert set(label_names(target["expr"])) <= labels | MADE_BY_PROMETHEUS
    if target["datasource"]["type"] == "loki":
        labels = {label.name for label in logs.STREAM_LABELS}
        assert set(label_names(target["expr"])) <= labels | LINE_FIELDS
        assert set(re.findall(r"\{(\w+)=", target["expr"])) <= labels
        assert set(re.findall(r"\{\{[^}]*\.(\w+)", target["expr"])) <= LINE_FIELDS


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
        for panel in shown(dashboard)
        for target in panel["targets"]
        for name in re.findall(r"\$([A-Za-z]\w*)", target.get("expr", "") + target.get("query", ""))
    }
    assert used == {variable["name"] for variable in dashboard["templating"]["list"]}


def test_uids_and_titles_occur_once() -> None:
    assert max(Counter(page.uid for page in pages()).values()) == 1
    assert max(Counter((page.folder.uid, page.title) for page in pages()).values()) == 1


def rows_of(target: dict[str, Any]) -> str:
    """Find the place of the answer that the query's rows are from, as the contract writes it."""
    selector = target["root_selector"]
    if named := re.search(r"\$lookup\(([\w.]+), \$k\)", selector):
        return f"{named[1]}.*."
    if listed := re.fullmatch(r"(?:\$append\(\[\], )?([\w.]+)(?:\.\$merge.*)?", selector):
        return f"{listed[1]}[]."
    return "[]." if ENDPOINTS[target["url"]].many else ""


@pytest.mark.parametrize("target", [one for one in targets() if "url" in one.values[0]])
def test_a_json_query_names_only_fields_of_its_endpoint(target: dict[str, Any]) -> None:
    known = {field.path: field.type for field in fields_of(ENDPOINTS[target["url"]])}
    place = rows_of(target)
    made = {"provider"} if place.endswith(".*.") else {"label"}
    for column in target["columns"]:
        if column["selector"] in made and f"{place}{column['selector']}" not in known:
            continue
        kind = known[f"{place}{column['selector']}"]
        assert column["type"].startswith("timestamp") or (column["type"] == "string") == (kind == "string")
    assert (target["parser"], target["type"], target["source"]) == ("backend", "json", "url")
    assert target["url"].startswith("/")


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda item: item["uid"])
def test_a_dashboard_is_the_one_that_was_promised(dashboard: dict[str, Any]) -> None:
    page = next(page for page in pages() if page.uid == dashboard["uid"])
    found = (dashboard["title"], page.folder.title, len(shown(dashboard)), dashboard["refresh"])
    assert found == PROMISED[dashboard["uid"]]


def test_every_promised_dashboard_is_there() -> None:
    assert {dashboard["uid"] for dashboard in DASHBOARDS} == set(PROMISED)


def test_the_golden_signals_ask_ten_times_for_json_and_eleven_times_prometheus() -> None:
    (signals,) = (dashboard for dashboard in DASHBOARDS if dashboard["uid"] == links.SIGNALS_UID)
    kinds = Counter(target["datasource"]["uid"] for panel in shown(signals) for target in panel["targets"])
    assert kinds == {"gatewayz_api": 10, "grafana_prometheus": 11}


@pytest.mark.parametrize("panel", panels())
def test_units_are_plausible(panel: dict[str, Any]) -> None:
    """Ratios are shares, money is dollars, and a field in milliseconds is shown as milliseconds."""
    config = panel["fieldConfig"]
    units = {unit["value"] for one in config.get("overrides", []) for unit in one["properties"] if unit["id"] == "unit"}
    if unit := config["defaults"].get("unit"):
        units.add(unit)
    assert units <= UNITS
    for target in panel["targets"]:
        selectors = {column["selector"] for column in target.get("columns", [])}
        for pattern, unit in (
            (r"(error|success)_rate|availability", "percentunit"),
            (r".*cost.*", "currencyUSD"),
            (r"(avg|p\d+)_latency(_ms)?", "ms"),
        ):
            if any(re.fullmatch(pattern, selector) for selector in selectors):
                assert unit in units
        if "duration_seconds" in target.get("expr", "") and "histogram_quantile" in target["expr"]:
            assert "s" in units


@pytest.mark.parametrize("panel", panels())
def test_an_empty_panel_says_so_in_words(panel: dict[str, Any]) -> None:
    if panel["type"] != "table" or panel["targets"][0]["datasource"]["type"] != "tempo":
        assert panel["fieldConfig"]["defaults"]["noValue"] not in {"", "0"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda item: item["uid"])
def test_a_link_leads_to_a_dashboard_and_variables_that_are_there(dashboard: dict[str, Any]) -> None:
    names = {one["uid"]: {item["name"] for item in one["templating"]["list"]} for one in DASHBOARDS}
    for panel in shown(dashboard):
        config = panel["fieldConfig"]
        of_columns = [
            link
            for one in config.get("overrides", [])
            for item in one["properties"]
            if item["id"] == "links"
            for link in item["value"]
        ]
        for link in [*config["defaults"].get("links", []), *of_columns]:
            if link["url"].startswith("/d/"):
                uid = link["url"].removeprefix("/d/").split("?")[0]
                assert set(re.findall(r"var-(\w+)=", link["url"])) <= names[uid]
            else:
                (attribute,) = re.findall(r"span\.([\w.]+)", link["url"])
                assert attribute in {known.name for span in spans.SPANS for known in span.attributes}
