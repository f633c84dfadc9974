"""What should be in Grafana, read from a folder of JSON files; the manifest gives it the environment's values."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from gwz_provision.errors import Misconfigured

Json = dict[str, Any]

_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Folder:
    """A folder of dashboards and rules, inside another one if it has a parent."""

    uid: str
    title: str
    parent: str = ""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard's JSON model and the folder it belongs to."""

    folder_uid: str
    model: Json
    may_be_empty: frozenset[int] = frozenset()
    """The panels whose queries may rightly find nothing: an empty answer is one."""

    @property
    def uid(self) -> str:
        """The uid under which Grafana keeps it."""
        return str(self.model.get("uid", ""))

    @property
    def title(self) -> str:
        """The title that people see."""
        return str(self.model.get("title", ""))


@dataclass(frozen=True)
class Bundle:
    """Everything that one `apply` brings to Grafana."""

    folders: tuple[Folder, ...]
    datasources: tuple[Json, ...]
    dashboards: tuple[Dashboard, ...]
    rule_groups: tuple[Json, ...] = ()
    contact_points: tuple[Json, ...] = ()
    routes: tuple[Json, ...] = ()
    templates: tuple[tuple[str, str], ...] = ()
    """Name and text of each message template."""
    rule_files: tuple[tuple[str, str], ...] = ()
    """Name and text of each file of Prometheus' recording rules."""
    own_contract: Traversable | None = None

    @property
    def contract(self) -> Traversable:
        """The file that says what is emitted: the bundle's own, else the one that is shipped."""
        return self.own_contract or shipped() / "contract.json"


def shipped() -> Traversable:
    """Find the bundle that lies in the wheel."""
    return files("gwz_provision") / "bundle"


def load(root: Traversable) -> Bundle:
    """Read a bundle; `Misconfigured` lists everything in it that Grafana would refuse or silently bend."""
    index = _read(root, "index.json")
    sources = _read(root, "datasources.json")
    try:
        bundle = Bundle(
            folders=tuple(Folder(entry["uid"], entry["title"], entry.get("parent", "")) for entry in index["folders"]),
            datasources=tuple(sources["datasources"]),
            dashboards=tuple(
                Dashboard(entry["folder"], _read(root, entry["file"]), frozenset(entry.get("mayBeEmpty", ())))
                for entry in index["dashboards"]
            ),
            rule_groups=tuple(
                group for name in _names(root, "alerts", ".json") for group in _read(root, name)["groups"]
            ),
            contact_points=tuple(_read_if_any(root, "contact-points.json").get("contactPoints", ())),
            routes=tuple(_read_if_any(root, "policies.json").get("routes", ())),
            templates=tuple(
                (name.removeprefix("templates/").removesuffix(".tmpl"), _text(root, name))
                for name in _names(root, "templates", ".tmpl")
            ),
            rule_files=tuple(
                (name, _text(root, name)) for ending in (".yml", ".yaml") for name in _names(root, "rules", ending)
            ),
            own_contract=contract if (contract := root.joinpath("contract.json")).is_file() else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _unusable([f"{root}: a file of the bundle has an entry without {error}"]) from error
    if found := [f"{root}: {problem}" for problem in _problems(bundle)]:
        raise _unusable(found)
    return bundle


def _names(root: Traversable, folder: str, ending: str) -> list[str]:
    """List the files of a folder of the bundle, sorted; none when there is no such folder."""
    place = root.joinpath(folder)
    return (
        sorted(f"{folder}/{item.name}" for item in place.iterdir() if item.name.endswith(ending))
        if place.is_dir()
        else []
    )


def _read_if_any(root: Traversable, name: str) -> Json:
    return _read(root, name) if root.joinpath(name).is_file() else {}


def _read(root: Traversable, name: str) -> Json:
    try:
        document = json.loads(_text(root, name))
    except (ValueError, RecursionError) as error:
        raise _unusable([f"{root}: {name} is not JSON: {error}"]) from error
    if not isinstance(document, dict):
        raise _unusable([f"{root}: {name} holds a {type(document).__name__}, not an object"])
    return document


def _text(root: Traversable, name: str) -> str:
    try:
        return root.joinpath(name).read_text(encoding="utf-8")
    except OSError as error:
        raise _unusable([f"{root}: cannot read {name}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise _unusable([f"{root}: {name} is not JSON: {error}"]) from error


def _unusable(problems: list[str]) -> Misconfigured:
    return Misconfigured(problems, "Pass the folder of a generated bundle with --bundle, or none for the shipped one.")


def _problems(bundle: Bundle) -> list[str]:
    folders = {folder.uid for folder in bundle.folders}
    named = [
        *(("folder", folder.uid) for folder in bundle.folders),
        *(("data source", str(source.get("uid", ""))) for source in bundle.datasources),
        *(("dashboard", dashboard.uid) for dashboard in bundle.dashboards),
    ]
    # Grafana 11.0 answers a title that its folder already holds by overwriting the other dashboard.
    titles = Counter((dashboard.folder_uid, dashboard.title) for dashboard in bundle.dashboards)
    return [
        *(f"{kind} uid {uid!r} is not 1 to 40 of [A-Za-z0-9_-]" for kind, uid in named if not _UID.fullmatch(uid)),
        *(f"{kind} uid {uid!r} occurs {count} times" for (kind, uid), count in Counter(named).items() if count > 1),
        *(
            f"folder {folder!r} has {count} dashboards {title!r}"
            for (folder, title), count in titles.items()
            if count > 1
        ),
        *(f"dashboard {item.uid!r} has no title" for item in bundle.dashboards if not item.title.strip()),
        *(
            f"dashboard {item.uid!r} is in folder {item.folder_uid!r}, which is not declared"
            for item in bundle.dashboards
            if item.folder_uid not in folders
        ),
    ]
