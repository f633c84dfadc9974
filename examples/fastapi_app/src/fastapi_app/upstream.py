"""Calls to providers, each inside a client span that ends with the call."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import HTTPException
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer(__name__)


@dataclass(frozen=True)
class Call:
    """What one provider is asked."""

    provider: str
    model: str
    body: dict[str, Any]


class Upstream:
    """Every provider behind one base address; raises httpx's errors as they are."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._url = httpx.URL(base_url)
        # No upper bound: each client of the gateway may hold one call open, and a second queue here could time out.
        # No idle connections: httpcore's work per call grows with their square, and connecting on loopback is cheap.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s, limits=limits)

    async def complete(self, call: Call) -> dict[str, Any]:
        """Return the provider's completion; an answer that is not JSON raises json.JSONDecodeError."""
        with self._span(call) as span:
            response = await self._send(call, span)
            async with aclosing(response):
                completion: dict[str, Any] = json.loads(await response.aread())
            _note_usage(span, completion)
            return completion

    async def stream(self, call: Call) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the provider's events up to `[DONE]`."""
        with self._span(call) as span:
            response = await self._send(call, span)
            async with aclosing(response):
                async for line in response.aiter_lines():
                    data = line.removeprefix("data: ")
                    if data in ("", "[DONE]"):
                        continue
                    event = json.loads(data)
                    _note_usage(span, event)
                    yield event

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, call: Call, span: Span) -> httpx.Response:
        headers: dict[str, str] = {}
        inject(headers, trace.set_span_in_context(span))
        path = f"/{call.provider}/v1/chat/completions"
        request = self._client.build_request("POST", path, json=call.body, headers=headers)
        response = await self._client.send(request, stream=True)
        span.set_attribute("http.response.status_code", response.status_code)
        if response.is_error:
            await response.aclose()
            response.raise_for_status()
        return response

    @contextmanager
    def _span(self, call: Call) -> Iterator[Span]:
        # Never the current span: a generator would leave it attached to whoever resumes it.
        span = _tracer.start_span(
            f"chat {call.model}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": call.provider,
                "gen_ai.request.model": call.model,
                "peer.service": call.provider,
                "server.address": self._url.host,
                "server.port": self._url.port or 80,
                "http.request.method": "POST",
            },
        )
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", _error_type(error))
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        finally:
            span.end()


@contextmanager
def provider_faults(provider: str) -> Iterator[None]:
    """Turn a provider's failure into the answer of a gateway: 502, 429, 503 without any answer, 504 without one in time."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise HTTPException(429 if status == 429 else 502, f"{provider} answered {status}") from error
    except httpx.TimeoutException as error:
        raise HTTPException(504, f"{provider} did not answer in time") from error
    except httpx.TransportError as error:
        raise HTTPException(503, f"{provider} broke the connection: {error}") from error


def _note_usage(span: Span, answer: dict[str, Any]) -> None:
    if usage := answer.get("usage"):
        span.set_attribute("gen_ai.usage.input_tokens", usage["prompt_tokens"])
        span.set_attribute("gen_ai.usage.output_tokens", usage["completion_tokens"])


def _error_type(error: BaseException) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return str(error.response.status_code)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"  # our client left, so we hung up
    return type(error).__qualname__
