"""The gateway: an OpenAI-like API in front of the providers, observed by one line."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException

from fastapi_app.cache import Cache
from fastapi_app.catalog import MODELS, PROVIDERS, Model
from fastapi_app.disconnect import unless_client_leaves
from fastapi_app.settings import Settings
from fastapi_app.sse import EventStream
from fastapi_app.store import Completion, Store
from fastapi_app.upstream import Call, Upstream, provider_faults
from gwz_instrument import annotate, instrument

_CATALOG_TTL_S = 10


class ChatRequest(BaseModel):
    """What a client asks; fields that are not named here reach the provider as they are."""

    model_config = ConfigDict(extra="allow")

    model: str
    provider: str | None = None
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False
    max_tokens: int | None = Field(default=None, ge=1)
    metadata: dict[str, str] | None = None


class Gateway:
    """What the routes share for the life of the application."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings.database_url, MODELS)
        self.cache = Cache(settings.redis_url, ttl_s=_CATALOG_TTL_S)
        self.upstream = Upstream(settings.providers_url, settings.provider_timeout_s)

    async def models(self) -> list[dict[str, Any]]:
        """Return the catalog, from the cache if it is there."""

        async def load() -> list[dict[str, Any]]:
            return [asdict(model) for model in await asyncio.to_thread(self.store.models)]

        models: list[dict[str, Any]] = await self.cache.remember("models", load)
        return models

    async def model(self, model_id: str) -> Model:
        """Return one model, from the cache if it is there; 404 if the catalog does not have it."""

        async def load() -> dict[str, Any] | None:
            model = await asyncio.to_thread(self.store.model, model_id)
            return asdict(model) if model else None

        entry = await self.cache.remember(f"model:{model_id}", load)
        if entry is None:
            raise HTTPException(404, f"The model {model_id!r} does not exist; GET /v1/models lists those that do")
        return Model(**{**entry, "providers": tuple(entry["providers"])})

    async def record(self, request_id: str, call: Call, answer: dict[str, Any]) -> None:
        """Write down a completion and its cost."""
        completion = Completion(request_id, call.provider, call.model.id, **call.price(answer))
        await asyncio.to_thread(self.store.add, completion)

    async def close(self) -> None:
        """Close every connection."""
        await self.upstream.close()
        await self.cache.close()
        self.store.close()


chat = APIRouter(prefix="/v1")
models = APIRouter(prefix="/v1/models")


@chat.post("/chat/completions", response_model=None)
async def complete_chat(request: Request, body: ChatRequest) -> Response | dict[str, Any]:
    """Answer from the chosen provider, or from the first that serves the model."""
    gateway: Gateway = request.app.state.gateway
    model = await gateway.model(body.model)
    provider = body.provider or model.providers[0]
    if provider not in model.providers:
        raise HTTPException(404, f"{provider!r} does not serve {model.id!r}; these do: {', '.join(model.providers)}")
    annotate(provider=provider, model=model.id)
    request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
    call = Call(provider, model, body.model_dump(exclude={"provider"}, exclude_none=True))
    with provider_faults(provider):
        if body.stream:
            events = _recorded(gateway, request_id, call)
            return EventStream(await unless_client_leaves(request, _first(events)), events)
        completion = await unless_client_leaves(request, gateway.upstream.complete(call))
    await gateway.record(request_id, call, completion)
    return completion


@chat.get("/usage")
async def show_usage(request: Request) -> dict[str, Any]:
    """Return what each provider delivered so far."""
    usage = await asyncio.to_thread(request.app.state.gateway.store.usage)
    return {"object": "list", "data": [asdict(row) for row in usage]}


@models.get("")
async def list_models(request: Request) -> dict[str, Any]:
    """Return the catalog."""
    return {"object": "list", "data": await request.app.state.gateway.models()}


@models.get("/{model_name:path}")
async def show_model(request: Request, model_name: str) -> dict[str, Any]:
    """Return one model of the catalog."""
    return asdict(await request.app.state.gateway.model(model_name))


def create_app(settings: Settings) -> FastAPI:
    """Build the gateway; its database exists when this returns."""
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    app = FastAPI(title="Inference gateway", lifespan=lifespan)
    app.state.gateway = gateway
    app.include_router(chat)
    app.include_router(models)
    app.add_api_route("/health", _health)
    app.add_exception_handler(AnyHTTPException, _explain)
    instrument(
        app,
        providers=PROVIDERS,
        models=tuple(model.id for model in MODELS),
        health_window_s=20,
        anomaly_window_s=20,
        anomaly_baseline_s=120,
    )
    return app


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    """Answer with the body that OpenAI's clients know how to read."""
    assert isinstance(error, AnyHTTPException)  # noqa: S101  # the only class it is registered for
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    body = {"error": {"message": error.detail, "type": kind, "code": error.status_code}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _first(events: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    return await anext(events)


async def _recorded(gateway: Gateway, request_id: str, call: Call) -> AsyncGenerator[dict[str, Any], None]:
    """Relay a provider's events; the one that carries the usage goes on only after it was written down."""
    async with aclosing(gateway.upstream.stream(call)) as events:
        async for event in events:
            if event.get("usage"):
                await gateway.record(request_id, call, event)
            yield event
