"""Rules that were made wrong, and the past on which they are tried."""

import json
from collections import Counter

import httpx
import pytest

from gwz_dashboards import runbooks
from gwz_e2e.alerting import divided, routing
from gwz_e2e.alerting.evaluation import Asking
from gwz_e2e.alerting.mutation_proof import prove, questions
from gwz_e2e.alerting.mutations import MUTATIONS, ROUTE_MUTATIONS, SURVIVORS, mutants
from gwz_e2e.alerting.past import STEP_S, Moment, Past
from gwz_e2e.alerting.proof import Proof
from gwz_e2e.alerting.routing import Routing
from gwz_e2e.case import Engines
from gwz_e2e.engines import Sample, Series

RULES = runbooks.shipped()
REDIS, SCORE, LINES = RULES["gwz-redis-down"], RULES["gwz-health-score-low"], RULES["gwz-no-logs"]
POSSIBLE = {(mutation.name, uid): rule for mutation, uid, rule in mutants(RULES)}
START = 1000.0


def test_there_are_enough_kinds_of_faults_and_each_can_happen():
    kinds = Counter(name for name, _ in POSSIBLE)
    assert set(kinds) == {mutation.name for mutation in MUTATIONS} - IMPOSSIBLE
    assert len(kinds) >= 30


IMPOSSIBLE = {
    *(
        "an increase instead of a rate",
        "another application",
        "every application",
        "every path",
        "every provider",
        "every model",
        "the factor is gone",
    ),
    *("lines of every level", "lines of another level", "lines of every service", "lines of no environment"),
    *("lines grouped by another label", "five minutes of lines", "whatever is searched for"),
    *("lines that are not written for people", "lines with another word", "traces of every kind"),
    *("traces of no service", "seconds as milliseconds", "a month of days", "a single row"),
    *("sorted by something else", "an hour of the ranking", "an environment that is not there"),
}
"""Faults of panels' queries that none of the rules' can have."""


def test_every_survivor_is_a_fault_that_can_happen_and_says_why():
    assert set(SURVIVORS) - set(POSSIBLE) == set()
    assert all(SURVIVORS.values())


@pytest.mark.parametrize("uid", RULES)
def test_what_is_no_number_is_written_down_apart_from_the_rule(uid):
    """Without a trial already: limits, windows, times, labels, pages and panels."""
    unseen = {name for (name, of), rule in POSSIBLE.items() if of == uid and not list(runbooks.problems(rule))}
    assert unseen & SETTINGS == set()


SETTINGS = {
    *("the comparison turned round", "a threshold ten times as high", "a threshold a tenth as high"),
    *("a threshold of nothing", "the value itself is the condition", "windows five times as long"),
    *("windows a fifth as long", "asked about five minutes ago", "no `for`", "a `for` five times as long"),
    *("missing data mean the opposite", "errors mean the opposite", "paused", "evaluated every ten minutes"),
    *("in another folder", "another severity", "no severity", "another team", "one more label", "another uid"),
    *("another title", "another alert's page", "a page that is not there", "a text with a hole", "no text"),
    *("another panel", "a panel of another dashboard"),
}


def shipped_routing():
    policies, points = (
        json.loads((divided.SHIPPED / name).read_text()) for name in ("policies.json", "contact-points.json")
    )
    return Routing(policies["routes"], points["contactPoints"])


def test_messages_go_where_they_are_meant_to():
    assert list(routing.problems(shipped_routing())) == []


@pytest.mark.parametrize("name", ROUTE_MUTATIONS)
def test_a_wrong_way_of_messages_is_seen(name):
    assert list(routing.problems(ROUTE_MUTATIONS[name](shipped_routing()))) != []


class Engine:
    """A server that answers with one series."""

    def __init__(self, *values, labels=None, refuses=False):
        self.series = Series(labels or {}, tuple((START + n * STEP_S, value) for n, value in enumerate(values)))
        self.refuses = refuses
        self.asked = []

    def query(self, expression):
        self.asked.append(expression)
        return [Sample(self.series.labels, self.series.samples[-1][1])]

    def query_range(self, expression, start, end, step_s):
        self.asked.append((expression, start, end, step_s))
        if self.refuses:
            request = httpx.Request("GET", "http://p")
            raise httpx.HTTPStatusError("bad query", request=request, response=httpx.Response(400, request=request))
        return [self.series]


def past(*moments, prometheus=None, loki=None):
    made = Past(Engines(prometheus or Engine(), loki or Engine(), None, ""), None, questions())
    made._moments = [Moment(START + n * STEP_S, *moment) for n, moment in enumerate(moments)]
    return made


def told(of, uid, rule):
    return [(one.at - START, one.firing, one.value) for one in of.notices(uid, rule)]


AT_ONCE = {"for": "0s"}


def test_the_past_of_prometheus_is_asked_for_again():
    engine = Engine(1, 1, 0, 0, 1)
    of = past(*[()] * 5, prometheus=engine)
    assert told(of, "gwz-redis-down", {**REDIS, **AT_ONCE}) == [(1.0, True, 0), (2.0, False, None)]
    (asked,) = engine.asked
    assert asked == (REDIS["data"][0]["model"]["expr"], START, START + 2.0, STEP_S)
    assert told(of, "gwz-redis-down", {**REDIS, "for": "2s"}) == []
    assert len(engine.asked) == 1, "the same question is asked once"


def test_who_did_not_answer_did_not_and_a_query_that_is_refused_never_would_have():
    silent, alarmed = (frozenset({"grafana_loki"}),), (frozenset(),)
    of = past(alarmed, silent, silent, alarmed, loki=Engine(5, 5, 5, 5))
    assert told(of, "gwz-no-logs", {**LINES, **AT_ONCE}) == [(0.5, True, None), (1.5, False, None)]
    refused = past(alarmed, alarmed, loki=Engine(refuses=True))
    assert told(refused, "gwz-no-logs", {**LINES, **AT_ONCE}) == [(0.0, True, None)]
    assert told(refused, "gwz-no-logs", {**LINES, **AT_ONCE, "execErrState": "OK"}) == []


def test_what_endpoints_said_is_read_as_the_plugin_reads_it():
    (question,) = (one for one in questions() if one[1] == (("hours", "1"),) and one[0].endswith("/realtime"))
    bodies = [{"avg_health_score": 90.0}, {"avg_health_score": 20.0}, {"avg_health_score": None}, None]
    of = past(*[(frozenset(), {question: body}) for body in bodies])
    assert told(of, "gwz-health-score-low", {**SCORE, **AT_ONCE}) == [(0.5, True, 20.0), (1.0, False, None)]
    alarming = {**SCORE, **AT_ONCE, "noDataState": "Alerting"}
    assert told(of, "gwz-health-score-low", alarming) == [(0.5, True, 20.0), (1.5, False, None)]
    as_text = POSSIBLE["a number as a text", "gwz-health-score-low"]
    assert told(of, "gwz-health-score-low", {**as_text, **AT_ONCE}) == []


def test_a_rule_that_asks_about_earlier_is_answered_from_then():
    of = past(*[()] * 4, prometheus=Engine(0, 1, 1, 1))
    asked = {**REDIS["data"][0], "relativeTimeRange": {"from": 2, "to": 1}}
    later = {**REDIS, **AT_ONCE, "data": [asked, *REDIS["data"][1:]]}
    assert told(of, "gwz-redis-down", later) == [(1.0, True, 0), (1.5, False, None)]


def test_live_and_past_rules_ask_the_same_engines():
    engine = Engine(7, labels={"job": "g"})
    asking = Asking(Engines(engine, Engine(), None, ""), None)
    assert asking.ask(REDIS["data"][0]) == {frozenset({("job", "g")}): 7}


class Nobody:
    def notices(self):
        return []


def test_a_fault_that_nobody_sees_and_a_sound_rule_that_is_wrong_are_told():
    """In a past in which nothing is asked of anyone, every rule is silent: what is seen is seen by its page alone."""
    of = past(*[()] * 3)
    proof = Proof(Nobody(), RULES, lambda: None, shows_texts=False, calm=(START, START + 1))
    trials = {"redis dies": Trials(("gwz-redis-down",))}
    found = prove(of, proof, trials)
    assert not found.ok
    assert "the metric is called otherwise in gwz-redis-down is not seen" in found.sentence
    assert found.figures["alert_mutants_seen_by_behaviour"] < found.figures["alert_mutants"]


class Trials:
    def __init__(self, uids):
        self.shows = [type("Shown", (), {"uid": uid}) for uid in uids]
