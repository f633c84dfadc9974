"""A client and a server in one: drives an ASGI application in its own event loop, without sockets."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"user-agent", b"python-httpx/0.28.1"),
    (b"connection", b"keep-alive"),
    (b"x-forwarded-for", b"203.0.113.7"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request."""

    path: str
    method: str = "GET"
    host: bytes = b"api.example.com"
    accept: bytes = b"application/json"
    encoding: bytes = b"gzip, deflate"

    def scope(self) -> Scope:
        """A fresh scope, as uvicorn makes it."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "scheme": "http",
            "root_path": "",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": [
                (b"host", self.host),
                (b"accept", self.accept),
                (b"accept-encoding", self.encoding),
                *_HEADERS,
            ],
            "state": {},
        }


class Client:
    """The other end of one request: sends an empty body, stays until the response is complete."""

    __slots__ = ("_asked", "_complete", "body", "keep", "status")

    def __init__(self, *, keep: bool = False) -> None:
        self._asked = False
        self._complete = asyncio.Event()
        self.keep = keep
        self.body = b""
        self.status = 0

    async def receive(self) -> Message:
        """The request's body, once; then nothing until the response is complete, then the disconnect."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.keep:
            self.body += message.get("body", b"")
        if not message.get("more_body", False):
            self._complete.set()


async def drive(app: ASGIApp, ask: Ask, number: int) -> None:
    """Make `number` requests, one after the other, each answered 200."""
    for _ in range(number):
        client = Client()
        await app(ask.scope(), client.receive, client.send)
        if client.status != 200:
            raise RuntimeError(f"{ask.method} {ask.path} was answered with {client.status}, not with 200")


async def visit(app: ASGIApp, asks: Iterable[Ask]) -> list[int]:
    """Make each request once and return the statuses."""
    statuses = []
    for ask in asks:
        client = Client()
        await app(ask.scope(), client.receive, client.send)
        statuses.append(client.status)
    return statuses


async def fetch(app: ASGIApp, path: str) -> str:
    """The body of a page, as plain text."""
    client = Client(keep=True)
    await app(Ask(path, accept=b"text/plain", encoding=b"identity").scope(), client.receive, client.send)
    if client.status != 200:
        raise RuntimeError(f"GET {path} was answered with {client.status}, not with 200")
    return client.body.decode()


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """The time between the start-up and the shutdown of an application's lifespan."""
    orders: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    lifespan = asyncio.ensure_future(app(scope, orders.get, answers.put))
    await orders.put({"type": "lifespan.startup"})
    if (await answers.get())["type"] != "lifespan.startup.complete":
        raise RuntimeError("the application did not start")
    try:
        yield
    finally:
        await orders.put({"type": "lifespan.shutdown"})
        await lifespan


@dataclass(frozen=True, slots=True)
class Cost:
    """What a slice of requests took, in nanoseconds per request."""

    answered: float
    """Until the last request was answered."""
    loop: float
    """CPU time of the thread that answers, until then: exporters that are at work meanwhile have threads of their own."""
    settled: float
    """Until everything that the requests caused was delivered."""
    cpu: float
    """CPU time of all threads until then."""


async def slice_of(app: ASGIApp, ask: Ask, number: int, settle: Callable[[], None]) -> Cost:
    """The cost of `number` requests, deliveries included.

    Each slice starts with nothing to collect: else the rare large collections, which come after so many
    allocations, would fall into the same slice of every round.
    """
    gc.collect()
    cpu, loop, begin = time.process_time_ns(), time.thread_time_ns(), time.perf_counter_ns()
    await drive(app, ask, number)
    answered, loop_end = time.perf_counter_ns(), time.thread_time_ns()
    settle()
    settled, cpu_end = time.perf_counter_ns(), time.process_time_ns()
    return Cost(
        answered=(answered - begin) / number,
        loop=(loop_end - loop) / number,
        settled=(settled - begin) / number,
        cpu=(cpu_end - cpu) / number,
    )
