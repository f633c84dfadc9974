"""Keeps secrets out of everything that is printed."""

import json
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
# Shorter than this a "secret" is a word of the language, and hiding it would only garble the text.
_SHORTEST = 4


class Redactor:
    """Replaces each known secret, in the spellings in which it travels."""

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
        return text


def passwords(values: Iterable[str]) -> list[str]:
    """List the passwords and tokens in the user parts of addresses."""
    return [part for value in values for part in _userinfo(value)]


def _parts(secret: str) -> list[str]:
    return [secret, *_userinfo(secret)]


def _userinfo(value: str) -> list[str]:
    try:
        parts = urlsplit(value)
    except ValueError:
        return []
    return [part for part in (parts.password, unquote(parts.password or "")) if part]


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        b64encode(secret.encode()).decode(),
    }
