"""An address of the settings, as a far end is asked at it: who is let in, and what to correct when nobody is."""

import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from gwz_instrument.logs.connection import tls_context
from gwz_instrument.redact import redact

from .fetch import Answer, FetchError, Server

UNREADABLE: Final = "unreadable"


class Address:
    """A URL and its server, with words for what may be wrong with them.

    `name` says what stands there, `variable` what sets the URL and `credentials` what lets in. A connection is
    kept for the thread that asks, until it closes it.
    """

    def __init__(
        self,
        url: str,
        name: str,
        variable: str,
        *,
        credentials: str,
        headers: Mapping[str, str] | None = None,
        tls: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        parts = urlsplit(url)
        self.name, self.variable = name, variable
        self.is_https = parts.scheme == "https"
        self.place = parts.netloc.rpartition("@")[2]
        self.shown = redact(without_user(url))
        """The URL without user and password."""
        self._credentials = credentials
        self._path, self._query = parts.path, f"?{parts.query}" if parts.query else ""
        self._server = Server(
            urlunsplit(parts._replace(path="", query="", fragment="")), name, variable, headers, tls=tls
        )
        self.close, self.reach = self._server.close, self._server.reach

    def post(self, body: bytes, headers: Mapping[str, str], until: float) -> Answer:
        """Whatever it answers; FetchError if that is nothing."""
        return self._server.exchange("POST", (self._path or "/") + self._query, body, headers, until)

    def get(self, path: str, parameters: Mapping[str, str], until: float) -> Answer:
        """As `post`, of a path below."""
        form = urlencode(parameters)
        target = self._path.rstrip("/") + path + (f"?{form}" if form else "")
        return self._server.exchange("GET", target, b"", {}, until)

    def json(self, path: str, parameters: Mapping[str, str], until: float) -> Any:
        """What it answers; FetchError unless that is JSON with a status of success."""
        answer = self.get(path, parameters, until)
        if answer.status != 200:
            raise self.refusal(str(answer.status))
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise self.unreadable() from error

    def refusal(self, status: str) -> FetchError:
        """What an answer means that does not do what was asked; `status` is HTTP's number, or gRPC's word."""
        match status:
            case "401" | "403" | "unauthenticated" | "permission_denied":
                cure = f"set {self._credentials} to what it wants"
            case "404" | "405" | "unimplemented":
                cure = f"correct {self.variable}, something else answers there or under another path"
            case "200" | "301" | "302" | "303" | "307" | "308":
                cure = f"correct {self.variable}, a login page or a redirection may be there"
            case _:
                cure = f"look at its log, and whether {self.variable} leads to it"
        return FetchError(status, f"{self.name} answers {status}: {cure}")

    def unreadable(self) -> FetchError:
        """What it means that an answer is none of this server's."""
        return FetchError(
            UNREADABLE, f"what answers is not {self.name}: correct {self.variable}, a login page may be there"
        )


def without_user(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def has_user(url: str) -> bool:
    """Whether user and password are in the URL."""
    return urlsplit(url).username is not None
