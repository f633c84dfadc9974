"""One call to a provider: does what the behaviour says, and reports it if it was an answer."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode
from starlette.types import Message, Receive, Scope, Send

from fastapi_app.providers.behaviour import Behaviour, Deed
from fastapi_app.providers.connection import lose, reset

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream")]


class Performance:
    """An ASGI response. The span starts when the call arrived, and only if a response head is sent."""

    def __init__(
        self, provider: str, behaviour: Behaviour, model: str, *, stream: bool, start_span: Callable[[int], Span]
    ) -> None:
        self._behaviour = behaviour.at(provider)
        self._model = model
        self._stream = stream
        self._start_span = start_span
        self._arrived_ns = time.time_ns()
        self._arrived = time.monotonic()
        self._span: Span | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or not."""
        try:
            await self._perform(scope, receive, self._reporting(send))
        finally:
            if self._span is not None:
                self._span.end()

    async def _perform(self, scope: Scope, receive: Receive, send: Send) -> None:
        match self._behaviour.deed:
            case Deed.HANG:
                await _caller_left(receive)
            case Deed.RESET:
                await self._wait(1)
                reset(scope)
                await _caller_left(receive)
            case Deed.BREAK:
                await self._say(send, self._behaviour.chunks)
                self._fail("broken_stream")
                lose(scope)
                await _caller_left(receive)
            case Deed.HOLD:
                await self._say(send, self._behaviour.chunks)
                await _caller_left(receive)
            case Deed.OK if self._stream:
                await self._say(send, self._behaviour.chunks)
                if self._behaviour.usage:
                    await _event(send, {**self._head("chat.completion.chunk"), "choices": [], **self._usage()})
                await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
            case _:
                await self._wait(1)
                await _whole(send, *self._answer())

    def _answer(self) -> tuple[int, bytes]:
        match self._behaviour.deed:
            case Deed.ERROR:
                return 500, _error("The simulated provider failed, as planned")
            case Deed.BUSY:
                return 429, _error("The simulated provider is busy, as planned")
            case Deed.MALFORMED:
                return 200, b'{"object": "chat.completion", "choices": ['
            case _:
                return 200, json.dumps(self._completion()).encode()

    async def _say(self, send: Send, chunks: int) -> None:
        """Send the head and the text; the last chunk leaves when the delay is over."""
        words = self._behaviour.output_tokens
        for index in range(chunks):
            await self._wait((index + 1) / chunks)
            if index == 0:
                await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            text = _text(words * (index + 1) // chunks - words * index // chunks)
            ends = self._behaviour.deed is Deed.OK and index == chunks - 1
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if ends else None}
            await _event(send, {**self._head("chat.completion.chunk"), "choices": [choice]})

    async def _wait(self, share: float) -> None:
        """Wait until that share of the delay has passed since the call arrived."""
        await asyncio.sleep(max(0, self._arrived + self._behaviour.delay_s * share - time.monotonic()))

    def _reporting(self, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def reporting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._span = self._start_span(self._arrived_ns)
                self._span.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    self._fail(str(message["status"]))
            await send(message)

        return reporting

    def _fail(self, error_type: str) -> None:
        if self._span is not None:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(Status(StatusCode.ERROR))

    def _completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": _text(self._behaviour.output_tokens)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**self._head("chat.completion"), "choices": [choice], **self._usage()}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._arrived_ns:x}",
            "object": kind,
            "created": self._arrived_ns // 1_000_000_000,
            "model": self._model,
        }

    def _usage(self) -> dict[str, Any]:
        if not self._behaviour.usage:
            return {}
        sent, made = self._behaviour.input_tokens, self._behaviour.output_tokens
        return {"usage": {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}}


async def _caller_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _event(send: Send, event: dict[str, Any]) -> None:
    body = f"data: {json.dumps(event)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _whole(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _JSON})
    await send({"type": "http.response.body", "body": body})


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def _text(words: int) -> str:
    return "word " * words
