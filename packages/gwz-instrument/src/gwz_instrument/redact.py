"""Hides secrets and e-mail addresses in text that leaves the process: log lines, span attributes."""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

HIDDEN: Final = "[redacted]"

_STARTS = (
    "@ %40 bearer basic sk- k_live_ k_test_ hsec_ gw_ aiza xai- gsk_ hf_ pplx- akia asia "
    "gho_ ghp_ ghr_ ghs_ ghu_ github_pat_ glpat- xox eyj "
    r"_(?<=fw_|r8_) _(?<=cpk_|npg_|sbp_|vck_) _(?<=re_)[a-z0-9]{6,12}_[a-z0-9]{16} api-(?<=nvapi-) tgp_v1_ "
    r"sb_secret_ sg\.[a-z0-9_-]{16} sk_[a-z0-9]{16}"
)
_NAME_ENDS = "key password passwd passphrase pwd secret token authorization kies?"


def _any_of(branches: Iterable[str]) -> str:
    """A pattern for any of `branches`, each of which begins with a literal: one branch for each first letter."""
    grouped = itertools.groupby(sorted(branches), key=lambda branch: branch[0])
    return "|".join(f"{first}(?:{'|'.join(branch[1:] for branch in group)})" for first, group in grouped)


_SUSPICIOUS = re.compile(
    _any_of(
        (
            *_STARTS.split(),
            *(rf"""{name}(?:\\*["']\s{{0,4}},|(?:\\*["'])?\s{{0,4}}[:=])""" for name in _NAME_ENDS.split()),
        )
    )
)
"""Finds in lower-case text whatever the patterns below would. Branches that all begin with a literal make it a fast scan,
and the fewer letters they begin with the better: `whsec_` and `cookie` are found by their ends, `fw_` by its last."""

# A word may begin behind an escape: in JSON text `\nsk-…` is a line break and a key, and its `n` must stay.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
_TAIL = r"(?=[a-z]{24}|[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}"  # not the plain words of `hf_transformers`
_DASHED_TAIL = r"(?=[a-z_-]{0,80}[A-Z0-9])[A-Za-z0-9_-]{10,}"

_URL_PASSWORD = re.compile(
    r"""(://[^\s/?#@:"'\\]{0,256}:)(?!\[redacted\]@)"""
    r"""(?:(?:[^\s/"'\\]|\\["\\/])+|(?!\d{1,5}/)[^\s?#"'\\]{1,256})@"""  # an unescaped slash, but not behind a port
)

_BLANKS = r"(?:[ \t]+|(?:%20)+)"
_ENCODED = r"%[0-9A-Fa-f]{2}"
_WORD_STARTS = rf"(?:\b|(?<={_ENCODED}))"
_CHALLENGE = r"(?:authorization_uri|charset|error(?:_description|_uri)?|nonce|realm|resource_metadata|scope)="
_BEARER = re.compile(
    rf"({_WORD_STARTS}bearer{_BLANKS})(?!{_CHALLENGE})(?!(?:auth\w*|credentials?|errors?|format|from|has|header|in|is|must|or|realm|schemes?|tokens?|was|with)\b(?![-.+/~=]))"
    rf"(?:[A-Za-z0-9._~+/=-]|{_ENCODED})+",
    re.IGNORECASE | re.ASCII,
)
_BASIC = re.compile(
    rf"({_WORD_STARTS}Basic{_BLANKS})(?=[A-Za-z0-9+/][a-z]*[A-Z0-9+/=%])(?:[A-Za-z0-9+/]|{_ENCODED}){{6,}}={{0,2}}"
)

_KEY = re.compile(
    _START
    + "(?:"
    + "|".join(
        (
            # OpenAI, OpenRouter, Anthropic, Cerebras, but not the plain words of `sk-learning-rate`
            r"c?sk-(?=(?:admin|ant|or|proj|svcacct)-|[a-z_-]{0,80}[A-Z0-9]|[a-z]{16})[A-Za-z0-9_-]{6,}",
            r"sk_(?=[a-z]{24}|[a-z]*[A-Z0-9])[A-Za-z0-9]{16}[A-Za-z0-9_-]*",  # Novita, ElevenLabs
            r"[prs]k_(?:live|test)_[A-Za-z0-9]{6,}",  # Stripe
            r"whsec_[A-Za-z0-9+/]{6,}={0,2}",
            r"gw_(?:live|test|staging|dev|development|prod|temp)_[A-Za-z0-9_-]+",
            r"AIza[A-Za-z0-9_-]{16,}",
            r"(?:xai-|gsk_|hf_|pplx-|fw_|vck_|r8_|sbp_|npg_)" + _TAIL,
            rf"cpk_{_TAIL}(?:\.[A-Za-z0-9]{{8,}})*",  # Chutes
            r"(?:tgp_v1_|nvapi-|sb_secret_)" + _DASHED_TAIL,  # Together, NVIDIA, Supabase
            r"re_(?=[a-z_]{0,16}[A-Z0-9])[A-Za-z0-9]{6,12}_[A-Za-z0-9]{16,}",  # Resend
            r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
            r"A[KS]IA[A-Z0-9]{12,}",
            r"gh[oprsu]_[A-Za-z0-9]{16,}",
            r"github_pat_[A-Za-z0-9_]{16,}",
            r"glpat-[A-Za-z0-9_-]{16,}",
            r"xox[abeprs]-[A-Za-z0-9-]{8,}",
            r"eyJ[A-Za-z0-9_-]{6,1024}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",  # JWT
        )
    )
    + ")"
)
_PLAIN_KEYS = (
    "cache dedup duplicate foreign idempotency index lock object partition primary public routing socket sort surrogate "
    "unique"
)
_NOT_PLAIN = "".join(rf"(?<!{word}[_-]key)" for word in _PLAIN_KEYS.split())
_KEY_NAMES = (
    r"(?:access|api|auth|encryption|master|private|secret|signing|subscription)[_.-]?key"
    rf"|(?:(?-i:(?<=[A-Z0-9]_)KEY)|(?-i:(?<=[A-Za-z0-9]-)Key)){_NOT_PLAIN}"  # `SUPABASE_KEY`, `X-Some-Key`
)
_TOKENS = r"(?<!(?:bos|cls|eos|pad|per|sep|unk)[_.-])(?<!(?:mask|stop)[_.-])(?<!first[_.-])token"
_NAMES = rf"{_KEY_NAMES}|passw(?:or)?d|passphrase|(?<![A-Za-z])pwd|secret|{_TOKENS}|authorization"
_COOKIE = r"(?:set[_-])?cookie"  # not in prose
_PAIR = re.compile(
    rf"""(?P<name>{_NAMES}|(?<=["']){_COOKIE}(?=\\*["']))(?P<key_quote>\\*["'])?\s{{0,4}}(?P<sign>[:=])\s{{0,4}}(?:(?:\[\s{{0,4}})?b?(?P<quote>\\*["']))?"""
    rf"(?:(?:bearer|basic|digest|token|apikey){_BLANKS})?",
    re.IGNORECASE | re.ASCII,
)
_HEADER = re.compile(
    rf"""[\[(,]\s{{0,20}}[\[(]\s{{0,20}}b?(?P<name_quote>\\*["'])(?:[\w.-]{{0,100}}?(?:{_NAMES})|{_COOKIE})(?P=name_quote)"""
    r"""\s{0,20},\s{0,20}b?(?P<quote>\\*["'])""",
    re.IGNORECASE | re.ASCII,
)
"""Begins a pair of texts within a list, as of headers: `[('x-api-key', '…')]`, `[["authorization", "…"]]`."""
_SECRET_NAME = re.compile(rf"(?:{_NAMES}|(?:^|\.){_COOKIE}s?)$", re.IGNORECASE | re.ASCII)
_LONGEST_KNOWN: Final = 100  # names that are remembered
_LONGEST_PROSE: Final = (
    256  # prose is searched for names again: without a bound, `token:token:…` takes the square of its length
)
_QUERY_KEY = re.compile(r"""((?:[?&;]|\\u0026)key=)(?!\[redacted\])[^\s&"'\\<>;,]+""", re.IGNORECASE | re.ASCII)
_BARE = re.compile(r"""[^\s&"'\\<>;,]+""")
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_AMOUNT = re.compile(
    r"[-+]?\d{1,12}(?:\.\d{1,20})?(?:[eE][-+]?\d{1,3})?\s?(?:%|[kM]|[mnuµ]?s|sec(?:onds?)?|tokens?|USD)?"
)
_QUOTE = re.compile(r"""(?<!\\)(\\*)(["'])""")
"""Begins where a run of backslashes does: to begin at each of them takes the square of its length."""
_STRING_ENDS = re.compile(r"\s*(?:[,}\]:]|$)")  # what stands behind a quote that closes a string of JSON
_TELLS_NOTHING = frozenset({"", "none", "null", "true", "false", HIDDEN})
_ANSWERS = re.compile(
    "accepted|denied|disabled|enabled|expired|failed|granted|invalid|missing|ok|optional|rejected|required",
    re.IGNORECASE,
)
_WORD_BEGINS = re.compile(r"(?<![\w.-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4})", re.ASCII)

_FILE = "(?:7z|avif|bmp|bz2|gif|gz|ico|jpe?g|png|rar|svg|tar|tgz|tiff?|webp|whl|xz|zip)"
_EMAIL = re.compile(
    r"(?:(?<![\\\w.+%-])|(?<=\\[^u\\])|(?<=\\u)(?![0-9a-fA-F]{4})|(?<=\\u[0-9a-fA-F]{4}))"
    rf"(?!git(?:@|%40))[\w.+%-]+?(?:@|%40)(?![\w.-]{{0,253}}?\.{_FILE}(?!\.?[\w-]))(?:[\w-]+\.)+[A-Za-z]{{2,}}"
)


def redact(text: str) -> str:
    """Return `text` with bearer tokens, API keys, passwords and e-mail addresses replaced by `[redacted]`.

    The same object comes back when there is nothing to hide. JSON stays JSON. The time taken grows with
    the length of the text and no faster, whatever it holds.
    """
    if not is_suspicious(text):
        return text
    found = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    found = _BEARER.sub(rf"\1{HIDDEN}", found)
    found = _BASIC.sub(rf"\1{HIDDEN}", found)
    found = _KEY.sub(HIDDEN, found)
    found = _QUERY_KEY.sub(rf"\1{HIDDEN}", found)
    found = _hide_pairs(_hide_headers(found))
    found = _EMAIL.sub(HIDDEN, found)
    return text if found == text else found


def is_suspicious(text: str) -> bool:
    """Whether `redact` might find something in `text`: false for nearly every text, and found out at little cost."""
    return _SUSPICIOUS.search(text.lower()) is not None


def is_secret(name: str) -> bool:
    """Whether what has this name is a secret: `api_key`, `db.password`, `http.request.header.authorization`."""
    return _is_known_secret(name) if len(name) <= _LONGEST_KNOWN else _SECRET_NAME.search(name) is not None


def hidden(name: str, value: Any) -> Any:
    """`value` as it may leave under `name`: `[redacted]` for all of a secret, else text without the secrets in it.

    The same object comes back when there is nothing to hide. None, booleans, empty text and the number of a `…token`
    are no secrets. Values that are neither text nor a secret's come back as they are, whatever is in them.
    """
    if is_secret(name) and not _is_harmless(name, value):
        return HIDDEN
    return redact(value) if isinstance(value, str) else value


@functools.lru_cache(1024)
def _is_known_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _is_harmless(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return not value or _is_amount(name, value)
    if value is None or isinstance(value, bool):
        return True
    return isinstance(value, (int, float)) and name.lower().endswith("token")


def _hide_headers(text: str) -> str:
    """Hide the second of each pair within a list whose first is a telling name."""
    pieces: list[str] = []
    done = 0
    while pair := _HEADER.search(text, done):
        pieces.append(text[done : pair.end()])
        done, instead = _hide_quoted(text, pair.end(), pair["quote"], pair["name_quote"])
        pieces.append(instead)
    return "".join((*pieces, text[done:])) if pieces else text


def _hide_pairs(text: str) -> str:
    """Hide what stands behind a telling name: `api_key=…`, `"password": "…"`, `Authorization: …`."""
    pieces: list[str] = []
    done = 0
    while pair := _PAIR.search(text, done):
        pieces.append(text[done : pair.end()])
        done, instead = _hide_value(text, pair)
        pieces.append(instead)
    return "".join((*pieces, text[done:])) if pieces else text


def _hide_value(text: str, pair: re.Match[str]) -> tuple[int, str]:
    """Where the value of a pair ends, and what to write in its stead."""
    if quote := pair["quote"]:
        start = pair.end()
        end, instead = _hide_quoted(text, start, quote, pair["key_quote"] or "")
        return end, text[start:end] if _is_amount(_name_of(text, pair), text[start:end]) else instead
    return _hide_bare_value(text, pair)


def _name_of(text: str, pair: re.Match[str]) -> str:
    """The name of a pair, `…token` where more stands in front of it."""
    return pair["name"] if _WORD_BEGINS.match(text, pair.start("name")) else f"…{pair['name']}"


def _is_amount(name: str, value: str) -> bool:
    """Whether this is no secret but telemetry: `max_token="4096"`. A code to log in with is a plain `token`."""
    return len(name) > len("token") and name[-5:].lower() == "token" and _AMOUNT.fullmatch(value) is not None


def _hide_quoted(text: str, start: int, quote: str, name_quote: str) -> tuple[int, str]:
    if len(quote) < len(name_quote) or _STRING_ENDS.match(text, start):
        return start, ""  # the quote closes the string that the name is in
    end = _closing(text, start, quote)
    return end, text[start:end] if text[start:end].lower() in _TELLS_NOTHING else HIDDEN


def _hide_bare_value(text: str, pair: re.Match[str]) -> tuple[int, str]:
    start = pair.end()
    if pair["key_quote"]:  # JSON: a number is a value, all else has quotes or tells nothing
        number = None if pair["name"].lower() == "token" else _NUMBER.match(text, start)
        return (start, "") if number is None else (number.end(), f"{pair['key_quote']}{HIDDEN}{pair['key_quote']}")
    value = None if text.startswith(HIDDEN, start) else _BARE.match(text, start)
    if value is None:
        return start, ""
    word = _without_closers(value[0])
    if not word or word.lower() in _TELLS_NOTHING or _is_prose(word, _name_of(text, pair).lower(), pair["sign"]):
        return start, ""
    return start + len(word), HIDDEN


def _without_closers(word: str) -> str:
    stripped = word.rstrip(".)]}")
    return f"{stripped}]" if stripped.endswith(HIDDEN[:-1]) else stripped


def _is_prose(word: str, name: str, sign: str) -> bool:
    """Whether a value is none: `token: expected`, `token=5`, `PWD=/app`, `authorization: granted`."""
    if len(word) > _LONGEST_PROSE:
        return False
    if name.endswith("token") and _AMOUNT.fullmatch(word):
        return True
    if name in ("token", "secret") and sign == ":":
        return len(word) < 8 or not any(character.isdigit() for character in word)
    if name.endswith("authorization"):
        return _ANSWERS.fullmatch(word) is not None
    return name.endswith("pwd") and word.startswith("/")


def _closing(text: str, start: int, quote: str) -> int:
    """Where the string that `quote` opened ends: at its like, or at the end of a string around it."""
    depth, mark = len(quote) - 1, quote[-1]
    for match in _QUOTE.finditer(text, start):
        run = len(match[1])
        if mark == '"' == match[2]:
            for own in _depths(depth):
                if run % (2 * (own + 1)) == own:
                    return match.end(1) - own
        elif mark == "'" and run % 2 == 0:
            return match.end(1)
    return len(text)


def _depths(depth: int) -> Iterator[int]:
    """The backslashes that a quote has, from the outermost string of JSON within JSON to one with `depth`.

    Each string in a string doubles them and adds one: 0, 1, 3, 7. Within the content of a string that is closed by a quote
    with n of them, a backslash is written as 2(n + 1), so that a run of backslashes tells whose quote stands behind it.
    """
    own = 0
    while own < depth:
        yield own
        own = 2 * own + 1
    yield depth
