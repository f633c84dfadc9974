"""Server-sent events to the client."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """Sends each event as JSON and ends with `[DONE]`; closes the source however the response ends."""

    def __init__(
        self,
        first: dict[str, Any],
        rest: AsyncGenerator[dict[str, Any], None],
        background: BackgroundTask | None = None,
    ) -> None:
        self._rest = rest
        super().__init__(_lines(first, rest), media_type="text/event-stream", background=background)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; the source is closed when this returns."""
        # A client that leaves cancels the sending, which leaves the source suspended and the provider's connection open.
        async with aclosing(self._rest):
            await super().__call__(scope, receive, send)


async def _lines(first: dict[str, Any], rest: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[str]:
    yield f"data: {json.dumps(first)}\n\n"
    async for event in rest:
        yield f"data: {json.dumps(event)}\n\n"
    yield "data: [DONE]\n\n"
