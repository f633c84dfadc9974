"""The JSON endpoints as an application of FastAPI: parameters, tokens, the models of the answers."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from gwz_instrument.semconv import Endpoint, endpoints
from gwz_instrument.settings import Settings

from . import condition, models, speed, spending, traffic
from .desk import Desk
from .far_end import FarEnds
from .pages import Page

_FAR_END_S: Final = 10.0
_BEARER: Final = {"WWW-Authenticate": "Bearer"}
_BY_TOKEN: Final[Any] = Security(HTTPBearer(auto_error=False, description="GWZ_API_TOKEN, or GWZ_ADMIN_TOKEN"))
_BACK: Final = "Hours back from now"
_TEST_LINE: Final = "test line of gwz-instrument"
_TEST_SPAN: Final = "test span of gwz-instrument"
_WHY: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": models.Refusal, "description": "No token, or a wrong one"},
    429: {"model": models.Refusal, "description": "Too many questions a second"},
    503: {"model": models.Refusal, "description": "The store does not answer in time; the detail names the hop"},
}
_UNKNOWN: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.Refusal, "description": "There never was such a provider, or such a model at it"}
}
_CLOSED: Final[dict[int | str, dict[str, Any]]] = {
    401: _WHY[401],
    403: {"model": models.Refusal, "description": "There is no administrator's token"},
    429: _WHY[429],
}

# Beside pydantic 2.12 and later the oldest FastAPI that is supported reads no `Annotated`: hence defaults.
_PROVIDER: Final[Any] = Path(min_length=1, max_length=200, description="As in the label `provider`")
_MODEL: Final[Any] = Path(min_length=1, max_length=200, description="As in the label `model`")


def _whole(default: int, most: int, what: str) -> Any:
    """A parameter that is a whole number from 1."""
    return Query(default, ge=1, le=most, description=f"{what}, 1 to {most}")


_HOUR: Final[Any] = _whole(1, 168, _BACK)
_DAY_OF_HOURS: Final[Any] = _whole(24, 168, _BACK)


class TestLog(BaseModel):
    """A line to be sent."""

    model_config = ConfigDict(extra="ignore")

    message: str = Field(default=_TEST_LINE, min_length=1, max_length=200)
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"


class TestTrace(BaseModel):
    """A span to be sent."""

    model_config = ConfigDict(extra="ignore")

    message: str = Field(default=_TEST_SPAN, min_length=1, max_length=200)


def make_app(desk: Desk, far_ends: FarEnds, settings: Settings) -> FastAPI:
    """The endpoints by themselves; whoever serves this counts the requests and keeps them out of the other metrics."""
    app = FastAPI(title="GatewayZ monitoring", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _explain)
    app.include_router(_monitoring(desk, settings))
    app.include_router(_instrumentation(desk, far_ends, settings))
    return app


def _monitoring(desk: Desk, settings: Settings) -> APIRouter:  # noqa: C901  # a route each, all simple
    router = APIRouter(tags=["monitoring"], dependencies=[Depends(_reader(settings))])
    store, window_s = desk.store, settings.health_window_s

    async def answer(request: Request, make: "partial[Page]", *about: str) -> Response:
        def known() -> Page:
            if about and not store.knows(*about):
                raise HTTPException(404, _nobody(*about))
            return make()

        return await desk.page(_who(request, settings), (make.func, *make.args[1:]), known)

    @_route(router, endpoints.HEALTH)
    async def health(request: Request) -> Response:
        return await answer(request, partial(condition.health, store, window_s))

    @_route(router, endpoints.PROVIDER)
    async def health_of_provider(request: Request, provider: str = _PROVIDER) -> Response:
        return await answer(request, partial(condition.one_health, store, provider, window_s), provider)

    @_route(router, endpoints.REALTIME)
    async def realtime(request: Request, hours: int = _HOUR) -> Response:
        return await answer(request, partial(traffic.realtime, store, hours, window_s))

    @_route(router, endpoints.HOURLY)
    async def hourly(request: Request, provider: str = _PROVIDER, hours: int = _DAY_OF_HOURS) -> Response:
        return await answer(request, partial(traffic.hourly, store, provider, hours), provider)

    @_route(router, endpoints.ERROR_RATES)
    async def error_rates(request: Request, hours: int = _DAY_OF_HOURS) -> Response:
        return await answer(request, partial(traffic.error_rates, store, hours))

    @_route(router, endpoints.ANOMALIES)
    async def anomalies(request: Request) -> Response:
        both_s = settings.anomaly_window_s, settings.anomaly_baseline_s
        return await answer(request, partial(condition.anomalies, store, *both_s))

    @_route(router, endpoints.BREAKERS)
    async def breakers(request: Request) -> Response:
        return await answer(request, partial(condition.breakers, store, window_s))

    @_route(router, endpoints.AVAILABILITY)
    async def availability(request: Request, days: int = _whole(1, 30, "Days back from now")) -> Response:
        return await answer(request, partial(condition.availability, store, days))

    @_route(router, endpoints.TRENDING)
    async def trending(
        request: Request,
        limit: int = _whole(10, 100, "At most so many models"),
        sort_by: models.Sort = "requests",
        time_range: models.Range = "24h",
        gateway: str = Query(traffic.EVERYBODY, min_length=1, max_length=200, description="A provider, or all"),
    ) -> Response:
        about = () if gateway == traffic.EVERYBODY else (gateway,)
        return await answer(request, partial(traffic.trending, store, limit, sort_by, time_range, gateway), *about)

    @_route(router, endpoints.LATENCY_TRENDS)
    async def latency_trends(request: Request, provider: str = _PROVIDER, hours: int = _DAY_OF_HOURS) -> Response:
        return await answer(request, partial(speed.trends, store, provider, hours), provider)

    @_route(router, endpoints.LATENCY)
    async def latency(request: Request, provider: str = _PROVIDER, model: str = _MODEL, hours: int = _HOUR) -> Response:
        return await answer(request, partial(speed.of_model, store, provider, model, hours), provider, model)

    @_route(router, endpoints.ERRORS)
    async def errors(
        request: Request,
        provider: str = _PROVIDER,
        limit: int = _whole(100, 1000, "At most so many failures"),
    ) -> Response:
        return await answer(request, partial(condition.failures, store, provider, limit), provider)

    @_route(router, endpoints.COSTS)
    async def costs(request: Request, days: int = _whole(7, 90, "Days back from now")) -> Response:
        return await answer(request, partial(spending.costs, store, days))

    @_route(router, endpoints.TOKENS)
    async def tokens(request: Request, hours: int = _DAY_OF_HOURS) -> Response:
        return await answer(request, partial(traffic.tokens, store, hours))

    return router


def _instrumentation(desk: Desk, far_ends: FarEnds, settings: Settings) -> APIRouter:
    administrator = Depends(_administrator(settings))
    reader = administrator if settings.monitoring_auth is not None else Depends(_reader(settings))
    router = APIRouter(tags=["instrumentation"])

    async def answer(request: Request, make: Callable[[], Any]) -> Response:
        body = await desk.work(_who(request, settings), make, _FAR_END_S)
        status = 503 if body.status == "failed" else 200
        headers = {"Cache-Control": "no-store"}
        return Response(body.model_dump_json(by_alias=True), status, headers, media_type="application/json")

    @_route(router, endpoints.INSTRUMENTATION, dependencies=[reader])
    async def health(request: Request) -> Response:
        with_urls = _is(_token(request), settings.admin_token)
        return await answer(request, partial(far_ends.health, with_urls=with_urls))

    @_route(router, endpoints.LOKI_STATUS, dependencies=[administrator])
    async def loki(request: Request) -> Response:
        return await answer(request, partial(far_ends.loki, with_urls=True))

    @_route(router, endpoints.TEMPO_STATUS, dependencies=[administrator])
    async def tempo(request: Request) -> Response:
        return await answer(request, partial(far_ends.tempo, with_urls=True))

    @_route(router, endpoints.TEST_LOG, dependencies=[administrator])
    async def test_log(request: Request, body: TestLog | None = None) -> Response:
        line = body or TestLog()
        return await answer(request, partial(far_ends.test_log, line.message, line.level))

    @_route(router, endpoints.TEST_TRACE, dependencies=[administrator])
    async def test_trace(request: Request, body: TestTrace | None = None) -> Response:
        return await answer(request, partial(far_ends.test_trace, (body or TestTrace()).message))

    return router


def _route(router: APIRouter, endpoint: Endpoint, dependencies: Sequence[Any] = ()) -> Callable[[Any], Any]:
    """Register a handler; the model of its answer is for the documentation, the handler makes the bytes."""
    model: Any = getattr(models, endpoint.answer)
    about = "{provider}" in endpoint.path or endpoint is endpoints.TRENDING
    if endpoint in endpoints.MONITORING:
        responses = {**_WHY, **(_UNKNOWN if about else {})}
    else:
        responses = {**_CLOSED, 503: {"model": model, "description": "A hop failed; the body names it"}}
        if endpoint.method == "POST":
            responses[400] = {"model": models.Refusal, "description": "The body is no JSON"}
    return router.api_route(
        endpoint.path,
        methods=[endpoint.method],
        response_model=list[model] if endpoint.many else model,
        responses=responses,
        dependencies=list(dependencies),
        summary=endpoint.brief,
    )


def _reader(settings: Settings) -> Callable[..., Any]:
    """The dependency that admits readers: the application's own, or the token's."""
    if settings.monitoring_auth is not None:
        admit: Callable[..., Any] = settings.monitoring_auth
        return admit

    def reader(given: HTTPAuthorizationCredentials | None = _BY_TOKEN) -> None:
        token = given.credentials if given is not None else None
        if settings.api_token and not (_is(token, settings.api_token) or _is(token, settings.admin_token)):
            raise HTTPException(401, "Send Authorization: Bearer with the text of GWZ_API_TOKEN", _BEARER)

    return reader


def _administrator(settings: Settings) -> Callable[..., Any]:
    def administrator(given: HTTPAuthorizationCredentials | None = _BY_TOKEN) -> None:
        if not settings.admin_token:
            raise HTTPException(403, "This is closed: set GWZ_ADMIN_TOKEN to open it to who knows that")
        if not _is(given.credentials if given is not None else None, settings.admin_token):
            raise HTTPException(401, "Send Authorization: Bearer with the text of GWZ_ADMIN_TOKEN", _BEARER)

    return administrator


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is(given: str | None, wanted: str | None) -> bool:
    """Whether a token is the one that is wanted, in a time that tells nothing about it."""
    if not given or not wanted:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _who(request: Request, settings: Settings) -> str:
    """A name for who asks, for the limit: the token that opened the door, or else where the question came from."""
    token = _token(request)
    for name, wanted in (("reader", settings.api_token), ("administrator", settings.admin_token)):
        if _is(token, wanted):
            return name
    return f"host {request.client.host if request.client else ''}"


def _nobody(provider: str, model: str | None = None) -> str:
    what = f"provider {provider!r}" if model is None else f"model {model!r} at the provider {provider!r}"
    return f"There is no {what}: its calls would have to be recorded by inference(), or the settings to declare it"


async def _explain(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's answer to wrong parameters, in which each message names what is allowed and what was given."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # the only class it is registered for
    path = getattr(request.scope.get("route"), "path", "")
    return JSONResponse({"detail": [_explained(path, one) for one in error.errors()]}, 422)


def _explained(path: str, error: Mapping[str, Any]) -> dict[str, Any]:
    name = str(error["loc"][-1]) if error["loc"] else "the body"
    allowed = _ALLOWED_AT.get((path, name)) or _ALLOWED.get(name)
    given = str(error.get("input"))[:100]
    message = f"{name} must be {allowed}, and is {given!r}" if allowed else f"{name}: {error['msg']}"
    return {"loc": list(error["loc"]), "msg": message, "type": str(error["type"])}


_ALLOWED_AT: Final = {
    (endpoints.AVAILABILITY.path, "days"): "a whole number from 1 to 30",
    (endpoints.ERRORS.path, "limit"): "a whole number from 1 to 1000",
}
_ALLOWED: Final = {
    "hours": "a whole number from 1 to 168",
    "days": "a whole number from 1 to 90",
    "limit": "a whole number from 1 to 100",
    "sort_by": f"one of {', '.join(endpoints.SORTS)}",
    "time_range": f"one of {', '.join(endpoints.RANGES)}",
    "level": "one of debug, info, warning, error, critical",
}
