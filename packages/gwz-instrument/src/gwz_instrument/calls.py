"""A call to a model while it is under way: its attempts, its streams, its bill, and the one outcome that it gets."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, Final, NamedTuple, Protocol, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from . import background, bills, client_spans, outcomes, reports, stages
from .bills import COST, INPUT, OUTPUT, Bill
from .exchange import Exchange, sampled_trace_id
from .exchange import current as current_exchange
from .names import name_of
from .open_calls import Block, Steps, around, current, run
from .outcomes import Outcome
from .recording import Recording
from .reports import ReadReport, Report
from .streams import watched
from .watches import Watch

AskCost = Callable[[str, int, int], Any]
"""Called with the model and the tokens of both kinds; what it returns is the call's cost in US dollars."""

MAX_REASONS: Final = 10
_TOKENS: Final = frozenset({INPUT, OUTPUT})
_NOTHING: Final[dict[Any, None]] = {}
"""No streams, or no attempts, of a call; never added to."""
_GIVEN_UP: Final = frozenset({outcomes.TIMEOUT, outcomes.CANCELLED, outcomes.CLIENT_DISCONNECTED})
"""How a call or an attempt ended that may have left a thread behind: what the thread still does changes nothing."""


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

    def call_ended(self, call: "Call", bill: Bill) -> None:
        """A call is over; `bill` is what is known by now of what it consumed and cost."""

    def usage_came_late(self, call: "Call", bill: Bill) -> None:
        """A call that is over has been told what it consumed or cost."""


class _Opened:
    """What a call and an attempt have in common."""

    call: "Call"
    """The call, or the attempt's call."""

    # Defaults of the class for what most never set.
    outcome: Outcome | None = None
    span: Span | None = None
    bill: Bill = bills.EMPTY
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    outer: "Call | Attempt | None" = None
    """What was open around it."""
    context: Context | None = None
    """OpenTelemetry's, of before its block."""
    thread = 0
    asked = False
    """Whether a request that was made within it has a span of its own, which names the provider."""
    generator: Watch | None = None
    """Watches the generator that is itself the call, or the attempt: what is called within it belongs to it."""
    _left = False
    _failed: Outcome | None = None

    @property
    def over(self) -> bool:
        """Whether it has its outcome."""
        return self.outcome is not None

    @property
    def given_up(self) -> bool:
        """Whether it ended in a way that may have left a thread behind."""
        return self.outcome is not None and self.outcome.status in _GIVEN_UP

    @property
    def joinable(self) -> bool:
        """Whether a call that begins within is a part of it: not when its block has been left, as by a task's parent."""
        return self.outcome is None and (not self._left or self.generator is not None)

    def fail(self, reason: object) -> None:
        """Let it count as an error though nothing was raised; `reason` becomes its `error.type`."""
        if self._failed is None:
            self._failed = Outcome(outcomes.ERROR, name_of(reason) or outcomes.ERROR)

    def wrap_generator(self, stream: Any, usage_from: ReadReport) -> Any:
        """As `wrap`, for a generator that is itself the call, or the attempt: what it calls belongs to that."""
        return self.call._watched(stream, usage_from, self if isinstance(self, Attempt) else None, generator=True)  # noqa: SLF001  # of this module

    def _name_answer(self, report: Report) -> None:
        if report.model:
            self.response_model = name_of(report.model)
        if report.finish_reasons:
            self.finish_reasons = tuple(name_of(reason) for reason in report.finish_reasons[:MAX_REASONS])


class Call(_Opened):
    """A call to a model that is under way. No method raises, but for a `wrap` of what is no stream.

    The first outcome is the one that counts. Thread-safe.
    """

    attempts = 0
    """How many the application has made by itself; without any, the call is its own."""
    first_s = 0.0
    last_s = 0.0
    ended_s = 0.0
    trace_id = 0
    labels: tuple[str, str] | None = None
    # All of these know the call, and are let go of when it is over; until then the first two are changed in place, or what
    # a finalizer takes out would be there again.
    _streams: dict[Watch, None] = _NOTHING
    _open: "dict[Attempt, None]" = _NOTHING
    _last: "Attempt | None" = None
    _won: "Attempt | None" = None
    _said: Outcome | None = None
    """The last outcome of an attempt, or of a stream."""
    _decider = -1
    """The number of the attempt that the call ended with."""
    _ending = False
    _cost_asked = False

    def __init__(self, recording: Recording | None, options: Options) -> None:
        self.options = options
        self.provider, self.code = options.provider, options.code
        self.streamed = options.stream
        self.exchange: Exchange | None = current_exchange.get()
        self.started_s = time.perf_counter()
        self._recording = recording
        self._lock = threading.RLock()  # the collector may end a stream of this call while this thread holds it

    @property
    def call(self) -> "Call":  # type: ignore[override]  # a call that holds itself is no longer freed at once
        """Itself."""
        return self

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

        Each is taken once. `estimated` tokens, which the provider did not report, are counted apart. Within the block of
        an attempt it is the attempt's, and becomes the call's if that is the one the call ends with.
        """
        told = {INPUT: input_tokens, OUTPUT: output_tokens, COST: cost_usd}
        self._tell(told, self._attempt_here(), estimated=estimated)

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
        return self._watched(stream, usage_from, self._attempt_here())

    def read(self, answer: Any, usage_from: ReadReport = reports.report_of) -> None:
        """Take what an answer that is no stream says of itself: its usage, its model, an error."""
        self._read(answer, usage_from, self._attempt_here())

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` with this call as the current one, as in `loop.run_in_executor(pool, call.run, function)`.

        Executors do not know the context of who asks; `asyncio.to_thread` does and needs no help.
        """
        return run(self, function, args, kwargs)

    def overdue(self) -> None:
        """End the call as abandoned: its stream has taken longer than any may."""
        self._end(Outcome(outcomes.ABANDONED))

    def _attempt_here(self) -> "Attempt | None":
        """The attempt of this call in whose block this runs; it may be over."""
        here = current.get() if self.attempts else None
        if isinstance(here, Attempt) and here.call is self and (not here.over or here.given_up):
            return here
        return None

    def _read(self, answer: Any, usage_from: ReadReport, attempt: "Attempt | None") -> None:
        if attempt is not None and attempt.given_up:
            return
        try:
            report, teller = usage_from(answer), attempt or self
            teller._name_answer(report)  # noqa: SLF001  # of this module
            if report.error:
                teller.fail("error_answer")
            self._tell({INPUT: report.input_tokens, OUTPUT: report.output_tokens}, attempt)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # a reader of the application's
            self._complain("usage_from")

    def _begin(self, context: Context | None = None) -> None:
        recording = self._recording
        if recording is None:
            return
        self.thread = threading.get_ident()
        try:
            if recording.tracer is not None:
                self.span = client_spans.begin(recording.tracer, self._span_name, context)
            self.trace_id = sampled_trace_id(self.span or trace.get_current_span())
            stages.frontend_done(self.exchange, recording)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("begin")

    def _span_name(self) -> str:
        return f"{self.options.operation} {self.options.model_name}"

    def _attempt_begins(self, attempt: "Attempt", context: Context | None) -> None:
        with self._lock:
            if self._ending:
                attempt.outcome = self.outcome or Outcome(outcomes.CANCELLED)
                return
            self.attempts += 1
            attempt.number = self.attempts
            self.provider, self.code = attempt.provider, attempt.code
            self._last = attempt
            if self._open is _NOTHING:
                self._open = {}
            self._open[attempt] = None
        recording = self._recording
        if recording is None or recording.tracer is None:
            return
        try:
            if self.generator is not None and self.span is not None:  # its steps take place anywhere
                context = trace.set_span_in_context(self.span)
            attempt.span = client_spans.begin(
                recording.tracer, lambda: f"{self._span_name()} at {name_of(attempt.provider)}", context
            )
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("begin")

    def _attempt_ends(self, attempt: "Attempt", outcome: Outcome) -> None:
        for watch in list(self._streams):
            if watch.attempt is attempt:
                watch.give_up(outcome)
        with self._lock:
            if attempt.outcome is not None:
                return
            attempt.outcome = outcome
            self._open.pop(attempt, None)
            for watch in list(self._streams):
                if watch.attempt is attempt:
                    self._streams.pop(watch, None)
            if not self._ending:
                self._said = outcome
                if outcome.status == outcomes.SUCCESS:
                    self._won = attempt
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
            self._end(self._judge_block(error))
        elif not self._streams:
            self._end(self._conclusion(Outcome(outcomes.SUCCESS)))

    def _conclusion(self, otherwise: Outcome) -> Outcome:
        """How a call ended that nothing was raised out of: well if an attempt did, else as what was tried last."""
        if self._failed is not None and (self._said is None or self._said.status != outcomes.STREAM_ERROR):
            return self._failed
        return Outcome(outcomes.SUCCESS) if self._won is not None else self._said or otherwise

    def _judge_block(self, error: BaseException) -> Outcome:
        """As the exception says, unless it is the one that a stream of the call broke with."""
        found, said = self._judge(error), self._said
        broke = said is not None and said.status == outcomes.STREAM_ERROR and said.error_type == found.error_type
        return said if broke and said is not None else found

    def _judge(self, error: BaseException) -> Outcome:
        left = self.exchange is not None and self.exchange.disconnected
        return outcomes.of_error(error, client_left=left)

    def _watched(
        self, stream: Any, usage_from: ReadReport, attempt: "Attempt | None", *, generator: bool = False
    ) -> Any:
        if self._recording is None or self.over or (attempt is not None and attempt.over):
            return stream
        opened = attempt or self
        watch = Watch(self, attempt, usage_from, Steps(opened) if generator else None)
        found = watched(stream, watch)
        self.streamed = True
        around = self.generator or opened.generator
        if around is None:
            with self._lock:
                if self._streams is _NOTHING:
                    self._streams = {}
                self._streams[watch] = None
        if attempt is not None and attempt.generator is None:
            attempt.stream = watch
        if generator and around is None:
            opened.generator = watch
        try:
            background.deadlines.add(self._recording.settings.call_max_s, self)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            self._complain("deadline")
        return found

    def _stream_ended(self, watch: Watch, outcome: Outcome) -> None:
        """A stream of this call has ended, and so has the call if its block has been left and no other goes on."""
        attempt, counts = watch.attempt, watch in self._streams
        with self._lock:
            self._streams.pop(watch, None)
        if attempt is not None and attempt.stream is watch:
            attempt._end(attempt._failed or watch.hidden or outcome)  # noqa: SLF001  # of this module
        elif attempt is not None and attempt.generator is not None:
            attempt.generator.hidden = None if outcome.status == outcomes.SUCCESS else outcome
        elif attempt is None and counts:
            self._own_stream_ended(watch, outcome)
        if counts and self._left and (outcome.status == outcomes.SUCCESS or not self._streams):
            self._end(self._conclusion(outcome))

    def _own_stream_ended(self, watch: Watch, outcome: Outcome) -> None:
        """What a stream says that is no attempt's overrules the attempts; a generator may only hide how they ended."""
        succeeded = outcome.status == outcomes.SUCCESS
        if succeeded and watch is self.generator and self._said is not None:
            return
        self._said = outcome
        if not succeeded:
            self._won = None

    def _end(self, outcome: Outcome) -> None:
        with self._lock:
            if self._ending:
                return
            self._ending = True  # before any call: in one, the collector may end a stream, and the call with it
            self.ended_s = time.perf_counter()
        if self._streams or self._open:
            self._end_parts(outcome)
        recording = self._recording
        with self._lock:  # what comes later is counted by who brings it
            decisive = self._decide(outcome) if self.streamed or self.attempts else None
            self._set_labels(recording, outcome)
            bill, contradicting = self._close_bill(decisive, outcome)
        if recording is None:
            return
        try:
            if contradicting:
                _refuse(recording, contradicting)
            recording.calls.call_ended(self, bill)  # not the present one: what has been told since was counted as late
            if self.options.cost is not None:
                self._ask_cost(recording)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("end")

    def _end_parts(self, outcome: Outcome) -> None:
        """End what is still open: if the call has ended well, then it was given up in favour of another."""
        for watch in list(self._streams):
            watch.give_up(outcome)
        lost = Outcome(outcomes.CANCELLED) if outcome.status == outcomes.SUCCESS else outcome
        for attempt in list(self._open):
            attempt._end(lost)  # noqa: SLF001  # of this module

    def _decide(self, outcome: Outcome) -> "Attempt | None":
        """Find the attempt that the call ends with, take what it knows of its provider, and let go of all others."""
        decisive = self._won if self._won is not None and outcome.status == outcomes.SUCCESS else self._last
        self._streams, self._open, self._last, self._won, self.generator = _NOTHING, _NOTHING, None, None, None
        if decisive is None:
            return None
        self._decider, self.provider, self.code = decisive.number, decisive.provider, decisive.code
        self.response_model = decisive.response_model or self.response_model
        self.finish_reasons = decisive.finish_reasons or self.finish_reasons
        return decisive

    def _close_bill(self, decisive: "Attempt | None", outcome: Outcome) -> tuple[Bill, Mapping[str, float]]:
        """Add what was told of the decisive attempt, and be over; gives the bill, and what of the call contradicted it."""
        while True:
            own, known = self.bill, bills.EMPTY if decisive is None else decisive.bill
            bill, _, contradicting = bills.added(known, own)
            closed = bill, contradicting
            # Else a finalizer has told something.
            if self.bill is own and (decisive is None or decisive.bill is known):
                self.bill, self.outcome = bill, outcome
                return closed

    def _set_labels(self, recording: Recording | None, outcome: Outcome) -> None:
        if recording is None:
            return
        try:
            self.labels = recording.calls.labels_of(self, outcome)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("labels")

    def _tell(self, told: dict[str, object], attempt: "Attempt | None", *, estimated: bool = False) -> None:
        recording = self._recording
        if recording is None or (attempt is not None and attempt.given_up):
            return
        try:
            numbers = _numbers(recording, told)
            if numbers:
                self._take(recording, Bill(numbers, _TOKENS & numbers.keys() if estimated else frozenset()), attempt)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a call
            recording.complain("usage")

    def _take(self, recording: Recording, told: Bill, attempt: "Attempt | None") -> None:
        """Take what is new; what is known already is refused, unless it says the same."""
        with self._lock:
            while True:
                outcome = self.outcome
                if outcome is not None and attempt is not None and attempt.number != self._decider:
                    return
                late = outcome is not None and time.perf_counter() - self.ended_s > recording.settings.late_usage_s
                holder = self if outcome is not None or attempt is None else attempt
                before = holder.bill
                known, new, contradicting = bills.added(before, told)
                # Else a finalizer has told something, or ended the call.
                if holder.bill is before and self.outcome is outcome:
                    break
            if not late:
                holder.bill = known
        if contradicting:
            _refuse(recording, contradicting)
        if late:
            recording.refuse("usage of a call that ended long ago", told.numbers)
        elif outcome is not None and new.numbers:
            recording.calls.usage_came_late(self, new)
            self._ask_cost(recording)

    def _ask_cost(self, recording: Recording) -> None:
        """Have the application's function say what the call cost; it may take its time, and so is not called here."""
        ask, numbers = self.options.cost, self.bill.numbers
        if ask is None or COST in numbers or INPUT not in numbers or OUTPUT not in numbers:
            return
        with self._lock:
            if self._cost_asked:
                return
            self._cost_asked = True
        model, tokens = self.options.model_name, (int(numbers[INPUT]), int(numbers[OUTPUT]))

        def answer() -> None:
            try:
                self.usage(cost_usd=ask(model, *tokens))
            except Exception as error:  # noqa: BLE001  # the application's function
                recording.refuse("the answer of cost()", error)

        if not background.workers.do(answer):
            recording.refuse("cost, which too many calls ask for at once,", ask)


class Attempt(_Opened):
    """One attempt of a call at a provider, with all that a call can be told; it becomes the call's if that ends with it."""

    stream: Watch | None = None
    number = 0
    started_s = 0.0

    def __init__(self, call: Call, provider: object, model: object, code: CodeType | None) -> None:
        self.call = call
        self.provider = call.options.provider if provider is None else provider
        self.code = call.options.code if provider is None else code
        self.model = model
        self._block: Block | None = None

    def attempt(self, *, provider: str | None = None, model: str | None = None) -> "Attempt":
        """As `Call.attempt`: another attempt of the same call."""
        return Attempt(self.call, provider, model, sys._getframe(1).f_code)  # noqa: SLF001  # there is no other way to ask

    def usage(
        self,
        *,
        input_tokens: object = None,
        output_tokens: object = None,
        cost_usd: object = None,
        estimated: bool = False,
    ) -> None:
        """As `Call.usage`."""
        told = {INPUT: input_tokens, OUTPUT: output_tokens, COST: cost_usd}
        self.call._tell(told, self, estimated=estimated)  # noqa: SLF001  # of this module

    def first_chunk(self) -> None:
        """As `Call.first_chunk`."""
        if not self.over:
            self.call.first_chunk()

    def wrap(self, stream: Any, *, usage_from: ReadReport = reports.report_of) -> Any:
        """As `Call.wrap`, for a stream of this attempt."""
        return self.call._watched(stream, usage_from, self)  # noqa: SLF001  # of this module

    def read(self, answer: Any, usage_from: ReadReport = reports.report_of) -> None:
        """As `Call.read`; an error fails this attempt."""
        self.call._read(answer, usage_from, self)  # noqa: SLF001  # of this module

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As `Call.run`, with this attempt as the current one."""
        return run(self, function, args, kwargs)

    def __enter__(self) -> Self:
        """Begin."""
        self.outer, context, _ = around()
        self._begin(context)
        self._block = Block(self, context)
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

    def _begin(self, context: Context | None = None) -> None:
        self.started_s, self.thread = time.perf_counter(), threading.get_ident()
        self.call._attempt_begins(self, context)  # noqa: SLF001  # of this module

    def _leave(self, error: BaseException | None) -> None:
        self._left = True
        if error is not None:
            self._end(self.call._judge(error))  # noqa: SLF001  # of this module
        elif self.stream is None:
            self._end(self._failed or Outcome(outcomes.SUCCESS))

    def _end(self, outcome: Outcome) -> None:
        self.call._attempt_ends(self, outcome)  # noqa: SLF001  # of this module
        self.generator = None


def _refuse(recording: Recording, contradicting: Mapping[str, float]) -> None:
    for what, number in contradicting.items():
        recording.refuse(f"a second {what}", number)


def _numbers(recording: Recording, told: dict[str, object]) -> dict[str, float]:
    """The numbers that were told; refuses what is none."""
    found: dict[str, float] = {}
    for what, value in told.items():
        if value is None:
            continue
        number = reports.as_amount(value) if what == COST else reports.as_count(value)
        if number is None:
            recording.refuse(what, value)
        else:
            found[what] = number
    return found
