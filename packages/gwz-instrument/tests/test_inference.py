"""A call to a model is recorded whatever becomes of it: its outcome once, its attempts, its stream, its bill."""

import asyncio
import contextvars
import copy
import gc
import json
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, use_span
from prometheus_client import CollectorRegistry

from gwz_instrument import background, inference, watches
from gwz_instrument import recording as recordings
from gwz_instrument.call_records import AttemptEnded, CallFailed, UsageKnown
from gwz_instrument.calls import Attempt, Call
from gwz_instrument.exchange import Exchange
from gwz_instrument.metrics import Collectors
from gwz_instrument.open_calls import current
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings

STATUSES = ("success", "error", "timeout", "cancelled", "client_disconnected", "stream_error", "abandoned")


class World:
    """Where calls are written, and everything that was."""

    def __init__(self, **settings):
        self.registry, self.collectors = CollectorRegistry(), Collectors()
        self.registry.register(self.collectors)
        self.exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.facts, self.lines = [], []
        self.recording = make_recording(
            Settings(environ={}, models=("m",), providers=("p", "q"), **settings),
            self.collectors,
            tracer=provider.get_tracer("gwz_instrument"),
            lines=SimpleNamespace(write=lambda **line: self.lines.append(line)),
            endpoint_of=lambda _exchange: "/route",
        )
        self.failures = []
        self.recording.observers.append(
            lambda fact: (self.failures if isinstance(fact, CallFailed) else self.facts).append(fact)
        )

    def samples(self, name):
        return {
            tuple(value for key, value in sample.labels.items() if key != "le"): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    @property
    def requests(self):
        return self.samples("model_inference_requests_total")

    @property
    def tokens(self):
        return self.samples("tokens_used_total")

    @property
    def spans(self):
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def world(monkeypatch):
    return made(monkeypatch)


def made(monkeypatch, **settings):
    world = World(**settings)
    monkeypatch.setattr(recordings, "_installed", [world.recording])
    monkeypatch.setattr(recordings, "_complained", set())
    return world


def wait_for(condition):
    """Wait on another thread's work."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.01)


def chunks(number=3, *, usage=None, error=None):
    """What an OpenAI-shaped stream brings, as dicts."""
    for each in range(number):
        yield {
            "model": "m-2024",
            "choices": [{"delta": {"content": "x"}, "finish_reason": "stop" if each == number - 1 else None}],
        }
    if error is not None:
        raise error
    if usage:
        yield {"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}


async def achunks(*args, **kwargs):
    for chunk in chunks(*args, **kwargs):
        await asyncio.sleep(0)
        yield chunk


def test_a_call_that_ends_well_is_counted_timed_and_billed(world):
    with inference(provider="p", model="m") as call:
        call.usage(input_tokens=12, output_tokens=30, cost_usd=0.25)
    assert world.requests == {("p", "m", "success"): 1}
    assert world.samples("model_inference_duration_seconds_count") == {("p", "m"): 1}
    assert world.samples("provider_response_time_seconds_count") == {("p",): 1}
    assert world.samples("backend_ttfb_seconds_count") == {("p", "m", "/route"): 1}
    assert world.samples("time_to_first_chunk_seconds_count") == {}
    assert world.tokens == {("p", "m", "input"): 12, ("p", "m", "output"): 30}
    assert world.samples("credits_used_total") == {("p", "m"): 0.25}
    assert world.samples("gatewayz_cost_by_provider_total") == {("p",): 0.25}
    span = world.spans["chat m"]
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.provider.name": "p",
        "peer.service": "p",
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 30,
        "gwz.cost_usd": 0.25,
        "gwz.usage.estimated": False,
        "gwz.outcome": "success",
    }
    assert [type(fact) for fact in world.facts] == [AttemptEnded, UsageKnown]


async def test_a_call_may_be_entered_by_async_with(world):
    async with inference(provider="p", model="m") as call:
        call.usage(input_tokens=1)
    assert world.requests == {("p", "m", "success"): 1}


class APITimeoutError(Exception):
    """As the SDKs name theirs."""


class SlowError(APITimeoutError):
    """Known by what it derives from."""


class RateLimitError(Exception):
    """As the SDKs name theirs."""


class AnsweredError(Exception):
    """As HTTPException and the SDKs' errors: it has a status."""

    def __init__(self, status_code):
        self.status_code = status_code


class GrpcError(Exception):
    """As grpc's: it has a code."""

    def __init__(self, name):
        self.code = lambda: SimpleNamespace(name=name)


class HostileError(Exception):
    """Answers no question."""

    def __getattr__(self, name):
        raise AttributeError(name) if name.startswith("__") else RuntimeError(name)


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (LookupError("x"), "error", "LookupError"),
        (TimeoutError(), "timeout", "TimeoutError"),
        (SlowError(), "timeout", "SlowError"),
        (AnsweredError(504), "timeout", "AnsweredError"),
        (AnsweredError(408), "timeout", "AnsweredError"),
        (AnsweredError(429), "error", "rate_limited"),
        (AnsweredError(503), "error", "AnsweredError"),
        (RateLimitError(), "error", "rate_limited"),
        (GrpcError("DEADLINE_EXCEEDED"), "timeout", "GrpcError"),
        (GrpcError("RESOURCE_EXHAUSTED"), "error", "rate_limited"),
        (GrpcError("UNAVAILABLE"), "error", "GrpcError"),
        (HostileError(), "error", "HostileError"),
        (asyncio.CancelledError(), "cancelled", "CancelledError"),
        (KeyboardInterrupt(), "error", "KeyboardInterrupt"),
        (ExceptionGroup("one", [TimeoutError()]), "timeout", "TimeoutError"),
    ],
)
def test_what_is_raised_decides_the_outcome_and_passes_through(world, error, status, error_type):
    with pytest.raises(type(error)) as raised, inference(provider="p", model="m"):
        raise error
    assert raised.value is error
    assert world.requests == {("p", "m", status): 1}
    assert world.samples("backend_ttfb_seconds_count") == {}
    span = world.spans["chat m"]
    assert span.attributes["error.type"] == error_type
    assert span.status.status_code is (StatusCode.UNSET if status == "cancelled" else StatusCode.ERROR)


def test_a_call_may_fail_without_an_exception(world):
    with inference(provider="p", model="m") as call:
        call.fail("content_filter")
    assert world.requests == {("p", "m", "error"): 1}
    assert world.spans["chat m"].attributes["error.type"] == "content_filter"


# Streams


def test_a_stream_outlives_the_block_and_ends_the_call(world):
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks(3, usage=(5, 7)))
    assert world.requests == {}, "the call goes on"
    assert len(list(stream)) == 4
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 5, ("p", "m", "output"): 7}
    assert world.samples("time_to_first_chunk_seconds_count") == {("p", "m"): 1}
    assert world.samples("streaming_duration_seconds_count") == {("p", "m", "/route"): 1}
    assert world.samples("backend_ttfb_seconds_count") == {("p", "m", "/route"): 1}
    attributes = world.spans["chat m"].attributes
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.model"] == "m-2024"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["gen_ai.response.time_to_first_chunk"] >= 0


async def test_an_async_stream_likewise(world):
    async with inference(provider="p", model="m") as call:
        stream = call.wrap(achunks(3, usage=(5, 7)))
    assert len([chunk async for chunk in stream]) == 4
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 5, ("p", "m", "output"): 7}


class Stream:
    """As the SDKs' streams: an iterator that is no generator, with attributes and a close of its own."""

    response = "the response"

    def __init__(self, source):
        self._source, self.is_closed = source, False

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.is_closed = True


class AsyncStream:
    """The same, async; its `close` is a coroutine."""

    response = "the response"

    def __init__(self, source):
        self._source, self.is_closed = source, False

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await anext(self._source)

    async def close(self):
        self.is_closed = True


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("stream", "kind", "other"),
    [
        (lambda: iter([1, 2]), Iterator, AsyncIterator),
        (chunks, Generator, AsyncIterator),
        (lambda: Stream(chunks()), Iterator, Generator),
        (achunks, AsyncGenerator, Iterator),
        (lambda: AsyncStream(achunks()), AsyncIterator, AsyncGenerator),
    ],
)
def test_what_comes_back_is_of_the_same_kind(stream, kind, other):
    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(stream())
        assert isinstance(wrapped, kind)
        assert not isinstance(wrapped, other)


@pytest.mark.usefixtures("world")
def test_attributes_and_close_are_the_stream_s_own():
    inner = Stream(chunks())
    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(inner)
    assert wrapped.response == "the response"
    assert not hasattr(wrapped, "no_such_thing")
    wrapped.close()
    assert inner.is_closed


async def test_an_async_close_is_awaited(world):
    inner = AsyncStream(achunks())
    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(inner)
    await anext(wrapped)
    await wrapped.close()
    assert inner.is_closed
    assert world.requests == {("p", "m", "cancelled"): 1}


def test_a_stream_that_is_entered_stays_watched(world):
    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(Stream(chunks()))
    with wrapped as entered:
        assert list(entered)
    assert world.requests == {("p", "m", "success"): 1}


@pytest.mark.usefixtures("world")
def test_a_generator_is_sent_to_and_thrown_into():
    def echo():
        got = yield "first"
        try:
            yield got
        except LookupError:
            yield "caught"

    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(echo())
    assert next(wrapped) == "first"
    assert wrapped.send("sent") == "sent"
    assert wrapped.throw(LookupError()) == "caught"


def test_what_is_no_stream_is_refused_where_it_is_wrapped(world):
    with inference(provider="p", model="m") as call, pytest.raises(TypeError, match="give it the stream itself"):
        call.wrap(5)
    assert world.requests == {("p", "m", "success"): 1}


def test_an_upstream_that_breaks_is_a_stream_error_though_the_generator_swallows_it(world):
    """The chat generator of a gateway catches, says so in a last chunk, and ends as if all were well."""
    with inference(provider="p", model="m") as call:
        upstream = call.wrap(chunks(2, error=ConnectionResetError("upstream went away")))

    def answer():
        try:
            for chunk in upstream:
                yield json.dumps(chunk)
        except Exception as error:  # noqa: BLE001
            yield f"error: {error}"
        yield "[DONE]"

    assert list(answer())[-2:] == ["error: upstream went away", "[DONE]"]
    assert world.requests == {("p", "m", "stream_error"): 1}
    assert world.spans["chat m"].attributes["error.type"] == "ConnectionResetError"


@pytest.mark.parametrize(
    ("stream", "status", "error_type"),
    [
        (lambda: chunks(0), "error", "empty_stream"),
        (lambda: chunks(0, error=TimeoutError()), "timeout", "TimeoutError"),
        (lambda: chunks(0, error=LookupError()), "error", "LookupError"),
        (lambda: chunks(1, error=TimeoutError()), "stream_error", "TimeoutError"),
        (lambda: iter([{"choices": []}, {"error": {"message": "overloaded"}}]), "stream_error", "error_chunk"),
        (lambda: iter([SimpleNamespace(error="overloaded", choices=[])]), "stream_error", "error_chunk"),
        (lambda: iter(["data: x", b"data: y"]), "success", None),
        (lambda: iter([object(), None, 5]), "success", None),
    ],
)
def test_how_a_stream_ends_decides_the_outcome(world, stream, status, error_type):
    with inference(provider="p", model="m") as call:
        wrapped = call.wrap(stream())
    try:
        list(wrapped)
    except Exception:  # noqa: BLE001
        assert status != "success"
    assert world.requests == {("p", "m", status): 1}
    assert world.spans["chat m"].attributes.get("error.type") == error_type


def test_an_exception_after_wrap_ends_the_call_at_once(world):
    def run():
        with inference(provider="p", model="m") as call:
            held.append(call.wrap(chunks()))
            raise LookupError

    held = []
    with pytest.raises(LookupError):
        run()
    (stream,) = held
    assert world.requests == {("p", "m", "error"): 1}
    assert len(list(stream)) == 3, "the stream itself is none of our business"
    assert world.requests == {("p", "m", "error"): 1}


def test_a_stream_that_nobody_holds_is_abandoned(world):
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks())
    next(stream)
    del stream, call
    gc.collect()
    wait_for(lambda: world.requests)
    assert world.requests == {("p", "m", "abandoned"): 1}
    assert world.spans["chat m"].status.status_code is StatusCode.ERROR


def test_a_stream_that_was_never_begun_is_abandoned(world):
    with inference(provider="p", model="m") as call:
        call.wrap(chunks())
    del call
    gc.collect()
    wait_for(lambda: world.requests)
    assert world.requests == {("p", "m", "abandoned"): 1}


def test_a_reader_that_stops_at_the_finish_reason_has_read_it_all(world):
    for drop in (True, False):
        with inference(provider="p", model="m") as call:
            stream = call.wrap(chunks(2, usage=(1, 1)))
        next(stream), next(stream)
        if drop:
            del stream, call
            gc.collect()
        else:
            stream.close()
    wait_for(lambda: world.requests == {("p", "m", "success"): 2})


def test_a_call_that_takes_longer_than_any_may_is_abandoned(monkeypatch):
    world = made(monkeypatch, call_max_s=0.05)
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks())
    wait_for(lambda: world.requests)
    assert world.requests == {("p", "m", "abandoned"): 1}
    assert len(list(stream)) == 3
    assert world.requests == {("p", "m", "abandoned"): 1}


def test_each_chunk_may_be_asked_for_by_another_thread(world):
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks(20, usage=(3, 4)))
    got = []
    for _ in range(21):
        with ThreadPoolExecutor(1) as pool:
            got.append(pool.submit(next, stream).result(5))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(next, stream, "end").result(5) == "end"
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 3, ("p", "m", "output"): 4}


def test_a_stream_within_the_block_ends_with_the_block(world):
    """A broken one may be tried again within the same call."""
    with inference(model="m") as call:
        for provider, error in (("p", LookupError()), ("q", None)):
            try:
                with call.attempt(provider=provider) as attempt:
                    for _ in attempt.wrap(chunks(2, error=error)):
                        pass
            except LookupError:
                continue
    assert world.requests == {("q", "m", "success"): 1}
    assert [fact[:3] for fact in world.facts] == [("p", "m", "stream_error"), ("q", "m", "success")]


# Clients that leave, in a real application


async def leave_mid_stream(app, path):
    """Drive one request whose client leaves after the first part of the body."""
    left, sent, body = asyncio.Event(), [], [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if body:
            return body.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if len(sent) == 2:
            left.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "headers": [],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 5),
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 10)


async def test_a_client_that_leaves_ends_the_call_as_such():
    from gwz_instrument import instrument  # noqa: PLC0415

    app, registry = FastAPI(), CollectorRegistry()

    @app.get("/chat/{room}")
    async def chat(room: str):
        async def upstream():
            yield {"choices": [], "room": room}
            await asyncio.sleep(30)

        async with inference(provider="p", model="m") as call:
            stream = call.wrap(upstream())

        async def answer():
            async for chunk in stream:
                yield json.dumps(chunk)

        return StreamingResponse(answer())

    instrument(app, registry=registry, models=("m",), providers=("p",))
    await leave_mid_stream(app, "/chat/1")
    found = {
        tuple(s.labels.values()): s.value
        for f in registry.collect()
        for s in f.samples
        if s.name == "model_inference_requests_total" and s.value
    }
    assert found == {("p", "m", "client_disconnected"): 1}
    endpoints = {
        s.labels["endpoint"] for f in registry.collect() for s in f.samples if s.name == "backend_ttfb_seconds_count"
    }
    assert endpoints == {"/chat/{room}"}


# Attempts


def answer(status_code=None):
    """A provider's client: an answer, or its error."""
    if status_code is not None:
        raise AnsweredError(status_code)
    return {"choices": []}


def test_a_failover_loop_is_one_call_with_its_attempts(world):
    with inference(model="m") as call:
        for provider in ("p", "q"):
            try:
                with call.attempt(provider=provider, model=f"{provider}/m"):
                    answer(503 if provider == "p" else None)
            except AnsweredError:
                continue
            call.usage(input_tokens=1, output_tokens=2)
            break
    assert world.requests == {("q", "m", "success"): 1}
    assert world.samples("provider_response_time_seconds_count") == {("p",): 1, ("q",): 1}
    assert world.tokens == {("q", "m", "input"): 1, ("q", "m", "output"): 2}
    spans = world.spans
    assert set(spans) == {"chat m", "chat m at p", "chat m at q"}
    assert dict(spans["chat m at p"].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "p",
        "peer.service": "p",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "p/m",
        "gwz.attempt": 1,
        "gwz.outcome": "error",
        "error.type": "AnsweredError",
    }
    assert spans["chat m at q"].attributes["gwz.attempt"] == 2
    assert spans["chat m at q"].parent.span_id == spans["chat m"].context.span_id
    assert spans["chat m"].attributes["gwz.attempts"] == 2
    assert spans["chat m"].attributes["gen_ai.provider.name"] == "q"


def test_a_call_whose_attempts_all_failed_has_failed_though_nobody_raised(world):
    with inference(model="m") as call:
        for provider in ("p", "q"):
            try:
                with call.attempt(provider=provider):
                    answer(504)
            except AnsweredError:
                continue
    assert world.requests == {("q", "m", "timeout"): 1}


async def test_attempts_may_be_entered_by_async_with(world):
    async with inference(model="m") as call:
        async with call.attempt(provider="p") as attempt:
            stream = attempt.wrap(achunks(usage=(1, 1)))
        assert [fact.status for fact in world.facts if isinstance(fact, AttemptEnded)] == [], "the stream goes on"
    assert [chunk async for chunk in stream]
    assert world.requests == {("p", "m", "success"): 1}
    assert [fact[:3] for fact in world.facts if isinstance(fact, AttemptEnded)] == [("p", "m", "success")]


def test_a_call_within_a_call_is_an_attempt_of_it(world):
    """Clients are decorated once, wherever they are used."""

    @inference(provider="p", model=lambda _messages, model: model)
    def make_request(_messages, model):
        return {"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "model": model}

    with inference(model="m"):
        make_request([], "providers/own-name")
    assert world.requests == {("p", "m", "success"): 1}
    assert world.samples("provider_response_time_seconds_count") == {("p",): 1}
    assert world.tokens == {("p", "m", "input"): 3, ("p", "m", "output"): 4}
    assert world.spans["chat m at p"].attributes["gen_ai.response.model"] == "providers/own-name"


def test_a_call_within_an_attempt_is_that_attempt(world):
    @inference(provider="p", model="own-name")
    def make_request():
        return iter(list(chunks(usage=(3, 4))))

    with inference(model="m") as call, call.attempt(provider="q"):
        stream = make_request()
    list(stream)
    assert world.requests == {("q", "m", "success"): 1}
    assert world.samples("provider_response_time_seconds_count") == {("q",): 1}
    assert world.tokens == {("q", "m", "input"): 3, ("q", "m", "output"): 4}


async def test_a_thread_that_finishes_after_its_deadline_changes_nothing(world):
    """`wait_for` gives up; the thread runs on, and may succeed."""
    release, done = threading.Event(), threading.Event()

    @inference(provider="p", model="m")
    def make_request():
        release.wait(10)
        return {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    def slow():
        try:
            return make_request()
        finally:
            done.set()

    async def ask():
        async with inference(model="m") as call, call.attempt(provider="p"):
            await asyncio.wait_for(asyncio.to_thread(slow), 0.05)

    with pytest.raises(TimeoutError):
        await ask()
    assert world.requests == {("p", "m", "timeout"): 1}
    release.set()
    assert await asyncio.to_thread(done.wait, 5)
    assert world.requests == {("p", "m", "timeout"): 1}


def test_a_thread_that_begins_after_its_deadline_is_no_call(world):
    """It waited for its turn in the pool with the context of a call that is over."""

    def time_out():
        with inference(provider="p", model="m"):
            contexts.append(contextvars.copy_context())
            raise TimeoutError

    contexts = []
    with pytest.raises(TimeoutError):
        time_out()

    def late():
        with inference(provider="p", model="m") as call:
            call.usage(input_tokens=5)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(contexts[0].run, late).result(5)
    assert world.requests == {("p", "m", "timeout"): 1}
    assert world.tokens == {}


def test_a_task_that_outlives_a_good_call_makes_calls_of_its_own(world):
    with inference(provider="p", model="m"):
        context = contextvars.copy_context()
    context.run(lambda: inference(provider="q", model="m").__enter__()._leave(None))
    assert world.requests == {("p", "m", "success"): 1, ("q", "m", "success"): 1}


def test_an_executor_is_given_the_call_by_hand(world):
    @inference(provider="q")
    def make_request():
        return current.get()

    with ThreadPoolExecutor(1) as pool, inference(provider="p", model="m") as call:
        pool.submit(call.run, make_request).result(5)
    assert world.requests == {("q", "m", "success"): 1}, "an attempt of the call"
    assert current.get() is None


# Usage and money


def test_usage_is_taken_bit_by_bit_also_after_the_end(world):
    """The price is computed in another task, after the answer."""
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks(usage=(5, 7)))
    list(stream)
    call.usage(cost_usd=0.125)
    assert world.samples("credits_used_total") == {("p", "m"): 0.125}
    (line,) = world.lines
    assert line["fields"] == {"provider": "p", "model": "m", "cost_usd": 0.125, "estimated": False}
    assert line["metadata"]["trace_id"] == f"{world.spans['chat m'].context.trace_id:032x}"


def test_usage_that_comes_too_late_is_refused(monkeypatch):
    world = made(monkeypatch, late_usage_s=0)
    with inference(provider="p", model="m") as call:
        pass
    time.sleep(0.01)
    call.usage(cost_usd=0.5, input_tokens=3)
    assert (world.tokens, world.samples("credits_used_total")) == ({}, {})
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 1}


def test_what_is_said_twice_counts_once(world, caplog):
    """The application may repeat what the stream said; what contradicts it is refused."""
    with inference(provider="p", model="m") as call:
        list(call.wrap(chunks(usage=(5, 7))))
        call.usage(input_tokens=5, output_tokens=7)
        assert world.samples("gwz_telemetry_dropped_total") == {}
        call.usage(input_tokens=6)
        call.usage(input_tokens=8)
    assert world.tokens == {("p", "m", "input"): 5, ("p", "m", "output"): 7}
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 2}
    assert len([record for record in caplog.records if "a second input_tokens = 6" in record.getMessage()]) == 1


def test_estimated_tokens_are_counted_apart_and_visible(world):
    with inference(provider="p", model="m") as call:
        call.usage(input_tokens=5, output_tokens=7, estimated=True)
    assert world.tokens == {("p", "m", "input_estimated"): 5, ("p", "m", "output_estimated"): 7}
    assert world.spans["chat m"].attributes["gwz.usage.estimated"] is True


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1.5, True, "5", b"5", 2**70, [], object()])
def test_tokens_that_are_none_are_refused(world, value):
    with inference(provider="p", model="m") as call:
        call.usage(input_tokens=value, output_tokens=2)
    assert world.tokens == {("p", "m", "output"): 2}
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 1}
    assert world.requests == {("p", "m", "success"): 1}


@pytest.mark.parametrize("value", [-0.01, float("nan"), float("inf"), True, "0.5", b"5", [], object()])
def test_money_that_is_none_is_refused(world, value):
    with inference(provider="p", model="m") as call:
        call.usage(cost_usd=value)
    assert world.samples("credits_used_total") == {}
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 1}


def test_money_may_be_a_decimal(world):
    with inference(provider="p", model="m") as call:
        call.usage(cost_usd=Decimal("0.5"), input_tokens=3.0)
    assert world.samples("credits_used_total") == {("p", "m"): 0.5}
    assert world.tokens == {("p", "m", "input"): 3}


async def test_the_price_is_never_computed_on_the_event_loop(world):
    asked = []

    def price(model, input_tokens, output_tokens):
        asked.append((model, input_tokens, output_tokens, threading.current_thread() is threading.main_thread()))
        return 0.75

    async with inference(provider="p", model="m", cost=price) as call:
        call.usage(input_tokens=10, output_tokens=20)
    await asyncio.to_thread(wait_for, lambda: world.samples("credits_used_total"))
    assert asked == [("m", 10, 20, False)]
    assert world.samples("credits_used_total") == {("p", "m"): 0.75}


def test_a_price_that_cannot_be_computed_costs_nothing_but_a_line(world, caplog):
    with inference(provider="p", model="m", cost=lambda *_: 1 / 0) as call:
        call.usage(input_tokens=10, output_tokens=20)
    wait_for(lambda: "the answer of cost()" in caplog.text)
    assert "ZeroDivisionError" in caplog.text
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "invalid"): 1}
    assert world.samples("credits_used_total") == {}


# Labels


def test_hostile_names_that_fail_make_one_label_set(world):
    for number in range(200):
        with pytest.raises(LookupError), inference(provider=f"evil-{number}", model="x" * 10_000 + str(number)):
            raise LookupError
    assert world.requests == {("_other", "_other", "error"): 200}
    refused = world.samples("gwz_label_values_refused_total")
    assert refused["model_inference_requests_total", "model"] == 200


def test_a_model_becomes_a_label_when_an_upstream_has_answered_it(world):
    for _ in range(2):
        with pytest.raises(LookupError), inference(provider="p", model="new"):
            raise LookupError
        with inference(provider="p", model="new"):
            pass
    assert world.requests == {("p", "_other", "error"): 1, ("p", "new", "error"): 1, ("p", "new", "success"): 2}


def test_a_provider_becomes_a_label_by_being_a_literal_of_the_code_and_never_by_success(world):
    asked = json.loads('"elsewhere"')
    with inference(provider=asked, model="m"):
        pass
    with inference(provider="literal", model="m"):
        pass
    with inference(model="m") as call:
        for name in ("first", "second"):
            with call.attempt(provider=name):
                pass
    assert world.requests == {
        ("_other", "m", "success"): 1,
        ("literal", "m", "success"): 1,
        ("second", "m", "success"): 1,
    }


@pytest.mark.parametrize("name", [None, 5, b"m", [], "", object(), "\ud800"])
def test_a_name_that_is_none_costs_the_label_and_nothing_else(world, name):
    with inference(provider=name, model=name) as call:
        call.usage(input_tokens=1)
    assert world.requests == {("_other", "_other", "success"): 1}


def test_the_endpoint_may_be_given(world):
    with inference(provider="p", model="m", endpoint="/jobs"):
        pass
    assert world.samples("backend_ttfb_seconds_count") == {("p", "m", "/jobs"): 1}


# Decorators


def test_a_function_is_recorded_with_what_it_returns(world):
    @inference(provider="p", model=lambda body: body["model"])
    def ask(_body):
        """Documented."""
        return SimpleNamespace(model="m-2024", usage=SimpleNamespace(prompt_tokens=1, completion_tokens=2), choices=[])

    assert ask({"model": "m"}).model == "m-2024"
    assert ask.__doc__ == "Documented."
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 1, ("p", "m", "output"): 2}


async def test_a_coroutine_function_is_recorded(world):
    @inference(provider="p", model="m")
    async def ask():
        await asyncio.sleep(0)
        return {"usage": {"input_tokens": 1, "output_tokens": 2}}

    assert await ask()
    assert world.tokens == {("p", "m", "input"): 1, ("p", "m", "output"): 2}


async def test_a_stream_that_a_function_returns_is_watched(world):
    @inference(provider="p", model="m")
    def generator():
        yield from chunks(usage=(1, 2))

    @inference(provider="p", model="m")
    async def async_generator():
        async for chunk in achunks(usage=(1, 2)):
            yield chunk

    @inference(provider="p", model="m")
    async def returning():
        return achunks(usage=(1, 2))

    assert list(generator())
    assert [chunk async for chunk in async_generator()]
    assert [chunk async for chunk in await returning()]
    assert world.requests == {("p", "m", "success"): 3}
    assert world.tokens == {("p", "m", "input"): 3, ("p", "m", "output"): 6}


def test_a_generator_client_whose_error_comes_with_the_first_chunk_has_failed(world):
    @inference(provider="p", model="m")
    def client():
        raise LookupError
        yield

    stream = client()
    assert world.requests == {}
    with pytest.raises(LookupError):
        next(stream)
    assert world.requests == {("p", "m", "error"): 1}


def test_an_answer_that_is_an_error_has_failed(world):
    @inference(provider="p", model="m")
    def ask():
        return {"error": {"message": "overloaded"}}

    ask()
    assert world.requests == {("p", "m", "error"): 1}


def test_a_name_that_cannot_be_read_from_the_arguments_costs_the_label(world):
    @inference(provider="p", model=lambda body: body["model"])
    def ask(body):
        return body

    ask({})
    assert world.requests == {("p", "_other", "success"): 1}


# Broken off, left, late


async def test_a_generator_that_is_broken_off_costs_the_task_none_of_its_later_calls(world):
    """Somebody else closes it, in another context: the block cannot be taken back where it was entered."""

    async def source():
        async with inference(provider="p", model="m") as call, call.attempt(provider="p"):
            yield 1
            yield 2

    async def read_one():
        async for _ in source():
            break
        gc.collect()
        await asyncio.sleep(0.01)

    outer = world.recording.tracer.start_span("outer")
    with use_span(outer):
        for _ in range(2):
            await read_one()
        with inference(provider="q", model="m") as call:
            pass
    assert world.requests == {("p", "m", "cancelled"): 2, ("q", "m", "success"): 1}
    assert call.outer is None
    parents = [span.parent.span_id for span in world.exporter.get_finished_spans() if span.name == "chat m"]
    assert parents == [outer.get_span_context().span_id] * 3


async def test_a_worker_that_was_born_in_a_call_that_timed_out_is_recorded(world):
    async def worker():
        await asyncio.sleep(0.01)
        with inference(provider="q", model="m"):
            pass

    def time_out():
        with inference(provider="p", model="m"):
            tasks.append(asyncio.create_task(worker()))
            raise TimeoutError

    tasks = []
    with pytest.raises(TimeoutError):
        time_out()
    await tasks[0]
    assert world.requests == {("p", "m", "timeout"): 1, ("q", "m", "success"): 1}


async def test_a_task_joins_no_call_whose_block_has_been_left(world):
    async def title():
        await asyncio.sleep(0.01)
        with inference(provider="q", model="m") as call:
            call.usage(input_tokens=1000)

    async with inference(provider="p", model="m") as call:
        task = asyncio.create_task(title())
        stream = call.wrap(achunks(usage=(1, 2)))
    await task
    assert [chunk async for chunk in stream]
    assert world.requests == {("q", "m", "success"): 1, ("p", "m", "success"): 1}
    assert world.tokens == {("q", "m", "input"): 1000, ("p", "m", "input"): 1, ("p", "m", "output"): 2}


async def test_an_attempt_that_was_given_up_changes_nothing_any_more(world):
    release, done = threading.Event(), threading.Event()

    def slow(attempt):
        release.wait(10)
        attempt.read(
            {"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "error": {"message": "late"}, "model": "late"}
        )
        attempt.usage(cost_usd=5)
        attempt.first_chunk()
        attempt.fail("late")
        with inference(provider="p", model="m") as late:
            late.usage(input_tokens=9)
        done.set()

    with inference(model="m") as call:
        with pytest.raises(TimeoutError), call.attempt(provider="p") as attempt:
            await asyncio.wait_for(asyncio.to_thread(slow, attempt), 0.05)
        with call.attempt(provider="q") as attempt:
            release.set()
            assert await asyncio.to_thread(done.wait, 5)
            attempt.usage(input_tokens=100, output_tokens=200)
    assert world.requests == {("q", "m", "success"): 1}
    assert world.tokens == {("q", "m", "input"): 100, ("q", "m", "output"): 200}
    assert world.samples("credits_used_total") == {}
    assert world.samples("gwz_telemetry_dropped_total") == {}
    assert world.spans["chat m"].attributes["gwz.attempts"] == 2


def test_an_attempt_of_a_call_that_is_over_writes_nothing(world):
    with pytest.raises(TimeoutError), inference(provider="p", model="m") as call:
        raise TimeoutError
    with call.attempt(provider="q") as attempt:
        attempt.usage(input_tokens=1)
        assert list(attempt.wrap(iter([1]))) == [1]
    assert [fact[:3] for fact in world.facts] == [("p", "m", "timeout")]
    assert list(world.spans) == ["chat m"]
    assert world.tokens == {}


def test_the_first_outcome_of_a_stream_is_not_overruled_by_a_later_failure(world):
    with inference(provider="p", model="m") as call:
        try:
            list(call.wrap(chunks(2, error=ConnectionResetError())))
        except ConnectionResetError:
            call.fail("upstream")
    assert world.requests == {("p", "m", "stream_error"): 1}
    assert world.spans["chat m"].attributes["error.type"] == "ConnectionResetError"


def test_a_stream_that_breaks_out_of_its_block_is_a_stream_error(world):
    with pytest.raises(ConnectionResetError), inference(provider="p", model="m") as call:
        list(call.wrap(chunks(2, error=ConnectionResetError())))
    assert world.requests == {("p", "m", "stream_error"): 1}


def test_a_stream_that_is_dropped_after_the_client_has_left_says_so(world):
    """A synchronous upstream is read in threads, where nothing is cancelled."""
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks())
    call.exchange = Exchange({"path": "/", "headers": []}, "GET")
    call.exchange.disconnected = True
    next(stream)
    del stream, call
    gc.collect()
    wait_for(lambda: world.requests)
    assert world.requests == {("p", "m", "client_disconnected"): 1}


def test_a_stream_that_is_only_held_when_the_client_has_left_ends_unless_it_is_read_on(world, monkeypatch):
    """Threads that gave up keep it in their frames, as anyio's do."""
    monkeypatch.setattr(watches, "_PAUSE_S", 0.3)
    exchange = Exchange({"path": "/", "headers": []}, "GET")
    exchange.disconnected = True

    def slow():
        yield from chunks(20)

    with inference(provider="p", model="m") as call:
        call.exchange = exchange
        stream = call.wrap(slow())
    next(stream)
    exchange.leave()
    for _ in range(9):
        time.sleep(0.1)
        next(stream)
    assert world.requests == {}
    wait_for(lambda: world.requests)
    assert world.requests == {("p", "m", "client_disconnected"): 1}
    assert len(list(stream)) == 10


def test_a_stream_that_somebody_waits_for_goes_on_however_long_it_pauses(world, monkeypatch):
    """Models that think: what they say after a long pause is billed, though the client has left."""
    monkeypatch.setattr(watches, "_PAUSE_S", 0.1)
    exchange = Exchange({"path": "/", "headers": []}, "GET")
    exchange.disconnected = True

    def thinking():
        time.sleep(0.8)
        yield from chunks(2, usage=(1000, 2000))

    with inference(provider="p", model="m") as call:
        call.exchange = exchange
        stream = call.wrap(thinking())
    exchange.leave()
    list(stream)
    assert world.requests == {("p", "m", "success"): 1}
    assert sum(world.samples("tokens_used_total").values()) == 3000


@pytest.mark.usefixtures("world")
def test_a_request_holds_no_stream_that_has_ended_nor_any_once_it_is_over():
    exchange = Exchange({"path": "/", "headers": []}, "GET")

    def ask():
        with inference(provider="p", model="m") as call:
            call.exchange = exchange
            return call.wrap(chunks(2))

    list(ask())
    assert not exchange.streams
    kept = ask()
    assert len(exchange.streams) == 1
    exchange.leave()
    assert exchange.streams is None
    list(kept), list(ask())
    assert exchange.streams is None


# Several at once


def test_within_a_call_as_within_an_attempt_everything_can_be_told(world):
    """A helper does not know what it is called within."""

    def helper():
        with inference(model="m") as call:
            with call.attempt(provider="q") as attempt:
                attempt.run(call.run, call.first_chunk)
                call.read({"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
            return call.over

    with inference(provider="p", model="m"):
        assert not helper()
    assert world.requests == {("p", "m", "success"): 1}, "the helper's own attempt ended last"
    public = [{name for name in vars(kind) if name[0] != "_"} for kind in (Call, Attempt)]
    assert {"attempt", "run", "wrap", "read", "usage", "first_chunk"} <= public[0] & public[1]


def test_a_stream_that_was_given_up_does_not_end_the_call(world):
    with inference(model="m") as call:
        with call.attempt(provider="p"):
            given_up = call.wrap(chunks())
        next(given_up)
        with call.attempt(provider="q"):
            stream = call.wrap(chunks(usage=(1, 2)))
    given_up.close()
    assert world.requests == {}
    assert list(stream)
    assert world.requests == {("q", "m", "success"): 1}
    assert [fact[:3] for fact in world.facts if isinstance(fact, AttemptEnded)] == [
        ("p", "m", "cancelled"),
        ("q", "m", "success"),
    ]


async def test_of_attempts_in_a_race_the_one_that_succeeds_decides(world):
    async def ask(call, provider, seconds, tokens):
        with call.attempt(provider=provider):
            call.usage(input_tokens=tokens)
            await asyncio.sleep(seconds)
            call.usage(output_tokens=tokens)

    with inference(model="m") as call:
        tasks = [asyncio.create_task(ask(call, "p", 0.01, 5)), asyncio.create_task(ask(call, "q", 10, 7))]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 5, ("p", "m", "output"): 5}
    assert world.spans["chat m"].attributes["gen_ai.provider.name"] == "p"
    assert world.samples("gwz_telemetry_dropped_total") == {}


def test_no_attempt_outlives_its_call(world):
    with inference(model="m") as call:
        call.attempt(provider="p").__enter__()
        call.attempt(provider="q").__enter__()
        call.overdue()
    assert sorted(fact[:3] for fact in world.facts) == [("p", "m", "abandoned"), ("q", "m", "abandoned")]
    assert set(world.spans) == {"chat m", "chat m at p", "chat m at q"}


def test_each_stream_counts_its_own_chunks(world):
    for second, status in ((iter(()), "error"), (chunks(0, error=LookupError()), "error")):
        with inference(model="m") as call:
            for provider, stream in (("p", chunks(2, error=LookupError())), ("q", second)):
                try:
                    with call.attempt(provider=provider) as attempt:
                        list(attempt.wrap(stream))
                except LookupError:
                    continue
        assert world.requests.pop(("q", "m", status))
    assert world.requests == {("q", "m", "error"): 2}


def test_an_answer_that_is_an_error_fails_its_attempt_and_not_the_call(world):
    @inference(provider="p", model="m")
    def bad():
        return {"error": {"message": "overloaded"}}

    with inference(model="m") as call:
        with call.attempt(provider="p"):
            bad()
        with call.attempt(provider="q"):
            pass
    with inference(model="m"):
        bad()
    assert [fact[:3] for fact in world.facts] == [("p", "m", "error"), ("q", "m", "success"), ("p", "m", "error")]
    assert world.requests == {("q", "m", "success"): 1, ("p", "m", "error"): 1}


def test_one_object_may_be_entered_again_while_it_is_open(world):
    opener = inference(provider="p", model="m")
    one, other = contextvars.copy_context(), contextvars.copy_context()
    first, second = one.run(opener.__enter__), other.run(opener.__enter__)
    one.run(opener.__exit__, None, TimeoutError(), None)
    assert (first.over, second.over) == (True, False)
    other.run(opener.__exit__, None, None, None)
    with opener as first, opener as second:
        pass
    assert (first.over, second.over) == (True, True)
    assert world.requests == {("p", "m", "timeout"): 1, ("p", "m", "success"): 2}


# What decorators meet


async def test_a_function_that_returns_an_awaitable_is_awaited_within_the_call(world):
    """As the clients of SDKs do, whose methods are no coroutine functions."""

    async def real():
        await asyncio.sleep(0.02)
        assert isinstance(current.get(), Call)
        return {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    async def slow():
        raise TimeoutError

    @inference(provider="p", model="m")
    def ask(what):
        return what()

    assert await asyncio.create_task(ask(real))
    with pytest.raises(TimeoutError):
        await ask(slow)
    assert world.requests == {("p", "m", "success"): 1, ("p", "m", "timeout"): 1}
    assert world.tokens == {("p", "m", "input"): 1, ("p", "m", "output"): 2}
    assert world.samples("model_inference_duration_seconds_sum")["p", "m"] >= 0.02
    assert current.get() is None


def test_what_can_only_be_asked_for_the_next_is_no_stream(world):
    class Cursor:
        def __next__(self):
            return 1

    @inference(provider="p", model="m")
    def ask():
        return Cursor()

    assert next(ask()) == 1
    assert world.requests == {("p", "m", "success"): 1}


def test_methods_that_need_no_instance_are_recorded(world):
    class Client:
        @inference(provider="p", model="m")
        @staticmethod
        def static(value):
            return value

        @inference(provider="p", model="m")
        @classmethod
        def of_class(cls, value):
            return cls, value

    assert Client().static(1) == 1
    assert Client.of_class(2) == (Client, 2)
    assert world.requests == {("p", "m", "success"): 2}


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_generator_client_that_asks_a_client_is_one_call(world, breaks):
    @inference(provider="q", model="m")
    def inner():
        return chunks(2, usage=(1, 2), error=ConnectionResetError() if breaks else None)

    @inference(provider="p", model="m")
    def outer():
        try:
            yield from inner()
        except ConnectionResetError:
            yield "sorry"

    @inference(provider="p", model="m")
    async def outer_async():
        try:
            for chunk in inner():
                yield chunk
        except ConnectionResetError:
            yield "sorry"

    assert list(outer())
    assert [chunk async for chunk in outer_async()]
    assert world.requests == {("q", "m", "stream_error" if breaks else "success"): 2}
    assert world.tokens == ({} if breaks else {("q", "m", "input"): 2, ("q", "m", "output"): 4})
    calls = [span for span in world.exporter.get_finished_spans() if span.name == "chat m"]
    attempts = [span for span in world.exporter.get_finished_spans() if span.name == "chat m at q"]
    assert [span.parent.span_id for span in attempts] == [span.context.span_id for span in calls]
    assert current.get() is None


def test_a_generator_client_may_ask_several_clients_and_is_over_when_it_ends(world):
    @inference(provider="q", model="m")
    def inner():
        return chunks(1)

    @inference(provider="p", model="m")
    def outer():
        yield from inner()
        yield "between"
        yield from inner()

    stream = outer()
    assert next(stream) != "between"
    assert next(stream) == "between"
    assert world.requests == {}
    assert list(stream)
    assert world.requests == {("q", "m", "success"): 1}
    assert world.spans["chat m"].attributes["gwz.attempts"] == 2


@pytest.mark.parametrize(
    ("errors", "status"), [((LookupError(),), "stream_error"), ((LookupError(), None), "success"), ((None,), "success")]
)
def test_a_generator_client_within_an_attempt_hides_no_broken_stream(world, errors, status):
    """It may ask again, though."""

    @inference(model="m")
    def inner(error):
        return chunks(2, error=error)

    @inference(model="m")
    def outer():
        for error in errors:
            try:
                yield from inner(error)
            except LookupError:
                yield "sorry"

    with inference(model="m") as call, call.attempt(provider="q"):
        stream = outer()
    next(stream)
    assert world.requests == {}
    assert list(stream)
    assert world.requests == {("q", "m", status): 1}
    assert [fact[:3] for fact in world.facts] == [("q", "m", status)]


def test_of_a_stream_that_its_attempt_gave_up_the_tokens_so_far_are_known(world):
    with inference(model="m") as call:
        try:
            with call.attempt(provider="p") as attempt:
                next(attempt.wrap(iter([{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, {}])))
                answer(503)
        except AnsweredError:
            pass
    assert world.requests == {("p", "m", "error"): 1}
    assert world.tokens == {("p", "m", "input"): 3, ("p", "m", "output"): 4}


# Hostile


class Evil(str):
    """A text that answers no question."""

    __slots__ = ()

    def __getitem__(self, _index):
        raise RuntimeError

    def __hash__(self):
        raise RuntimeError


def test_a_text_that_answers_no_question_is_a_text(world):
    with inference(provider=Evil("p"), model=Evil("m")) as call:
        call.fail(Evil("reason"))
    assert world.requests == {("p", "m", "error"): 1}
    assert world.spans["chat m"].attributes["error.type"] == "reason"


def test_a_call_ends_though_its_labels_cannot_be_told(world, monkeypatch):
    monkeypatch.setattr(type(world.recording.labels), "model", lambda *_, **__: 1 / 0)
    with inference(provider="p", model="m") as call:
        pass
    assert call.over
    assert world.requests == {("_other", "_other", "success"): 1}


class ExitingError(Exception):
    """Ends the process when it is asked."""

    @property
    def status_code(self):
        raise SystemExit


def test_no_question_to_an_object_of_the_application_gets_out(world):
    class Chunk:
        @property
        def usage(self):
            raise SystemExit

    with pytest.raises(ExitingError), inference(provider="p", model="m"):
        raise ExitingError
    with inference(provider="p", model="m") as call:
        list(call.wrap(iter([Chunk()])))
    with inference(provider="p", model="m") as call:
        list(call.wrap(iter([1]), usage_from=lambda _: sys.exit()))
        call.read(1, lambda _: sys.exit())
    assert world.requests == {("p", "m", "error"): 1, ("p", "m", "success"): 2}


def test_a_thread_that_cannot_be_started_costs_the_deadline_only(world, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(background.deadlines, "add", refuse)
    with inference(provider="p", model="m") as call:
        stream = call.wrap(chunks())
    assert len(list(stream)) == 3
    assert world.requests == {("p", "m", "success"): 1}


class Response:
    """The status of an answer, as requests and httpx have it."""

    def __init__(self, status_code):
        self.status_code = status_code


def named(name, **attributes):
    """An exception of a class derived from one of that name, as a provider's package has it."""
    error = type("Own" + name, (type(name, (Exception,), {}),), {})()
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (named("TimeoutException"), "timeout", "OwnTimeoutException"),
        (named("Timeout"), "timeout", "OwnTimeout"),
        (named("DeadlineExceeded"), "timeout", "OwnDeadlineExceeded"),
        (named("ReadTimeoutError"), "timeout", "OwnReadTimeoutError"),
        (named("ResourceExhausted"), "error", "rate_limited"),
        (named("TooManyRequests"), "error", "rate_limited"),
        (named("HTTPStatusError", response=Response(429)), "error", "rate_limited"),
        (named("HTTPError", response=Response(504)), "timeout", "OwnHTTPError"),
        (named("ClientResponseError", status=408), "timeout", "OwnClientResponseError"),
    ],
)
def test_the_packages_exceptions_are_known_by_name_and_status(world, error, status, error_type):
    with pytest.raises(type(error)), inference(provider="p", model="m"):
        raise error
    assert world.requests == {("p", "m", status): 1}
    assert world.spans["chat m"].attributes["error.type"] == error_type


class BaseModel:
    """As pydantic's: looping over it gives its fields."""

    def __iter__(self):
        return iter([("field", 1)])


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("answer", [{}, "text", b"bytes", [1], (1,), {1}, type("Completion", (BaseModel,), {})()])
def test_an_answer_is_no_stream_though_it_can_be_looped_over(answer):
    with inference(provider="p", model="m") as call, pytest.raises(TypeError, match="give it the stream itself"):
        call.wrap(answer)


def test_what_can_be_looped_over_and_is_no_answer_is_a_stream(world):
    class Lines:
        def __iter__(self):
            return iter([1, 2])

    with inference(provider="p", model="m") as call:
        assert list(call.wrap(Lines())) == [1, 2]
    assert world.requests == {("p", "m", "success"): 1}


def test_a_copy_of_a_stream_is_the_stream_s_and_ends_nothing(world):
    with inference(provider="p", model="m") as call:
        stream = call.wrap(iter([1, 2, 3]))
    assert list(copy.copy(stream)) == [1, 2, 3]
    assert not hasattr(type(stream).__new__(type(stream)), "anything")
    gc.collect()
    assert list(stream)
    assert world.requests == {("p", "m", "success"): 1}


# What chunks say


def test_of_usage_that_counts_on_the_largest_is_told_once(world):
    def counting():
        for tokens in (1, 50, 100):
            yield {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}}

    with inference(provider="p", model="m") as call:
        stream = call.wrap(counting())
    list(stream)
    with inference(provider="p", model="m") as call:
        stream = call.wrap(counting())
    next(stream), next(stream)
    call.overdue()
    assert world.tokens == {("p", "m", "input"): 14, ("p", "m", "output"): 150}
    assert world.samples("gwz_telemetry_dropped_total") == {}


ANTHROPIC = (
    {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 25, "output_tokens": 1}}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
)


@pytest.mark.parametrize("read", [4, 3])
def test_anthropic_s_events_are_read(world, read):
    """A reader that closes it at the stop reason has read it all."""
    with inference(provider="p", model="m") as call:
        stream = call.wrap(each for each in ANTHROPIC)
    for _ in range(read):
        next(stream)
    stream.close()
    assert world.requests == {("p", "m", "success"): 1}
    assert world.tokens == {("p", "m", "input"): 25, ("p", "m", "output"): 15}
    attributes = world.spans["chat m"].attributes
    assert attributes["gen_ai.response.model"] == "claude"
    assert attributes["gen_ai.response.finish_reasons"] == ("end_turn",)


def test_an_error_chunk_is_not_forgotten(world):
    chunks = [{"choices": [{}]}, {"error": {"message": "x"}}, {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    with inference(provider="p", model="m") as call:
        list(call.wrap(iter(chunks)))
    assert world.requests == {("p", "m", "stream_error"): 1}
    assert world.spans["chat m"].attributes["error.type"] == "error_chunk"


def test_names_that_an_answer_brings_are_cut(world):
    with inference(provider="p", model="m") as call:
        call.read({"model": "x" * 10_000, "choices": [{"finish_reason": "y" * 10_000}] * 50})
    attributes = world.spans["chat m"].attributes
    assert attributes["gen_ai.response.model"] == "x" * 200
    assert attributes["gen_ai.response.finish_reasons"] == ("y" * 200,) * 10


def test_an_estimate_is_remembered_by_kind(world):
    with inference(provider="p", model="m") as call:
        call.usage(input_tokens=10)
        call.usage(output_tokens=5, estimated=True)
    assert world.tokens == {("p", "m", "input"): 10, ("p", "m", "output_estimated"): 5}
    assert world.spans["chat m"].attributes["gwz.usage.estimated"] is True


def test_a_late_estimate_is_visible_on_its_line(world):
    with inference(provider="p", model="m") as call:
        pass
    call.usage(output_tokens=5, estimated=True)
    (line,) = world.lines
    assert line["fields"] == {"provider": "p", "model": "m", "output_tokens": 5, "estimated": True}
    assert world.tokens == {("p", "m", "output_estimated"): 5}


def test_the_price_is_asked_for_once_also_when_the_tokens_come_late(world):
    asked = []

    def price(*tokens):
        asked.append(tokens)
        return 0.5

    with inference(provider="p", model="m", cost=price) as call:
        call.usage(input_tokens=1)
    call.usage(output_tokens=2)
    wait_for(lambda: world.samples("credits_used_total"))
    call.usage(output_tokens=2)
    assert asked == [("m", 1, 2)]
    assert world.samples("credits_used_total") == {("p", "m"): 0.5}


# Beside the rest


def test_before_there_is_an_application_the_code_runs_as_ever(monkeypatch, caplog):
    monkeypatch.setattr(recordings, "_installed", [])
    monkeypatch.setattr(recordings, "_complained", set())
    for _ in range(2):
        with inference(provider="p", model="m") as call:
            stream = call.wrap(chunks())
            call.usage(input_tokens=-1)
        assert len(list(stream)) == 3
    assert [record.message for record in caplog.records] == [
        "gwz-instrument: a recorder was used before instrument(app): what it sees is not recorded"
    ]


def test_an_observer_that_fails_costs_nothing(world):
    world.recording.observers.insert(0, lambda _fact: 1 / 0)
    with inference(provider="p", model="m"):
        pass
    assert world.requests == {("p", "m", "success"): 1}
    assert [type(fact) for fact in world.facts] == [AttemptEnded]


@pytest.mark.usefixtures("world")
def test_nothing_of_a_call_that_is_over_is_kept():
    import weakref  # noqa: PLC0415

    class Kept:
        pass

    def run():
        thing = Kept()

        def source():
            yield {"choices": [], "thing": thing}

        with inference(provider="p", model="m") as call:
            list(call.wrap(source()))
        return weakref.ref(call), weakref.ref(thing)

    gc.collect()
    gc.disable()
    try:
        call, thing = run()
        assert call() is None
        assert thing() is None
    finally:
        gc.enable()
