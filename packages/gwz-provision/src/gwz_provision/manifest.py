"""The bundle as resources, with the environment's values put in: what Grafana shall show after `apply`."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gwz_provision import normalise, redaction
from gwz_provision.access import is_address
from gwz_provision.bundle import Bundle
from gwz_provision.problems import structure
from gwz_provision.resources import LABEL, ORDER, OWNER, Json, Key, Wanted

# Grafana's own `${__value.raw}` is lower case, so it never reads as a variable of the environment.
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_IN_HEADER = re.compile(r"[!-~]+(?: +[!-~]+)*")
_TENANT = "X-Scope-OrgID"
"""Whose value Grafana keeps as a secret, and which is none: hiding it would blank a word such as `production` everywhere."""
_HEADER, _HEADER_VALUE = "httpHeaderName", "httpHeaderValue"
SECRET_SETTINGS = frozenset({"url", "token", "password", "authorization_credentials", "integrationKey"})


@dataclass(frozen=True)
class Manifest:
    """All resources, in the order in which they are created."""

    resources: tuple[Wanted, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Every secret value that was put in, so that it can be hidden."""

    @property
    def keys(self) -> frozenset[Key]:
        """The names of the resources."""
        return frozenset(resource.key for resource in self.resources)


def problems(bundle: Bundle, environ: Mapping[str, str]) -> list[str]:
    """Name everything that keeps the bundle from being applied: variables not set, and what Grafana would refuse or bend."""
    return [
        *_unset(bundle, environ),
        *_address_problems(bundle, environ),
        *_header_problems(bundle, environ),
        *structure(bundle),
    ]


def build(bundle: Bundle, environ: Mapping[str, str]) -> Manifest:
    """Put the values in; `problems` must have found none."""
    contacts = [item for item in bundle.contact_points if _is_wanted(item, environ)]
    resources = [
        *map(_folder, _parents_first(bundle)),
        *(_datasource(item, environ) for item in bundle.datasources),
        *(_template(name, text) for name, text in bundle.templates),
        *(_contact_point(item, environ) for item in contacts),
        *(_dashboard(item.model, item.folder_uid) for item in bundle.dashboards),
        *_rules(bundle.rule_groups, environ, {item["name"] for item in contacts}),
        *_policy(bundle.routes, environ, {item["name"] for item in contacts}),
    ]
    return Manifest(
        tuple(sorted(resources, key=lambda item: ORDER.index(item.key.kind))),
        tuple(_secret_values(bundle, environ)),
    )


def variables(value: Any) -> list[str]:
    """List the variables in a part of the bundle that have no default."""
    return list(
        dict.fromkeys(found["name"] for found in _VARIABLE.finditer(json.dumps(value)) if found["default"] is None)
    )


def all_variables(bundle: Bundle) -> list[str]:
    """List every variable of the bundle, those with a default and those of unused receivers too."""
    parts = [*bundle.datasources, *bundle.contact_points, *bundle.rule_groups, *bundle.routes]
    return list(dict.fromkeys(found["name"] for found in _VARIABLE.finditer(json.dumps(parts))))


def _unset(bundle: Bundle, environ: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is not set, and {who} needs it: export {name}={_example(name)}"
        for who, part in _parts(bundle, environ)
        for name in variables(part)
        if not environ.get(name)
    ]


def _address_problems(bundle: Bundle, environ: Mapping[str, str]) -> Iterator[str]:
    """Find the addresses that Grafana takes without a word and that no query ever reaches."""
    for source in bundle.datasources:
        if any(not environ.get(name) for name in variables(source.get("url", ""))):
            continue
        address = str(_expanded(source.get("url", ""), environ))
        if address and not is_address(address):
            names = " or ".join(variables(source["url"])) or "it"
            yield f"data source {source.get('uid')} has the url {redaction.address(address)!r}, not an http:// or https:// address with a host: correct {names}"


def _header_problems(bundle: Bundle, environ: Mapping[str, str]) -> Iterator[str]:
    """Find what Grafana would have to send in a header, and cannot: it stores it, and each query fails."""
    for source in bundle.datasources:
        for name, text in (source.get("secureJsonData") or {}).items():
            value = str(_expanded(text, environ))
            if value and name.startswith((_HEADER_VALUE, "bearerToken")) and not _IN_HEADER.fullmatch(value):
                names = " or ".join(found["name"] for found in _VARIABLE.finditer(text)) or name
                yield f"data source {source.get('uid')} cannot be given {names}: it holds a line break, a space at its edge or a letter beyond ASCII, which no header may have"


def _example(name: str) -> str:
    return "http://host:port" if name.endswith("URL") else "..."


def _parts(bundle: Bundle, environ: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    """Go through the parts in which variables stand. Dashboards have variables of their own, spelt the same."""
    yield from ((f"data source {item.get('uid')}", item) for item in bundle.datasources)
    yield from ((f"contact point {item['uid']}", item) for item in bundle.contact_points if _is_wanted(item, environ))
    yield from ((f"rule group {group.get('name')}", group) for group in bundle.rule_groups)
    yield from ((f"route to {item.get('receiver')}", item) for item in bundle.routes)


def _is_wanted(contact: Json, environ: Mapping[str, str]) -> bool:
    """Tell whether a receiver is meant to be there: an optional one is, as soon as one of its variables is set."""
    needed = variables(contact)
    return not contact.get("optional") or not needed or any(environ.get(name) for name in needed)


def _secret_values(bundle: Bundle, environ: Mapping[str, str]) -> Iterator[str]:
    for source in bundle.datasources:
        tenant = [
            name.replace(_HEADER, _HEADER_VALUE)
            for name, header in (source.get("jsonData") or {}).items()
            if name.startswith(_HEADER) and header == _TENANT
        ]
        secure = source.get("secureJsonData") or {}
        yield from _values({name: text for name, text in secure.items() if name not in tenant}, environ)
    for contact in bundle.contact_points:
        settings = contact.get("settings", {})
        secret = {key: text for key, text in settings.items() if key in SECRET_SETTINGS or variables(text)}
        yield from _values(secret, environ)


def _values(part: Json, environ: Mapping[str, str]) -> Iterator[str]:
    """List the values of the variables in it, and of the texts that they are part of."""
    for name in variables(part):
        if value := environ.get(name):
            yield value
    yield from (str(text) for text in _expanded(part, environ).values() if text)


def _folder(entry: Any) -> Wanted:
    return Wanted(Key("folder", entry.uid), entry.title.strip(), normalise.folder(entry.title, entry.parent))


def _parents_first(bundle: Bundle) -> list[Any]:
    parents = {folder.uid: folder.parent for folder in bundle.folders}

    def depth(uid: str) -> int:
        return 1 + depth(parents[uid]) if parents.get(uid) else 0

    return sorted(bundle.folders, key=lambda folder: depth(folder.uid))


def _datasource(source: Json, environ: Mapping[str, str]) -> Wanted:
    filled = _expanded(source, environ)
    secrets = {str(name): str(value) for name, value in filled.get("secureJsonData", {}).items() if value}
    # A header without a value is not sent: that of a tenant, where there is but one.
    filled["jsonData"] = {
        name: value
        for name, value in (filled.get("jsonData") or {}).items()
        if not name.startswith(_HEADER) or name.replace(_HEADER, _HEADER_VALUE) in secrets
    }
    return Wanted(Key("datasource", source["uid"]), filled["name"], normalise.datasource(filled), secrets)


def _template(name: str, text: str) -> Wanted:
    return Wanted(Key("template", name), name, normalise.template(text))


def _contact_point(contact: Json, environ: Mapping[str, str]) -> Wanted:
    form = normalise.contact_point(_expanded(contact, environ))
    hidden = {key for key, text in contact.get("settings", {}).items() if key in SECRET_SETTINGS or variables(text)}
    return Wanted(
        Key("contact-point", contact["uid"]), form["name"], form, hidden=frozenset(f"settings.{key}" for key in hidden)
    )


def _dashboard(model: Json, folder: str) -> Wanted:
    marked = {**model, "tags": [*(model.get("tags") or []), OWNER]}
    form = normalise.dashboard(marked, folder)
    return Wanted(Key("dashboard", str(model["uid"])), form["model"]["title"], form)


def _rules(groups: Iterable[Json], environ: Mapping[str, str], receivers: set[str]) -> Iterator[Wanted]:
    for group in groups:
        seconds = normalise.milliseconds(str(group["interval"])) // 1000
        for source in _expanded(group, environ)["rules"]:
            placed = {
                **source,
                "folderUID": group["folder"],
                "ruleGroup": group["name"],
                "labels": {**(source.get("labels") or {}), LABEL: OWNER},
            }
            # Without the receiver that nobody configured, the tree of policies decides.
            settings = source.get("notification_settings") or {}
            if settings.get("receiver") not in receivers:
                placed["notification_settings"] = None
            yield Wanted(Key("alert-rule", source["uid"]), source["title"], normalise.rule(placed, seconds))


def _policy(routes: Iterable[Json], environ: Mapping[str, str], receivers: set[str]) -> Iterator[Wanted]:
    marked = [
        {**item, "object_matchers": [[LABEL, "=", OWNER], *(item.get("object_matchers") or [])]}
        for item in _expanded(list(routes), environ)
        if item["receiver"] in receivers
    ]
    if marked:
        yield Wanted(Key("policy", OWNER), "routes of our alerts", normalise.policy(marked))


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: environ.get(found["name"]) or found["default"] or "", value)
        case dict():
            return {key: _expanded(item, environ) for key, item in value.items()}
        case list():
            return [_expanded(item, environ) for item in value]
        case _:
            return value
