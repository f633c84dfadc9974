from pathlib import Path

import pytest
from rich.console import Console

from gwz_e2e.hops import Hop, Result
from gwz_e2e.options import Options
from gwz_e2e.run import Run
from gwz_e2e.scene import LoadFailed, neutral_environment
from gwz_stack import ServerDied, StackError


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
