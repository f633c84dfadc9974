"""Steady traffic: kinds of requests that are asked at a pace of their own until they are told to stop."""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, Self

import httpx

from fastapi_app.catalog import models_of
from fastapi_app.providers.behaviour import METADATA_KEY, Behaviour

_HEADERS = {"authorization": "Bearer gw-team-1"}
_TIMEOUT_S = 60.0
_STOP_S = 10.0

Request = dict[str, Any]
"""Arguments of httpx.AsyncClient.request()."""


def chat(provider: str, behaviour: Behaviour | None = None, *, stream: bool = False) -> Request:
    """Ask a provider for its first model; it does what the behaviour says."""
    body = {
        "model": models_of(provider)[0].id,
        "provider": provider,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
        "metadata": {METADATA_KEY: (behaviour or Behaviour()).to_text()},
    }
    return {"method": "POST", "url": "/v1/chat/completions", "json": body, "headers": _HEADERS}


class Traffic:
    """Every kind in one thread, while the context lasts. Its methods may be called from any other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._kinds: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, Counter[str]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._kinds):
            self.end(name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, name: str, url: str, requests: Sequence[Request], *, every_s: float) -> None:
        """Ask one request after the other, and again from the first, of the application at `url`."""
        counts = self._answers.setdefault(name, Counter())
        self._kinds[name] = self._do(_start(_ask(url, cycle(requests), every_s, counts)))

    def once(self, url: str, request: Request) -> None:
        """Ask a single time, and wait for the answer; raises httpx.HTTPError without one."""
        httpx.request(
            **{**request, "url": f"{url}{request['url']}"}, timeout=_TIMEOUT_S, trust_env=False
        ).raise_for_status()

    def end(self, name: str) -> None:
        """Stop, and leave whatever was not answered yet."""
        self._do(_cancel(self._kinds.pop(name)))

    def answers(self, name: str) -> Counter[str]:
        """How often what was answered so far: a status, or the name of what kept it from coming."""
        return Counter(self._answers[name])

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_S)


async def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _ask(url: str, requests: Iterable[Request], every_s: float, counts: Counter[str]) -> None:
    # A connection per request: the application closes one after an unhandled exception, and a second must not meet that.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    loop = asyncio.get_running_loop()
    async with (
        httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as group,
    ):
        due = loop.time()
        for request in requests:
            await asyncio.sleep(due - loop.time())
            group.create_task(_one(client, request, counts))
            due = max(due + every_s, loop.time())  # no burst after a delay


async def _one(client: httpx.AsyncClient, request: Request, counts: Counter[str]) -> None:
    try:
        answer = await client.request(**request)
    except httpx.HTTPError as error:
        counts[type(error).__name__] += 1
    else:
        counts[str(answer.status_code)] += 1
