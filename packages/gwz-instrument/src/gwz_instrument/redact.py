"""Hides secrets and e-mail addresses in text that leaves the process: log lines, span attributes."""

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

HIDDEN: Final = "[redacted]"

_STARTS = (
    "@ %40 bearer basic sk- k_live_ k_test_ hsec_ gw_ aiza xai- gsk_ hf_ pplx- akia asia "
    "gho_ ghp_ ghr_ ghs_ ghu_ github_pat_ glpat- xox eyj"
)
_NAME_ENDS = "key password passwd passphrase pwd secret token authorization kies?"
_SUSPICIOUS = re.compile(
    "|".join(
        (
            *_STARTS.split(),
            *(rf"""{name}(?:\\*["']\s{{0,4}},|(?:\\*["'])?\s{{0,4}}[:=])""" for name in _NAME_ENDS.split()),
        )
    )
)
"""Finds in lower-case text whatever the patterns below would. Branches that all begin with a literal make it a fast scan,
and the fewer letters they begin with the better: `whsec_` and `cookie` are found by their ends."""

# A word may begin behind an escape: in JSON text `\nsk-…` is a line break and a key, and its `n` must stay.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
_TAIL = r"(?=[a-z]{24}|[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}"  # not the plain words of `hf_transformers`

_URL_PASSWORD = re.compile(r"""(://[^\s/?#@:"'\\]{0,256}:)(?!\[redacted\]@)(?:[^\s/"'\\]|\\["\\/])+@""")

_BLANKS = r"(?:[ \t]+|(?:%20)+)"
_ENCODED = r"%[0-9A-Fa-f]{2}"
_WORD_STARTS = rf"(?:\b|(?<={_ENCODED}))"
_BEARER = re.compile(
    rf"({_WORD_STARTS}bearer{_BLANKS})(?!(?:auth\w*|credentials?|errors?|format|from|has|header|in|is|must|or|realm|schemes?|tokens?|was|with)\b(?![-.+/~=]))"
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
            r"c?sk-[A-Za-z0-9_-]{6,}",  # OpenAI, OpenRouter, Anthropic, Cerebras
            r"[prs]k_(?:live|test)_[A-Za-z0-9]{6,}",  # Stripe
            r"whsec_[A-Za-z0-9+/]{6,}={0,2}",
            r"gw_(?:live|test|staging|dev|development|temp)_[A-Za-z0-9_-]+",
            r"AIza[A-Za-z0-9_-]{16,}",
            r"(?:xai-|gsk_|hf_|pplx-)" + _TAIL,
            r"A[KS]IA[A-Z0-9]{12,}",
            r"gh[oprsu]_[A-Za-z0-9]{16,}",
            r"github_pat_[A-Za-z0-9_]{16,}",
            r"glpat-[A-Za-z0-9_-]{16,}",
            r"xox[abeprs]-[A-Za-z0-9-]{8,}",
            r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",  # JWT
        )
    )
    + ")"
)
_NAMES = r"(?:api|access|private|secret)[_.-]?key|passw(?:or)?d|passphrase|(?<![A-Za-z])pwd|secret|token|authorization"
_COOKIE = r"(?:set[_-])?cookie"  # not in prose
_PAIR = re.compile(
    rf"""(?P<name>{_NAMES}|(?<=["']){_COOKIE}(?=\\*["']))(?P<key_quote>\\*["'])?\s{{0,4}}(?P<sign>[:=])\s{{0,4}}(?:(?:\[\s{{0,4}})?(?P<quote>\\*["']))?"""
    r"(?:(?:bearer|basic|digest|token|apikey)[ \t]+)?",
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
_QUERY_KEY = re.compile(r"""((?:[?&;]|\\u0026)key=)(?!\[redacted\])[^\s&"'\\<>;,]+""", re.IGNORECASE | re.ASCII)
_BARE = re.compile(r"""[^\s&"'\\<>;,]+""")
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_QUOTE = re.compile(r"""(\\*)(["'])""")
_STRING_ENDS = re.compile(r"\s*(?:[,}\]:]|$)")  # what stands behind a quote that closes a string of JSON
_TELLS_NOTHING = frozenset({"", "none", "null", "true", "false", HIDDEN})

_EMAIL = re.compile(
    r"(?:(?<![\\\w.+%-])|(?<=\\[^u\\])|(?<=\\u)(?![0-9a-fA-F]{4})|(?<=\\u[0-9a-fA-F]{4}))"
    r"[\w.+%-]+?(?:@|%40)(?:[\w-]+\.)+[A-Za-z]{2,}"
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
        return not value
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
        return _hide_quoted(text, pair.end(), quote, pair["key_quote"] or "")
    return _hide_bare_value(text, pair)


def _hide_quoted(text: str, start: int, quote: str, name_quote: str) -> tuple[int, str]:
    if len(quote) < len(name_quote) or _STRING_ENDS.match(text, start):
        return start, ""  # the quote closes the string that the name is in
    end = _closing(text, start, quote)
    return end, text[start:end] if text[start:end].lower() in _TELLS_NOTHING else HIDDEN


def _hide_bare_value(text: str, pair: re.Match[str]) -> tuple[int, str]:
    start, wordy = pair.end(), pair["name"].lower() in ("token", "secret")
    if pair["key_quote"]:  # JSON: a number is a value, all else has quotes or tells nothing
        number = None if wordy else _NUMBER.match(text, start)
        return (start, "") if number is None else (number.end(), f"{pair['key_quote']}{HIDDEN}{pair['key_quote']}")
    value = _BARE.match(text, start)
    if value is None:
        return start, ""
    word = HIDDEN if value[0].startswith(HIDDEN) else value[0].rstrip(".)]}")
    if not word or word.lower() in _TELLS_NOTHING or _is_prose(word, pair, wordy=wordy):
        return start, ""
    return start + len(word), HIDDEN


def _is_prose(word: str, pair: re.Match[str], *, wordy: bool) -> bool:
    """Whether a value is none: `token: expected`, `token=5`, `PWD=/app`."""
    if wordy and pair["sign"] == ":":
        return len(word) < 8 or not any(character.isdigit() for character in word)
    return (wordy and word.isdigit()) or (pair["name"].lower() == "pwd" and word.startswith("/"))


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
