"""A stream of a call under watch: what its chunks say, and how it ends."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from . import background, outcomes, reports
from .outcomes import Outcome
from .reports import ReadReport, Report

if TYPE_CHECKING:
    from .calls import Attempt, Call

_AS_IT_IS: Final = nullcontext()
_PAUSE_S: Final = 5.0
"""How long nothing has to be read of a stream whose client has left, before nobody is taken to read on."""


class Watch:
    """What becomes of a stream becomes the outcome of the call, or of the attempt, that it is the answer of.

    Once it has its outcome, or the call has, nothing that is read any more changes anything.
    """

    outcome: Outcome | None = None
    hidden: Outcome | None = None
    """How the stream that a generator read last ended, if not well: the generator may not let it out."""
    _chunks = 0
    _finished = False
    _error_chunk = False
    _dropped = False
    _reading = False

    def __init__(
        self,
        call: "Call",
        attempt: "Attempt | None",
        usage_from: ReadReport,
        steps: AbstractContextManager[None] | None = None,
    ) -> None:
        self.attempt = attempt
        self.steps = steps
        """What each step of a generator that is itself the call takes place in."""
        self._call = call
        self._usage_from = usage_from
        self._tokens: dict[str, Any] = {}
        if call.exchange is not None:
            call.exchange.hold(self)

    def stepping(self) -> AbstractContextManager[None]:
        """What the next step takes place in."""
        self._reading = True
        return _AS_IT_IS if self.steps is None else self.steps

    def seen(self, chunk: Any) -> None:
        """Note the time of the chunk, and what it says of the call."""
        self._reading = False
        if self.outcome is not None:
            return
        call = self._call
        now = time.perf_counter()
        if not call.first_s:
            call.first_s = now
        self._chunks += 1
        call.last_s = now
        try:
            report = self._usage_from(chunk)
            if report is not reports.NOTHING:
                self._note(report)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # a reader of the application's
            call._complain("usage_from")  # noqa: SLF001  # the two are one machine

    def exhausted(self) -> None:
        """The stream has ended by itself: well, unless nothing came or one of its chunks was an error."""
        if self._error_chunk:
            self._end(Outcome(outcomes.STREAM_ERROR, "error_chunk"))
        elif not self._chunks:
            self._end(Outcome(outcomes.ERROR, outcomes.EMPTY_STREAM))
        else:
            self._end(Outcome(outcomes.SUCCESS))

    def broken(self, error: BaseException) -> None:
        """The stream has raised."""
        outcome = self._call._judge(error)  # noqa: SLF001  # as above
        if self._chunks and outcome.status in (outcomes.ERROR, outcomes.TIMEOUT):
            outcome = Outcome(outcomes.STREAM_ERROR, outcome.error_type)
        self._end(outcome)

    def closed(self) -> None:
        """Whoever read it has read enough, or was told to stop."""
        self._end(Outcome(outcomes.SUCCESS) if self._finished else self._call._judge(GeneratorExit()))  # noqa: SLF001

    def dropped(self) -> None:
        """Nobody will read on; said by a finalizer."""
        if self.outcome is None:
            self._dropped = True
            background.deadlines.drop(self)

    def client_left(self) -> None:
        """The response has ended without its reader: threads and tasks that gave up may hold the stream for long."""
        if self.outcome is None:
            background.deadlines.add(_PAUSE_S, self)

    def overdue(self) -> None:
        """End the stream as abandoned, unless somebody reads on, there was nothing left to read, or nobody to read it for."""
        if not self._dropped and (self._reading or time.perf_counter() - self._call.last_s < _PAUSE_S):
            self.client_left()
            return
        if self._finished:
            self._end(Outcome(outcomes.SUCCESS))
            return
        left = self._call._judge(GeneratorExit())  # noqa: SLF001  # as above
        self._end(left if left.status == outcomes.CLIENT_DISCONNECTED else Outcome(outcomes.ABANDONED))

    def give_up(self, outcome: Outcome) -> None:
        """Take what has been said so far: the call, or the attempt, has ended by something else."""
        if self.outcome is None:
            self._close(outcome)

    def _close(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._call.exchange is not None:
            self._call.exchange.release(self)
        self._tell()

    def _note(self, report: Report) -> None:
        self._finished = self._finished or bool(report.finish_reasons)
        self._error_chunk = self._error_chunk or report.error
        for what, tokens in (("input_tokens", report.input_tokens), ("output_tokens", report.output_tokens)):
            if tokens is not None:
                self._tokens[what] = _larger(self._tokens.get(what), tokens)
        (self.attempt or self._call)._name_answer(report)  # noqa: SLF001  # as above

    def _tell(self) -> None:
        """Tell the usage once, the largest number of each kind: many providers count on from chunk to chunk."""
        tokens, self._tokens = self._tokens, {}
        if tokens:
            self._call._tell(tokens, self.attempt)  # noqa: SLF001  # as above

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self._close(outcome)
            self._call._stream_ended(self, outcome)  # noqa: SLF001  # as above


def _larger(before: Any, now: Any) -> Any:
    """The larger number of tokens; what is none stays only until there is one."""
    if before is None or reports.as_count(before) is None:
        return now
    count = reports.as_count(now)
    return before if count is None or count <= before else now
