"""Holds an alert rule against what is written down apart from it: its page, and the panel that it links to.

So a threshold, a window or a severity that somebody changes by mistake is one that its page says otherwise.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gwz_dashboards.alerts import RUNBOOKS, alert_files
from gwz_dashboards.common import ALERTS, finished
from gwz_dashboards.generate import pages

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "runbooks"
"""The pages."""
INTERVAL = "1m"
"""How often every rule is evaluated."""
REDUCER = "last"
"""What every rule takes of its points: an instant query answers with one."""

_SIGNS = {"gt": ">", "lt": "<"}
_WINDOW = re.compile(r"\[(\w+)\]| offset (\w+)")
_HOLE = re.compile(r"\$values\.(?!B\.Value)|\$labels\.(?!instance|job|provider|reason|signal)")
_MISSING = {
    ("OK", "OK"): "No data, or an error of the data source, does not fire it",
    ("Alerting", "Alerting"): "No data, or an error of the data source, fires it too.",
}
_OF_JSON = ("url", "url_options", "root_selector", "parser")

Json = Mapping[str, Any]


def shipped() -> dict[str, dict[str, Any]]:
    """Return every rule by its uid, with its `group`: name, folder and interval."""
    return {
        rule["uid"]: {**rule, "group": {key: group[key] for key in ("name", "folder", "interval")}}
        for document in alert_files().values()
        for group in document["groups"]
        for rule in group["rules"]
    }


def problems(rule: Json) -> Iterator[str]:
    """Tell in what a rule, as `shipped` has it, differs from what its page and its panel say."""
    page = FOLDER / f"{rule['uid']}.md"
    if not page.is_file():
        yield f"it has no page {page.name}"
        return
    text = page.read_text(encoding="utf-8")
    yield from (f"its page does not say {sentence!r}" for sentence in _said(rule) if sentence not in text)
    yield from _wrong_settings(rule)
    yield from _wrong_panel(rule)


def _said(rule: Json) -> Iterator[str]:
    """The sentences of its page that say what it is."""
    labels, (condition,) = rule["labels"], rule["data"][-1]["model"]["conditions"]
    yield f"# {rule['title']}\n"
    yield f"Alert `{rule['uid']}`, {labels.get('severity')}, team {labels.get('team')}.\n"
    evaluator = condition["evaluator"]
    due = f"`{_SIGNS[evaluator['type']]} {evaluator['params'][0]:g}`"
    seen = f", seen over {windows}" if (windows := _windows(rule)) else ""
    yield f"It is due at {due}{seen}, and fires after `{rule['for']}`.\n"
    if panel := _panel(rule):
        yield f"*{panel['title']}* of *{panel['dashboard']}* shows it.\n"
    yield _MISSING.get((rule["noDataState"], rule["execErrState"]), "No data is one thing, an error another.")


def _windows(rule: Json) -> str:
    """The windows of its query, and how long ago those end that do not end now, each once."""
    found = _WINDOW.findall(str(rule["data"][0]["model"].get("expr", "")))
    windows = [f"`{window}`" for window, _ in found if window]
    return ", ".join(dict.fromkeys([*windows, *(f"`{offset}` ago" for _, offset in found if offset)]))


def _wrong_settings(rule: Json) -> Iterator[str]:
    group, notes, (asked, *steps) = rule["group"], rule["annotations"], rule["data"]
    if (group["folder"], group["interval"]) != (ALERTS.uid, INTERVAL):
        yield f"it is evaluated every {group['interval']} in the folder {group['folder']}"
    if group["name"] != f"gwz-{rule['labels'].get('team')}":
        yield f"it is in the group {group['name']}"
    if rule["isPaused"]:
        yield "it is paused"
    if rule["condition"] != steps[-1]["refId"]:
        yield f"its condition is {rule['condition']}"
    if (reducer := steps[0]["model"]["reducer"]) != REDUCER:
        yield f"it takes the {reducer} of its points"
    if asked["relativeTimeRange"]["to"]:
        yield f"it asks about {asked['relativeTimeRange']['to']} s ago"
    if set(rule["labels"]) != {"severity", "team"}:
        yield f"its labels are {', '.join(sorted(rule['labels']))}"
    if notes["runbook_url"] != f"{RUNBOOKS}/{rule['uid']}.md":
        yield f"it leads to the page {notes['runbook_url']}"
    if not notes["summary"] or _HOLE.search(notes["summary"]):
        yield f"its text has a hole: {notes['summary']}"


def _wrong_panel(rule: Json) -> Iterator[str]:
    """It is there; and a rule on a JSON endpoint asks what the panel asks."""
    panel, model = _panel(rule), rule["data"][0]["model"]
    if panel is None:
        yield "its panel is not there"
    elif "url" in model and not any(
        all(target.get(name) == model[name] for name in _OF_JSON) for target in panel.get("targets", [])
    ):
        yield f"its panel {panel['title']} asks something else"


def _panel(rule: Json) -> dict[str, Any] | None:
    notes = rule["annotations"]
    return _panels().get((notes["__dashboardUid__"], notes["__panelId__"]))


@cache
def _panels() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (page.uid, str(panel["id"])): {**panel, "dashboard": page.title}
        for page in pages()
        for panel in finished(page)["panels"]
    }
