"""Hides secrets and e-mail addresses in text that leaves the process: log lines, span attributes."""

import re
from collections.abc import Iterator
from typing import Final

HIDDEN: Final = "[redacted]"

_STARTS = (
    "@ %40 bearer basic sk- sk_live_ sk_test_ pk_live_ pk_test_ gw_ aiza xai- gsk_ hf_ pplx- akia asia "
    "gho_ ghp_ ghr_ ghs_ ghu_ github_pat_ glpat- xox eyj"
)
_NAME_ENDS = "key password passwd passphrase pwd secret token authorization"
_SUSPICIOUS = re.compile(
    "|".join((*_STARTS.split(), *(rf"""{name}(?:\\*["'])?\s{{0,4}}[:=]""" for name in _NAME_ENDS.split())))
)
"""Finds in lower-case text whatever the patterns below would. Branches that all begin with a literal make it a fast scan."""

# A word may begin behind an escape: in JSON text `\nsk-…` is a line break and a key, and its `n` must stay.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
_TAIL = r"(?=[a-z]{24}|[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}"  # not the plain words of `hf_transformers`

_URL_PASSWORD = re.compile(r"""(://[^\s/?#@:"'\\]{0,256}:)(?!\[redacted\]@)(?:[^\s/"'\\]|\\["\\/])+@""")

_BEARER = re.compile(
    r"(\bbearer[ \t]+)(?!(?:auth\w*|credentials?|errors?|format|from|has|header|in|is|must|or|realm|schemes?|tokens?|was|with)\b(?![-.+/~=]))"
    r"[A-Za-z0-9._~+/=-]+",
    re.IGNORECASE | re.ASCII,
)
_BASIC = re.compile(r"(\bBasic[ \t]+)(?=[A-Za-z0-9+/][a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{6,}={0,2}")

_KEY = re.compile(
    _START
    + "(?:"
    + "|".join(
        (
            r"sk-[A-Za-z0-9_-]{6,}",  # OpenAI, OpenRouter, Anthropic
            r"[sp]k_(?:live|test)_[A-Za-z0-9]{6,}",
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
_NAMES = r"api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|passw(?:or)?d|passphrase|(?<![A-Za-z])pwd|secret|token|authorization"
_PAIR = re.compile(
    rf"""(?P<name>{_NAMES})(?P<key_quote>\\*["'])?\s{{0,4}}(?P<sign>[:=])\s{{0,4}}(?P<quote>\\*["'])?"""
    r"(?:(?:bearer|basic|digest|token|apikey)[ \t]+)?",
    re.IGNORECASE | re.ASCII,
)
_SECRET_NAME = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE | re.ASCII)
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
    found = _hide_pairs(found)
    found = _EMAIL.sub(HIDDEN, found)
    return text if found == text else found


def is_suspicious(text: str) -> bool:
    """Whether `redact` might find something in `text`: false for nearly every text, and found out at little cost."""
    return _SUSPICIOUS.search(text.lower()) is not None


def is_secret(name: str) -> bool:
    """Whether a field of this name is to be hidden, whatever its value."""
    return _SECRET_NAME.search(name) is not None


def _hide_pairs(text: str) -> str:
    """Hide what stands behind a telling name: `api_key=…`, `"password": "…"`, `Authorization: …`."""
    pieces: list[str] = []
    done = 0
    while pair := _PAIR.search(text, done):
        pieces.append(text[done : pair.end()])
        done, hidden = _hide_value(text, pair)
        pieces.append(hidden)
    return "".join((*pieces, text[done:])) if pieces else text


def _hide_value(text: str, pair: re.Match[str]) -> tuple[int, str]:
    """Where the value of a pair ends, and what to write in its stead."""
    start = pair.end()
    if quote := pair["quote"]:
        if len(quote) < len(pair["key_quote"] or "") or _STRING_ENDS.match(text, start):
            return start, ""  # the quote closes the string that the name is in
        end = _closing(text, start, quote)
        return end, text[start:end] if text[start:end].lower() in _TELLS_NOTHING else HIDDEN
    return _hide_bare_value(text, pair)


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
