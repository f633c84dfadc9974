"""What Prometheus refuses in a rule file, so that it loads none of it; a query that it cannot parse is told elsewhere."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gwz_provision.check.asked import Json
from gwz_provision.check.documents import Document
from gwz_provision.check.findings import Finding, Place, Problem, suggestion

_KEYS = {
    "rule file": frozenset({"groups"}),
    "group": frozenset({"name", "interval", "limit", "query_offset", "labels", "rules"}),
    "rule": frozenset({"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}),
}
_OF_ALERTS = ("for", "keep_firing_for", "annotations")
_DURATIONS = ("interval", "query_offset", "for", "keep_firing_for")
_DURATION = re.compile(r"0|(?=\d)(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?")


def recording(document: Document) -> Iterator[Finding]:
    """Report it, each in its group or rule."""
    groups = document.content.get("groups") or ()
    names = Counter(str(group.get("name") or "") for group in groups)
    for problem in (*_strangers("rule file", document.content), *_names(names)):
        yield Place(document.file).finding(problem)
    for group in groups:
        place = Place(document.file, title=str(group.get("name") or ""))
        yield from map(place.finding, _group(group))
        for rule in group.get("rules") or ():
            place = Place(document.file, title=str(rule.get("record") or rule.get("alert") or ""))
            yield from map(place.finding, _rule(rule))


def _names(names: Counter[str]) -> Iterator[Problem]:
    for name, count in names.items():
        if not name or count > 1:
            yield Problem("rule/group", f"{count} groups have the name {name!r}.", "Give each a name of its own.")


def _group(group: Json) -> Iterator[Problem]:
    yield from _common("group", group)
    if (limit := group.get("limit")) is not None and type(limit) is not int:
        yield Problem("rule/limit", f"the limit is {limit!r}, not a whole number.", "Write one, or leave it out.")


def _rule(rule: Json) -> Iterator[Problem]:
    yield from _common("rule", rule)
    if ("record" in rule) == ("alert" in rule):
        yield Problem("rule/name", "a rule has either record or alert.", "Keep one of them.")
        return
    if rule.get("expr") in {None, ""}:
        yield Problem("rule/expr", "the rule has no expr.", "Write its query there, in PromQL.")
    if "alert" in rule:
        return
    name = rule["record"]
    if not name or "{" in name or "}" in name:
        yield Problem(
            "rule/name", f"{name!r} is no name of a metric.", "Write level:metric:operation; labels go to labels."
        )
    for key in _OF_ALERTS:
        if rule.get(key):
            yield Problem("rule/key", f"a recording rule has no {key}, only an alerting one has.", "Remove it.")


def _common(owner: str, content: Json) -> Iterator[Problem]:
    yield from _strangers(owner, content)
    for key in _DURATIONS:
        value = content.get(key)
        if value is not None and not _DURATION.fullmatch(str(value)):
            yield Problem("rule/duration", f"{key} is {value!r}, not a duration.", "Write it as 30s or 1m30s.")
    for key in ("labels", "annotations"):
        if key in content and not _are_texts(content[key]):
            cure = "Write each as name: text; the name may be neither empty nor __name__."
            yield Problem("rule/labels", f"the {key} are not names with a text each.", cure)


def _are_texts(labels: Any) -> bool:
    return labels is None or (
        isinstance(labels, dict)
        and not {"", "__name__"} & labels.keys()
        and not any(isinstance(value, dict | list) for value in labels.values())
    )


def _strangers(owner: str, content: Json) -> Iterator[Problem]:
    for key in content:
        if key not in _KEYS[owner]:
            cure = suggestion(key, _KEYS[owner], "Remove it.")
            yield Problem("alert/key", f"a {owner} has no key {key}, and Prometheus loads none of the file.", cure)
