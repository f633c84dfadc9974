"""Carries out a plan: one write at a time, each outcome told, whatever happens in between."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gwz_provision import normalise
from gwz_provision.differences import Field, compare, secret_fingerprint
from gwz_provision.errors import (
    Conflict,
    ProvisionError,
    Refused,
    ServerFault,
    Unauthorized,
    Unclear,
    Unreachable,
)
from gwz_provision.observe import observe_one
from gwz_provision.plan import Action, Plan
from gwz_provision.resources import OWNER, Json, Key, Live, Wanted
from gwz_provision.routes import merged

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import, which the pure part of this module does not need
    from gwz_provision.grafana import Reader, Writer

Result = Literal["done", "failed", "skipped", "kept"]
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2
_ALERTING = frozenset({"template", "contact-point", "alert-rule", "policy"})
_MESSAGE = "gwz-provision apply"


@dataclass(frozen=True)
class Outcome:
    """What became of one action."""

    action: Action
    result: Result
    error: ProvisionError | None = None
    reason: str = ""


def carry_out(
    plan: Plan, reader: "Reader", writer: "Writer", stopped: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """Do the actions in order; a failed one takes those with it that need it, a lost Grafana all that follow."""
    run = _Run(reader, writer, plan)
    for action in plan.actions:
        if not action.writes:
            yield Outcome(action, "kept" if action.reason else "done", reason=action.reason)
        elif stopped():
            yield Outcome(action, "skipped", reason="Interrupted before it.")
        elif reason := run.obstacle(action):
            yield run.failed(action, "skipped", reason=reason)
        else:
            yield run.one(action)


class _Run:
    """What has to be remembered from one action to the next."""

    def __init__(self, reader: "Reader", writer: "Writer", plan: Plan) -> None:
        self._reader = reader
        self._writer = writer
        self._missing: set[Key] = set()
        self._ended = ""
        # Of each rule group the rule that is written last: with it the group's interval is set.
        self._last = {
            _group(action.wanted): action.key
            for action in plan.pending
            if action.wanted is not None and action.key.kind == "alert-rule"
        }

    def obstacle(self, action: Action) -> str:
        """Say why an action cannot even be tried."""
        if self._ended:
            return self._ended
        for key in _needs(action):
            if key in self._missing:
                return f"{key} is not there."
        return ""

    def failed(self, action: Action, result: Result, error: ProvisionError | None = None, reason: str = "") -> Outcome:
        """Note what others must not build upon."""
        if action.verb in {"create", "move"} or result == "failed":
            self._missing.add(action.key)
        return Outcome(action, result, error, reason)

    def one(self, action: Action) -> Outcome:
        """Do an action; raises nothing of ours."""
        try:
            return self._deleted(action) if action.verb == "delete" else self._written(action)
        except (Unauthorized, Unreachable) as error:
            self._ended = "Grafana cannot be used any more."
            return self.failed(action, "failed", error)
        except ProvisionError as error:
            return self.failed(action, "failed", error)

    def _written(self, action: Action) -> Outcome:
        """Write; when it is not clear what became of it, look before trying again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._write(action)
            except (Refused, Unclear) as error:
                anew = self._look_again(action, error)
                if anew is None:
                    break
                if attempt == _ATTEMPTS:
                    raise
                action = anew
            else:
                break
        return Outcome(action, "done")

    def _look_again(self, action: Action, error: ProvisionError) -> Action | None:
        """Return what is left to do after a fault, None when it is there after all; raises the fault if trying again is no use."""
        wanted = _wanted(action)
        live = observe_one(self._reader, action.key)
        fields = compare(wanted, live) if live else [Field("", None, None)]
        if not fields:
            return None
        created_meanwhile = action.live is None and live is not None
        if action.live is None and live is not None and not (live.owned or live.was_owned):
            raise error
        passing = isinstance(error, Unclear | ServerFault) or (
            # All of alerting is one document: whoever writes at the same time is in the way, whatever he writes.
            isinstance(error, Conflict) and action.key.kind in _ALERTING
        )
        edited_elsewhere = isinstance(error, Conflict) and live is not None and not _overlaps(action, live)
        if not (passing or created_meanwhile or edited_elsewhere):
            raise error
        time.sleep(_PAUSE_SECONDS)
        return replace(action, live=live)

    def _write(self, action: Action) -> None:
        wanted, live = _wanted(action), action.live
        match action.key.kind:
            case "folder":
                self._write_folder(wanted, live)
            case "datasource":
                self._write_datasource(wanted, live)
            case "dashboard":
                self._writer.save_dashboard(dashboard_body(wanted, live), wanted.form["folderUid"], _MESSAGE)
            case "template":
                self._writer.save_template(wanted.key.uid, normalise.TEMPLATE_MARK + wanted.form["template"])
            case "contact-point":
                body = {"uid": wanted.key.uid, **wanted.form}
                (self._writer.update_contact_point if live else self._writer.create_contact_point)(body)
            case "alert-rule":
                self._write_rule(wanted, live)
            case "policy":
                self._write_policies(wanted.form["routes"])

    def _write_folder(self, wanted: Wanted, live: Live | None) -> None:
        title, parent = wanted.form["title"], wanted.form["parentUid"]
        if live is None:
            self._writer.create_folder(wanted.key.uid, title, parent)
            return
        if live.container != parent:
            self._writer.move_folder(wanted.key.uid, parent)
        if live.title != title:
            self._writer.rename_folder(wanted.key.uid, title)

    def _write_datasource(self, wanted: Wanted, live: Live | None) -> None:
        if live is None:
            self._writer.create_datasource(datasource_body(wanted, None))
        else:
            self._writer.update_datasource(datasource_body(wanted, live))

    def _write_rule(self, wanted: Wanted, live: Live | None) -> None:
        if live is None:
            self._writer.create_rule(rule_body(wanted))
        elif any(item.path != "interval" for item in compare(wanted, live)):
            self._writer.update_rule(rule_body(wanted))
        if self._last[_group(wanted)] == wanted.key:
            self._set_interval(*_group(wanted), wanted.form["interval"])

    def _set_interval(self, folder: str, group: str, seconds: int) -> None:
        """Look first: a new group starts with a minute, one that a rule was moved into with the interval of that rule."""
        if self._reader.rule_group(folder, group).get("interval") != seconds:
            self._writer.set_interval(folder, group, seconds)

    def _write_policies(self, routes: list[Json]) -> None:
        """Merge ours into the tree as it is now: there is no lock, so the time between is kept short."""
        self._writer.replace_policies(merged(self._reader.policies(), routes))

    def _deleted(self, action: Action) -> Outcome:
        uid = action.key.uid
        match action.key.kind:
            case "folder":
                if inside := {kind: count for kind, count in self._reader.folder_counts(uid).items() if count}:
                    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(inside.items()))
                    return Outcome(action, "kept", reason=f"kept: it still holds {listed}.")
                self._writer.delete_folder(uid)
            case "datasource":
                self._writer.delete_datasource(uid)
            case "dashboard":
                self._writer.delete_dashboard(uid)
            case "template":
                self._writer.delete_template(uid)
            case "contact-point":
                self._delete_contact_point(uid)
            case "alert-rule":
                self._writer.delete_rule(uid)
            case "policy":
                self._write_policies([])
        return Outcome(action, "done")

    def _delete_contact_point(self, uid: str) -> None:
        try:
            self._writer.delete_contact_point(uid)
        except Refused:
            if observe_one(self._reader, Key("contact-point", uid)) is not None:
                raise


def datasource_body(wanted: Wanted, live: Live | None) -> Json:
    """Return what is sent: the form, our mark, the secrets, an empty text for each secret that has to go, the version read."""
    mark = {"owner": OWNER, "spec": wanted.spec, "secrets": secret_fingerprint(wanted)}
    body = {**wanted.form, "jsonData": {**wanted.form["jsonData"], "gwz": {k: v for k, v in mark.items() if v}}}
    gone = dict.fromkeys(live.secret_names, "") if live else {}
    if secrets := {**gone, **wanted.secrets}:
        body["secureJsonData"] = secrets
    return {**body, "version": live.version} if live and live.version is not None else body


def dashboard_body(wanted: Wanted, live: Live | None) -> Json:
    """Return the model that is sent: with our mark, and with the version read, so that nobody's edit is lost unseen."""
    model = {**wanted.form["model"], "gwz": {"owner": OWNER, "uid": wanted.key.uid, "spec": wanted.spec}}
    return {**model, "version": live.version} if live and live.version is not None else model


def rule_body(wanted: Wanted) -> Json:
    """Return the rule that is sent, with our mark among its annotations."""
    rule = {key: value for key, value in wanted.form.items() if key != "interval"}
    return {**rule, "orgID": 1, "annotations": {**rule["annotations"], normalise.RULE_MARK: wanted.spec}}


def _wanted(action: Action) -> Wanted:
    if action.wanted is None:
        raise AssertionError(action)
    return action.wanted


def _group(wanted: Wanted) -> tuple[str, str]:
    return (wanted.form["folderUID"], wanted.form["ruleGroup"])


def _needs(action: Action) -> list[Key]:
    """Name the folder that a resource goes into; a deletion needs nothing."""
    if action.wanted is None or action.verb == "delete":
        return []
    form = action.wanted.form
    folder = form.get("folderUid") or form.get("folderUID") or form.get("parentUid")
    return [Key("folder", folder)] if folder else []


def _overlaps(action: Action, live: Live) -> bool:
    """Tell whether somebody else changed, between our read and our write, a field that we are about to change."""
    if action.live is None or action.live.form is None or live.form is None:
        return True
    theirs = compare(Wanted(action.key, live.title, live.form), replace(action.live, secret_names=frozenset()))
    ours = {item.path for item in action.fields}
    return bool(ours & {item.path for item in theirs})
