"""Keeps secrets out of everything that is printed: those that are known, and what looks like one in an address."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
# Shorter than this a "secret" is a word of the language, and hiding it would only garble the text.
_SHORTEST = 4
# A part of a word, not past a quote: what was a JSON document stays one.
_PART = r"""(?:[^\s"'`<>\\]|\\[^"'\snrt])"""
_WORD = re.compile(rf"{_PART}+")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^/?#:@\[\]]*)(?::\d{1,5})?[/?#]")
# As Go quotes an address without its scheme; without a port it would be what many a name is.
_BARE = re.compile(r"[^/:@]+:[^/@]+@[\w.\[\]-]+:\d")
# What Go does not leave as it is in JSON.
_OF_HTML = re.compile("[<>&]")
_PARAMETER = re.compile(
    r"((?:[?&;]|\\u0026)[\w.\[\]-]{0,60}(?:token|secret|passw|pwd|key|auth|signature|credential|session|sig)[\w.\[\]-]{0,60}=)"
    rf"(?:(?![&;#]|\\u0026){_PART})+",
    re.IGNORECASE,
)


class Redactor:
    """Replaces each known secret, in the spellings in which it travels, and the users and tokens of addresses."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know nothing but the secrets given."""
        self._spellings: set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on; of an address with a password, the password."""
        for secret in secrets:
            for part in _parts(secret):
                if len(part) >= _SHORTEST:
                    self._spellings.update(_spellings(part))

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        for spelling in sorted(self._spellings, key=len, reverse=True):
            text = text.replace(spelling, HIDDEN)
        return masked(text)


def masked(text: str) -> str:
    """Hide the users, passwords and tokens of all addresses in a text; to be done before it is cut."""
    return _PARAMETER.sub(rf"\1{HIDDEN}", _WORD.sub(_without_user, text))


def address(url: str) -> str:
    """Show an address that may be written wrongly: all that may be a user or a password is left out, in any form."""
    return re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", rf"\1{HIDDEN}@", url, flags=re.DOTALL)


def passwords(values: Iterable[str]) -> list[str]:
    """List the passwords and tokens in the user parts of addresses."""
    return [part for value in values for part in _userinfo(value)]


def _without_user(found: re.Match[str]) -> str:
    """Hide all between `://` and the last `@`, whatever stands in the password, unless a host and its path do."""
    word = found[0]
    end = word.rfind("@")
    for scheme in re.finditer("://", word[: max(end, 0)]):
        if not _HOST.match(word, scheme.end(), end):
            return f"{word[: scheme.end()]}{HIDDEN}{word[end:]}"
    return f"{HIDDEN}{word[end:]}" if _BARE.match(word) else word


def _parts(secret: str) -> list[str]:
    return [secret, *_userinfo(secret)]


def _userinfo(value: str) -> list[str]:
    try:
        parts = urlsplit(value)
    except ValueError:
        return []
    return [part for part in (parts.password, unquote(parts.password or "")) if part]


def _spellings(secret: str) -> set[str]:
    written = json.dumps(secret)[1:-1]
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        html.escape(secret),
        written,
        _OF_HTML.sub(lambda sign: f"\\u{ord(sign[0]):04x}", written),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        b64encode(secret.encode()).decode(),
    }
