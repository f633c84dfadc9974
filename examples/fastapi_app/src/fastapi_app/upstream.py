"""Calls to providers, each recorded with its outcome, its attempts, its tokens and its price."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from fastapi import HTTPException
from opentelemetry.propagate import inject

from fastapi_app.catalog import Model
from gwz_instrument import Telemetry, inference

_Answer = TypeVar("_Answer")

_CANDIDATES = 2
"""How many providers are asked when the client names none."""


@dataclass
class Call:
    """What is asked of a provider, and what came of it."""

    provider: str | None
    """None until one has answered, where the client leaves the choice to the gateway."""
    model: Model
    body: dict[str, Any]
    cost_usd: float | None = field(default=None, init=False)
    recorded: Any = field(default=None, init=False)
    """The recorded call; what is known later is told to it later."""

    def tokens(self, answer: dict[str, Any]) -> dict[str, int]:
        """Return what an answer, or the last event of one, says that it consumed; an estimate if it does not say."""
        usage = answer.get("usage")
        if usage:
            return {
                "input_tokens": usage.get("prompt_tokens", 0),
                "output_tokens": usage.get("completion_tokens", 0),
            }
        said = [choice["message"].get("content") for choice in answer["choices"]]
        asked = [message.get("content") for message in self.body["messages"]]
        return {"input_tokens": _words(asked), "output_tokens": _words(said)}


class Upstream:
    """Every provider behind one base address; raises httpx's errors as they are."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        # No upper bound: each client of the gateway may hold one call open, and a second queue here could time out.
        # No idle connections: httpcore's work per call grows with their square, and connecting on loopback is cheap.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=timeout_s, limits=limits)
        # Streams have a client that is not attached: there the call itself is what the provider's span hangs on.
        self._streaming = httpx.AsyncClient(base_url=base_url, timeout=timeout_s, limits=limits)

    def attach(self, telemetry: Telemetry) -> None:
        """Have the requests of whole answers recorded."""
        telemetry.attach(self._client)

    async def complete(self, call: Call) -> dict[str, Any]:
        """Return a provider's completion; an answer that is not JSON raises json.JSONDecodeError."""

        async def ask(provider: str, _recorded: Any) -> dict[str, Any]:
            async with aclosing(await _send(self._client, call, provider, {})) as response:
                completion: dict[str, Any] = json.loads(await response.aread())
                return completion

        async with inference(call.provider, call.model.id) as recorded:
            completion = await _first_that_answers(call, recorded, ask)
            tokens = call.tokens(completion)
            call.cost_usd = call.model.cost_usd(**tokens)
            recorded.usage(**tokens, cost_usd=call.cost_usd, estimated=not completion.get("usage"))
            return completion

    async def stream(self, call: Call) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the provider's events up to `[DONE]`; their tokens are recorded as they pass, the price is still to come."""

        async def ask(provider: str, recorded: Any) -> AsyncGenerator[dict[str, Any], None]:
            headers: dict[str, str] = {}
            inject(headers)
            events: AsyncGenerator[dict[str, Any], None] = recorded.wrap(
                _events(await _send(self._streaming, call, provider, headers))
            )
            return events

        async with inference(call.provider, call.model.id, stream=True) as recorded:
            call.recorded = recorded
            events = await _first_that_answers(call, recorded, ask)
        async with aclosing(events):
            async for event in events:
                if event.get("usage"):
                    call.cost_usd = call.model.cost_usd(**call.tokens(event))
                yield event

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._streaming.aclose()


async def _first_that_answers(call: Call, recorded: Any, ask: Callable[[str, Any], Awaitable[_Answer]]) -> _Answer:
    """Ask the provider that was named, or one after the other of those that serve the model."""
    if call.provider is not None:
        return await ask(call.provider, recorded)
    *others, last = call.model.providers[:_CANDIDATES]
    for provider in others:
        with suppress(httpx.HTTPError):
            return await _attempt(call, recorded, ask, provider)
    return await _attempt(call, recorded, ask, last)


async def _attempt(call: Call, recorded: Any, ask: Callable[[str, Any], Awaitable[_Answer]], provider: str) -> _Answer:
    async with recorded.attempt(provider=provider, model=call.model.name_at(provider)) as attempt:
        call.provider = provider
        return await ask(provider, attempt)


async def _send(client: httpx.AsyncClient, call: Call, provider: str, headers: dict[str, str]) -> httpx.Response:
    request = client.build_request("POST", f"/{provider}/v1/chat/completions", json=call.body, headers=headers)
    response = await client.send(request, stream=True)
    if response.is_error:
        await response.aclose()
        response.raise_for_status()
    return response


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(response):
        async for line in response.aiter_lines():
            field, _, text = line.partition(":")
            data = text.strip()
            if field == "data" and data not in ("", "[DONE]"):  # a line without a field's name is a comment
                yield json.loads(data)


def _words(texts: list[Any]) -> int:
    """How many words there are, in what is text: a message may hold images, an answer the call of a tool."""
    return sum(len(text.split()) for text in texts if isinstance(text, str))


@contextmanager
def provider_faults(call: Call) -> Iterator[None]:
    """Turn a provider's failure into the answer of a gateway: 502, 429, 503 without any answer, 504 without one in time."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise HTTPException(429 if status == 429 else 502, f"{call.provider} answered {status}") from error
    except httpx.TimeoutException as error:
        raise HTTPException(504, f"{call.provider} did not answer in time") from error
    except httpx.TransportError as error:
        raise HTTPException(503, f"{call.provider} broke the connection: {error}") from error
