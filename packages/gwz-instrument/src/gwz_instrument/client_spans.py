"""Spans of what the application asks others for: begun where somebody will see them, ended with how it went."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.util.types import AttributeValue

from .semconv import spans

_NEVER: Final = ("AlwaysOffSampler", "TraceIdRatioBased{0.0}")
"""Samplers that keep no trace."""
_DROPS_ROOTS: Final = tuple(form.format(sampler) for sampler in _NEVER for form in ("{}", "ParentBased{{root:{},"))


def begin(tracer: Tracer, name: Callable[[], str], context: Context | None = None) -> Span | None:
    """A client span; None where its trace is not sampled, which is told at a fifth of what an unsampled span costs."""
    here = trace.get_current_span(context).get_span_context()
    if here.trace_flags & TraceFlags.SAMPLED or not (here.is_valid or _drops_roots(tracer)):
        return tracer.start_span(name(), context, kind=SpanKind.CLIENT)
    return None


def end(span: Span, attributes: Mapping[str, AttributeValue], error_type: str | None, *, failed: bool) -> None:
    """End a span; what was cancelled has an `error.type`, but has not `failed`."""
    if span.is_recording():
        span.set_attributes(attributes)
        if error_type is not None:
            span.set_attribute(spans.ERROR_TYPE.name, error_type)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def is_failure(error: BaseException | None) -> bool:
    """Whether `error` is a failure, and not somebody's wish to stop."""
    return isinstance(error, Exception)


@lru_cache(maxsize=8)
def _drops_roots(tracer: Tracer) -> bool:
    """Whether the sampler keeps no trace that begins here; one that is not the SDK's is asked each time."""
    describe = getattr(getattr(tracer, "sampler", None), "get_description", None)
    return callable(describe) and str(describe()).startswith(_DROPS_ROOTS)
