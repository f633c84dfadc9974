"""Brings what the bundle says and what Grafana shows to one form for each kind, so that only real differences differ."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gwz_provision.resources import LABEL, OWNER, Json

SHORTEST_REFRESH_SECONDS = 5
RULE_MARK = "__gwz__"
"""An annotation of this spelling is private: Grafana shows it neither in the browser nor in a notification."""
TEMPLATE_MARK = f"{{{{/* {OWNER} */}}}}\n"

_SOURCE_DEFAULTS: Json = {
    "access": "proxy",
    "url": "",
    "user": "",
    "database": "",
    "basicAuth": False,
    "basicAuthUser": "",
    "withCredentials": False,
    "isDefault": False,
    "jsonData": {},
}
_SOURCE_KEYS = ("uid", "name", "type", *_SOURCE_DEFAULTS)
_RULE_DEFAULTS: Json = {
    "noDataState": "NoData",
    "execErrState": "Error",
    "for": "0s",
    "labels": {},
    "annotations": {},
    "isPaused": False,
    "notification_settings": None,
}
_RULE_KEYS = ("uid", "folderUID", "ruleGroup", "title", "condition", "data", *_RULE_DEFAULTS)
ROUTE_KEYS = ("receiver", "object_matchers", "group_by", "continue", "mute_time_intervals")
ROUTE_DURATIONS = ("group_wait", "group_interval", "repeat_interval")
EXPRESSIONS = frozenset({"__expr__", "-100"})
"""What only calculates with other queries' answers, by its new and its old uid."""
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")


def milliseconds(text: str) -> int:
    """Read a duration as Prometheus writes it; raises `ValueError` for any other text."""
    if text in {"0", ""}:
        return 0
    if not re.fullmatch(r"(?:\d+(?:ms|[smhdwy]))+", text):
        raise ValueError(text)
    return sum(int(count) * _UNITS[unit] for count, unit in _DURATION.findall(text))


def duration(text: str) -> str:
    """Write a duration in the shortest form of Prometheus, as Grafana shows it: `90s` is `1m30s`, `24h` is `1d`."""
    left, parts = milliseconds(text), []
    if not left:
        return "0s"
    for unit, exactly in (
        ("y", True),
        ("w", True),
        ("d", False),
        ("h", False),
        ("m", False),
        ("s", False),
        ("ms", False),
    ):
        size = _UNITS[unit]
        if exactly and left % size:
            continue
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return "".join(parts)


def folder(title: str, parent: str) -> Json:
    """Return a folder's form."""
    return {"title": title.strip(), "parentUid": parent}


def datasource(source: Mapping[str, Any]) -> Json:
    """Return a data source's form: all fields that can be set, without our mark."""
    form = {key: source.get(key, _SOURCE_DEFAULTS.get(key)) for key in _SOURCE_KEYS}
    form["jsonData"] = {key: value for key, value in (form["jsonData"] or {}).items() if key != "gwz"}
    return form


def dashboard(model: Mapping[str, Any], folder_uid: str) -> Json:
    """Return a dashboard's form: what was sent, without what Grafana counts and without our mark, but with our tag."""
    form = {key: value for key, value in model.items() if key not in {"id", "version", "gwz"}}
    form["title"] = str(form.get("title", "")).strip()
    form["tags"] = sorted({*(form.get("tags") or [])})
    if refresh := form.get("refresh"):
        form["refresh"] = _refresh(refresh)
    return {"folderUid": folder_uid, "model": form}


def rule(source: Mapping[str, Any], interval: int) -> Json:
    """Return an alert rule's form, with the interval of its group in seconds and without our mark.

    Its place among the rules of the group is no part of it: Grafana evaluates those at the same time, and would have to
    be given the whole group, with the rules of others in it, to order them.
    """
    form = {key: source.get(key, _RULE_DEFAULTS.get(key)) for key in _RULE_KEYS}
    form["for"] = duration(str(form["for"] or "0s"))
    form["labels"] = dict(form["labels"] or {})
    form["annotations"] = {key: text for key, text in (form["annotations"] or {}).items() if key != RULE_MARK}
    form["data"] = [_query(query) for query in form["data"] or []]
    form["isPaused"] = bool(form["isPaused"])
    form["interval"] = interval
    return form


def contact_point(source: Mapping[str, Any]) -> Json:
    """Return an integration's form."""
    return {
        "name": source["name"],
        "type": source["type"],
        "settings": {key: value for key, value in (source.get("settings") or {}).items() if value != "[REDACTED]"},
        "disableResolveMessage": bool(source.get("disableResolveMessage")),
    }


def template(text: str) -> Json:
    """Return a message template's form: without our mark and the white space around it."""
    return {"template": text.removeprefix(TEMPLATE_MARK.strip()).strip()}


def route(source: Mapping[str, Any]) -> Json:
    """Return a route's form: without what is empty."""
    form = {key: source[key] for key in ROUTE_KEYS if source.get(key)}
    form |= {key: duration(str(source[key])) for key in ROUTE_DURATIONS if source.get(key)}
    if "object_matchers" in form:
        form["object_matchers"] = sorted(list(matcher) for matcher in form["object_matchers"])
    return form


def is_our_route(source: Mapping[str, Any]) -> bool:
    """Tell whether a route catches only alerts with our label."""
    return [LABEL, "=", OWNER] in [list(matcher) for matcher in source.get("object_matchers") or []]


def policy(routes: Iterable[Mapping[str, Any]]) -> Json:
    """Return the form of our routes."""
    return {"routes": [route(item) for item in routes]}


def _query(query: Mapping[str, Any]) -> Json:
    """Fill in what the server fills in."""
    model = dict(query.get("model") or {})
    model["intervalMs"] = model.get("intervalMs") or 1000
    model["maxDataPoints"] = model.get("maxDataPoints") or 43_200
    window = query.get("relativeTimeRange") or {}
    return {
        "refId": query.get("refId", ""),
        "datasourceUid": query.get("datasourceUid", ""),
        "queryType": query.get("queryType") or model.get("queryType") or "",
        "relativeTimeRange": {"from": window.get("from", 0), "to": window.get("to", 0)},
        "model": model,
    }


def is_expression(query: Mapping[str, Any]) -> bool:
    """Tell whether an alert query is computed by Grafana itself."""
    return query.get("datasourceUid") in EXPRESSIONS


def _refresh(refresh: object) -> object:
    """Raise an interval as Grafana does, silently."""
    try:
        short = 0 < milliseconds(str(refresh)) < 1000 * SHORTEST_REFRESH_SECONDS
    except ValueError:
        return refresh
    return f"{SHORTEST_REFRESH_SECONDS}s" if short else refresh
