"""The steps from one signal to the next, as Grafana shows them once the shipped bundle is applied (docs/decisions/0013)."""

from pathlib import Path
from typing import Any

import pytest
from raw import Place
from running import Command

from gwz_provision.bundle import shipped

ADDRESSES = dict.fromkeys(
    ("PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL", "GWZ_API_URL"), "http://127.0.0.1:9"
)


@pytest.fixture
def settings(command: Command, place: Place) -> dict[str, Any]:
    """The jsonData of each data source by its type, read past the package."""
    run = command.json("apply", Path(str(shipped())), **ADDRESSES)
    assert run.code == 0, run.err
    return {
        item["type"]: place.get(f"/datasources/uid/{item['uid']}")["jsonData"] for item in place.get("/datasources")
    }


def kind(place: Place, join: dict[str, Any]) -> str:
    """The type of the data source that a step leads to, which must be there."""
    return str(place.get(f"/datasources/uid/{join['datasourceUid']}")["type"])


def test_an_exemplar_leads_to_its_trace(settings: dict[str, Any], place: Place) -> None:
    (join,) = settings["prometheus"]["exemplarTraceIdDestinations"]
    assert (join["name"], kind(place, join)) == ("trace_id", "tempo")


def test_a_trace_leads_to_its_lines_and_its_metrics(settings: dict[str, Any], place: Place) -> None:
    logs, metrics = settings["tempo"]["tracesToLogsV2"], settings["tempo"]["tracesToMetrics"]
    assert (logs["customQuery"], kind(place, logs)) == (True, "loki")
    assert 'trace_id="${__trace.traceId}"' in logs["query"]
    assert kind(place, metrics) == "prometheus"
    assert [query["query"].count("$__tags") for query in metrics["queries"]] == [1]
    assert metrics["tags"] == [{"key": "service.name", "value": "service"}]


def test_a_log_line_leads_to_its_trace(settings: dict[str, Any], place: Place) -> None:
    (join,) = settings["loki"]["derivedFields"]
    assert (join["matcherType"], join["matcherRegex"], join["url"]) == ("label", "trace_id", "${__value.raw}")
    assert kind(place, join) == "tempo"


@pytest.mark.usefixtures("settings")
def test_an_export_of_what_ships_plans_to_no_changes(command: Command, tmp_path: Path) -> None:
    command.monkeypatch.setenv("LOKI_TENANT", "production")
    assert command.json("apply", Path(str(shipped()))).actions == {("datasource", "grafana_loki"): "update"}
    assert command.json("export", Path(str(shipped())), tmp_path / "exported").code == 0
    plan = command.json("plan", tmp_path / "exported")
    assert (plan.code, plan.actions) == (0, {})


@pytest.mark.usefixtures("settings")
def test_a_step_that_is_cut_by_hand_is_repaired(command: Command, place: Place) -> None:
    for uid, key in (("grafana_prometheus", "exemplarTraceIdDestinations"), ("grafana_loki", "derivedFields"), ("grafana_tempo", "tracesToLogsV2"), ("grafana_tempo", "tracesToMetrics")):  # fmt: skip
        source = place.get(f"/datasources/uid/{uid}")
        cut = {name: value for name, value in source["jsonData"].items() if name != key}
        place.send("PUT", f"/datasources/uid/{uid}", {**source, "jsonData": cut})
        assert command.json("apply", Path(str(shipped()))).actions == {("datasource", uid): "drift"}
        assert place.get(f"/datasources/uid/{uid}")["jsonData"][key] == source["jsonData"][key]
