"""What stands in the way of a resource: Grafana would overwrite it, or refuse in the middle of the run."""

from gwz_provision.observe import Observed
from gwz_provision.resources import Key, Live, Wanted
from gwz_provision.routes import catch, losing


def obstacle(wanted: Wanted, live: Live | None, observed: Observed, gone: set[Key]) -> tuple[str, str] | None:
    """Find what stands in the way: Grafana would overwrite it, or refuse in the middle of the run."""
    match wanted.key.kind:
        case "contact-point":
            others = [other for other in _namesakes(wanted, observed) if not other.owned]
            if live is None and others and not any(other.owned for other in _namesakes(wanted, observed)):
                return (
                    f"{wanted.key} would become part of the contact point {wanted.title!r}, which is not ours",
                    "Rename one of the two",
                )
        case "alert-rule":
            return _taken(wanted, observed, gone) or _foreign_interval(wanted, observed) or _unmuted(wanted, observed)
        case "policy":
            return _policy_obstacle(wanted, observed) or _unmuted(wanted, observed)
        case "template":
            return None
        case _:
            return _taken(wanted, observed, gone)
    return None


def _taken(wanted: Wanted, observed: Observed, gone: set[Key]) -> tuple[str, str] | None:
    ours = place(wanted)
    for other in _namesakes(wanted, observed):
        if other.key in gone or (ours is not None and other.container != ours):
            continue
        where = f" in folder {ours}" if ours else ""
        return (
            f"{wanted.key} cannot be called {wanted.title!r}{where}: {other.key} is",
            "Rename one of the two: Grafana would refuse the second or overwrite the first",
        )
    return None


def _namesakes(wanted: Wanted, observed: Observed) -> list[Live]:
    return [
        live
        for key, live in sorted(observed.objects.items(), key=lambda item: item[0].uid)
        if key.kind == wanted.key.kind and key != wanted.key and live.title == wanted.title
    ]


def place(wanted: Wanted) -> str | None:
    """Return the folder in which a title must be free; None where it must be in the whole organisation."""
    match wanted.key.kind:
        case "folder":
            return str(wanted.form["parentUid"])
        case "dashboard":
            return str(wanted.form["folderUid"])
        case "alert-rule":
            return str(wanted.form["folderUID"])
        case _:
            return None


def _foreign_interval(wanted: Wanted, observed: Observed) -> tuple[str, str] | None:
    """A group has one interval: changing it would change the rules of others in it."""
    for key, other in sorted(observed.objects.items(), key=lambda item: item[0].uid):
        form = other.form
        if key.kind != "alert-rule" or other.owned or form is None or key == wanted.key:
            continue
        same_group = (form["folderUID"], form["ruleGroup"]) == (wanted.form["folderUID"], wanted.form["ruleGroup"])
        if same_group and form["interval"] != wanted.form["interval"]:
            return (
                f"{wanted.key} is evaluated every {wanted.form['interval']} s, and its group {form['ruleGroup']!r} holds {key}, which is not ours, every {form['interval']} s",
                "Move the other rule to a group of its own",
            )
    return None


def muted_by(wanted: Wanted) -> list[str]:
    """Name the mute timings that a rule or our routes ask for."""
    form = wanted.form
    users = form["routes"] if wanted.key.kind == "policy" else [form.get("notification_settings") or {}]
    return [str(name) for user in users for name in user.get("mute_time_intervals") or ()]


def _unmuted(wanted: Wanted, observed: Observed) -> tuple[str, str] | None:
    """Grafana refuses a mute timing that it does not know; they are made in the browser, where holidays are known."""
    for name in muted_by(wanted):
        if name not in observed.timings:
            there = ", ".join(sorted(observed.timings)) or "none"
            return (
                f"{wanted.key} names the mute timing {name!r}, and Grafana has {there}",
                "Make it under Alerting, Notification policies, Mute timings, or name one that is there",
            )
    return None


def _policy_obstacle(wanted: Wanted, observed: Observed) -> tuple[str, str] | None:
    if observed.tree.get("provenance") == "file":
        return (
            "The notification policies cannot be changed: Grafana reads them from a file",
            "Remove them from Grafana's provisioning folder",
        )
    keep = {catch(item) for item in wanted.form["routes"]}
    return losing(observed.tree, keep)
