"""The hops of the panels: what the load caused, what the load does not decide, and whether changed panels are seen."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from fastapi_app.load.ledger import Entry
from fastapi_app.load.plan import make_plan
from fastapi_app.load.workload import built_in
from gwz_dashboards.expectations import EXPECTATIONS, RULES, Expect
from gwz_dashboards.expectations.kinds import Origin, State, Told, Total
from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding, Hop
from gwz_e2e.panels import ghosts
from gwz_e2e.panels.answers import Asker, NotShown, Shown
from gwz_e2e.panels.boards import JOB, RULES_UID, Query, every_query, every_rule, filled
from gwz_e2e.panels.facts import Facts, Known, Scrapes, load_window, now_window, written_beside
from gwz_e2e.panels.judging import judge
from gwz_e2e.panels.mutations import Mutation, mutants
from gwz_e2e.panels.origins import Origins
from gwz_e2e.panels.survivors import explained
from gwz_e2e.panels.tallies import failed
from gwz_e2e.panels.verdicts import Verdict
from gwz_e2e.report import PanelProof
from gwz_e2e.scene import ENVIRONMENT
from gwz_instrument.semconv import endpoints, health

PANELS, OTHER_LEDGER, MUTATIONS, GHOSTS = HOPS = ("panels", "panels_other_ledger", "panel_mutations", "ghosts")
_AT_ONCE = 6
_OTHER_SEED = 7919
_ARRIVED_S = 25.0
"""What Tempo derives from spans reaches Prometheus some 15 s after the moment that it is of."""
_SCORE = 0.95
"""The least share of faults that has to be seen."""


@dataclass(frozen=True)
class Seen:
    """A query, what it was answered, and the verdict on it."""

    query: Query
    expect: Expect
    shown: Shown
    verdict: Verdict
    before: str = ""
    """What it showed before its origin was moved."""

    def reported(self) -> PanelProof:
        """The line of the report."""
        query, verdict = self.query, self.verdict
        kind = type(self.expect.kind).__name__
        return PanelProof(
            query.dashboard_title,
            int(query.panel["id"]),
            str(query.panel["title"]),
            str(query.target["refId"]),
            kind,
            verdict.expected,
            verdict.got,
            verdict.ok,
            self.before,
        )


@dataclass
class Proof:
    """The proof of one application's panels; what it saw stays for the report and for the mutations."""

    case: Case
    asker: Asker
    origins: Origins
    seen: list[Seen] = field(default_factory=list)
    _facts: Facts | None = None
    _moved: Facts | None = None

    @property
    def facts(self) -> Facts:
        """What the answers are held against."""
        if self._facts is None:
            case, window = self.case, load_window(self.case)
            scrapes, beside = Scrapes(case, window.end), written_beside(case, window)
            known = Known(case, window, choice(case), scrapes, beside)
            self._facts = Facts(known, self.case.ledger, {})
        return self._facts

    def panels(self) -> Finding:
        """Every query of every panel, and every recording rule, returns what the ledger says, or its origin."""
        began = time.monotonic()
        time.sleep(max(0.0, load_window(self.case).end + _ARRIVED_S - time.time()))
        caused = self._ask([one for one in everything() if not _is_origin(one[1])])
        self.seen = [*caused, *self._follow()]
        wrong = [f"{one.query}: {one.verdict}" for one in self.seen if not one.verdict.ok]
        kinds = Counter(type(one.expect.kind).__name__ for one in self.seen)
        return Finding(
            not wrong and len(self.seen) == len(everything()),
            shorten(wrong)
            or f"{self.asker.way}, {len(every_query())} queries and {len(RULES)} rules return what the ledger or their origin says: "
            f"{', '.join(f'{number} {kind}' for kind, number in sorted(kinds.items()))}; "
            f"each Origin was moved once, and its panel followed",
            {"panel_queries": len(every_query()), "panels_s": round(time.monotonic() - began, 1)},
        )

    def other_ledger(self) -> Finding:
        """The same answers are wrong by the ledger of another load, but for what no load changes."""
        facts = self.facts.of(other_entries(self.case))
        caused = [one for one in self.seen if not _is_origin(one.expect)]
        right = [one for one in caused if judge(one.query, one.expect, one.shown, facts).ok]
        unexplained = [one for one in right if not constant(one.expect)]
        share = 1 - len(right) / len(caused)
        return Finding(
            not unexplained,
            shorten([f"{one.query} is right by another ledger as well" for one in unexplained])
            or f"{len(caused) - len(right)} of {len(caused)} answers are wrong by the ledger of another load; the others are "
            f"the same for every load: {'; '.join(sorted({constant(one.expect) for one in right}))}",
            {"panels_red_by_another_ledger": round(share, 3)},
        )

    def mutations(self) -> Finding:
        """Queries, rules and panels that are made wrong are seen to be."""
        began = time.monotonic()
        control = self._ask([(one.query, one.expect) for one in self.seen])
        unsteady = [f"unchanged, {one.query} is wrong now: {one.verdict}" for one in control if not one.verdict.ok]
        changed = list(mutants(query for query, _ in everything()))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            caught = list(pool.map(self._is_caught, changed))
        survivors = [
            (mutation.name, query) for (mutation, query), found in zip(changed, caught, strict=True) if not found
        ]
        unexplained = [f"{name} in {query} is not seen" for name, query in survivors if not explained(name, query)]
        score = 1 - len(survivors) / len(changed)
        kinds = len({mutation.name for mutation, _ in changed})
        return Finding(
            not unsteady and not unexplained and score >= _SCORE,
            shorten(unsteady + unexplained)
            or f"of {len(changed)} faults of {kinds} kinds {len(changed) - len(survivors)} are seen ({score:.1%}), "
            f"{len(survivors)} change nothing that can be seen, each for a reason that is written down",
            {
                "panel_mutants": len(changed),
                "panel_mutation_kinds": kinds,
                "panel_mutation_score": round(score, 3),
                "panel_mutations_s": round(time.monotonic() - began, 1),
            },
        )

    def _ask(self, pairs: Sequence[tuple[Query, Expect]]) -> list[Seen]:
        """Ask queries at once; once more what is wrong, for a window may have moved on while it was compared."""

        def asked(pair: tuple[Query, Expect]) -> Seen:
            tries = (ask(self.asker, *pair, self._of(pair[1])) for _ in range(2))
            first = next(tries)
            return first if first.verdict.ok else next(tries)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(asked, pairs))

    def _of(self, expect: Expect) -> Facts:
        """What a query is held against: the load, or what the origins said when they were moved."""
        if _is_origin(expect) and self._moved is not None:
            return self._moved
        return self.facts

    def _follow(self) -> list[Seen]:
        """What the load does not decide, before it is moved and after: it says what its origin does, and has moved."""
        pairs = [one for one in everything() if _is_origin(one[1])]
        still = self.facts.now({})
        before = [ask(self.asker, query, expect, still) for query, expect in pairs]
        with self.origins.moved(now_window(0.0).rate_s) as said:
            self._moved = self.facts.now(said)
            after = self._ask(pairs)
            for one, other in zip(before, after, strict=True):
                if isinstance(one.expect.kind, Origin) and judge(one.query, one.expect, one.shown, self._moved).ok:
                    other.verdict.phrases.append(f"stands still at {one.verdict.got}")
        return [replace(other, before=one.verdict.got) for one, other in zip(before, after, strict=True)]

    def _is_caught(self, changed: tuple[Mutation, Query]) -> bool:
        mutation, query = changed
        expect = expectation(query)
        facts = self._of(expect)
        if mutation.asks:
            return not ask(self.asker, query, expect, facts).verdict.ok
        shown = next(one.shown for one in self.seen if one.query.id == query.id)
        return not judge(query, expect, shown, facts).ok


def everything() -> list[tuple[Query, Expect]]:
    """Every query of every panel and every recording rule, with its expectation."""
    return [(query, expectation(query)) for query in (*every_query(), *every_rule())]


def expectation(query: Query) -> Expect:
    """What is expected of a query."""
    return Expect(RULES[query.panel["title"]]) if query.dashboard == RULES_UID else EXPECTATIONS[query.key]


def ask(asker: Asker, query: Query, expect: Expect, facts: Facts) -> Seen:
    """Ask a query as it is shown with what was chosen, and judge the answer."""
    try:
        shown = asker.ask(filled(query, facts.known.chosen), facts.window)
    except NotShown as refused:
        return Seen(query, expect, Shown(), Verdict(got="refused", phrases=[str(refused)]))
    return Seen(query, expect, shown, judge(query, expect, shown, facts))


def choice(case: Case) -> dict[str, str | Sequence[str]]:
    """What a person has ticked: some of everything, so that a query that ignores it shows too much."""
    calls = [entry for entry in case.ledger if entry.provider is not None]
    providers, models = (sorted({str(getattr(entry, name)) for entry in calls}) for name in ("provider", "model"))
    outcomes = {name: {failed(entry) for entry in calls if entry.provider == name} for name in providers}
    searched = next((name for name in providers if len(outcomes[name]) > 1), providers[0])
    return {
        "environment": [JOB],
        "app": case.service,
        "env": [ENVIRONMENT],
        "service": [case.service],
        "level": "info",
        "search": searched.upper(),
        "path": ["/v1/chat/completions", "/v1/models/{model_name:path}"],
        "provider": providers[::2],
        "model": models[::2],
    }


def other_entries(case: Case) -> list[Entry]:
    """What another load would have caused: another seed, and another number of requests."""
    requests = len(case.ledger) + len(case.ledger) // 3 + 1
    return [planned.entry for planned in make_plan(_OTHER_SEED, requests, built_in(_OTHER_SEED))]


def constant(expect: Expect) -> str:
    """Why a query shows the same whatever the load was; empty for one that does not."""
    kind = expect.kind
    if isinstance(kind, Total) and kind.metric is health.DROPPED:
        return "no telemetry is lost"
    if isinstance(kind, Told) and kind.endpoint is endpoints.ANOMALIES:
        return "there is no day before the load that it could depart from"
    if isinstance(kind, Told) and kind.endpoint is endpoints.AVAILABILITY:
        return "a provider that answers most of its calls was up, and most do in every load"
    return ""


def _is_origin(expect: Expect) -> bool:
    return isinstance(expect.kind, Origin | State)


def hops(proof: Proof) -> list[Hop]:
    """What has to hold of the panels of an application whose other hops all hold."""
    return [
        Hop(PANELS, proof.panels),
        Hop(OTHER_LEDGER, proof.other_ledger, (PANELS,)),
        Hop(MUTATIONS, proof.mutations, (PANELS, OTHER_LEDGER)),
        Hop(GHOSTS, partial(ghosts.none, proof.case)),
    ]
