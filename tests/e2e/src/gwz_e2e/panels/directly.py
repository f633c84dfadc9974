"""Asks the engines themselves where there is no Grafana: what its browser and backend put in is put in here."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from gwz_dashboards.panels import LINES_SHOWN, LOKI_UID, PROMETHEUS_UID, TEMPO_UID
from gwz_e2e.panels.answers import LEAST_STEP_S, Curve, LogLine, NotShown, Shown, Window
from gwz_e2e.panels.boards import Query
from gwz_stack import Urls

_TIMEOUT_S = 20.0
_TRIES = 25
_PAUSE_S = 0.2
_NUMBERS = {"number": 1.0, "timestamp_epoch_s": 1.0, "timestamp_epoch": 1e3}
"""Types that are numbers: by how much they are more than the number, or the seconds, that is shown."""
_NAMED_ROWS = re.compile(r'\$append\(\[\], \$map\(\$sort\(\$keys\((?P<root>[\w.]+)\)\), .*"(?P<name>\w+)": \$k')


class Directly:
    """Each engine by its own API, the JSON endpoints by the application's."""

    way = "by the engines' own APIs, without a Grafana"

    def __init__(self, urls: Urls, app_url: str, api_token: str) -> None:
        self._urls = {PROMETHEUS_UID: urls.prometheus, LOKI_UID: urls.loki, TEMPO_UID: urls.tempo}
        self._app_url = app_url
        self._token = api_token
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)

    def ask(self, query: Query, window: Window) -> Shown:
        """The answer; NotShown when the engine refuses, or answers another question than the panel's."""
        try:
            match query.kind:
                case "prometheus":
                    return self._prometheus(query, window)
                case "loki":
                    return self._loki(query, window)
                case "tempo":
                    return self._tempo(query, window)
                case _:
                    return self._json(query)
        except (KeyError, TypeError, AttributeError) as error:
            raise NotShown(f"{query.text} cannot be shown: {type(error).__name__}: {error}") from error

    def _prometheus(self, query: Query, window: Window) -> Shown:
        expression = replaced(query.text, window)
        if query.target.get("instant"):
            found = self._get(query, "/api/v1/query", query=expression, time=window.end)["data"]
            return Shown(curves=_instant(found, query.target))
        edges = {"start": _first(window), "end": window.end}
        found = self._get(query, "/api/v1/query_range", query=expression, step=window.step_s, **edges)["data"]
        exemplars: list[str] = []
        if query.target.get("exemplar"):
            dots = self._get(query, "/api/v1/query_exemplars", query=expression, **edges)["data"]
            exemplars = [dot["labels"].get("trace_id", "") for series in dots for dot in series["exemplars"]]
        return Shown(curves=_range(found, query.target), exemplars=exemplars)

    def _loki(self, query: Query, window: Window) -> Shown:
        expression = replaced(query.text, window)
        if query.target.get("queryType") == "instant":
            found = self._get(query, "/loki/api/v1/query", query=expression, time=_nanoseconds(window.end))["data"]
            return Shown(curves=_instant(found, query.target))
        found = self._get(
            query,
            "/loki/api/v1/query_range",
            query=expression,
            start=_nanoseconds(window.start),
            end=_nanoseconds(window.end),
            step=LEAST_STEP_S,
            limit=query.target.get("maxLines", LINES_SHOWN),
        )["data"]
        if found["resultType"] == "matrix":
            return Shown(curves=_range(found, query.target))
        return Shown(lines=[LogLine(one["stream"], text) for one in found["result"] for _, text in one["values"]])

    def _tempo(self, query: Query, window: Window) -> Shown:
        edges = {"start": int(window.start), "end": int(window.end)}
        found = self._get(query, "/api/search", q=query.text, limit=query.target.get("limit", 20), **edges)
        return Shown(traces=traces_of(found))

    def _json(self, query: Query) -> Shown:
        parameters = {one["key"]: one["value"] for one in query.target["url_options"].get("params", [])}
        headers = {"authorization": f"Bearer {self._token}"}
        body = self._answer(query, f"{self._app_url}{query.target['url']}", parameters, headers)
        return Shown(rows=list(rows_of(body, query.target)), body=body)

    def _get(self, of: Query, path: str, /, **parameters: Any) -> Any:
        return self._answer(of, f"{self._urls[of.target['datasource']['uid']]}{path}", parameters, {})

    def _answer(self, query: Query, url: str, parameters: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        response = patient(lambda: self._client.get(url, params=dict(parameters), headers=headers))
        if not response.is_success:
            raise NotShown(f"{query.text} is answered with {response.status_code}: {response.text[:200]}")
        try:
            return response.json()
        except ValueError as error:
            raise NotShown(f"{query.text} is answered with no JSON: {response.text[:200]!r}") from error


def patient(
    ask: Callable[[], httpx.Response],
    again: Callable[[httpx.Response], bool] = lambda response: response.status_code == httpx.codes.TOO_MANY_REQUESTS,
) -> httpx.Response:
    """Whatever is answered, once it is not that this reader asks too often."""
    for _ in range(_TRIES):
        response = ask()
        if not again(response):
            break
        time.sleep(_PAUSE_S)
    return response


def replaced(expression: str, window: Window) -> str:
    """Put in what Grafana's backend puts in."""
    known = {
        "$__rate_interval": f"{window.rate_s:.0f}s",
        "$__interval": f"{window.step_s:.0f}s",
        "$__range": f"{window.range_s:.0f}s",
    }
    for name, value in known.items():
        expression = expression.replace(name, value)
    return expression


def named(labels: Mapping[str, str], legend: str) -> str:
    """The name of a series in the legend."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], found[1]), legend) or str(dict(labels))


def traces_of(found: Any) -> list[str]:
    """The ids that a search of Tempo found, whole."""
    return [str(one["traceID"]).rjust(32, "0") for one in found.get("traces") or []]


def rows_of(body: Any, target: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows as the plugin's backend makes them; of the selectors that the dashboards write."""
    selector = str(target["root_selector"])
    if found := _NAMED_ROWS.match(selector):
        whole = _place(body, found["root"], target)
        rows: Any = [{found["name"]: key, **whole[key]} for key in sorted(whole)]
    else:
        rows = _place(body, selector, target) if selector else body
    if target.get("parser") != "backend":
        return
    for row in rows if isinstance(rows, list) else [rows]:
        yield {column["text"]: _typed(row.get(column["selector"]), column["type"]) for column in target["columns"]}


def _first(window: Window) -> float:
    steps = int(window.range_s // window.step_s)
    return window.end - steps * window.step_s


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _instant(found: Any, target: Mapping[str, Any]) -> list[Curve]:
    legend = str(target.get("legendFormat", ""))
    return [
        Curve(one["metric"], named(one["metric"], legend), _points([one["value"]]))
        for one in found["result"]
        if isinstance(one, dict)
    ]


def _range(found: Any, target: Mapping[str, Any]) -> list[Curve]:
    legend = str(target.get("legendFormat", ""))
    return [Curve(one["metric"], named(one["metric"], legend), _points(one["values"])) for one in found["result"]]


def _points(values: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    """As Grafana shows them: what is no number is no point."""
    points = [(float(at), float(value)) for at, value in values]
    return [(at, value) for at, value in points if value - value == 0]


def _place(body: Any, root: str, target: Mapping[str, Any]) -> Any:
    for name in root.split("."):
        if not isinstance(body, dict) or name not in body:
            raise NotShown(f"{target['url']} has nothing at {root}")
        body = body[name]
    return body


def _typed(value: Any, kind: str) -> Any:
    """As the plugin's backend types a value: what is not of the type is nothing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or kind == "string":
        return None if value is None else str(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    if kind in _NUMBERS:
        return value / _NUMBERS[kind] if is_number else None
    return value
