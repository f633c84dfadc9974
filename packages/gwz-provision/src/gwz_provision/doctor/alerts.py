"""Asks the queries of all alert rules once, and checks that the rules are there and that their alerts reach somebody."""

from collections.abc import Sequence
from functools import partial

from gwz_provision import frames, normalise
from gwz_provision.bundle import Bundle, Json
from gwz_provision.doctor import infinity, receivers, sources
from gwz_provision.doctor.hops import hop_of, subject_of
from gwz_provision.doctor.scene import Scene
from gwz_provision.errors import ProvisionError
from gwz_provision.queries import INFINITY, Query
from gwz_provision.report import Hop

_DEFAULT_SECONDS = 600


def examine(scene: Scene, rules: Sequence[Json], contacts: Sequence[Json]) -> None:
    """Check the alert rules of the bundle and their receivers against those that Grafana has."""
    wanted = list(dict.fromkeys(rule["uid"] for rule, _ in queries(scene.bundle)))
    missing = [uid for uid in wanted if uid not in {rule["uid"] for rule in rules}]
    if missing:
        cause = f"Grafana lacks {len(missing)} of {len(wanted)} alert rules: {', '.join(missing)}."
        scene.report.fail(Hop("alert-rules", "", cause, "Run `gwz-provision apply`."))
    else:
        scene.report.well("alert-rules")
    _ask(scene)
    hops, note = receivers.judged(scene.bundle, [str(item["name"]) for item in contacts])
    for hop in hops:
        scene.report.fail(hop)
    if not hops:
        scene.report.note("receiver", note)


def queries(bundle: Bundle) -> list[tuple[Json, Json]]:
    """List the queries of all alert rules with their rules, without the expressions that calculate with their answers."""
    return [
        (rule, item)
        for group in bundle.rule_groups
        for rule in group.get("rules") or []
        for item in rule.get("data") or []
        if not normalise.is_expression(item)
    ]


def _ask(scene: Scene) -> None:
    batches: dict[tuple[str, str], dict[str, Json]] = {}
    for rule, item in queries(scene.bundle):
        uid, id_ = item["datasourceUid"], f"alert-rule:{rule['uid']}/{item['refId']}"
        if uid in scene.broken:
            scene.report.fail(scene.broken[uid], id_)
        elif uid in scene.live:
            since = f"now-{(item.get('relativeTimeRange') or {}).get('from') or _DEFAULT_SECONDS}s"
            source = {"uid": uid, "type": scene.live[uid]["type"]}
            batches.setdefault((uid, since), {})[id_] = {**item["model"], "datasource": source}
        else:
            cause = f"The alert rule asks data source {uid}, which neither Grafana nor the bundle has."
            scene.report.fail(Hop("alert-rule", subject_of(id_), cause, "Correct its datasourceUid."))
    answers = scene.asker.all({key: partial(scene.asker.answers, each, key[1]) for key, each in batches.items()})
    for (uid, since), answer in answers.items():
        for id_, target in batches[uid, since].items():
            own = answer if isinstance(answer, ProvisionError) else answer[id_]
            if hop := _broken(id_, target, scene.live[uid], own):
                # Where an application has none of its paths, that is one hop.
                scene.report.fail(scene.report.broken.get(f"{hop.kind}:{uid}", hop), id_)
            else:
                scene.report.well(id_)


def _broken(id_: str, target: Json, live: Json, answer: Json | ProvisionError) -> Hop | None:
    if isinstance(answer, ProvisionError):
        return hop_of(answer, "query", live["uid"], live)
    return _refusal(id_, target, live, answer) if frames.error_of(answer) else None


def _refusal(id_: str, target: Json, live: Json, result: Json) -> Hop:
    if live["type"] == INFINITY:
        return infinity.refused(Query("", 0, "", live["uid"], INFINITY, target), live, result)
    error = frames.error_of(result)
    return sources.unreachable(live, error) or Hop(
        "alert-rule",
        subject_of(id_),
        f"The query of the alert rule fails: {error}.",
        "Correct it: `gwz-provision validate` explains it.",
    )
