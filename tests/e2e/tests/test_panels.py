import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from fastapi_app.load.plan import make_plan
from fastapi_app.load.workload import built_in
from gwz_dashboards import recording
from gwz_dashboards.expectations import EXPECTATIONS
from gwz_dashboards.expectations.kinds import (
    COUNT,
    SECONDS,
    SHARE,
    Expect,
    LineCount,
    LineRate,
    Lines,
    Look,
    Quantile,
    Rate,
    Ratio,
    Total,
    Traces,
)
from gwz_dashboards.queries import Match
from gwz_e2e.case import Case, Engines
from gwz_e2e.engines import Loki, Prometheus, Series, Tempo
from gwz_e2e.panels import looks, tallies
from gwz_e2e.panels.answers import Curve, LogLine, NotShown, Shown, Window
from gwz_e2e.panels.boards import every_query, every_rule, filled
from gwz_e2e.panels.directly import replaced, rows_of
from gwz_e2e.panels.facts import Facts, Known, TooLong, _grown, load_window
from gwz_e2e.panels.judging import judge_kind
from gwz_e2e.panels.mutations import MUTATIONS, RULE_MUTATIONS, mutants
from gwz_e2e.panels.proof import choice, constant, other_entries
from gwz_e2e.panels.survivors import SURVIVORS
from gwz_instrument.semconv import http, inference, logs, spans

NOWHERE = "http://127.0.0.1:9"
WINDOW = Window(700.0, 1000.0, 15.0, 60.0)


class Scraped:
    """What was scraped, by metric and suffix."""

    def __init__(self, series):
        self.series = series

    def grown(self, metric, window_s, *, suffix=""):
        found = self.series.get(f"{metric.name}{suffix}", [])
        return [_grown(one, WINDOW.end - window_s, WINDOW.end) for one in found]


@cache
def entries(seed=1, requests=150):
    return [planned.entry for planned in make_plan(seed, requests, built_in(seed))]


def case(ledger=None):
    engines = Engines(Prometheus(NOWHERE), Loki(NOWHERE), Tempo(NOWHERE), "redis://127.0.0.1:9")
    found = Case("gateway", NOWHERE, Path("l"), Path("s"), engines)
    found.__dict__["ledger"] = ledger or entries()
    found.__dict__["summary"] = {"started_at": 950.0, "ended_at": 960.0}
    return found


def facts(scraped=None, ledger=None, **origins):
    of = case(ledger)
    return Facts(Known(of, WINDOW, choice(of), Scraped(scraped or {})), of.ledger, origins)


def query(uid, panel, ref="A"):
    return next(one for one in every_query() if one.key == (uid, panel, ref))


def curve(value, name="", **labels):
    return Curve(labels, name or " ".join(labels.values()), [(WINDOW.end, value)])


def samples(labels, *points):
    return Series(labels, tuple((float(at), float(value)) for at, value in points))


REQUESTS = query("gwz-request-flow", 1)
RATE = query("four-golden-signals-v1", 7)


def test_what_is_chosen_is_put_in_as_the_browser_does():
    asked = filled(query("model-performance-v1", 3), {"environment": ["e"], "provider": ["a"], "model": ["b.c", "d"]})
    assert asked.text.startswith(
        'sum by (model) (rate(model_inference_requests_total{job=~"e", provider=~"a", model=~"(b'
    )
    assert r"model=~\"(b\\\\.c|d)\"".replace(r"\"", '"').replace(r"\\\\", r"\\") in asked.text
    assert "$__rate_interval" in asked.text


def test_what_the_backend_would_put_in_is_put_in():
    assert replaced("rate(x[$__rate_interval]) + y[$__range]", WINDOW) == "rate(x[60s]) + y[300s]"


def test_rows_are_made_as_the_plugin_makes_them():
    target = query("executive-overview-v1", 6).target
    body = {"providers": {"b": {"failed_requests": 2}, "a": {"failed_requests": None}}}
    assert list(rows_of(body, target)) == [{"provider": "a", "Failed": None}, {"provider": "b", "Failed": 2.0}]
    with pytest.raises(NotShown, match="nothing at providers"):
        list(rows_of({}, target))


@pytest.mark.parametrize(
    ("took", "step", "rate"), [(10.0, 15.0, 60.0), (35.0, 60.0, 75.0), (70.0, 120.0, 135.0), (200.0, 300.0, 315.0)]
)
def test_the_window_of_a_rate_holds_the_whole_load(took, step, rate):
    of = case()
    of.summary.update(started_at=1000.0, ended_at=1000.0 + took)
    window = load_window(of)
    assert (window.step_s, window.rate_s) == (step, rate)
    assert window.end - window.rate_s < 1000.0
    of.summary["ended_at"] += 300.0
    with pytest.raises(TooLong, match="more than the 300 s of the rules"):
        load_window(of)


@pytest.mark.parametrize(
    ("points", "rate"),
    [
        # As Prometheus 3.2.1 computes rate(x[60s]) at 1000 of these samples.
        ([(941 + second, 5 + second) for second in range(60)], 1.0),
        ([(941 + second, second) for second in range(60)], 59 / 60),
        ([(at, 10 + at - 970) for at in range(970, 1001)], 30 * (30 + 0.5) / 30 / 60),
        ([(at, at - 970) for at in range(970, 1001)], 30 / 60),
        ([(941, 7), (1000, 7)], 0.0),
        ([(999, 7)], 0.0),
    ],
)
def test_a_counter_grows_as_prometheus_reckons(points, rate):
    grown = _grown(samples({}, *points), WINDOW.end - 60, WINDOW.end)
    assert grown.delta * grown.stretch / 60 == pytest.approx(rate)


def test_a_total_is_the_ledgers():
    assert judge_kind(REQUESTS, Total(COUNT, http.REQUESTS), Shown([curve(150.0)]), facts()).ok
    wrong = judge_kind(REQUESTS, Total(COUNT, http.REQUESTS), Shown([curve(149.0)]), facts())
    assert wrong.phrases == ["149 instead of 150"]
    assert judge_kind(REQUESTS, Total(COUNT, http.REQUESTS), Shown(), facts()).phrases == ["is missing, 150 expected"]


def test_a_total_by_a_label_names_what_is_missing_and_what_nobody_expects():
    failed = tallies.grouped(facts().tallies.of(recording.FAILED.metric), (inference.PROVIDER,))
    shown = [curve(value, provider=key[0]) for key, value in failed.items()]
    kind = Total(COUNT, recording.FAILED.metric, by=(inference.PROVIDER,))
    assert judge_kind(REQUESTS, kind, Shown(shown), facts()).ok
    wrong = judge_kind(REQUESTS, kind, Shown([*shown[1:], curve(1.0, provider="nobody")]), facts())
    assert [phrase.split(":")[0] for phrase in wrong.phrases] == [shown[0].name, "nobody expects nobody"]
    unnamed = judge_kind(REQUESTS, kind, Shown([replace(one, name="x") for one in shown]), facts())
    assert "is called x" in unnamed.phrases[0]


def scraped_requests(number):
    return {http.REQUESTS.name: [samples({"path": "/v1/chat/completions"}, (941, 0), (960, number), (1000, number))]}


def test_a_rate_is_the_ledgers_count_less_what_its_series_began_with():
    chats = sum(entry.route == "/v1/chat/completions" for entry in entries())
    chosen = Rate(COUNT, http.REQUESTS, (Match(http.PATH, "/v1/chat.*", "=~"),))
    grown = _grown(scraped_requests(chats)[http.REQUESTS.name][0], 940, 1000)
    right = grown.delta * grown.stretch / 60
    assert judge_kind(REQUESTS, chosen, Shown([curve(right)]), facts(scraped_requests(chats))).ok
    assert not judge_kind(REQUESTS, chosen, Shown([curve(right * 1.001)]), facts(scraped_requests(chats))).ok
    other = judge_kind(REQUESTS, chosen, Shown([curve(right)]), facts(scraped_requests(chats + 1)))
    assert f"counts {chats + 1} in Prometheus, {chats} in the ledger" in other.phrases[0]


def test_a_share_is_one_number_of_the_ledger_by_another():
    failed, judged = (
        sum(value for _, value in facts().tallies.of(one.metric)) for one in (recording.FAILED, recording.JUDGED)
    )
    kind = Ratio(Total(COUNT, recording.FAILED.metric), Total(COUNT, recording.JUDGED.metric))
    panel = query("backend-health-v1", 3, "B")
    assert judge_kind(panel, kind, Shown([curve(failed / judged)]), facts()).ok
    assert not judge_kind(panel, kind, Shown([curve(1 - failed / judged)]), facts()).ok


def test_a_quantile_is_that_of_the_scraped_buckets_and_not_faster_than_planned():
    calls = [entry for entry in entries() if entry.provider]
    bounds = [*inference.DURATION.buckets, math.inf]

    def buckets(slower):
        return {
            f"{inference.DURATION.name}_bucket": [
                samples(
                    {"le": "+Inf" if bound == math.inf else f"{bound:g}"},
                    (941, 0),
                    (1000, sum(entry.planned_delay_s + slower <= bound for entry in calls)),
                )
                for bound in bounds
            ]
        }

    kind = Quantile(0.95, inference.DURATION)
    panel = query("four-golden-signals-v1", 5, "B")
    expected = float(judge_kind(panel, kind, Shown(), facts(buckets(0.0))).expected)
    assert judge_kind(panel, kind, Shown([curve(expected)]), facts(buckets(0.0))).ok
    assert not judge_kind(panel, kind, Shown([curve(expected * 1.001)]), facts(buckets(0.0))).ok
    too_fast = judge_kind(panel, kind, Shown([curve(0.05)]), facts(buckets(-4.0)))
    assert not too_fast.ok


def test_exemplars_lead_to_the_ledger():
    kind = Quantile(0.95, inference.DURATION, exemplars=True)
    panel = query("four-golden-signals-v1", 5, "B")
    own = str(entries()[0].trace_id)
    assert "no dot leads to a trace" in judge_kind(panel, kind, Shown(), facts()).phrases
    strange = judge_kind(panel, kind, Shown(exemplars=[own, "f" * 32]), facts())
    assert f"the dot {'f' * 32} leads to no trace of the ledger" in strange.phrases


def test_lines_are_the_ledgers_each_once():
    shown = [
        LogLine({"request_id": line.entry.id}, f"{line.entry.method} {line.entry.route} {line.entry.status}")
        if line.logger == "gwz_instrument.request"
        else LogLine({}, line.logger)
        for line in tallies.lines(entries())
    ]
    panel = query("gwz-request-flow", 12)
    assert judge_kind(panel, Lines(), Shown(lines=shown), facts()).ok
    assert not judge_kind(panel, Lines(), Shown(lines=shown[1:]), facts()).ok
    assert not judge_kind(panel, Lines(), Shown(lines=[shown[0], *shown[:-1]]), facts()).ok
    assert not judge_kind(panel, Lines(), Shown(lines=shown), facts(ledger=entries(seed=2))).ok
    assert not judge_kind(panel, Lines(readable=True), Shown(lines=shown), facts()).ok


def test_counts_of_lines_are_the_ledgers():
    errors = sum(line.level == "error" for line in tallies.lines(entries()))
    kind = LineCount(levels=("error", "critical"))
    panel = query("logs-monitoring-v1", 4)
    assert judge_kind(panel, kind, Shown([curve(float(errors))]), facts()).ok
    assert not judge_kind(panel, kind, Shown([curve(errors + 1.0)]), facts()).ok


def test_each_line_is_counted_in_one_minute_of_the_rate():
    counts = tallies.lines(entries())
    points = {
        level: [
            (WINDOW.end + 15, 9.0),
            *((WINDOW.end - 15 * step, sum(line.level == level for line in counts) / 60) for step in range(4)),
            (WINDOW.end - 60, 0.0),
        ]
        for level in {line.level for line in counts}
    }
    shown = [Curve({"level": level}, level, of) for level, of in points.items()]
    kind, panel = LineRate(by=(logs.LEVEL,)), query("logs-monitoring-v1", 5)
    assert judge_kind(panel, kind, Shown(shown), facts()).ok
    assert not judge_kind(panel, kind, Shown([replace(one, points=one.points[:1]) for one in shown]), facts()).ok


def test_traces_are_the_ledgers():
    ids = [str(entry.trace_id) for entry in entries()]
    panel = query("gwz-request-flow", 11)
    assert judge_kind(panel, Traces(spans.SERVICE_NAME), Shown(traces=ids[:20]), facts()).ok
    assert not judge_kind(panel, Traces(spans.SERVICE_NAME), Shown(traces=ids[:19]), facts()).ok
    assert not judge_kind(panel, Traces(spans.SERVICE_NAME), Shown(traces=[*ids[:19], "f" * 32]), facts()).ok


def test_a_unit_says_the_quantity_and_how_much_of_it():
    panel = {"fieldConfig": {"defaults": {"unit": "ms"}}}
    assert looks.factor(panel, SECONDS, "") == 1e-3
    with pytest.raises(looks.WrongUnit, match="the unit ms of the panel does not say a share"):
        looks.factor(panel, SHARE, "")


def test_known_values_are_shown_in_their_words_and_colours():
    health = query("gateway-comparison-v1", 1)
    expect = EXPECTATIONS[health.key]
    assert list(looks.wrong_looks(health, expect)) == []
    wrong = Expect(expect.kind, (Look("healthy", "red", "HEALTHY"),))
    assert "healthy is shown as ('HEALTHY', 'green') instead of ('HEALTHY', 'red')" in list(
        looks.wrong_looks(health, wrong)
    )


@pytest.mark.parametrize("one", every_query(), ids=str)
def test_every_panel_shows_what_it_is_answered(one):
    expect = EXPECTATIONS[one.key]
    assert [*looks.wrong_looks(one, expect), *looks.wrong_settings(one, expect)] == []


SETTINGS = [one for one in MUTATIONS if not one.asks and "unit" not in one.name]


@pytest.mark.parametrize("mutation", SETTINGS, ids=lambda one: one.name)
def test_a_panel_that_shows_an_answer_wrongly_is_seen_without_asking(mutation):
    changed = [mutant for one in every_query() if (mutant := mutation.of(one)) is not None]
    assert changed
    for mutant in changed:
        expect = EXPECTATIONS[mutant.key]
        wrong = [*looks.wrong_looks(mutant, expect), *looks.wrong_settings(mutant, expect)]
        assert wrong or (mutation.name, mutant.key) in SURVIVORS


def test_there_are_enough_kinds_of_faults_and_each_can_happen():
    found = {mutation.name for mutation, _ in mutants([*every_query(), *every_rule()])}
    assert found == {mutation.name for mutation in (*MUTATIONS, *RULE_MUTATIONS)}
    assert len(found) >= 30


def test_every_survivor_is_a_fault_that_can_happen():
    possible = {(mutation.name, mutant.key) for mutation, mutant in mutants(every_query())}
    assert set(SURVIVORS) - possible == set()


def test_another_ledger_is_of_another_load():
    of = case()
    others = other_entries(of)
    assert len(others) != len(of.ledger)
    assert not {entry.trace_id for entry in others} & {entry.trace_id for entry in of.ledger}


def test_only_what_no_load_changes_is_constant():
    constants = {key for key, expect in EXPECTATIONS.items() if constant(expect)}
    assert constants == {
        ("executive-overview-v1", 10, "A"),
        ("backend-health-v1", 5, "A"),
        ("gwz-request-flow", 13, "A"),
        ("gateway-comparison-v1", 3, "B"),
    }


def test_a_choice_is_some_of_what_there_is():
    of = case()
    chosen = choice(of)
    calls = [entry for entry in of.ledger if entry.provider]
    assert 0 < len(chosen["provider"]) < len({entry.provider for entry in calls})
    assert 0 < len(chosen["model"]) < len({entry.model for entry in calls})
    assert chosen["level"] in logs.LEVELS
