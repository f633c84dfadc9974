"""The client's side: makes one request and tells what came of it; counts at the transport what crossed the wire."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from fastapi_app.load.ledger import Outcome
from fastapi_app.load.plan import Leave, Planned

_TIMEOUT_S = 60  # far beyond the app's own patience: on a busy machine a late answer is still the right one


@dataclass(frozen=True)
class Seen:
    """What a client can see of a request."""

    status: int | None
    """None if no answer arrived."""
    cut: bool = False
    """The answer broke off."""
    left: bool = False
    """The client closed the connection."""
    input_tokens: int | None = None
    output_tokens: int | None = None


class Wire(httpx.AsyncBaseTransport):
    """Counts requests by method and status, knowing nothing of the plan."""

    def __init__(self) -> None:
        # A connection per request: the app closes one after an unhandled exception, and a second request must not meet that.
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))
        self.counts: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on and count its answer, or that there was none."""
        status = "none"
        try:
            response = await self._inner.handle_async_request(request)
            status = str(response.status_code)
        finally:
            self.counts[f"{request.method} {status}"] += 1
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def open_client(url: str, wire: Wire) -> httpx.AsyncClient:
    """Return a client of the app at `url`."""
    return httpx.AsyncClient(base_url=url, transport=wire, timeout=_TIMEOUT_S)


async def make(client: httpx.AsyncClient, planned: Planned) -> Seen:
    """Make the request and leave where planned; raises httpx.ConnectError if the app is not there."""
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    patience = asyncio.timeout(None)

    async def watch(event: str, _details: Any) -> None:
        # The client may leave only when the app can have the whole request, however slowly it was sent.
        nonlocal sent_at
        if event == "http11.send_request_body.complete":
            sent_at = loop.time()
            if planned.leave is Leave.BEFORE_ANSWER:
                patience.reschedule(sent_at + planned.entry.planned_delay_s)

    request = client.build_request(
        planned.entry.method,
        planned.path,
        json=planned.body,
        headers=_headers(planned),
        extensions={"trace": watch},
    )
    try:
        async with patience:
            response = await client.send(request, stream=True)
    except httpx.ConnectError:
        raise
    except httpx.TransportError:
        return Seen(None)
    except TimeoutError:
        return Seen(None, left=True)
    return await _receive(response, sent_at + planned.entry.planned_delay_s if planned.leave else None)


def expected(planned: Planned) -> Seen:
    """Return what the client should see if everything goes as planned."""
    entry = planned.entry
    return Seen(
        status=None if planned.leave is Leave.BEFORE_ANSWER else entry.status,
        cut=entry.outcome is Outcome.STREAM_ERROR,
        left=planned.leave is not None,
        input_tokens=None if entry.estimated else entry.input_tokens,
        output_tokens=None if entry.estimated else entry.output_tokens,
    )


def _headers(planned: Planned) -> dict[str, str]:
    """Name the request, and its trace if it has one: the caller's span id is the end of the trace id."""
    headers = {"x-request-id": planned.entry.id}
    if planned.entry.api_key:
        headers["authorization"] = f"Bearer {planned.entry.api_key}"
    if trace_id := planned.entry.trace_id:
        headers["traceparent"] = f"00-{trace_id}-{trace_id[16:]}-01"
    return headers


async def _receive(response: httpx.Response, leave_at: float | None) -> Seen:
    body = bytearray()
    try:
        async with asyncio.timeout_at(None) as patience:
            async for piece in response.aiter_bytes():
                body += piece
                patience.reschedule(leave_at)  # not before something has arrived
    except httpx.TransportError:
        return Seen(response.status_code, cut=True)
    except TimeoutError:
        return Seen(response.status_code, left=True)
    finally:
        await response.aclose()
    usage = _usage(response.headers.get("content-type", ""), bytes(body))
    return Seen(
        response.status_code, input_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens")
    )


def _usage(content_type: str, body: bytes) -> dict[str, Any]:
    """Find the usage in a completion, or in the last event of a stream."""
    lines = [body]
    if content_type.startswith("text/event-stream"):
        lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if b'"usage"' in line]
    if not lines or b'"usage"' not in lines[-1]:
        return {}
    usage: dict[str, Any] = json.loads(lines[-1])["usage"]
    return usage
