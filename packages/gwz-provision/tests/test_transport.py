"""One call: how long it may take, and what becomes of an answer that is none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from replying import Reply, Replying, answer, dripping, hanging, replying

from gwz_provision.access import Access
from gwz_provision.errors import (
    NotGrafana,
    OutOfTime,
    ProvisionError,
    Redirected,
    Refused,
    ServerFault,
    Unanswered,
    Unclear,
    Unreachable,
)
from gwz_provision.grafana import Grafana

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"


@contextmanager
def grafana(reply: Reply, told: list[str] | None = None) -> Iterator[tuple[Grafana, Replying]]:
    trace = None if told is None else told.append
    with replying(lambda _: reply) as server, Grafana(Access(server.url, "token"), trace=trace) as client:
        yield client, server


@pytest.mark.parametrize(
    "reply",
    [hanging, dripping(HEAD + b"\r\n", b" "), dripping(b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n")],
    ids=["nothing", "a byte of the body", "a header"],
)
def test_a_call_ends_at_its_limit_however_the_answer_drips(reply: Reply) -> None:
    """The HTTP library's limit is one for each read, which a server can meet for ever."""
    told: list[str] = []
    with grafana(reply, told) as (client, _):
        began = time.monotonic()
        with client.reader.within(seconds=60, each=0.5), pytest.raises(Unanswered, match=r"within 0\.5 s"):
            client.reader.search()
        with client.reader.within(seconds=0.5), pytest.raises(OutOfTime, match="no time left"):
            client.reader.search()
        with client.reader.within(seconds=60, each=0.5), pytest.raises(Unclear, match=r"within 0\.5 s"):
            client.writer().create_folder("f", "F")
        assert time.monotonic() - began < 10
    assert [line.rpartition(" no answer ")[0] for line in told] == ["GET /search", "GET /search", "POST /folders"]


def test_no_pause_that_a_server_asks_for_goes_past_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("gwz_provision.transport.time.sleep", pauses.append)
    busy = answer("{}", "429 Too Many Requests", **{"Retry-After": "7"})
    with grafana(busy) as (client, server):
        with client.reader.within(seconds=5), pytest.raises(Refused, match="429"):
            client.reader.search()
        assert (pauses, len(server.asked)) == ([], 1)
        with client.reader.within(seconds=1000), pytest.raises(Refused, match="429"):
            client.reader.search()
        assert (pauses, len(server.asked)) == ([7.0] * 4, 6)


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (answer("no gzip", **{"Content-Encoding": "gzip"}), NotGrafana, "something other than JSON"),
        (answer("[" * 200_000 + "]" * 200_000), NotGrafana, "something other than JSON"),
        (answer("[" * 200_000 + "]" * 200_000, "400 Bad Request"), NotGrafana, "something other than JSON"),
        (answer(b'[{"uid":"\xff"}'), NotGrafana, "something other than JSON"),
        (answer("", "500 "), ServerFault, "Grafana answered 500 for its folders and dashboards: it gave no reason."),
        (answer('{"message": null}', "400 Bad Request"), Refused, "it gave no reason."),
        (answer("", "302 Found", Location="http://[::1"), Redirected, "redirects to another address"),
        (answer("", "302 Found", Location="//u:p@h/a?token=t"), Redirected, "redirects to //h/a when asked"),
        (answer("[]", "429 Slow", **{"Retry-After": "\xb2"}), Refused, "429"),
    ],
    ids=lambda value: "" if callable(value) else str(value)[:40],
)
def test_an_answer_that_is_none_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, reply: Reply, kind: type[ProvisionError], words: str
) -> None:
    monkeypatch.setattr("gwz_provision.transport.time.sleep", lambda _: None)
    with grafana(reply) as (client, _), pytest.raises(kind) as caught:
        client.reader.search()
    assert type(caught.value) is kind
    assert words in caught.value.cause
    assert caught.value.exit_code == (6 if issubclass(kind, Unreachable) else 1)
