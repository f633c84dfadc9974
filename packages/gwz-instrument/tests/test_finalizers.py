"""The collector may end a request, a call or a stream within any line of ours: nothing waits for itself, all is counted."""

import contextlib
import contextvars
import gc
import json
import logging
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from starlette.routing import Route

import gwz_instrument
from gwz_instrument import inference, instrument, watches

OURS = str(Path(gwz_instrument.__file__).parent)
LOG = logging.getLogger("application")
PATH, MODEL = "/v1/chat/completions", "openai/gpt-4o"
CHUNK = {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": PATH,
    "root_path": "",
    "scheme": "http",
    "query_string": b"",
    "headers": [],
}
COUNTED = {
    "fastapi_requests_total": {},
    "fastapi_requests_duration_seconds_count": {},
    "model_inference_requests_total": {},
    "model_inference_duration_seconds_count": {},
    "provider_response_time_seconds_count": {"provider": "groq"},
}
"""Of each of these there is one for each request."""


class Stream:
    """As a provider's client returns it; it may break before its end."""

    def __init__(self, end=StopIteration):
        self._chunks, self._end = iter([CHUNK] * 3), end

    def __iter__(self):
        return self

    def __next__(self):
        for chunk in self._chunks:
            return chunk
        raise self._end

    def close(self):
        pass


def reading(stream, call):
    """As applications read: whoever lets go of this has closed the stream, and told what it cost."""
    try:
        with contextlib.closing(stream):
            yield from stream
    finally:
        contextvars.Context().run(call.usage, cost_usd=0.25)  # not in the block of an attempt that happens to be open


class Pause:
    def __await__(self):
        yield


class Endpoint:
    """Asks twice: the first stream is left to whom it may concern, the second is read, or never."""

    def __init__(self):
        self.left, self.kept = [], []

    async def __call__(self, scope, receive, send):
        await receive()
        with inference(model=MODEL, stream=True) as call:
            first = reading(call.wrap(Stream()), call)
            next(first)
            self.left.append(first)
            del first
            with contextlib.suppress(LookupError), call.attempt(provider="groq"):
                call.usage(input_tokens=3)
                raise LookupError
            with call.attempt(provider="openrouter"):
                stream = call.wrap(Stream(scope["end"]))
            call.usage(output_tokens=8)  # the stream says something else, and is believed
            call.usage(input_tokens=3)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if scope["abandoned"]:  # by a client that leaves, and by a server that forgets it
            self.kept.append(stream)
            await receive()
            await Pause()
        with contextlib.suppress(ConnectionError):
            for _ in stream:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        LOG.info("answered")


class Site:
    """The application, and what it leaves to the collector."""

    def __init__(self, **settings):
        self.endpoint, self.registry, self.app = Endpoint(), CollectorRegistry(), FastAPI()
        self.app.router.routes.append(Route(PATH, self.endpoint, methods=["POST"]))
        self.telemetry = instrument(self.app, registry=self.registry, **settings)

    def begin(self, *, abandoned=False, end=StopIteration):
        """A request, which waits for nothing until it is abandoned."""
        coming = iter([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])

        async def receive():
            return next(coming)

        async def send(_message):
            pass

        request = self.app({**SCOPE, "abandoned": abandoned, "end": end}, receive, send)
        with contextlib.suppress(StopIteration):
            contextvars.copy_context().run(request.send, None)
        return request

    def total(self, name, **labels):
        samples = (sample for family in self.registry.collect() for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "within twenty seconds"
        time.sleep(0.02)


def sweep(site, end, lines):
    """Let go of a request, and of the streams of two calls, at one line of ours after the other; how many there were.

    What is let go of is in a ring, which the collector finds at the next allocation.
    """
    left = site.endpoint.left

    def let_go():
        left.append(left[:])
        left[-1].append(left[-1])
        left.clear()
        gc.enable()

    def at(position):
        gc.collect(0)
        gc.disable()  # so that all of this is young when it is enabled
        left.append(site.begin(abandoned=True))
        lines.at(position, let_go)
        try:
            with lines.here():
                site.begin(end=end)
        finally:
            gc.enable()
            left.clear()
        return lines.passed >= position

    position = 1
    while at(position):
        position += 1
    return position


@pytest.fixture
def eager():
    """A collector that comes at the first allocation."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


@pytest.fixture
def site(loki, receiver, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(watches, "_PAUSE_S", 0.05)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
    made = Site(loki_url=loki.url, otlp_endpoint=receiver.url)
    yield made
    made.telemetry.shutdown(5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("end", [StopIteration, ConnectionError])
@pytest.mark.parametrize("protocol", ["http/protobuf"])
def test_the_collector_may_end_anything_within_any_line(end, site, loki, receiver, interruption):
    done, lines = [], interruption(lambda file: file.startswith(OURS))
    thread = threading.Thread(target=lambda: done.append(2 * sweep(site, end, lines)), daemon=True)
    thread.start()
    thread.join(100)
    if thread.is_alive():
        pytest.fail("it waits for itself:\n" + "".join(traceback.format_stack(sys._current_frames()[thread.ident])))
    (requests,) = done
    assert requests > 2000
    gc.collect()
    until(lambda: site.total("model_inference_requests_total") >= requests)
    assert {name: site.total(name, **labels) for name, labels in COUNTED.items()} == dict.fromkeys(COUNTED, requests)
    assert site.total("tokens_used_total", token_type="input") == 3 * requests
    assert site.total("tokens_used_total", token_type="output") == (2 + 8) * requests / 2
    assert site.total("credits_used_total") == 0.25 * requests
    assert site.total("fastapi_requests_in_progress") == 0
    assert site.total("gwz_telemetry_dropped_total") == site.total("gwz_telemetry_dropped_total", reason="invalid")
    until(lambda: site.telemetry.force_flush(10) and len(receiver.spans) >= 4 * requests)
    assert Counter(span.name for span in receiver.spans) == dict.fromkeys(
        (f"POST {PATH}", f"chat {MODEL}", f"chat {MODEL} at groq", f"chat {MODEL} at openrouter"), requests
    )
    written = Counter(json.loads(line)["logger"] for _, _, line, _ in loki.lines)
    assert (written["gwz_instrument.request"], written["application"]) == (requests, requests // 2)
