"""The providers' application: `/{provider}/v1/chat/completions`, the database at `/rest/v1`, and `/health`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from fastapi_app.catalog import PROVIDERS
from fastapi_app.providers import rest
from fastapi_app.providers.behaviour import METADATA_KEY, Behaviour
from fastapi_app.providers.performance import Performance
from fastapi_app.providers.spans import Spans


def create_app() -> Starlette:
    """Build the application; it sends its last spans when it is shut down."""
    spans = Spans(PROVIDERS)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        spans.close()

    async def complete(request: Request) -> Performance:
        provider = request.path_params["provider"]
        if provider not in PROVIDERS:
            raise HTTPException(404, f"There is no provider {provider!r}")
        body = await request.json()
        start_span = partial(spans.start, provider, request.headers)
        stream = body.get("stream", False)
        return Performance(provider, _behaviour(body), body["model"], stream=stream, start_span=start_span)

    routes = [
        Route("/health", _health),
        Mount("/rest/v1", rest.create_app()),
        Route("/{provider}/v1/chat/completions", complete, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _behaviour(body: dict[str, Any]) -> Behaviour:
    text = (body.get("metadata") or {}).get(METADATA_KEY)
    if text is None:
        return Behaviour()
    try:
        return Behaviour.from_text(text)
    except (KeyError, TypeError, ValueError) as error:
        raise HTTPException(400, f"metadata.{METADATA_KEY} is {text!r}, not what Behaviour.to_text() writes") from error
