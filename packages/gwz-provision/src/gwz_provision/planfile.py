"""A plan on disk: what was decided, and by which it is known whether it still holds."""

import json
from pathlib import Path
from typing import Any

from gwz_provision import forms, reading
from gwz_provision.errors import Misconfigured, Stale
from gwz_provision.plan import Action, Options, Plan
from gwz_provision.resources import Json, Wanted, fingerprint

SCHEMA = 1


def document(plan: Plan, options: Options, url: str) -> Json:
    """Return what is written: no secret, and not even a fingerprint of one."""
    return {
        "schema": SCHEMA,
        "grafana": url,
        "options": {"prune": options.prune, "adopt": options.adopt},
        "actions": [_entry(action) for action in plan.actions],
    }


def save(file: Path, content: Json) -> None:
    """Write a plan; raises `Misconfigured` when the file cannot be written."""
    try:
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise Misconfigured(
            [f"--out {file} cannot be written: {error.strerror}"], "Name a file in a folder that exists."
        ) from error


def load(file: Path) -> Json:
    """Read a plan; raises `Misconfigured` when it is none."""
    cure = "Name a file that `gwz-provision plan --out` wrote."
    try:
        content, problems = reading.fitted(reading.json_of(file.read_bytes()), forms.PLAN)
    except OSError as error:
        raise Misconfigured([f"--plan {file} cannot be read: {error.strerror}"], cure) from error
    except ValueError as error:
        raise Misconfigured([f"--plan {file} cannot be read: {error}"], cure) from error
    if not problems and content["schema"] != SCHEMA:
        problems = [f"it is of schema {content['schema']}, not {SCHEMA}"]
    if problems:
        raise Misconfigured([f"--plan {file} is no plan: {problem}" for problem in problems], cure)
    return dict(content)


def options(content: Json) -> Options:
    """Return what the person decided when the plan was made."""
    return Options(prune=content["options"]["prune"], adopt=content["options"]["adopt"])


def require_current(content: Json, plan: Plan, url: str) -> None:
    """Raise `Stale` when Grafana or the bundle has moved since the plan was made."""
    if content["grafana"] != url:
        raise Stale(
            f"The plan was made for {content['grafana']}, and GRAFANA_URL is {url}. Nothing was written.",
            "Make the plan anew.",
        )
    before = {(entry["kind"], entry["uid"]): entry for entry in content["actions"]}
    now = {(action.key.kind, action.key.uid): _entry(action) for action in plan.actions}
    moved = [
        f"{kind} {uid}" for kind, uid in sorted({*before, *now}) if before.get((kind, uid)) != now.get((kind, uid))
    ]
    if moved:
        raise Stale(
            f"Since the plan was made, these have changed in Grafana or in the bundle: {', '.join(moved)}. Nothing was written.",
            "Make the plan anew, and look at it.",
        )


def _entry(action: Action) -> dict[str, Any]:
    live = action.live
    return {
        "kind": action.key.kind,
        "uid": action.key.uid,
        "action": action.verb,
        "fields": [item.path for item in action.fields],
        "wanted": fingerprint(_open(action.wanted.form, action.wanted)) if action.wanted else None,
        "live": fingerprint(_open(live.form or {}, action.wanted)) if live else None,
        "version": live.version if live else None,
    }


def _open(form: Json, wanted: Wanted | None) -> Json:
    """Leave out what is secret: even its fingerprint could be guessed at."""
    settings = form.get("settings")
    if not isinstance(settings, dict):
        return form
    shown = {key: value for key, value in settings.items() if wanted and f"settings.{key}" not in wanted.hidden}
    return {**form, "settings": shown}
