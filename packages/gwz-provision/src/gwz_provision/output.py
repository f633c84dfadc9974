"""What plan, apply and destroy print: lines for people, or one document."""

import json
from collections.abc import Iterable
from typing import Any

from gwz_provision.apply import Outcome
from gwz_provision.differences import CHANGED, SET, Field
from gwz_provision.plan import VERBS, Action, Plan
from gwz_provision.resources import Json

SCHEMA = 1
_LONGEST = 60
_MOST_FIELDS = 12


def plan_document(plan: Plan) -> Json:
    """Return a plan as the JSON document that is printed."""
    return {
        "schema": SCHEMA,
        "actions": [_entry(action) for action in plan.actions],
        "summary": plan.summary(),
        "warnings": list(plan.warnings),
    }


def outcome_document(outcomes: Iterable[Outcome], warnings: Iterable[str], error: str | None = None) -> Json:
    """Return what was done as the JSON document that is printed, after a failure too."""
    listed = list(outcomes)
    document: Json = {
        "schema": SCHEMA,
        "actions": [_outcome(outcome) for outcome in listed],
        "summary": outcome_summary(listed),
        "warnings": list(warnings),
    }
    return document if error is None else {**document, "error": error}


def outcome_summary(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count what was done by verb, and what was not."""
    summary: dict[str, int] = dict.fromkeys((*VERBS, "failed", "skipped"), 0)
    for outcome in outcomes:
        summary[{"done": outcome.action.verb, "kept": "unchanged"}.get(outcome.result, outcome.result)] += 1
    return summary


def plan_lines(plan: Plan) -> list[str]:
    """Write a plan for people: what is deleted first, then the rest in order, what stays only counted."""
    deletes = [action for action in plan.actions if action.verb == "delete"]
    others = [action for action in plan.actions if action.verb != "delete" and (action.writes or action.reason)]
    lines = [line for action in [*deletes, *others] for line in _action_lines(action)]
    return [*lines, sentence(plan.summary())]


def outcome_line(outcome: Outcome) -> str:
    """Write what became of an action."""
    action = outcome.action
    if outcome.result == "failed" and outcome.error is not None:
        return f"FAILED    {action.verb} {action.key}: {outcome.error.cause}\n          {outcome.error.cure}"
    words = action.verb if outcome.result == "done" else outcome.result
    return f"{words:9} {action.key}{': ' if outcome.reason else ''}{outcome.reason}"


def sentence(summary: dict[str, int]) -> str:
    """Write a summary."""
    counted = [f"{count} {verb}" for verb, count in summary.items() if count and verb != "unchanged"]
    return f"{', '.join(counted) or 'no changes'}; {summary['unchanged']} unchanged"


def text(document: Json) -> str:
    """Write a document."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def _entry(action: Action) -> Json:
    entry: Json = {
        "kind": action.key.kind,
        "uid": action.key.uid,
        "action": action.verb,
        "fields": [{"path": item.path, "before": item.before, "after": item.after} for item in action.fields],
    }
    return {**entry, "reason": action.reason} if action.reason else entry


def _outcome(outcome: Outcome) -> Json:
    entry = {**_entry(outcome.action), "result": outcome.result}
    if outcome.reason:
        entry["reason"] = outcome.reason
    if outcome.error is not None:
        entry["error"] = {"cause": outcome.error.cause, "cure": outcome.error.cure}
    return entry


def _action_lines(action: Action) -> list[str]:
    lines = [f"{action.verb:9} {action.key}{': ' if action.reason else ''}{action.reason}"]
    if action.verb in {"update", "move", "drift", "adopt"}:
        lines += [f"          {_field(item)}" for item in action.fields[:_MOST_FIELDS]]
        if (more := len(action.fields) - _MOST_FIELDS) > 0:
            lines.append(f"          and {more} more")
    return lines


def _field(item: Field) -> str:
    return f"{item.path}: {_short(item.before)} → {_short(item.after)}"


def _short(value: Any) -> str:
    written = str(value) if value in (CHANGED, SET) else json.dumps(value, ensure_ascii=False)
    return written if len(written) <= _LONGEST else f"{written[:_LONGEST]}…"
