"""The order of an examination: the way to the data sources, what they scrape, the variables, the queries, the alerts."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gwz_provision import recording
from gwz_provision.bundle import Bundle, Json
from gwz_provision.check import contract
from gwz_provision.check.promql import Matcher
from gwz_provision.doctor import alerts, choosing, entry, panels, reaching, trees
from gwz_provision.doctor.asking import Asker
from gwz_provision.doctor.hops import hop_of
from gwz_provision.doctor.prometheus import Prometheus
from gwz_provision.doctor.question import Question, seconds_of
from gwz_provision.doctor.scene import Scene
from gwz_provision.errors import ProvisionError
from gwz_provision.queries import Query, queries
from gwz_provision.recording import selectors
from gwz_provision.report import Hop, Report

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Reader


# One question may take this part of the time for all: a server that hangs must not eat up the others' share.
_SHARES = 4


def examine(bundle: Bundle, reader: "Reader", question: Question) -> Report:
    """Ask every query of the bundle and say which hop is the first broken one; raises only for a wrong question."""
    question.check(bundle)
    began, scene = time.monotonic(), Scene(bundle, Asker(reader), question, Report())
    with reader.within(question.seconds, question.seconds / _SHARES):
        if entry.enter(scene.asker, scene.report):
            _examine(scene)
    scene.report.requests = reader.calls.total
    scene.report.seconds = time.monotonic() - began
    return scene.report


def _examine(scene: Scene) -> None:
    reader = scene.asker.reader
    alerting = {"rules": reader.rules, "contacts": reader.contact_points} if scene.bundle.rule_groups else {}
    lists = scene.asker.all({"datasources": reader.datasources, "search": reader.search, **alerting})
    found = {name: _listed(scene, answer) for name, answer in lists.items()}
    if found["datasources"] is None:
        return
    scene.live = {item["uid"]: item for item in found["datasources"]}
    asked = reaching.settled(
        scene, [one for board in scene.bundle.dashboards for one in queries(board, scene.question.since)]
    )
    wanted = reaching.wanted(scene, asked)
    scene.broken = entry.failing(scene.asker, wanted, scene.live, scene.ours, scene.report)
    if (hits := found["search"]) is not None:
        _dashboards(scene, [hit["uid"] for hit in hits])
    for uid in wanted:
        if uid not in scene.broken and scene.live[uid]["type"] == "prometheus":
            _scrapes(scene, uid, [one for one in asked if one.datasource == uid])
    panels.ask(scene, choosing.chosen(scene, asked))
    rules, contacts = found.get("rules"), found.get("contacts")
    if rules is not None and contacts is not None:
        alerts.examine(scene, rules, contacts)


def _listed(scene: Scene, answer: list[Json] | ProvisionError) -> list[Json] | None:
    if not isinstance(answer, ProvisionError):
        return answer
    scene.report.fail(hop_of(answer, "grafana", ""))
    return None


def _dashboards(scene: Scene, there: Sequence[str]) -> None:
    missing = [board.uid for board in scene.bundle.dashboards if board.uid not in there]
    if missing:
        cause = f"Grafana has no dashboard {', '.join(missing)}."
        scene.report.fail(Hop("dashboards", "", cause, "Run `gwz-provision apply`."))
    else:
        scene.report.well("dashboards")


def _scrapes(scene: Scene, uid: str, asked: Sequence[Query]) -> None:
    """Look at what a Prometheus scrapes and has loaded, before any answer of its can be judged."""
    declared, known = recording.expressions(scene.bundle), contract.load(scene.bundle.contract)
    live, watched = scene.live[uid], _watched(scene.bundle, uid, asked)
    try:
        prometheus = Prometheus(scene.asker, live, known, declared=declared, watched=watched)
    except ProvisionError as error:
        scene.broken[uid] = hop_of(error, "health", uid, live)
        scene.report.fail(scene.broken[uid])
        return
    scene.scraped[uid] = prometheus
    read = [name for name, uids in recording.needed(scene.bundle).items() if uid in uids]
    for kind, hops in (("target", prometheus.unscraped()), ("rule", prometheus.unrecorded(read))):
        found = list(hops)
        for hop in found:
            scene.report.fail(hop)
        if not found:
            scene.report.well(f"{kind}:{uid}")
    _retention(scene, uid, prometheus, asked)


def _watched(bundle: Bundle, uid: str, asked: Sequence[Query]) -> list[tuple[Matcher, ...]]:
    """List the conditions under which the bundle's panels and alert rules look at `up`."""
    texts = [one.text for one in asked]
    texts += [
        str(item["model"].get("expr") or "") for _, item in alerts.queries(bundle) if item["datasourceUid"] == uid
    ]
    parsed = [tree for text in texts if "up" in text and "$" not in text and (tree := trees.of_promql(text))]
    found = [trees.plain(one) for tree in parsed for one in selectors(tree) if one.name == "up"]
    return list(dict.fromkeys(one.matchers for one in found))


def _retention(scene: Scene, uid: str, prometheus: Prometheus, asked: Sequence[Query]) -> None:
    longest = max(asked, key=lambda one: seconds_of(one.since), default=None)
    if longest is None or seconds_of(longest.since) <= prometheus.seconds:
        scene.report.well(f"retention:{uid}")
        return
    cause = f"Prometheus keeps samples for {prometheus.scrapes.retention}, and dashboard {longest.dashboard} shows the range {longest.since}."
    cure = "Raise --storage.tsdb.retention.time of Prometheus, or look at a shorter range (--from)."
    scene.report.fail(Hop("retention", uid, cause, cure))
