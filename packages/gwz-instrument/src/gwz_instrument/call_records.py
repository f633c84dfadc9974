"""What is written of a call to a model when it ends: samples, its spans, the fields of its request's line."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import Span

from . import outcomes
from .bills import COST, INPUT, OUTPUT, Bill
from .calls import Attempt, Call
from .cells import Cell
from .exchange import Exchange, ids
from .health import scores
from .labels import OTHER, CallLabels
from .literals import is_literal
from .metrics import Collectors
from .names import name_of, plain
from .outcomes import Outcome
from .semconv import Metric, logs, providers, spans
from .semconv import inference as metrics
from .span_ends import SpanEnd

if TYPE_CHECKING:
    from .logs import LokiHandler

LOGGER: Final = "gwz_instrument.inference"
_BAD: Final = frozenset({outcomes.ERROR, outcomes.TIMEOUT, outcomes.STREAM_ERROR, outcomes.ABANDONED})


class AttemptEnded(NamedTuple):
    """A fact: an attempt at a provider is over. Label values, not what a client said."""

    provider: str
    model: str
    status: str
    seconds: float


class CallFailed(NamedTuple):
    """A fact: a call is over, and was not answered. Label values, and what went wrong."""

    provider: str
    model: str
    error_type: str
    seconds: float


class UsageKnown(NamedTuple):
    """A fact: what a call consumed or cost is known. Label values, not what a client said."""

    provider: str
    model: str
    usage: Mapping[str, float]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CallRecorder:
    """Writes the calls of one application."""

    collectors: Collectors
    labels: CallLabels
    lines: "LokiHandler | None"
    endpoint_of: Callable[[Exchange | None], str]
    end_span: Callable[[SpanEnd], None]
    tell: Callable[[Any], None]
    _requests: "_ByStatus" = field(init=False)
    _attempts: "_ByStatus" = field(init=False)

    def __post_init__(self) -> None:
        """Make room for the cells that are used at every call."""
        object.__setattr__(self, "_requests", _ByStatus(self.collectors, metrics.REQUESTS))
        object.__setattr__(self, "_attempts", _ByStatus(self.collectors, providers.ATTEMPTS))

    def labels_of(self, call: Call, outcome: Outcome) -> tuple[str, str]:
        """The label values for the provider and the model of a call that has just ended."""
        model = self.labels.model(plain(call.options.model), answered=outcome.status == outcomes.SUCCESS)
        return self._provider(call.provider, call.code), model

    def attempt_ended(self, attempt: Attempt, seconds: float) -> None:
        """Write an attempt that the application made by itself."""
        outcome = attempt.outcome or Outcome(outcomes.SUCCESS)
        provider = self._provider(attempt.provider, attempt.code)
        model = self.labels.model_under_way(plain(attempt.call.options.model))
        self._attempted(attempt.call, provider, model, outcome, seconds)
        if (span := attempt.span) is not None and span.is_recording():
            self._end(span, _attempt_attributes(attempt, outcome), outcome)

    def call_ended(self, call: Call, bill: Bill) -> None:
        """Write a call; `bill` is what is known by now of what it consumed and cost."""
        outcome, (provider, model) = call.outcome or Outcome(outcomes.SUCCESS), call.labels or (OTHER, OTHER)
        seconds = call.ended_s - call.started_s
        child = self.collectors.child
        self._requests.inc(provider, model, status=outcome.status)
        child(metrics.DURATION, provider, model).observe(seconds, call.trace_id)
        self._first_bytes(call, provider, model, outcome, seconds)
        if not call.attempts:
            self._attempted(call, provider, model, outcome, seconds)
        if bill.numbers:
            self._count(provider, model, bill)
        if (span := call.span) is not None and span.is_recording():
            self._end(span, _call_attributes(call, outcome, bill), outcome)
        if call.exchange is not None:
            call.exchange.note(_fields(call, outcome, bill))
        if outcome.status in scores.FAILURES:
            self.tell(CallFailed(provider, model, outcome.error_type or outcome.status, seconds))

    def usage_came_late(self, call: Call, bill: Bill) -> None:
        """Count what a call that is over is told of itself; a line says so, for its span and perhaps its request's line are out."""
        provider, model = call.labels or (OTHER, OTHER)
        self._count(provider, model, bill)
        if self.lines is not None:
            self.lines.write(
                level=logging.INFO,
                logger=LOGGER,
                message=f"usage of {call.options.operation} {call.options.model_name}",
                fields={
                    logs.PROVIDER.name: name_of(call.provider),
                    logs.MODEL.name: call.options.model_name,
                    **_usage_fields(bill),
                },
                metadata={**ids(call.span or _span_around(call)), **_request_id(call)},
            )

    def _end(self, span: Span, attributes: Mapping[str, Any], outcome: Outcome) -> None:
        self.end_span(SpanEnd(span, None, lambda: attributes, outcome.status in _BAD, None, time.time_ns()))

    def _provider(self, name: object, code: CodeType | None) -> str:
        return OTHER if name is None else self.labels.provider(plain(name), lambda: is_literal(name, code))

    def _attempted(self, call: Call, provider: str, model: str, outcome: Outcome, seconds: float) -> None:
        self._attempts.inc(provider, status=outcome.status)
        child = self.collectors.child
        child(metrics.PROVIDER_RESPONSE_TIME, provider).observe(seconds, call.trace_id)
        if outcome.status == outcomes.SUCCESS:
            child(providers.ANSWER_SECONDS, provider).inc(seconds)
            child(providers.ANSWER_WORTH, provider).inc(scores.worth(seconds))
        self.tell(AttemptEnded(provider, model, outcome.status, seconds))

    def _first_bytes(self, call: Call, provider: str, model: str, outcome: Outcome, seconds: float) -> None:
        first = (
            call.first_s - call.started_s if call.first_s else seconds if outcome.status == outcomes.SUCCESS else None
        )
        if first is None:
            return
        child, trace_id = self.collectors.child, call.trace_id
        endpoint = self._endpoint(call)
        child(metrics.BACKEND_TTFB, provider, model, endpoint).observe(first, trace_id)
        if call.first_s and call.streamed:
            child(metrics.FIRST_CHUNK, provider, model).observe(first, trace_id)
            last_s = call.last_s or call.ended_s
            child(metrics.STREAMING_DURATION, provider, model, endpoint).observe(last_s - call.first_s, trace_id)

    def _endpoint(self, call: Call) -> str:
        given = call.options.endpoint
        return self.endpoint_of(call.exchange) if given is None else self.labels.endpoint(plain(given))

    def _count(self, provider: str, model: str, bill: Bill) -> None:
        count, usage = self.collectors.count, bill.numbers
        for what, kind in _TOKENS:
            if (tokens := usage.get(what)) is not None:
                counted = f"{kind}_estimated" if what in bill.estimated else kind
                count(metrics.TOKENS, provider, model, counted, amount=tokens)
        if (cost := usage.get(COST)) is not None:
            count(metrics.CREDITS, provider, model, amount=cost)
            count(metrics.COST, provider, amount=cost)
        self.tell(UsageKnown(provider, model, usage))


class _ByStatus:
    """The cells of a counter whose last label is the status: once one is used all are there, so that none begins above zero."""

    __slots__ = ("_cells", "_child")

    def __init__(self, collectors: Collectors, entry: Metric) -> None:
        self._child = partial(collectors.child, entry)
        self._cells: dict[tuple[str, ...], dict[str, Cell]] = {}

    def inc(self, *labels: str, status: str) -> None:
        """Count one up."""
        cells = self._cells.get(labels)
        if cells is None:
            cells = self._cells[labels] = {one: self._child(*labels, one) for one in metrics.STATUSES}
        cells[status].inc()


def _call_attributes(call: Call, outcome: Outcome, bill: Bill) -> dict[str, Any]:
    found: dict[str, Any] = {
        spans.OPERATION.name: call.options.operation,
        spans.MODEL.name: call.options.model_name,
        spans.CALL_OUTCOME.name: outcome.status,
        spans.STREAM.name: bool(call.streamed),
    }
    if provider := name_of(call.provider):
        found[spans.PROVIDER.name] = provider
    if call.attempts:
        found[spans.ATTEMPTS.name] = call.attempts
    elif provider and not call.asked:  # else the attempts, or the requests, are what leaves the process
        found[spans.PEER_SERVICE.name] = provider
    if call.response_model:
        found[spans.RESPONSE_MODEL.name] = call.response_model
    if call.finish_reasons:
        found[spans.FINISH_REASONS.name] = call.finish_reasons
    if call.first_s:
        found[spans.FIRST_CHUNK.name] = call.first_s - call.started_s
    if usage := bill.numbers:
        found |= {attribute: usage[what] for what, attribute in _USAGE_ATTRIBUTES.items() if what in usage}
        found[spans.ESTIMATED.name] = bool(bill.estimated)
    if outcome.error_type:
        found[spans.ERROR_TYPE.name] = outcome.error_type
    return found


def _attempt_attributes(attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {
        spans.OPERATION.name: attempt.call.options.operation,
        spans.PROVIDER.name: name_of(attempt.provider),
        spans.MODEL.name: attempt.call.options.model_name,
        spans.ATTEMPT_NUMBER.name: attempt.number,
        spans.CALL_OUTCOME.name: outcome.status,
    }
    if not attempt.asked:
        found[spans.PEER_SERVICE.name] = name_of(attempt.provider)
    if model := name_of(attempt.model):
        found[spans.RESPONSE_MODEL.name] = model
    if outcome.error_type:
        found[spans.ERROR_TYPE.name] = outcome.error_type
    return found


def _fields(call: Call, outcome: Outcome, bill: Bill) -> dict[str, Any]:
    """What the request's line says of its call; of several, the last one's."""
    found: dict[str, Any] = {
        logs.MODEL.name: call.options.model_name,
        logs.STREAM.name: bool(call.streamed),
        logs.ATTEMPTS.name: max(call.attempts, 1),
        logs.CALL_OUTCOME.name: outcome.status,
        logs.CALL_MS.name: round((call.ended_s - call.started_s) * 1e3, 3),
    }
    if provider := name_of(call.provider):
        found[logs.PROVIDER.name] = provider
    if bill.numbers:
        found |= _usage_fields(bill)
    if call.first_s:
        found[logs.FIRST_CHUNK_MS.name] = round((call.first_s - call.started_s) * 1e3, 3)
    if call.response_model:
        found[logs.RESPONSE_MODEL.name] = call.response_model
    if outcome.error_type:
        found[logs.ERROR_TYPE.name] = outcome.error_type
    return found


def _usage_fields(bill: Bill) -> dict[str, Any]:
    return {
        **{field: bill.numbers[what] for what, field in _USAGE_FIELDS.items() if what in bill.numbers},
        logs.ESTIMATED.name: bool(bill.estimated),
    }


def _span_around(call: Call) -> Span | None:
    """The span of the request, which a call in a trace that is not sampled has none beside."""
    return None if call.exchange is None else call.exchange.span or call.exchange.foreign


def _request_id(call: Call) -> dict[str, str]:
    return {} if call.exchange is None else {logs.REQUEST_ID.name: call.exchange.request_id}


_TOKENS: Final = ((INPUT, "input"), (OUTPUT, "output"))
_USAGE_ATTRIBUTES: Final = {INPUT: spans.INPUT_TOKENS.name, OUTPUT: spans.OUTPUT_TOKENS.name, COST: spans.COST.name}
_USAGE_FIELDS: Final = {INPUT: logs.INPUT_TOKENS.name, OUTPUT: logs.OUTPUT_TOKENS.name, COST: logs.COST_USD.name}
