"""The recording rules of the bundle, which Prometheus has to load: Grafana cannot bring them there."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gwz_provision import forms, reading
from gwz_provision.bundle import Bundle, Json
from gwz_provision.check import promql, rulefile
from gwz_provision.check.asked import panels, prometheus_rules
from gwz_provision.check.documents import Document
from gwz_provision.check.findings import Finding, Place, Unparsable
from gwz_provision.check.substitution import substituted
from gwz_provision.errors import ForeignServer, Misconfigured, ProvisionError
from gwz_provision.shapes import Maybe

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Reader

CURE = "Save what `gwz-provision rules` prints in a file, name it under rule_files in prometheus.yml, and reload Prometheus."
_RULES = "api/v1/rules"
_LOADED = {"data": {"groups": Maybe([{"rules": Maybe([{"name": str, "lastError": Maybe(str)}])}])}}
# A warning by the way is not worth more.
_PATIENCE_SECONDS = 5.0


def groups(bundle: Bundle) -> list[Json]:
    """Return the groups of all rule files; raises `Misconfigured` for a file that is none."""
    return [group for name, text in bundle.rule_files for group in _groups(name, text)]


def document(bundle: Bundle) -> str:
    """Write all groups as one rule file of Prometheus; raises `Misconfigured` for one that it would refuse."""
    import yaml  # noqa: PLC0415 - slow to load, and few commands read rules

    content = {"groups": groups(bundle)}
    if refused := list(_refused(Document("rules", "", "rules", content))):
        told = [f"{Place(one.file, title=one.title)}: {one.sentence} {one.cure}" for one in refused]
        raise Misconfigured(told, "Correct the bundle's rules; `gwz-provision validate` checks each of its files.")
    written = yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# The recording rules of gwz-provision's bundle, for rule_files in prometheus.yml.\n{written}"


def expressions(bundle: Bundle) -> dict[str, str]:
    """Map each recorded metric to the expression that makes it."""
    rules = prometheus_rules({"groups": groups(bundle)})
    return {str(rule["record"]): str(rule.get("expr", "")) for rule in rules if "record" in rule}


def needed(bundle: Bundle) -> dict[str, list[str]]:
    """Map the recorded metrics that panels or alert rules read to the data sources they read them from, other rules' needs included."""
    made = expressions(bundle)
    found: dict[str, list[str]] = {}
    for source, text in _asked(bundle):
        for name in _reached(text, made):
            if source not in found.setdefault(name, []):
                found[name].append(source)
    return found


def loaded(reader: "Reader", uid: str) -> dict[str, str]:
    """Ask a Prometheus for its recording rules; each with the error of its last evaluation, empty when it had none."""
    answer = reader.proxied(uid, _RULES, {"type": "record"}, _LOADED)
    listed = [rule for group in answer["data"].get("groups") or () for rule in group.get("rules") or ()]
    return {rule["name"]: rule.get("lastError") or "" for rule in listed}


def warning(bundle: Bundle, reader: "Reader", present: Iterable[str]) -> str:
    """Name the recording rules that panels need and Prometheus has not loaded, with one call; empty when there is nothing to tell."""
    wanted = needed(bundle)
    uids = [uid for sources in wanted.values() for uid in sources if uid in set(present)]
    if not uids:
        return ""
    try:
        with reader.within(_PATIENCE_SECONDS):
            there = loaded(reader, uids[0])
    except ForeignServer as error:
        return f"whether the recording rules that panels read are loaded is not known: {error.cause} {error.cure}"
    except ProvisionError:
        return ""  # whether Prometheus is well is `doctor`'s question
    missing = [name for name, sources in wanted.items() if uids[0] in sources and name not in there]
    if not missing:
        return ""
    what = f"recording rule {missing[0]} is" if not missing[1:] else f"{len(missing)} recording rules are"
    named = f": {missing[0]} and more" if missing[1:] else ""
    return f"{what} not loaded in the Prometheus of {uids[0]}, and panels or alerts read them{named}. {CURE}"


def _groups(name: str, text: str) -> list[Json]:
    try:
        content, wrong = reading.fitted(reading.yaml_of(text.encode()), forms.RULES)
    except ValueError as error:
        raise Misconfigured([f"{name}: {error}"], "Correct the file in the bundle.") from error
    if not wrong and "groups" not in content:
        wrong = ["it has no list of groups"]
    if wrong:
        raise Misconfigured([f"{name}: {problem}" for problem in wrong], "Correct the file in the bundle.")
    return list(content["groups"])


def _refused(rules: Document) -> Iterator[Finding]:
    yield from rulefile.recording(rules)
    for rule in prometheus_rules(rules.content):
        try:
            promql.parse(str(rule.get("expr") or "vector(0)"))
        except Unparsable as error:
            yield Place(rules.file, title=str(rule.get("record") or rule.get("alert") or "")).finding(error.problem)


def _asked(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """List the queries of panels and alert rules with their data sources."""
    for dashboard in bundle.dashboards:
        for panel in panels(dashboard.model):
            for target in panel.get("targets") or []:
                source = target.get("datasource") or panel.get("datasource") or {}
                named = source if isinstance(source, str) else source.get("uid")
                yield str(named), str(target.get("expr") or "")
    for group in bundle.rule_groups:
        for rule in group.get("rules") or []:
            for item in rule.get("data") or []:
                yield str(item.get("datasourceUid")), str((item.get("model") or {}).get("expr") or "")


def _reached(text: str, made: dict[str, str]) -> list[str]:
    """Name the recorded metrics that a query reads, and those that they are made of."""
    found: list[str] = []
    pending = [text]
    while pending:
        names = [name for name in _names(pending.pop()) if name in made and name not in found]
        found += names
        pending += [made[name] for name in names]
    return found


def _names(text: str) -> list[str]:
    if ":" not in text:
        return []
    try:
        return [one.name for one in selectors(promql.parse(substituted(text).text))]
    except Unparsable:
        return []  # `validate` reports it; LogQL comes by here too


def selectors(node: promql.Node) -> Iterator[promql.Selector]:
    """List the selectors of a query, from left to right."""
    match node:
        case promql.Selector():
            yield node
        case promql.Call():
            for argument in node.arguments:
                yield from selectors(argument)
        case promql.Aggregate():
            yield from selectors(node.of)
        case promql.Binary():
            yield from selectors(node.left)
            yield from selectors(node.right)
