"""The servers' query interfaces, as far as the checks ask them."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

_LOKI_PAGE = 5000
_TIMEOUT_S = 20.0

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """One series of an instant query."""

    labels: Labels
    value: float


@dataclass(frozen=True)
class Series:
    """One series as it was scraped, or evaluated again and again: its samples, unix seconds and value, oldest first."""

    labels: Labels
    samples: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Exemplar:
    """A trace that stands for a sample of a series."""

    series: Labels
    trace_id: str
    value: float


@dataclass(frozen=True)
class Line:
    """A log line with the labels of its stream, its structured metadata and the fields of its JSON."""

    labels: Labels
    metadata: Labels
    nanoseconds: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """A span of a trace, ids in hex, attributes as plain values, `scope` the name of its instrumentation scope."""

    service: str
    scope: str
    name: str
    kind: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: Mapping[str, Any]
    links: tuple[str, ...] = ()
    """Traces that it names as what it comes from."""


class Prometheus:
    """Prometheus by its HTTP API; a query that it refuses raises httpx.HTTPStatusError."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def query(self, expression: str) -> list[Sample]:
        """Evaluate an expression now."""
        return _samples(self._get("query", query=expression))

    def query_range(self, expression: str, start: float, end: float, step_s: float) -> list[Series]:
        """Evaluate an expression for each step between two moments."""
        edges = {"start": str(start), "end": str(end), "step": str(step_s)}
        return _series(self._get("query_range", query=expression, **edges))

    def totals(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Evaluate an expression now, by the values of `labels`; an absent label reads as empty."""
        return {tuple(s.labels.get(label, "") for label in labels): s.value for s in self.query(expression)}

    def scraped(self, selector: str, seconds: float, *, at: float | None = None) -> list[Series]:
        """The samples of the last so many seconds before a moment or now, each with the time of its scrape."""
        moment = {} if at is None else {"time": str(at)}
        return _series(self._get("query", query=f"{selector}[{seconds:.0f}s]", **moment))

    def exemplars(self, selector: str, start: float, end: float) -> list[Exemplar]:
        """The exemplars of the series that `selector` names."""
        return [
            Exemplar(series["seriesLabels"], exemplar["labels"].get("trace_id", ""), float(exemplar["value"]))
            for series in self._get("query_exemplars", query=selector, start=str(start), end=str(end))
            for exemplar in series["exemplars"]
        ]

    def targets(self) -> list[dict[str, Any]]:
        """The scrape targets and how their last scrape went."""
        found: list[dict[str, Any]] = self._get("targets", state="active")["activeTargets"]
        return found

    def ready(self) -> bool:
        """Whether it answers a query."""
        return bool(self._get("query", query="vector(1)")["result"])

    def _get(self, endpoint: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{endpoint}", params=parameters).raise_for_status()
        return answer.json()["data"]


class Loki:
    """Loki by its HTTP API; a query that it refuses raises httpx.HTTPStatusError."""

    def __init__(self, url: str) -> None:
        # Else labels and structured metadata come in one mapping, as if all were labels.
        apart = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False, headers=apart)

    def query(self, expression: str) -> list[Sample]:
        """Evaluate a metric query now."""
        return _samples(self._get("query", query=expression))

    def query_range(self, expression: str, start: float, end: float, step_s: float) -> list[Series]:
        """Evaluate a metric query for each step between two moments."""
        edges = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(step_s)}
        return _series(self._get("query_range", query=expression, **edges))

    def lines(self, query: str, start: float, end: float) -> list[Line]:
        """Every line of a log query, oldest first, however many pages it takes."""
        found: list[Line] = []
        start_ns, end_ns = int(start * 1e9), int(end * 1e9)
        while page := self._page(query, start_ns, end_ns):
            found += page
            if len(page) < _LOKI_PAGE:
                break
            start_ns = page[-1].nanoseconds + 1
        return found

    def ready(self) -> bool:
        """Whether it answers a query."""
        return self._client.get("/loki/api/v1/query", params={"query": "vector(1)"}).is_success

    def _page(self, query: str, start_ns: int, end_ns: int) -> list[Line]:
        edges = {"start": str(start_ns), "end": str(end_ns)}
        found = self._get("query_range", query=query, limit=str(_LOKI_PAGE), direction="forward", **edges)
        lines = [
            Line(stream["stream"], beside.get("structuredMetadata", {}), int(nanoseconds), json.loads(text))
            for stream in found["result"]
            for nanoseconds, text, beside in stream["values"]
        ]
        return sorted(lines, key=lambda line: line.nanoseconds)

    def _get(self, endpoint: str, **parameters: str) -> Any:
        return self._client.get(f"/loki/api/v1/{endpoint}", params=parameters).raise_for_status().json()["data"]


class Tempo:
    """Tempo by its HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace; none when it is not there."""
        answer = self._client.get(f"/api/v2/traces/{trace_id}", headers={"Accept": "application/json"})
        if answer.status_code == 404:
            return []
        batches = answer.raise_for_status().json().get("trace", {}).get("resourceSpans", [])
        return [span for batch in batches for span in _spans(batch)]

    def search(self, query: str, start: float, end: float, *, limit: int) -> list[str]:
        """The ids of traces with a span that TraceQL selects, at most `limit`."""
        parameters: dict[str, str | int] = {"q": query, "start": int(start), "end": int(end) + 1, "limit": limit}
        answer = self._client.get("/api/search", params=parameters).raise_for_status()
        return [found["traceID"].rjust(32, "0") for found in answer.json().get("traces", [])]

    def ready(self) -> bool:
        """Whether it answers a query."""
        return self._client.get("/api/search", params={"q": "{}", "limit": 1}).is_success


def _samples(found: Mapping[str, Any]) -> list[Sample]:
    return [Sample(series["metric"], float(series["value"][1])) for series in found["result"]]


def _series(found: Mapping[str, Any]) -> list[Series]:
    return [
        Series(series["metric"], tuple((float(at), float(value)) for at, value in series["values"]))
        for series in found["result"]
    ]


def _spans(batch: Mapping[str, Any]) -> Iterator[Span]:
    service = str(_attributes(batch["resource"]).get("service.name", ""))
    for scope in batch.get("scopeSpans", []):
        for span in scope["spans"]:
            yield Span(
                service=service,
                scope=scope.get("scope", {}).get("name", ""),
                name=span["name"],
                kind=span.get("kind", ""),
                span_id=_hex(span["spanId"]),
                parent_id=_hex(span.get("parentSpanId", "")),
                failed=span.get("status", {}).get("code") == "STATUS_CODE_ERROR",
                attributes=_attributes(span),
                links=tuple(_hex(link["traceId"]) for link in span.get("links", [])),
            )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {attribute["key"]: _value(attribute["value"]) for attribute in holder.get("attributes", [])}


def _value(typed: Mapping[str, Any]) -> Any:
    ((kind, value),) = typed.items()
    if kind == "arrayValue":
        return [_value(item) for item in value.get("values", [])]
    return int(value) if kind == "intValue" else value


def _hex(text: str) -> str:
    """Tempo writes ids in base64."""
    return base64.b64decode(text).hex()
