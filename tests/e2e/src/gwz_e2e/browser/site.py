"""A Grafana after the load: its data sources asked as its browser asks them, and what is known of the load."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from gwz_dashboards.common import finished
from gwz_dashboards.generate import pages
from gwz_e2e.panels.answers import Shown
from gwz_e2e.panels.boards import Json, Query
from gwz_e2e.panels.facts import Facts
from gwz_e2e.panels.proof import Seen
from gwz_e2e.panels.through_grafana import ThroughGrafana

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Site:
    """What is asked, and what was seen there of every panel."""

    url: str
    password: str
    facts: Facts
    seen: tuple[Seen, ...]

    @cached_property
    def documents(self) -> Mapping[str, Json]:
        """The dashboards that Grafana has of those that ship, by uid."""
        shipped = {page.uid: finished(page) for page in pages()}
        return {uid: document for uid, document in shipped.items() if self._has(uid)}

    @cached_property
    def sources(self) -> Mapping[str, Json]:
        """The data sources as Grafana has them, by uid."""
        return {one["uid"]: one for one in self.get("/api/datasources")}

    def get(self, path: str, **parameters: Any) -> Any:
        """What Grafana's API answers; raises httpx.HTTPStatusError."""
        return self.client.get(path, params=parameters).raise_for_status().json()

    def resource(self, uid: str, path: str, **parameters: Any) -> Any:
        """What a data source answers to a question that is no query."""
        return self.get(f"/api/datasources/uid/{uid}/resources/{path}", **parameters)["data"]

    def ask(self, target: Json) -> Shown:
        """What a query of nobody's panel is answered in the range; raises NotShown."""
        return self._asker.ask(Query("", "", {"id": 0, "title": ""}, {"refId": "A", **target}), self.facts.window)

    @cached_property
    def siblings(self) -> set[str]:
        """The dashboards that the list in the corner of each names."""
        return {one["uid"] for one in self.get("/api/search", tag="gatewayz", type="dash-db")}

    def spans(self, uid: str, trace_id: str) -> int:
        """How many spans a trace has by a data source."""
        answer = self.get(f"/api/datasources/proxy/uid/{uid}/api/traces/{trace_id}")
        return sum(len(scope["spans"]) for batch in answer["batches"] for scope in batch["scopeSpans"])

    def shown(self, uid: str, panel: int) -> list[Shown]:
        """What the queries of a panel were answered."""
        return [one.shown for one in self.seen if (one.query.dashboard, one.query.panel["id"]) == (uid, panel)]

    @property
    def times(self) -> str:
        """The range as an address of Grafana has it."""
        window = self.facts.window
        return f"from={window.start * 1e3:.0f}&to={window.end * 1e3:.0f}"

    def empty(self, uid: str) -> set[int]:
        """The panels of a dashboard none of whose queries was answered with anything."""
        panels = {int(one.query.panel["id"]) for one in self.seen if one.query.dashboard == uid}
        return {panel for panel in panels if not any(has_anything(shown) for shown in self.shown(uid, panel))}

    @cached_property
    def client(self) -> httpx.Client:
        """The administrator, who asks Grafana's API."""
        return httpx.Client(base_url=self.url, auth=("admin", self.password), timeout=_TIMEOUT_S, trust_env=False)

    def _has(self, uid: str) -> bool:
        return self.client.get(f"/api/dashboards/uid/{uid}").is_success

    @cached_property
    def _asker(self) -> ThroughGrafana:
        return ThroughGrafana(self.url, self.password)


def has_anything(shown: Shown) -> bool:
    return bool(shown.rows or shown.lines or shown.traces or any(curve.points for curve in shown.curves))
