"""How the questions of a dashboard are put: through a Grafana as its browser does, or to each engine itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import httpx

from gwz_bench.dashboards.boards import Panel, Variable
from gwz_dashboards.panels import LINES_SHOWN, LOKI_UID, PROMETHEUS_UID
from gwz_e2e.panels.answers import Window
from gwz_e2e.panels.boards import Chosen, Query
from gwz_e2e.panels.directly import replaced
from gwz_stack import Urls


class Refused(Exception):  # noqa: N818  # a finding, no error
    """A question that was not answered; the message says how."""


@dataclass(frozen=True)
class Question:
    """One request of the browser, and how many rows its answer has by the query that they are of; Refused if it has none."""

    what: str
    url: str
    rows: Callable[[Any], Mapping[str, int]]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def put(self, client: httpx.Client) -> httpx.Response:
        """Ask, and read the answer to its end."""
        method = "GET" if self.body is None else "POST"
        return client.request(method, self.url, params=dict(self.params), json=self.body, headers=dict(self.headers))


class Way(Protocol):
    """Who is asked."""

    @property
    def name(self) -> str:
        """For the report."""

    def choices(self, variable: Variable, chosen: Chosen, window: Window) -> Question:
        """The question for the values of a variable."""

    def of_panel(self, panel: Panel) -> list[Question]:
        """The questions of a panel."""


@dataclass(frozen=True)
class ThroughGrafana:
    """A Grafana that was provisioned."""

    url: str
    name: str = "through Grafana"

    def choices(self, variable: Variable, chosen: Chosen, window: Window) -> Question:
        """By the data source's resources, as its plugin in the browser does."""
        place = f"{self.url}/api/datasources/uid/{variable.uid}/resources"
        return _choices(
            variable, chosen, window, f"{place}/label" if variable.source == "loki" else f"{place}/api/v1/label"
        )

    def of_panel(self, panel: Panel) -> list[Question]:
        """All queries of a data source together."""

        def uid(query: Query) -> str:
            return str(query.target["datasource"]["uid"])

        together = [list(queries) for _, queries in groupby(sorted(panel.queries, key=uid), uid)]
        return [self._question(panel, queries) for queries in together]

    def _question(self, panel: Panel, queries: Sequence[Query]) -> Question:
        window = panel.window
        points = {
            "intervalMs": round(window.step_s * 1e3),
            "maxDataPoints": panel.points,
        }
        body = {
            "from": f"{window.start * 1e3:.0f}",
            "to": f"{window.end * 1e3:.0f}",
            "queries": [{**points, **query.target} for query in queries],
        }
        return Question(panel.title, f"{self.url}/api/ds/query", partial(_rows_of_frames, panel.title), body=body)


@dataclass(frozen=True)
class ToEngines:
    """Prometheus and Loki by their APIs, the JSON endpoints by the application's."""

    urls: Urls
    app_url: str
    token: str
    name: str = "by the engines' own APIs, without a Grafana"

    def choices(self, variable: Variable, chosen: Chosen, window: Window) -> Question:
        """By the engine's own list of a label's values."""
        in_loki = f"{self.urls.loki}/loki/api/v1/label"
        return _choices(
            variable, chosen, window, in_loki if variable.source == "loki" else f"{self.urls.prometheus}/api/v1/label"
        )

    def of_panel(self, panel: Panel) -> list[Question]:
        """Each query by itself."""
        return [self._question(panel, query) for query in panel.queries]

    def _question(self, panel: Panel, query: Query) -> Question:
        uid, window = query.target["datasource"]["uid"], panel.window
        expression = replaced(query.text, window)
        if uid == PROMETHEUS_UID:
            instant = {"query": expression, "time": window.end}
            ranged = {"query": expression, "start": window.start, "end": window.end, "step": window.step_s}
            path, asked = ("query", instant) if query.target.get("instant") else ("query_range", ranged)
            return self._asked(panel, query, f"{self.urls.prometheus}/api/v1/{path}", asked, _rows_of_result)
        if uid == LOKI_UID:
            instant = {"query": expression, "time": int(window.end * 1e9)}
            limit = query.target.get("maxLines", LINES_SHOWN)
            ranged = {"query": expression, **_edges_ns(window), "step": window.step_s, "limit": limit}
            is_instant = query.target.get("queryType") == "instant"
            path, asked = ("query", instant) if is_instant else ("query_range", ranged)
            return self._asked(panel, query, f"{self.urls.loki}/loki/api/v1/{path}", asked, _rows_of_result)
        asked = {one["key"]: one["value"] for one in query.target["url_options"].get("params", ())}
        return self._asked(panel, query, f"{self.app_url}{query.text}", asked, lambda body: 1 if body else 0)

    def _asked(
        self,
        panel: Panel,
        query: Query,
        url: str,
        params: Mapping[str, Any],
        rows: Callable[[Any], int],
    ) -> Question:
        headers = {"authorization": f"Bearer {self.token}"} if url.startswith(self.app_url) else {}
        name = str(query.target["refId"])
        return Question(panel.title, url, lambda body: {name: rows(body)}, params=params, headers=headers)


def _choices(variable: Variable, chosen: Chosen, window: Window, place: str) -> Question:
    selector = variable.asked(chosen)
    params = (
        {"query": selector, **_edges_ns(window)}
        if variable.source == "loki"
        else {"match[]": selector, "start": int(window.start), "end": int(window.end)}
    )
    return Question(
        f"variable {variable.name}",
        f"{place}/{variable.label}/values",
        lambda body: {variable.label: len(body["data"])},
        params=params,
    )


def _edges_ns(window: Window) -> dict[str, int]:
    return {"start": int(window.start * 1e9), "end": int(window.end * 1e9)}


def _rows_of_result(body: Any) -> int:
    return len(body["data"]["result"])


def _rows_of_frames(what: str, body: Any) -> Mapping[str, int]:
    """Of each query; Grafana answers a refused one among the others."""
    results: Mapping[str, Any] = body["results"]
    if refused := [f"{name} says {one['error']}" for name, one in results.items() if one.get("error")]:
        raise Refused(f"{what}: {'; '.join(refused)}")
    return {name: sum(_rows_of_frame(one.get("frames") or ())) for name, one in results.items()}


def _rows_of_frame(frames: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    for frame in frames:
        values = frame.get("data", {}).get("values") or [[]]
        yield len(values[0])
