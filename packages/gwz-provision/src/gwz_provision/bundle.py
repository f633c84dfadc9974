"""What should be in Grafana: folders, data sources and dashboards, read from a folder of JSON files."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from gwz_provision.errors import Misconfigured

Json = dict[str, Any]

# Grafana's own `${__value.raw}` is lower case, so it never reads as a variable of the environment.
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Folder:
    """A folder of dashboards."""

    uid: str
    title: str


@dataclass(frozen=True)
class Dashboard:
    """A dashboard's JSON model and the folder it belongs to."""

    folder_uid: str
    model: Json

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

    def unset(self, environ: Mapping[str, str]) -> list[str]:
        """Name each variable that a data source needs and the environment lacks; empty counts as unset."""
        return [
            f"{name} is not set, and data source {source['uid']} needs it: export {name}=http://host:port"
            for source in self.datasources
            for name in dict.fromkeys(_VARIABLE.findall(json.dumps(source)))
            if not environ.get(name)
        ]

    def resolved(self, environ: Mapping[str, str]) -> "Bundle":
        """Put the environment's values where the data sources name its variables; `unset` must have found none."""
        return replace(self, datasources=tuple(_expanded(source, environ) for source in self.datasources))


def shipped() -> Traversable:
    """Find the bundle that lies in the wheel."""
    return files("gwz_provision") / "bundle"


def load(root: Traversable) -> Bundle:
    """Read a bundle; `Misconfigured` lists everything in it that Grafana would refuse or silently bend."""
    index = _read(root, "index.json")
    sources = _read(root, "datasources.json")
    try:
        bundle = Bundle(
            folders=tuple(Folder(entry["uid"], entry["title"]) for entry in index["folders"]),
            datasources=tuple(sources["datasources"]),
            dashboards=tuple(Dashboard(entry["folder"], _read(root, entry["file"])) for entry in index["dashboards"]),
        )
    except (KeyError, TypeError) as error:
        raise _unusable([f"{root}: index.json or datasources.json has an entry without {error}"]) from error
    if found := [f"{root}: {problem}" for problem in _problems(bundle)]:
        raise _unusable(found)
    return bundle


def _read(root: Traversable, name: str) -> Json:
    try:
        document = json.loads(root.joinpath(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable([f"{root}: cannot read {name}: {error.strerror}"]) from error
    except ValueError as error:
        raise _unusable([f"{root}: {name} is not JSON: {error}"]) from error
    if not isinstance(document, dict):
        raise _unusable([f"{root}: {name} holds a {type(document).__name__}, not an object"])
    return document


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


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: environ[found[1]], value)
        case dict():
            return {key: _expanded(item, environ) for key, item in value.items()}
        case list():
            return [_expanded(item, environ) for item in value]
        case _:
            return value
