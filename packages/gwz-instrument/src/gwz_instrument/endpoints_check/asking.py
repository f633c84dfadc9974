"""Asks an instance over HTTP: not too fast, with a deadline, and following no redirect."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPMessage
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gwz_instrument.check import body_of, reach, shown_url

from .cases import Call

DEADLINE_S: Final = 10.0
"""What one call may take, name resolution included."""
_APART_S: Final = 1 / 40
"""The instance admits fifty questions a second, if its settings say nothing else."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` are found in any case."""

    status: int
    headers: Message
    body: bytes
    ms: float

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return self.headers.get_content_type() == "application/json"

    def redirects_to(self, asked: str) -> str | None:
        """Where it sends us to, without what may be secret in it."""
        location = self.headers.get("Location")
        return shown_url(urlsplit(urljoin(asked, location))) if location and 300 <= self.status < 400 else None


class Asking:
    """Asks the instance at a base address, one call after the other."""

    def __init__(self, base: SplitResult, sleep: Callable[[float], None] = time.sleep) -> None:
        self.base = urlunsplit(base._replace(path=base.path.rstrip("/"), query="", fragment=""))
        self._sleep = sleep
        self._next = time.monotonic()

    def ask(self, call: Call) -> Answer:
        """The answer, whatever its status; UnreachableError if there is none. One 429 is heeded, and the call repeated."""
        answer = self._ask(call)
        if answer.status == _TOO_MANY:
            self._sleep(_wait_s(answer.headers.get("Retry-After", "")))
            answer = self._ask(call)
        return answer

    def _ask(self, call: Call) -> Answer:
        self._sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + _APART_S
        request = _request(call, self.base + call.path)
        began = time.perf_counter()
        status, headers, body = reach(urlsplit(self.base + call.path), lambda: _exchange(request), DEADLINE_S)
        return Answer(status, headers, body, round((time.perf_counter() - began) * 1e3, 1))


class _Stay(HTTPRedirectHandler):
    """Follows nothing: our endpoints redirect to nowhere, and the token is for this server."""

    def redirect_request(  # the base class's
        self, _req: Request, _fp: IO[bytes], _code: int, _msg: str, _headers: Any, _newurl: str
    ) -> Request | None:
        return None


def _request(call: Call, url: str) -> Request:
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "gwz-instrument-endpoints"}
    if call.token:
        headers["Authorization"] = f"Bearer {call.token}"
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    sent = None if call.method == "GET" else b"" if call.body is None else json.dumps(call.body).encode()
    return Request(url, sent, headers, method=call.method)  # noqa: S310  # `address` has seen to its scheme


def _exchange(request: Request) -> tuple[int, HTTPMessage, bytes]:
    try:
        response = build_opener(_Stay).open(request, timeout=DEADLINE_S)
    except HTTPError as error:  # an answer too
        response = error
    with response:
        return response.status, response.headers, body_of(response)


def _wait_s(retry_after: str) -> float:
    return min(float(retry_after), DEADLINE_S) if retry_after.isdecimal() else 1.0
