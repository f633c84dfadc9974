"""Asks the queries of all panels, one call for each data source, dashboard and range, and has those without data explained."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gwz_provision import frames
from gwz_provision.bundle import Json
from gwz_provision.check import contract
from gwz_provision.doctor import infinity, sources
from gwz_provision.doctor.asking import Empty, Verdict, unanswered
from gwz_provision.doctor.hops import hop_of, subject_of
from gwz_provision.doctor.loki import Loki
from gwz_provision.doctor.question import resolution
from gwz_provision.doctor.scene import Scene
from gwz_provision.doctor.tempo import Tempo
from gwz_provision.errors import ProvisionError, Refused
from gwz_provision.normalise import EXPRESSIONS
from gwz_provision.queries import INFINITY, Query
from gwz_provision.report import Hop

_Raw = Json | frames.Content | ProvisionError
"""An answer: the result of a query, what a search found, or why there is none."""


def ask(scene: Scene, asked: Sequence[Query]) -> None:
    """Ask all queries and record what became of each."""
    reachable = []
    for query in asked:
        if hop := scene.hindrance(query):
            scene.waits(query, hop)
        else:
            reachable.append(query)
    known = contract.load(scene.bundle.contract)
    empties: list[Empty] = []
    refusals: list[tuple[Query, Json]] = []
    answers = _answers(scene, reachable)
    for query in reachable:
        answer = answers[query.id]
        if isinstance(answer, Hop):
            scene.failed(query, answer)
        elif not isinstance(answer, frames.Content) and frames.error_of(answer):
            refusals.append((query, answer))
        elif not isinstance(answer, frames.Content) and query.kind == INFINITY:
            verdict = infinity.judged(query, scene.live[query.datasource], answer, known)
            scene.judged(query, frames.content_of(answer), verdict)
        else:
            content = answer if isinstance(answer, frames.Content) else frames.content_of(answer)
            if content.points:
                scene.judged(query, content, None)
            else:
                empties.append(Empty(query, content))
    _explain_refusals(scene, refusals, Counter(one.datasource for one in reachable))
    _explain_empties(scene, empties)


def _answers(scene: Scene, asked: Sequence[Query]) -> dict[str, Json | frames.Content | Hop]:
    calls: dict[tuple[str, ...], Callable[[], Mapping[str, _Raw]]] = {
        (one.id,): partial(_searched, scene, one) for one in asked if _searches(one)
    }
    batches: dict[tuple[str, ...], list[Query]] = {(one.id,): [one] for one in asked if _searches(one)}
    calculating = {(one.dashboard, one.panel) for one in asked if one.datasource in EXPRESSIONS}
    for query in asked:
        if not _searches(query):
            # What expressions calculate with has to come in the same call.
            together = str(query.panel) if (query.dashboard, query.panel) in calculating else query.datasource
            batches.setdefault((together, query.dashboard, query.since), []).append(query)
    calls |= {key: partial(_batch, scene, batch) for key, batch in batches.items() if key not in calls}
    found: dict[str, Json | frames.Content | Hop] = {}
    for key, answer in scene.asker.all(calls).items():
        source = _source(batches[key])
        for one in batches[key]:
            own = answer if isinstance(answer, ProvisionError) else answer[one.id]
            found[one.id] = (
                hop_of(own, "query", source, scene.live.get(source)) if isinstance(own, ProvisionError) else own
            )
    return found


def _source(batch: Sequence[Query]) -> str:
    """Return the data source that a call asks, expressions left aside."""
    return next((one.datasource for one in batch if one.datasource not in EXPRESSIONS), batch[0].datasource)


def _searches(query: Query) -> bool:
    """Tell whether only the browser asks such a query in Grafana 11.0: all of Tempo but a trace by its id."""
    return query.kind == "tempo" and query.target.get("queryType") != "traceId"


def _searched(scene: Scene, query: Query) -> Mapping[str, _Raw]:
    return {query.id: Tempo(scene.asker, scene.live[query.datasource]).search(query)}


def _batch(scene: Scene, batch: Sequence[Query]) -> Mapping[str, _Raw]:
    step, since = resolution(batch[0].since), batch[0].since
    if any(one.datasource in EXPRESSIONS for one in batch):
        # Its queries know one another by their own names.
        answer = scene.asker.reader.query([{**step, **one.target} for one in batch], since)
        return {one.id: answer.get(one.ref, unanswered(_source(batch))) for one in batch}
    return scene.asker.answers({one.id: {**step, **one.target} for one in batch}, since)


def _explain_refusals(scene: Scene, refusals: Sequence[tuple[Query, Json]], asked: Mapping[str, int]) -> None:
    """Name the hop behind each error; the words of an endpoint that failed are asked for once."""
    said = scene.asker.all(
        {
            (query.datasource, infinity.path_of(query)): partial(_words, scene, query)
            for query, result in refusals
            if query.kind == INFINITY and (infinity.status_of(result) or 0) >= 500
        }
    )
    hops = {query.id: _refusal(scene, query, result, said) for query, result in refusals}
    for uid in {query.datasource for query, _ in refusals}:
        mine = [query.id for query, _ in refusals if query.datasource == uid]
        if common := infinity.unmounted(uid, asked[uid], [hops[id_] for id_ in mine]):
            hops |= dict.fromkeys(mine, common)
    for query, _ in refusals:
        scene.failed(query, hops[query.id])


def _refusal(scene: Scene, query: Query, result: Json, said: Mapping[tuple[str, str], str | ProvisionError]) -> Hop:
    live, error = scene.live.get(query.datasource), frames.error_of(result)
    if live and query.kind == INFINITY:
        words = said.get((query.datasource, infinity.path_of(query)), "")
        return infinity.refused(query, live, result, "" if isinstance(words, ProvisionError) else words)
    return (live and sources.unreachable(live, error)) or Hop(
        "query",
        subject_of(query.id),
        f"{query.datasource} refused {query.text}: {error}",
        "Correct the query in the dashboard: `gwz-provision validate` explains it.",
    )


def _words(scene: Scene, query: Query) -> str:
    """Return the words with which an endpoint failed, if it says them to one without its token; empty if not."""
    try:
        scene.asker.reader.proxied(query.datasource, query.text.lstrip("/"))
    except Refused as error:
        return infinity.said(error)
    return ""


def _explain_empties(scene: Scene, empties: Sequence[Empty]) -> None:
    by_source: dict[str, list[Empty]] = {}
    for empty in empties:
        by_source.setdefault(empty.query.datasource, []).append(empty)
    for uid, mine in by_source.items():
        verdicts = _verdicts(scene, uid, mine)
        for empty in mine:
            scene.judged(empty.query, empty.content, verdicts[empty.query.id])


def _verdicts(scene: Scene, uid: str, mine: Sequence[Empty]) -> Mapping[str, Verdict]:
    kind = mine[0].query.kind
    try:
        if uid in scene.scraped:
            return scene.scraped[uid].diagnose(mine)
        if kind == "loki":
            return Loki(scene.asker, scene.live[uid]).diagnose(mine)
        if kind == "tempo":
            return Tempo(scene.asker, scene.live[uid]).diagnose(mine)
    except ProvisionError as error:
        return {one.query.id: hop_of(error, "query", uid, scene.live.get(uid)) for one in mine}
    return {
        one.query.id: Hop("query", subject_of(one.query.id), f"No data: {one.query.text}", "Ask it in Grafana.")
        for one in mine
    }
