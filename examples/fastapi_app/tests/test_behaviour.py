"""A provider does what it is told: where it fails, and whether it says what it counted."""

import json

import httpx
import pytest
from opentelemetry.trace import INVALID_SPAN

from fastapi_app.providers.app import create_app
from fastapi_app.providers.behaviour import Behaviour, Deed
from fastapi_app.providers.performance import Performance

USAGE = {"prompt_tokens": 12, "completion_tokens": 24, "total_tokens": 36}


async def ask(provider, *, stream=False, **fields):
    body = {"model": "m", "stream": stream, "metadata": {"plan": Behaviour(**{"delay_s": 0} | fields).to_text()}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://providers") as client:
        return await client.post(f"/{provider}/v1/chat/completions", json=body)


async def events(**fields):
    answer = await ask("near", stream=True, **fields)
    *told, done = answer.text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in told]


def test_text_says_everything():
    told = Behaviour(Deed.HOLD, 0.5, 1, 2, 3, fails_at="xai", usage=False)

    assert Behaviour.from_text(told.to_text()) == told


def test_text_may_leave_the_rest_to_the_defaults():
    assert Behaviour.from_text('{"deed":"ok"}') == Behaviour(fails_at="", usage=True)


@pytest.mark.parametrize("deed", Deed)
def test_only_one_provider_fails_and_at_once(deed):
    told = Behaviour(deed, delay_s=9, fails_at="near")

    assert (told.at("near").deed, told.at("near").delay_s) == (Deed.ERROR, 0)
    assert told.at("xai") == told


@pytest.mark.parametrize("stream", [False, True])
async def test_failing_provider_answers_500_and_the_next_one_answers(stream):
    answers = [await ask(provider, stream=stream, fails_at="near") for provider in ("near", "xai")]

    assert [answer.status_code for answer in answers] == [500, 200]
    assert answers[0].json() == {"error": {"message": "The simulated provider failed, as planned"}}


async def test_completion_says_what_it_counted_unless_told_not_to():
    said, silent = [(await ask("near", usage=usage)).json() for usage in (True, False)]

    assert said["usage"] == USAGE
    assert "usage" not in silent
    assert silent.keys() == said.keys() - {"usage"}


async def test_stream_ends_with_usage_unless_told_not_to():
    said, silent = [await events(usage=usage, chunks=2) for usage in (True, False)]

    assert [event.get("usage") for event in said] == [None, None, USAGE]
    assert [event.get("usage") for event in silent] == [None, None]


@pytest.mark.parametrize("usage", [True, False])
async def test_only_the_last_chunk_of_a_stream_says_why_it_stopped(usage):
    choices = [choice for event in await events(usage=usage, chunks=3) for choice in event["choices"]]

    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]


async def test_stream_that_is_held_back_says_no_reason():
    """Who reads a reason takes the stream for ended."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.disconnect"}

    held = Behaviour(Deed.HOLD, delay_s=0, chunks=2)
    await Performance("near", held, "m", stream=True, start_span=lambda _: INVALID_SPAN)({}, receive, send)

    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * 2
    assert all(b'"finish_reason": null' in message["body"] for message in sent[1:])
