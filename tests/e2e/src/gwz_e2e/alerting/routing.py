"""Whom the tree of notification policies tells of an alert, and when; held against what is meant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from gwz_dashboards.alerts import ALERTS_SHIPPED
from gwz_e2e.alerting.divided import seconds

EVERYBODY, ON_CALL = "GatewayZ", "GatewayZ on call"
"""Every alert is told; those that cannot wait wake somebody up as well."""
KINDS = {EVERYBODY: {"webhook", "slack", "email"}, ON_CALL: {"pagerduty"}}
"""By what they can be told."""
_SOON_S = 5
"""A first message may not wait longer to be gathered with others."""
_AGAIN_S = 60
"""Nor may what changes in a group of alerts: the next evaluation is so much later."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Routing:
    """The routes and the contact points that they lead to, as the bundle has them."""

    routes: Sequence[Json]
    contact_points: Sequence[Json]


def problems(routing: Routing) -> Iterator[str]:
    """Tell what differs from what is meant."""
    severities, teams = ({getattr(alert, name) for alert in ALERTS_SHIPPED} for name in ("severity", "team"))
    for severity, team in product(sorted(severities), sorted(teams)):
        taken = list(_taken(routing.routes, {"severity": severity, "team": team}))
        wanted = {EVERYBODY, *([ON_CALL] if severity == "critical" else [])}
        if sorted(route["receiver"] for route in taken) != sorted(wanted):
            yield f"a {severity} alert of {team} is told to {', '.join(route['receiver'] for route in taken) or 'nobody'}"
    yield from (problem for route in routing.routes for problem in _slow(route))
    kinds: dict[str, set[str]] = {}
    for point in routing.contact_points:
        kinds.setdefault(point["name"], set()).add(point["type"])
        if "${" not in str(point["settings"]):
            yield f"the address of {point['uid']} is nobody's to set"
    if kinds != KINDS:
        yield f"the contact points are {kinds}"


def _taken(routes: Sequence[Json], labels: Mapping[str, str]) -> Iterator[Json]:
    """The routes that an alert takes: the first that matches, and the next ones while it says `continue`."""
    for route in routes:
        if all(_matches(labels, *matcher) for matcher in route.get("object_matchers", [])):
            yield route
            if not route.get("continue"):
                return


def _matches(labels: Mapping[str, str], name: str, operator: str, value: str) -> bool:
    return (labels.get(name, "") == value) is (operator == "=")


def _slow(route: Json) -> Iterator[str]:
    for setting, most in (("group_wait", _SOON_S), ("group_interval", _AGAIN_S)):
        if seconds(route[setting]) > most:
            yield f"{route['receiver']} waits {route[setting]} as its {setting}"
    if "alertname" not in route["group_by"]:
        yield f"{route['receiver']} is told of different alerts in one message"
