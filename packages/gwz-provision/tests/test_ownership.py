"""Only what carries our mark is ever changed or deleted: everything else is there afterwards to the byte."""

import json
import secrets
from pathlib import Path
from typing import Any

import generated
import pytest
import servers
from raw import Place
from running import Command
from test_apply import bend

from gwz_provision import manifest
from gwz_provision.bundle import load
from gwz_provision.cli import main
from gwz_provision.observe import Observed
from gwz_provision.plan import make
from gwz_provision.resources import Key, Live

EDITABLE = {"X-Disable-Provenance": "true"}
THEIRS = {"theirs", "their-board", "guest"}


def foreign_rule(uid: str, group: str, folder: str = "gwz-backend") -> dict[str, Any]:
    query = {
        "refId": "A",
        "datasourceUid": "theirs",
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {"refId": "A", "expr": "up"},
    }
    states = {"noDataState": "OK", "execErrState": "OK", "for": "1m", "condition": "A"}
    return {"uid": uid, "title": uid, "ruleGroup": group, "folderUID": folder, "orgID": 1, "data": [query], **states}


def settle(place: Place) -> None:
    """Let others live in this Grafana."""
    place.send("POST", "/folders", {"uid": "theirs", "title": "Theirs"})
    place.send(
        "POST",
        "/datasources",
        {
            "uid": "theirs",
            "name": "Theirs",
            "type": "prometheus",
            "access": "proxy",
            "url": "http://h:1",
            "isDefault": True,
            "secureJsonData": {"k": "v"},
        },
    )
    place.send(
        "POST",
        "/dashboards/db",
        {
            "dashboard": {"uid": "their-board", "title": "Board 0", "panels": [], "tags": ["gwz-provision"]},
            "folderUid": "theirs",
        },
    )
    place.send("POST", "/v1/provisioning/alert-rules", foreign_rule("theirs", "group", "theirs"), headers=EDITABLE)
    place.send(
        "POST",
        "/v1/provisioning/contact-points",
        {"uid": "theirs", "name": "Theirs", "type": "webhook", "settings": {"url": "http://h/x", "password": "pw"}},
        headers=EDITABLE,
    )
    timing = {"name": "theirs", "time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}]}]}
    place.send("POST", "/v1/provisioning/mute-timings", timing)
    tree = place.get("/v1/provisioning/policies")
    routes = [
        {
            "receiver": "Theirs",
            "matchers": ["team=x"],
            "mute_time_intervals": ["theirs"],
            "routes": [{"receiver": "Theirs", "object_matchers": [["a", "!=", "b"]], "group_wait": "90s"}],
        }
    ]
    place.send("PUT", "/v1/provisioning/policies", {**tree, "routes": routes}, headers=EDITABLE)
    place.send("PUT", "/v1/provisioning/templates/theirs", {"template": '{{ define "theirs" }}x{{ end }}'})


def move_in(place: Place) -> None:
    """Let others put something among ours."""
    place.send(
        "POST",
        "/dashboards/db",
        {"dashboard": {"uid": "guest", "title": "Guest", "panels": []}, "folderUid": "gwz-backend"},
    )
    place.send("POST", "/v1/provisioning/alert-rules", foreign_rule("guest", "errors"))
    place.send(
        "POST",
        "/v1/provisioning/contact-points",
        {"uid": "guest", "name": "GatewayZ", "type": "email", "settings": {"addresses": "a@b.c"}},
    )


def only_foreign(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is ours by its uid, and our routes."""
    kept = {
        name: {uid: item for uid, item in snapshot[name].items() if uid in THEIRS}
        for name in ("folders", "dashboards", "datasources", "rules", "provenance")
    }
    integrations = [
        item for point in snapshot["contacts"]["contactPoints"] for item in point["receivers"] if item["uid"] in THEIRS
    ]
    routes = [
        route
        for route in snapshot["policies"].get("routes", [])
        if ["managed_by", "=", "gwz-provision"] not in route.get("object_matchers", [])
    ]
    templates = [item for item in snapshot["templates"] if item["name"] == "theirs"]
    return {
        **kept,
        "contacts": integrations,
        "policies": {**snapshot["policies"], "routes": routes},
        "timings": snapshot["timings"],
        "templates": templates,
    }


def test_what_is_not_ours_survives_apply_prune_and_destroy_to_the_byte(
    command: Command, place: Place, tiny: Path
) -> None:
    settle(place)
    before = place.snapshot()
    run = command.apply(tiny)
    assert any("theirs stays the default" in warning for warning in run.document["warnings"])
    assert only_foreign(place.snapshot()) == only_foreign(before)
    move_in(place)
    with_guests = only_foreign(place.snapshot())
    assert command.json("plan", tiny).actions == {}
    for file in ("policies.json", "contact-points.json"):
        (tiny / file).unlink()
    bend(tiny, "alerts/latency.json", lambda it: it["groups"].pop())
    bend(tiny, "index.json", lambda it: it["dashboards"].pop())
    command.apply(tiny, "--yes")
    assert only_foreign(place.snapshot()) == with_guests
    run = command.json("destroy", None, "--yes")
    assert run.code == 0
    assert only_foreign(place.snapshot()) == with_guests
    assert {item["uid"]: item["reason"] for item in run.document["actions"] if item["result"] == "kept"} == {
        "gwz-backend": "kept: it holds 2 that stay."
    }


def test_destroy_leaves_what_was_there_before_the_first_apply(command: Command, place: Place, tiny: Path) -> None:
    settle(place)
    before = place.snapshot()
    command.apply(tiny)
    assert command.json("destroy", None, "--yes").code == 0
    assert place.snapshot() == before
    assert command.json("status", tiny).document["summary"] == {"missing": 14}


def test_a_folder_that_somebody_fills_after_the_plan_is_kept(command: Command, place: Place, tiny: Path) -> None:
    """Grafana would delete it with everything in it, so it is looked into once more, right before."""
    command.apply(tiny)
    guest = {"dashboard": {"uid": "guest", "title": "Guest", "panels": []}, "folderUid": "gwz-deep"}

    def move_in_late(_method: str, _path: str, write: int) -> None:
        if write == 1:
            place.send("POST", "/dashboards/db", guest)

    command.proxy.calls.clear()
    command.proxy.before = move_in_late
    run = command.json("destroy", None, "--yes")
    kept = {item["uid"]: item["reason"] for item in run.document["actions"] if item["result"] == "kept"}
    assert kept["gwz-deep"] == "kept: it still holds 1 dashboard."
    assert sorted(kept) == ["gwz-backend", "gwz-deep"]
    assert list(place.snapshot()["dashboards"]) == ["guest"]


def test_destroy_without_a_yes_deletes_nothing(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    before = place.snapshot()
    run = command.json("destroy")
    assert run.code == 1
    assert "14 of 14 objects of ours will be deleted" in run.err
    assert "--yes" in run.err
    assert place.snapshot() == before


def refused(command: Command, place: Place, bundle: Path, *words: str) -> None:
    """Expect that apply names the obstacle and writes nothing."""
    before = place.snapshot()
    command.proxy.calls.clear()
    run = command.json("apply", bundle)
    assert run.code == 1
    assert command.proxy.writes == []
    assert place.snapshot() == before
    for word in (*words, "Nothing was written."):
        assert word in run.err
    assert json.loads(run.out)["error"]["cure"]
    planned = command.json("plan", bundle)
    assert planned.code == 1
    assert "blocked" in planned.actions.values()


def test_a_dashboard_of_the_same_title_is_not_overwritten(command: Command, place: Place, tiny: Path) -> None:
    """Grafana 11.0 answers 200 and overwrites the other one when asked to overwrite."""
    command.apply(tiny)
    place.send("DELETE", "/dashboards/uid/gwz-board-0")
    place.send(
        "POST",
        "/dashboards/db",
        {"dashboard": {"uid": "their-board", "title": "Board 0", "panels": []}, "folderUid": "gwz-backend"},
    )
    refused(command, place, tiny, "dashboard gwz-board-0 cannot be called 'Board 0'", "dashboard their-board is")


def test_a_folder_of_the_same_title_is_not_taken(command: Command, place: Place, tiny: Path) -> None:
    place.send("POST", "/folders", {"uid": "theirs", "title": "Backend"})
    refused(command, place, tiny, "folder gwz-backend cannot be called 'Backend'")


def test_a_data_source_of_the_same_name_is_not_taken(command: Command, place: Place, tiny: Path) -> None:
    place.send("POST", "/datasources", {"uid": "theirs", "name": "Loki", "type": "loki", "access": "proxy"})
    refused(command, place, tiny, "data source grafana_loki cannot be called 'Loki': data source theirs is")


def test_a_contact_point_of_the_same_name_is_not_joined(command: Command, place: Place, tiny: Path) -> None:
    place.send(
        "POST",
        "/v1/provisioning/contact-points",
        {"uid": "theirs", "name": "GatewayZ", "type": "email", "settings": {"addresses": "a@b.c"}},
    )
    refused(command, place, tiny, "would become part of the contact point 'GatewayZ', which is not ours")


def test_a_rule_in_our_group_keeps_its_interval(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    place.send("POST", "/v1/provisioning/alert-rules", foreign_rule("guest", "errors"), headers=EDITABLE)
    bend(tiny, "alerts/latency.json", lambda it: it["groups"][1].update(interval="5m"))
    refused(command, place, tiny, "its group 'errors' holds alert rule guest, which is not ours")


def test_a_data_source_with_our_uid_and_no_mark_is_taken_over_only_on_demand(
    command: Command, place: Place, tiny: Path
) -> None:
    place.send(
        "POST",
        "/datasources",
        {"uid": "grafana_loki", "name": "By hand", "type": "loki", "access": "proxy", "url": "http://h:1"},
    )
    refused(
        command,
        place,
        tiny,
        "data source grafana_loki is there, called 'By hand', and carries no mark of ours",
        "--adopt",
    )
    run = command.apply(tiny, "--adopt")
    assert run.actions["datasource", "grafana_loki"] == "adopt"
    assert command.json("plan", tiny).actions == {}


def test_a_dashboard_with_our_uid_that_was_never_ours_is_not_overwritten(
    command: Command, place: Place, tiny: Path
) -> None:
    place.send("POST", "/folders", {"uid": "theirs", "title": "Theirs"})
    place.send(
        "POST",
        "/dashboards/db",
        {"dashboard": {"uid": "gwz-board-0", "title": "By hand", "panels": []}, "folderUid": "theirs"},
    )
    refused(command, place, tiny, "dashboard gwz-board-0 is there, called 'By hand'")


def test_a_copy_of_our_dashboard_is_not_ours(command: Command, place: Place, tiny: Path) -> None:
    """A copy has our tag, and a uid that Grafana made up."""
    command.apply(tiny)
    board = place.get("/dashboards/uid/gwz-board-0")["dashboard"]
    copy = {**board, "uid": "f4k3c0py", "title": "Copy", "id": None, "version": 0}
    place.send("POST", "/dashboards/db", {"dashboard": copy, "folderUid": "gwz-backend"})
    plain = {key: value for key, value in copy.items() if key != "gwz"}
    place.send(
        "POST", "/dashboards/db", {"dashboard": {**plain, "uid": "saved-as", "title": "As"}, "folderUid": "gwz-backend"}
    )
    assert command.json("plan", tiny).actions == {}


def test_a_dashboard_that_left_the_bundle_is_known_after_the_browser_saved_it(
    command: Command, place: Place, tiny: Path
) -> None:
    """The browser writes the tags and leaves out what it does not know."""
    command.apply(tiny)
    board = place.get("/dashboards/uid/gwz-board-1")["dashboard"]
    saved = {key: value for key, value in board.items() if key != "gwz"}
    place.send("POST", "/dashboards/db", {"dashboard": saved, "folderUid": "gwz-deep"})
    bend(tiny, "index.json", lambda it: it["dashboards"].pop())
    assert command.apply(tiny).actions == {("dashboard", "gwz-board-1"): "delete"}


def test_a_route_that_somebody_put_into_ours_stays(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    tree = place.get("/v1/provisioning/policies")
    inner = {"receiver": "GatewayZ", "object_matchers": [["team", "=", "theirs"]]}
    tree["routes"][0]["routes"] = [inner]
    place.send("PUT", "/v1/provisioning/policies", tree, headers=EDITABLE)
    assert command.json("plan", tiny).actions == {}
    bend(tiny, "policies.json", lambda it: it["routes"][0].update(group_wait="2m"))
    command.apply(tiny)
    routes = place.get("/v1/provisioning/policies")["routes"]
    assert (routes[0]["group_wait"], routes[0]["routes"]) == ("2m", [inner])
    bend(tiny, "policies.json", lambda it: it["routes"].pop(0))
    refused(command, place, tiny, "Our route to GatewayZ would be removed, and holds 1 that are not ours")


def test_another_organisation_gets_all_of_it_and_the_first_nothing(command: Command, place: Place, tiny: Path) -> None:
    """The real one only: the fake has one organisation."""
    if not place.real:
        return
    number = str(place.send("POST", "/orgs", {"name": f"Second {secrets.token_hex(4)}"})["orgId"])
    before = place.snapshot()
    try:
        assert command.json("apply", tiny, GRAFANA_ORG_ID=number).code == 0
        command.proxy.calls.clear()
        assert command.json("apply", tiny).document["summary"]["unchanged"] == 14
        assert command.proxy.writes == []
        status, rules = place.call("GET", "/v1/provisioning/alert-rules", headers={"X-Grafana-Org-Id": number})
        assert (status, {rule["orgID"] for rule in rules}) == (200, {int(number)})
    finally:
        place.send("DELETE", f"/orgs/{number}")
    assert place.snapshot() == before


@pytest.mark.parametrize("who", ["route", "rule"])
def test_a_mute_timing_that_grafana_does_not_know_is_told_before_the_first_write(
    command: Command, place: Place, tiny: Path, who: str
) -> None:
    muted = {"mute_time_intervals": ["nights"]}
    if who == "route":
        bend(tiny, "policies.json", lambda it: it["routes"][1].update(muted))
    else:
        settings = {"notification_settings": {"receiver": "GatewayZ", **muted}}
        bend(tiny, "alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(settings))
    refused(command, place, tiny, "names the mute timing 'nights', and Grafana has none")
    interval = {"times": [{"start_time": "22:00", "end_time": "24:00"}]}
    place.send("POST", "/v1/provisioning/mute-timings", {"name": "nights", "time_intervals": [interval]})
    command.apply(tiny)
    assert command.json("plan", tiny).actions == {}


def test_the_tree_stays_as_editable_as_it_was(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    assert "provenance" not in place.get("/v1/provisioning/policies")


def test_a_dashboard_that_grafana_reads_from_a_file_is_refused_with_the_cure(tiny: Path) -> None:
    """Without a server: the real one would have to be started anew with a file."""
    wanted = manifest.build(load(tiny), generated.VARIABLES)
    key = Key("dashboard", "gwz-board-0")
    live = Live(key, "Board 0", {"folderUid": "", "model": {}}, owned=False, locked="Grafana reads it from a file")
    (action,) = make(wanted, Observed("11.0.0", {key: live}, {})).blocked
    assert "dashboard gwz-board-0 differs, and cannot be changed" in action.reason
    assert "GF_PATHS_PROVISIONING" in action.cure


SOURCES_FILE = """apiVersion: 1
datasources: [{name: Loki, uid: grafana_loki, type: loki, access: proxy, url: "http://elsewhere:1"}]
"""
BOARDS_FILE = """apiVersion: 1
providers: [{name: files, type: file, options: {path: FOLDER}}]
"""


def test_what_a_real_grafana_reads_from_its_files_is_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path
) -> None:
    """The real one only, started anew with files."""
    if (real := servers.found()) is None:
        pytest.skip("needs a real Grafana: set GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME")
    data = tmp_path / "grafana"
    boards = tmp_path / "boards"
    for folder in (boards, data / "provisioning/datasources", data / "provisioning/dashboards"):
        folder.mkdir(parents=True)
    (boards / "one.json").write_text(json.dumps({"uid": "gwz-board-0", "title": "From a file", "panels": []}))
    (data / "provisioning/datasources/it.yaml").write_text(SOURCES_FILE)
    (data / "provisioning/dashboards/it.yaml").write_text(BOARDS_FILE.replace("FOLDER", str(boards)))
    with servers.started(*real, data) as place:
        for name, value in {
            **generated.VARIABLES,
            "GRAFANA_URL": place.url,
            "GRAFANA_USER": "admin",
            "GRAFANA_PASSWORD": place.password,
        }.items():
            monkeypatch.setenv(name, value)
        before = place.snapshot()
        assert main(["apply", "--bundle", str(tiny)]) == 1
        assert place.snapshot() == before
    told = capsys.readouterr().err
    for who in ("data source grafana_loki", "dashboard gwz-board-0"):
        assert f"{who} differs, and cannot be changed: Grafana reads it from a file." in told
    assert "GF_PATHS_PROVISIONING" in told
