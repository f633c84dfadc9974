"""Decides what has to be done: data in, data out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from gwz_provision.differences import CHANGED, Field, compare
from gwz_provision.manifest import Manifest
from gwz_provision.observe import Observed
from gwz_provision.obstacles import obstacle, place
from gwz_provision.resources import ORDER, Key, Live, Wanted
from gwz_provision.routes import foreign_receivers, losing

Verb = Literal["create", "update", "move", "adopt", "drift", "delete", "blocked", "unchanged"]
VERBS: tuple[Verb, ...] = ("create", "update", "move", "adopt", "drift", "delete", "blocked", "unchanged")
_FREE_DELETES = 5
_FREE_SHARE = 0.3


@dataclass(frozen=True)
class Action:
    """What has to be done with one resource."""

    key: Key
    verb: Verb
    fields: tuple[Field, ...] = ()
    reason: str = ""
    """Why it is blocked, or kept."""
    cure: str = ""
    wanted: Wanted | None = field(default=None, repr=False)
    live: Live | None = field(default=None, repr=False)

    @property
    def writes(self) -> bool:
        """Tell whether it changes Grafana."""
        return self.verb not in {"blocked", "unchanged"}


@dataclass(frozen=True)
class Options:
    """What the person decided."""

    prune: bool = True
    adopt: bool = False


@dataclass(frozen=True)
class Plan:
    """All actions, in the order in which they are done."""

    actions: tuple[Action, ...]
    warnings: tuple[str, ...] = ()
    owned: int = 0
    """How many of the resources that are there carry our mark."""

    @property
    def pending(self) -> list[Action]:
        """The actions that change Grafana."""
        return [action for action in self.actions if action.writes]

    @property
    def blocked(self) -> list[Action]:
        """The actions that must not be done."""
        return [action for action in self.actions if action.verb == "blocked"]

    @property
    def needs_yes(self) -> bool:
        """Tell whether more is deleted than anybody deletes by the way: over five, or over 30 % of what is ours."""
        deletes = self.summary()["delete"]
        return deletes > _FREE_DELETES or deletes > _FREE_SHARE * max(self.owned, 1)

    def summary(self) -> dict[str, int]:
        """Count the actions by verb."""
        counted = Counter[str](action.verb for action in self.actions)
        return {verb: counted[verb] for verb in VERBS}


def make(manifest: Manifest, observed: Observed, options: Options | None = None) -> Plan:
    """Compare what is wanted with what is there; the same input gives the same plan."""
    options = options or Options()
    default = _foreign_default(manifest, observed)
    wanted = [_beside(default, resource) for resource in manifest.resources]
    leaving = _leaving(manifest, observed) if options.prune else []
    deletes = [_delete(live, leaving, observed) for live in leaving]
    gone = {action.key for action in deletes if action.writes}
    kept = [] if options.prune else [_kept(live) for live in _leaving(manifest, observed)]
    changes = [_change(resource, observed, options, gone) for resource in wanted]
    return Plan(
        tuple(_ordered(changes, [*deletes, *kept], observed)),
        (*observed.warnings, *_default_warning(manifest, default)),
        sum(live.owned for live in observed.objects.values()),
    )


def _change(wanted: Wanted, observed: Observed, options: Options, gone: set[Key]) -> Action:
    live = observed.live(wanted.key)
    if live is None:
        return _creation(wanted, observed, gone)
    fields = tuple(compare(wanted, live))
    action = Action(wanted.key, "unchanged", fields, wanted=wanted, live=live)
    if not fields:
        return action
    if live.locked:
        return _blocked(
            action,
            f"{wanted.key} differs, and cannot be changed: {live.locked}",
            "Remove it from Grafana's provisioning folder (GF_PATHS_PROVISIONING), restart Grafana, and apply again",
        )
    if not live.owned and not (live.was_owned or options.adopt):
        return _blocked(
            action,
            f"{wanted.key} is there, called {live.title!r}, and carries no mark of ours",
            "Delete it, or take it over with --adopt: it is overwritten then",
        )
    if found := obstacle(wanted, live, observed, gone):
        return _blocked(action, *found)
    return replace(action, verb=_verb(live, fields))


def _verb(live: Live, fields: tuple[Field, ...]) -> Verb:
    if not live.owned:
        return "drift" if live.was_owned else "adopt"
    if live.form is not None and _remembers(live) and _last_form(live) != live.spec:
        return "drift"
    only_place = {item.path for item in fields} <= {"folderUid", "folderUID", "parentUid"}
    return "move" if only_place else "update"


def _remembers(live: Live) -> bool:
    """Tell whether the kind has a place in which the last applied state is recorded."""
    return live.key.kind in {"datasource", "dashboard", "alert-rule"}


def _last_form(live: Live) -> str:
    return Wanted(live.key, live.title, live.form or {}).spec


def _creation(wanted: Wanted, observed: Observed, gone: set[Key]) -> Action:
    action = Action(wanted.key, "create", tuple(_added(wanted)), wanted=wanted)
    found = obstacle(wanted, None, observed, gone)
    return _blocked(action, *found) if found else action


def _added(wanted: Wanted) -> Iterator[Field]:
    for name, value in wanted.form.items():
        if name == "settings":
            hidden = {key: CHANGED for key in value if f"settings.{key}" in wanted.hidden}
            yield Field(name, None, {**value, **hidden})
        elif name == "model":
            yield Field(name, None, f"({len(value.get('panels') or [])} panels)")
        else:
            yield Field(name, None, value)
    yield from (Field(f"secureJsonData.{name}", None, CHANGED) for name in sorted(wanted.secrets))


def _blocked(action: Action, reason: str, cure: str) -> Action:
    return replace(action, verb="blocked", reason=f"{reason}.", cure=f"{cure}.")


def _foreign_default(manifest: Manifest, observed: Observed) -> str | None:
    """Name the data source that somebody else made the default: it stays that."""
    defaults = [key for key, live in observed.objects.items() if (live.form or {}).get("isDefault") and not live.owned]
    return next((key.uid for key in defaults if key not in manifest.keys), None)


def _beside(default: str | None, wanted: Wanted) -> Wanted:
    """Leave the default to whoever has it: making ours the default would change theirs."""
    yields = default is not None and wanted.form.get("isDefault")
    return replace(wanted, form={**wanted.form, "isDefault": False}) if yields else wanted


def _default_warning(manifest: Manifest, default: str | None) -> list[str]:
    return [
        f"data source {default} stays the default, which {item.key.uid} would be"
        for item in manifest.resources
        if default is not None and item.form.get("isDefault")
    ]


def _leaving(manifest: Manifest, observed: Observed) -> list[Live]:
    """List what carries our mark and is no longer in the bundle."""
    keys = manifest.keys
    return [live for key, live in sorted(observed.objects.items(), key=_rank) if live.owned and key not in keys]


def _rank(item: tuple[Key, Live]) -> tuple[int, str]:
    return (ORDER.index(item[0].kind), item[0].uid)


def _delete(live: Live, leaving: list[Live], observed: Observed) -> Action:
    action = Action(live.key, "delete", live=live)
    if live.locked:
        return replace(action, verb="unchanged", reason=f"kept: {live.locked}.")
    if reason := _needed_by_others(live, {item.key for item in leaving}, observed):
        return replace(action, verb="unchanged", reason=f"kept: {reason}.")
    return action


def _needed_by_others(live: Live, leaving: set[Key], observed: Observed) -> str:
    match live.key.kind:
        case "folder":
            inside = _inside(live.key.uid, leaving, observed)
            return f"it holds {inside} that stay" if inside else ""
        case "contact-point":
            return _still_used(live, leaving, observed)
        case "policy":
            lost = losing(observed.tree, ())
            return lost[0] if lost else ""
        case _:
            return ""


def _inside(folder: str, leaving: set[Key], observed: Observed) -> int:
    return sum(
        1 + (_inside(key.uid, leaving, observed) if key.kind == "folder" else 0)
        if key not in leaving
        else (_inside(key.uid, leaving, observed) if key.kind == "folder" else 0)
        for key, live in observed.objects.items()
        if live.container == folder
    )


def _still_used(live: Live, leaving: set[Key], observed: Observed) -> str:
    others = [
        other
        for key, other in observed.objects.items()
        if key.kind == "contact-point" and other.title == live.title and key not in leaving
    ]
    if others:
        return ""
    if live.title in set(foreign_receivers(observed.tree)):
        return f"a notification policy that is not ours sends to {live.title!r}"
    users = [key for key, other in observed.objects.items() if key not in leaving and _notifies(other) == live.title]
    return f"{users[0]} sends to {live.title!r}" if users else ""


def _notifies(live: Live) -> str | None:
    if live.key.kind != "alert-rule" or live.owned or live.form is None:
        return None
    settings = live.form.get("notification_settings") or {}
    return settings.get("receiver")


def _kept(live: Live) -> Action:
    return Action(
        live.key, "unchanged", live=live, reason="kept: it is no longer in the bundle, and --no-prune is set."
    )


def _ordered(changes: list[Action], deletes: list[Action], observed: Observed) -> Iterator[Action]:
    """Create in order, delete in reverse; what is in the way of a new name goes first."""
    early = [action for action in deletes if action.writes and _in_the_way(action, changes)]
    policy = [action for action in deletes if action.key.kind == "policy"]
    for kind in ORDER:
        yield from (action for action in early if action.key.kind == kind)
        yield from (action for action in changes if action.key.kind == kind)
    late = [action for action in deletes if action not in early and action not in policy]
    yield from policy
    yield from sorted(
        late, key=lambda action: (-ORDER.index(action.key.kind), -_depth(action, observed), action.key.uid)
    )


def _depth(action: Action, observed: Observed) -> int:
    depth, live = 0, action.live
    while live and live.key.kind == "folder" and live.container:
        depth, live = depth + 1, observed.live(Key("folder", live.container))
    return depth


def _in_the_way(delete: Action, changes: list[Action]) -> bool:
    return (
        delete.live is not None
        and delete.key.kind in {"dashboard", "alert-rule", "datasource"}
        and any(
            change.writes
            and change.wanted is not None
            and change.key.kind == delete.key.kind
            and change.wanted.title == delete.live.title
            and place(change.wanted) in {None, delete.live.container}
            for change in changes
        )
    )
