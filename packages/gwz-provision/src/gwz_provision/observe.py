"""Reads what is in Grafana: all lists at once, and each data source and dashboard of the bundle."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gwz_provision import normalise
from gwz_provision.errors import Forbidden
from gwz_provision.resources import LABEL, OWNER, PREFIX, Json, Key, Live
from gwz_provision.threads import Pool

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import, which the pure part of this module does not need
    from gwz_provision.grafana import Reader

_AT_ONCE = 8
_FILE = "Grafana reads it from a file"


@dataclass(frozen=True)
class Observed:
    """Everything that one run of the reconciler has seen of a Grafana."""

    version: str
    objects: Mapping[Key, Live]
    tree: Json = field(repr=False)
    """The notification policies, ours and all others."""
    warnings: tuple[str, ...] = ()
    timings: frozenset[str] = frozenset()
    """The names of the mute timings, which are not ours to make; none if nothing wanted names one."""

    @property
    def keys(self) -> frozenset[Key]:
        """The names of all that is there."""
        return frozenset(self.objects)

    def live(self, key: Key) -> Live | None:
        """Return what is there under a name."""
        return self.objects.get(key)


def observe(
    reader: "Reader",
    version: str,
    keys: Iterable[Key],
    seconds: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Observed:
    """Read Grafana: at most 8 + D + S calls for D dashboards and S data sources among the keys, none of which writes."""
    with Pool(_AT_ONCE) as pool:
        tree = reader.policies(seconds, say)
        uids = _by_kind(keys)
        lists = {name: pool.submit(read) for name, read in _lists(reader).items()}
        clear = pool.submit(_in_clear, reader)
        sources = {uid: pool.submit(reader.datasource, uid) for uid in uids["datasource"]}
        dashboards = {uid: pool.submit(_dashboard_if_seen, reader, uid, wanted=True) for uid in uids["dashboard"]}
        hits = lists["search"].result()
        # They have our tag and are not in the bundle any more; or they are copies, which are not ours.
        tagged = [hit["uid"] for hit in hits if OWNER in hit.get("tags", []) and hit["uid"] not in dashboards]
        dashboards |= {uid: pool.submit(_dashboard_if_seen, reader, uid, wanted=False) for uid in tagged}
        found = {name: future.result() for name, future in lists.items()}
        seen = {hit["uid"] for hit in hits}
        whole = {uid: live for uid, future in dashboards.items() if (live := _seen(future.result(), uid, seen))}
        read = {uid: future.result() for uid, future in sources.items()}
        settings = clear.result()
    objects = [
        *_from_search(found["search"], whole),
        *_from_sources(found["datasources"], read),
        *(_template(item) for item in found["templates"]),
        *_from_contact_points(found["contact_points"], settings),
        *_from_rules(found["rules"], found["groups"]),
        *_from_policies(tree),
    ]
    warnings = () if settings is not None else (_UNSEEN,)
    return Observed(version, {live.key: live for live in objects}, tree, warnings)


_UNSEEN = "this login may not read contact points with their secrets, so a changed secret goes unnoticed: that takes the Admin role"


def observe_one(reader: "Reader", key: Key) -> Live | None:
    """Read one resource anew, after a write whose outcome is not clear."""
    match key.kind:
        case "folder":
            found = reader.folder(key.uid)
            return _folder({**found, "folderUid": found.get("parentUid", "")}) if found else None
        case "datasource":
            source = reader.datasource(key.uid)
            return _source(source) if source else None
        case "dashboard":
            return _dashboard(reader, key.uid, wanted=True)
        case "template":
            lives: Iterable[Live] = map(_template, reader.templates())
        case "contact-point":
            lives = _from_contact_points(reader.contact_points(), _in_clear(reader))
        case "alert-rule":
            lives = _from_rules(reader.rules(), reader.rule_groups())
        case "policy":
            lives = _from_policies(reader.policies())
    return next((live for live in lives if live.key == key), None)


def _lists(reader: "Reader") -> dict[str, Callable[[], list[Json]]]:
    return {
        "search": reader.search,
        "datasources": reader.datasources,
        "rules": reader.rules,
        "groups": reader.rule_groups,
        "contact_points": reader.contact_points,
        "templates": reader.templates,
    }


def _by_kind(keys: Iterable[Key]) -> dict[str, list[str]]:
    uids: dict[str, list[str]] = {"dashboard": [], "datasource": []}
    for key in keys:
        if key.kind in uids:
            uids[key.kind].append(key.uid)
    return uids


def _from_search(hits: list[Json], whole: Mapping[str, Live]) -> list[Live]:
    folders = [_folder(hit) for hit in hits if hit["type"] == "dash-folder"]
    listed = {hit["uid"]: _listed_dashboard(hit) for hit in hits if hit["type"] == "dash-db"}
    return [*folders, *{**listed, **whole}.values()]


def _folder(hit: Json) -> Live:
    parent = str(hit.get("folderUid") or "")
    key = Key("folder", hit["uid"])
    return Live(key, hit["title"], normalise.folder(hit["title"], parent), key.uid.startswith(PREFIX), container=parent)


def _listed_dashboard(hit: Json) -> Live:
    key = Key("dashboard", hit["uid"])
    return Live(key, hit["title"], None, owned=False, container=str(hit.get("folderUid") or ""))


def _dashboard(reader: "Reader", uid: str, *, wanted: bool) -> Live | None:
    """Read a dashboard. A copy has our tag too; the uid in our mark tells it from the original."""
    found = reader.dashboard(uid)
    if found is None:
        return None
    model, meta = found["dashboard"], found["meta"]
    container = str(meta.get("folderUid") or "")
    tagged, mark = OWNER in (model.get("tags") or []), _mark(model)
    live = Live(
        Key("dashboard", uid),
        str(model.get("title", "")),
        normalise.dashboard(model, container),
        owned=tagged and (wanted or mark.get("uid") == uid),
        spec=mark.get("spec"),
        locked=_FILE if meta.get("provisioned") else "",
        container=container,
        version=model.get("version"),
    )
    if live.owned or live.locked or not (wanted or tagged):
        return live
    # The browser leaves out our mark when somebody saves; the versions before that have it.
    remembered = any(_mark(version.get("data") or {}).get("uid") == uid for version in reader.dashboard_versions(uid))
    return replace(live, owned=tagged and remembered, was_owned=remembered)


def _dashboard_if_seen(reader: "Reader", uid: str, *, wanted: bool) -> Live | Forbidden | None:
    """Read a dashboard; to a login that may not see everything, Grafana forbids even what is not there."""
    try:
        return _dashboard(reader, uid, wanted=wanted)
    except Forbidden as error:
        return error


def _seen(found: Live | Forbidden | None, uid: str, hits: set[str]) -> Live | None:
    if not isinstance(found, Forbidden):
        return found
    if uid in hits:
        raise found
    return None


def _from_sources(listed: list[Json], read: Mapping[str, Json | None]) -> list[Live]:
    return [_source({**item, **(read.get(item["uid"]) or {})}) for item in listed]


def _source(source: Json) -> Live:
    mark = _mark(source.get("jsonData") or {})
    return Live(
        Key("datasource", source["uid"]),
        source["name"],
        normalise.datasource(source),
        owned=mark.get("owner") == OWNER,
        spec=mark.get("spec"),
        locked=_FILE if source.get("readOnly") else "",
        version=source.get("version"),
        secret=mark.get("secrets"),
        secret_names=frozenset(source.get("secureJsonFields") or {}),
    )


def _mark(holder: Json) -> Json:
    mark = holder.get("gwz")
    return mark if isinstance(mark, dict) else {}


def _template(item: Json) -> Live:
    key, text = Key("template", item["name"]), item["template"]
    ours = key.uid.startswith(PREFIX)
    return Live(
        key,
        key.uid,
        normalise.template(text),
        owned=ours and text.startswith(normalise.TEMPLATE_MARK.strip()),
        was_owned=ours and item.get("provenance") == "api",
        locked=_lock(item),
    )


def _in_clear(reader: "Reader") -> dict[str, Json] | None:
    """Map uids to settings with their secrets; None for a login that may not see them."""
    try:
        points = reader.contact_points_in_clear()
    except Forbidden:
        return None
    return {item["uid"]: item["settings"] for point in points for item in point.get("receivers") or []}


def _from_contact_points(listed: list[Json], settings: Mapping[str, Json] | None) -> list[Live]:
    # The one that Grafana comes with has no uid; only its name matters, to what refers to it.
    return [_contact_point({**item, "uid": item["uid"] or f"({item['name']})"}, settings) for item in listed]


def _contact_point(item: Json, settings: Mapping[str, Json] | None) -> Live:
    key = Key("contact-point", item["uid"])
    shown = item["settings"] if settings is None else settings.get(key.uid, item["settings"])
    return Live(
        key,
        item["name"],
        normalise.contact_point({**item, "settings": shown}),
        owned=key.uid.startswith(PREFIX),
        locked=_lock(item),
        # What is hidden from us cannot be compared.
        secret_names=frozenset(
            name for name, value in item["settings"].items() if settings is None and value == "[REDACTED]"
        ),
    )


def _from_rules(rules: list[Json], groups: list[Json]) -> list[Live]:
    intervals = {rule["uid"]: group.get("interval") for group in groups for rule in group.get("rules") or []}
    return [_rule(item, normalise.milliseconds(str(intervals.get(item["uid"]) or "1m")) // 1000) for item in rules]


def _rule(item: Json, interval: int) -> Live:
    ours = item["uid"].startswith(PREFIX)
    return Live(
        Key("alert-rule", item["uid"]),
        item["title"],
        normalise.rule(item, interval),
        owned=ours and (item.get("labels") or {}).get(LABEL) == OWNER,
        was_owned=ours and (item.get("provenance") == "api" or normalise.RULE_MARK in (item.get("annotations") or {})),
        spec=(item.get("annotations") or {}).get(normalise.RULE_MARK),
        locked=_lock(item),
        container=item["folderUID"],
    )


def _from_policies(tree: Json) -> list[Live]:
    ours = [item for item in tree.get("routes") or [] if normalise.is_our_route(item)]
    key = Key("policy", OWNER)
    return [Live(key, "routes of our alerts", normalise.policy(ours), owned=True, locked=_lock(tree))] if ours else []


def _lock(item: Mapping[str, Any]) -> str:
    return _FILE if item.get("provenance") == "file" else ""
