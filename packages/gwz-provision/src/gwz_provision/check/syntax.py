"""The base of our own parsers: tokens, and errors that know their column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from gwz_provision.check.findings import Problem, Unparsable

LONGEST = 64 * 1024
DEEPEST = 200


@dataclass(frozen=True)
class Token:
    """A piece of a query: its kind, its text, and where it starts."""

    kind: str
    text: str
    start: int


def tokenized(text: str, pattern: re.Pattern[str], language: str) -> list[Token]:
    """Split a query by the named groups of a pattern; `space` is dropped, `stray` is an error, the last token is the end."""
    if len(text) > LONGEST:
        raise Unparsable(Problem(f"{language}/size", f"the query has {len(text)} characters.", "Split it."))
    tokens = []
    for found in pattern.finditer(text):
        if found.lastgroup == "stray":
            raise unparsable(language, _stray(found[0]), "Remove it, or close what it opens.", found.start())
        if found.lastgroup != "space":
            tokens.append(Token(str(found.lastgroup), found[0], found.start()))
    return [*tokens, Token("end", "", len(text.rstrip()))]


def _stray(text: str) -> str:
    return "a string has no end" if text in "\"'`" else f"{text!r} has no meaning here"


def unparsable(language: str, sentence: str, cure: str, position: int) -> Unparsable:
    """Make the error of a query that cannot be parsed."""
    return Unparsable(Problem(f"{language}/syntax", f"{sentence}.", cure, position + 1))


class Parser:
    """A recursive-descent parser's place in its tokens."""

    language = ""
    grammar = ""

    def __init__(self, tokens: Sequence[Token]) -> None:
        """Start at the first token."""
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._index]

    def ahead(self, count: int = 1) -> Token:
        """Look at a later token."""
        return self._tokens[min(self._index + count, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Take the next token."""
        token = self.token
        self._index = min(self._index + 1, len(self._tokens) - 1)
        return token

    def at(self, *texts: str) -> bool:
        """Tell whether the next token is one of these, and no string."""
        return self.token.text in texts and self.token.kind != "string"

    def take(self, *texts: str) -> Token | None:
        """Take the next token if it is one of these."""
        return self.advance() if self.at(*texts) else None

    def expect(self, text: str, why: str = "") -> Token:
        """Take this token or fail."""
        if not self.at(text):
            self.fail(f"{text} is missing before {self.seen()}", why)
        return self.advance()

    def expect_kind(self, kind: str, wanted: str) -> Token:
        """Take a token of this kind or fail."""
        if self.token.kind != kind:
            self.fail(f"{wanted} is wanted, and {self.seen()} stands there")
        return self.advance()

    def seen(self) -> str:
        """Name the next token in a sentence."""
        return "the end" if self.token.kind == "end" else f"`{self.token.text}`"

    def fail(self, sentence: str, cure: str = "", token: Token | None = None) -> NoReturn:
        """Raise `Unparsable` at a token, by default the next one."""
        raise unparsable(self.language, sentence, cure or self.grammar, (token or self.token).start)

    def enter(self) -> None:
        """Count a level of nesting, and refuse too many: Python's own stack is not endless."""
        self._depth += 1
        if self._depth > DEEPEST:
            self.fail(f"the query nests more than {DEEPEST} levels", "Split it.")

    def leave(self) -> None:
        """Leave a level of nesting."""
        self._depth -= 1
