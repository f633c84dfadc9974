"""What is hidden in all output: known secrets, and what looks like one in an address."""

import json
import time

import pytest

from gwz_provision import redaction
from gwz_provision.redaction import Redactor, masked

PASSWORDS = ["s3cret", "s3@cret", "s3/cret", "s3:cret?x#y", "s3\\cret", "1234"]
QUERIES = ["token=s3cret", "a=1&api_key=s3cret&b=2", "apiKey=s3cret#top", "X-Amz-Signature=s3cret", "access_token=s3cret"]  # fmt: skip


def in_every_frame(url: str) -> list[str]:
    """The address as people and Go programs write it, and in JSON, once and twice."""
    words = f'Get "{url}": connection refused (see {url}), 2 tries.'
    return [words, json.dumps({"cause": words, "more": [url, "a@b.c"]}), json.dumps({"again": json.dumps({"x": words})})]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["http://user:{}@host:9090/path", "redis://:{}@host", "(https://u:{}@host)"])
def test_a_password_in_an_address_is_hidden(form: str, password: str) -> None:
    for text in in_every_frame(form.format(password)):
        shown = masked(text)
        assert password not in shown
        assert "cret" not in shown
        assert "host" in shown
        if text.startswith("{"):
            json.loads(shown)


@pytest.mark.parametrize("query", QUERIES)
def test_a_token_in_an_address_is_hidden(query: str) -> None:
    for text in in_every_frame(f"https://host/x?{query}"):
        shown = masked(text)
        assert "s3cret" not in shown
        assert "https://host/x?" in shown
        if text.startswith("{"):
            json.loads(shown)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:3000/d/abc@1: see http://[::1]:9090/x@y",
        "receiver:ops@example.com waits, mail to mailto:ops@example.com",
        'rate(up{job="a@b"}[5m] @ 1609746000) and job:up:rate5m@end()',
        "https://host/api/search?limit=5000&page=1&query=up",
        "connect ECONNREFUSED 10.0.0.1:9090, token expired; key=a",
        '{"url": "http://h:1", "to": "a@b.c", "n": [1, 2]}',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_an_address_without_its_scheme_is_hidden_where_it_has_a_port() -> None:
    assert masked('parse "user:s3cret@host:9": first path segment') == 'parse "***@host:9": first path segment'


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:1/x", "http://***@h:1/x"),
        ("u:p@h", "***@h"),
        ("http://u:p@/@h$x", "http://***@h$x"),
        ("http://u:p\n@h", "http://***@h"),
        ("http://h:1", "http://h:1"),
    ],
)
def test_of_what_is_meant_as_an_address_all_before_the_last_at_is_left_out(url: str, shown: str) -> None:
    assert redaction.address(url) == shown


def test_a_long_hostile_text_takes_no_time() -> None:
    """A server chooses it: each letter is looked at a few times, however long the text is."""
    began = time.monotonic()
    for text in ("://" * 100_000, "a:" * 100_000, "?" + "token" * 50_000, "x:y@" * 60_000, "http://" + "a" * 300_000):
        masked(text)
    assert time.monotonic() - began < 20


def test_the_redactor_knows_the_spellings_of_a_secret() -> None:
    redactor = Redactor(['p@ss "word"/ü', "http://me:hidden-part@host/x"])
    text = 'p@ss "word"/ü p%40ss%20%22word%22%2F%C3%BC p@ss \\"word\\"/\\u00fc hidden-part'
    assert redactor(text) == "*** *** *** ***"
    assert Redactor(["a&<b>c"])(r"a\u0026\u003cb\u003ec a&amp;&lt;b&gt;c a%26%3Cb%3Ec") == "*** *** ***"
    assert Redactor(["abc"])("abc is too short to be hidden") == "abc is too short to be hidden"
