"""What is there, and whose it is."""

from dataclasses import dataclass
from typing import Literal

from gwz_provision.bundle import Bundle
from gwz_provision.observe import Observed
from gwz_provision.resources import ORDER, OWNER, Json, Key

State = Literal["ours", "ours, not in the bundle", "missing", "unmarked", "from a file", "foreign"]


@dataclass(frozen=True)
class Entry:
    """One object, and whose it is."""

    key: Key
    title: str
    state: State


def declared(bundle: Bundle) -> dict[Key, str]:
    """Name what the bundle declares, optional receivers included, with the titles."""
    return {
        **{Key("folder", item.uid): item.title for item in bundle.folders},
        **{Key("datasource", item["uid"]): item.get("name", "") for item in bundle.datasources},
        **{Key("template", name): name for name, _ in bundle.templates},
        **{Key("contact-point", item["uid"]): item.get("name", "") for item in bundle.contact_points},
        **{Key("dashboard", item.uid): item.title for item in bundle.dashboards},
        **{
            Key("alert-rule", rule["uid"]): rule.get("title", "")
            for group in bundle.rule_groups
            for rule in group.get("rules", [])
        },
        **({Key("policy", OWNER): "routes of our alerts"} if bundle.routes else {}),
    }


def entries(bundle: Bundle, observed: Observed) -> list[Entry]:
    """List all that is ours or declared, and what others keep in our folders."""
    wanted = declared(bundle)
    ours = {key.uid for key, live in observed.objects.items() if key.kind == "folder" and live.owned}
    listed = [Entry(key, title, "missing") for key, title in wanted.items() if observed.live(key) is None]
    for key, live in observed.objects.items():
        if live.owned:
            listed.append(Entry(key, live.title, "ours" if key in wanted else "ours, not in the bundle"))
        elif key in wanted:
            listed.append(Entry(key, live.title, "from a file" if live.locked else "unmarked"))
        elif live.container in ours:
            listed.append(Entry(key, live.title, "foreign"))
    return sorted(listed, key=lambda entry: (ORDER.index(entry.key.kind), entry.key.uid))


def document(version: str, listed: list[Entry]) -> Json:
    """Return the JSON document that is printed."""
    return {
        "schema": 1,
        "grafana": {"version": version},
        "objects": [
            {"kind": entry.key.kind, "uid": entry.key.uid, "title": entry.title, "state": entry.state}
            for entry in listed
        ],
        "summary": summary(listed),
    }


def summary(listed: list[Entry]) -> dict[str, int]:
    """Count the objects by whose they are."""
    counted: dict[str, int] = {}
    for entry in listed:
        counted[entry.state] = counted.get(entry.state, 0) + 1
    return dict(sorted(counted.items()))
