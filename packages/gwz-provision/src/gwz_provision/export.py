"""Writes what is ours in Grafana as a bundle, from which the next plan finds no changes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gwz_provision import normalise
from gwz_provision.bundle import Bundle
from gwz_provision.errors import Misconfigured
from gwz_provision.manifest import SECRET_SETTINGS, variables
from gwz_provision.observe import Observed
from gwz_provision.resources import LABEL, OWNER, Json, Kind, Live


@dataclass
class Export:
    """Files by their names in the bundle, and the variables that stand for what is secret."""

    files: dict[str, str] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)


def export(observed: Observed, known: Bundle) -> Export:
    """Write down what carries our mark; the known bundle says by which variables its secrets are called."""
    result = Export()
    ours = {
        kind: _ours(observed, kind)
        for kind in ("folder", "datasource", "template", "contact-point", "dashboard", "alert-rule", "policy")
    }
    dashboards = {f"{live.container}/{live.key.uid}.json": live for live in ours["dashboard"]}
    index = {
        "schema": 1,
        "folders": [_folder(live) for live in ours["folder"]],
        "dashboards": [
            {"uid": live.key.uid, "folder": live.container, "file": file, **_mark(live, known)}
            for file, live in dashboards.items()
        ],
    }
    sources = {item["uid"]: item for item in known.datasources}
    contacts = {item["uid"]: item for item in known.contact_points}
    documents: dict[str, Any] = {
        "index.json": index,
        "datasources.json": {
            "datasources": [_datasource(live, sources.get(live.key.uid, {}), result) for live in ours["datasource"]]
        },
        **{file: _dashboard(live) for file, live in dashboards.items()},
        **({"alerts/rules.json": {"groups": list(_groups(ours["alert-rule"]))}} if ours["alert-rule"] else {}),
        **(
            {
                "contact-points.json": {
                    "contactPoints": [
                        _contact_point(live, contacts.get(live.key.uid, {}), result) for live in ours["contact-point"]
                    ]
                }
            }
            if ours["contact-point"]
            else {}
        ),
        **(
            {"policies.json": {"routes": [_route(item) for live in ours["policy"] for item in _form(live)["routes"]]}}
            if ours["policy"]
            else {}
        ),
    }
    result.files = {
        name: json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, value in documents.items()
    }
    result.files |= {f"templates/{live.key.uid}.tmpl": _form(live)["template"] + "\n" for live in ours["template"]}
    result.variables = sorted(set(result.variables))
    return result


def save(folder: Path, exported: Export) -> None:
    """Write the files into a folder that is empty or new; raises `Misconfigured` for any other."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise Misconfigured([f"{folder} is not empty"], "Name a new folder: nothing is overwritten.")
        for name, content in exported.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise Misconfigured([f"{folder} cannot be written: {error.strerror}"], "Name another folder.") from error


def _ours(observed: Observed, kind: Kind) -> list[Live]:
    found = [live for key, live in observed.objects.items() if key.kind == kind and live.owned and not live.locked]
    return sorted(found, key=lambda live: live.key.uid)


def _form(live: Live) -> Json:
    return live.form or {}


def _mark(live: Live, known: Bundle) -> Json:
    """Keep what Grafana does not: which panels may rightly be empty."""
    panels = next((sorted(item.may_be_empty) for item in known.dashboards if item.uid == live.key.uid), [])
    return {"mayBeEmpty": panels} if panels else {}


def _folder(live: Live) -> Json:
    parent = {"parent": live.container} if live.container else {}
    return {"uid": live.key.uid, "title": live.title, **parent}


def _datasource(live: Live, known: Mapping[str, Any], result: Export) -> Json:
    source = _form(live)
    if not live.secret_names:
        return source
    named = known.get("secureJsonData", {})
    secrets = {name: named.get(name) or f"${{{_variable(live, name)}}}" for name in sorted(live.secret_names)}
    result.variables += variables(secrets)
    return {**source, "secureJsonData": secrets}


def _contact_point(live: Live, known: Mapping[str, Any], result: Export) -> Json:
    form = _form(live)
    settings = {
        name: _setting(live, name, value, known.get("settings", {})) for name, value in form["settings"].items()
    }
    result.variables += variables(settings)
    return {"uid": live.key.uid, **form, "settings": settings, "optional": bool(known.get("optional"))}


def _setting(live: Live, name: str, value: Any, known: Mapping[str, Any]) -> Any:
    if name in known and variables(known[name]):
        return known[name]
    return f"${{{_variable(live, name)}}}" if name in SECRET_SETTINGS else value


def _variable(live: Live, name: str) -> str:
    return "GWZ_SECRET_" + re.sub(r"[^A-Z0-9]+", "_", f"{live.key.uid}_{name}".upper())


def _dashboard(live: Live) -> Json:
    model = _form(live)["model"]
    return {**model, "tags": [tag for tag in model["tags"] if tag != OWNER]}


def _groups(rules: list[Live]) -> Iterator[Json]:
    groups: dict[tuple[str, str, int], list[Json]] = {}
    for live in rules:
        form = dict(_form(live))
        place = (form.pop("folderUID"), form.pop("ruleGroup"), form.pop("interval"))
        labels = {name: value for name, value in form["labels"].items() if name != LABEL}
        groups.setdefault(place, []).append({**form, "labels": labels})
    for (folder, name, seconds), members in sorted(groups.items()):
        yield {"folder": folder, "name": name, "interval": normalise.duration(f"{seconds}s"), "rules": members}


def _route(item: Json) -> Json:
    matchers = [matcher for matcher in item["object_matchers"] if list(matcher) != [LABEL, "=", OWNER]]
    return {**item, "object_matchers": matchers}
