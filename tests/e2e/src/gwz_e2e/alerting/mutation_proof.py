"""Makes rules wrong, one after the other, and tries each on what the data sources answered during the trial."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwz_dashboards import runbooks
from gwz_dashboards.json_queries import API_UID
from gwz_e2e.alerting import divided, routing
from gwz_e2e.alerting.evaluation import Question, question
from gwz_e2e.alerting.mutations import ROUTE_MUTATIONS, SURVIVORS, mutants
from gwz_e2e.alerting.past import Past
from gwz_e2e.alerting.proof import Proof
from gwz_e2e.alerting.routing import Routing
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding

_AT_ONCE = 4
_SCORE = 0.95
"""The least share of faults that has to be seen."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a rule, or with the routes."""

    name: str
    uid: str
    behaves: str = ""
    """By what it would have told during the trial."""
    says: str = ""
    """By what is written down of it."""

    @property
    def seen(self) -> bool:
        """Whether anything is."""
        return bool(self.behaves or self.says)


def questions() -> set[Question]:
    """What rules, and rules that were made wrong, ask the JSON endpoints."""
    rules = runbooks.shipped()
    asked = [rule["data"][0] for rule in (*rules.values(), *(rule for _, _, rule in mutants(rules)))]
    return {question(query["model"]) for query in asked if query["datasourceUid"] == API_UID}


def prove(past: Past, proof: Proof, trials: Mapping[str, Any]) -> Finding:
    """Rules and routes that are made wrong are seen to be, on what was answered during the trial that `proof` made."""
    began = time.monotonic()
    rules = {uid: rule for uid, rule in runbooks.shipped().items() if uid in _tried(trials)}
    control = [_verdict(past, proof, "unchanged", uid, rule) for uid, rule in rules.items()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda one: _verdict(past, proof, one[0].name, *one[1:]), mutants(rules)))
    found += _misrouted()
    wrong = [f"unchanged, {one.uid} is wrong: {one.behaves or one.says}" for one in control if one.seen]
    survivors = [one for one in found if not one.seen]
    wrong += [f"{one.name} in {one.uid} is not seen" for one in survivors if not SURVIVORS.get((one.name, one.uid))]
    return _finding(found, wrong, time.monotonic() - began)


def _finding(found: list[Verdict], wrong: list[str], took_s: float) -> Finding:
    seen = [one for one in found if one.seen]
    behaving = sum(bool(one.behaves) for one in found)
    score, kinds = len(seen) / len(found), len({one.name for one in found})
    return Finding(
        not wrong and score >= _SCORE,
        shorten(wrong)
        or f"of {len(found)} faults of {kinds} kinds {len(seen)} are seen ({score:.1%}), {behaving} of them by what the rule "
        f"would have told during the trial; {len(found) - len(seen)} change nothing that can be seen, each for a reason that is written down",
        {
            "alert_mutants": len(found),
            "alert_mutation_kinds": kinds,
            "alert_mutation_score": round(score, 3),
            "alert_mutants_seen_by_behaviour": behaving,
            "alert_mutations_s": round(took_s, 1),
        },
    )


def _tried(trials: Mapping[str, Any]) -> set[str]:
    """The rules that were given a fault."""
    return {sign.uid for trial in trials.values() for sign in trial.shows}


def _verdict(past: Past, proof: Proof, name: str, uid: str, rule: Mapping[str, Any]) -> Verdict:
    told = past.notices(uid, divided.faster(rule))
    return Verdict(
        name, uid, behaves=shorten(list(proof.problems(uid, told))), says=shorten(list(runbooks.problems(rule)))
    )


def _misrouted() -> Iterator[Verdict]:
    sound = _routing(divided.SHIPPED)
    yield from (
        Verdict(name, "the routes", says=shorten(list(routing.problems(make_wrong(sound)))))
        for name, make_wrong in ROUTE_MUTATIONS.items()
    )


def _routing(bundle: Path) -> Routing:
    policies, points = (
        json.loads((bundle / name).read_text(encoding="utf-8")) for name in ("policies.json", "contact-points.json")
    )
    return Routing(policies["routes"], points["contactPoints"])
