"""Asks a server over HTTP, with a deadline for the whole answer, and says which hop failed when there is none.

http.client rather than requests: no instrumentation makes spans of what it does, so that looking changes nothing of what is seen.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import unquote, urlencode, urlsplit

from gwz_instrument.logs.connection import basic, tls_context

from .store import Unavailable

MAX_BYTES: Final = 32 * 1024 * 1024
_CHUNK: Final = 256 * 1024

REFUSED, DNS, TLS, TIMEOUT, BROKEN = "refused", "dns", "tls", "timeout", "broken"
"""Why there was no answer at all; else the reason is its status."""


class FetchError(Unavailable):
    """There is no good answer: `reason` is one word or a status, the message names the server and a cure."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes


class _Question(NamedTuple):
    """A request."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]


class _Kept(threading.local):
    """The open connection of each thread; closed when the thread ends, or nobody needs it any more."""

    http: HTTPConnection | None = None

    def __del__(self) -> None:
        if self.http is not None:
            self.http.close()


class Server:
    """One server; each thread keeps a connection to it. `name` and `variable` are for messages."""

    def __init__(
        self,
        url: str,
        name: str,
        variable: str,
        headers: Mapping[str, str] | None = None,
        *,
        tls: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        self._url = urlsplit(url)
        self._tls = tls
        self.name = name
        self.variable = variable
        self._headers = {"Accept": "application/json", "User-Agent": "gwz-instrument"}
        if self._url.username is not None:
            self._headers["Authorization"] = basic(unquote(self._url.username), unquote(self._url.password or ""))
        self._headers |= headers or {}  # a token goes before what is in the address, as it does for LokiHandler
        self._kept = _Kept()

    def ask(self, path: str, parameters: Mapping[str, str], until: float) -> Answer:
        """The answer to a question, a GET, or a POST as a form when it is too long for a URL; FetchError unless it is 2xx."""
        form = urlencode(parameters)
        if len(form) > 2000:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self.send("POST", path, form.encode(), headers, until)
        return self.send("GET", f"{path}?{form}" if form else path, b"", {}, until)

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], until: float) -> Answer:
        """The answer of a request; FetchError unless it is 2xx, whole, and here by `until`, of the monotonic clock."""
        answer = self.exchange(method, target, body, headers, until)
        if not 200 <= answer.status < 300:
            raise self.error_of(answer)
        return answer

    def exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str], until: float) -> Answer:
        """As `send`, of any status."""
        question = _Question(method, target, body, headers)
        kept, self._kept.http = self._kept.http, None
        try:
            if kept is not None:
                try:
                    return self._exchange(kept, question, until)
                except (ConnectionError, HTTPException):  # a server may drop a connection that has been idle
                    kept.close()
            return self._exchange(self._connect(until), question, until)
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def reach(self, until: float) -> None:
        """Connect, as far as TLS where the address says so, and let go again; FetchError if that fails."""
        try:
            with closing(self._connect(until)) as http:
                http.connect()
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def error_of(self, answer: Answer) -> FetchError:
        """What an answer that is none says."""
        if answer.status in (401, 403):
            cure = f"give it the credentials that it wants, in {self.variable} or its token"
        elif answer.status == 404:
            cure = f"check {self.variable}: something else answers there, or under another path"
        else:
            cure = f"look at the log of {self.name}"
        return FetchError(str(answer.status), f"{self.name} answered {answer.status}: {cure}")

    def close(self) -> None:
        """Close this thread's connection."""
        kept, self._kept.http = self._kept.http, None
        if kept is not None:
            kept.close()

    def _exchange(self, http: HTTPConnection, question: _Question, until: float) -> Answer:
        try:
            _limit(http, until)
            path = self._url.path.rstrip("/") + question.target
            http.request(question.method, path, question.body or None, {**self._headers, **question.headers})
            response = http.getresponse()
            whole = _read(http, response, until)
        except BaseException:
            http.close()
            raise
        if not response.will_close:
            self._kept.http = http
        return Answer(response.status, whole)

    def _connect(self, until: float) -> HTTPConnection:
        host, port, left = str(self._url.hostname), self._url.port, _left(until)
        if self._url.scheme == "https":
            return HTTPSConnection(host, port, timeout=left, context=self._tls())
        return HTTPConnection(host, port, timeout=left)

    def _failure(self, error: BaseException) -> FetchError:
        where = f"{self.name} ({self.variable})"
        match error:
            case TimeoutError():
                return FetchError(
                    TIMEOUT, f"{where} has not answered in time: it is overloaded, or a firewall drops the packets"
                )
            case ConnectionRefusedError():
                return FetchError(REFUSED, f"{where} refuses connections: start it, or correct the address")
            case socket.gaierror():
                return FetchError(DNS, f"{where} has a host name that cannot be resolved: correct it")
            case ssl.SSLError():
                return FetchError(
                    TLS,
                    f"{where} cannot be trusted or speaks no TLS ({error.reason or type(error).__name__}): check http or "
                    "https, or name its certificate authority in REQUESTS_CA_BUNDLE",
                )
        return FetchError(
            BROKEN, f"{where} broke the connection or cannot be reached ({type(error).__name__}): look at its log"
        )


def _read(http: HTTPConnection, response: HTTPResponse, until: float) -> bytes:
    """All of an answer, as far as it is not too much."""
    whole = bytearray()
    _limit(http, until)
    while piece := response.read1(_CHUNK):
        whole += piece
        if len(whole) > MAX_BYTES:
            raise HTTPException(f"the answer is longer than {MAX_BYTES // 2**20} MiB")
        _limit(http, until)
    if response.length:
        raise ConnectionError(f"{response.length} bytes of the answer are missing")
    return bytes(whole)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _limit(http: HTTPConnection, until: float) -> None:
    """Let no single wait last beyond the deadline."""
    left = _left(until)
    if http.sock is not None:
        http.sock.settimeout(left)
