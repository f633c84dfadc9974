"""The order of a run: wait, log in, look, decide, check once more what may be done, do it, and look whether it is so."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gwz_provision.apply import Outcome, carry_out
from gwz_provision.errors import Blocked, Forbidden, Unfaithful
from gwz_provision.manifest import Manifest
from gwz_provision.observe import Observed, observe
from gwz_provision.obstacles import muted_by
from gwz_provision.plan import Options, Plan, make
from gwz_provision.resources import Key, Kind

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import, which the pure part of this module does not need
    from gwz_provision.grafana import Grafana, Reader

# For each kind the permissions one of which lets somebody write it; `alert.provisioning:write` stands for the alerting ones.
_ALERTING = "alert.provisioning:write"
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "folder": ("folders:create", "folders:write"),
    "datasource": ("datasources:create", "datasources:write"),
    "template": (_ALERTING, "alert.notifications:write", "alert.notifications.provisioning:write"),
    "contact-point": (_ALERTING, "alert.notifications:write", "alert.notifications.provisioning:write"),
    "dashboard": ("dashboards:create", "dashboards:write"),
    "alert-rule": (_ALERTING, "alert.rules:create", "alert.rules.provisioning:write"),
    "policy": (_ALERTING, "alert.notifications:write", "alert.notifications.provisioning:write"),
}


@dataclass(frozen=True)
class Patience:
    """How long a Grafana that still starts is waited for, and who is told meanwhile."""

    seconds: float = 0.0
    say: Callable[[str], None] = lambda _: None


def look(reader: "Reader", keys: Iterable[Key], patience: Patience | None = None) -> Observed:
    """Read Grafana once it is ready, if the login is good and the version is one that we know."""
    from gwz_provision.grafana import require_supported  # noqa: PLC0415 - see above

    patience = patience or Patience()
    version = reader.wait(patience.seconds, patience.say)
    require_supported(version)
    reader.login()
    return observe(reader, version, keys, patience.seconds, patience.say)


def look_and_plan(
    reader: "Reader", manifest: Manifest, options: Options, patience: Patience | None = None
) -> tuple[Observed, Plan]:
    """Compare Grafana with the manifest; nothing is written."""
    observed = look(reader, manifest.keys, patience)
    if any(map(muted_by, manifest.resources)):
        observed = replace(observed, timings=frozenset(str(item["name"]) for item in reader.mute_timings()))
    return observed, make(manifest, observed, options)


def require_clear(plan: Plan) -> None:
    """Raise `Blocked` with everything that must not be done."""
    if plan.blocked:
        listed = "\n".join(action.reason for action in plan.blocked)
        cures = "\n  ".join(dict.fromkeys(action.cure for action in plan.blocked))
        raise Blocked(f"{listed}\nNothing was written.", cures)


def require_permissions(plan: Plan, reader: "Reader") -> None:
    """Raise `Forbidden` with every kind that is to be written and that the login may not write."""
    if not plan.pending:
        return
    permissions = reader.permissions()
    if permissions is None:
        return
    kinds = dict.fromkeys(action.key.kind for action in plan.pending)
    missing = [kind for kind in kinds if not permissions.intersection(_NEEDED[kind])]
    if missing:
        named = ", ".join(f"{kind} ({_NEEDED[kind][0]})" for kind in missing)
        raise Forbidden(
            f"The login may not write: {named}. Nothing was written.",
            "Give the service account the Admin role: data sources need it.",
        )


def do(plan: Plan, grafana: "Grafana", stopped: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Carry out a plan that is clear and permitted."""
    require_clear(plan)
    require_permissions(plan, grafana.reader)
    yield from carry_out(plan, grafana.reader, grafana.writer(), stopped)


def require_faithful(reader: "Reader", manifest: Manifest, options: Options, outcomes: Iterable[Outcome]) -> None:
    """Raise `Unfaithful` when what Grafana shows after the writes is not the plan."""
    done = [outcome.action for outcome in outcomes if outcome.result == "done" and outcome.action.writes]
    if not done:
        return
    _, again = look_and_plan(reader, manifest, options)
    keys = {action.key for action in done}
    wrong = [action for action in again.actions if action.key in keys and action.verb != "unchanged"]
    if wrong:
        listed = "\n".join(
            f"{action.key} is shown differently from what was written: {', '.join(item.path or action.verb for item in action.fields) or action.verb}."
            for action in wrong
        )
        raise Unfaithful(
            listed, "Somebody else changes it, or this Grafana rewrites it: correct the bundle to what it shows."
        )
