"""What Grafana itself exports is taken as it is: nothing in it is refused, reported, or shown as a change."""

import json
from pathlib import Path

import exported
from raw import Place
from running import Command

from gwz_provision.bundle import load
from gwz_provision.check.contract import load as contract
from gwz_provision.check.run import check
from gwz_provision.differences import Field, compare
from gwz_provision.queries import queries
from gwz_provision.resources import OWNER, Key, Live, Wanted


def test_no_bundle_refuses_it(bundle_dir: Path) -> None:
    (bundle_dir / "f1" / "d1.json").write_text(json.dumps(exported.DASHBOARD))
    (board,) = load(bundle_dir).dashboards
    assert len(board.model["panels"]) == len(exported.PANELS)
    assert {(one.panel, one.ref) for one in queries(board)} == {(2, "A"), (5, "A"), (5, "B"), (5, "C"), (5, "D")}


def test_validate_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(exported.DASHBOARD))
    assert check([tmp_path], contract()).findings == ()


def test_what_the_browser_saves_is_exported_and_plans_to_no_changes(
    command: Command, place: Place, tiny: Path, tmp_path: Path
) -> None:
    command.apply(tiny)
    # Grafana stores no dashboard with a library panel that it has not.
    panels = [one for one in exported.PANELS if "libraryPanel" not in one]
    saved = {**exported.DASHBOARD, "uid": "gwz-board-0", "title": "Board 0", "tags": [OWNER], "panels": panels}
    place.send("POST", "/dashboards/db", {"dashboard": saved, "folderUid": "gwz-backend", "overwrite": True})
    assert command.json("export", tiny, tmp_path / "folder").code == 0
    plan = command.json("plan", tmp_path / "folder")
    assert (plan.code, plan.actions) == (0, {})


def test_null_and_nothing_are_the_same() -> None:
    key = Key("dashboard", "d")

    def fields(before: object, after: object) -> list[Field]:
        return compare(Wanted(key, "", {"model": after}), Live(key, "", {"model": before}, owned=True))

    assert fields({"a": None, "b": [{"c": None}]}, {"b": [{}]}) == []
    assert fields({"a": 1}, {"a": None}) == fields({"a": 1}, {}) == [Field("model.a", 1, None)]
    assert fields({"a": [None]}, {"a": []}) == [Field("model.a", [None], [])]
