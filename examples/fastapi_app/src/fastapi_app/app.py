"""The gateway: an OpenAI-like API in front of the providers, observed by one line."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as AnyHTTPException

from fastapi_app.accounts import PAYING, Account
from fastapi_app.cache import Cache, open_redis
from fastapi_app.catalog import MODELS, PROVIDERS, Model
from fastapi_app.customers import Customers, NotEnoughCredits
from fastapi_app.disconnect import unless_client_leaves
from fastapi_app.keys import Keys
from fastapi_app.limits import Limits
from fastapi_app.settings import Settings
from fastapi_app.sse import EventStream
from fastapi_app.store import Completion, Store
from fastapi_app.upstream import Call, Upstream, provider_faults
from gwz_instrument import Telemetry, annotate, gauge, instrument, stage, task

_CATALOG_TTL_S = 3600
_logger = logging.getLogger(__name__)


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
        self.customers = Customers(settings.postgrest_url, settings.namespace)
        self.upstream = Upstream(settings.providers_url, settings.provider_timeout_s)
        self._redis = open_redis(settings.redis_url, settings.redis_timeout_s)
        self.cache = Cache(self._redis, "catalog", settings.namespace, _CATALOG_TTL_S)
        self._limits = Limits(self._redis, settings.namespace)
        self.keys = Keys(self.customers, self._limits)
        self._charges = 0
        self._streams = 0

    def attach(self, telemetry: Telemetry, every_s: float) -> None:
        """Have what the clients do recorded, and the gauges asked for."""
        self.store.attach(telemetry)
        self.upstream.attach(telemetry)
        telemetry.attach(self._redis)
        self.customers.attach(telemetry, every_s)
        gauge("queue_size", lambda: self._charges, every_s=every_s, queue_name="charges")
        gauge("active_connections", lambda: self._streams, every_s=every_s, connection_type="stream")
        gauge("current_rate_limit", _allowed, every_s=every_s, limit_type="requests_per_minute")

    async def open(self) -> None:
        """Load what every request needs: the accounts, the script of the limits, the catalog."""
        await self.keys.open()
        await self._limits.open()
        await self.models()
        for model in MODELS:
            await self.model(model.id)

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
        completion = Completion(
            request_id, str(call.provider), call.model.id, **call.tokens(answer), cost_usd=call.cost_usd or 0.0
        )
        await asyncio.to_thread(self.store.add, completion)

    async def settle(self, account: Account, call: Call) -> None:
        """Charge the customer once the answer is out; for a stream this is when its price is told."""
        if call.cost_usd is None:
            return
        if call.recorded is not None:
            call.recorded.usage(cost_usd=call.cost_usd)
        self._charges += 1
        try:
            await self._charge(account, call.cost_usd)
        except NotEnoughCredits as error:
            _logger.warning("%s; the answer was given all the same", error)
        finally:
            self._charges -= 1

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[None]:
        """Count a stream as open."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def close(self) -> None:
        """Close every connection."""
        await self.upstream.close()
        await self.customers.close()
        await self._redis.aclose()
        self.store.close()

    @task("charge")
    async def _charge(self, account: Account, amount_usd: float) -> None:
        await self.customers.charge(account, amount_usd)


chat = APIRouter(prefix="/v1")
models = APIRouter(prefix="/v1/models")


@chat.post("/chat/completions", response_model=None)
async def complete_chat(request: Request, body: ChatRequest) -> Response:
    """Answer from the chosen provider, or from the first that answers of those that serve the model."""
    gateway: Gateway = request.app.state.gateway
    request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
    account = await gateway.keys.admit(request, request_id)
    async with stage("routing"):
        model = await gateway.model(body.model)
        provider = _provider(body, model)
    annotate(provider=provider, model=model.id)
    call = Call(provider, model, body.model_dump(exclude={"provider"}, exclude_none=True))
    settling = BackgroundTask(gateway.settle, account, call)
    with provider_faults(call):
        if body.stream:
            events = _recorded(gateway, request_id, call)
            first = await unless_client_leaves(request, _first(events))
            annotate(provider=call.provider)
            return EventStream(first, events, settling)
        completion = await unless_client_leaves(request, gateway.upstream.complete(call))
    annotate(provider=call.provider)
    await gateway.record(request_id, call, completion)
    return JSONResponse(completion, background=settling)


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
        await gateway.open()
        yield
        await gateway.close()

    app = FastAPI(title="Inference gateway", lifespan=lifespan)
    app.state.gateway = gateway
    app.include_router(chat)
    app.include_router(models)
    app.add_api_route("/health", _health)
    app.add_exception_handler(AnyHTTPException, _explain)
    telemetry = instrument(app, providers=PROVIDERS, models=tuple(model.id for model in MODELS))
    gateway.attach(telemetry, settings.gauges_every_s)
    return app


def _provider(body: ChatRequest, model: Model) -> str | None:
    """The provider that the client names, if it serves the model."""
    if body.provider is not None and body.provider not in model.providers:
        raise HTTPException(
            404, f"{body.provider!r} does not serve {model.id!r}; these do: {', '.join(model.providers)}"
        )
    return body.provider


def _allowed() -> int:
    return max(account.requests_per_minute for account in PAYING)


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    """Answer with the body that OpenAI's clients know how to read."""
    assert isinstance(error, AnyHTTPException)  # noqa: S101  # the only class it is registered for
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    body = {"error": {"message": error.detail, "type": kind, "code": error.status_code}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _first(events: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise HTTPException(502, "The provider answered with an empty stream") from None


async def _recorded(gateway: Gateway, request_id: str, call: Call) -> AsyncGenerator[dict[str, Any], None]:
    """Relay a provider's events; the one that carries the usage goes on only after it was written down."""
    async with gateway.streaming(), aclosing(gateway.upstream.stream(call)) as events:
        async for event in events:
            if event.get("usage"):
                await gateway.record(request_id, call, event)
            yield event
