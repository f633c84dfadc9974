"""The snippets of the guides run as they stand, in an application, and are recorded."""

import asyncio
import re
import types
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gwz_instrument import instrument

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"
pytestmark = pytest.mark.contract


def snippets(name):
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found


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


async def test_the_guide_to_calls(monkeypatch):
    from gwz_instrument import recording  # noqa: PLC0415

    monkeypatch.setattr(recording, "_installed", [])
    app, registry = FastAPI(), CollectorRegistry()
    names = {
        "app": app,
        "client": Client(),
        "async_client": Client(),
        "clients": {"groq": Client(ConnectionError()), "together": Client()},
    }
    instrument(app, registry=registry, models=("llama-3.3-70b",))
    code = compile("\n".join(snippets("inference")), "inference.md", "exec")
    exec(code, names)  # noqa: S102  # that is the point
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
