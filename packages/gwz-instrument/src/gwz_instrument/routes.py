"""Which route template a request was answered by, read from what the router has already decided."""

from collections.abc import Iterable, MutableMapping
from typing import Any

from .semconv import http

Scope = MutableMapping[str, Any]


class RouteTemplates:
    """Templates of an application's routes, mounts included, without matching a second time.

    The router leaves its choice in the scope, but only the innermost part of it: the template of a
    mount's route lacks the mount, and a mount's own parameters remain only as concrete values. So the
    prefixes are collected from the application's routes, once, and again when an unknown route shows up.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._prefixes: dict[int, str] = {}
        self._routes: dict[int, tuple[object, str]] = {}

    def of(self, scope: Scope) -> str:
        """The template of the route that answers `scope`, `<unmatched>` or `<unrouted>`."""
        context = scope.get("fastapi", _EMPTY).get("effective_route_context")
        if context is not None:  # FastAPI 0.137 and later: a route of an included router
            return self._prefix(scope.get("app")) + str(context.path)
        route = scope.get("route")
        if route is None:
            return http.UNMATCHED if "router" in scope else http.UNROUTED
        known = self._routes.get(id(route))
        if known is None or known[0] is not route:
            self._routes[id(route)] = (route, str(getattr(route, "path", http.UNMATCHED)))
            self._collect(getattr(self._app, "routes", ()), "")
            known = self._routes[id(route)]
        return known[1]

    def _prefix(self, app: object) -> str:
        if app is self._app:
            return ""
        if id(app) not in self._prefixes:
            self._collect(getattr(self._app, "routes", ()), "")
        return self._prefixes.get(id(app), "")

    def _collect(self, routes: Iterable[Any], prefix: str) -> None:
        for route in routes:
            path = prefix + str(getattr(route, "path", ""))
            self._routes[id(route)] = (route, path)
            inner = getattr(route, "app", None)
            if children := getattr(route, "routes", None):
                self._prefixes[id(inner)] = path
                self._collect(children, path)


_EMPTY: dict[str, Any] = {}
