"""What in a bundle Grafana would refuse in the middle of a run, often with a 500 and no reason, or bend in silence."""

import re
from collections import Counter
from collections.abc import Iterator

from gwz_provision import normalise, receivers
from gwz_provision.bundle import Bundle
from gwz_provision.resources import LABEL, PREFIX, Json, Kind

_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_NO_DATA_STATES = frozenset({"NoData", "OK", "Alerting", "KeepLast"})
_ERROR_STATES = frozenset({"Error", "OK", "Alerting", "KeepLast"})
_ROUTE_KEYS = frozenset({"receiver", *normalise.ROUTE_KEYS, *normalise.ROUTE_DURATIONS})


def structure(bundle: Bundle) -> list[str]:
    """List all of it."""
    return [
        *_name_problems(bundle),
        *(problem for group in bundle.rule_groups for problem in _group_problems(group, bundle)),
        *(problem for contact in bundle.contact_points for problem in _contact_problems(contact)),
        *(problem for item in bundle.routes for problem in _route_problems(item, bundle)),
        *(
            f"message template {name!r} has no {{{{ define }}}}: Grafana would wrap it in one of its own"
            for name, text in bundle.templates
            if "define" not in text
        ),
        *_folder_problems(bundle),
        *_default_problems(bundle),
        *(
            f"data source {item.get('uid')!r} has no {key}"
            for item in bundle.datasources
            for key in ("name", "type")
            if not item.get(key)
        ),
    ]


def _name_problems(bundle: Bundle) -> list[str]:
    named: list[tuple[Kind, str]] = [
        *(("folder", item.uid) for item in bundle.folders),
        *(("template", name) for name, _ in bundle.templates),
        *(("contact-point", str(item.get("uid", ""))) for item in bundle.contact_points),
        *(("dashboard", item.uid) for item in bundle.dashboards),
        *(("alert-rule", str(rule.get("uid", ""))) for group in bundle.rule_groups for rule in group.get("rules", [])),
    ]
    checked_there = {"folder", "dashboard"}
    return [
        *(
            f"{kind} uid {uid!r} does not begin with {PREFIX}: by that prefix we know what is ours"
            for kind, uid in named
            if kind != "dashboard" and not uid.startswith(PREFIX)
        ),
        *(
            f"{kind} uid {uid!r} is not 1 to 40 of [A-Za-z0-9_-]"
            for kind, uid in named
            if kind not in checked_there and not _UID.fullmatch(uid)
        ),
        *(
            f"{kind} uid {uid!r} occurs {count} times"
            for (kind, uid), count in Counter(named).items()
            if count > 1 and kind not in checked_there
        ),
    ]


def _default_problems(bundle: Bundle) -> Iterator[str]:
    defaults = [str(item.get("uid")) for item in bundle.datasources if item.get("isDefault")]
    if len(defaults) > 1:
        yield f"data sources {', '.join(defaults)} are all the default: only one can be"
    folders = {folder.uid for folder in bundle.folders}
    for item in bundle.dashboards:
        if item.uid in folders:
            yield f"dashboard {item.uid!r} has the uid of a folder: Grafana keeps them in one place"


def _folder_problems(bundle: Bundle) -> Iterator[str]:
    parents = {folder.uid: folder.parent for folder in bundle.folders}
    for folder in bundle.folders:
        if folder.parent and folder.parent not in parents:
            yield f"folder {folder.uid!r} is in folder {folder.parent!r}, which is not declared"
        seen, uid = {folder.uid}, folder.parent
        while uid in parents:
            if uid in seen:
                yield f"folder {folder.uid!r} is inside itself"
                break
            seen.add(uid)
            uid = parents[uid]
    for (parent, title), count in Counter((item.parent, item.title.strip()) for item in bundle.folders).items():
        if count > 1:
            yield f"{count} folders in {parent or 'the root'!r} are called {title!r}"


def _group_problems(group: Json, bundle: Bundle) -> Iterator[str]:
    where = f"rule group {group.get('name')!r}"
    if missing := [key for key in ("folder", "name", "interval", "rules") if not group.get(key)]:
        yield f"{where} has no {', '.join(missing)}"
        return
    if group["folder"] not in {folder.uid for folder in bundle.folders}:
        yield f"{where} is in folder {group['folder']!r}, which is not declared"
    if not _is_duration(group["interval"]) or normalise.milliseconds(group["interval"]) < 1000:
        yield f"{where} has the interval {group['interval']!r}, not a duration of at least 1s"
    for rule in group["rules"]:
        found = (*_rule_problems(rule), *_receiver_problems(rule, bundle))
        yield from (f"alert rule {rule.get('uid')!r} {problem}" for problem in found)
    titles = Counter(
        rule.get("title")
        for other in bundle.rule_groups
        if other.get("folder") == group["folder"]
        for rule in other.get("rules", [])
    )
    yield from (
        f"folder {group['folder']!r} has {count} alert rules {title!r}" for title, count in titles.items() if count > 1
    )


def _rule_problems(rule: Json) -> Iterator[str]:
    queries = rule.get("data") or []
    if not str(rule.get("title", "")).strip():
        yield "has no title"
    if not queries:
        yield "has no queries"
    if rule.get("condition") not in {query.get("refId") for query in queries}:
        yield f"has the condition {rule.get('condition')!r}, which none of its queries is called"
    yield from (problem for query in queries for problem in _query_problems(query))
    for key, states in (("noDataState", _NO_DATA_STATES), ("execErrState", _ERROR_STATES)):
        if rule.get(key, min(states)) not in states:
            yield f"has the {key} {rule[key]!r}, not one of {', '.join(sorted(states))}"
    if not _is_duration(str(rule.get("for", "0s"))):
        yield f"has for {rule['for']!r}, which is not a duration"
    if LABEL in (rule.get("labels") or {}):
        yield f"has the label {LABEL}, which is our mark"


def _receiver_problems(rule: Json, bundle: Bundle) -> Iterator[str]:
    settings = rule.get("notification_settings") or {}
    if settings and settings.get("receiver") not in {contact.get("name") for contact in bundle.contact_points}:
        yield f"sends to {settings.get('receiver')!r}, which is no contact point of the bundle"


def _query_problems(query: Json) -> Iterator[str]:
    window = query.get("relativeTimeRange") or {}
    if not query.get("datasourceUid"):
        yield f"has query {query.get('refId')!r} without datasourceUid"
    elif not normalise.is_expression(query) and window.get("from", 0) <= window.get("to", 0):
        yield f"has query {query.get('refId')!r} with the time range {window!r}, which ends before it begins"


def _contact_problems(contact: Json) -> Iterator[str]:
    where = f"contact point {contact.get('uid')!r}"
    if missing := [key for key in ("uid", "name", "type", "settings") if not contact.get(key)]:
        yield f"{where} has no {', '.join(missing)}"
    elif wrong := receivers.fault(contact["type"], contact["settings"]):
        yield f"{where} {wrong}"


def _route_problems(item: Json, bundle: Bundle) -> Iterator[str]:
    where = f"the route to {item.get('receiver')!r}"
    if item.get("receiver") not in {contact.get("name") for contact in bundle.contact_points}:
        yield f"{where} has a receiver that is no contact point of the bundle"
    if unknown := sorted({*item} - _ROUTE_KEYS):
        yield f"{where} has {', '.join(unknown)}, which we do not write"
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in item and not _is_duration(str(item[key])):
            yield f"{where} has {key} {item[key]!r}, which is not a duration"


def _is_duration(text: object) -> bool:
    try:
        normalise.milliseconds(str(text))
    except ValueError:
        return False
    return True
