"""A Grafana in which everything is well and every query has data, but for what a test lets it answer otherwise."""

import http.server
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fake_grafana import serving

LIVE = {
    "p": {"uid": "p", "name": "Metrics", "type": "prometheus", "url": "http://prometheus:9090", "isDefault": True},
    "l": {"uid": "l", "name": "Logs", "type": "loki", "url": "http://loki:3100"},
    "t": {"uid": "t", "name": "Traces", "type": "tempo", "url": "http://tempo:3200"},
}
Said = tuple[int, Any] | None
"""A status and a body, a text as such and bytes as JSON; None closes the connection in the middle of an answer."""
Saying = Said | Callable[[list[str]], Said]
"""What is said, or how it follows from the `refId`s of the queries that are asked."""


def frame(*values: float) -> dict[str, Any]:
    """A frame of one series."""
    return {"schema": {"fields": [{"name": "Value", "type": "number"}]}, "data": {"values": [list(values)]}}


def results(*references: str, empty: bool = False) -> Said:
    """An answer to these queries."""
    return 200, {"results": {one: {"frames": [] if empty else [frame(1.0)]} for one in references}}


def nothing(references: list[str]) -> Said:
    """An answer without data."""
    return results(*references, empty=True)


_WELL: Mapping[str, Saying] = {
    "/api/health": (200, {"database": "ok", "version": "11.5.2"}),
    "/api/user": (200, {"id": 1}),
    "/api/access-control/user/permissions": (200, {"datasources:read": [""], "datasources:query": [""]}),
    "/api/datasources": (200, list(LIVE.values())),
    "/api/search": (200, [{"uid": "gwz-ward", "title": "Ward", "type": "dash-db"}]),
    "/api/v1/provisioning/alert-rules": (200, [{"uid": "rule", "title": "Rule", "folderUID": "f"}]),
    "/api/v1/provisioning/contact-points": (200, []),
    "/api/ds/query": lambda references: results(*references),
    "api/v1/targets": (200, {"data": {"activeTargets": [{"labels": {"job": "a"}, "health": "up"}]}}),
    "api/v1/rules": (200, {"data": {"groups": []}}),
    "api/v1/status/runtimeinfo": (200, {"data": {"storageRetention": "15d"}}),
    "/values": (200, {"data": ["a"]}),
    "api/v1/series": (200, {"data": [{}]}),
    "api/v1/query_range": (200, {"data": {"result": []}}),
    "loki/api/v1/labels": (200, {"data": ["a"]}),
    "api/echo": (200, "echo"),
    "api/search": (200, {"traces": [{"startTimeUnixNano": "1"}]}),
    "/health": (200, {"status": "OK"}),
}


def _is_of(path: str, end: str) -> bool:
    """Tell whether a path is Grafana's own, or ends as one of the servers behind it."""
    return path == end if end.startswith("/api/") else path.endswith(end)


@contextmanager
def standing_in(**otherwise: Saying) -> Iterator[str]:
    """Serve it; `otherwise` is said by the path, or its end, and goes before what is well."""
    saying = {**otherwise, **{end: said for end, said in _WELL.items() if end not in otherwise}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            said = next(said for end, said in saying.items() if _is_of(path, end))
            if callable(said):
                said = said([one["refId"] for one in json.loads(asked)["queries"]])
            if said is None:
                self.wfile.write(
                    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"a":'
                )
                return
            status, body = said
            content = (
                body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
            )
            self.send_response(status)
            kind = "text/plain" if isinstance(body, str) else "application/json"
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url
