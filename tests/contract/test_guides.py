"""The snippets of the pages run as they stand, in an application, and are recorded."""

import asyncio
import functools
import re
import types
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gwz_instrument import instrument

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.contract


def snippets(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found


def run(page, names):
    """Run what a page shows, from top to bottom, among some names."""
    exec(compile("\n".join(snippets(page)), page, "exec"), names)  # noqa: S102  # that is the point


@pytest.fixture
def alone(monkeypatch):
    """An application of its own, as in a process of its own."""
    from gwz_instrument import recording  # noqa: PLC0415

    registry = CollectorRegistry()
    monkeypatch.setattr(recording, "_installed", [])
    monkeypatch.setattr("gwz_instrument.instrument", functools.partial(instrument, registry=registry))
    return registry


def samples(registry, name):
    return {
        tuple(value for key, value in sample.labels.items() if key not in ("app_name", "le")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and sample.value
    }


class Client:
    """A provider's client in OpenAI's shape."""

    def __init__(self, error=None):
        self.chat = types.SimpleNamespace(completions=self)
        self.error = error

    def create(self, **_request):
        if self.error is not None:
            raise self.error
        return types.SimpleNamespace(
            usage=types.SimpleNamespace(prompt_tokens=3, completion_tokens=5), choices=[], model="m"
        )

    async def stream(self):
        async def chunks():
            yield {"choices": [{"finish_reason": None}]}
            yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 11}}

        await asyncio.sleep(0)
        return chunks()


async def test_the_guide_to_calls(alone):
    app, registry = FastAPI(), alone
    names = {
        "app": app,
        "client": Client(),
        "async_client": Client(),
        "clients": {"groq": Client(ConnectionError()), "together": Client()},
    }
    instrument(app, registry=registry, models=("llama-3.3-70b",))
    run("docs/guides/inference.md", names)
    names["answer"]([])
    assert samples(registry, "credits_used_total") == {("groq", "llama-3.3-70b"): 0.0007}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        assert (await http.post("/chat")).text.endswith("data: [DONE]\n\n")
    assert samples(registry, "time_to_first_chunk_seconds_count") == {("groq", "llama-3.3-70b"): 1}
    names["first_that_answers"]([])
    names["ask_groq"]([], "llama-3.3-70b")
    names["estimated"]("four letters each")
    assert samples(registry, "model_inference_requests_total") == {
        ("groq", "llama-3.3-70b", "success"): 4,
        ("together", "llama-3.3-70b", "success"): 1,
    }
    assert samples(registry, "tokens_used_total") == {
        ("groq", "llama-3.3-70b", "input"): 3 + 7 + 3,
        ("groq", "llama-3.3-70b", "output"): 5 + 11 + 5,
        ("groq", "llama-3.3-70b", "output_estimated"): 4,
    }
    assert samples(registry, "provider_response_time_seconds_count") == {("groq",): 5, ("together",): 1}


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/quick-start.md", "docs/guides/monitoring.md"])
async def test_an_application_in_one_line(alone, page):
    names = {}
    run(page, names)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://app") as http:
        await http.get("/hello/world")
        assert "fastapi_requests_total{" in (await http.get("/metrics")).text
    assert sum(samples(alone, "fastapi_requests_total").values()) == 1


@pytest.mark.usefixtures("alone")
async def test_the_guide_to_an_existing_backend():
    """The two calls are two ways to start, so each has an application of its own."""

    class ObservabilityMiddleware:
        def __init__(self, app):
            self.app = app

        async def __call__(self, *_asgi):
            raise AssertionError("it was to be taken out")

    class TraceContextMiddleware(ObservabilityMiddleware):
        pass

    first, second = snippets("docs/guides/existing-backend.md")
    replaced = FastAPI()
    replaced.add_api_route("/metrics", lambda: "theirs")
    exec(first, {"create_app": lambda: replaced})  # noqa: S102  # that is the point
    async with httpx.AsyncClient(transport=httpx.ASGITransport(replaced), base_url="http://app") as http:
        assert "fastapi_app_info" in (await http.get("/metrics")).text
    app = FastAPI()
    app.add_middleware(ObservabilityMiddleware)
    app.add_middleware(TraceContextMiddleware)
    alone_too = functools.partial(instrument, registry=CollectorRegistry())
    exec(second, {"app": app, "instrument": alone_too})  # noqa: S102  # as above
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        assert (await http.get("/nowhere")).status_code == 404
