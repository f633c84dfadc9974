"""What stands in our way in an application: its metrics, routes and middlewares, refused or taken out."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.registry import Collector, CollectorRegistry

from . import taken_metrics, taken_routes
from .semconv import Metric
from .settings import SettingsError
from .taken_metrics import TakenMetric
from .taken_routes import TakenRoute

_NEEDED = ("build_middleware_stack", "middleware_stack", "router", "user_middleware")


@dataclass(frozen=True, slots=True)
class Collisions:
    """What the application has under our names; false if there is nothing."""

    metrics: tuple[TakenMetric, ...] = ()
    routes: tuple[TakenRoute, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.metrics or self.routes)

    def __str__(self) -> str:
        """One line each."""
        return "\n".join(f"- {taken}" for taken in (*self.metrics, *self.routes))


class CollisionError(ValueError):
    """The application has metrics or routes with our names; the message lists each with its module."""

    def __init__(self, collisions: Collisions) -> None:
        self.collisions = collisions
        super().__init__(
            f"the application already has what gwz-instrument is to emit and answer:\n{collisions}\n"
            "Remove it; or let ours take its place, by Settings(replace_existing=True) or GWZ_REPLACE_EXISTING=true: "
            "what the application holds of it stays usable, but is seen by nobody."
            + (_APART if collisions.metrics else "")
        )


def check_app(app: object) -> None:
    """TypeError if `app` is no application of Starlette or FastAPI."""
    if isinstance(app, type):
        raise TypeError(f"instrument() was given the class {app.__name__}: give it an application, as {app.__name__}()")
    if missing := [name for name in _NEEDED if not hasattr(app, name)]:
        raise TypeError(
            f"instrument() was given a {type(app).__module__}.{type(app).__qualname__}, which has no "
            f"{', '.join(missing)}: give it the FastAPI or Starlette application itself, "
            "not what has been wrapped around it"
        )


def check_registry(registry: object) -> None:
    """TypeError if `registry` is neither None nor a registry of prometheus_client."""
    if registry is not None and not isinstance(registry, CollectorRegistry):
        raise TypeError(
            f"instrument() was given registry={registry!r}: give it a prometheus_client.CollectorRegistry, or nothing"
        )


def make_room(
    app: Any,
    registry: CollectorRegistry,
    ours: Collector,
    *,
    entries: Iterable[Metric],
    paths: Collection[str],
    replace: bool,
) -> Collisions:
    """Take out what has our names if `replace` says so, else raise CollisionError; returns what was taken out."""
    found = collisions(app, registry, ours, entries=entries, paths=paths)
    if found and not replace:
        raise CollisionError(found)
    taken_metrics.unregister(registry, found.metrics)
    taken_routes.remove(app, found.routes)
    return found


def collisions(
    app: Any, registry: CollectorRegistry, ours: Collector, *, entries: Iterable[Metric], paths: Collection[str]
) -> Collisions:
    """What of the application has a name of `entries` or one of the `paths`; changes nothing."""
    return Collisions(taken_metrics.find(registry, ours, entries), taken_routes.find(app, paths))


def middleware_problems(app: Any, names: Sequence[str]) -> list[str]:
    """Why the middlewares with these names cannot be taken out of `app`, a sentence each.

    The name of a middleware is that of its class, or of its function if `@app.middleware` made it of one.
    """
    if names and app.middleware_stack is not None:
        return [f"remove_middleware={names!r} comes too late, the application has started: call instrument(app) before"]
    present = [_name(middleware) for middleware in app.user_middleware]
    has = f"it has {', '.join(present)}" if present else "it has none"
    unknown = [name for name in names if name not in present]
    return [f"remove_middleware has {name!r}, but the application does not: {has} at this point" for name in unknown]


def remove_middleware(app: Any, names: Sequence[str]) -> None:
    """Take the middlewares with these names out of `app`; SettingsError for those that it does not have."""
    if problems := middleware_problems(app, names):
        raise SettingsError(problems)
    app.user_middleware[:] = [middleware for middleware in app.user_middleware if _name(middleware) not in names]


def _name(middleware: Any) -> str:
    arguments = getattr(middleware, "kwargs", None) or getattr(middleware, "options", {})  # Starlette before 0.35
    named = arguments.get("dispatch") or middleware.cls
    return str(getattr(named, "__name__", type(named).__name__))


_APART = " Or keep our metrics apart, by instrument(app, registry=CollectorRegistry()): /metrics then shows only that registry."
