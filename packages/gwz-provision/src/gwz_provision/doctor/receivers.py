"""Where the alerts of the bundle go: pure decisions from its routes and the contact points that there are."""

from collections.abc import Iterable, Iterator, Mapping

from gwz_provision.bundle import Bundle, Json
from gwz_provision.check.promql import Matcher
from gwz_provision.doctor.trees import match_of, meets
from gwz_provision.manifest import variables
from gwz_provision.report import Hop


def judged(bundle: Bundle, there: Iterable[str]) -> tuple[list[Hop], str]:
    """Name each receiver that alert rules need and Grafana lacks; and say so when nobody was meant to be told."""
    names, hops, untold = set(there), [], 0
    for receiver, rules in _needed(bundle).items():
        if receiver not in names and not _optional(bundle, receiver):
            cause = f"{len(rules)} alert rules go to the contact point {receiver}, which Grafana does not have."
            hops.append(Hop("receiver", receiver, cause, "Run `gwz-provision apply`."))
    for rule in _rules(bundle):
        untold += not any(receiver in names for receiver in _receivers(bundle, rule))
    if not untold or hops:
        return hops, ""
    wanted = ", ".join(dict.fromkeys(name for item in bundle.contact_points for name in variables(item)))
    cure = f" Set one of {wanted}, and apply." if wanted else ""
    return [], f"{untold} alert rules tell nobody: no receiver of the bundle is set.{cure}"


def _needed(bundle: Bundle) -> dict[str, list[str]]:
    needed: dict[str, list[str]] = {}
    for rule in _rules(bundle):
        for receiver in _receivers(bundle, rule):
            needed.setdefault(receiver, []).append(rule["uid"])
    return needed


def _rules(bundle: Bundle) -> Iterator[Json]:
    for group in bundle.rule_groups:
        yield from group.get("rules") or []


def _receivers(bundle: Bundle, rule: Json) -> list[str]:
    """Follow a rule's alerts: to its own receiver, or down the bundle's routes."""
    own = (rule.get("notification_settings") or {}).get("receiver")
    if own:
        return [str(own)]
    labels = {"alertname": rule["title"], **(rule.get("labels") or {})}
    found = []
    for route in bundle.routes:
        if all(_caught(matcher, labels) for matcher in route.get("object_matchers") or []):
            found.append(str(route["receiver"]))
            if not route.get("continue"):
                break
    return found


def _caught(matcher: list[str], labels: Mapping[str, str]) -> bool:
    label, operator, value = matcher
    return meets(Matcher(label, match_of(operator), value), labels.get(label, ""))


def _optional(bundle: Bundle, receiver: str) -> bool:
    integrations = [item for item in bundle.contact_points if item["name"] == receiver]
    return bool(integrations) and all(item.get("optional") for item in integrations)
