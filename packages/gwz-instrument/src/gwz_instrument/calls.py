"""A call to a model while it is under way: its attempts, its stream, its bill, and the one outcome that it gets."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import CodeType
from typing import Any, Final, NamedTuple, Protocol, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from . import background, outcomes, reports, stages
from .exchange import Exchange, sampled_trace_id
from .exchange import current as current_exchange
from .outcomes import Outcome
from .recording import Recording
from .reports import Report
from .streams import watched

AskCost = Callable[[str, int, int], Any]
"""Called with the model and the tokens of both kinds; what it returns is the call's cost in US dollars."""
ReadReport = Callable[[Any], Report]

MAX_NAME: Final = 200
INPUT, OUTPUT, COST = "input_tokens", "output_tokens", "cost_usd"


class Options(NamedTuple):
    """What the application says of a call when it begins."""

    provider: object = None
    code: CodeType | None = None
    """The application's code that names the provider: a literal of it may become a label."""
    model: object = None
    endpoint: object = None
    stream: bool = False
    operation: str = "chat"
    cost: AskCost | None = None

    @property
    def model_name(self) -> str:
        """The model as spans and lines name it."""
        return name_of(self.model)


class Recorder(Protocol):
    """Who writes down what happened to calls; may raise."""

    def labels_of(self, call: "Call", outcome: Outcome) -> tuple[str, str]:
        """The label values for the provider and the model of a call that has just ended."""

    def attempt_ended(self, attempt: "Attempt", seconds: float) -> None:
        """An attempt that the application made by itself is over."""

    def call_ended(self, call: "Call", usage: Mapping[str, float]) -> None:
        """A call is over; `usage` is what is known of it by now."""

    def usage_came_late(self, call: "Call", usage: Mapping[str, float], *, estimated: bool) -> None:
        """A call that is over has been told what it consumed or cost."""


class Call:
    """A call to a model that is under way. No method raises, but for a `wrap` of what is no stream.

    The first outcome is the one that counts. Thread-safe.
    """

    # Defaults of the class for what most calls never set.
    outcome: Outcome | None = None
    streamed = False
    attempts = 0
    """How many the application has made by itself; without any, the call is its own."""
    first_s = 0.0
    ended_s = 0.0
    estimated = False
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    span: Span | None = None
    trace_id = 0
    labels: tuple[str, str] | None = None
    chunks = 0
    last_s = 0.0
    # Both know the call, and are let go of when it is over.
    _stream: "Watch | None" = None
    _attempt: "Attempt | None" = None
    _failed: Outcome | None = None
    _left = False

    def __init__(self, recording: Recording | None, options: Options) -> None:
        self.options = options
        self.provider, self.code = options.provider, options.code
        self.streamed = options.stream
        self.exchange: Exchange | None = current_exchange.get()
        self.started_s = time.perf_counter()
        self._recording = recording
        self._usage: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether the call has its outcome."""
        return self.outcome is not None

    def attempt(self, *, provider: str | None = None, model: str | None = None) -> "Attempt":
        """One attempt of the call, to be entered by `with` or `async with`: with an outcome, a time and a span of its own.

        `model` is the provider's own name of it. What is raised in the block passes through.
        """
        return Attempt(self, provider, model, sys._getframe(1).f_code)  # noqa: SLF001  # there is no other way to ask

    def usage(
        self,
        *,
        input_tokens: object = None,
        output_tokens: object = None,
        cost_usd: object = None,
        estimated: bool = False,
    ) -> None:
        """Tell what the call consumed and cost, at once or bit by bit, until `Settings.late_usage_s` after its end.

        Each is taken once. `estimated` tokens, which the provider did not report, are counted apart.
        """
        recording = self._recording
        if recording is None:
            return
        try:
            told: dict[str, float] = {}
            if input_tokens is not None:
                _note(recording, told, INPUT, input_tokens, reports.as_count)
            if output_tokens is not None:
                _note(recording, told, OUTPUT, output_tokens, reports.as_count)
            if cost_usd is not None:
                _note(recording, told, COST, cost_usd, reports.as_amount)
            if told:
                self._take(recording, told, estimated=bool(estimated))
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("usage")

    def first_chunk(self) -> None:
        """Note that the first chunk of the answer has come; `wrap` does so by itself."""
        if not self.first_s:
            self.first_s = time.perf_counter()

    def wrap(self, stream: Any, *, usage_from: ReadReport = reports.report_of) -> Any:
        """The provider's stream, watched: it decides how and when the call ends. Returns the same kind of stream.

        Leaving the call's block without an exception then leaves the call open, to end with the stream: as `abandoned` if
        nobody holds it any more, or after `Settings.call_max_s`. Wrap what the provider's client returned, not the
        generator that answers the request: that may swallow how the stream ended. TypeError for what is no stream.
        """
        attempt = self._attempt
        return self._watched(stream, usage_from, None if attempt is None or attempt.over else attempt)

    def fail(self, reason: object) -> None:
        """Let the call count as an error though nothing was raised; `reason` becomes its `error.type`."""
        self._failed = Outcome(outcomes.ERROR, name_of(reason) or outcomes.ERROR)

    def read(self, answer: Any, usage_from: ReadReport = reports.report_of) -> None:
        """Take what an answer that is no stream says of itself: its usage, its model, an error."""
        try:
            self._read(usage_from(answer))
        except Exception:  # noqa: BLE001  # a reader of the application's
            self._complain("usage_from")

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` with this call as the current one, as in `loop.run_in_executor(pool, call.run, function)`.

        Executors do not know the context of who asks; `asyncio.to_thread` does and needs no help.
        """
        block = Block(self, self.span)
        try:
            return function(*args, **kwargs)
        finally:
            block.leave()

    def overdue(self) -> None:
        """End the call as abandoned: its stream has taken longer than any may."""
        self._end(Outcome(outcomes.ABANDONED))

    def _read(self, report: Report) -> None:
        if report.model:
            self.response_model = report.model
        if report.finish_reasons:
            self.finish_reasons = report.finish_reasons
        if report.error:
            self.fail("error_answer")
        if report.input_tokens is not None or report.output_tokens is not None:
            self.usage(input_tokens=report.input_tokens, output_tokens=report.output_tokens)

    def _begin(self) -> None:
        recording = self._recording
        if recording is None:
            return
        try:
            if recording.tracer is not None:
                options = self.options
                self.span = recording.tracer.start_span(
                    f"{options.operation} {options.model_name}", kind=SpanKind.CLIENT
                )
            self.trace_id = sampled_trace_id(self.span or trace.get_current_span())
            stages.frontend_done(self.exchange, recording)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("begin")

    def _attempt_begins(self, attempt: "Attempt") -> None:
        with self._lock:
            self.attempts += 1
            attempt.number = self.attempts
            self.provider, self.code = attempt.provider, attempt.code
            self._attempt = attempt
        recording = self._recording
        if recording is None or recording.tracer is None:
            return
        try:
            name = f"{self.options.operation} {self.options.model_name} at {name_of(attempt.provider)}"
            attempt.span = recording.tracer.start_span(name, kind=SpanKind.CLIENT)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("begin")

    def _attempt_ends(self, attempt: "Attempt", outcome: Outcome) -> None:
        with self._lock:
            if attempt.outcome is not None:
                return
            attempt.outcome = outcome
        recording = self._recording
        if recording is None:
            return
        try:
            recording.calls.attempt_ended(attempt, time.perf_counter() - attempt.started_s)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("attempt")

    def _complain(self, step: str) -> None:
        if self._recording is not None:
            self._recording.complain(step)

    def _leave(self, error: BaseException | None) -> None:
        self._left = True
        if error is not None:
            self._end(self._judge(error))
        elif self._stream is None or self._stream.outcome is not None:
            self._end(self._failed or self._last_outcome())

    def _last_outcome(self) -> Outcome:
        """How a block that raised nothing ended: as its last attempt did, which may have failed all the same."""
        if self._attempt is not None and self._attempt.outcome is not None:
            return self._attempt.outcome
        return (self._stream and self._stream.outcome) or Outcome(outcomes.SUCCESS)

    def _judge(self, error: BaseException) -> Outcome:
        left = self.exchange is not None and self.exchange.disconnected
        return outcomes.of_error(error, client_left=left)

    def _watched(self, stream: Any, usage_from: ReadReport, attempt: "Attempt | None") -> Any:
        if self._recording is None or self.over:
            return stream
        watch = Watch(self, attempt, usage_from)
        found = watched(stream, watch)
        self._stream, self.streamed = watch, True
        if attempt is not None:
            attempt.stream = watch
        background.deadlines.add(self._recording.settings.call_max_s, self)
        return found

    def _stream_ended(self, outcome: Outcome, attempt: "Attempt | None") -> None:
        """A stream of this call has ended, and so has the call if its block has been left."""
        if attempt is not None:
            attempt._end(outcome)  # noqa: SLF001  # of this module
        if self._left:
            self._end(self._failed or outcome)

    def _end(self, outcome: Outcome) -> None:
        recording = self._recording
        try:
            with self._lock:
                if self.outcome is not None:
                    return
                self.ended_s = time.perf_counter()
                if recording is not None:
                    self.labels = recording.calls.labels_of(self, outcome)
                usage = dict(self._usage)  # what comes later is counted by who brings it
                self.outcome = outcome
            if self._attempt is not None:
                self._attempt._end(outcome)  # noqa: SLF001  # of this module
            self._attempt = self._stream = None
            if recording is not None:
                recording.calls.call_ended(self, usage)
                self._ask_cost(recording)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            if recording is not None:
                recording.complain("end")

    def _take(self, recording: Recording, told: Mapping[str, float], *, estimated: bool) -> None:
        """Take what is new; what is known already is refused, unless it says the same."""
        new, contradicted = {}, []
        with self._lock:
            known, over = self._usage, self.over
            late = over and time.perf_counter() - self.ended_s > recording.settings.late_usage_s
            for what, number in told.items():
                if what not in known:
                    new[what] = number
                elif known[what] != number:
                    contradicted.append(what)
            if not late:
                known.update(new)
                if estimated and (INPUT in new or OUTPUT in new):
                    self.estimated = True
        for what in contradicted:
            recording.refuse(f"a second {what}", told[what])
        if late:
            recording.refuse("usage of a call that ended long ago", told)
        elif over and new:
            recording.calls.usage_came_late(self, new, estimated=estimated)

    def _ask_cost(self, recording: Recording) -> None:
        """Have the application's function say what the call cost; it may take its time, and so is not called here."""
        ask, usage = self.options.cost, self._usage
        if ask is None or COST in usage or INPUT not in usage or OUTPUT not in usage:
            return
        model, tokens = self.options.model_name, (int(usage[INPUT]), int(usage[OUTPUT]))

        def answer() -> None:
            try:
                self.usage(cost_usd=ask(model, *tokens))
            except Exception as error:  # noqa: BLE001  # the application's function
                recording.refuse("the answer of cost()", error)

        if not background.workers.do(answer):
            recording.refuse("cost, which too many calls ask for at once,", ask)


class Attempt:
    """One attempt of a call at a provider; what it is told of usage is the call's."""

    outcome: Outcome | None = None
    stream: "Watch | None" = None
    number = 0
    span: Span | None = None
    started_s = 0.0
    _failed: Outcome | None = None

    def __init__(self, call: Call, provider: object, model: object, code: CodeType | None) -> None:
        self.call = call
        self.provider = call.options.provider if provider is None else provider
        self.code = call.options.code if provider is None else code
        self.model = model
        self._block: Block | None = None

    @property
    def over(self) -> bool:
        """Whether the attempt has its outcome."""
        return self.outcome is not None

    def usage(self, **told: Any) -> None:
        """As `Call.usage`."""
        self.call.usage(**told)

    def first_chunk(self) -> None:
        """As `Call.first_chunk`."""
        self.call.first_chunk()

    def wrap(self, stream: Any, *, usage_from: ReadReport = reports.report_of) -> Any:
        """As `Call.wrap`, for a stream of this attempt."""
        return stream if self.over else self.call._watched(stream, usage_from, self)  # noqa: SLF001  # of this module

    def read(self, answer: Any, usage_from: ReadReport = reports.report_of) -> None:
        """As `Call.read`."""
        self.call.read(answer, usage_from)

    def fail(self, reason: object) -> None:
        """Let the attempt count as an error though nothing was raised."""
        self._failed = Outcome(outcomes.ERROR, name_of(reason) or outcomes.ERROR)

    def __enter__(self) -> Self:
        """Begin."""
        self._begin()
        self._block = Block(self, self.span)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End, unless a stream goes on; an exception passes through."""
        if self._block is not None:
            self._block.leave()
            self._block = None
        self._leave(error)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End, unless a stream goes on; an exception passes through."""
        self.__exit__(kind, error, traceback)

    def _begin(self) -> None:
        self.started_s = time.perf_counter()
        self.call._attempt_begins(self)  # noqa: SLF001  # of this module

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            self._end(self.call._judge(error))  # noqa: SLF001  # of this module
        elif self.stream is None:
            self._end(self._failed or Outcome(outcomes.SUCCESS))

    def _end(self, outcome: Outcome) -> None:
        self.call._attempt_ends(self, outcome)  # noqa: SLF001  # of this module


class Watch:
    """What becomes of a stream becomes the outcome of the call, or of the attempt, that it is the answer of."""

    outcome: Outcome | None = None
    _finished = False
    _error_chunk = False

    def __init__(self, call: Call, attempt: Attempt | None, usage_from: ReadReport) -> None:
        self._call = call
        self._attempt = attempt
        self._usage_from = usage_from

    def seen(self, chunk: Any) -> None:
        """Note the time of the chunk, and what it says of the call."""
        call = self._call
        now = time.perf_counter()
        if not call.first_s:
            call.first_s = now
        call.chunks += 1
        call.last_s = now
        try:
            report = self._usage_from(chunk)
            if report is not reports.NOTHING:
                self._finished = self._finished or bool(report.finish_reasons)
                self._error_chunk = report.error
                call._read(report._replace(error=False))  # noqa: SLF001  # of this module
        except Exception:  # noqa: BLE001  # a reader of the application's
            call._complain("usage_from")  # noqa: SLF001  # of this module

    def exhausted(self) -> None:
        """The stream has ended by itself: well, unless nothing came or an error was its last word."""
        if self._error_chunk:
            self._end(Outcome(outcomes.STREAM_ERROR, "error_chunk"))
        elif not self._call.chunks:
            self._end(Outcome(outcomes.ERROR, outcomes.EMPTY_STREAM))
        else:
            self._end(Outcome(outcomes.SUCCESS))

    def broken(self, error: BaseException) -> None:
        """The stream has raised."""
        outcome = self._call._judge(error)  # noqa: SLF001  # of this module
        if self._call.chunks and outcome.status in (outcomes.ERROR, outcomes.TIMEOUT):
            outcome = Outcome(outcomes.STREAM_ERROR, outcome.error_type)
        self._end(outcome)

    def closed(self) -> None:
        """Whoever read it has read enough, or was told to stop."""
        self._end(Outcome(outcomes.SUCCESS) if self._finished else self._call._judge(GeneratorExit()))  # noqa: SLF001

    def dropped(self) -> None:
        """Nobody will read on; said by a finalizer."""
        if self.outcome is None:
            background.deadlines.drop(self)

    def overdue(self) -> None:
        """End the call as abandoned, unless there was nothing left to read."""
        if self.outcome is None:
            self._end(Outcome(outcomes.SUCCESS if self._finished else outcomes.ABANDONED))

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self._call._stream_ended(outcome, self._attempt)  # noqa: SLF001  # of this module


class Block:
    """The time in which a call, or an attempt, is the current one: of the recorders, and of OpenTelemetry."""

    __slots__ = ("_span_token", "_token")

    def __init__(self, opened: "Call | Attempt", span: Span | None) -> None:
        self._token = current.set(opened)
        self._span_token = None if span is None else otel_context.attach(trace.set_span_in_context(span))

    def leave(self) -> None:
        """Go back to what was before; a generator that somebody else closes is in another context, where there is nothing to do."""
        try:
            current.reset(self._token)
        except ValueError:
            return
        if self._span_token is not None:
            otel_context.detach(self._span_token)


def is_literal(value: object, code: CodeType | None) -> bool:
    """Whether `value` is a literal of `code`: no client's text is the same object.

    Texts of one character are: Python has each of them only once.
    """
    return code is not None and isinstance(value, str) and len(value) > 1 and _holds(code.co_consts, value)


def _holds(constants: tuple[object, ...], value: str) -> bool:
    return any(value is one or (isinstance(one, tuple) and _holds(one, value)) for one in constants)


def name_of(value: object) -> str:
    """A name as spans and lines carry it: text, cut; empty for what is none."""
    return value[:MAX_NAME] if isinstance(value, str) else ""


def _note(
    recording: Recording, told: dict[str, float], what: str, value: object, read: Callable[[object], float | None]
) -> None:
    """Note the number that `value` is; refuse what is none."""
    number = read(value)
    if number is None:
        recording.refuse(what, value)
    else:
        told[what] = number


current: ContextVar[Call | Attempt | None] = ContextVar("gwz_call", default=None)
"""The innermost call or attempt that is open here."""
