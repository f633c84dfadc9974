"""Loki, as lines are pushed to it and asked of it."""

import gzip
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.redact import redact
from gwz_instrument.semconv import logs
from gwz_instrument.settings import Settings

from . import logql
from .address import Address, has_user, without_user
from .hops import deliver, missing, poll
from .promql import quoted

LOGGER: Final = "gwz_instrument.test"
_PUSH, _QUERY, _TOKEN = "GWZ_LOKI_URL", "GWZ_LOKI_QUERY_URL", "GWZ_LOKI_TOKEN"
_NOTHING: Final = gzip.compress(b'{"streams": []}')
_HEADERS: Final = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
_NOTHING_TAKEN: Final = b"at least one valid stream"
_LEVELS: Final[dict[str, int]] = {name: getattr(logging, name.upper()) for name in logs.LEVELS}
_SEARCHED_S: Final = 3600.0
_SKEW_S: Final = 60.0


class FarLoki:
    """Loki's two addresses. Methods may be called from any thread, and raise FetchError."""

    def __init__(self, base_url: str, settings: Settings) -> None:
        self._labels = settings.stream_labels
        query_url, token = settings.loki_query_url or base_url, settings.loki_token
        variable = _QUERY if settings.loki_query_url else _PUSH
        self.push = _address(f"{base_url}{PUSH_PATH}", _PUSH, token)
        own_user = settings.loki_query_url is not None and has_user(query_url)
        self.query = _address(query_url, variable, None if own_user else token)

    def admit(self, until: float) -> None:
        """Push nothing: Loki has no place for a push of no streams, and says so once it has let us in."""
        with closing(self.push):
            answer = self.push.post(_NOTHING, _HEADERS, until)
        if answer.status == 204 or (answer.status in (400, 422) and _NOTHING_TAKEN in answer.body):
            return
        raise self.push.refusal(str(answer.status))

    def newest(self, until: float) -> datetime | None:
        """When the newest line of the last hour was written; None if there is none."""
        now = time.time()
        with closing(self.query):
            times = self._times(self._labels, "", now - _SEARCHED_S, now + _SKEW_S, until)
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None

    def find(self, level: str, text: str, at: float, until: float) -> bool:
        """Whether there is a line with that text; asked again and again until there is."""
        labels = {**self._labels, logs.LEVEL.name: level}
        with closing(self.query):
            return poll(
                lambda: bool(self._times(labels, f" |= {quoted(text)}", at - _SKEW_S, at + _SKEW_S, until)), until
            )

    def _times(self, labels: Mapping[str, str], filtered: str, start: float, end: float, until: float) -> list[int]:
        """Nanoseconds of the newest line that a query selects, if any."""
        parameters = logql.newest(f"{logql.selector(labels)}{filtered}", start, end, limit=1)
        answer = self.query.json(logql.QUERY_PATH, parameters, until)
        try:
            return [int(value[0]) for stream in answer["data"]["result"] for value in stream["values"]]
        except (LookupError, TypeError, ValueError) as error:
            raise self.query.unreadable() from error


class SentLine:
    """A line that goes the way of all lines, and is asked for afterwards."""

    def __init__(self, far: FarLoki, handler: LokiHandler, message: str, level: str, ids: Mapping[str, str]) -> None:
        self._far, self._handler = far, handler
        self._id = f"test {uuid.uuid4().hex}"
        self._level, self._ids = level, ids
        self.message = f"{self._id}: {redact(message)}"  # the id first: what follows may have to be hidden or cut
        self.trace_id, self.span_id = ids.get(logs.TRACE_ID.name), ids.get(logs.SPAN_ID.name)
        self._at = time.time()
        self._is_lost = False

    def send(self, _until: float) -> None:
        """Put it into the queue."""
        self._handler.write(
            level=_LEVELS[self._level], logger=LOGGER, message=self.message, metadata=self._ids, created=self._at
        )

    def deliver(self, until: float) -> None:
        """Have it delivered."""
        self._is_lost = not deliver(self._handler.force_flush, self._far.admit, "logs", until)

    def find(self, until: float) -> None:
        """Ask for it."""
        if not self._far.find(self._level, self._id, self._at, until):
            raise missing(self._far.query, self._far.push, "logs", is_lost=self._is_lost)


def _address(url: str, variable: str, token: str | None) -> Address:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return Address(without_user(url) if token else url, "Loki", variable, credentials=_TOKEN, headers=headers)
