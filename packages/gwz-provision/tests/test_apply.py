"""Applying, on the fake and on a real Grafana: what is written, in which order, and that a second time nothing is."""

import http.server
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import generated
import pytest
from fake_grafana import serving
from proxy import Answered, Proxy
from raw import Place
from running import Command

from gwz_provision import manifest, reconcile
from gwz_provision.access import Access
from gwz_provision.bundle import load
from gwz_provision.grafana import Grafana
from gwz_provision.plan import Action, Options, Plan
from gwz_provision.resources import Key

KINDS = ["folder", "datasource", "template", "contact-point", "dashboard", "alert-rule", "policy"]


def bend(bundle: Path, name: str, change: Any) -> None:
    """Change a file of a bundle by a function of its content."""
    path = bundle / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_tenant(bundle: Path) -> None:
    """Let Loki have tenants, as the shipped bundle does."""
    bend(
        bundle,
        "datasources.json",
        lambda it: (
            it["datasources"][1]["jsonData"].update(httpHeaderName1="X-Scope-OrgID"),
            it["datasources"][1].update(secureJsonData={"httpHeaderValue1": "${LOKI_TENANT:-}"}),
        ),
    )


def test_the_first_apply_creates_in_order_and_the_second_writes_nothing(command: Command, tiny: Path) -> None:
    first = command.apply(tiny)
    kinds = [item["kind"] for item in first.document["actions"]]
    assert kinds == sorted(kinds, key=KINDS.index)
    assert {item["action"] for item in first.document["actions"]} == {"create"}
    assert {item["result"] for item in first.document["actions"]} == {"done"}
    assert set(kinds) == set(KINDS)
    command.proxy.calls.clear()
    second = command.apply(tiny)
    assert command.proxy.writes == []
    assert second.document["summary"]["unchanged"] == len(kinds)
    assert len(command.proxy.reads) <= 11 + 2 + 4


def test_plan_only_reads(command: Command, tiny: Path) -> None:
    run = command.json("plan", tiny)
    assert run.code == 0
    assert run.document["summary"]["create"] == len(run.document["actions"])
    assert {method for method, _ in command.proxy.calls} == {"GET"}


def test_the_same_input_gives_the_same_plan_to_the_byte(command: Command, tiny: Path) -> None:
    assert command.json("plan", tiny).out == command.json("plan", tiny).out
    command.apply(tiny)
    assert command.json("plan", tiny).out == command.json("plan", tiny).out


def test_what_grafana_shows_is_what_the_bundle_says(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    shown = place.snapshot()
    assert {uid: (item["title"], item["parentUid"]) for uid, item in shown["folders"].items()} == {"gwz-backend": ("Backend", None), "gwz-deep": ("Deep", "gwz-backend")}  # fmt: skip
    board = json.loads((tiny / "boards/gwz-board-1.json").read_text())
    stored = shown["dashboards"]["gwz-board-1"]
    assert stored["folderUid"] == "gwz-deep"
    assert stored["dashboard"]["panels"] == board["panels"]
    assert set(stored["dashboard"]["tags"]) == {"gatewayz", "gwz-provision"}
    source = shown["datasources"]["gatewayz_api"]
    assert (source["url"], source["jsonData"]["allowedHosts"], source["secureJsonFields"]) == ("http://127.0.0.1:9", ["http://127.0.0.1"], {"bearerToken": True})  # fmt: skip
    assert shown["datasources"]["grafana_loki"]["jsonData"]["derivedFields"][0]["url"] == "${__value.raw}"
    rule = shown["rules"]["gwz-rule-0"]
    assert (rule["for"], rule["ruleGroup"], rule["labels"]) == ("1m30s", "latency a/b", {"severity": "critical", "managed_by": "gwz-provision"})  # fmt: skip
    assert place.get("/v1/provisioning/folder/gwz-backend/rule-groups/errors")["interval"] == 120
    assert place.get("/v1/provisioning/folder/gwz-backend/rule-groups/latency%20a%2Fb")["interval"] == 60
    integrations = {
        item["uid"]: item["settings"] for point in shown["contacts"]["contactPoints"] for item in point["receivers"]
    }
    assert integrations["gwz-slack"] == {"url": generated.VARIABLES["GWZ_ALERT_SLACK_URL"]}
    assert [item["receiver"] for item in shown["policies"]["routes"]] == ["GatewayZ", "GatewayZ"]
    assert "gwz.title" in shown["templates"][0]["template"]


@pytest.mark.parametrize(
    ("kind", "uid", "file", "change", "paths"),
    [
        ("folder", "gwz-deep", "index.json", lambda it: it["folders"][1].update(title="Deeper"), ["title"]),
        ("datasource", "grafana_loki", "datasources.json", lambda it: it["datasources"][1].update(url="http://127.0.0.1:8"), ["url"]),
        ("datasource", "grafana_loki", "datasources.json", lambda it: it["datasources"][1].update(jsonData={}), ["jsonData.derivedFields"]),
        ("dashboard", "gwz-board-0", "boards/gwz-board-0.json", lambda it: it["panels"][0].update(title="New"), ["model.panels[0].title"]),
        ("dashboard", "gwz-board-0", "boards/gwz-board-0.json", lambda it: it.update(title="Other"), ["model.title"]),
        ("alert-rule", "gwz-rule-0", "alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update({"for": "5m"}), ["for"]),
        ("alert-rule", "gwz-rule-1", "alerts/latency.json", lambda it: it["groups"][1].update(interval="3m"), ["interval"]),
        ("alert-rule", "gwz-rule-1", "alerts/latency.json", lambda it: it["groups"][1].update(name="renamed"), ["ruleGroup"]),
        ("contact-point", "gwz-webhook", "contact-points.json", lambda it: it["contactPoints"][0]["settings"].update(httpMethod="PUT"), ["settings.httpMethod"]),
        ("policy", "gwz-provision", "policies.json", lambda it: it["routes"][0].update(group_wait="90s"), ["routes[0].group_wait"]),
        ("policy", "gwz-provision", "policies.json", lambda it: it["routes"].pop(), ["routes"]),
    ],
)  # fmt: skip
def test_a_changed_field_is_one_update_and_is_read_back(
    command: Command, tiny: Path, *, kind: str, uid: str, file: str, change: Any, paths: list[str]
) -> None:
    command.apply(tiny)
    bend(tiny, file, change)
    planned = command.json("plan", tiny)
    assert planned.actions == {(kind, uid): "update"}
    fields = [item["path"] for action in planned.document["actions"] for item in action["fields"]]
    assert fields == paths
    assert command.apply(tiny).actions == {(kind, uid): "update"}
    assert command.json("plan", tiny).actions == {}


@pytest.mark.parametrize("tenants", [(None, "production"), ("production", None)])
def test_a_tenant_is_named_to_its_server_and_to_none_without_its_variable(
    command: Command, place: Place, tiny: Path, tenants: tuple[str | None, ...]
) -> None:
    """What a server behind Grafana is asked with; the fake has none behind it, and shows what was stored."""
    with_tenant(tiny)
    with listening() as (url, heard):
        for tenant in tenants:
            assert command.json("apply", tiny, LOKI_TENANT=tenant, GRAFANA_LOKI_URL=url).code == 0
            source = place.get("/datasources/uid/grafana_loki")
            shown = ("httpHeaderName1" in source["jsonData"], "httpHeaderValue1" in source["secureJsonFields"])
            assert shown == (tenant is not None, tenant is not None)
            assert command.json("plan", tiny).actions == {}
        # Grafana asks with the data source as it was for some seconds, and with its client if it has asked in that second.
        deadline = time.monotonic() + 30
        while place.real and [tenants[-1]] != heard[-1:]:
            assert time.monotonic() < deadline, heard
            place.call("GET", "/datasources/proxy/uid/grafana_loki/loki/api/v1/labels")
            time.sleep(0.1)


@contextmanager
def listening() -> Iterator[tuple[str, list[str | None]]]:
    """Serve on loopback and keep the tenant that each call names."""
    heard: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("X-Scope-OrgID"))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url, heard


def test_a_template_that_changes_is_updated(command: Command, tiny: Path) -> None:
    command.apply(tiny)
    (tiny / "templates/gwz-message.tmpl").write_text('{{ define "gwz.title" }}other{{ end }}')
    assert command.apply(tiny).actions == {("template", "gwz-message"): "update"}
    assert command.json("plan", tiny).actions == {}


def test_rules_are_in_their_groups_as_the_bundle_lists_them_and_reordering_alone_changes_nothing(
    command: Command, place: Place, tmp_path: Path
) -> None:
    """See `normalise.rule`."""
    bundle = generated.write(tmp_path / "six", dashboards=1, panels=1, rules=6, contacts=1)
    order = ["gwz-rule-2", "gwz-rule-0", "gwz-rule-1"]
    bend(
        bundle,
        "alerts/latency.json",
        lambda it: it["groups"][0]["rules"].sort(key=lambda rule: order.index(rule["uid"])),
    )
    command.apply(bundle)
    group = place.get("/v1/provisioning/folder/gwz-backend/rule-groups/latency%20a%2Fb")
    assert [rule["uid"] for rule in group["rules"]] == order
    bend(bundle, "alerts/latency.json", lambda it: it["groups"][0]["rules"].reverse())
    assert command.json("plan", bundle).actions == {}


def test_what_moves_is_told_as_a_move(command: Command, tiny: Path) -> None:
    command.apply(tiny)
    bend(
        tiny,
        "index.json",
        lambda it: (it["dashboards"][0].update(folder="gwz-deep"), it["folders"][1].update(parent="")),
    )
    assert command.apply(tiny).actions == {("folder", "gwz-deep"): "move", ("dashboard", "gwz-board-0"): "move"}
    assert command.json("plan", tiny).actions == {}


def test_a_rename_in_the_browser_is_repaired_by_uid(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    place.send("PUT", "/folders/gwz-backend", {"title": "By hand", "overwrite": True})
    board = place.get("/dashboards/uid/gwz-board-0")
    by_hand = {"dashboard": {**board["dashboard"], "title": "By hand"}, "folderUid": "gwz-backend", "overwrite": True}
    place.send("POST", "/dashboards/db", by_hand)
    assert command.apply(tiny).actions == {("folder", "gwz-backend"): "update", ("dashboard", "gwz-board-0"): "drift"}
    shown = place.snapshot()
    assert len(shown["folders"]) == 2
    assert len(shown["dashboards"]) == 2
    assert shown["folders"]["gwz-backend"]["title"] == "Backend"


def test_a_dashboard_whose_marks_were_taken_is_still_known_by_its_history(
    command: Command, place: Place, tiny: Path
) -> None:
    command.apply(tiny)
    board = place.get("/dashboards/uid/gwz-board-0")["dashboard"]
    plain = {key: value for key, value in {**board, "tags": []}.items() if key != "gwz"}
    place.send("POST", "/dashboards/db", {"dashboard": plain, "folderUid": "gwz-backend", "overwrite": True})
    assert command.apply(tiny).actions == {("dashboard", "gwz-board-0"): "drift"}


def test_a_change_of_a_data_source_by_hand_is_drift(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    source = place.get("/datasources/uid/grafana_loki")
    place.send("PUT", "/datasources/uid/grafana_loki", {**source, "url": "http://elsewhere"})
    run = command.apply(tiny)
    assert run.actions == {("datasource", "grafana_loki"): "drift"}
    (changed,) = [item for item in run.document["actions"] if item["action"] == "drift"]
    assert changed["fields"] == [{"path": "url", "before": "http://elsewhere", "after": "http://127.0.0.1:9"}]


def test_what_leaves_the_bundle_is_deleted_and_no_prune_keeps_it(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    bend(tiny, "index.json", lambda it: it["dashboards"].pop())
    (tiny / "templates/gwz-message.tmpl").unlink()
    kept = command.json("apply", tiny, "--no-prune")
    assert kept.actions == {}
    reasons = {item["uid"]: item.get("reason", "") for item in kept.document["actions"]}
    assert "--no-prune" in reasons["gwz-board-1"]
    assert "gwz-board-1" in place.snapshot()["dashboards"]
    assert command.apply(tiny).actions == {
        ("template", "gwz-message"): "delete",
        ("dashboard", "gwz-board-1"): "delete",
    }
    assert "gwz-board-1" not in place.snapshot()["dashboards"]


def test_a_new_uid_for_an_old_title_goes_through(command: Command, place: Place, tiny: Path) -> None:
    """Grafana would refuse the second of that title, so the first one goes before it."""
    command.apply(tiny)
    bend(tiny, "boards/gwz-board-0.json", lambda it: it.update(uid="gwz-new"))
    bend(tiny, "index.json", lambda it: it["dashboards"][0].update(uid="gwz-new"))
    bend(tiny, "alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(uid="gwz-rule-new"))
    run = command.apply(tiny)
    assert run.actions == {
        ("dashboard", "gwz-board-0"): "delete",
        ("dashboard", "gwz-new"): "create",
        ("alert-rule", "gwz-rule-0"): "delete",
        ("alert-rule", "gwz-rule-new"): "create",
    }
    assert sorted(place.snapshot()["dashboards"]) == ["gwz-board-1", "gwz-new"]


def test_many_deletions_need_a_yes(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    for file in ("alerts/latency.json", "contact-points.json", "policies.json"):
        (tiny / file).unlink()
    before = place.snapshot()
    run = command.json("apply", tiny)
    assert run.code == 1
    assert "5 of 14 objects of ours will be deleted" in run.err
    assert "--yes" in run.err
    assert place.snapshot() == before
    command.apply(tiny, "--yes")
    assert place.snapshot()["rules"] == {}


def test_two_applies_at_once_make_each_object_once(command: Command, place: Place, tiny: Path) -> None:
    wanted = manifest.build(load(tiny), generated.VARIABLES)
    failures: list[Any] = []
    ready = threading.Barrier(2)

    def run() -> None:
        with Grafana(Access(place.url, ("admin", place.password))) as grafana:
            _, plan = reconcile.look_and_plan(grafana.reader, wanted, Options())
            ready.wait()
            failures.extend(outcome for outcome in reconcile.do(plan, grafana) if outcome.result != "done")

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(outcome.error) for outcome in failures] == []
    assert command.json("plan", tiny).actions == {}
    shown = place.snapshot()
    assert (len(shown["rules"]), len(shown["dashboards"]), len(shown["policies"]["routes"])) == (2, 2, 2)


def test_an_edit_between_read_and_write_is_not_lost(command: Command, place: Place, tiny: Path) -> None:
    """Somebody saves another field: ours is written on top of a fresh read. The same field: theirs stands, and is told."""
    command.apply(tiny)
    bend(tiny, "boards/gwz-board-0.json", lambda it: it.update(description="ours"))

    def edit(**changes: Any) -> Any:
        def save(_method: str, path: str, write: int) -> None:
            if path.endswith("/dashboards/db") and write == 1:
                board = place.get("/dashboards/uid/gwz-board-0")["dashboard"]
                place.send(
                    "POST",
                    "/dashboards/db",
                    {"dashboard": {**board, **changes}, "folderUid": "gwz-backend", "overwrite": True},
                )

        return save

    command.proxy.calls.clear()
    command.proxy.before = edit(description="theirs")
    bend(tiny, "boards/gwz-board-1.json", lambda it: it.update(description="ours"))
    run = command.json("apply", tiny)
    assert run.code == 4
    results = {item["uid"]: item["result"] for item in run.document["actions"]}
    assert (results["gwz-board-0"], results["gwz-board-1"]) == ("failed", "done")
    assert place.get("/dashboards/uid/gwz-board-0")["dashboard"]["description"] == "theirs"
    command.proxy.calls.clear()
    command.proxy.before = edit(style="light")
    assert command.json("apply", tiny).code == 0
    assert place.get("/dashboards/uid/gwz-board-0")["dashboard"]["description"] == "ours"


def test_a_data_source_that_is_saved_between_read_and_write_is_read_again(
    command: Command, place: Place, tiny: Path
) -> None:
    command.apply(tiny)
    bend(tiny, "datasources.json", lambda it: it["datasources"][1].update(url="http://127.0.0.1:8"))

    def save(_method: str, path: str, write: int) -> None:
        if path.endswith("/uid/grafana_loki") and write == 1:
            source = place.get("/datasources/uid/grafana_loki")
            place.send("PUT", "/datasources/uid/grafana_loki", {**source, "withCredentials": True})

    command.proxy.calls.clear()
    command.proxy.before = save
    assert command.json("apply", tiny).code == 0
    assert len(command.proxy.writes) == 2
    source = place.get("/datasources/uid/grafana_loki")
    assert (source["url"], source["withCredentials"]) == ("http://127.0.0.1:8", False)


def test_without_any_mark_of_the_last_run_there_is_still_a_plan(command: Command, place: Place, tiny: Path) -> None:
    """The fingerprint of what was applied last is gone, from a data source, a dashboard and a rule."""
    command.apply(tiny)
    source = place.get("/datasources/uid/grafana_loki")
    source["jsonData"]["gwz"].pop("spec")
    place.send("PUT", "/datasources/uid/grafana_loki", source)
    board = place.get("/dashboards/uid/gwz-board-0")["dashboard"]
    board["gwz"].pop("spec")
    place.send("POST", "/dashboards/db", {"dashboard": board, "folderUid": "gwz-backend", "overwrite": True})
    rule = place.snapshot()["rules"]["gwz-rule-0"]
    place.send(
        "PUT", "/v1/provisioning/alert-rules/gwz-rule-0", {**rule, "annotations": {"summary": "by hand"}, "labels": {}}
    )
    bend(tiny, "datasources.json", lambda it: it["datasources"][1].update(url="http://127.0.0.1:8"))
    bend(tiny, "boards/gwz-board-0.json", lambda it: it.update(description="new"))
    changed = {("datasource", "grafana_loki"), ("dashboard", "gwz-board-0"), ("alert-rule", "gwz-rule-0")}
    assert command.apply(tiny).actions.keys() == changed
    assert command.json("plan", tiny).actions == {}


def test_destroy_goes_the_other_way_round(command: Command, tiny: Path) -> None:
    command.apply(tiny)
    run = command.json("destroy", None, "--yes")
    kinds = [item["kind"] for item in run.document["actions"]]
    assert kinds[0] == "policy"
    assert kinds == sorted(kinds, key=KINDS.index, reverse=True)
    assert [item["uid"] for item in run.document["actions"] if item["kind"] == "folder"] == ["gwz-deep", "gwz-backend"]


@pytest.mark.parametrize(("deletes", "owned", "needed"), [(0, 0, False), (3, 10, False), (4, 10, True), (5, 100, False), (6, 100, True), (1, 1, True)])  # fmt: skip
def test_more_than_five_or_three_in_ten_deletions_need_a_yes(deletes: int, owned: int, needed: bool) -> None:  # noqa: FBT001
    actions = tuple(Action(Key("dashboard", f"gwz-{number}"), "delete") for number in range(deletes))
    assert Plan(actions, owned=owned).needs_yes is needed


def test_a_failed_folder_skips_what_is_in_it_and_the_rest_goes_on(command: Command, tiny: Path) -> None:
    def refuse(method: str, path: str, write: int) -> None:
        if (method, path) == ("POST", "/api/folders") and write == 2:
            raise Answered(400, b'{"message": "not this one"}')

    command.proxy.before = refuse
    run = command.json("apply", tiny)
    results = {item["uid"]: item["result"] for item in run.document["actions"]}
    assert run.code == 4
    assert (results["gwz-deep"], results["gwz-board-1"]) == ("failed", "skipped")
    assert (results["gwz-board-0"], results["gwz-rule-0"], results["gwz-provision"]) == ("done", "done", "done")
    assert "not this one" in run.out
    command.proxy.before = lambda *_: None
    command.apply(tiny)
    assert command.json("plan", tiny).actions == {}


def test_a_saved_plan_is_done_and_a_stale_one_is_not(
    command: Command, place: Place, tiny: Path, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    assert command.json("plan", tiny, "--out", file).code == 0
    assert command.json("apply", tiny, "--plan", file).code == 0
    run = command.json("apply", tiny, "--plan", file)
    assert run.code == 9
    assert "folder gwz-backend" in run.err
    assert command.json("plan", tiny, "--out", file).code == 0
    place.send("PUT", "/folders/gwz-deep", {"title": "By hand", "overwrite": True})
    command.proxy.calls.clear()
    run = command.json("apply", tiny, "--plan", file)
    assert (run.code, command.proxy.writes) == (9, [])
    assert "have changed in Grafana or in the bundle: folder gwz-deep" in run.err


def test_changes_pending_have_an_exit_code_of_their_own(command: Command, tiny: Path) -> None:
    assert command("plan", "--bundle", tiny, "--detailed-exitcode").code == 7
    command.apply(tiny)
    run = command("plan", "--bundle", tiny, "--detailed-exitcode")
    assert (run.code, run.out) == (0, "no changes; 14 unchanged\n")


def test_text_shows_the_fields_of_a_change(command: Command, tiny: Path) -> None:
    command.apply(tiny)
    bend(tiny, "boards/gwz-board-0.json", lambda it: it["panels"][0].update(title="New"))
    run = command("plan", "--bundle", tiny)
    assert (
        run.out
        == 'update    dashboard gwz-board-0\n          model.panels[0].title: "Panel 0" → "New"\n1 update; 13 unchanged\n'
    )


def test_an_export_plans_to_no_changes(command: Command, tiny: Path, tmp_path: Path) -> None:
    command.apply(tiny)
    folder = tmp_path / "exported"
    run = command.json("export", tiny, folder)
    assert run.code == 0
    assert "alerts/rules.json" in run.document["files"]
    assert run.document["variables"] == ["GWZ_ALERT_SLACK_URL", "GWZ_ALERT_WEBHOOK_URL", "GWZ_API_TOKEN"]
    plan = command.json("plan", folder)
    assert (plan.code, plan.actions) == (0, {})
    again = command.json("export", folder, tmp_path / "again")
    assert again.document["files"] == run.document["files"]
    assert {path.name: path.read_text() for path in folder.rglob("*.*")} == {path.name: path.read_text() for path in (tmp_path / "again").rglob("*.*")}  # fmt: skip


def test_an_export_does_not_overwrite(command: Command, tiny: Path) -> None:
    run = command.json("export", tiny, tiny)
    assert run.code == 2
    assert "is not empty" in run.err


def test_status_says_whose_everything_is(command: Command, place: Place, tiny: Path) -> None:
    assert command.json("status", tiny).document["summary"] == {"missing": 14}
    command.apply(tiny)
    place.send(
        "POST",
        "/dashboards/db",
        {"dashboard": {"uid": "theirs", "title": "Theirs", "panels": []}, "folderUid": "gwz-backend"},
    )
    assert command.json("status", tiny).document["summary"] == {"foreign": 1, "ours": 14}
    assert "foreign                  dashboard theirs 'Theirs'" in command("status", "--bundle", tiny).out


def test_an_interrupted_apply_ends_its_write_and_tells_the_rest(command: Command, tiny: Path) -> None:
    command.proxy.after = lambda _method, _path, write: os.kill(os.getpid(), signal.SIGINT) if write == 2 else None
    run = command.json("apply", tiny)
    assert run.code == 5
    results = [item["result"] for item in run.document["actions"]]
    assert results.count("done") in {2, 3}
    assert set(results) == {"done", "skipped"}
    command.proxy.after = lambda *_: None
    command.apply(tiny)
    assert command.json("plan", tiny).actions == {}


def test_the_proxy_counts_what_grafana_gets(command: Command, proxy: Proxy, tiny: Path) -> None:
    """The zero of the second apply is worth as much as the count of the first."""
    run = command("apply", "--bundle", tiny, "--debug")
    reads, writes = len(proxy.reads), len(proxy.writes)
    assert f"{reads} reads, {writes} writes" in run.err
    assert writes == 14 + 1  # the group whose interval is not a minute takes a second one


def watched(bundle: Path) -> tuple[str, str]:
    """Apply before a terminal; what stands there, and on standard error."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        ended = subprocess.run(
            [sys.executable, "-X", "dev", "-m", "gwz_provision", "apply", "--bundle", str(bundle)],
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how a terminal ends
            while piece := terminal.read(65536):
                shown += piece
    return shown.decode().replace("\r\n", "\n"), ended.stderr.decode()


def test_before_a_terminal_each_line_counts_and_nothing_is_coloured(command: Command, tiny: Path) -> None:
    shown, err = watched(tiny)
    lines = shown.splitlines()
    assert lines[0] == "1/14 create    folder gwz-backend"
    assert lines[13] == "14/14 create    policy gwz-provision"
    assert "\x1b" not in shown
    # In development mode Python complains of each connection that is left open.
    assert err == ""
    command("destroy", "--yes")
    run = command("apply", "--bundle", tiny)
    assert run.out.splitlines()[0] == "create    folder gwz-backend"
    assert "\x1b" not in run.out + run.err
