"""Secrets come from the environment and go to Grafana: never to standard output, standard error, a plan or an error."""

import hashlib
import json
from pathlib import Path
from typing import Any

import generated
import pytest
from proxy import Answered
from raw import Place
from replying import Reply, answer, replying
from running import Command, Run

from gwz_provision import bundle
from gwz_provision.cli import main

CANARIES = {name: value for name, value in generated.VARIABLES.items() if "canary" in value}
NEW = "rotated-canary-4b4b"
IN_URL = "url-password-canary-1d1d"


def leaks(*texts: str) -> list[str]:
    """Name the canaries in some texts; of an address only its secret end counts."""
    words = [value.rpartition("/")[2] for value in CANARIES.values()] + [NEW, IN_URL]
    return [word for word in words if any(word in text for text in texts)]


def said(run: Run) -> tuple[str, str]:
    return run.out, run.err


def test_the_canaries_are_where_they_belong(command: Command, place: Place, tiny: Path) -> None:
    """Otherwise their absence elsewhere would prove nothing."""
    command.apply(tiny)
    assert leaks(json.dumps(place.snapshot()["contacts"])) == ["hook-canary-91aa", "slack-canary-77d2"]
    assert place.get("/datasources/uid/gatewayz_api")["secureJsonFields"] == {"bearerToken": True}


def test_no_output_of_any_command_holds_a_secret(command: Command, place: Place, tmp_path: Path) -> None:
    whole = generated.write(tmp_path / "whole", dashboards=1, panels=1, rules=2)
    command.monkeypatch.setenv("GRAFANA_LOKI_URL", f"http://user:{IN_URL}@127.0.0.1:9")
    plan, exported = tmp_path / "plan.json", tmp_path / "exported"
    texts: list[str] = []
    for output in ("json", "text"):
        for words in (
            ("plan", "--out", plan),
            ("apply",),
            ("plan", "--out", plan),
            ("status",),
            ("export", exported / output),
        ):
            texts += said(command(words[0], "--bundle", whole, "--output", output, "--debug", *words[1:]))
        texts.append(plan.read_text())
        for name in ("GWZ_API_TOKEN", "GWZ_ALERT_WEBHOOK_TOKEN", "GWZ_ALERT_PAGERDUTY_KEY"):
            command.monkeypatch.setenv(name, NEW)
        command.monkeypatch.setenv("GWZ_ALERT_SLACK_URL", f"http://127.0.0.1:9/{NEW}")
        texts += said(command("plan", "--bundle", whole, "--output", output, "--out", plan))
        texts += said(command("apply", "--bundle", whole, "--output", output, "--debug"))
        texts += said(command("destroy", "--yes", "--output", output, "--debug"))
        for name, value in generated.VARIABLES.items():
            command.monkeypatch.setenv(name, value)
        command.monkeypatch.setenv("GRAFANA_LOKI_URL", f"http://user:{IN_URL}@127.0.0.1:9")
    exported_text = "".join(file.read_text() for file in exported.rglob("*.*") if "datasources" not in file.name)
    assert leaks(*texts, exported_text) == []
    assert place.password not in "".join(texts)
    assert any("(changed)" in text for text in texts)


def test_an_error_that_repeats_a_secret_is_covered(command: Command, tiny: Path) -> None:
    def tell(_method: str, path: str, _write: int) -> None:
        if path.endswith("/contact-points"):
            words = f"cannot send to {generated.VARIABLES['GWZ_ALERT_SLACK_URL']} with {generated.VARIABLES['GWZ_API_TOKEN']}"
            raise Answered(400, json.dumps({"message": words}).encode())

    command.proxy.before = lambda method, path, write: tell(method, path, write) if method == "POST" else None
    run = command("apply", "--bundle", tiny)
    assert run.code == 4
    assert "cannot send to ***" in run.out
    assert leaks(*said(run)) == []
    assert leaks(*said(command.json("apply", tiny))) == []


def test_an_error_on_standard_error_is_covered_too(command: Command, tiny: Path) -> None:
    def tell(_method: str, path: str, _write: int) -> None:
        if path.startswith("/api/search"):
            raise Answered(400, json.dumps({"message": f"not with {generated.VARIABLES['GWZ_API_TOKEN']}"}).encode())

    command.proxy.before = tell
    run = command("apply", "--bundle", tiny)
    assert run.code == 1
    assert "not with ***" in run.err
    assert leaks(*said(run)) == []


@pytest.mark.parametrize(
    ("name", "kind", "uid", "path"),
    [
        ("GWZ_API_TOKEN", "datasource", "gatewayz_api", "secureJsonData.bearerToken"),
        ("GWZ_ALERT_SLACK_URL", "contact-point", "gwz-slack", "settings.url"),
    ],
)
def test_a_rotated_secret_is_exactly_one_update(
    command: Command, tiny: Path, *, name: str, kind: str, uid: str, path: str
) -> None:
    command.apply(tiny)
    command.monkeypatch.setenv(name, f"http://127.0.0.1:9/{NEW}")
    planned = command.json("plan", tiny)
    assert planned.actions == {(kind, uid): "update"}
    (fields,) = [item["fields"] for item in planned.document["actions"] if item["action"] == "update"]
    assert [(field["path"], field["before"], field["after"]) for field in fields] == [(path, "(set)", "(changed)")]
    assert command.apply(tiny).actions == {(kind, uid): "update"}
    assert command.json("plan", tiny).actions == {}


def test_a_secret_that_leaves_the_bundle_leaves_grafana(command: Command, place: Place, tiny: Path) -> None:
    command.apply(tiny)
    content = json.loads((tiny / "datasources.json").read_text())
    content["datasources"][3].pop("secureJsonData")
    (tiny / "datasources.json").write_text(json.dumps(content))
    assert command.apply(tiny).actions == {("datasource", "gatewayz_api"): "update"}
    assert place.get("/datasources/uid/gatewayz_api")["secureJsonFields"] == {}


def test_what_everybody_can_read_holds_no_quick_digest(command: Command, place: Place, tiny: Path) -> None:
    """A data source's jsonData reaches every browser: the fingerprint there takes long to compute for each guess."""
    command.apply(tiny)
    mark: Any = place.get("/datasources/uid/gatewayz_api")["jsonData"]["gwz"]
    token = generated.VARIABLES["GWZ_API_TOKEN"].encode()
    assert set(mark) == {"owner", "spec", "secrets"}
    for name in hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}:
        assert not hashlib.new(name, token, usedforsecurity=False).hexdigest().startswith(mark["secrets"])


@pytest.mark.parametrize("output", ["text", "json"])
def test_what_servers_say_of_addresses_is_covered_by_the_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """In the URL of a data source, in the words in which Grafana failed to reach one, and in what Prometheus scrapes."""
    address = f"http://user:{IN_URL}@host:1/x?token={NEW}"
    sources = [{**item, "url": address} for item in bundle.load(bundle.shipped()).datasources]
    down = {
        "labels": {"job": "gatewayz_api", "instance": "host:1"},
        "scrapeUrl": address,
        "health": "down",
        "lastError": f'Get "{address}": {CANARIES["GWZ_API_TOKEN"]}',
    }
    answers: dict[str, Reply] = {
        "health": answer('{"database": "ok", "version": "11.0.0"}'),
        "/grafana_loki/health": answer(json.dumps({"message": f'Get "{address}": refused'}), "500 Ill"),
        "/user": answer('{"id": 1}'),
        "permissions": answer('{"datasources:read": [], "datasources:query": []}'),
        "/datasources": answer(json.dumps(sources)),
        "targets?state=active": answer(json.dumps({"data": {"activeTargets": [down]}})),
        "rules?type=record": answer('{"data": {"groups": []}}'),
        "runtimeinfo": answer('{"data": {}}'),
        "/ds/query": answer(json.dumps({"results": {"A": {"error": f'Post "{address}": weird'}}})),
    }

    def choose(path: str) -> Reply:
        return next((reply for end, reply in reversed(answers.items()) if path.endswith(end)), answer("[]"))

    with replying(choose) as server:
        for name, value in {
            "GRAFANA_URL": server.url,
            "GRAFANA_TOKEN": "t0ken",
            "GWZ_API_TOKEN": CANARIES["GWZ_API_TOKEN"],
        }.items():
            monkeypatch.setenv(name, value)
        assert main(["doctor", "--output", output]) == 8
    out, err = capsys.readouterr()
    assert leaks(out, err) == []
    assert "***@host:1/x?token=***" in out
    assert "cannot scrape http://***@host:1/x?token=*** (job gatewayz_api)" in out
    if output == "json":
        assert json.loads(out)["first_broken_hop"]
