"""What the JSON endpoints answer when they do not: each error that is documented, seen, and what it says."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import httpx

from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.reading import Reader
from gwz_instrument.semconv import Endpoint, endpoints

_M = "/api/monitoring"
_WRONG = {
    f"{_M}/stats/realtime?hours=0": "1 to 168",
    f"{_M}/stats/realtime?hours=169": "1 to 168",
    f"{_M}/error-rates?hours=soon": "1 to 168",
    f"{_M}/providers/availability?days=31": "to 30",
    f"{_M}/cost-analysis?days=91": "1 to 90",
    f"{_M}/errors/openrouter?limit=1001": "to 1000",
    "/v1/models/trending?limit=101": "1 to 100",
    "/v1/models/trending?sort_by=mood": "requests, tokens, cost, errors, latency",
    "/v1/models/trending?time_range=2h": "1h, 24h, 7d, 30d",
}
"""A question with a parameter that is out of its range → the range, in words."""
_UNKNOWN = (
    f"{_M}/health/nobody",
    f"{_M}/stats/hourly/nobody",
    f"{_M}/latency-trends/nobody",
    f"{_M}/errors/nobody",
    f"{_M}/latency/nobody/nothing",
    f"{_M}/latency/openrouter/nobody/nothing",
)
_BURST = 200
_BURST_S = 20.0
_AGAIN = 5
_LATEST_S = 2.0
_SLACK_S = 0.25
"""For a connection, and what a busy machine adds."""


def seen(case: Case, alone: str, store_port: int) -> Finding:
    """The application refuses as it says; `alone` asks a Prometheus at a port that first refuses, then hangs."""
    statuses = Counter[int]()
    phrases = [
        *_closed(case, statuses),
        *_unknown(case, statuses),
        *_out_of_range(case, statuses),
        *_too_many(case, statuses),
        *_no_store(case, alone, store_port, statuses),
    ]
    told = ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))
    return Finding(not phrases, shorten(phrases) or f"refused as documented: {told}; answers that were kept never were")


def _closed(case: Case, statuses: Counter[int]) -> Iterator[str]:
    """401 without the token and with a wrong one; 405 for another method."""
    for token in ("", "wrong", case.tokens.api):
        reader = Reader(case.app_url, token)
        for endpoint in endpoints.ENDPOINTS:
            if token == case.tokens.api and endpoint in (*endpoints.MONITORING, endpoints.INSTRUMENTATION):
                continue
            answer = reader.send(endpoint.method, _path(endpoint))
            yield from _judge(statuses, answer, 401, "Authorization: Bearer")
            if answer.headers.get("www-authenticate") != "Bearer":
                yield f"{endpoint.path} does not say how to authenticate"
    reader = Reader(case.app_url, case.tokens.admin)
    for endpoint in endpoints.ENDPOINTS:
        yield from _judge(statuses, reader.send("DELETE", _path(endpoint)), 405, "Method Not Allowed")


def _unknown(case: Case, statuses: Counter[int]) -> Iterator[str]:
    """404 for who was never asked."""
    reader = Reader(case.app_url, case.tokens.admin)
    for path in _UNKNOWN:
        yield from _judge(statuses, reader.get(path), 404, "nobody")


def _out_of_range(case: Case, statuses: Counter[int]) -> Iterator[str]:
    """422, which names what is allowed."""
    reader = Reader(case.app_url, case.tokens.admin)
    for path, allowed in _WRONG.items():
        yield from _judge(statuses, reader.get(path), 422, allowed)


def _too_many(case: Case, statuses: Counter[int]) -> Iterator[str]:
    """429 for who puts more questions than fifty a second; not for what was asked just before."""
    header = {"Authorization": f"Bearer {case.tokens.admin}"}
    path = endpoints.ERRORS.path.replace("{provider}", "openrouter")
    with ExitStack() as open_ones:
        asked = []
        for limit in range(1, _BURST + 1):  # all are sent before one is read: a client that waits is not fast enough
            connection = HTTPConnection(case.address, timeout=_BURST_S)
            open_ones.callback(connection.close)
            connection.request("GET", f"{path}?limit={limit}&burst", headers=header)
            asked.append(connection)
        answers = [connection.getresponse() for connection in asked]
        told = [answer.read().decode() for answer in answers]
    reader = Reader(case.app_url, case.tokens.admin)
    admitted = max((limit for limit, answer in enumerate(answers, 1) if answer.status == httpx.codes.OK), default=0)
    again = [reader.send("GET", f"{path}?limit={admitted}&burst").status_code for _ in range(_AGAIN)]
    if set(again) != {200}:
        yield f"a question that was just answered is answered {', '.join(map(str, again))}"
    refused = [(answer, text) for answer, text in zip(answers, told, strict=True) if answer.status != httpx.codes.OK]
    if not refused:
        yield f"of {_BURST} questions at once none was refused"
    for answer, text in refused:
        statuses[answer.status] += 1
        after = answer.headers.get("retry-after", "")
        if answer.status != httpx.codes.TOO_MANY_REQUESTS or "GWZ_MONITORING_RATE" not in text or not after.isdecimal():
            yield f"one question too many is answered {answer.status} with Retry-After {after!r}: {text[:200]}"


def _no_store(case: Case, alone: str, port: int, statuses: Counter[int]) -> Iterator[str]:
    """503 within two seconds, which names what is not there; 403 where nobody is an administrator."""
    reader = Reader(alone, case.tokens.api)
    yield from _late(reader, statuses, "refuses connections")
    with socket.create_server(("127.0.0.1", port)):  # whose kernel accepts, and that is all
        yield from _late(reader, statuses, "not answered in time")
    yield from _judge(statuses, reader.send("GET", endpoints.LOKI_STATUS.path), 403, "GWZ_ADMIN_TOKEN")


def _late(reader: Reader, statuses: Counter[int], says: str) -> Iterator[str]:
    for endpoint in (endpoints.REALTIME, endpoints.HEALTH, endpoints.PROVIDER):
        began = time.monotonic()
        answer = reader.send("GET", _path(endpoint))
        took = time.monotonic() - began
        yield from _judge(statuses, answer, 503, says)
        if "GWZ_PROMETHEUS_URL" not in answer.text and "store" not in answer.text:
            yield f"503 does not name the hop: {answer.text[:200]}"
        if took > _LATEST_S + _SLACK_S:
            yield f"{endpoint.path} took {took:.2f} s to say that its store does not answer"
        if not answer.headers.get("retry-after", "").isdecimal():
            yield f"503 says Retry-After: {answer.headers.get('retry-after')}"


def _judge(statuses: Counter[int], answer: httpx.Response, wanted: int, says: str) -> Iterator[str]:
    statuses[answer.status_code] += 1
    if answer.status_code != wanted or says not in answer.text:
        request = answer.request
        yield (
            f"{request.method} {request.url.path} answers {answer.status_code} instead of {wanted} with {says!r}: "
            f"{answer.text[:200]}"
        )


def _path(endpoint: Endpoint) -> str:
    return endpoint.path.replace("{provider}", "openrouter").replace("{model:path}", "openai/gpt-4o-mini")
