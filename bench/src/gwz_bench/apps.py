"""The applications that are measured, before anything is attached to them."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from gwz_bench.drive import Ask

CHUNKS = 50
_CHUNK = b'data: {"choices":[{"delta":{"content":"a few words of it"}}]}\n\n'
_LOG = logging.getLogger("gwz_bench.served")


@dataclass(frozen=True, slots=True)
class Scenario:
    """An application, the request that is made to it, and the template of the route that answers."""

    make: Callable[[], FastAPI]
    ask: Ask
    template: str


def bare() -> FastAPI:
    """An application without FastAPI's own spans: they belong to no variant, and a plain app has none."""
    app = FastAPI(openapi_url=None)
    native = getattr(app, "_telemetry", None)  # FastAPI 0.142 and later; its constructor argument is newer than 0.104
    if isinstance(native, dict):
        native["tracing"] = False
    return app


def json_app() -> FastAPI:
    """One route that answers with a small object."""
    app = bare()
    _add_item(app)
    return app


def logging_app() -> FastAPI:
    """The same, with one logging call per request that goes nowhere."""
    _LOG.addHandler(logging.NullHandler())
    _LOG.propagate = False
    _LOG.setLevel(logging.INFO)
    app = bare()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> dict[str, object]:
        _LOG.info("served item %d", item_id)
        return _item(item_id)

    return app


def stream_app() -> FastAPI:
    """A response of 50 chunks, as a model would write it."""
    app = bare()
    _add_stream(app, CHUNKS)
    return app


def routers_app(routers: int = 200) -> FastAPI:
    """The JSON route behind the included routers of a large application: the last one has it."""
    app = bare()
    for number in range(routers):
        router = APIRouter(prefix=f"/service{number}")
        _add_item(router)
        app.include_router(router)
    return app


def middlewares_app(middlewares: int = 5, routes: int = 326) -> FastAPI:
    """The JSON route in an application of the backend's shape: the last of many routes, behind BaseHTTPMiddlewares."""
    app = bare()
    for _ in range(middlewares):
        app.add_middleware(_Passing)
    for number in range(routes - 1):
        app.add_api_route(f"/v1/resource{number}/{{item_id}}", _answer)
    _add_item(app)
    return app


def mixed_app() -> FastAPI:
    """What a backend sees in a day: answers, streams, exceptions that are handled, paths that nobody has."""
    app = bare()
    _add_item(app)
    _add_stream(app, 5)
    tenants = bare()
    _add_item(tenants)
    app.mount("/mount/{tenant}", tenants)
    return app


class _Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)


def _item(item_id: int) -> dict[str, object]:
    return {"id": item_id, "name": "a thing", "price": 12.5, "tags": ["small", "blue"]}


async def _answer(item_id: int) -> dict[str, object]:
    return _item(item_id)


def _add_item(app: FastAPI | APIRouter) -> None:
    app.add_api_route("/items/{item_id}", _answer)


def _add_stream(app: FastAPI, chunks: int) -> None:
    async def words() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield _CHUNK

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(words(), media_type="text/event-stream")


SCENARIOS = {
    "json": Scenario(json_app, Ask("/items/17"), "/items/{item_id}"),
    "json-logging": Scenario(logging_app, Ask("/items/17"), "/items/{item_id}"),
    "stream": Scenario(stream_app, Ask("/stream"), "/stream"),
    "routers": Scenario(routers_app, Ask("/service199/items/17"), "/service199/items/{item_id}"),
    "middlewares": Scenario(middlewares_app, Ask("/items/17"), "/items/{item_id}"),
}
