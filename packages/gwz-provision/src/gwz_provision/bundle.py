"""What should be in Grafana, read from a folder of JSON files; the manifest gives it the environment's values."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from gwz_provision import forms, reading
from gwz_provision.errors import Misconfigured
from gwz_provision.shapes import Shape

Json = dict[str, Any]
_T = TypeVar("_T")

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
    files = _Files(root)
    index = files.document("index.json", forms.OWN_INDEX)
    bundle = Bundle(
        folders=tuple(
            Folder(entry["uid"], entry["title"], entry.get("parent", "")) for entry in index.get("folders", ())
        ),
        datasources=tuple(files.document("datasources.json", forms.OWN_DATASOURCES).get("datasources", ())),
        dashboards=tuple(
            Dashboard(
                entry["folder"],
                files.document(entry["file"], forms.DASHBOARD),
                frozenset(entry.get("mayBeEmpty", ())),
            )
            for entry in index.get("dashboards", ())
        ),
        rule_groups=tuple(
            group
            for name in files.names("alerts", ".json")
            for group in files.document(name, forms.OWN_ALERTS).get("groups", ())
        ),
        contact_points=tuple(files.document_if_any("contact-points.json", forms.OWN_CONTACTS).get("contactPoints", ())),
        routes=tuple(files.document_if_any("policies.json", forms.OWN_ROUTES).get("routes", ())),
        templates=tuple(
            (name.removeprefix("templates/").removesuffix(".tmpl"), files.text(name))
            for name in files.names("templates", ".tmpl")
        ),
        rule_files=tuple(
            (name, files.text(name)) for ending in (".yml", ".yaml") for name in files.names("rules", ending)
        ),
        own_contract=contract if (contract := root.joinpath("contract.json")).is_file() else None,
    )
    if found := files.problems or [f"{root}: {problem}" for problem in _problems(bundle)]:
        cure = "Correct it, or pass the folder of a generated bundle with --bundle; none for the shipped one."
        raise Misconfigured(found, cure)
    return bundle


@dataclass(frozen=True)
class _Files:
    """The files of a bundle, each read as far as it can be; what is wrong with them is gathered."""

    root: Traversable
    problems: list[str] = field(default_factory=list)

    def names(self, folder: str, ending: str) -> list[str]:
        """List the files of a folder of the bundle, sorted; none when there is no such folder."""
        place = self.root.joinpath(folder)
        try:
            listed = [item.name for item in place.iterdir()] if place.is_dir() else []
        except OSError as error:
            self.problems.append(f"{self.root}: cannot read {folder}: {error.strerror}")
            return []
        return sorted(f"{folder}/{name}" for name in listed if name.endswith(ending))

    def document_if_any(self, name: str, form: Shape) -> Json:
        """Read an object of JSON; empty when there is no such file."""
        return self.document(name, form) if self.root.joinpath(name).is_file() else {}

    def document(self, name: str, form: Shape) -> Json:
        """Read an object of JSON, as far as it has the form."""
        content = self._read(name, reading.json_of)
        if content is None:
            return {}
        fitted, problems = reading.fitted(content, form)
        self.problems.extend(f"{self.root}: {name}: {problem}" for problem in problems)
        return fitted or {}

    def text(self, name: str) -> str:
        """Read a file as it is."""
        return self._read(name, reading.text_of) or ""

    def _read(self, name: str, parse: Callable[[bytes], _T]) -> _T | None:
        try:
            return parse(self.root.joinpath(name).read_bytes())
        except OSError as error:
            self.problems.append(f"{self.root}: cannot read {name}: {error.strerror}")
        except ValueError as error:
            self.problems.append(f"{self.root}: {name}: {error}")
        return None


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
