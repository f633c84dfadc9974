"""An application with the backend's shapes, recorded as the guides say, and the two far ends that it asks.

Candidates are tried in a loop, streams are read after the endpoint has returned and in threads, the generator that
answers swallows what breaks them, the price is known in a task of its own, and the database is asked over HTTP.
"""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import httpx
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from gwz_instrument import inference

KEY = "Zx7-key-of-ada-41"  # in no provider's form, so that no rule of redaction knows it by itself
EMAIL = "ada@example.org"
MODEL = "openai/gpt-4o"

BEHAVIOUR = {
    "openrouter": "answers",
    "fireworks": "fails",
    "groq": "limits",
    "together": "stalls",  # until the client's own read timeout
    "huggingface": "stalls",  # until `asyncio.wait_for` gives up, and longer
    "near": "reports nothing",
    "deepinfra": "breaks",
    "novita": "says error",
    "chutes": "is empty",
    "featherless": "drips",
}
"""What the provider of this name does; a stranger answers, as the default does."""

READ_TIMEOUT_S = {"together": 0.15}
DEADLINE_S = {"huggingface": 0.3}
LONG_S = 20.0
INPUT_PRICE, OUTPUT_PRICE = 0.000003, 0.000015
WORDS = ("Good ", "morning, ", "Ada.")
OUTPUT_TOKENS = 7
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that need none: each would load all certificates there are, which takes them a fifth of a second."""


# The far ends


class FarEnd(ThreadingHTTPServer):
    """A server on a free port; `release` lets go of what it holds back."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.release = threading.Event()
        self.seen = []  # (path with its query, headers, body)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, client_address):  # the client is gone
        pass

    def stop(self):
        self.release.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def take(self):
        """Read the body, so that the connection can go on."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.path, dict(self.headers), body))
        return body

    def give(self, status, answer):
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Provider(_Handler):
    """Every provider: `POST /{provider}/chat`, OpenAI's shape."""

    def do_POST(self):
        asked, name = json.loads(self.take()), self.path.split("/")[1]
        behaviour = BEHAVIOUR.get(name, "answers")
        if behaviour == "stalls":
            self.server.release.wait(LONG_S)
        if behaviour in ("fails", "limits"):
            self.give({"fails": 500, "limits": 429}[behaviour], {"error": {"message": "no"}})
        elif asked["stream"]:
            self.stream(behaviour, asked)
        else:
            choice = {"message": {"content": "".join(WORDS)}, "finish_reason": "stop"}
            self.give(200, {"model": asked["model"], "choices": [choice], "usage": usage_of(asked["prompt"])})

    def stream(self, behaviour, asked):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while behaviour == "drips" and not self.server.release.wait(0.01):
            self.event(chunk_of(asked["model"], "drip "))
        words = () if behaviour == "is empty" else WORDS
        for number, word in enumerate(words, 1):
            self.event(chunk_of(asked["model"], word, "stop" if number == len(words) else None))
            if behaviour == "breaks":  # in the middle of a chunk
                self.wfile.write(b"ff\r\ndata: {")
                self.close_connection = True
                return
            if behaviour == "says error":
                self.event({"error": {"message": "overloaded"}})
                break
        if behaviour == "answers":
            self.event({"model": asked["model"], "choices": [], "usage": usage_of(asked["prompt"])})
        self.part(b"data: [DONE]\n\n")
        self.part(b"")

    def event(self, content):
        self.part(f"data: {json.dumps(content)}\n\n".encode())

    def part(self, content):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))


class Postgrest(_Handler):
    """Supabase's database: what it answers depends on the table."""

    def answer(self):
        self.take()
        url = urlsplit(self.path)
        table, asked = url.path.removeprefix("/rest/v1/"), parse_qs(url.query)
        if table == "no_such_table":
            self.give(404, {"code": "PGRST205", "message": "Could not find the table"})
        elif table == "chat_history":
            self.give(409, {"code": "23505", "details": f"Key (api_key)=({KEY}) already exists."})
        elif table == "users" and self.command == "GET":
            self.give(200, [{"id": 1, "email": EMAIL}] if asked["api_key"] == [f"eq.{KEY}"] else [])
        else:
            self.give(200, [])

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # the names are http.server's


def usage_of(prompt):
    return {"prompt_tokens": len(prompt), "completion_tokens": OUTPUT_TOKENS}


def chunk_of(model, word, finish_reason=None):
    return {"model": model, "choices": [{"delta": {"content": word}, "finish_reason": finish_reason}]}


# The clients of the application


class APIStatusError(Exception):
    """As openai's."""

    def __init__(self, status_code):
        super().__init__(f"Error code: {status_code}")
        self.status_code = status_code


class Stream:
    """As openai's `Stream`: an iterator, no generator, that has a response and is to be closed."""

    def __init__(self, response):
        self.response = response
        self.threads = []
        self.closed = False
        self._lines = response.iter_lines()

    def __iter__(self):
        return self

    def __next__(self):
        self.threads.append(threading.get_ident())
        for line in self._lines:
            if line.startswith("data: {"):
                return read_chunk(line)
        self.close()
        raise StopIteration

    def close(self):
        self.closed = True
        self.response.close()


class AsyncStream:
    """As openai's `AsyncStream`."""

    def __init__(self, response):
        self.response = response
        self._lines = response.aiter_lines()

    def __aiter__(self):
        return self

    async def __anext__(self):
        async for line in self._lines:
            if line.startswith("data: {"):
                return read_chunk(line)
        await self.response.aclose()
        raise StopAsyncIteration


def read_chunk(line):
    return json.loads(line.removeprefix("data: "), object_hook=lambda fields: SimpleNamespace(**fields))


class Providers:
    """What asks the providers, over clients that are kept."""

    def __init__(self, url):
        self.client = httpx.Client(base_url=url, verify=NO_TLS)
        # httpcore's own is taken by the finalizer of a stream, which may run while its thread holds it: encode/httpcore#1108
        self.client._transport._pool._optional_thread_lock = threading.RLock()
        self.async_client = httpx.AsyncClient(base_url=url, verify=NO_TLS)

    def ask(self, provider, model, prompt):
        response = self.client.send(self._request(self.client, provider, model, prompt))
        if response.status_code >= 400:
            raise APIStatusError(response.status_code)
        return response.json()

    def open(self, provider, model, prompt):
        response = self.client.send(self._request(self.client, provider, model, prompt, stream=True), stream=True)
        if response.status_code >= 400:
            response.close()
            raise APIStatusError(response.status_code)
        return Stream(response)

    async def open_async(self, provider, model, prompt):
        request = self._request(self.async_client, provider, model, prompt, stream=True)
        response = await self.async_client.send(request, stream=True)
        if response.status_code >= 400:
            await response.aclose()
            raise APIStatusError(response.status_code)
        return AsyncStream(response)

    def _request(self, client, provider, model, prompt, *, stream=False):
        asked = {"model": model, "prompt": prompt, "stream": stream}
        timeout = httpx.Timeout(LONG_S, read=READ_TIMEOUT_S.get(provider, LONG_S))
        return client.build_request("POST", f"/{provider}/chat", json=asked, timeout=timeout)


class Database:
    """What the application asks of PostgREST, as supabase-py does: one sync client, filters in the query."""

    def __init__(self, url):
        headers = {"apikey": KEY, "authorization": f"Bearer {KEY}"}
        self.client = httpx.Client(base_url=f"{url}/rest/v1", headers=headers, timeout=LONG_S, verify=NO_TLS)

    def select(self, key):
        return self._ask("GET", "/users", params={"api_key": f"eq.{key}", "select": "id,email", "limit": "1"}).json()

    def insert(self, key):
        self._ask("POST", "/activity_log", params={"columns": "api_key"}, json={"api_key": key})

    def upsert(self, key):
        prefer = {"prefer": "resolution=merge-duplicates,return=representation"}
        self._ask("POST", "/user_credits", params={"on_conflict": "api_key"}, json={"api_key": key}, headers=prefer)

    def update(self, key):
        self._ask("PATCH", "/users", params={"api_key": f"eq.{key}"}, json={"email": EMAIL})

    def delete(self, key):
        self._ask("DELETE", "/sessions", params={"api_key": f"eq.{key}", "email": f"eq.{EMAIL}"})

    def rpc(self, key):
        self._ask("POST", "/rpc/deduct_credits", params={"api_key": key}, json={"amount": 1})

    def conflict(self, key):
        self._ask("POST", "/chat_history", params={"api_key": f"eq.{key}"}, json={})

    def missing(self, key):
        self._ask("GET", "/no_such_table", params={"api_key": f"eq.{key}"})

    def _ask(self, method, path, **what):
        response = self.client.request(method, path, **what)
        response.raise_for_status()
        return response


# The application


def make_app(providers_url, database_url):
    """The application; it attaches its clients to `app.state.telemetry` when it starts, for only then they are made."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        state = app.state
        state.providers, state.database = Providers(providers_url), Database(database_url)
        state.telemetry.attach(state.database.client, database="postgrest")
        state.telemetry.attach(state.providers.client)
        state.telemetry.attach(state.providers.async_client)
        yield
        state.database.client.close()
        state.providers.client.close()
        await state.providers.async_client.aclose()
        for pool in state.pools:
            pool.shutdown()

    app = FastAPI(lifespan=lifespan)
    state = app.state
    state.late = set()  # tasks that outlive their request
    state.streams = []  # what the clients returned, unless it must be let go of
    state.stragglers = []  # providers whose answer came, in time or not
    state.pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]

    async def authenticated(request: Request):
        """A look into the database on the event loop, as the backend has it."""
        key = request.headers["authorization"].removeprefix("Bearer ")
        if not state.database.select(key):
            raise HTTPException(401)
        return key

    @app.post("/v1/chat/completions")
    async def chat(body: dict, background: BackgroundTasks, key: Annotated[str, Depends(authenticated)]):
        return await (stream_chat if body.get("stream") else json_chat)(body, background, key)

    async def json_chat(body, background, key):
        def ask_and_tell(provider, model):
            answer = state.providers.ask(provider, model, body["prompt"])
            usage = answer["usage"]
            call.usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
            state.stragglers.append(provider)
            return answer

        async with inference(provider=None, model=body["model"]) as call:
            error = None
            for provider in body["providers"]:
                own_name = f"{provider}/{body['model']}"
                try:
                    async with call.attempt(provider=provider, model=own_name):
                        asked = asyncio.to_thread(ask_and_tell, provider, own_name)
                        answer = await asyncio.wait_for(asked, DEADLINE_S.get(provider, LONG_S))
                    break
                except Exception as failed:  # noqa: BLE001  # as the backend's
                    error = failed
                    continue
            else:
                raise HTTPException(status_of(error)) from error
        if body.get("plan") == "exceeded":  # paid for, and refused
            raise HTTPException(402)
        background.add_task(settle, call, body, key, "".join(WORDS), SimpleNamespace(**answer["usage"]))
        return answer

    async def stream_chat(body, _background, key):
        with inference(provider=None, model=body["model"], stream=True) as call:
            error = None
            for provider in body["providers"]:
                own_name = f"{provider}/{body['model']}"
                try:
                    with call.attempt(provider=provider, model=own_name):
                        if body["reader"] == "async":
                            opened = await state.providers.open_async(provider, own_name, body["prompt"])
                        else:
                            opened = await asyncio.to_thread(state.providers.open, provider, own_name, body["prompt"])
                        upstream = call.wrap(opened)
                    break
                except Exception as failed:  # noqa: BLE001  # as the backend's
                    error = failed
                    continue
            else:
                raise HTTPException(status_of(error)) from error
        answer = StreamingResponse(stream_generator(upstream, call, body, key), media_type="text/event-stream")
        if body.get("plan") == "exceeded":  # nobody will read the stream
            return JSONResponse({"detail": "plan"}, 402)
        state.streams.append(opened)
        return answer

    async def stream_generator(upstream, call, body, key):
        """Ends well, whatever becomes of the stream."""
        text, usage = "", None
        try:
            async for chunk in READERS[body["reader"]](upstream, state.pools):
                usage = getattr(chunk, "usage", None) or usage
                for choice in getattr(chunk, "choices", ()):
                    text += choice.delta.content
                    yield f"data: {json.dumps(choice.delta.content)}\n\n"
            if not text:
                raise LookupError("no chunks")  # noqa: TRY301  # as the backend does
        except Exception as error:  # noqa: BLE001  # as the backend's
            yield f"data: {json.dumps({'error': type(error).__name__})}\n\n"
            yield "data: [DONE]\n\n"
            return
        yield "data: [DONE]\n\n"
        task = asyncio.create_task(settle(call, body, key, text, usage))
        state.late.add(task)
        task.add_done_callback(state.late.discard)

    async def settle(call, body, key, text, usage):
        """What is known only after the response: the price."""
        if usage is None:
            tokens = len(body["prompt"]) // 4, len(text) // 4
            call.usage(input_tokens=tokens[0], output_tokens=tokens[1], estimated=True)
        else:
            tokens = usage.prompt_tokens, usage.completion_tokens
        cost = await asyncio.to_thread(lambda: tokens[0] * INPUT_PRICE + tokens[1] * OUTPUT_PRICE)
        await asyncio.to_thread(state.database.rpc, key)
        call.usage(input_tokens=tokens[0], output_tokens=tokens[1], cost_usd=cost)
        await asyncio.to_thread(state.database.insert, key)

    @app.post("/api/sync/chat")
    def sync_chat(body: dict, key: Annotated[str, Depends(authenticated)]):  # noqa: ARG001  # it has to be there
        """The sync client, and a sync generator that answers."""
        with inference(model=body["model"], stream=True) as call:
            for provider in body["providers"]:
                try:
                    with call.attempt(provider=provider) as attempt:
                        upstream = attempt.wrap(state.providers.open(provider, body["model"], body["prompt"]))
                    break
                except APIStatusError:
                    continue
            else:
                raise HTTPException(502)

        def lines():
            try:
                with contextlib.closing(upstream):
                    for chunk in upstream:
                        yield from (choice.delta.content for choice in getattr(chunk, "choices", ()))
            except Exception as error:  # noqa: BLE001  # as the backend's
                yield f"error: {type(error).__name__}"

        return StreamingResponse(lines(), media_type="text/plain")

    @app.get("/database/{what}")
    async def database(what: str, api_key: str):
        try:
            await run_in_threadpool(getattr(state.database, what), api_key)
        except httpx.HTTPStatusError as error:
            raise HTTPException(error.response.status_code) from None
        return {}

    @app.get("/health")
    async def health():
        """Work for each of anyio's threads: an idle one holds on to what it did last, until anyio 4."""
        await asyncio.gather(*(run_in_threadpool(time.sleep, 0.02) for _ in range(40)))

    @app.get("/crash")
    async def crash(api_key: str):
        """The exception's text has the URL, and nobody catches it."""
        state.database.conflict(api_key)

    return app


def status_of(error):
    """As `map_provider_error`."""
    return 504 if isinstance(error, (TimeoutError, httpx.TimeoutException)) else getattr(error, "status_code", 502)


async def by_next(upstream, _pools):
    while (chunk := await run_in_threadpool(next, upstream, None)) is not None:
        yield chunk


async def by_to_thread(upstream, _pools):
    """As the backend does it."""
    while (chunk := await asyncio.to_thread(next, upstream, None)) is not None:
        yield chunk


async def by_executors(upstream, pools):
    """Each chunk in another thread than the last, and none of them has the context of who asks."""
    loop, number = asyncio.get_running_loop(), 0
    while (chunk := await loop.run_in_executor(pools[number % 2], next, upstream, None)) is not None:
        number += 1
        yield chunk


READERS = {
    "threadpool": lambda upstream, _pools: iterate_in_threadpool(upstream),
    "next": by_next,
    "to_thread": by_to_thread,
    "executors": by_executors,
    "async": lambda upstream, _pools: upstream,
}


def until(condition, timeout_s=LONG_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
