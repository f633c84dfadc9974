"""Traces: each is in Tempo, its spans hang together, and the sampler keeps the share it was told to."""

from collections.abc import Iterator

from fastapi_app.load.ledger import Entry, provider_answered
from gwz_e2e.case import Case
from gwz_e2e.checks.logs import lines
from gwz_e2e.compare import shorten
from gwz_e2e.engines import Span
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import http, logs, spans

_NEWEST = 20
_SERVER, _CLIENT = "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"


def newest_arrived(case: Case) -> Finding:
    """The traces of the last requests are in Tempo: spans leave the application and arrive."""
    return _arrived(case, list(case.by_trace)[-_NEWEST:])


def all_arrived(case: Case) -> Finding:
    """Every trace of the ledger is in Tempo with a server span of the application."""
    return _arrived(case, list(case.by_trace))


def _arrived(case: Case, trace_ids: list[str]) -> Finding:
    found = case.traces.fetch(trace_ids)
    missing = [trace_id for trace_id, trace in found.items() if not _of(trace, case.service, _SERVER)]
    return Finding(
        not missing and bool(found),
        f"{len(missing)} of {len(found)} traces are not in Tempo, {missing[0]} for one"
        if missing
        else f"{len(found)} traces in Tempo, each with its server span",
    )


def hang_together(case: Case) -> Finding:
    """Caller, server span, provider call and provider hang together, with the ledger's facts on them."""
    phrases = _faults(case, again=False)
    if phrases:  # a span that was on its way when its trace was fetched is there now
        phrases = _faults(case, again=True)
    return Finding(
        not phrases, shorten(phrases) or f"{len(case.by_trace)} traces have the right parents, attributes and status"
    )


def sampler_keeps_its_share(case: Case) -> Finding:
    """Of all trace ids in the log lines, exactly those below the sampler's bound are in Tempo."""
    ids = {str(line.labels.get(logs.TRACE_ID.name)) for line in lines(case)}
    bound = round(case.sampled_share * 2**64)
    wanted = {trace_id for trace_id in ids if int(trace_id[16:], 16) < bound}
    found = {trace_id for trace_id, trace in case.traces.fetch(ids).items() if trace}
    share = f"{len(found)} of {len(ids)} traces are in Tempo, by their ids {len(wanted)} should be"
    return Finding(len(ids) == len(case.ledger) and found == wanted and 0 < len(wanted) < len(ids), share)


def _faults(case: Case, *, again: bool) -> list[str]:
    found = case.traces.fetch(case.by_trace, again=again)
    return [
        f"{entry.id}: {fault}"
        for trace_id, entry in case.by_trace.items()
        for fault in _faults_of(entry, found[trace_id], case.service)
    ]


def _faults_of(entry: Entry, trace: list[Span], service: str) -> Iterator[str]:
    servers = _of(trace, service, _SERVER)
    if len(servers) != 1:
        yield f"{len(servers)} server spans of {service} instead of 1"
        return
    server = servers[0]
    if server.parent_id != entry.trace_id[16:]:  # type: ignore[index]  # by_trace has only entries with an id
        yield f"the server span's parent is {server.parent_id or 'missing'}, the caller was {entry.trace_id[16:]}"  # type: ignore[index]
    yield from _wrong_attributes(entry, server)
    calls = _of(trace, service, _CLIENT)
    if len(calls) != (entry.provider is not None):
        yield f"{len(calls)} calls to providers instead of {int(entry.provider is not None)}"
        return
    for call in calls:
        yield from _wrong_call(entry, call, server, trace)


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
    if call.attributes.get(spans.PROVIDER.name) != entry.provider:
        yield f"the call went to {call.attributes.get(spans.PROVIDER.name)!r} instead of {entry.provider!r}"
    answers = [span for span in trace if span.parent_id == call.span_id and span.kind == _SERVER]
    wanted = [entry.provider] if provider_answered(entry) else []
    if [span.service for span in answers] != wanted:
        yield f"the call was answered by {[span.service for span in answers]} instead of {wanted}"


def _of(trace: list[Span], service: str, kind: str) -> list[Span]:
    return [span for span in trace if span.service == service and span.kind == kind]
