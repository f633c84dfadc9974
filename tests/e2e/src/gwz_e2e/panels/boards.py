"""The dashboards' queries, and the values that a person has chosen on them, put in as Grafana's browser does."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from gwz_dashboards.common import finished
from gwz_dashboards.expectations import RULES, Key
from gwz_dashboards.expectations.kinds import COUNT, Kind
from gwz_dashboards.generate import pages
from gwz_dashboards.panels import PROMETHEUS_UID

Json = dict[str, Any]
Chosen = Mapping[str, str | Sequence[str]]
"""The values of variables by name: a text as it is, several as what a person has ticked."""

JOB = "gatewayz_e2e"
"""The environment that only the application under load is in."""
RULES_UID = "rules"
"""Stands for the dashboard in the key of a recording rule."""
_VARIABLE = re.compile(r"\$(?P<plain>[a-z]\w*)|\$\{(?P<braced>[a-z]\w*)\}")
_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")


@dataclass(frozen=True)
class Query:
    """One query of one panel, with the panel that shows it."""

    dashboard: str
    dashboard_title: str
    panel: Json
    target: Json

    @property
    def key(self) -> Key:
        """What its expectation is found by."""
        return self.dashboard, int(self.panel["id"]), str(self.target["refId"])

    @property
    def id(self) -> tuple[str, str, str]:
        """What tells it from every other one, rules included."""
        return self.dashboard, f"{self.panel['id']} {self.panel['title']}", str(self.target["refId"])

    @property
    def kind(self) -> str:
        """The type of its data source."""
        return str(self.target["datasource"]["type"])

    @property
    def text(self) -> str:
        """What is asked."""
        return str(self.target.get("expr") or self.target.get("query") or self.target.get("url") or "")

    def asking(self, **changes: Any) -> "Query":
        """The same with another question."""
        return replace(self, target={**self.target, **changes})

    def __str__(self) -> str:
        return f"{self.dashboard_title} / {self.panel['title']} / {self.target['refId']}"


@cache
def every_query() -> tuple[Query, ...]:
    """The queries of every panel of every dashboard that ships."""
    return tuple(_queries())


@cache
def every_rule() -> tuple[Query, ...]:
    """Each recording rule's metric, as if a panel of its own showed it."""
    return tuple(_rule(name, expect) for name, expect in RULES.items())


def _rule(name: str, kind: Kind) -> Query:
    unit = next(iter(getattr(kind, "quantity", COUNT).units))
    panel = {"id": 0, "title": name, "type": "timeseries", "fieldConfig": {"defaults": {"unit": unit}}}
    target = {
        "refId": "A",
        "datasource": {"type": "prometheus", "uid": PROMETHEUS_UID},
        "expr": f'{name}{{job=~"$environment"}}',
        "instant": True,
        "legendFormat": "{{provider}}",
    }
    return Query(RULES_UID, "Recording rules", {**panel, "targets": [target]}, target)


def _queries() -> Iterator[Query]:
    for page in pages():
        for panel in finished(page)["panels"]:
            for target in panel.get("targets", []):
                yield Query(page.uid, page.title, panel, target)


def filled(query: Query, chosen: Chosen) -> Query:
    """The query with the values of its variables; those of Grafana's backend, `$__interval` and the like, stay."""

    def value(found: re.Match[str]) -> str:
        name = found["plain"] or found["braced"]
        return _written(chosen[name]) if name in chosen else found[0]

    asked = {name: _VARIABLE.sub(value, query.target[name]) for name in ("expr", "query") if name in query.target}
    return query.asking(**asked)


def _written(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    escaped = [_SPECIAL.sub(r"\\\\\g<0>", one.replace("\\", r"\\\\")) for one in value]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def labelled(query: str | Mapping[str, str]) -> tuple[str, str]:
    """Of a variable's question to Prometheus or to Loki the selector of the series, and the label whose values it offers.

    Raises ValueError for a question of another kind, of which nothing here knows.
    """
    if not isinstance(query, str):
        return query["stream"], query["label"]
    found = _LABEL_VALUES.fullmatch(query)
    if found is None:
        raise ValueError(f"{query!r} is no label_values(…), the only question of a variable that is known here")
    return found["selector"], found["label"]
