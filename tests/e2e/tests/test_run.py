import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from gwz_e2e import grafana
from gwz_e2e.alerting.run import Proved
from gwz_e2e.browser.run import HOPS as BROWSER_HOPS
from gwz_e2e.hops import Hop, Result
from gwz_e2e.options import Options
from gwz_e2e.run import Run
from gwz_e2e.scene import LoadFailed, neutral_environment
from gwz_stack import ServerDied, StackError, Urls


@pytest.fixture
def run():
    run = Run(Options(), Console(quiet=True))
    run._chain = [
        Hop("tempo", None),
        Hop("app", None),
        Hop("load", None, ("app",)),
        Hop("spans", None, ("load", "tempo")),
    ]
    run.report.hops = [Result("tempo", ok=True, sentence="answers", decided_at=1.0)]
    return run


def died(server):
    return ServerDied(server, exit_code=-9, log=Path("log"), log_tail="")


@pytest.mark.parametrize(
    ("error", "verdicts"),
    [
        (died("tempo"), {"tempo": False, "app": None, "load": None, "spans": None}),
        (died("app gateway"), {"app": False, "tempo": True, "load": None, "spans": None}),
        (died("providers"), {"providers": False, "tempo": True, "app": None, "load": None, "spans": None}),
        (LoadFailed("x", cause="y", cure="z"), {"load": False, "tempo": True, "app": None, "spans": None}),
    ],
)
def test_a_process_that_died_is_a_broken_hop_and_what_was_decided_stays(run, error, verdicts):
    run.ended_by(error)
    assert {result.id: result.ok for result in run.report.hops} == verdicts
    assert run.report.verdict == "failed"
    assert str(error) in run.report.fault


def test_another_fault_leaves_the_hops_and_the_verdict_open(run):
    run.ended_by(StackError("The disk is full.", cause="So much.", cure="Free some."))
    assert [result.id for result in run.report.hops] == ["tempo"]
    assert run.report.verdict == "incomplete"


def test_applications_do_not_inherit_telemetry_settings_nor_a_proxy(monkeypatch):
    for name in ("OTEL_SERVICE_NAME", "GWZ_LOKI_URL", "LOKI_URL", "http_proxy", "ALL_PROXY", "WEB_CONCURRENCY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KEPT", "x")
    kept = neutral_environment()
    assert "KEPT" in kept
    assert not kept.keys() & {
        "OTEL_SERVICE_NAME",
        "GWZ_LOKI_URL",
        "LOKI_URL",
        "http_proxy",
        "ALL_PROXY",
        "WEB_CONCURRENCY",
    }


@pytest.mark.parametrize(
    ("url", "there", "said"),
    [
        ("http://g", True, ""),
        (None, True, "no Grafana"),
        ("http://g", False, "gwz-provision was not found; set GWZ_PROVISION to its path"),
        (None, False, "no Grafana, and gwz-provision was not found; set GWZ_PROVISION to its path"),
    ],
)
def test_what_brings_dashboards_and_alerts_to_a_person_is_named_where_it_is_absent(
    url, there, said, monkeypatch, tmp_path
):
    command = tmp_path / "gwz-provision"
    if there:
        command.write_text("")
    monkeypatch.setenv(grafana.COMMAND, str(command))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert grafana.absent(replace(Urls(*["http://x"] * 8), grafana=url)) == said


def test_a_part_by_itself_says_what_else_is_not_proved(monkeypatch):
    run = Run(Options(only="alerts"), Console(quiet=True))
    proved = Proved([Result("alerts_quiet", True, "calm", 1.0, {"calm_longest_stall_s": 0.1})], [], [])
    monkeypatch.setattr("gwz_e2e.run.prove", lambda *_: proved)
    monkeypatch.setattr("gwz_e2e.run.NativeStack", object)
    run._alone(SimpleNamespace(stack=object()))
    assert [(item.what, item.why) for item in run.report.not_proved] == [
        ("everything else", "--only alerts was asked for")
    ]
    assert (run.report.verdict, run.report.figures) == ("proved", {"calm_longest_stall_s": 0.1})


@pytest.mark.parametrize(
    ("grafana", "not_proved", "not_reached"),
    [(None, ["links", "browser"], ()), ("http://127.0.0.1:9", [], BROWSER_HOPS)],
)
def test_dashboards_are_not_looked_at_without_grafana_nor_after_a_broken_hop(
    run, monkeypatch, grafana, not_proved, not_reached
):
    monkeypatch.setenv("GWZ_PROVISION", sys.executable)
    run.report.hops = [Result("panels", ok=not not_reached, sentence="looked at", decided_at=1.0)]
    run._looks(SimpleNamespace(place=SimpleNamespace(urls=SimpleNamespace(grafana=grafana))), None, None)
    assert [item.what for item in run.report.not_proved] == not_proved
    assert all(item.why for item in run.report.not_proved)
    assert [(hop.id, hop.ok) for hop in run.report.hops[1:]] == [(name, None) for name in not_reached]
