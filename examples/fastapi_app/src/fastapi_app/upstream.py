"""Calls to providers, each recorded with its outcome, its tokens and its price."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import HTTPException
from opentelemetry.propagate import inject

from fastapi_app.catalog import Model
from gwz_instrument import inference


@dataclass(frozen=True)
class Call:
    """What one provider is asked."""

    provider: str
    model: Model
    body: dict[str, Any]

    def price(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What an answer, or the last event of one, says that it consumed, and what that costs."""
        tokens = answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
        return {"input_tokens": tokens[0], "output_tokens": tokens[1], "cost_usd": self.model.cost_usd(*tokens)}


class Upstream:
    """Every provider behind one base address; raises httpx's errors as they are."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        # No upper bound: each client of the gateway may hold one call open, and a second queue here could time out.
        # No idle connections: httpcore's work per call grows with their square, and connecting on loopback is cheap.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s, limits=limits)

    async def complete(self, call: Call) -> dict[str, Any]:
        """Return the provider's completion; an answer that is not JSON raises json.JSONDecodeError."""
        async with inference(call.provider, call.model.id) as recorded:
            response = await self._send(call)
            async with aclosing(response):
                completion: dict[str, Any] = json.loads(await response.aread())
            recorded.usage(**call.price(completion))
            return completion

    async def stream(self, call: Call) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the provider's events up to `[DONE]`."""
        async with inference(call.provider, call.model.id, stream=True) as recorded:
            events = recorded.wrap(_events(await self._send(call)))
        async with aclosing(events):
            async for event in events:
                if event.get("usage"):
                    recorded.usage(**call.price(event))
                yield event

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        headers: dict[str, str] = {}
        inject(headers)
        path = f"/{call.provider}/v1/chat/completions"
        request = self._client.build_request("POST", path, json=call.body, headers=headers)
        response = await self._client.send(request, stream=True)
        if response.is_error:
            await response.aclose()
            response.raise_for_status()
        return response


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(response):
        async for line in response.aiter_lines():
            data = line.removeprefix("data: ")
            if data not in ("", "[DONE]"):
                yield json.loads(data)


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
