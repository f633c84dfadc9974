"""Stands outside the application and answers the JSON endpoints: no other part of it sees those requests, or counts them."""

import json
import logging
import re
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
_PREFIXES: Final = ("/api/", "/v1/models/trending")
_PARAMETER: Final = re.compile(r"{(\w+)(:path)?}")
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
            collectors.child(endpoints.REQUESTS, path, endpoints.STATUS_CODES[0])

    def of(self, path: str) -> str | None:
        """The endpoint that answers a path; None if it is the application's."""
        if not path.startswith(_PREFIXES):
            return None
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

        await self.app()({**scope, "path": path, "root_path": ""}, receive, count)

    def app(self) -> "FastAPI":
        """Our own application, made when it is first needed."""
        with self._lock:
            if self._app is None:
                made = self._make()
                # So that a dependency of the application's finds what it looks for.
                made.state = getattr(self._application, "state", made.state)
                foreign_spans.replace_native(made)  # FastAPI's newest versions make a server span by themselves
                made.dependency_overrides = getattr(self._application, "dependency_overrides", {})
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
            return merged(build(), self._described())

        self._application.openapi = openapi

    def _described(self) -> dict[str, Any]:
        from fastapi.openapi.utils import get_openapi  # noqa: PLC0415  # no application without FastAPI comes here

        app = self.app()
        return get_openapi(title=app.title, version=app.version, routes=app.routes)


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


def _shape(template: str) -> re.Pattern[str]:
    """What the paths of a template look like."""
    parts = _PARAMETER.split(template)  # text, name, whether it may have slashes, text, ...
    pattern = re.escape(parts[0])
    for rest, text in zip(parts[2::3], parts[3::3], strict=True):
        pattern += (".+" if rest else "[^/]+") + re.escape(text)
    return re.compile(pattern)


_PLAIN: Final = frozenset(path for path in PATHS if "{" not in path)
_SHAPES: Final = tuple((path, _shape(path)) for path in PATHS if "{" in path)
