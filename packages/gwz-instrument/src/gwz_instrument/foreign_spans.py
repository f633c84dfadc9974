"""Server spans that somebody else makes for the same requests: found out, so that there is never a second one."""

from collections.abc import MutableMapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

FASTAPI_KEY: Final = "fastapi.telemetry"
_CONTRIB: Final = ("opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware")


def foreign_server_spans(stack: object) -> str | None:
    """The class in a built middleware stack that makes server spans; None if there is none.

    Everything of OpenTelemetry's contrib ends there, whoever put it in: `FastAPIInstrumentor` and
    `StarletteInstrumentor` by application or for all, `add_middleware`, logfire. Only the built stack tells: the
    flag that they set on an application is also there when they failed.
    """
    seen: set[int] = set()
    while stack is not None and id(stack) not in seen:
        seen.add(id(stack))
        for kind in type(stack).__mro__:
            if (kind.__module__, kind.__qualname__) == _CONTRIB:
                return f"{type(stack).__module__}.{type(stack).__qualname__}"
        stack = getattr(stack, "app", None)
    return None


def replace_native(app: object) -> None:
    """Switch off the server spans that FastAPI makes by itself from 0.142 on, as soon as there is a provider.

    Not those of an application that gave FastAPI a provider of its own: it wants them there. They are found by
    `current_server_span`.
    """
    native = getattr(app, "_telemetry", None)
    if isinstance(native, dict) and native.get("tracer_provider") is None:
        native["tracing"] = False


def hide_from_mounted(scope: MutableMapping[str, Any]) -> None:
    """Tell FastAPI applications that are mounted inside that the request is being traced.

    None is what FastAPI itself leaves there for a request that is excluded.
    """
    scope.setdefault(FASTAPI_KEY, None)


def current_server_span() -> Span | None:
    """The span of whoever stands outside of us: FastAPI, or a middleware around the whole application.

    An unsampled span does not tell its kind; it counts unless it is a remote parent.
    """
    span = trace.get_current_span()
    context = span.get_span_context()
    if not context.is_valid or context.is_remote:
        return None
    return span if getattr(span, "kind", SpanKind.SERVER) is SpanKind.SERVER else None
