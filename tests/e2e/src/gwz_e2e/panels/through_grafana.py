"""Asks as Grafana's browser does: by /api/ds/query, and by the data source proxy what only the browser does."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from gwz_dashboards.panels import TEMPO_UID
from gwz_e2e.panels.answers import LEAST_STEP_S, Curve, LogLine, NotShown, Shown, Window
from gwz_e2e.panels.boards import Query
from gwz_e2e.panels.directly import named, patient, traces_of

_TIMEOUT_S = 30.0
_TOO_MANY = "429 Too Many Requests"
_WIDTH = 1000
"""Points that a panel has room for."""


class ThroughGrafana:
    """A Grafana that was provisioned."""

    way = "through Grafana"

    def __init__(self, url: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, auth=("admin", password), timeout=_TIMEOUT_S, trust_env=False)

    def ask(self, query: Query, window: Window) -> Shown:
        """The answer; NotShown when the data source refuses."""
        if query.kind == "tempo":
            return self._search(query, window)
        result = self._queried(query, window)
        if error := result.get("error"):
            raise NotShown(f"{query.text} is refused: {error[:200]}")
        frames = [_Frame(frame) for frame in result.get("frames", [])]
        if query.kind == "prometheus":
            return _of_prometheus(frames, query)
        return _of_loki(frames, query) if query.kind == "loki" else _of_json(frames)

    def _queried(self, query: Query, window: Window) -> Any:
        step_s = LEAST_STEP_S if query.kind == "loki" else window.step_s
        body = {
            "from": f"{window.start * 1e3:.0f}",
            "to": f"{window.end * 1e3:.0f}",
            "queries": [
                {
                    "intervalMs": round(step_s * 1e3),
                    "maxDataPoints": _WIDTH,
                    # The browser sends its time zone, by which the points lie on full steps: here on the window's end.
                    "utcOffsetSec": round(-window.end % step_s),
                    **query.target,
                }
            ],
        }
        response = patient(
            lambda: self._client.post("/api/ds/query", json=body), again=lambda one: _TOO_MANY in one.text
        )
        answer = response.json() if response.headers.get("content-type", "").startswith("application/json") else {}
        if "results" not in answer:
            raise NotShown(f"{query.text} is answered with {response.status_code}: {response.text[:200]}")
        return answer["results"][query.target["refId"]]

    def _search(self, query: Query, window: Window) -> Shown:
        parameters = {"q": query.text, "limit": query.target.get("limit", 20)}
        uid = query.target["datasource"]["uid"]
        response = self._client.get(
            f"/api/datasources/proxy/uid/{uid}/api/search",
            params={**parameters, "start": int(window.start), "end": int(window.end)},
        )
        if not response.is_success or uid != TEMPO_UID:
            raise NotShown(f"{query.text} is answered with {response.status_code}: {response.text[:200]}")
        return Shown(traces=traces_of(response.json()))


class _Frame:
    """A data frame: its columns by name, and the labels of its numbers."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self.schema = frame["schema"]
        self.fields: list[Mapping[str, Any]] = self.schema.get("fields") or []
        self.values: list[list[Any]] = frame.get("data", {}).get("values") or [[] for _ in self.fields]

    def column(self, name: str) -> list[Any]:
        return next(
            (values for field, values in zip(self.fields, self.values, strict=True) if field["name"] == name), []
        )

    def curves(self, legend: str) -> Iterator[Curve]:
        """A curve for each column of numbers beside the time."""
        times = next((values for field, values in self._columns() if field["type"] == "time"), [])
        for field, values in self._columns():
            if field["type"] == "number":
                labels = field.get("labels") or {}
                points = [
                    (at / 1e3, float(value)) for at, value in zip(times, values, strict=True) if value is not None
                ]
                yield Curve(labels, named(labels, legend), points)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows, with times in seconds."""
        columns = {
            _title(field): [_plain(value, field["type"]) for value in values] for field, values in self._columns()
        }
        for place in range(max((len(values) for values in columns.values()), default=0)):
            yield {name: values[place] for name, values in columns.items()}

    def _columns(self) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
        yield from zip(self.fields, self.values, strict=True)


def _of_prometheus(frames: list[_Frame], query: Query) -> Shown:
    legend = str(query.target.get("legendFormat", ""))
    dots = [frame for frame in frames if frame.schema.get("name") == "exemplar"]
    return Shown(
        curves=[curve for frame in frames if frame not in dots for curve in frame.curves(legend)],
        exemplars=[str(trace_id) for frame in dots for trace_id in frame.column("trace_id")],
    )


def _of_loki(frames: list[_Frame], query: Query) -> Shown:
    legend = str(query.target.get("legendFormat", ""))
    logs = [frame for frame in frames if frame.column("Line")]
    return Shown(
        curves=[curve for frame in frames if frame not in logs for curve in frame.curves(legend)],
        lines=[
            LogLine(labels, text)
            for frame in logs
            for labels, text in zip(frame.column("labels"), frame.column("Line"), strict=True)
        ],
    )


def _of_json(frames: list[_Frame]) -> Shown:
    body: Any = None
    for frame in frames:
        said = (frame.schema.get("meta") or {}).get("custom", {}).get("data")
        body = json.loads(said) if isinstance(said, str) else said
    return Shown(rows=[row for frame in frames for row in frame.rows()], body=body)


def _title(field: Mapping[str, Any]) -> str:
    return str((field.get("config") or {}).get("displayNameFromDS") or field["name"])


def _plain(value: Any, kind: str) -> Any:
    return value / 1e3 if kind == "time" and value is not None else value
