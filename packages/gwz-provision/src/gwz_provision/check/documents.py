"""The files that are checked, each read once and recognised by its shape."""
# ruff: noqa: SIM905 - words read best as words

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from gwz_provision import forms, reading
from gwz_provision.check.asked import prometheus_rules
from gwz_provision.check.findings import Finding, Place, Problem
from gwz_provision.errors import Misconfigured
from gwz_provision.shapes import Maybe, Shape

Json = dict[str, Any]
Kind = Literal["dashboard", "alerting", "rules", "datasources", "index", "contract"]

_ENDINGS = (".json", ".yaml", ".yml")
_ALERTING = frozenset(
    """groups deleteRules contactPoints deleteContactPoints policies resetPolicies muteTimes deleteMuteTimes templates
    deleteTemplates notificationPolicies routes""".split()
)
_FORMS: Mapping[Kind, Shape] = {
    "dashboard": forms.DASHBOARD,
    "alerting": forms.ALERTING,
    "rules": forms.RULES,
    "datasources": forms.DATASOURCES,
    "index": forms.INDEX,
    "contract": Maybe(object),
}


@dataclass(frozen=True)
class Document:
    """What a file is, and of its content what has the form of that."""

    file: str
    folder: str
    kind: Kind
    content: Json


@dataclass
class Read:
    """All that was read: the documents, and what is wrong with the files that are none."""

    documents: list[Document] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    files: int = 0


def read(roots: Sequence[Traversable], bundle: Traversable) -> Read:
    """Read files and folders, or the bundle when there are none; a root that does not exist is a mistake of the caller."""
    missing = [str(root) for root in roots if not (root.is_dir() or root.is_file())]
    if missing:
        problems = [f"{name} does not exist" for name in missing]
        raise Misconfigured(problems, "Pass folders or files of dashboards and rules, or none for the shipped bundle.")
    done = Read()
    found = (file for root in roots for file in _files(root)) if roots else _below(bundle, "")
    for file, name, folder in found:
        done.files += 1
        _one(done, file, name, folder)
    return done


def _files(root: Traversable) -> Iterator[tuple[Traversable, str, str]]:
    if root.is_file():
        yield root, str(root), str(Path(str(root)).parent)
        return
    yield from _below(root, str(root))


def _below(folder: Traversable, name: str) -> Iterator[tuple[Traversable, str, str]]:
    try:
        entries = sorted(folder.iterdir(), key=lambda one: one.name)
    except OSError as error:
        raise Misconfigured([f"{name} cannot be read: {error.strerror}"], "Let whoever runs this read it.") from error
    for entry in entries:
        path = f"{name}/{entry.name}" if name else entry.name
        if entry.is_dir() and not entry.name.startswith((".", "__")):
            yield from _below(entry, path)
        elif entry.name.endswith(_ENDINGS):
            yield entry, path, name


def _one(done: Read, file: Traversable, name: str, folder: str) -> None:
    place = Place(name)
    try:
        contents = _parsed(file)
    except (OSError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        done.findings.append(
            place.finding(Problem("file/unreadable", f"cannot be read: {reason}.", "Correct the file."))
        )
        return
    for content in contents:
        kind = _kind(content)
        if kind is None:
            sentence = f"is neither a dashboard nor a rule file: it has {_keys(content)}."
            cure = "Pass dashboards, alert rules or recording rules; move other files elsewhere."
            done.findings.append(place.finding(Problem("file/unknown", sentence, cure)))
            continue
        unpacked = (
            content["dashboard"] if kind == "dashboard" and isinstance(content.get("dashboard"), dict) else content
        )
        fitted, problems = reading.fitted(unpacked, _FORMS[kind])
        done.findings.extend(place.finding(Problem("file/shape", f"{one}.", _SHAPE_CURE)) for one in problems)
        if fitted is not None:
            done.documents.append(Document(name, folder, kind, fitted))


_SHAPE_CURE = "Write it as an export of Grafana has it."


def _keys(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__} at its top"
    return f"the keys {', '.join(sorted(map(str, content))[:8])}" if content else "no keys"


def _parsed(file: Traversable) -> list[Any]:
    data = file.read_bytes()
    content = reading.json_of(data) if file.name.endswith(".json") else reading.yaml_of(data)
    # The API lists rules, data sources and contact points without a frame.
    return content if isinstance(content, list) and content and all(map(_kind, content)) else [content]


def _kind(content: Any) -> Kind | None:  # noqa: PLR0911 - one line for each shape
    if not isinstance(content, dict):
        return None
    if "panels" in content or "rows" in content or isinstance(content.get("dashboard"), dict):
        return "dashboard"
    if "metrics" in content and "logs" in content:
        return "contract"
    if "folders" in content and isinstance(content.get("dashboards"), list):
        return "index"
    if isinstance(content.get("datasources"), list):
        return "datasources"
    if _is_prometheus(content):
        return "rules"
    if _ALERTING & content.keys() or "rules" in content or ("data" in content and "condition" in content):
        return "alerting"
    if "title" in content and ("schemaVersion" in content or "templating" in content):
        return "dashboard"
    return "alerting" if "receiver" in content or {"settings", "type"} <= content.keys() else None


def _is_prometheus(content: Json) -> bool:
    rules = prometheus_rules(content)
    return bool(rules) and all("expr" in rule or "record" in rule or "alert" in rule for rule in rules)
