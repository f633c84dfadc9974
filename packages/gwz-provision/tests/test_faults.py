"""What goes wrong between us and Grafana: lost answers, kills, pages, refusals. Each ends in order, or with its own exit code."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import fake_grafana
import generated
import pytest
from fake_grafana import FakeGrafana, served
from proxy import Answered, Cut
from raw import Place
from running import Command

from gwz_provision.cli import main

EACH_WRITE = [*(("fake", number) for number in range(1, 16)), *(("real", number) for number in (1, 7, 12, 15))]
"""Of the real one only some: a folder, a template, a rule, the policies."""


def count(place: Place) -> tuple[int, ...]:
    shown = place.snapshot()
    integrations = [
        item["uid"] for point in shown["contacts"]["contactPoints"] for item in point["receivers"] if item["uid"]
    ]
    return (*(len(shown[name]) for name in ("folders", "datasources", "templates", "dashboards", "rules")), len(integrations), len(shown["policies"].get("routes", [])))  # fmt: skip


EXACTLY = (2, 4, 1, 2, 2, 2, 2)


def test_every_answer_lost_once_in_one_run(command: Command, place: Place, tiny: Path) -> None:
    """Each address loses the answer to its first write; the run succeeds all the same."""
    lost: set[str] = set()

    def lose(_method: str, path: str, write: int) -> None:
        if write and path not in lost:
            lost.add(path)
            raise Cut

    command.proxy.after = lose
    run = command.json("apply", tiny)
    assert run.code == 0, run.err
    assert len(lost) == 8
    assert count(place) == EXACTLY
    assert command.json("plan", tiny).actions == {}


@pytest.mark.parametrize(("place", "number"), EACH_WRITE, indirect=["place"])
def test_each_answer_lost_once(command: Command, place: Place, tiny: Path, number: int) -> None:
    def lose(_method: str, _path: str, write: int) -> None:
        if write == number:
            raise Cut

    command.proxy.after = lose
    run = command.json("apply", tiny)
    assert run.code == 0, run.err
    assert count(place) == EXACTLY
    assert command.json("plan", tiny).actions == {}


@pytest.mark.parametrize(("place", "number"), EACH_WRITE, indirect=["place"])
def test_a_kill_at_any_write_converges(command: Command, place: Place, tiny: Path, number: int) -> None:
    """The process is killed with SIGKILL after Grafana has stored the write, and before it learns of that."""
    victims: list[subprocess.Popen[bytes]] = []

    def kill(_method: str, _path: str, write: int) -> None:
        if write == number:
            victims[0].send_signal(signal.SIGKILL)
            raise Cut

    command.proxy.after = kill
    victims.append(
        subprocess.Popen(
            [sys.executable, "-m", "gwz_provision", "apply", "--bundle", str(tiny)],
            env=dict(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    assert victims[0].wait(timeout=60) == -signal.SIGKILL
    command.proxy.after = lambda *_: None
    command.apply(tiny)
    assert count(place) == EXACTLY
    assert command.json("plan", tiny).actions == {}


def test_a_busy_grafana_is_asked_again_as_late_as_it_says(command: Command, tiny: Path) -> None:
    began = time.monotonic()
    seen: list[str] = []

    def busy(_method: str, path: str, _write: int) -> None:
        if path.startswith("/api/datasources") and seen.count(path) < 1:
            seen.append(path)
            raise Answered(429, b'{"message": "slow down"}', **{"Retry-After": "1"})

    command.proxy.before = busy
    assert command.json("plan", tiny).code == 0
    assert seen
    assert time.monotonic() - began >= 1.0


def test_a_post_that_a_proxy_answers_with_502_is_looked_after_before_it_is_sent_again(
    command: Command, place: Place, tiny: Path
) -> None:
    def broken(method: str, path: str, _write: int) -> None:
        if method == "POST" and path == "/api/folders":
            raise Answered(502, b"<html>bad gateway</html>", **{"Content-Type": "text/html"})

    command.proxy.after = broken
    assert command.json("apply", tiny).code == 0
    assert count(place) == EXACTLY


@pytest.mark.parametrize("status", [409, 500])
def test_alerting_that_refuses_once_is_asked_again(command: Command, place: Place, tiny: Path, status: int) -> None:
    """It keeps all in one document: who writes at the same time as somebody else is refused, whatever he writes."""
    refused: list[str] = []

    def refuse(_method: str, path: str, write: int) -> None:
        if write and "/v1/provisioning/" in path and path not in refused:
            refused.append(path)
            raise Answered(status, b'{"message": "the configuration has changed meanwhile"}')

    command.proxy.before = refuse
    assert command.json("apply", tiny).code == 0
    assert len(refused) == 5
    assert count(place) == EXACTLY
    assert command.json("plan", tiny).actions == {}


def test_a_write_that_grafana_fails_at_each_time_ends_and_is_told(command: Command, tiny: Path) -> None:
    def fail(method: str, path: str, _write: int) -> None:
        if (method, path) == ("POST", "/api/v1/provisioning/contact-points"):
            raise Answered(500, b'{"message": "no"}')

    command.proxy.before = fail
    run = command.json("apply", tiny)
    assert run.code == 4
    assert [item["result"] for item in run.document["actions"] if item["kind"] == "contact-point"] == ["failed"] * 2
    assert "Grafana answered 500 for contact point gwz-webhook: no." in run.out


def test_a_login_that_may_not_use_alerting_does_not_wait_for_it(command: Command, tiny: Path) -> None:
    """Forbidden for good is told from forbidden until alerting has started by what the login may do."""

    def forbid(_method: str, path: str, _write: int) -> None:
        if path == "/api/v1/provisioning/policies":
            raise Answered(403, b'{"message": "no"}')
        if path == "/api/access-control/user/permissions":
            raise Answered(200, b'{"dashboards:read": [""]}')

    command.proxy.before = forbid
    run = command.json("plan", tiny, "--wait", "60s")
    assert run.code == 3
    assert [path for _, path in command.proxy.calls].count("/api/v1/provisioning/policies") == 1


def test_a_grafana_that_goes_away_ends_the_run(command: Command, tiny: Path) -> None:
    gone = threading.Event()

    def vanish(_method: str, _path: str, write: int) -> None:
        if write == 3:
            gone.set()
        if gone.is_set():
            raise Cut

    command.proxy.before = vanish
    run = command.json("apply", tiny)
    assert run.code == 4
    results = [item["result"] for item in run.document["actions"]]
    assert (results[0], results[2], results[3]) == ("done", "failed", "skipped")
    assert "cannot be reached" in run.out


def test_nothing_is_written_when_the_environment_lacks_something(command: Command, tiny: Path) -> None:
    run = command.json("apply", tiny, GRAFANA_LOKI_URL=None, GWZ_API_TOKEN=None)
    assert run.code == 2
    assert command.proxy.calls == []
    assert "GRAFANA_LOKI_URL is not set, and data source grafana_loki needs it" in run.err
    assert "GWZ_API_TOKEN is not set, and data source gatewayz_api needs it" in run.err


def test_a_receiver_is_there_only_if_its_variable_is_set(command: Command, place: Place, tiny: Path) -> None:
    run = command.json("apply", tiny, GWZ_ALERT_SLACK_URL=None, GWZ_ALERT_WEBHOOK_URL=None)
    assert run.code == 0
    assert {item["kind"] for item in run.document["actions"]} == {
        "folder",
        "datasource",
        "template",
        "dashboard",
        "alert-rule",
    }
    run = command.json("apply", tiny, GWZ_ALERT_SLACK_URL="http://127.0.0.1:9/s")
    assert run.actions == {("contact-point", "gwz-slack"): "create", ("policy", "gwz-provision"): "create"}
    run = command.json("apply", tiny, GWZ_ALERT_SLACK_URL=None)
    assert run.actions == {("contact-point", "gwz-slack"): "delete", ("policy", "gwz-provision"): "delete"}
    assert count(place) == (2, 4, 1, 2, 2, 0, 0)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("Viewer", "The login may not write: folder (folders:create), datasource"),
        ("Editor", "The login may not write: datasource (datasources:create)"),
    ],
)
def test_a_login_that_may_not_write_is_told_all_of_it_before_the_first_write(
    command: Command, place: Place, tiny: Path, role: str, words: str
) -> None:
    run = command.json("apply", tiny, GRAFANA_TOKEN=place.token(role), GRAFANA_USER=None, GRAFANA_PASSWORD=None)
    assert run.code == 3
    assert words in run.err
    assert "Admin" in run.err
    assert command.proxy.writes == []


def test_an_admin_s_token_applies_and_a_viewer_s_may_plan(command: Command, place: Place, tiny: Path) -> None:
    assert (
        command.json("apply", tiny, GRAFANA_TOKEN=place.token("Admin"), GRAFANA_USER=None, GRAFANA_PASSWORD=None).code
        == 0
    )
    run = command.json("plan", tiny, GRAFANA_TOKEN=place.token("Viewer"))
    assert (run.code, run.actions) == (0, {})
    assert "a changed secret goes unnoticed" in run.document["warnings"][0]


@pytest.mark.parametrize(
    "login",
    [{"GRAFANA_PASSWORD": "wrong"}, {"GRAFANA_TOKEN": "glsa_wrong", "GRAFANA_USER": None, "GRAFANA_PASSWORD": None}],
)
def test_a_refused_login_exits_with_three(command: Command, tiny: Path, login: dict[str, Any]) -> None:
    run = command.json("apply", tiny, **login)
    assert run.code == 3
    assert "Grafana refused the login" in run.err
    assert command.proxy.writes == []
    assert run.document["error"]["cure"].startswith("Check GRAFANA_TOKEN")


def test_nobody_at_the_address_exits_with_six(command: Command, tiny: Path) -> None:
    run = command.json("apply", tiny, "--wait", "0s", GRAFANA_URL="http://127.0.0.1:9")
    assert run.code == 6
    assert "http://127.0.0.1:9 cannot be reached" in run.err


def test_a_login_page_is_no_grafana(command: Command, tiny: Path) -> None:
    def page(_method: str, path: str, _write: int) -> None:
        if path != "/api/health":
            raise Answered(200, b"<html>Sign in</html>", **{"Content-Type": "text/html"})

    command.proxy.before = page
    run = command.json("apply", tiny)
    assert run.code == 6
    assert "something other than JSON" in run.err
    assert "login page or a proxy" in run.err
    assert command.proxy.writes == []


def test_a_redirect_to_https_tells_the_right_address(command: Command, tiny: Path) -> None:
    def redirect(_method: str, path: str, _write: int) -> None:
        raise Answered(301, b"", Location=f"https://grafana.example.com{path}")

    command.proxy.before = redirect
    run = command.json("apply", tiny)
    assert run.code == 6
    assert "redirects are not followed" in run.err
    assert "Set GRAFANA_URL=https://grafana.example.com." in run.err
    assert len(command.proxy.calls) == 1


def test_a_redirect_of_a_write_is_not_followed(command: Command, tiny: Path) -> None:
    def redirect(_method: str, path: str, write: int) -> None:
        if write:
            raise Answered(302, b"", Location=f"https://grafana.example.com{path}")

    command.proxy.before = redirect
    run = command.json("apply", tiny)
    assert run.code == 6
    assert len(command.proxy.writes) == 1
    assert "Set GRAFANA_URL=https://grafana.example.com." in run.out


@pytest.mark.parametrize(
    ("version", "code"),
    [("10.4.2", 6), ("11.0.0", 0), ("11.6.3+security-01", 0), ("12.0.0", 6), ("", 0), ("\xb2.0", 0)],
)
def test_versions_that_we_do_not_know_are_refused(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, capsys: pytest.CaptureFixture[str], version: str, code: int
) -> None:
    with served(FakeGrafana(version=version)) as url:
        for name, value in {
            **generated.VARIABLES,
            "GRAFANA_URL": url,
            "GRAFANA_USER": "admin",
            "GRAFANA_PASSWORD": "admin",
        }.items():
            monkeypatch.setenv(name, value)
        assert main(["plan", "--bundle", str(tiny)]) == code
        assert (main(["doctor", "--bundle", str(tiny)]) == 6) == (code == 6)
    out, err = capsys.readouterr()
    for said in (out, err):
        assert (f"This is Grafana {version}; gwz-provision knows 11.0 to 11.6." in said) == (code == 6)


def test_a_grafana_that_still_starts_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First nobody listens, then the database migrates, then alerting starts."""
    fake = FakeGrafana()
    fake.unhealthy = 2
    fake.starting = [500, 403, 404]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, value in {
        **generated.VARIABLES,
        "GRAFANA_URL": f"http://127.0.0.1:{port}",
        "GRAFANA_USER": "admin",
        "GRAFANA_PASSWORD": "admin",
    }.items():
        monkeypatch.setenv(name, value)
    handler = type("Handler", (fake_grafana._Handler,), {"grafana": fake})
    servers: list[fake_grafana.Server] = []

    def start() -> None:
        server = fake_grafana.Server(("127.0.0.1", port), handler)
        servers.append(server)
        server.serve_forever(0.01)

    starting = threading.Timer(0.8, start)
    starting.start()
    try:
        assert main(["apply", "--bundle", str(tiny), "--wait", "20s"]) == 0
    finally:
        servers[0].shutdown()
        servers[0].server_close()
        starting.join()
    err = capsys.readouterr().err
    assert "waiting for Grafana" in err
    assert "of 20 s: Grafana answered 500 for its notification policies: alerting is not ready." in err
    assert len(fake.rules) == 2
