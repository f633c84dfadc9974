"""The way back from a block to the context of before."""

from contextvars import Token
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context


def leave(token: Token[Any], span_token: Token[Context] | None, *others: Token[Any]) -> None:
    """Set back our variables, and OpenTelemetry's context if a span was attached.

    Who ends a block in another context, as the garbage collector or somebody who closes another's generator, finds nothing
    to go back to: then nothing is done, and OpenTelemetry, which would log it as an error, is not asked.
    """
    try:
        token.var.reset(token)
        for other in others:
            other.var.reset(other)
    except ValueError:
        return
    if span_token is not None:
        otel_context.detach(span_token)
