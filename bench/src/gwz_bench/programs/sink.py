"""Where spans and lines arrive: answers OTLP/HTTP and Loki's push at once, keeps what it gets, counts on demand.

It decodes nothing until it is asked, so that it takes as little as possible of a machine with two cores.
"""

import asyncio
import gzip
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from gwz_bench.child import Answer, Order, serve

LOKI_PATH = "/loki/api/v1/push"
TRACES_PATH = "/v1/traces"
_NUMBERED = re.compile(r"\bline (\d+)\b")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_GZIP = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)
_ANSWERS = {
    LOKI_PATH: b"HTTP/1.1 204 No Content\r\n\r\n",
    TRACES_PATH: b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
}
_UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_MODES = ("answer", "hang", "forget")


class Sink:
    """A server on a fixed loopback port that can go away, hang and come back."""

    def __init__(self) -> None:
        self.mode = "answer"
        self.bodies: list[tuple[str, bool, bytes]] = []
        self.unknown = 0
        self._open: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def obey(self, order: Order) -> Answer:
        """Carry out one order."""
        match order["do"]:
            case "open":
                self.mode = order.get("mode", "answer")
                if self.mode not in _MODES:
                    raise ValueError(f"mode {self.mode!r} is not one of {', '.join(_MODES)}")
                self._run(self._listen)
            case "close":
                self._run(self._leave)
            case "counts":
                return self._counts()
            case other:
                raise ValueError(f"a sink knows no order {other!r}")
        return {"port": self.port}

    def take(self, head: bytes, body: bytes) -> bytes:
        """Keep one request and return the answer; nothing while it hangs."""
        path = head.split(b" ", 2)[1].decode("latin-1")
        if path not in _ANSWERS:
            self.unknown += 1
            return _UNKNOWN
        if self.mode == "hang":
            return b""
        if self.mode == "answer":
            self.bodies.append((path, _GZIP.search(head) is not None, body))
        return _ANSWERS[path]

    def _counts(self) -> Answer:
        """What has arrived since the last time this was asked."""
        bodies, self.bodies = self.bodies, []
        unpacked = [(path, gzip.decompress(body) if packed else body) for path, packed, body in bodies]
        lines = [line for path, body in unpacked if path == LOKI_PATH for line in _lines(body)]
        numbers = Counter(int(match[1]) for line in lines if (match := _NUMBERED.search(line)))
        return {
            "lines": len(lines),
            "distinct": len(numbers),
            "doubled": sum(count - 1 for count in numbers.values()),
            "spans": sum(_spans(body) for path, body in unpacked if path == TRACES_PATH),
            "requests": len(bodies),
            "unknown": self.unknown,
        }

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await self._loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self.port, reuse_address=True, backlog=512
            )

    async def _leave(self) -> None:
        if self._server is not None:
            self._server.close()
            for transport in list(self._open):
                transport.abort()
            await self._server.wait_closed()
            self._server = None

    def _run(self, step: Callable[[], Awaitable[None]]) -> None:
        async def taken() -> None:
            await step()

        asyncio.run_coroutine_threadsafe(taken(), self._loop).result(10)

    def joined(self, transport: asyncio.Transport) -> None:
        """Note a connection that must be cut when the sink goes away."""
        self._open.add(transport)

    def parted(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._open.discard(transport)


class _Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as our senders speak: requests with a Content-Length on a lasting connection."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what a stream server makes
        self._transport = transport
        self._sink.joined(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        self._sink.parted(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        for head, body in self._requests():
            if answer := self._sink.take(head, body):
                self._transport.write(answer)

    def _requests(self) -> Iterator[tuple[bytes, bytes]]:
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            if len(self._received) < end + 4 + length:
                return
            yield head, bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]


def _lines(body: bytes) -> Iterator[str]:
    push: dict[str, Any] = json.loads(body)
    for stream in push["streams"]:
        for value in stream["values"]:
            yield value[1]


def _spans(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


if __name__ == "__main__":
    serve(Sink().obey)
