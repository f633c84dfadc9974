"""Stands outside the application and answers the JSON endpoints: no other part of it sees those requests, or counts them."""

import json
import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from gwz_instrument import foreign_spans, taken_routes
from gwz_instrument.metrics import Collectors
from gwz_instrument.semconv import endpoints

if TYPE_CHECKING:
    from fastapi import FastAPI

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS: Final = tuple(one.path for one in endpoints.ENDPOINTS)
_SCHEMA: Final = "#/components/schemas/"
_LOG: Final = logging.getLogger("gwz_instrument")
_OURS: Final = "Gwz"
"""Before the names of our models in the application's document, which may have its own of the same name."""


class Door:
    """Sends requests for our paths to our own application, and counts the answers."""

    def __init__(
        self, make: Callable[[], "FastAPI"], collectors: Collectors, application: Any, keep_up: Callable[[], None]
    ) -> None:
        self.keep_up = keep_up
        """To be called now and then."""
        self._make = make
        self._collectors = collectors
        self._application = application
        self._app: FastAPI | None = None
        self._lock = threading.Lock()
        for path in PATHS:
            for status in endpoints.STATUS_CODE.values:
                collectors.child(endpoints.REQUESTS, path, status)

    def of(self, path: str) -> str | None:
        """The endpoint that answers a path; None if it is the application's."""
        if path in _PLAIN:
            return path
        return next((template for template, shape in _SHAPES if shape.fullmatch(path)), None)

    async def answer(self, endpoint: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whose path is the one below the application's root."""

        async def count(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status = str(message["status"])
                known = status if status in endpoints.STATUS_CODES else endpoints.OTHER_STATUS
                self._collectors.count(endpoints.REQUESTS, endpoint, known)
            await send(message)

        self.keep_up()
        app = self.app()
        app.dependency_overrides = getattr(self._application, "dependency_overrides", {})  # may have been replaced
        await app({**scope, "path": path, "root_path": ""}, receive, count)

    def app(self) -> "FastAPI":
        """Our own application, made when it is first needed."""
        with self._lock:
            if self._app is None:
                made = self._make()
                # So that a dependency of the application's finds what it looks for.
                made.state = getattr(self._application, "state", made.state)
                foreign_spans.replace_native(made)  # FastAPI's newest versions make a server span by themselves
                made.exception_handlers |= _handlers(self._application)
                self._app = made
        return self._app

    def tell_shadowed(self) -> None:
        """Say which routes the application has given our paths since: nobody will reach them."""
        for route in taken_routes.find(self._application, PATHS):
            _LOG.error(
                "%s is never reached: gwz-instrument answers this path. Rename the route, or set GWZ_MONITORING=off",
                route,
            )

    def document(self) -> None:
        """Let the application's OpenAPI document have our endpoints as well."""
        build = self._application.openapi

        def openapi() -> dict[str, Any]:
            document: dict[str, Any] = build()
            try:
                return merged(document, self._described())
            except Exception:  # noqa: BLE001  # no fault of ours may cost the application its own page
                _LOG.exception("gwz-instrument could not add its endpoints to the OpenAPI document")
                return document

        self._application.openapi = openapi

    def _described(self) -> dict[str, Any]:
        from fastapi.openapi.utils import get_openapi  # noqa: PLC0415  # no application without FastAPI comes here

        app = self.app()
        return get_openapi(title=app.title, version=app.version, routes=app.routes)


def _handlers(application: Any) -> dict[Any, Any]:
    """The application's handlers of exceptions of its own, which its dependency may raise; our refusals stay ours."""
    return {
        kind: handler
        for kind, handler in getattr(application, "exception_handlers", {}).items()
        if isinstance(kind, type) and kind is not Exception and kind.__module__.split(".")[0] not in _FRAMEWORKS
    }


def merged(document: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with our paths, whose models have names of their own."""
    added = json.loads(json.dumps(ours).replace(_SCHEMA, _SCHEMA + _OURS))
    components, additional = document.get("components", {}), added.get("components", {})
    schemas = {f"{_OURS}{name}": schema for name, schema in additional.get("schemas", {}).items()}
    return {
        **document,
        "paths": {**document.get("paths", {}), **added["paths"]},
        "components": {
            **components,
            "schemas": {**components.get("schemas", {}), **schemas},
            "securitySchemes": {**additional.get("securitySchemes", {}), **components.get("securitySchemes", {})},
        },
    }


_FRAMEWORKS: Final = ("fastapi", "starlette")
_PLAIN: Final = frozenset(path for path in PATHS if "{" not in path)
_SHAPES: Final = tuple((path, taken_routes.pattern_of(path)) for path in PATHS if "{" in path)
