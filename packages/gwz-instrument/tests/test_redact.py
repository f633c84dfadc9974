import json
import statistics
import string
import time

import pytest
from hypothesis import given, settings
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
        ("{b'x-api-key': b'abc123', b'n': b'v'}", "{b'x-api-key': b'[redacted]', b'n': b'v'}"),
        ("{b'authorization': b'Token abc'}", "{b'authorization': b'Token [redacted]'}"),
        ("{'password': b'x'}", "{'password': b'[redacted]'}"),
        ("access_token: abcdefghijkl", "access_token: [redacted]"),
        ("client_secret: abc12", "client_secret: [redacted]"),
        ("X_TOKEN: hunter2", "X_TOKEN: [redacted]"),
        ("redis://default:p/ss@host", "redis://default:[redacted]@host"),
        ("fw_" + "3ZabcDEF1234567890abcd", "[redacted]"),
        ("tgp_v1_" + "abc-DEF_1234567890abcdef", "[redacted]"),
        ("cpk_" + "0123456789abcdef.0123456789abcdef.ABCdef1234 used", "[redacted] used"),
        ("vck_" + "abc123DEF456ghi789", "[redacted]"),
        ("sk_" + "abcDEF1234567890", "[redacted]"),
        ("nvapi-" + "abc_DEF-1234567890abcdef", "[redacted]"),
        ("r8_" + "abc123DEF456ghi789", "[redacted]"),
        ("sbp_" + "0123456789abcdef0123456789abcdef01234567", "[redacted]"),
        ("sb_secret_" + "abc123DEF456_ghi789", "[redacted]"),
        ("re_" + "AbCdEfGh_1234567890abcdefghijklmn", "[redacted]"),
        ("SG." + "abcdefghij-0123456789A.abcdefghij_0123456789ABCDEFGHIJ", "[redacted]"),
        ("npg_" + "abc123DEF456", "[redacted]"),
        (f"user gw_{'prod'}_abcd1234 came", "user [redacted] came"),
        ("SUPABASE_KEY=abc ENCRYPTION_KEY=def", "SUPABASE_KEY=[redacted] ENCRYPTION_KEY=[redacted]"),
        ("X-Auth-Key: abc", "X-Auth-Key: [redacted]"),
        ("Ocp-Apim-Subscription-Key: abc", "Ocp-Apim-Subscription-Key: [redacted]"),
        ("[(b'x-auth-key', b'abc')]", "[(b'x-auth-key', b'[redacted]')]"),
        ("authorization=Bearer%20abc", "authorization=Bearer%20[redacted]"),
        ("password=x-sk-abcdefgh1)", "password=[redacted])"),
        ('"Bearer YWJj="', '"Bearer [redacted]"'),
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
        "time_to_first_token=0.345 ms_per_token=12.5 cost_per_token=0.0000021",
        "eos_token='</s>' stop_token: <|im_end|>",
        'max_token="4096" max_token=12.5ms',
        '{"max_token": "4096"}',
        "authorization: granted",
        "sk-learning-rate",
        "left-pad@1.3.0.tgz foo@2x.png foo@2x.min.png.",
        "git@github.com",
        "http://localhost:3000/@user",
        "CACHE_KEY=abc PRIMARY_KEY: id Idempotency-Key: abc",
        'Bearer realm="x"',
        "fw_version r8_something cpk_something sbp_something sb_secret_something re_attempt_something SG.lower",
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
     '[["token", "', "[('api_key', b'", '"cookie": "', "bearer%20a", "csk-abcdefgh", "%", "fw_abcdEFGH1", "r8_abcd1234",
     "cpk_abcd1234", "vck_abcd1234", "npg_abcd1234", "sbp_abcd1234", "nvapi-abcd-efgh_1234", "tgp_v1_abcd-1234-x", "SG.",
     "sb_secret_abcd1234_x", "re_Abcdefg1_", "sk_", "0123456789abcdef", ".", "b'", "SUPABASE_KEY=", "X-Some-Key: ", "X_TOKEN:"]
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


def growth(head, part, short=2_000):
    """How much longer four times the text takes: the median of five."""

    def seconds(length):
        text = head + part * (length // len(part))
        start = time.thread_time()
        redact(text)
        return time.thread_time() - start

    return statistics.median(seconds(4 * short) / max(seconds(short), 0.0005) for _ in range(5))


@pytest.mark.parametrize(
    ("head", "part"),
    [('token="', "\\"), ('"password": "', "\\"), ('[["authorization", "', "\\"), ("", "token:"), ("", "secret://"),
     ("", "token:[redacted]"), ("", "pwd=/"), ("x ", "eyJa-")],
)  # fmt: skip
def test_four_times_the_text_takes_about_four_times_as_long(head, part):
    assert growth(head, part, 8_000) < 12


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(
    ['"', "'", "\\", "[", "(", "{", "}", ",", ":", "=", "@", "%40", "%20", "/", "://", "?", "&", " ", ".", "-", "_", "a", "1",
     "A", "eyJ", "sk-", "re_", "SG.", "nvapi-", "gw_prod_", "token", "password", "api_key", "cookie", "A_KEY", "X-A-Key",
     "bearer ", "Basic ", "git@", ".png", "b'", "[redacted]", "pwd", "authorization"]
), min_size=1, max_size=5))  # fmt: skip
def test_no_repeated_fragment_takes_the_square_of_its_length(parts):
    assert growth("".join(parts[:2]), "".join(parts)) < 12


@pytest.mark.parametrize("head", ['token="', '"password": "', '[["authorization", "'])
def test_a_long_hostile_line_does_not_hold_the_process(head):
    start = time.thread_time()
    redact(head + "\\" * 256_000)
    assert time.thread_time() - start < 9, "three seconds on a slow machine, and slack"


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

    short, long = (min(seconds(length) for _ in range(2)) for length in (100_000, 1_000_000))
    assert long < 40 * max(short, 0.005), "ten times the text, ten times the time"


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "db.password", "API_KEY", "apiKey", "api.key", "x-api-key", "access_token", "client_secret",
     "http.request.header.authorization", "http.request.header.x_api_key", "proxy-authorization", "cookie", "Set-Cookie",
     "http.response.header.set_cookie", "request.cookies", "SUPABASE_KEY", "X-Some-Key", "http.request.header.x-auth-key"],
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
     "key", "cache_key", "monkey", "password_changed", "cookie_banner", "http.cookie.name", "fortune_cookie", "",
     "eos_token", "per_token", "time_to_first_token", "CACHE_KEY", "Idempotency-Key"],
)  # fmt: skip
def test_names_that_only_sound_secret_tell_nothing(name):
    value = ["x"]
    assert not is_secret(name)
    assert hidden(name, value) is value
    assert hidden(name, "to bob@example.com") == "to [redacted]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", None),
        ("password", ""),
        ("has_password", True),
        ("llm.token", 17),
        ("token", 1.5),
        ("max_token", "4096"),
    ],
)
def test_a_value_that_tells_nothing_stays_whatever_its_name(name, value):
    assert hidden(name, value) is value


@pytest.mark.parametrize(("name", "value"), [("password", 1234), ("token", "17"), ("api_key", ("a", "b"))])
def test_a_value_behind_a_secret_name_is_hidden_whatever_its_type(name, value):
    assert hidden(name, value) == "[redacted]"
