from pathlib import Path

import pytest

from gwz_e2e.breaks import BREAKS
from gwz_e2e.case import Case, Engines
from gwz_e2e.chain import SIGNALS, case_hops, server_hops
from gwz_e2e.engines import Loki, Prometheus, Tempo
from gwz_e2e.hops import Result, descendants
from gwz_e2e.run import _waves, judge
from gwz_e2e.saboteur import FAULTS

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def chain():
    engines = Engines(Prometheus(NOWHERE), Loki(NOWHERE), Tempo(NOWHERE), "redis://127.0.0.1:9")
    return [*server_hops(engines), *case_hops(Case("x", NOWHERE, Path("l"), Path("s"), engines))]


def results(chain, verdicts):
    return [Result(hop.id, verdicts.get(hop.id, True), "", 0.0) for hop in chain]


def test_every_break_names_a_hop_and_every_code_fault_is_one_the_saboteur_knows(chain):
    assert {sabotage.hop for sabotage in BREAKS.values()} <= {hop.id for hop in chain}
    assert {name for name, sabotage in BREAKS.items() if sabotage.app_code} == set(FAULTS)


def test_the_breaks_are_those_that_were_promised():
    assert list(BREAKS) == [
        "app-down", "scrape-path", "metric-renamed", "loki-url", "log-dropped", "log-doubled",
        "otlp-port", "trace-parent", "exemplar", "failure-as-success", "hit-forgotten", "balance-stale", "failure-hidden",
        "remote-write", "ledger-off-by-one", "redis-down",
    ]  # fmt: skip


def test_every_signal_has_a_hop(chain):
    assert set(SIGNALS.values()) <= {hop.id for hop in chain}


def test_a_broken_signal_leaves_the_other_signals_reachable(chain):
    """One broken hop must not hide what the others say: that is how the first one is found."""
    assert descendants(chain, "logs") == {"correlation"}
    assert descendants(chain, "spans") == {"traces", "trace_parent", "correlation", "span_metrics", "service_graph"}
    assert descendants(chain, "scrape") == {
        "metrics",
        "calls",
        "endpoints_local",
        "data",
        "business",
        "durations",
        "exemplars",
        "correlation",
    }
    assert descendants(chain, "redis") == {"redis_exporter", "cache", "data"}


def test_a_break_is_caught_when_its_hop_is_broken_what_needs_it_unreached_and_the_rest_true(chain):
    result = judge("loki-url", chain, results(chain, {"logs": False, "correlation": None}))
    assert result.caught
    assert result.sentence == "logs: "


@pytest.mark.parametrize(
    "verdicts",
    [
        {},
        {"logs": False},
        {"logs": False, "correlation": False},
        {"logs": None, "correlation": None},
        {"logs": False, "correlation": None, "traces": False},
        {"traces": False, "trace_parent": None, "correlation": None},
    ],
)
def test_any_other_report_means_that_the_break_was_missed(chain, verdicts):
    assert not judge("loki-url", chain, results(chain, verdicts)).caught


def test_a_break_that_two_signals_tell_of_has_to_be_told_by_both(chain):
    told = {"calls": False, "business": None, "endpoints_local": None, "trace_parent": False}
    assert judge("failure-as-success", chain, results(chain, told)).caught
    assert not judge("failure-as-success", chain, results(chain, {"calls": False, "business": None})).caught


def test_breaks_of_a_server_have_the_stack_for_themselves():
    waves = _waves(list(BREAKS))
    assert sorted(name for wave in waves for name in wave) == sorted(BREAKS)
    assert ["remote-write"] in waves
    assert ["redis-down"] in waves
