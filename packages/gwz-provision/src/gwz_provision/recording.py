"""The recording rules of the bundle, which Prometheus has to load: Grafana cannot bring them there."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gwz_provision.bundle import Bundle, Json
from gwz_provision.check import promql
from gwz_provision.check.asked import panels, prometheus_rules
from gwz_provision.check.findings import Unparsable
from gwz_provision.check.substitution import substituted
from gwz_provision.errors import Misconfigured, ProvisionError

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Reader

CURE = "Save what `gwz-provision rules` prints in a file, name it under rule_files in prometheus.yml, and reload Prometheus."
_RULES = "api/v1/rules"
# A warning by the way is not worth more.
_PATIENCE_SECONDS = 5.0


def groups(bundle: Bundle) -> list[Json]:
    """Return the groups of all rule files; raises `Misconfigured` for a file that is none."""
    return [group for name, text in bundle.rule_files for group in _groups(name, text)]


def document(bundle: Bundle) -> str:
    """Write all groups as one rule file of Prometheus."""
    import yaml  # noqa: PLC0415 - slow to load, and few commands read rules

    written = yaml.safe_dump({"groups": groups(bundle)}, sort_keys=False, width=10_000, allow_unicode=True)
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
    answer = reader.proxied(uid, _RULES, {"type": "record"})
    listed = prometheus_rules(answer.get("data") or {}) if isinstance(answer, dict) else []
    return {str(rule.get("name")): str(rule.get("lastError") or "") for rule in listed}


def warning(bundle: Bundle, reader: "Reader", present: Iterable[str]) -> str:
    """Name the recording rules that panels need and Prometheus has not loaded, with one call; empty when there is nothing to tell."""
    wanted = needed(bundle)
    uids = [uid for sources in wanted.values() for uid in sources if uid in set(present)]
    if not uids:
        return ""
    try:
        with reader.within(_PATIENCE_SECONDS):
            there = loaded(reader, uids[0])
    except ProvisionError:
        return ""  # whether Prometheus is well is `doctor`'s question
    missing = [name for name, sources in wanted.items() if uids[0] in sources and name not in there]
    if not missing:
        return ""
    what = f"recording rule {missing[0]} is" if not missing[1:] else f"{len(missing)} recording rules are"
    named = f": {missing[0]} and more" if missing[1:] else ""
    return f"{what} not loaded in the Prometheus of {uids[0]}, and panels or alerts read them{named}. {CURE}"


def _groups(name: str, text: str) -> list[Any]:
    import yaml  # noqa: PLC0415 - slow to load, and few commands read rules

    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are the safe loader
    except yaml.YAMLError as error:
        raise Misconfigured([f"{name} is not YAML: {error}"], "Correct the file in the bundle.") from error
    if not isinstance(content, dict) or not isinstance(content.get("groups"), list):
        raise Misconfigured([f"{name} has no list of groups"], "Correct the file in the bundle.")
    return list(content["groups"])


def _asked(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """List the queries of panels and alert rules with their data sources."""
    for dashboard in bundle.dashboards:
        for panel in panels(dashboard.model):
            for target in panel.get("targets") or []:
                source = target.get("datasource") or panel.get("datasource") or {}
                yield str(source.get("uid")), str(target.get("expr") or "")
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
