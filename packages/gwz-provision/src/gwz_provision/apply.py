"""Brings Grafana from what is there to what the bundle says, writing only where the two differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gwz_provision.bundle import Bundle, Dashboard, Folder, Json
from gwz_provision.errors import Conflict

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import, which the pure part of this module does not need
    from gwz_provision.grafana import Grafana

# What Grafana adds to a dashboard that it stores.
_ADDED = frozenset({"id", "version"})


@dataclass(frozen=True)
class Action:
    """What was done to one object."""

    kind: Literal["folder", "datasource", "dashboard"]
    uid: str
    action: Literal["create", "update", "unchanged"]


def apply(bundle: Bundle, grafana: "Grafana") -> Iterator[Action]:
    """Do what is missing, telling each action when it is done; idempotent, a second run writes nothing."""
    grafana.login()
    for folder in bundle.folders:
        yield _apply_folder(folder, grafana)
    for source in bundle.datasources:
        yield _apply_datasource(source, grafana)
    for dashboard in bundle.dashboards:
        yield _apply_dashboard(dashboard, grafana)


def same_datasource(wanted: Json, live: Json) -> bool:
    """Tell whether every field that we set is there as we set it; what Grafana adds does not count."""
    return all(live.get(key) == value for key, value in wanted.items())


def same_dashboard(wanted: Dashboard, live: Json) -> bool:
    """Tell whether the stored dashboard is ours, in our folder."""
    stored = {key: value for key, value in live["dashboard"].items() if key not in _ADDED}
    return bool(live["meta"].get("folderUid") == wanted.folder_uid and stored == wanted.model)


def _apply_folder(folder: Folder, grafana: "Grafana") -> Action:
    live = grafana.folder(folder.uid)
    if live is None:
        grafana.create_folder(folder.uid, folder.title)
        return Action("folder", folder.uid, "create")
    if live["title"] == folder.title:
        return Action("folder", folder.uid, "unchanged")
    grafana.rename_folder(folder.uid, folder.title)
    return Action("folder", folder.uid, "update")


def _apply_datasource(source: Json, grafana: "Grafana") -> Action:
    uid = source["uid"]
    live = grafana.datasource(uid)
    if live is None:
        grafana.create_datasource(source)
        return Action("datasource", uid, "create")
    if same_datasource(source, live):
        return Action("datasource", uid, "unchanged")
    if live.get("readOnly"):
        raise _provisioned(f"data source {uid}")
    grafana.update_datasource({**source, "version": live["version"]})
    return Action("datasource", uid, "update")


def _apply_dashboard(dashboard: Dashboard, grafana: "Grafana") -> Action:
    live = grafana.dashboard(dashboard.uid)
    if live is None:
        grafana.save_dashboard(dashboard.model, dashboard.folder_uid)
        return Action("dashboard", dashboard.uid, "create")
    if same_dashboard(dashboard, live):
        return Action("dashboard", dashboard.uid, "unchanged")
    if live["meta"].get("provisioned"):
        raise _provisioned(f"dashboard {dashboard.uid}")
    grafana.save_dashboard({**dashboard.model, "version": live["dashboard"]["version"]}, dashboard.folder_uid)
    return Action("dashboard", dashboard.uid, "update")


def _provisioned(what: str) -> Conflict:
    return Conflict(
        f"{what} differs, and cannot be changed: Grafana reads it from a file.",
        "Remove it from Grafana's provisioning folder (GF_PATHS_PROVISIONING), restart Grafana, and apply again.",
    )
