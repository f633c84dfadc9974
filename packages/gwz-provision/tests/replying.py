"""A server that plays any bytes at any pace, and keeps what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import BinaryIO

from fake_grafana import serving

Reply = Callable[[BinaryIO, threading.Event], None]


@dataclass
class Replying:
    """The server's address, the paths that it was asked, and the end of the test, which every reply has to watch."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def answer(body: str | bytes, status: str = "200 OK", **headers: str) -> Reply:
    """Answer at once and whole."""
    content = body if isinstance(body, bytes) else body.encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close", **headers}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return lambda to, _: to.write(head.encode() + content) and None


def dripping(start: bytes, drop: bytes) -> Reply:
    """Send a drop now and then, so that no read waits for long, until somebody hangs up or the test is over."""

    def reply(to: BinaryIO, over: threading.Event) -> None:
        to.write(start)
        while not over.wait(0.05):
            to.write(drop)
            to.flush()

    return reply


def hanging(_: BinaryIO, over: threading.Event) -> None:
    """Say nothing until the test is over."""
    over.wait()


@contextmanager
def replying(choose: Callable[[str], Reply]) -> Iterator[Replying]:
    """Serve until the block ends; `choose` gives the reply to each path."""
    server = Replying()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append(self.path)
            with suppress(OSError):
                choose(self.path)(self.wfile, server.over)

        do_GET = do_POST = do_PUT = do_DELETE = reply  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as server.url:
        try:
            yield server
        finally:
            server.over.set()
