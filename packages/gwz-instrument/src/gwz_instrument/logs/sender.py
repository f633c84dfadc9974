"""The thread that delivers: takes batches from the backlog and pushes each until Loki has it or refuses it."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final

from gwz_instrument.redact import redact
from gwz_instrument.semconv import health

from .answers import Answer, Verdict, judge
from .backlog import Backlog
from .connection import Connection
from .outage import Outage
from .push import Push, Pusher

Tell = Callable[[str, int], None]
"""Called with `delivered` or a reason of `gwz_telemetry_dropped_total`, and a number of lines."""

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_UNAUTHORIZED_WAIT_S: Final = 30.0
_HURRIED_WAIT_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Target:
    """Where lines go."""

    url: str
    place: str
    """The address without its password."""
    authorization: str | None
    labels: Mapping[str, str]


class Sender:
    """Delivers a backlog from a daemon thread, in order, and ends when the backlog is closed."""

    def __init__(self, target: Target, backlog: Backlog, outage: Outage, tell: Tell) -> None:
        self._backlog = backlog
        self._outage = outage
        self._tell = tell
        self._pusher = Pusher(target.labels)
        self._connection = Connection(target.url, target.authorization)

    def start(self) -> int | None:
        """Start the thread and return its id; None where no thread can start, as while the interpreter ends."""
        thread = threading.Thread(target=self._run, name="gwz-loki-sender", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        return thread.ident

    def abandon(self) -> None:
        """In the child of a fork, which has this object but not its thread: let go of the connection."""
        self._connection.abandon()

    def _run(self) -> None:
        while batch := self._backlog.take():
            try:
                for push in self._pusher.pushes(batch):
                    self._deliver(push)
            except Exception as error:  # noqa: BLE001  # the thread must live, whatever this batch was
                self._outage.fault(error)
                self._settle({health.FAULT: self._backlog.sending})
        self._connection.close()

    def _deliver(self, push: Push) -> None:
        """Push until Loki has taken or refused the lines; after the backlog was closed, they are no longer ours."""
        wait = _FIRST_WAIT_S
        while not self._backlog.closed:
            answer = self._post(push)
            if isinstance(answer, Answer):
                verdict = judge(answer, len(push.entries) - push.faults)
                if verdict.judgement == "taken":
                    self._taken(push, verdict.refused, answer)
                    return
                if verdict.judgement == "too_large":
                    self._split(push, answer)
                    return
            else:
                verdict = Verdict("again")
            if not self._backlog.closed:
                self._outage.begin(_problem(answer, verdict))
                self._wait(_UNAUTHORIZED_WAIT_S if verdict.judgement == "unauthorized" else wait, verdict.wait_s)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _wait(self, seconds: float, asked: float | None) -> None:
        """Wait as long as Loki asks, else about `seconds`, and shorter if somebody waits for the delivery."""
        if asked is not None:
            self._backlog.pause(asked, asked)
        else:
            seconds *= random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
            self._backlog.pause(seconds, min(seconds, _HURRIED_WAIT_S))

    def _post(self, push: Push) -> Answer | Exception:
        try:
            return self._connection.post(push.body)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a host or header that cannot be sent
            return error

    def _taken(self, push: Push, refused: int, answer: Answer) -> None:
        self._outage.end()
        if push.faults:
            self._outage.fault(None)
        if refused:
            self._outage.refused(refused, answer.status, _short(answer.text))
        delivered = len(push.entries) - push.faults - refused
        self._settle({health.FAULT: push.faults, health.REJECTED: refused, health.DELIVERED: delivered})

    def _settle(self, fates: Mapping[str, int]) -> None:
        """Count lines, unless they were counted as left at the end meanwhile."""
        lines = sum(fates.values())
        if self._backlog.settle(lines):
            for word, number in fates.items():
                if number:
                    self._tell(word, number)
            self._backlog.done(lines)

    def _split(self, push: Push, answer: Answer) -> None:
        """Send in halves what the far end finds too large."""
        if len(push.entries) == 1:
            self._taken(push, 1 - push.faults, answer)
            return
        for half in self._pusher.halves(push):
            self._deliver(half)


def _problem(answer: Answer | Exception, verdict: Verdict) -> str:
    if not isinstance(answer, Answer):
        return f"cannot be reached ({_name(answer)}): check GWZ_LOKI_URL"
    if verdict.judgement == "unauthorized":
        return f"refuses access ({answer.status}): check GWZ_LOKI_TOKEN"
    return f"answers {answer.status} ({_short(answer.text)}): check GWZ_LOKI_URL"


def _short(text: str) -> str:
    """What Loki says: it may quote lines."""
    return redact(" ".join(text[-1500:].split()))[-300:]


def _name(error: Exception) -> str:
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if isinstance(reason, str) else type(error).__name__
