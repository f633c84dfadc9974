"""The frame of alert rules, contact points and policies, as Grafana's files and its API write them."""
# ruff: noqa: SIM905 - words read best as words

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gwz_provision import receivers
from gwz_provision.check.asked import BUILT_IN, Json, Sources
from gwz_provision.check.documents import Document
from gwz_provision.check.findings import Finding, Place, Problem, suggestion

_OURS = frozenset({"generated", "note", "schema"})
_FILE = _OURS | frozenset(
    """apiVersion groups deleteRules contactPoints deleteContactPoints policies resetPolicies muteTimes deleteMuteTimes
    templates deleteTemplates routes""".split()
)
_GROUP = frozenset("orgId name title folder folderUid folder_uid interval rules".split())
_RULE = frozenset(
    """id guid uid orgID orgId title condition data dashboardUid dasboardUid panelId noDataState execErrState for
    keepFiringFor keep_firing_for annotations labels isPaused is_paused notification_settings notificationSettings
    record folderUID ruleGroup updated provenance missingSeriesEvalsToResolve missing_series_evals_to_resolve""".split()
)
_POLICY = frozenset(
    """orgId receiver group_by matchers object_matchers match match_re mute_time_intervals active_time_intervals
    continue group_wait group_interval repeat_interval routes provenance""".split()
)
_MEANT = {
    "notificationPolicies": "policies",
    "groupByStr": "group_by",
    "groupBy": "group_by",
    "group_by_str": "group_by",
}
# It is in every organisation from the start.
_GRAFANAS = frozenset({"grafana-default-email"})
_NO_DATA = frozenset({"NoData", "Alerting", "OK", "Ok", "KeepLast"})
_EXEC_ERROR = frozenset({"Error", "Alerting", "OK", "Ok", "KeepLast"})


def alerting(document: Document, sources: Sources) -> Iterator[Finding]:
    """Report what Grafana would refuse or ignore in a file of alerting resources."""
    content, place = document.content, Place(document.file)
    groups: list[Json] = []
    if "data" in content or "rules" in content:
        groups = [content if "rules" in content else {"rules": [content]}]
    elif not _is_alone(content):
        yield from _unknown(place, content, _FILE, "file")
        groups = content.get("groups", [])
        for group in groups:
            yield from _unknown(Place(document.file, title=str(group.get("name") or "")), group, _GROUP, "group")
    for policy in _policies(content):
        yield from _unknown(Place(document.file, title="policy"), policy, _POLICY, "policy")
    for contact in _contacts(content):
        kind, settings = contact.get("type", ""), contact.get("settings", {})
        if wrong := receivers.fault(kind, settings) if contact.get("name") else "has no name":
            cure = "Correct it: Grafana refuses it, and as a file it does not start."
            named = Place(document.file, title=str(contact.get("name") or contact.get("uid") or ""))
            yield named.finding(Problem("alert/receiver", f"the contact point {wrong}.", cure))
    yield from _rules(document.file, groups, sources)


def among(documents: Sequence[Document]) -> Iterator[Finding]:
    """Report each receiver and mute timing that a policy or a rule names and no file has, if any file has contact points."""
    contents = [one.content for one in documents if one.kind == "alerting"]
    there = {str(contact.get("name") or "") for content in contents for contact in _contacts(content)}
    timings = {str(one.get("name")) for content in contents for one in content.get("muteTimes") or ()}
    if not there:
        return
    for document in (one for one in documents if one.kind == "alerting"):
        for place, user in _users(document):
            named = [(str(user.get("receiver") or ""), "contact point", there | _GRAFANAS)]
            lists = [user.get(key) or () for key in ("mute_time_intervals", "active_time_intervals")]
            named += [(str(name), "mute timing", timings) for listed in lists for name in listed]
            for name, what, known in named:
                if name and name not in known:
                    cure = suggestion(name, known, f"There are {', '.join(sorted(known)) or 'none'}.")
                    yield place.finding(Problem("alert/receiver", f"there is no {what} {name}.", cure))


def _users(document: Document) -> Iterator[tuple[Place, Json]]:
    """List the policies, nested ones too, and what rules say of their notifications."""
    for policy in _policies(document.content):
        yield Place(document.file, title="policy"), policy
    for rule in rules_of(document.content):
        settings = rule.get("notification_settings") or rule.get("notificationSettings")
        if settings:
            yield Place(document.file, title=title(rule)), settings


def _is_alone(content: Json) -> bool:
    """Tell whether it is one contact point, or a tree of policies, as the API gives it."""
    return {"settings", "type"} <= content.keys() or "receiver" in content


def _contacts(content: Json) -> list[Json]:
    """List the contact points of a file, each with its name: a file of Grafana groups them, the API does not."""
    if {"settings", "type"} <= content.keys():
        return [content]
    points = content.get("contactPoints", ())
    grouped = [{**one, "name": point.get("name", "")} for point in points for one in point.get("receivers", ())]
    return [*(point for point in points if "receivers" not in point), *grouped]


def rules_of(content: Json) -> list[Json]:
    """Return the alert rules of a file, a group or a single rule."""
    if "data" in content:
        return [content]
    groups = [content] if "rules" in content else content.get("groups", ())
    return [rule for group in groups for rule in group.get("rules", ())]


def title(rule: Json) -> str:
    """Return the name under which people know a rule."""
    return str(rule.get("title") or rule.get("uid") or "")


def _policies(content: Json) -> Iterator[Json]:
    if "receiver" in content:
        yield from _routes(content)
        return
    found = content.get("policies") or content.get("notificationPolicies", [])
    for policy in [*(found if isinstance(found, list) else [found]), *content.get("routes", ())]:
        yield from _routes(policy)


def _routes(policy: Json) -> Iterator[Json]:
    yield policy
    for route in policy.get("routes", ()):
        yield from _routes(route)


def _unknown(place: Place, content: Mapping[str, Any], known: frozenset[str], owner: str) -> Iterator[Finding]:
    for key in map(str, content):
        if key not in known:
            cure = f"Write {_MEANT[key]}." if key in _MEANT else suggestion(key, known, "Remove it.")
            yield place.finding(Problem("alert/key", f"a {owner} has no key {key}, and it is ignored.", cure))


def _rules(file: str, groups: list[Json], sources: Sources) -> Iterator[Finding]:
    rules = [rule for group in groups for rule in group.get("rules", ())]
    uids = Counter(str(rule["uid"]) for rule in rules if rule.get("uid"))
    for rule in rules:
        place = Place(file, title=title(rule))
        yield from _unknown(place, rule, _RULE, "rule")
        if uids[str(rule.get("uid"))] > 1:
            yield place.finding(
                Problem(
                    "alert/uid", f"{uids[str(rule['uid'])]} rules have the uid {rule['uid']}.", "Give each its own."
                )
            )
        for problem in (*_frame(rule), *_data(rule, sources)):
            yield place.finding(problem)


def _frame(rule: Json) -> Iterator[Problem]:
    if not rule.get("title"):
        yield Problem("alert/title", "the rule has no title.", "Give it one.")
    for key, allowed in (("noDataState", _NO_DATA), ("execErrState", _EXEC_ERROR)):
        value = rule.get(key)
        if value not in allowed and "record" not in rule:
            sentence = f"{key} is {value!r}." if value else f"{key} is missing, and Grafana answers 500 without it."
            yield Problem("alert/state", sentence, f"Set it to one of {', '.join(sorted(allowed - {'Ok'}))}.")
    data = rule.get("data", ())
    refs = [item.get("refId", "") for item in data]
    if not data:
        yield Problem("alert/data", "the rule has no queries.", "Give it one, and an expression that decides.")
    elif rule.get("condition") not in refs:
        cure = f"Name one of {', '.join(refs)}."
        yield Problem(
            "alert/condition", f"the condition is {rule.get('condition')!r}, which is none of its queries.", cure
        )
    if len(set(refs)) < len(refs) or "" in refs:
        yield Problem(
            "alert/ref", f"the refIds are {', '.join(refs)}: one is missing or occurs twice.", "Name them A, B, C."
        )


def _data(rule: Json, sources: Sources) -> Iterator[Problem]:
    refs = {item.get("refId", "") for item in rule.get("data", ())}
    for item in rule.get("data", ()):
        uid, ref = item.get("datasourceUid", ""), item.get("refId", "")
        if not uid:
            yield Problem(
                "alert/datasource", f"query {ref} has no datasourceUid.", "Name the data source, or __expr__."
            )
        elif uid not in sources.types and uid not in BUILT_IN:
            cure = suggestion(uid, sources.types, f"There are {', '.join(sorted(sources.types)) or 'none'}.")
            yield Problem("datasource/uid", f"query {ref} asks the data source {uid}, which is not there.", cure)
        if uid in {"__expr__", "-100"}:
            yield from _expression(item, refs)
        elif wrong := _wrong_range(item.get("relativeTimeRange", {})):
            sentence = f"query {ref} looks from {wrong}: Grafana answers 500 unless from is before to."
            yield Problem(
                "alert/range", sentence, 'Set relativeTimeRange to {"from": 300, "to": 0}: seconds before now.'
            )


def _wrong_range(window: Json) -> str:
    """Write a time range that ends before it begins; empty when it is well."""
    start, end = window.get("from"), window.get("to", 0)
    if start is not None and start > end >= 0:
        return ""
    return f"{start} to {end} seconds before now" if window else "nowhere"


def _expression(item: Json, refs: set[str]) -> Iterator[Problem]:
    model = item.get("model", {})
    text = str(model.get("expression") or "")
    if model.get("type") in {"reduce", "threshold", "resample"} and text.lstrip("$").strip("{}") not in refs:
        cure = f"Name one of {', '.join(sorted(refs - {str(item.get('refId'))}))}."
        yield Problem(
            "alert/expression", f"expression {item.get('refId')} is over {text!r}, which is none of its queries.", cure
        )
