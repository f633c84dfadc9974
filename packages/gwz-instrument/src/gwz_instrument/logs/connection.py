"""One kept connection to Loki.

http.client rather than requests: it logs nothing that could lead back here, no instrumentation makes spans of its requests,
and a socket that a fork has doubled can be let go of without a word to the server.
"""

import base64
import contextlib
import encodings.idna  # noqa: F401  # loaded while connecting otherwise, where a fork could leave its import half done
import os
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from .answers import Answer

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 10.0
_MAX_TEXT: Final = 64 * 1024


class Connection:
    """Posts bodies to one address, from one thread, over one connection for as long as the server keeps it."""

    def __init__(self, url: str, authorization: str | None) -> None:
        self._url = urlsplit(url)
        self._proxy = _proxy(self._url)
        self._headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._is_https = self._url.scheme == "https"
        self._http: HTTPConnection | None = None

    def post(self, body: bytes) -> Answer:
        """Post `body`; OSError or HTTPException when there is no answer."""
        kept = self._is_open()
        try:
            return self._exchange(body)
        except (ConnectionError, HTTPException):
            self.close()
            if not kept:
                raise
        except BaseException:
            self.close()
            raise
        try:  # a server may drop a connection that has been idle, and say so only now
            return self._exchange(body)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next post makes another."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def abandon(self) -> None:
        """In the child of a fork: let go of the parent's socket without a byte on it, not even a TLS goodbye."""
        http, self._http = self._http, None
        if http is not None and http.sock is not None:
            with contextlib.suppress(OSError):
                os.close(http.sock.detach())

    def _is_open(self) -> bool:
        return self._http is not None and self._http.sock is not None

    def _exchange(self, body: bytes) -> Answer:
        if not self._is_open():
            self._http = self._connect()
        http = self._http
        assert http is not None  # noqa: S101  # just made
        http.request("POST", self._target(), body, self._headers)
        response = http.getresponse()
        text = response.read(_MAX_TEXT).decode("utf-8", "replace").strip()
        if not response.isclosed():  # more of it than anyone wants to read
            self.close()
        return Answer(response.status, text, response.headers.get("Retry-After", "").strip())

    def _connect(self) -> HTTPConnection:
        host, port = self._proxy_or_server()
        http: HTTPConnection
        if self._is_https:
            http = HTTPSConnection(host, port, timeout=_CONNECT_S, context=tls_context())
            if self._proxy:
                http.set_tunnel(str(self._url.hostname), self._url.port or 443, _proxy_headers(self._proxy))
        else:
            http = HTTPConnection(host, port, timeout=_CONNECT_S)
            if self._proxy:
                self._headers |= _proxy_headers(self._proxy)
        http.connect()
        http.sock.settimeout(_ANSWER_S)
        return http

    def _proxy_or_server(self) -> tuple[str, int | None]:
        parts = self._proxy or self._url
        return str(parts.hostname), parts.port

    def _target(self) -> str:
        path = self._url.path or "/"
        if self._proxy and not self._is_https:
            return urlunsplit((self._url.scheme, self._url.netloc.rpartition("@")[2], path, self._url.query, ""))
        return f"{path}?{self._url.query}" if self._url.query else path


def basic(user: str, password: str) -> str:
    """The Authorization header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, those that requests brings, and those that its variables name."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(variable):
            context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})  # noqa: PTH112
    return context


def _proxy(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for this address, as requests would take it."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(str(url.hostname)):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    return {"Proxy-Authorization": basic(unquote(proxy.username), unquote(proxy.password or ""))}
