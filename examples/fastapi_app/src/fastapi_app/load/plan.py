"""From a seed to the list of requests to make, each with the ledger entry that it will cause."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi_app.accounts import BROKE, PAUSED, PAYING, REVOKED
from fastapi_app.catalog import MODELS, PROVIDERS, Model, models_of
from fastapi_app.load.ledger import UNMATCHED_ROUTE, Entry, Outcome
from fastapi_app.load.workload import Sample
from fastapi_app.providers.behaviour import METADATA_KEY, Behaviour, Deed
from fastapi_app.settings import Settings

LONGEST_GAP_S = 1.5
"""Longer gaps of the workload are clipped before the speed divides them."""

_CHAT = "/v1/chat/completions"
_CHUNKS = 4
_MOST_WORDS = 20_000


class Leave(StrEnum):
    """Where the client closes the connection."""

    BEFORE_ANSWER = "before_answer"
    IN_STREAM = "in_stream"


@dataclass(frozen=True)
class Planned:
    """One request to make, when, and what it will have caused."""

    at_s: float
    kind: str
    path: str
    body: dict[str, Any] | None
    leave: Leave | None
    entry: Entry


@dataclass(frozen=True)
class _Chat:
    """A kind of chat request: what the provider does and what becomes of it."""

    deed: Deed
    status: int
    outcome: Outcome
    stream: bool = False
    leave: Leave | None = None
    delay_s: float | None = None
    """Fixed where the kind decides it, else drawn."""
    falls_back: bool = False
    """The client names no provider, and the first that serves the model fails."""
    estimated: bool = False
    """The provider reports no usage."""
    broke: bool = False
    """The customer cannot be charged."""


@dataclass(frozen=True)
class _Plain:
    """A kind of request that no provider sees."""

    method: str
    route: str
    status: int
    api_key: str | None = None
    """The key of a chat that is refused."""


_LEAVE_S = 0.75  # a wide bucket, because the gateway polls every 50 ms; late enough to find the request in its hands
_TIMEOUT_S = Settings.provider_timeout_s

_CHATS = {
    "ok": (440, _Chat(Deed.OK, 200, Outcome.SUCCESS)),
    "ok_stream": (240, _Chat(Deed.OK, 200, Outcome.SUCCESS, stream=True)),
    "fallback": (25, _Chat(Deed.OK, 200, Outcome.SUCCESS, falls_back=True)),
    "fallback_stream": (15, _Chat(Deed.OK, 200, Outcome.SUCCESS, stream=True, falls_back=True)),
    "estimated": (15, _Chat(Deed.OK, 200, Outcome.SUCCESS, estimated=True)),
    "broke": (10, _Chat(Deed.OK, 200, Outcome.SUCCESS, broke=True)),
    "provider_500": (25, _Chat(Deed.ERROR, 502, Outcome.ERROR)),
    "provider_429": (25, _Chat(Deed.BUSY, 429, Outcome.ERROR)),
    "reset": (20, _Chat(Deed.RESET, 503, Outcome.ERROR)),
    "timeout": (10, _Chat(Deed.HANG, 504, Outcome.TIMEOUT, delay_s=_TIMEOUT_S)),
    "malformed": (10, _Chat(Deed.MALFORMED, 500, Outcome.ERROR)),
    "stream_broken": (20, _Chat(Deed.BREAK, 200, Outcome.STREAM_ERROR, stream=True)),
    "leave_before": (20, _Chat(Deed.HANG, 499, Outcome.CLIENT_DISCONNECTED, False, Leave.BEFORE_ANSWER, _LEAVE_S)),
    "leave_in_stream": (20, _Chat(Deed.HOLD, 200, Outcome.CLIENT_DISCONNECTED, True, Leave.IN_STREAM, _LEAVE_S)),
}
_PLAINS = {
    "models": (50, _Plain("GET", "/v1/models", 200)),
    "model": (50, _Plain("GET", "/v1/models/{model_name:path}", 200)),
    "unknown_model": (20, _Plain("GET", "/v1/models/{model_name:path}", 404)),
    "usage": (20, _Plain("GET", "/v1/usage", 200)),
    "unmatched": (15, _Plain("GET", UNMATCHED_ROUTE, 404)),
    "wrong_method": (10, _Plain("DELETE", "/v1/models", 405)),
    "invalid_body": (10, _Plain("POST", _CHAT, 422)),
    "unknown_key": (10, _Plain("POST", _CHAT, 401, "gw-nobody")),
    "revoked_key": (5, _Plain("POST", _CHAT, 401, REVOKED.api_key)),
    "asked_enough": (10, _Plain("POST", _CHAT, 429, PAUSED.api_key)),
}
_WEIGHTS = {kind: weight for kind, (weight, _) in {**_CHATS, **_PLAINS}.items()}
KINDS = tuple(_WEIGHTS)

# Each in the middle of a bucket of the duration histograms.
_DELAYS_S = {0.075: 50, 0.175: 34, 0.375: 11, 0.75: 4, 1.75: 1}


def make_plan(
    seed: int, requests: int, samples: Iterator[Sample], *, speed: float = 6.0, traced: bool = True
) -> list[Planned]:
    """Plan the requests, by arrival. The same arguments give the same plan; other seeds give other ids and trace ids.

    From 100 requests on, every kind and every provider occurs.
    """
    return list(_Planner(seed, samples, speed, traced=traced).plan(requests))


class _Planner:
    def __init__(self, seed: int, samples: Iterator[Sample], speed: float, *, traced: bool) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._samples = samples
        self._speed = speed
        self._traced = traced
        self._providers = _decks(PROVIDERS, self._rng)

    def plan(self, requests: int) -> Iterator[Planned]:
        at_s = 0.0
        for number, kind in enumerate(self._kinds(requests)):
            sample = next(self._samples)
            at_s += min(sample.gap_s, LONGEST_GAP_S) / self._speed
            if kind in _CHATS:
                yield self._chat(number, at_s, kind, sample)
            else:
                yield self._plain(number, at_s, kind)

    def _kinds(self, requests: int) -> Sequence[str]:
        """Deal every kind once, the rest by weight."""
        dealt = list(KINDS[:requests])
        dealt += self._rng.choices(KINDS, list(_WEIGHTS.values()), k=requests - len(dealt))
        self._rng.shuffle(dealt)
        return dealt

    def _chat(self, number: int, at_s: float, kind: str, sample: Sample) -> Planned:
        _, chat = _CHATS[kind]
        model, provider, failed_first = self._choose(chat)
        customer = BROKE if chat.broke else self._rng.choice(PAYING)
        words = min(sample.input_tokens, _MOST_WORDS)
        input_tokens = words if chat.estimated else sample.input_tokens
        delay_s = chat.delay_s or self._rng.choices(list(_DELAYS_S), list(_DELAYS_S.values()))[0]
        behaviour = Behaviour(
            chat.deed,
            delay_s,
            input_tokens,
            sample.output_tokens,
            _CHUNKS,
            fails_at=failed_first or "",
            usage=not chat.estimated,
        )
        body = {
            "model": model.id,
            "provider": None if chat.falls_back else provider,
            "messages": [{"role": "user", "content": "word " * words}],
            "max_tokens": max(1, sample.output_tokens),
            "stream": chat.stream,
            "metadata": {METADATA_KEY: behaviour.to_text()},
        }
        completed = chat.outcome is Outcome.SUCCESS
        entry = Entry(
            id=self._id(number),
            method="POST",
            route=_CHAT,
            status=chat.status,
            outcome=chat.outcome,
            provider=provider,
            model=model.id,
            input_tokens=input_tokens if completed else None,
            output_tokens=sample.output_tokens if completed else None,
            cost_usd=model.cost_usd(input_tokens, sample.output_tokens) if completed else None,
            stream=chat.stream,
            planned_delay_s=delay_s,
            trace_id=self._trace_id(),
            api_key=customer.api_key,
            failed_first=failed_first,
            estimated=chat.estimated,
        )
        return Planned(at_s, kind, _CHAT, body, chat.leave, entry)

    def _choose(self, chat: _Chat) -> tuple[Model, str, str | None]:
        """A model, who answers for it, and who fails before."""
        if chat.falls_back:
            model = self._rng.choice(MODELS)
            return model, model.providers[1], model.providers[0]
        provider = next(self._providers)
        return self._rng.choice(models_of(provider)), provider, None

    def _plain(self, number: int, at_s: float, kind: str) -> Planned:
        _, plain = _PLAINS[kind]
        model = self._rng.choice(MODELS).id
        path = {
            "model": f"/v1/models/{model}",
            "unknown_model": f"/v1/models/unknown/model-{number}",
            "unmatched": f"/v2/nothing/{number}",
        }.get(kind, plain.route)
        body: dict[str, Any] | None = {"model": model, "messages": []} if kind == "invalid_body" else None
        if plain.api_key:
            body = {"model": model, "messages": [{"role": "user", "content": "word"}]}
        entry = Entry(
            id=self._id(number),
            method=plain.method,
            route=plain.route,
            status=plain.status,
            outcome=Outcome.SUCCESS if plain.status < 400 else Outcome.ERROR,
            provider=None,
            model=None,
            input_tokens=None,
            output_tokens=None,
            cost_usd=None,
            stream=False,
            planned_delay_s=0.0,
            trace_id=self._trace_id(),
            api_key=plain.api_key,
        )
        return Planned(at_s, kind, path, body, None, entry)

    def _id(self, number: int) -> str:
        return f"load-{self._seed}-{number}"

    def _trace_id(self) -> str | None:
        # The last 16 digits double as the span id, which must not be zero.
        trace_id = f"{self._rng.getrandbits(128) | 1:032x}"
        return trace_id if self._traced else None


def _decks(cards: Iterable[str], rng: random.Random) -> Iterator[str]:
    """Deal shuffled decks without end: each card once before any comes again."""
    while True:
        deck = list(cards)
        rng.shuffle(deck)
        yield from deck
