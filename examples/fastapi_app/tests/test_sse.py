"""Server-sent events whose client leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi_app.sse import EventStream


async def test_source_is_closed_when_the_client_leaves_while_an_event_is_being_sent() -> None:
    """The source is suspended then, so nothing but an explicit close reaches it."""
    closed = asyncio.Event()
    sending = asyncio.Event()

    async def events() -> AsyncGenerator[dict[str, Any], None]:
        try:
            yield {"number": 1}
            yield {"number": 2}
        finally:
            closed.set()

    async def receive() -> dict[str, Any]:
        await sending.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b'"number": 2' in message.get("body", b""):
            sending.set()
            await asyncio.Event().wait()  # a connection that takes nothing more

    source = events()
    response = EventStream(await anext(source), source)

    await response({"type": "http"}, receive, send)

    assert closed.is_set()
