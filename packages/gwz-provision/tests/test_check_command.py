"""`gwz-provision validate`, as a person and a pipeline meet it."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gwz_provision.check import run, structure
from gwz_provision.check.documents import Document
from gwz_provision.cli import main

PANEL = {
    "id": 7,
    "type": "stat",
    "title": "Requests",
    "description": "Requests since the processes started.",
    "datasource": {"type": "prometheus", "uid": "grafana_prometheus"},
    "targets": [{"refId": "A", "expr": "fastapi_requests_total by (path)"}, {"refId": "B", "expr": "up"}],
}


@pytest.fixture
def dashboard(tmp_path: Path) -> Path:
    file = tmp_path / "d.json"
    file.write_text(json.dumps({"uid": "d", "title": "D", "panels": [PANEL]}))
    return file


def test_the_shipped_bundle_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.endswith(" queries, 0 findings\n")


def test_text_names_the_file_the_panel_the_column_and_the_cure(
    capsys: pytest.CaptureFixture[str], dashboard: Path
) -> None:
    assert main(["validate", str(dashboard)]) == 8
    assert capsys.readouterr().out.splitlines() == [
        f'{dashboard} panel 7 "Requests" query A, column 24: `fastapi_requests_total by (path)`: by needs an aggregator. [promql/syntax]',
        "    Write sum by (path) (fastapi_requests_total).",
        "2 queries, 1 findings",
    ]


def test_what_nothing_shows_is_listed_on_demand_and_is_no_finding(
    capsys: pytest.CaptureFixture[str], dashboard: Path
) -> None:
    metrics = [
        {"name": name, "type": kind, "unit": "s", "labels": []}
        for name, kind in (("shown", "gauge"), ("wait_seconds", "histogram"), ("kept", "gauge"), ("lost", "gauge"), ("load_a", "gauge"))
    ]  # fmt: skip
    logs = {"labels": [], "metadata": [], "fields": []}
    contract = dashboard.with_name("mine.contract")
    contract.write_text(json.dumps({"metrics": metrics, "logs": logs, "spans": [], "resource": []}))
    rules = [{"record": "kept:max", "expr": "max(kept)"}, {"record": "lost:max", "expr": "max(lost)"}]
    dashboard.with_name("rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    expressions = ["shown + kept:max", "rate(wait_seconds_sum[5m])", 'count({__name__=~"load_.*"})']
    targets = [{"refId": ref, "expr": text} for ref, text in zip("ABC", expressions, strict=True)]
    dashboard.write_text(
        json.dumps({"uid": "d", "title": "D", "panels": [{**PANEL, "type": "logs", "targets": targets}]})
    )
    arguments = ["validate", str(dashboard.parent), "--contract", str(contract)]
    assert main([*arguments, "--orphans"]) == 0
    assert capsys.readouterr().out == "orphan lost: nothing shows it.\n5 queries, 0 findings\n"
    assert main([*arguments, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["orphans"] == ["lost"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "5 queries, 0 findings\n"
    assert main(["validate", str(dashboard.parent), "--no-contract", "--orphans"]) == 0
    assert "orphan" not in capsys.readouterr().out


def test_json_holds_each_finding_in_its_place(capsys: pytest.CaptureFixture[str], dashboard: Path) -> None:
    assert main(["validate", str(dashboard), "--output", "json"]) == 8
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["files"], document["queries"]) == (1, 1, 2)
    assert document["findings"] == [
        {
            "id": "promql/syntax",
            "file": str(dashboard),
            "panel": 7,
            "title": "Requests",
            "ref": "A",
            "column": 24,
            "sentence": "`fastapi_requests_total by (path)`: by needs an aggregator.",
            "cure": "Write sum by (path) (fastapi_requests_total).",
        }
    ]


def test_junit_has_a_test_for_each_query(capsys: pytest.CaptureFixture[str], dashboard: Path) -> None:
    assert main(["validate", str(dashboard), "--output", "junit"]) == 8
    (suite,) = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own output
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == (str(dashboard), "2", "1")
    failed, passed = suite
    assert failed[0].get("type") == "promql/syntax"
    assert "column 24" in failed[0].text
    assert len(passed) == 0


def test_without_a_contract_only_syntax_and_structure_are_checked(
    capsys: pytest.CaptureFixture[str], dashboard: Path
) -> None:
    dashboard.write_text(dashboard.read_text().replace("fastapi_requests_total by (path)", "of_somebody_else"))
    assert main(["validate", str(dashboard), "--no-contract"]) == 0
    assert main(["validate", str(dashboard)]) == 8
    assert "nothing emits of_somebody_else" in capsys.readouterr().out


def test_a_contract_of_one_s_own_is_used_instead(capsys: pytest.CaptureFixture[str], dashboard: Path) -> None:
    contract = dashboard.with_name("mine.contract")
    content = {"metrics": [], "logs": {"labels": [], "metadata": [], "fields": []}, "spans": [], "resource": []}
    contract.write_text(json.dumps(content))
    dashboard.write_text(dashboard.read_text().replace(" by (path)", ""))
    assert main(["validate", str(dashboard), "--contract", str(contract)]) == 8
    assert "nothing emits fastapi_requests_total" in capsys.readouterr().out
    assert main(["validate", str(dashboard)]) == 0


@pytest.mark.parametrize("arguments", [["nowhere.json"], ["--contract", "nowhere.json"]])
def test_a_path_that_does_not_exist_is_wrong_use(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["validate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nowhere.json" in err
    assert main(["validate", *arguments, "--output", "json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["queries"], document["findings"]) == (1, 0, [])
    assert "nowhere.json" in document["error"]["cause"]


def test_our_own_panels_promise_more_than_others_do() -> None:
    model = {
        "uid": "d",
        "title": "D",
        "links": [{"url": "/d/lost/x"}],
        "panels": [{"id": 1, "type": "stat", "title": ""}],
    }
    document = Document("d.json", "", "dashboard", model)
    sources = run.Sources({})
    ours = [one.id for one in structure.dashboard(document, sources, frozenset({"d"}), ours=True)]
    assert sorted(ours) == ["dashboard/link", "panel/description", "panel/title", "panel/unit"]
    assert list(structure.dashboard(document, sources, frozenset({"d"}), ours=False)) == []
