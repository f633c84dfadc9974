"""Routes of the application that have the path of one of our endpoints: found wherever they are, removed."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import WebSocketRoute

_PARAMETER = re.compile(r"{[^}]*}")
_NAMED = re.compile(r"{\w+(:path)?}")


@dataclass(frozen=True, slots=True)
class TakenRoute:
    """A route, mount or duplicate with the path of one of our endpoints."""

    path: str
    methods: tuple[str, ...]
    """Empty: it answers all of them."""
    endpoint: str
    place: "_Place" = field(repr=False)

    def __str__(self) -> str:
        """One line of an error."""
        return f"route {','.join(self.methods) or 'any method'} {self.path}, answered by {self.endpoint}"


def find(app: Any, paths: Collection[str]) -> tuple[TakenRoute, ...]:
    """The HTTP routes of `app`, mounted and included ones too, that have one of the `paths`, or one that such a path covers."""
    wanted = {_shape(path) for path in paths}
    patterns = [pattern_of(path) for path in paths if "{" in path]
    return tuple(
        TakenRoute(
            place.path, tuple(sorted(getattr(place.route, "methods", None) or ())), _endpoint(place.route), place
        )
        for place in _places(app)
        if _shape(place.path) in wanted or any(pattern.fullmatch(_example(place.path)) for pattern in patterns)
    )


def remove(app: Any, taken: Iterable[TakenRoute]) -> None:
    """Take these routes out of `app`.

    A route of a router that is included under another path as well stays, because it would be gone there too;
    ours is asked before it.
    """
    routes = list(taken)
    gone = {(route.path, id(route.place.route)) for route in routes}
    needed = {id(place.route) for place in _places(app) if (place.path, id(place.route)) not in gone}
    for route in routes:
        if id(route.place.route) not in needed:
            route.place.remove()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a route is: its whole path, the list that it is in, and the router that has the list, if it is known."""

    path: str
    route: Any
    routes: list[Any]
    router: Any

    def remove(self) -> None:
        self.routes[:] = [route for route in self.routes if route is not self.route]
        if changed := getattr(self.router, "_mark_routes_changed", None):
            changed()  # FastAPI 0.137 and later keep what they worked out of an included router's routes


def _places(app: Any) -> Iterator[_Place]:
    return _walk(app.router.routes, "", app.router, ())


def _walk(routes: Any, prefix: str, router: Any, above: tuple[int, ...]) -> Iterator[_Place]:
    """Every HTTP route under `routes`; an application that is mounted in itself is entered once."""
    if not isinstance(routes, list) or id(routes) in above:
        return
    for route in routes:
        if isinstance(route, WebSocketRoute):
            continue
        path = prefix + str(getattr(route, "path", ""))
        if hasattr(route, "path"):
            yield _Place(path, route, routes, router)
        if included := getattr(route, "original_router", None):  # FastAPI 0.137 and later
            path = prefix + str(route.include_context.prefix)
            yield from _walk(included.routes, path, included, (*above, id(routes)))
        else:
            yield from _walk(getattr(route, "routes", None), path, None, (*above, id(routes)))


def pattern_of(template: str) -> re.Pattern[str]:
    """What the paths of a route's template look like."""
    parts = _NAMED.split(template)  # text, whether it may have slashes, text, ...
    pattern = re.escape(parts[0])
    for rest, text in zip(parts[1::2], parts[2::2], strict=True):
        pattern += (".+" if rest else "[^/]+") + re.escape(text)
    return re.compile(pattern)


def _example(path: str) -> str:
    """A path that a template has."""
    return _PARAMETER.sub("x", path)


def _shape(path: str) -> str:
    """The path without its parameters' names, which make no difference."""
    return _PARAMETER.sub("{}", path)


def _endpoint(route: Any) -> str:
    """Module and name of what answers."""
    found: Any = getattr(route, "endpoint", None) or getattr(route, "app", None)
    while isinstance(found, functools.partial):
        found = found.func
    named: Any = found if hasattr(found, "__qualname__") else type(found)
    return f"{named.__module__}.{named.__qualname__}"
