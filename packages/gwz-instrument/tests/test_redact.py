import json
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.redact import hidden, is_secret, is_suspicious, redact


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer [redacted]"),
        ("authorization: bearer s3cret", "authorization: bearer [redacted]"),
        ("Authorization: Basic Zm9v", "Authorization: Basic [redacted]"),
        ("sent Basic dXNlcjpwYXNz to it", "sent Basic [redacted] to it"),
        ("key sk-or-v1-0123456789abcdef!", "key [redacted]!"),
        ("sk-proj-abcdefghijklmnop", "[redacted]"),
        (f"user gw_{'live'}_abcd1234 came", "user [redacted] came"),
        ("gw_test_ab", "[redacted]"),
        ("AIzaSyA1234567890abcdefghijk", "[redacted]"),
        ("xai-abc123DEF456", "[redacted]"),
        ("gsk_abc123DEF456", "[redacted]"),
        ("hf_abcDEF123456", "[redacted]"),
        ("AKIA" + "IOSFODNN7EXAMPLE", "[redacted]"),
        ("ghp_0123456789abcdefghij", "[redacted]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_1", "[redacted]"),
        ("GET /x?api_key=abc&b=1", "GET /x?api_key=[redacted]&b=1"),
        ("GET /x?key=abc&b=1", "GET /x?key=[redacted]&b=1"),
        ("GET /x?api_key=eq.abc&select=*", "GET /x?api_key=[redacted]&select=*"),
        ("OPENROUTER_API_KEY=abc", "OPENROUTER_API_KEY=[redacted]"),
        ("x-api-key: abc", "x-api-key: [redacted]"),
        ("password=hunter2, next", "password=[redacted], next"),
        ("password: hunter2", "password: [redacted]"),
        ("token=abc123 secret=xyz", "token=[redacted] secret=[redacted]"),
        ("{'api_key': 'abc', 'n': 1}", "{'api_key': '[redacted]', 'n': 1}"),
        ("Client(api_key='abc')", "Client(api_key='[redacted]')"),
        ("Client(api_key=abc)", "Client(api_key=[redacted])"),
        ('api_key="abc"', 'api_key="[redacted]"'),
        ('{"api_key": "ab\\"c", "x": "y"}', '{"api_key": "[redacted]", "x": "y"}'),
        ('{"password": 1234}', '{"password": "[redacted]"}'),
        ("postgres://user:p@ss@host:5432/db", "postgres://user:[redacted]@host:5432/db"),
        ("redis://:pw@cache:6379/0", "redis://:[redacted]@cache:6379/0"),
        ("mail to bob.b+x@example.co.uk failed", "mail to [redacted] failed"),
        ("GET /u?email=bob%40example.com", "GET /u?email=[redacted]"),
        ("csk-abcdefgh12345678", "[redacted]"),
        ("rk_" + "live_abcdef123456", "[redacted]"),
        ("rk_" + "test_abcdef123456 used", "[redacted] used"),
        ("whsec_abcDEF123456+/x==", "[redacted]"),
        ("GET /x?h=bearer%20abc.def&b=1", "GET /x?h=bearer%20[redacted]&b=1"),
        ("authorization%3A%20Bearer%20abc%2Fdef%3D end", "authorization%3A%20Bearer%20[redacted] end"),
        ("h=Basic%20dXNlcjpwYXNz%3D&b=1", "h=Basic%20[redacted]&b=1"),
        ("[('authorization', 'xyz'), ('n', 'v')]", "[('authorization', '[redacted]'), ('n', 'v')]"),
        ("[(b'host', b'h'), (b'x-api-key', b'it')]", "[(b'host', b'h'), (b'x-api-key', b'[redacted]')]"),
        ('[["accept", "*/*"], ["Set-Cookie", "a\\"b"]]', '[["accept", "*/*"], ["Set-Cookie", "[redacted]"]]'),
        ("Headers([('cookie', 'a=b; c=d')])", "Headers([('cookie', '[redacted]')])"),
        ("{'api_key': ['abc'], 'n': ['v']}", "{'api_key': ['[redacted]'], 'n': ['v']}"),
        ('{"Authorization": ["xyz"]}', '{"Authorization": ["[redacted]"]}'),
        ("[('authorization', ''), ('token', 'a', 'b')]", "[('authorization', ''), ('token', '[redacted]', 'b')]"),
        ('{"headers": {"cookie": "a=b", "n": 1}}', '{"headers": {"cookie": "[redacted]", "n": 1}}'),
    ],
)
def test_secrets_and_addresses_are_hidden(text, safe):
    assert redact(text) == safe
    assert redact(safe) == safe, "hiding twice changes nothing more"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7",
        "123e4567-e89b-12d3-a456-426614174000",
        "openai/gpt-4o",
        "@cf/meta/llama-3.1-8b-instruct",
        "workers-ai/@cf/meta/llama-3.1-8b-instruct",
        "z-ai/glm-4.6:exacto",
        "/v1/chat/completions?limit=5&model=@cf/meta/llama",
        "2026-11-24T13:52:50.289021Z",
        "tokens_used=5 max_tokens=100 total_tokens: 5",
        '{"tokens": 5, "max_tokens": 100, "token": 17}',
        "cache_key=abc primary_key: 5",
        '{"password": null, "api_key": ""}',
        "the password is wrong",
        "Bearer token is missing",
        "basic functionality, Basic authentication",
        "Unexpected token: }",
        "task-1234567890abcdef risk-free disk-usage",
        "hf_transformers xai-compatible",
        "PWD=/app",
        "http://tempo:4318/v1/traces",
        "postgres://host:5432/db",
        "src.services.auth:42 in authorization()",
        '{"order": ["password", "email"]}',
        "('token', 'model', 'cost')",
        "[('tokens', 'many'), ('monkey', 'see')]",
        "KeyError('password', 'again')",
        "Cookie: none of it, cookie=chocolate",
        "whsec_ rk_live_ csk- Bearer%20token",
    ],
)
def test_what_only_looks_like_a_secret_stays_the_same_object(text):
    assert redact(text) is text


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("line\nsk-abcdefgh1", "sk-abcdefgh1"),
        ("line\nbob@example.com", "bob@example.com"),
        ('say "api_key": "a\\"b", and', 'a\\"b'),
        ("ends in \\", "nothing"),
        ('APIKEY="\\', "nothing"),
        ('api_key="half', "half"),
        ("é@ü.com\tx@y.org", "x@y.org"),
        ("[('a', 'b'), ('x-api-key', 'hush')]", "hush"),
        ('[["a", "b"], ["x-api-key", "hu\\"sh"]]', "sh"),
        ('[["a", "b"], ["x-api-key", "half', "half"),
        ('[["a", "b"], ["x-api-key", ', "nothing"),
        ("[('a', 'b'), ('x-api-key', ", "nothing"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_json_within_json_stays_json_and_tells_nothing(text, gone, depth):
    for _ in range(depth):
        text = json.dumps({"message": text, "next": "kept"})
    safe = redact(text)
    for _ in range(depth):
        document = json.loads(safe)
        assert document["next"] == "kept"
        safe = document["message"]
    assert gone not in safe


_SECRETS = st.sampled_from(
    ["sk-abcdefgh12345", "bob@example.com", 'password="x y"', "Bearer abc.def", "postgres://u:p@h/x", '"token": "abc", ',
     "api_key=", "password:", '"secret":', "?key=a&b=c", "'api_key': 'it\\'s'", "\\", '"', "\\u0041", "\n", "eyJhbGciOi.eyJz.x",
     '[["token", "', "[('api_key', b'", '"cookie": "', "bearer%20a", "csk-abcdefgh", "%"]
)  # fmt: skip
_TEXTS = st.lists(st.text(max_size=8) | _SECRETS, max_size=6).map("".join)


def documents(names):
    return st.recursive(
        st.none() | st.booleans() | st.integers() | _TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=8,
    )


def shape(document):
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    return [shape(value) for value in document] if isinstance(document, list) else None


@given(documents(_TEXTS), st.booleans())
def test_any_json_stays_json(document, ascii_only):
    json.loads(redact(json.dumps(document, ensure_ascii=ascii_only)))


@given(documents(st.sampled_from(["a", "password", "api_key", "token"])), st.booleans())
def test_nothing_but_values_changes_in_json(document, ascii_only):
    assert shape(json.loads(redact(json.dumps(document, ensure_ascii=ascii_only)))) == shape(document)


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=12, max_size=40), st.text(max_size=20))
def test_no_key_survives_whatever_stands_around_it(key, around):
    key = f"sk-1{key}"
    assert key not in redact(f"{around} {key} {around}")
    assert key not in redact(json.dumps({"message": f"{around}\n{key}"}))


@given(_TEXTS)
def test_the_quick_look_overlooks_nothing(text):
    if not is_suspicious(text):
        assert redact(text) is text
        assert redact(text + " @") == text + " @"


@pytest.mark.parametrize(
    "part",
    ["a", "a@", "a.", "-", "token\\", "password=", "://a:", '"token": "', "b.", "eyJ", "sk-", "\\", "bearer ", "a%40", "%",
     'api_key="\\"', "token='", "\\n", "'", "key=", "=:", "eyJa.", "://", "basic ", '[["token", "', "[('cookie', '", "[(", "[[ ", "bearer%20", "%20", '[["', "[['a"],
)  # fmt: skip
def test_time_grows_with_the_length_and_no_faster(part):
    def seconds(length):
        text = "x@" + part * (length // len(part)) + "@ ="
        start = time.thread_time()
        redact(text)
        return time.thread_time() - start

    assert seconds(1_000_000) < 40 * max(seconds(100_000), 0.002), "ten times the text, ten times the time"


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "db.password", "API_KEY", "apiKey", "api.key", "x-api-key", "access_token", "client_secret",
     "http.request.header.authorization", "http.request.header.x_api_key", "proxy-authorization", "cookie", "Set-Cookie",
     "http.response.header.set_cookie", "request.cookies"],
)  # fmt: skip
def test_names_tell_what_is_secret(name):
    """What a name alone tells, the quick look must find as well, or nobody asks."""
    assert is_secret(name)
    assert is_suspicious(f"{name}=")
    assert is_suspicious(json.dumps({name: ""}))
    assert hidden(name, "x") == hidden(name, ["x"]) == hidden(name, b"x") == "[redacted]"


@pytest.mark.parametrize(
    "name",
    ["tokens", "max_tokens", "token_count", "token_type", "tokens_used", "gen_ai.usage.input_tokens", "gen_ai.token.type",
     "key", "cache_key", "monkey", "password_changed", "cookie_banner", "http.cookie.name", "fortune_cookie", ""],
)  # fmt: skip
def test_names_that_only_sound_secret_tell_nothing(name):
    value = ["x"]
    assert not is_secret(name)
    assert hidden(name, value) is value
    assert hidden(name, "to bob@example.com") == "to [redacted]"


@pytest.mark.parametrize(
    ("name", "value"), [("password", None), ("password", ""), ("has_password", True), ("llm.token", 17), ("token", 1.5)]
)
def test_a_value_that_tells_nothing_stays_whatever_its_name(name, value):
    assert hidden(name, value) is value


@pytest.mark.parametrize(("name", "value"), [("password", 1234), ("token", "17"), ("api_key", ("a", "b"))])
def test_a_value_behind_a_secret_name_is_hidden_whatever_its_type(name, value):
    assert hidden(name, value) == "[redacted]"
