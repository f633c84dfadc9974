"""A proxy before Grafana that records every call, and breaks them where it is told to."""

import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fake_grafana import serving

READS = frozenset({"GET", "HEAD"})
Hook = Callable[[str, str, int], None]


class Cut(Exception):  # noqa: N818 - what a hook orders
    """Close the connection instead of answering."""


class Answered(Exception):  # noqa: N818 - what a hook orders
    """Answer this instead of forwarding."""

    def __init__(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


def _nothing(method: str, path: str, write: int) -> None:
    """Let it pass."""


@dataclass
class Proxy:
    """What went through; the hooks are told method, path and the number of the write (0 for a read)."""

    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    before: Hook = _nothing
    after: Hook = _nothing
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] not in READS]

    @property
    def reads(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in READS]

    def note(self, method: str, path: str) -> int:
        with self.lock:
            self.calls.append((method, path))
            return 0 if method in READS else len(self.writes)


@contextmanager
def before(url: str) -> Iterator[Proxy]:
    """Stand before the Grafana at an address."""
    upstream = urllib.parse.urlsplit(url)
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            number = proxy.note(self.command, self.path)
            try:
                proxy.before(self.command, self.path, number)
                status, content, headers = self.ask(body)
                proxy.after(self.command, self.path, number)
            except Cut:
                self.close_connection = True
                return
            except Answered as answer:
                status, content, headers = (
                    answer.status,
                    answer.body,
                    {"Content-Type": "application/json", **answer.headers},
                )
            with suppress(OSError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def ask(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port or 80, timeout=30)
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"host", "connection", "accept-encoding"}
            }
            connection.request(self.command, self.path, body or None, kept)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, content, {"Content-Type": answer.headers.get("Content-Type") or "application/json"}

        do_GET = do_POST = do_PUT = do_DELETE = forward  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as own:
        proxy.url = own
        yield proxy
