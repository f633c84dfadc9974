"""What the proof of the alerts concludes, in a world that is simulated second by second; and its parts by themselves."""

import copy
import json
import re
import shutil
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from gwz_dashboards import runbooks
from gwz_dashboards.alerts import ALERTS_SHIPPED
from gwz_e2e.alerting import app, divided, history
from gwz_e2e.alerting.divided import NotTheSame
from gwz_e2e.alerting.evaluation import Evaluation
from gwz_e2e.alerting.faults import TRIALS, Sign, Trial
from gwz_e2e.alerting.notices import Key, Notice, Webhook, firing
from gwz_e2e.alerting.proof import FIRING_S, Proof, unreadable
from gwz_e2e.alerting.run import _STATED_S, HOPS, _results
from gwz_e2e.alerting.stalls import Stalls
from gwz_e2e.alerting.traffic import Traffic
from gwz_e2e.report import AlertProof, Report
from gwz_instrument import runtime

BY_SLUG = {alert.slug: alert for alert in ALERTS_SHIPPED}
CANARIES = {"api-down", "no-logs"}
"""Their faults show as an error of the data source; so does the one of the target, when Prometheus is what dies."""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    bundle = tmp_path_factory.mktemp("alerts") / "bundle"
    divided.write_bundle(bundle)
    return divided.rules(bundle)


def test_each_alert_has_a_fault_and_each_fault_an_alert():
    shown = Counter(sign.slug for trial in TRIALS.values() for sign in trial.shows)
    assert set(shown) == set(BY_SLUG)
    assert all(trial.shows for trial in TRIALS.values())


def test_what_only_follows_from_a_fault_says_why():
    followers = [sign for trial in TRIALS.values() for sign in trial.also]
    assert all(sign.why and sign.slug in BY_SLUG for sign in followers)


class TestDivided:
    def test_times_are_divided(self, rules):
        assert {alert.uid: divided.seconds(rules[alert.uid]["for"]) for alert in ALERTS_SHIPPED} == {
            alert.uid: alert.timing.for_s // divided.FACTOR for alert in ALERTS_SHIPPED
        }

    def test_what_is_not_a_time_cannot_change(self, tmp_path):
        shipped = tmp_path / "shipped"
        shutil.copytree(divided.SHIPPED, shipped)
        file = shipped / "alerts" / "gwz-platform.json"
        text = file.read_text()
        file.write_text(re.sub(r"0\.9$", "0.8", text, flags=re.MULTILINE))
        assert file.read_text() != text
        with pytest.raises(NotTheSame, match=r"alerts/gwz-platform\.json is not what the alerts' code makes, times 60"):
            divided.write_bundle(tmp_path / "out", shipped=shipped)

    def test_a_longer_for_is_a_change(self, tmp_path):
        shipped = tmp_path / "shipped"
        shutil.copytree(divided.SHIPPED, shipped)
        file = shipped / "alerts" / "gwz-providers.json"
        file.write_text(file.read_text().replace('"for": "10m"', '"for": "20m"'))
        with pytest.raises(NotTheSame, match="gwz-providers"):
            divided.write_bundle(tmp_path / "out", shipped=shipped)

    def test_a_rule_by_itself_is_divided_like_the_bundle(self, rules):
        """So that a rule that was made wrong can be tried at the same pace."""
        for uid, shipped in runbooks.shipped().items():
            faster = divided.faster(shipped)
            assert {key: faster[key] for key in rules[uid]} == rules[uid]

    def test_the_rest_of_the_bundle_is_copied(self, tmp_path):
        divided.write_bundle(tmp_path / "out")
        apart = ("alerts/gwz-gateway.json", "alerts/gwz-platform.json", "alerts/gwz-providers.json", "policies.json")
        names = sorted(path.relative_to(divided.SHIPPED) for path in divided.SHIPPED.rglob("*") if path.is_file())
        differing = [
            str(name)
            for name in names
            if (tmp_path / "out" / name).read_bytes() != (divided.SHIPPED / name).read_bytes()
        ]
        assert tuple(differing) == apart


class Clock:
    """Half a second at a time."""

    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return self.seconds


def said(sign, operator, limit):
    """What an alert tells of when its fault is there."""
    if sign.says:
        return sum(sign.says) / 2
    return limit + 1 if operator == "gt" else limit - 1


class World:
    """A world in which a fault makes the queries of its alerts say what it would make them say."""

    def __init__(self, rules, *, trials=TRIALS):
        self.clock = Clock()
        self.active = set()
        self.trials = trials
        self.lost = False
        self.factors = {}
        self.rules = copy.deepcopy(rules)
        self.slugs = {id(rule["data"][0]): uid.removeprefix("gwz-") for uid, rule in self.rules.items()}
        self.evaluation = Evaluation(self.rules, self.ask)

    def ask(self, query):
        slug = self.slugs[id(query)]
        operator, limit = BY_SLUG[slug].fires
        within = limit - 1 if operator == "gt" else limit + 1
        shown = [(name, sign) for name in self.active for sign in self.trials[name].shows if sign.slug == slug]
        if any(slug in CANARIES or name == "prometheus dies" for name, _ in shown):
            raise ValueError("no answer")
        answer = {
            frozenset(sign.labels.items()): said(sign, operator, limit) * self.factors.get(slug, 1) for _, sign in shown
        }
        return answer or {frozenset({("job", "calm")}): within}

    def notices(self):
        return [] if self.lost else self.evaluation.notices()

    def pending_at(self, key, before):
        return self.evaluation.pending_at(key, before)

    def pause(self):
        self.clock.seconds += 0.5
        self.evaluation.step(self.clock.seconds)

    def fault(self, name):
        return Toggle(self.active, name)

    def prove(self, *, tried=None):
        proof = Proof(self, self.rules if tried is None else tried, self.pause, shows_texts=False, now=self.clock.now)
        self.proof = proof
        quiet = proof.quiet(80)
        rows = []
        for phase in sorted({trial.phase for trial in self.trials.values()}):
            faults = {name: (trial, self.fault(name)) for name, trial in self.trials.items() if trial.phase == phase}
            rows += proof.together(faults) if faults else []
        return quiet, rows, proof.strangers


class Toggle:
    def __init__(self, active, name):
        self.active, self.name = active, name

    def begin(self):
        self.active.add(self.name)

    def end(self):
        self.active.discard(self.name)


def evaluator(rule):
    return rule["data"][-1]["model"]["conditions"][0]["evaluator"]


class TestProof:
    def test_sound_alerts_fire_and_resolve_and_are_quiet_without_a_fault(self, rules):
        quiet, rows, strangers = World(rules).prove()
        assert (quiet, strangers) == ([], [])
        assert {row.uid for row in rows} == set(rules)
        assert [row for row in rows if not row.ok] == []
        assert all(row.for_s <= row.fired_after_s <= row.for_s + 2 for row in rows)
        assert all(row.delivered_after_s <= 1 and 0 < row.resolved_after_s <= 2 for row in rows)

    @pytest.mark.parametrize("alert", ALERTS_SHIPPED, ids=lambda alert: alert.uid)
    def test_a_threshold_the_wrong_way_round_fires_without_a_fault(self, rules, alert):
        world = World(rules)
        turned = evaluator(world.rules[alert.uid])
        turned["type"] = {"gt": "lt", "lt": "gt"}[turned["type"]]
        quiet, rows, _ = world.prove()
        assert [one.split(" ")[0] for one in quiet] == [alert.uid]
        assert not all(row.ok for row in rows if row.uid == alert.uid) or alert.slug in CANARIES
        assert all(row.resolved_after_s is None for row in rows if row.fired_after_s is None)

    @pytest.mark.parametrize(
        ("since", "resolved_at", "said"),
        [
            (-100, 40, []),
            (-100, None, ["gwz-breaker-open"]),
            (20, 40, ["gwz-breaker-open"]),
            (20, None, ["gwz-breaker-open"]),
        ],
    )
    def test_only_what_began_before_the_calm_and_is_over_may_be_told_in_it(self, rules, since, resolved_at, said):
        world, key = World({}), Key("gwz-breaker-open", frozenset())
        began = world.clock.now()

        def notices():
            times = [(True, began + 30), *([] if resolved_at is None else [(False, began + resolved_at)])]
            return [Notice(key, firing, at, began + since) for firing, at in times if at <= world.clock.now()]

        world.notices = notices
        quiet = Proof(world, rules, world.pause, shows_texts=False, now=world.clock.now).quiet(80)
        assert [one.split(" ")[0] for one in quiet] == said

    def test_messages_that_go_elsewhere_are_missed(self, rules):
        world = World(rules)
        world.lost = True
        _, rows, _ = world.prove()
        assert {row.problem for row in rows} == {"no message came"}

    def test_an_alert_that_waits_longer_than_its_for_is_late(self, rules):
        world = World(rules)
        world.rules["gwz-provider-errors"]["for"] = "30s"
        _, rows, _ = world.prove(tried=rules)
        (late,) = (row for row in rows if not row.ok)
        assert late.uid == "gwz-provider-errors"
        assert late.problem == "the message came 20.0 s after its `for`, 5 s are allowed"

    def test_an_alert_that_waits_less_is_early(self, rules):
        world = World(rules)
        world.rules["gwz-provider-errors"]["for"] = "4s"
        _, rows, _ = world.prove(tried=rules)
        (early,) = (row for row in rows if not row.ok)
        assert early.problem == "the message came 6.0 s before its `for` was over"

    @pytest.mark.parametrize("slug", [*sorted(CANARIES), "target-not-scraped"])
    def test_a_canary_that_takes_errors_for_well_is_missed(self, rules, slug):
        world = World(rules)
        world.rules[f"gwz-{slug}"].update(noDataState="OK", execErrState="OK")
        _, rows, _ = world.prove()
        (silent,) = (row for row in rows if not row.ok)
        assert (silent.uid, silent.problem) == (f"gwz-{slug}", "no message came")

    def test_an_alert_that_goes_on_after_its_fault_has_not_resolved(self, rules):
        world = World(rules)
        world.fault = lambda name: Stuck(world.active, name) if name == "provider busy" else Toggle(world.active, name)
        _, rows, _ = world.prove()
        (stuck,) = (row for row in rows if not row.ok)
        assert (stuck.uid, stuck.problem, stuck.resolved_after_s) == ("gwz-provider-errors", "", None)

    def test_a_message_with_another_number_than_the_fault_s_is_wrong(self, rules):
        world = World(rules)
        world.factors["provider-errors"] = 100
        _, rows, _ = world.prove()
        (wrong,) = (row for row in rows if not row.ok)
        assert (wrong.uid, wrong.problem) == (
            "gwz-provider-errors", "it tells of 45, and the fault makes it (0.3, 0.6)",
        )  # fmt: skip

    def test_what_a_rule_told_is_judged_without_another_trial(self, rules):
        """The sound rule's messages are right; without any, in the calm, for nobody's fault, or never resolved, they are not."""
        world = World(rules)
        world.prove()
        uid, busy = "gwz-provider-errors", Sign("provider-errors", {"job": "gatewayz_spending", "provider": "chutes"})
        told = [one for one in world.notices() if one.key.uid == uid]
        own = [one for one in told if busy.is_shown_by(one.key)]

        def problems(messages):
            return list(world.proof.problems(uid, messages))

        assert problems(told) == []
        assert problems([]) == [f"it is silent when {TRIALS['provider busy'].does}"]
        early = replace(own[0], at=world.proof.calm[0])
        assert problems([early, *told]) == ["it fires without a fault"]
        assert problems([*told, replace(own[0], key=Key(uid, frozenset({("job", "else")})))]) == [
            "it fires for gwz-provider-errors (job=else), and no fault explains it"
        ]
        assert problems([one for one in told if one.firing]) == [
            f"it does not resolve after {TRIALS['provider busy'].does}"
        ]
        assert problems([replace(one, value=45.0) for one in told]) == [
            "it tells of 45, and the fault makes it (0.3, 0.6)"
        ]
        world.rules[uid]["annotations"]["summary"] = "{{ $labels.provider }} in {{ $labels.model }} fails."
        assert problems(told) == ["its text names model, which it does not have"]

    def test_an_alert_that_no_fault_explains_is_a_stranger(self, rules):
        more = {"gossip": Trial("it shows in another alert too", 1, None, (Sign("redis-down"), Sign("telemetry-lost")))}
        world = World(rules, trials=more)
        proof = Proof(world, rules, world.pause, shows_texts=False, now=world.clock.now)
        claimed = Trial("it shows in another alert too", 1, None, (Sign("redis-down"),))
        rows = proof.together({"gossip": (claimed, world.fault("gossip"))})
        assert [row.ok for row in rows] == [True]
        assert proof.strangers == ["gwz-telemetry-lost"]

    def test_a_fault_that_shows_in_nothing_is_ended_all_the_same(self, rules):
        world = World(rules)
        silent = Trial("nobody sees it", 1, None, (Sign("redis-down"),))
        proof = Proof(world, rules, world.pause, shows_texts=False, now=world.clock.now)
        toggle = Toggle(set(), "silent")
        rows = proof.together({"silent": (silent, toggle)})
        assert (rows[0].problem, rows[0].fired_after_s, toggle.active) == ("no message came", None, set())
        assert world.clock.now() < 1000 + FIRING_S + 5


class Stuck(Toggle):
    def end(self):
        pass


class TestHops:
    def test_each_hop_says_what_is_wrong_with_its_part(self, rules):
        _, rows, _ = World(rules).prove()
        fire, resolve = _results(rows, [], "by us")
        assert (fire.ok, resolve.ok, [fire.id, resolve.id]) == (True, True, list(HOPS[1:3]))
        assert fire.sentence.startswith("19 of 19 alerts fired with their faults and no other did")

    def test_a_stranger_breaks_the_firing(self):
        fire, _ = _results([], ["gwz-no-logs"], "by us")
        assert (fire.ok, fire.sentence) == (False, "gwz-no-logs fired, and no fault explains it")

    def test_where_nothing_fired_nothing_resolved(self):
        fire, resolve = _results([AlertProof("gwz-no-logs", "x", 5, problem="no message came")], [], "by us")
        assert (fire.ok, fire.sentence) == (False, "gwz-no-logs: no message came")
        assert (resolve.ok, resolve.sentence) == (None, "not reached: no alert fired")

    def test_one_that_fires_on_breaks_the_resolving(self):
        fire, resolve = _results([AlertProof("gwz-no-logs", "x", 5, fired_after_s=6)], [], "by us")
        assert (fire.ok, resolve.ok, resolve.sentence) == (True, False, "gwz-no-logs: it never resolved")

    def test_the_calm_is_longer_than_what_a_rule_waits_and_looks_back(self):
        """But for the rule on six hours, whose applications are as old as the calm."""
        times = [
            alert.timing.divided(divided.FACTOR) for alert in ALERTS_SHIPPED if alert.slug != "availability-burn-slow"
        ]
        assert max(timing.window_s + timing.for_s for timing in times) < _STATED_S


def test_one_stall_of_a_loop_is_forgotten_before_the_rule_has_waited():
    """As shipped, so on trial: with a scrape a second, what is not seen again and again is no alert."""
    lag = BY_SLUG["event-loop-lag"]
    assert lag.timing.for_s > runtime.LAG_WINDOW_S
    assert lag.timing.divided(divided.FACTOR).for_s > app.LAG_WINDOW_S + 1


def test_a_stall_of_the_machine_is_remembered():
    ticks = iter((0.0, 0.06, 0.06, 1.11, *[1.11] * 10_000))
    told = threading.Event()

    def clock():
        now = next(ticks)
        if now > 1:
            told.set()
        return now

    with Stalls(clock).watched() as stalls:
        assert told.wait(10)
    assert stalls.longest_s == pytest.approx(1.0)


RULE = {
    "for": "2s",
    "noDataState": "OK",
    "execErrState": "OK",
    "isPaused": False,
    "condition": "C",
    "data": [
        {"refId": "A", "model": {}},
        {"refId": "B", "model": {"reducer": "last"}},
        {"refId": "C", "model": {"conditions": [{"evaluator": {"type": "gt", "params": [1.0]}}]}},
    ],
}
HERE, THERE = frozenset({("job", "here")}), frozenset({("job", "there")})


class TestEvaluation:
    def told(self, answers, **changes):
        """What is told when the query answers so, second by second."""
        left = iter(answers)

        def ask(_query):
            answer = next(left)
            if isinstance(answer, Exception):
                raise answer
            return answer

        evaluation = Evaluation({"gwz-x": {**RULE, **changes}}, ask)
        for second in range(len(answers)):
            evaluation.step(float(second))
        return [(one.at, one.firing, dict(one.key.labels).get("job")) for one in evaluation.notices()]

    def test_an_alert_fires_once_it_was_due_for_its_for(self):
        assert self.told([{HERE: 2}, {HERE: 2}, {HERE: 2}, {HERE: 0}]) == [(2.0, True, "here"), (3.0, False, "here")]

    def test_what_is_over_before_that_is_not_told(self):
        assert self.told([{HERE: 2}, {HERE: 2}, {HERE: 1}, {HERE: 2}, {HERE: 2}]) == []

    def test_each_series_is_an_alert_of_its_own(self):
        assert self.told([{HERE: 2, THERE: 0}, {HERE: 2, THERE: 2}, {HERE: 2}, {}]) == [
            (2.0, True, "here"), (3.0, False, "here"),
        ]  # fmt: skip

    def test_a_value_that_is_no_number_is_over_every_threshold_as_grafana_has_it(self):
        """Seen on 11.0.0: the quantile of a provider without traffic fired."""
        assert self.told([{HERE: float("nan")}] * 3) == [(2.0, True, "here")]

    @pytest.mark.parametrize(
        ("answers", "changes", "told"),
        [
            ([{HERE: 2}] * 4, {"isPaused": True}, []),
            ([{HERE: 0.5}] * 3, {"condition": "B"}, [(2.0, True, "here")]),
            ([{HERE: 0}] * 3, {"condition": "B"}, []),
            (
                [{HERE: 9}] * 4,
                {"data": [RULE["data"][0], {"refId": "B", "model": {"reducer": "count"}}, RULE["data"][2]]},
                [],
            ),
        ],
        ids=["paused", "a-number-is-true", "zero-is-not", "one-point-is-counted"],
    )
    def test_a_rule_that_is_set_otherwise_tells_otherwise(self, answers, changes, told):
        assert self.told(answers, **changes) == told

    @pytest.mark.parametrize("answer", [{}, ValueError("no JSON"), httpx.ConnectError("refused")])
    def test_missing_data_and_errors_mean_what_the_rule_says(self, answer):
        assert self.told([answer] * 4) == []
        assert self.told([answer] * 4, noDataState="Alerting", execErrState="Alerting") == [(2.0, True, None)]


def message(status, *, title="Redis down", **labels):
    alert = {
        "status": status,
        "labels": {"alertname": title, "grafana_folder": "Alerts", "severity": "critical", **labels},
        "annotations": {"summary": "Redis does not answer.", "runbook_url": "https://x/gwz-redis-down.md"},
        "values": {"B": 0, "C": 1} if status == "firing" else None,
        "startsAt": "2026-01-01T00:00:00Z",
        "dashboardURL": "http://g/d/x",
        "panelURL": "http://g/d/x?viewPanel=1",
    }
    return {"alerts": [alert]}


class TestWebhook:
    def test_changes_are_told_and_what_still_fires_is_not(self, free_port):
        with Webhook(free_port) as webhook:
            for status in ("firing", "firing", "resolved", "resolved", "firing"):
                assert httpx.post(webhook.url, json=message(status), trust_env=False).status_code == 200
            assert [(one.key.uid, one.firing) for one in webhook.notices()] == [
                ("gwz-redis-down", True), ("gwz-redis-down", False), ("gwz-redis-down", True),
            ]  # fmt: skip
            assert (webhook.notices()[0].since, webhook.notices()[0].value) == (1767225600.0, 0)
            assert webhook.notices()[1].value is None

    def test_another_path_is_not_the_receiver_s(self, free_port):
        with Webhook(free_port) as webhook:
            wrong = webhook.url.replace("/alerts", "/elsewhere")
            assert httpx.post(wrong, json=message("firing"), trust_env=False).status_code == 404
            assert webhook.notices() == []

    def test_an_alert_that_is_not_ours_goes_by_its_title(self):
        assert Key.of({"alertname": "DatasourceError", "job": "g", "__x__": "1"}) == ("DatasourceError", {("job", "g")})

    def test_alerts_of_a_rule_are_told_apart_by_their_labels(self):
        one, other = (Key.of({"alertname": "Provider down", "provider": name}) for name in ("a", "b"))
        notices = [Notice(one, True, 1, 1), Notice(other, True, 2, 2), Notice(one, False, 3, 1)]
        assert firing(notices) == {other}
        assert str(other) == "gwz-provider-down (provider=b)"


class TestTexts:
    def problems(self, **changes):
        texts = {
            "summary": "Redis has fallen below 30%! It does not answer.",
            "runbook_url": "https://x/gwz-redis-down.md",
            "dashboardURL": "http://g/d/x",
            "panelURL": "http://g/d/x?viewPanel=1",
        }
        return list(unreadable(Notice(Key("gwz-redis-down", frozenset()), True, 0.0, 0.0, texts={**texts, **changes})))

    def test_a_whole_text_has_nothing_to_complain_of(self):
        assert self.problems() == []

    @pytest.mark.parametrize("summary", ["", "[no value] is down", "at %!f(<nil>)", "<no value>", "it takes NaN"])
    def test_a_hole_in_the_summary_is_seen(self, summary):
        assert self.problems(summary=summary) == [f"its text reads {summary!r}"]

    def test_a_link_that_is_missing_or_another_s_is_seen(self):
        assert self.problems(runbook_url="https://x/gwz-no-logs.md", panelURL="") == [
            "its runbook is 'https://x/gwz-no-logs.md'", "it has no panelURL",
        ]  # fmt: skip


def test_a_past_is_a_counter_that_grew_steadily():
    text = history.steady_spending("gatewayz_x", 0.5, until=1000.0, seconds=60)
    head, *samples, end = text.splitlines()
    assert (head, end) == ("# TYPE credits_used counter", "# EOF")
    assert [tuple(map(float, line.rsplit(" ", 2)[1:])) for line in samples] == [
        (0.0, 940.0), (7.5, 955.0), (15.0, 970.0), (22.5, 985.0),
    ]  # fmt: skip
    assert 'job="gatewayz_x"' in samples[0]


@pytest.fixture
def free_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


class Slow(BaseHTTPRequestHandler):
    seen = threading.Semaphore(0)
    answering = threading.Event()

    def do_GET(self):
        type(self).seen.release()
        type(self).answering.wait(10)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_traffic_asks_until_it_is_told_to_stop_and_leaves_what_is_not_answered():
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server, Traffic() as traffic:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        traffic.begin("calm", url, [{"method": "GET", "url": "/"}], every_s=0.01)
        assert all(Slow.seen.acquire(timeout=10) for _ in range(3))
        assert traffic.answers("calm") == {}
        traffic.end("calm")
        Slow.answering.set()
        assert traffic.answers("calm") == {}
        traffic.begin("calm", url, [{"method": "GET", "url": "/"}], every_s=0.01)
        assert all(Slow.seen.acquire(timeout=10) for _ in range(50))
        traffic.end("calm")
        assert set(traffic.answers("calm")) == {"200"}
        server.shutdown()
        thread.join()


def test_each_alert_s_seconds_stand_in_the_report(tmp_path):
    sound = AlertProof("gwz-no-logs", "Loki is killed", 5, 0.3, 7.0, 1.7, 1.0, text="No line has come.")
    silent = AlertProof("gwz-redis-down", "Redis is killed", 2, problem="no message came")
    Report(alerts=[sound, silent]).write(tmp_path)
    one, other = json.loads((tmp_path / "report.json").read_text())["alerts"]
    assert (one["uid"], one["for_s"], one["fired_after_s"], one["resolved_after_s"], one["ok"]) == (
        *("gwz-no-logs", 5, 7.0, 1.0, True),
    )
    assert (other["fired_after_s"], other["problem"], other["ok"]) == (None, "no message came", False)
    html = (tmp_path / "report.html").read_text()
    assert "gwz-no-logs" in html
    assert "no message came" in html
