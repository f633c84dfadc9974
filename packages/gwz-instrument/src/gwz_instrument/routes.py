"""Which route template a request was answered by, read from what the router has already decided."""

import re
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .semconv import http

Scope = MutableMapping[str, Any]

_LOOK_AGAIN_S: Final = 1.0
_REST: Final = "/{path}"
"""What follows a mount's path in the template of a mounted application that has no router."""
_GROUP_NAME: Final = re.compile(r"\(\?P<\w+>")
_MOUNT_TAIL: Final = "/(?:.*)"
_MOST_LAYERS: Final = 32
_NOTHING: Final[dict[str, Any]] = {}


def relative_path(scope: Scope) -> str:
    """The path below `root_path`, whether the server counts that as a part of the path or not.

    uvicorn since 0.26 and Starlette since 0.35 do, earlier ones leave it out.
    """
    path: str = scope["path"]
    root = (scope.get("root_path") or "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path


class RouteTemplates:
    """Templates of an application's routes, mounts included, without matching a second time.

    The router leaves its choice in the scope, but only the innermost part of it, and of a mount only the
    concrete path. So all templates are collected from the application, once, under the objects that the
    router puts into the scope. What `of` returns is one of them or a placeholder, never a string of the
    client's. Routes that are added later are collected when they first answer.

    A mounted application without a router (static files, plain ASGI) is its mount's path and `/{path}`.
    What a mounted application with a router answers by itself is `<unmatched>`: 404s, slash redirects and,
    as nothing in the scope tells them apart, the answers of its own middlewares.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._table = _Table({}, (), (), -1)
        self._look_again_at = 0.0

    def collect(self) -> None:
        """Collect all templates now: at start-up, so that no request has to wait until it is done."""
        self._table = _collect(self._app)

    def of(self, scope: Scope) -> str:
        """The template of the route that answers `scope`, `<unmatched>` or `<unrouted>`; thread-safe."""
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return self._frontend(scope) if "router" in scope else http.UNROUTED
        table = self._table
        found = table.find(scope, endpoint)
        if found is None or len(table.routes) != table.length:
            found = self._look(scope, endpoint)
        return self._hidden(scope) if found is None else found.template or self._choose(scope, found)

    def known(self, scope: Scope) -> "Known | None":
        """What is known of the route that answers `scope`, if that is plain to see; quick, as it is asked for each request."""
        table = self._table
        return table.routed(scope, scope.get("endpoint")) if len(table.routes) == table.length else None

    def _look(self, scope: Scope, endpoint: object) -> "Known | None":
        """Collect all templates anew; a pause keeps endpoints that no walk finds from causing one per request."""
        now = time.monotonic()
        if now >= self._look_again_at:
            self.collect()
        found = self._table.find(scope, endpoint)
        if found is None and now >= self._look_again_at:
            self._look_again_at = now + _LOOK_AGAIN_S
        return found

    def _choose(self, scope: Scope, found: "Known") -> str:
        template = _choose(found.places, scope).template
        return self._frontend(scope) if template is http.UNMATCHED else template

    def _hidden(self, scope: Scope) -> str:
        """What no walk over the routes can reach: as if its mount had no router."""
        mount = self._mount(scope)
        return http.UNMATCHED if mount is None else mount + _REST

    def _mount(self, scope: Scope) -> str | None:
        """The template of the mounts that `scope` has gone through; None if there was none, or none we know."""
        if "app_root_path" not in scope:
            return None
        path = _mounted_at(scope)
        return next((mount.template for mount in self._table.mounts if mount.fits(path)), None)

    def _frontend(self, scope: Scope) -> str:
        """The template of `app.frontend()`, the one kind of route that FastAPI gives no endpoint."""
        length = _fastapi(scope).get("frontend_specificity")
        if not isinstance(length, int):
            return http.UNMATCHED
        return (self._mount(scope) or "") + relative_path(scope)[:length] + _REST


@dataclass(frozen=True, slots=True)
class _Place:
    """One way to a route: its template, and the expression that the paths of its requests match."""

    template: str
    pattern: str
    methods: frozenset[str] = frozenset()

    def fits(self, path: str) -> bool:
        try:
            return re.fullmatch(self.pattern, path) is not None
        except re.error:  # a converter's expression that refers to groups by name
            return False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an object that the router puts into the scope. It is held, so that its id stays its own."""

    key: object
    endpoint: object
    template: str | None
    places: tuple[_Place, ...]
    """More than one where an endpoint, or an application, was registered under several paths."""
    kept: dict[str, Any]
    """What the middleware keeps of its requests, by method."""


@dataclass(frozen=True, slots=True)
class _Table:
    entries: dict[int, Known]
    mounts: tuple[_Place, ...]
    routes: Sequence[Any]
    length: int
    """The number of `routes`, the application's own, then; another one now means that there is more to collect."""

    def find(self, scope: Scope, endpoint: object) -> Known | None:
        """The entry of the most telling object in `scope`."""
        return self.routed(scope, endpoint) or self.entries.get(id(endpoint))

    def routed(self, scope: Scope, endpoint: object) -> Known | None:
        """The entry of the route in `scope`; one of another endpoint is left from an outer router."""
        native = scope.get("fastapi")
        if native.__class__ is dict:
            found = self.entries.get(id(native.get("effective_route_context")))
            if found is not None and found.endpoint is endpoint:
                return found
        found = self.entries.get(id(scope.get("route")))
        return found if found is not None and found.endpoint is endpoint else None


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A route met on the walk: the objects by which a scope may name it, and where it is."""

    keys: tuple[object, ...]
    endpoint: object
    place: _Place
    mount: _Place | None = None
    """For a mount, the place of what is inside."""


def _collect(app: Any) -> _Table:
    routes = _routes(app) or ()
    sightings = tuple(_walk(routes, _Place("", ""), ()))
    found: dict[int, list[_Sighting]] = {}
    for sighting in sightings:
        for key in sighting.keys:
            found.setdefault(id(key), []).append(sighting)
    return _Table(
        entries={id_: _entry(id_, those) for id_, those in found.items()},
        mounts=tuple(sighting.mount for sighting in sightings if sighting.mount is not None),
        routes=routes,
        length=len(routes),
    )


def _entry(id_: int, sightings: Sequence[_Sighting]) -> Known:
    first = sightings[0]
    key = next(key for key in first.keys if id(key) == id_)
    places = tuple(dict.fromkeys(sighting.place for sighting in sightings))
    certain = len({place.template for place in places}) == 1 and first.place.template is not http.UNMATCHED
    return Known(key, first.endpoint, first.place.template if certain else None, places, {})


def _walk(routes: Iterable[Any], above: _Place, inside: tuple[object, ...]) -> Iterator[_Sighting]:
    """Every route below `above`, in the order in which the router tries them."""
    for names, route in _effective(routes):
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None:
            yield _Sighting((*names, route, endpoint), endpoint, _below(above, route))
        elif (app := getattr(route, "app", None)) is not None:
            mount, inner = _inside(_below(above, route)), _inner_routes(route)
            template = mount.template + _REST if inner is None else http.UNMATCHED
            yield _Sighting((*names, route, app), app, _Place(template, mount.pattern + _MOUNT_TAIL), mount)
            if inner is not None and not any(inner is outer for outer in (*inside, routes)):  # else mounted in itself
                yield from _walk(inner, mount, (*inside, routes))


def _inside(mount: _Place) -> _Place:
    return _Place(mount.template, mount.pattern.removesuffix(_MOUNT_TAIL))


def _effective(routes: Iterable[Any]) -> Iterator[tuple[tuple[object, ...], Any]]:
    """Each route with its whole path, after the objects that FastAPI since 0.137 names it by where it is included."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if not callable(contexts):
            yield (), route
            continue
        for context in contexts():
            yield (context, context.original_route), getattr(context, "starlette_route", None) or context


def _below(above: _Place, route: Any) -> _Place:
    """The place of `route`; a Host has neither path nor expression and adds nothing."""
    path, methods = str(getattr(route, "path", "")), getattr(route, "methods", None)
    regex = getattr(route, "path_regex", None)
    pattern = regex.pattern if isinstance(regex, re.Pattern) else re.escape(path)
    pattern = _GROUP_NAME.sub("(?:", pattern.removeprefix("^").removesuffix("$"))
    return _Place(
        above.template + path,
        above.pattern + pattern,
        frozenset(methods if isinstance(methods, set | list | tuple) else ()),
    )


def _routes(app: Any) -> Sequence[Any] | None:
    """The routes of an application that has a router."""
    routes = getattr(app, "routes", None)
    return routes if isinstance(routes, list | tuple) else None


def _inner_routes(route: Any) -> Sequence[Any] | None:
    """The routes inside a mount, also behind middlewares, which hold what they wrap as `app`; None without a router."""
    if routes := _routes(route):
        return routes
    app = route.app
    for _ in range(_MOST_LAYERS):
        if (routes := _routes(app)) is not None:
            return routes
        app = getattr(app, "app", None)
    return None


def _choose(places: Sequence[_Place], scope: Scope) -> _Place:
    """The place that a router would take: the first that fits, with its method if there is one."""
    path, method = _whole_path(scope), scope.get("method")
    fitting = [place for place in places if place.fits(path)]
    return next((place for place in fitting if not place.methods or method in place.methods), (*fitting, *places)[0])


def _whole_path(scope: Scope) -> str:
    """The concrete path below the outermost `root_path`."""
    return _mounted_at(scope) + (relative_path(scope) if _paths_stay_whole() else scope["path"])


def _mounted_at(scope: Scope) -> str:
    """The concrete path of the mounts that a request has gone through."""
    root, outermost = scope.get("root_path") or "", scope.get("app_root_path") or ""
    return root[len(outermost) :] if "app_root_path" in scope and root.startswith(outermost) else ""


def _paths_stay_whole() -> bool:
    """Whether Starlette's mounts leave `path` as it came; its earlier versions cut off their part."""
    return hasattr(sys.modules.get("starlette._utils"), "get_route_path")


def _fastapi(scope: Scope) -> dict[str, Any]:
    found = scope.get("fastapi")
    return found if isinstance(found, dict) else _NOTHING
