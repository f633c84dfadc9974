"""Traces: each is in Tempo, its spans hang together, and the sampler keeps the share it was told to."""

from collections.abc import Iterator, Mapping
from itertools import chain

from fastapi_app.catalog import PROVIDERS
from fastapi_app.load.ledger import Entry, answering
from gwz_e2e.case import Case
from gwz_e2e.checks.contract import span_faults
from gwz_e2e.checks.health import admissions
from gwz_e2e.checks.logs import lines
from gwz_e2e.compare import shorten
from gwz_e2e.engines import Line, Span
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import http, logs, spans

_NEWEST = 20
_SERVER, _CLIENT = "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"
_FAILED = ("stream_error", "cancelled")
_CHARGE = "task charge"
_BESIDE = (
    'name = "pipeline"',
    'name = "evalsha" && status = error',
    f'name = "{_CHARGE}" && status = error',
    f'name = "{_CHARGE}" && status != error',
)
_SOME = 5
_START_S = 60.0
"""How long before its load an application may have been started."""


def newest_arrived(case: Case) -> Finding:
    """The traces of the last requests are in Tempo: spans leave the application and arrive."""
    return _arrived(case, list(case.by_trace)[-_NEWEST:])


def all_arrived(case: Case) -> Finding:
    """Every trace of the ledger is in Tempo with a server span of the application, which has given none up."""
    finding = _arrived(case, list(case.by_trace))
    phrases = admissions(case, "traces", len(case.by_trace)) if finding.ok else []
    return Finding(ok=False, sentence=shorten(phrases)) if phrases else finding


def _arrived(case: Case, trace_ids: list[str]) -> Finding:
    missing = _without_server_span(case, trace_ids)
    if missing:  # the provider's span may have come before ours, when the trace was fetched
        missing = _without_server_span(case, missing, again=True)
    return Finding(
        not missing and bool(trace_ids),
        f"{len(missing)} of {len(trace_ids)} traces are not in Tempo, {missing[0]} for one"
        if missing
        else f"{len(trace_ids)} traces in Tempo, each with its server span",
    )


def _without_server_span(case: Case, trace_ids: list[str], *, again: bool = False) -> list[str]:
    found = case.traces.fetch(trace_ids, again=again)
    return [trace_id for trace_id, trace in found.items() if not _of(trace, case.service, _SERVER)]


def hang_together(case: Case) -> Finding:
    """Caller, server span, provider call and provider hang together, with the ledger's facts on them, as declared."""
    phrases = _faults(case, again=False)
    if phrases:  # a span that was on its way when its trace was fetched is there now
        phrases = _faults(case, again=True)
    return Finding(
        not phrases, shorten(phrases) or f"{len(case.by_trace)} traces have the right parents, attributes and status"
    )


def sampler_keeps_its_share(case: Case) -> Finding:
    """Traces whose ids are below the sampler's bound are in Tempo; of the others, the server span of what failed."""
    requests = {str(line.metadata.get(logs.TRACE_ID.name)): line for line in lines(case)}
    bound = round(case.sampled_share * 2**64)
    sampled = {trace_id for trace_id in requests if int(trace_id[16:], 16) < bound}
    kept = {trace_id for trace_id, line in requests.items() if trace_id not in sampled and _failed(line)}
    found = case.traces.fetch(requests)
    phrases = [
        *_wrong_traces("sampled", sampled, {key for key, trace in found.items() if trace and not _is_kept(trace)}),
        *_wrong_traces("kept", kept, {key for key, trace in found.items() if _is_kept(trace)}),
        *span_faults(case, (span for trace in found.values() for span in trace)),
    ]
    whole = len(requests) == len(case.ledger) and 0 < len(sampled) < len(requests) and bool(kept)
    return Finding(
        whole and not phrases,
        shorten(phrases)
        or f"of {len(requests)} traces {len(sampled)} were sampled and of {len(kept)} the failed request was kept",
    )


def _wrong_traces(what: str, wanted: set[str], found: set[str]) -> list[str]:
    if wanted == found:
        return []
    example = min(wanted ^ found)
    return [
        f"{len(found)} traces are {what}, {len(wanted)} should be: {example} is {'none' if example in wanted else 'one'}"
    ]


def _is_kept(trace: list[Span]) -> bool:
    """Whether a trace is nothing but the server span of a request that was not sampled."""
    return [(span.kind, span.attributes.get(spans.KEPT.name)) for span in trace] == [(_SERVER, True)]


def _failed(line: Line) -> bool:
    """Whether the span of an unsampled request with this line is kept; none here is slow enough to be."""
    return line.fields[logs.STATUS_CODE.name] >= 500 or line.fields[logs.OUTCOME.name] in _FAILED


def _faults(case: Case, *, again: bool) -> list[str]:
    found = case.traces.fetch(case.by_trace, again=again)
    return [
        f"{entry.id}: {fault}"
        for trace_id, entry in case.by_trace.items()
        for fault in _faults_of(entry, found[trace_id], case.service)
    ] + _faults_beside(case, found)


def _faults_beside(case: Case, found: Mapping[str, list[Span]]) -> list[str]:
    """The faults of all spans by the contract, and charges that name no request of the load as what started them."""
    beside = list(_spans_beside(case))
    lost = [span for span in beside if span.name == _CHARGE and not case.by_trace.keys() & set(span.links)]
    return [
        *(f"the charge {span.span_id} has no link to a request" for span in lost),
        *span_faults(case, chain(beside, *found.values())),
    ]


def _spans_beside(case: Case) -> Iterator[Span]:
    """Spans in traces that no request of the load waited for: of the start, and of charges, some of them in vain."""
    for selector in _BESIDE:
        query = f'{{ resource.service.name = "{case.service}" && {selector} }}'
        for trace_id in case.engines.tempo.search(query, case.window[0] - _START_S, case.window[1], limit=_SOME):
            yield from case.engines.tempo.trace(trace_id)


def _faults_of(entry: Entry, trace: list[Span], service: str) -> Iterator[str]:
    servers = _of(trace, service, _SERVER)
    if len(servers) != 1:
        yield f"{len(servers)} server spans of {service} instead of 1"
        return
    server = servers[0]
    if server.parent_id != entry.trace_id[16:]:  # type: ignore[index]  # by_trace has only entries with an id
        yield f"the server span's parent is {server.parent_id or 'missing'}, the caller was {entry.trace_id[16:]}"  # type: ignore[index]
    yield from _wrong_attributes(entry, server)
    calls = [span for span in _of(trace, service, _CLIENT) if _is_call(span)]
    if len(calls) != (entry.provider is not None):
        yield f"{len(calls)} calls to providers instead of {int(entry.provider is not None)}"
        return
    for call in calls:
        yield from _wrong_call(entry, call, server, trace)
    yield from _wrong_answers(entry, trace)
    yield from _wrong_queries(entry, server, trace)


def _wrong_attributes(entry: Entry, span: Span) -> Iterator[str]:
    wanted = {
        spans.HTTP_METHOD.name: entry.method,
        spans.HTTP_ROUTE.name: None if entry.route == http.UNMATCHED else entry.route,
        spans.HTTP_STATUS.name: entry.status,
        spans.OUTCOME.name: str(entry.outcome),
        spans.REQUEST_ID.name: entry.id,
        spans.PROVIDER.name: entry.provider,
        spans.MODEL.name: entry.model,
    }
    for name, value in wanted.items():
        if span.attributes.get(name) != value:
            yield f"{name} is {span.attributes.get(name)!r} instead of {value!r}"
    should_fail = entry.status >= 500 or entry.outcome == "stream_error"
    if span.failed != should_fail:
        yield f"the server span's status is {'error' if span.failed else 'unset'}, the request was {entry.outcome}"


def _wrong_call(entry: Entry, call: Span, server: Span, trace: list[Span]) -> Iterator[str]:
    if call.parent_id != server.span_id:
        yield "the provider call is not a child of the server span"
    wanted = {
        spans.PROVIDER.name: entry.provider,
        spans.MODEL.name: entry.model,
        spans.CALL_OUTCOME.name: str(entry.outcome),
        spans.INPUT_TOKENS.name: entry.input_tokens,
        spans.OUTPUT_TOKENS.name: entry.output_tokens,
        spans.ESTIMATED.name: None if entry.cost_usd is None else entry.estimated,
        spans.ATTEMPTS.name: 2 if entry.failed_first else None,
    }
    for name, value in wanted.items():
        if call.attributes.get(name) != value:
            yield f"the call's {name} is {call.attributes.get(name)!r} instead of {value!r}"
    attempts = [
        (_provider_of(span), span.failed) for span in trace if _is_attempt(span) and span.parent_id == call.span_id
    ]
    planned = [(entry.failed_first, True), (entry.provider, False)] if entry.failed_first else []
    if sorted(attempts) != sorted(planned):
        yield f"the attempts are {attempts} instead of {planned}"


def _wrong_answers(entry: Entry, trace: list[Span]) -> Iterator[str]:
    """Each provider's span hangs on the one span of ours that names it as its peer."""
    by_id = {span.span_id: span for span in trace}
    answers = [span for span in trace if span.kind == _SERVER and span.service in PROVIDERS]
    wanted = answering(entry)
    if sorted(span.service for span in answers) != sorted(wanted):
        yield f"the call was answered by {[span.service for span in answers]} instead of {wanted}"
    for span in answers:
        asked = by_id.get(span.parent_id)
        peer = asked.attributes.get(spans.PEER_SERVICE.name) if asked else None
        if peer != span.service:
            yield f"{span.service} was asked by a span whose peer is {peer!r}"


def _wrong_queries(entry: Entry, server: Span, trace: list[Span]) -> Iterator[str]:
    """What a completion causes in the databases: it is written down, and charged in a task of its own."""
    written = [span for span in trace if span.name == "insert completions"]
    if [span.parent_id for span in written] != [server.span_id] * (entry.cost_usd is not None):
        yield f"{len(written)} completions were written down instead of {int(entry.cost_usd is not None)}"
    if any(span.name == _CHARGE for span in trace):
        yield "it was charged within the request, which then takes as long as the charge"
    counted = [span for span in trace if span.name == "evalsha" and span.parent_id == server.span_id]
    if entry.provider is not None and len(counted) != 1:
        yield f"{len(counted)} look-ups of the limit instead of 1"


def _is_call(span: Span) -> bool:
    return spans.OPERATION.name in span.attributes and not _is_attempt(span)


def _is_attempt(span: Span) -> bool:
    return spans.ATTEMPT_NUMBER.name in span.attributes


def _provider_of(span: Span) -> str | None:
    found = span.attributes.get(spans.PROVIDER.name)
    return None if found is None else str(found)


def _of(trace: list[Span], service: str, kind: str) -> list[Span]:
    return [span for span in trace if span.service == service and span.kind == kind]
