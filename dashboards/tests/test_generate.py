"""Writing and checking the generated files."""

import json
from pathlib import Path

import pytest

from gwz_dashboards import generate

pytestmark = pytest.mark.dashboard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, with one folder for generated files."""
    monkeypatch.setattr(generate, "_REPOSITORY", tmp_path)
    monkeypatch.setattr(generate, "FOLDERS", (tmp_path / "generated",))
    monkeypatch.setattr(generate, "RULES", tmp_path / "rules")
    return tmp_path / "generated"


def test_the_committed_files_are_those_that_the_code_writes() -> None:
    drifted = [path for folder, files in generate.destinations().items() for path in generate.drifted(folder, files)]
    assert drifted == []


def test_what_is_written_passes_the_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([]) == 0
    assert "written: generated/index.json" in capsys.readouterr().err
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().err == ""
    assert (folder / "gwz-backend" / "gwz-request-flow.json").is_file()


def test_changed_missing_and_stray_files_are_each_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main([])
    capsys.readouterr()
    (folder / "index.json").write_text("{}")
    (folder / "datasources.json").unlink()
    (folder / "gwz-backend" / "old.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    err = capsys.readouterr().err
    for name in ("index.json", "datasources.json", "gwz-backend/old.json"):
        assert f"drifted: generated/{name}" in err
    assert "nox -s generate" in err
    assert (folder / "index.json").read_text() == "{}"


def test_writing_removes_what_is_no_longer_generated(folder: Path) -> None:
    generate.main([])
    (folder / "gwz-backend" / "old.json").write_text("{}")
    generate.main([])
    assert generate.main(["--check"]) == 0


def test_the_index_names_the_command_and_every_dashboard(folder: Path) -> None:
    generate.main([])
    index = json.loads((folder / "index.json").read_text())
    assert "nox -s generate" in index["generated"]
    assert "nox -s generate" in json.loads((folder / "datasources.json").read_text())["generated"]
    for entry in index["dashboards"]:
        assert json.loads((folder / entry["file"]).read_text())["uid"] == entry["uid"]
    assert {folder["uid"]: folder["title"] for folder in index["folders"]} == {
        "gwz-executive": "Executive",
        "gwz-backend": "Backend",
        "gwz-gateway": "Gateway",
        "gwz-models": "Models",
        "gwz-logs": "Logs",
        "gwz-alerts": "Alerts",
    }
    for path in [*index["rules"], *index["alerts"]]:
        assert (folder / path).is_file()


def test_what_others_write_into_the_bundle_is_left_alone(folder: Path) -> None:
    generate.main([])
    for name in ("contact-points.json", "templates/mail.tmpl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    assert generate.main(["--check"]) == 0
    generate.main([])
    assert (folder / "templates" / "mail.tmpl").is_file()


def test_prometheus_gets_the_same_rules_and_no_others(folder: Path, tmp_path: Path) -> None:
    generate.main([])
    for name in ("gwz-http.yml", "gwz-providers.yml"):
        assert (tmp_path / "rules" / name).read_text() == (folder / "rules" / name).read_text()
    (tmp_path / "rules" / "old.yml").write_text("groups: []")
    assert generate.main(["--check"]) == 1


def test_the_index_marks_the_panels_that_say_why_they_may_be_empty(folder: Path) -> None:
    generate.main([])
    index = json.loads((folder / "index.json").read_text())
    marks = {entry["uid"]: entry["mayBeEmpty"] for entry in index["dashboards"]}
    for entry in index["dashboards"]:
        panels = json.loads((folder / entry["file"]).read_text())["panels"]
        said = {panel["id"]: panel["fieldConfig"]["defaults"]["noValue"] for panel in panels if panel["type"] != "row"}
        assert marks[entry["uid"]] == [
            id_ for id_ in sorted(said) if said[id_] not in {"\N{EN DASH}", "No data yet", "No lines"}
        ]
    assert 5 in marks["backend-health-v1"], "active anomalies"
    assert 1 not in marks["gwz-request-flow"], "requests"
