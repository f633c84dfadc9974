"""Reads the JSON endpoints as a person's script does: a token, a path, parameters; and waits when it is told to."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

_TIMEOUT_S = 10.0
_PAUSE_S = 0.2
_TRIES = 25
_WINDOW = ("source", "from", "to", "complete", "exact")
_FLAGS = {"true": True, "false": False}


class Asked(Protocol):
    """What an answer is to."""

    @property
    def path(self) -> str:
        """Whom it was asked."""

    @property
    def about(self) -> Mapping[str, str]:
        """What stands in the path."""

    @property
    def parameters(self) -> Mapping[str, str | int]:
        """What stands behind it."""


@dataclass(frozen=True)
class Answer:
    """What was answered, and when it was asked for."""

    question: Asked
    asked_at: float
    headers: Mapping[str, str]
    body: Any = field(repr=False)

    def parameter(self, name: str, default: str = "") -> str:
        """What was asked with."""
        return str(self.question.parameters.get(name, default))

    def window(self, name: str) -> Any:
        """What it says of its window."""
        return self.seen[name]

    @property
    def seen(self) -> Any:
        """The object; of a list what its headers say of its window, and its `rows`."""
        if not isinstance(self.body, list):
            return self.body
        said = {name: self.headers.get(f"gwz-{name}") for name in _WINDOW}
        return {**{name: _FLAGS.get(str(value), value) for name, value in said.items()}, "rows": self.body}


class NoAnswer(Exception):  # noqa: N818  # a finding, no error
    """An endpoint did not answer 200; the message says what it answered."""


class Reader:
    """Who shows a token and asks. Thread-safe."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)

    def ask(self, question: Asked) -> Answer:
        """The answer to a question; NoAnswer if there is none, though it was asked again after 429."""
        asked_at = time.time()
        response = self.get(question.path, question.parameters)
        if response.status_code != httpx.codes.OK:
            raise NoAnswer(f"{question} answers {response.status_code}: {response.text[:300]}")
        return Answer(question, asked_at, response.headers, response.json())

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> httpx.Response:
        """Whatever is answered, once it is not that this reader asks too often."""
        for _ in range(_TRIES):
            response = self._client.get(path, params=dict(parameters) if parameters else None)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(_PAUSE_S)
        return response

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Whatever is answered, at once."""
        return self._client.request(method, path, **more)
