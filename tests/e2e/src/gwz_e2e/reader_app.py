"""An application without traffic, which tells from Prometheus what others of its name have counted: `uvicorn gwz_e2e.reader_app:app`."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI

from gwz_instrument import instrument

WORKER = "x-worker"
"""The header in which an answer says which process gave it."""

_Message = MutableMapping[str, Any]


class Named:
    """Tells in every answer by which process it was given."""

    def __init__(self, inner: FastAPI) -> None:
        self._inner = inner

    async def __call__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        """Answer a request."""

        async def named(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (WORKER.encode(), str(os.getpid()).encode())]}
            await send(message)

        await self._inner(scope, receive, named)


async def health() -> dict[str, str]:
    """Answer that the process is there."""
    return {"status": "ok"}


def create_app() -> Named:
    """Build the application; all that it is told stands in the environment."""
    inner = FastAPI()
    inner.add_api_route("/health", health)
    instrument(inner)
    return Named(inner)


app = create_app()
