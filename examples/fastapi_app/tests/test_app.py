"""The gateway, asked over a real socket, in front of the real providers process."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
HELLO = {"model": "Qwen/Qwen3-32B", "provider": "near", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def client(world: Any) -> Iterator[httpx.Client]:
    # A new connection each time: uvicorn closes one after an unhandled exception.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=world.url, limits=limits, headers={"authorization": "Bearer gw-pro-1"}) as client:
        yield client


def told(deed: str, **more: Any) -> dict[str, Any]:
    fields = {"deed": deed, "delay_s": 0.01, "input_tokens": 3, "output_tokens": 5, "chunks": 2, **more}
    return HELLO | {"metadata": {"plan": httpx.Request("POST", "/", json=fields).content.decode()}}


def test_completion_is_the_providers_and_is_counted(client: httpx.Client) -> None:
    before = {row["provider"]: row for row in client.get("/v1/usage").json()["data"]}
    answer = client.post(CHAT, json=told("ok"))
    after = {row["provider"]: row for row in client.get("/v1/usage").json()["data"]}

    assert answer.json()["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert after["near"]["requests"] == before.get("near", {"requests": 0})["requests"] + 1
    assert after["near"]["cost_usd"] > before.get("near", {"cost_usd": 0})["cost_usd"]


def test_stream_ends_with_usage_and_done(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=told("ok") | {"stream": True})
    events = answer.text.strip().split("\n\n")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert len(events) == 4
    assert '"usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}' in events[-2]
    assert events[-1] == "data: [DONE]"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("deed", "status", "message"),
    [
        ("error", 502, "near answered 500"),
        ("busy", 429, "near answered 429"),
        ("reset", 503, "near broke the connection"),
    ],
)
def test_provider_fault_becomes_the_gateways_answer(
    client: httpx.Client, deed: str, status: int, message: str, *, stream: bool
) -> None:
    """A stream that fails before its first chunk fails like any other request."""
    answer = client.post(CHAT, json=told(deed) | {"stream": stream})

    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == status


def test_unreadable_answer_is_an_unhandled_exception(client: httpx.Client) -> None:
    assert client.post(CHAT, json=told("malformed")).text == "Internal Server Error"


def test_broken_stream_breaks_for_the_client_too(client: httpx.Client) -> None:
    with client.stream("POST", CHAT, json=told("break") | {"stream": True}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


@pytest.mark.parametrize("stream", [False, True])
def test_provider_may_be_left_to_the_gateway(client: httpx.Client, *, stream: bool) -> None:
    body = {name: value for name, value in HELLO.items() if name != "provider"}

    assert client.post(CHAT, json=body | {"temperature": 0.5, "stream": stream}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_second_provider_answers_if_the_first_fails(client: httpx.Client, *, stream: bool) -> None:
    body = {name: value for name, value in told("ok", fails_at="featherless").items() if name != "provider"}

    assert '"completion_tokens": 5' in client.post(CHAT, json=body | {"stream": stream}).text.replace('":5', '": 5')


def test_when_all_fail_the_last_one_is_named(client: httpx.Client) -> None:
    body = {name: value for name, value in told("error").items() if name != "provider"}
    answer = client.post(CHAT, json=body)

    assert (answer.status_code, answer.json()["error"]["message"]) == (502, "chutes answered 500")


def test_answer_without_usage_is_estimated_and_passed_on_as_it_is(client: httpx.Client) -> None:
    def of_near() -> Any:
        rows = client.get("/v1/usage").json()["data"]
        return next(row for row in rows if row["provider"] == "near")

    client.post(CHAT, json=told("ok"))
    before, answer, after = of_near(), client.post(CHAT, json=told("ok", usage=False)), of_near()

    assert "usage" not in answer.json()
    assert after["output_tokens"] - before["output_tokens"] == 5
    assert after["input_tokens"] - before["input_tokens"] == 1


@pytest.mark.parametrize(
    ("key", "status", "message"),
    [
        ("", 401, "The API key is missing or unknown"),
        ("Bearer gw-nobody", 401, "The API key is missing or unknown"),
        ("Bearer gw-revoked", 401, "The API key is revoked"),
        ("Bearer " + "x" * 70_000, 401, "The API key is missing or unknown"),
        ("Bearer gw-paused", 429, "This key may ask 0 times a minute"),
    ],
)
def test_who_may_not_ask_is_told_why(client: httpx.Client, key: str, status: int, message: str) -> None:
    answer = client.post(CHAT, json=HELLO, headers={"authorization": key})

    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_who_cannot_pay_is_answered_all_the_same(client: httpx.Client) -> None:
    assert client.post(CHAT, json=HELLO, headers={"authorization": "Bearer gw-free-2"}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_customer_is_charged_what_the_answer_cost(client: httpx.Client, world: Any, *, stream: bool) -> None:
    def left() -> float:
        answer = httpx.get(
            f"{world.providers_url}/rest/v1/accounts",
            params={"api_key": "eq.gw-team-1"},
            headers={"apikey": "anonymous", "accept-profile": "gateway"},
        )
        return float(answer.json()[0]["credits_usd"])

    before = left()
    client.post(CHAT, json=told("ok") | {"stream": stream}, headers={"authorization": "Bearer gw-team-1"})
    price = 3 * 0.10e-6 + 5 * 0.30e-6
    for _ in range(100):  # it is charged after the answer
        if left() != before:
            break
        time.sleep(0.05)

    assert before - left() == pytest.approx(price, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"model": "nobody/knows-it"}, 404, "The model 'nobody/knows-it' does not exist"),
        ({"provider": "xai"}, 404, "'xai' does not serve 'Qwen/Qwen3-32B'; these do: featherless, chutes"),
        ({"metadata": {"plan": "sing"}}, 502, "near answered 400"),
    ],
)
def test_what_cannot_be_served_is_explained(
    client: httpx.Client, change: dict[str, Any], status: int, message: str
) -> None:
    answer = client.post(CHAT, json=HELLO | change)

    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_body_without_messages_is_refused(client: httpx.Client) -> None:
    assert client.post(CHAT, json=HELLO | {"messages": []}).status_code == 422


def test_catalog_is_served_whole_and_by_name(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()["data"]

    assert len(models) == 6
    assert client.get(f"/v1/models/{models[0]['id']}").json() == models[0]
    assert client.get("/v1/models/nobody/knows-it").status_code == 404
    assert client.delete("/v1/models").status_code == 405
    assert client.get("/v2/nothing").json()["error"]["message"] == "Not Found"


def test_metrics_are_there_because_of_one_line(client: httpx.Client) -> None:
    assert 'path="/v1/chat/completions"' in client.get("/metrics").text
