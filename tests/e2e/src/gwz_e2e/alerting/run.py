"""The alerts' part of a run: its hops, with a Grafana through its webhook, without one against the engines."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from gwz_dashboards.alerts import ALERTS_SHIPPED
from gwz_e2e import grafana
from gwz_e2e.alerting import divided, history, mutation_proof
from gwz_e2e.alerting.evaluation import Asking, Evaluation
from gwz_e2e.alerting.faults import TRIALS, Trial
from gwz_e2e.alerting.grafana_alerts import GrafanaAlerts
from gwz_e2e.alerting.notices import Observer, Webhook
from gwz_e2e.alerting.past import Past
from gwz_e2e.alerting.proof import LATER_S, Proof
from gwz_e2e.alerting.stalls import Stalls
from gwz_e2e.alerting.world import API, SPENDING, World, calm_usd_per_s, job
from gwz_e2e.compare import shorten
from gwz_e2e.grafana import Provision
from gwz_e2e.hops import Result
from gwz_e2e.reading import Reader
from gwz_e2e.report import AlertProof, NotProved
from gwz_e2e.stage import Stage, Tell
from gwz_instrument.semconv import inference
from gwz_stack import NativeStack, find
from gwz_stack.errors import ServerUnavailable, StackError, VersionRefused

QUIET, FIRE, RESOLVE, MUTATIONS = HOPS = ("alerts_quiet", "alerts_fire", "alerts_resolve", "alert_mutations")
DELIVERY = "alert delivery"

_SPENDING = "requests dear"
_LOST = "gwz-telemetry-lost"
_PAST_S = 30 * 60
"""A little more than the past that the rule on spending looks at, divided."""
_READY_S = 120.0
_POLL_S = 0.2
_STATED_S = 80
"""Longer than the longest window but one and its `for`. That one, of six hours, begins with the calm: its application is new."""


@dataclass(frozen=True)
class Proved:
    """What came of it."""

    hops: list[Result]
    alerts: list[AlertProof]
    not_proved: list[NotProved]


def prove(stage: Stage, stack: NativeStack, tell: Tell) -> Proved:
    """Give every alert its fault, in the supervisor's thread; through Grafana where there is one, and gwz-provision."""
    world = World.of(stage, stack)
    case = world.scenes[API].case
    bundle = stage.place.out / "config" / "alerts"
    divided.write_bundle(bundle)
    absent, command = grafana.absent(stage.place.urls), grafana.command()
    not_proved = [NotProved(DELIVERY, absent)] if absent else []
    provision = (
        grafana.provision_for(command, stage.place.urls, stack.grafana_password, case)
        if command and not absent
        else None
    )
    with ExitStack() as context:
        trials = dict(TRIALS)
        try:
            _import_past(world, tell)
        except (ServerUnavailable, VersionRefused) as error:
            trials.pop(_SPENDING)
            not_proved += [NotProved(sign.uid, f"its past needs promtool: {error}") for sign in TRIALS[_SPENDING].shows]
        context.enter_context(world.playing())
        tell("alerts: applications ready")
        _wait(stage, partial(_is_known, world), "Every signal of the calm traffic")
        rules = divided.rules(bundle)
        _wait(stage, partial(_is_forgotten, world, rules), "A window without what was lost before")
        api = Reader(case.app_url, case.tokens.api)
        observer = context.enter_context(_observing(world, api, provision, bundle))
        proof = Proof(observer, rules, partial(_pause, stage), shows_texts=provision is not None, tell=tell)
        past = context.enter_context(Past(stage.place.engines, api, mutation_proof.questions()).noting())
        hops, rows = _proved(world, proof, trials)
        over_at = time.time() + LATER_S
        _wait(stage, lambda: past.has(over_at), "The past after the last fault")
        past.end()
        hops.append(_mutated(past, proof, trials, hops))
        return Proved(hops, rows, not_proved)


def _proved(world: World, proof: Proof, trials: Mapping[str, Trial]) -> tuple[list[Result], list[AlertProof]]:
    through = "through Grafana's webhook" if proof.shows_texts else "by the engines' own answers"
    quiet = _quiet(world, proof, through)
    proof.tell(f"{QUIET}: {quiet.sentence}")
    if _SPENDING in trials:
        _wait(world.stage, partial(_has_past, world), "The imported past of spending")
    rows: list[AlertProof] = []
    for phase in sorted({trial.phase for trial in trials.values()}):
        together = {name: (trial, trial.make(world)) for name, trial in trials.items() if trial.phase == phase}
        rows += proof.together(together)
    return [quiet, *_results(rows, proof.strangers, through)], rows


def _mutated(past: Past, proof: Proof, trials: Mapping[str, Trial], before: Sequence[Result]) -> Result:
    if not all(result.ok for result in before):
        return Result(MUTATIONS, None, "not reached: the rules themselves are wrong", time.time())
    found = mutation_proof.prove(past, proof, trials)
    return Result(MUTATIONS, found.ok, found.sentence, time.time(), found.figures)


def _quiet(world: World, proof: Proof, through: str) -> Result:
    """What is told while nothing goes wrong, and whether nothing did."""
    with Stalls().watched() as stalls:
        fired = [f"{one} fired without a fault" for one in proof.quiet(_STATED_S)]
    answers = world.answers()
    wrong = [f"{name} answered {dict(counts)}" for name, counts in answers.items() if set(counts) != {"200"}]
    asked = sum(sum(counts.values()) for counts in answers.values())
    calm = f"in {_STATED_S} s of calm traffic, {asked} requests that were all answered 200"
    told = f"no alert fired {calm}; rules {divided.FACTOR} times as fast as shipped, {through}"
    if fired or wrong:
        wrong.append(f"this machine itself stood still for {stalls.longest_s:.2f} s at most")
    return _result(QUIET, [*fired, *wrong], told, {"calm_longest_stall_s": round(stalls.longest_s, 3)})


def _results(rows: Sequence[AlertProof], strangers: Sequence[str], through: str) -> Iterator[Result]:
    wrong = [f"{row.uid}: {row.problem}" for row in rows if row.problem]
    took = max((row.delivered_after_s for row in rows if row.delivered_after_s is not None), default=0.0)
    alerts = len({row.uid for row in rows})
    yield _result(
        FIRE,
        [*wrong, *(f"{stranger} fired, and no fault explains it" for stranger in strangers)],
        f"{alerts} of {len(ALERTS_SHIPPED)} alerts fired with their faults and no other did, at most {took:g} s after their `for`, {through}",
    )
    fired = [row for row in rows if row.fired_after_s is not None]
    if not fired:
        yield Result(RESOLVE, None, "not reached: no alert fired", time.time())
        return
    slowest = max((row.resolved_after_s for row in fired if row.resolved_after_s is not None), default=0.0)
    yield _result(
        RESOLVE,
        [f"{row.uid}: it never resolved" for row in fired if row.resolved_after_s is None],
        f"{len({row.uid for row in fired})} alerts resolved once their faults had ended, the last {slowest:g} s after that",
    )


def _result(hop: str, phrases: list[str], otherwise: str, figures: Mapping[str, float] | None = None) -> Result:
    return Result(hop, not phrases, shorten(phrases) or otherwise, time.time(), figures or {})


@contextmanager
def _observing(world: World, api: Reader, provision: Provision | None, bundle: Path) -> Iterator[Observer]:
    """Have the rules evaluated, by Grafana or by us, for as long as the context lasts."""
    place = world.stage.place
    if provision is None:
        with Evaluation(divided.rules(bundle), Asking(place.engines, api).ask).observing() as evaluation:
            yield evaluation
        return
    webhook = Webhook(world.stage.ports("webhook")["webhook"])
    observer = GrafanaAlerts(webhook, str(place.urls.grafana), provision.password)
    with observer.observing():
        code, _, complaint = replace(provision, alert_webhook=webhook.url).run("apply", "--bundle", str(bundle))
        if code:
            raise StackError(
                "The divided alerts could not be applied.",
                cause=f"gwz-provision says: {complaint[-300:]}",
                cure=f"Run `gwz-provision apply --bundle {bundle}`.",
            )
        yield observer


def _import_past(world: World, tell: Tell) -> None:
    """Give the application that will spend too much a past of usual spending; raises as find() does."""
    out = world.stage.place.out
    text = history.steady_spending(job(SPENDING), calm_usd_per_s(SPENDING), until=time.time(), seconds=_PAST_S)
    promtool = find("promtool", progress=tell)
    history.import_block(promtool, text, scratch=out / "data" / "past", data=out / "data" / "prometheus")


def _is_known(world: World) -> bool:
    """Whether metrics, lines and spans of each application have arrived."""
    engines = world.stage.place.engines
    services = {scene.case.service for scene in world.scenes.values()}
    scraped = {labels[0] for labels in engines.prometheus.totals('up{job=~"gatewayz_.+"} == 1', "job")}
    spans = {labels[0] for labels in engines.prometheus.totals("traces_spanmetrics_calls_total", "service")}
    return (
        {job(name) for name in world.scenes} <= scraped
        and services <= spans
        and all(engines.loki.lines(f'{{app="{service}"}}', time.time() - 60, time.time()) for service in services)
    )


def _is_forgotten(world: World, rules: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the spans and lines that earlier hops had killed a server of have left the window of the rule on losses."""
    (asked, *_) = rules[_LOST]["data"]
    found = world.stage.place.engines.prometheus.query(asked["model"]["expr"])
    return not any(one.value for one in found)


def _has_past(world: World) -> bool:
    """Whether Prometheus has found the past that was imported."""
    asked = f'{inference.CREDITS.name}{{instance="{history.INSTANCE}"}} offset 20m'
    return bool(world.stage.place.engines.prometheus.query(asked))


def _wait(stage: Stage, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if holds():
                return
        _pause(stage)
    raise StackError(
        f"{what} did not come within {_READY_S:.0f} s.",
        cause="A server is slow, or an application is broken.",
        cure=f"Look at {stage.place.out / 'logs'}.",
    )


def _pause(stage: Stage) -> None:
    stage.watch()
    time.sleep(_POLL_S)
