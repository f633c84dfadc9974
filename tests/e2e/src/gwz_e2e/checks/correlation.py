"""One request through all three signals: exemplar, its trace, its log line."""

from gwz_e2e.case import Case
from gwz_e2e.checks.logs import lines
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import http, logs

_FOLLOWED = 20


def exemplar_to_trace_to_log(case: Case) -> Finding:
    """From an exemplar to its trace in Tempo to its one line in Loki, and all three speak of the same request."""
    exemplars = case.engines.prometheus.exemplars(
        f'{http.DURATION.name}_bucket{{app_name="{case.service}"}}', *case.window
    )[:_FOLLOWED]
    by_trace: dict[object, list[str]] = {}
    for line in lines(case):
        by_trace.setdefault(line.metadata.get(logs.TRACE_ID.name), []).append(str(line.fields.get(logs.PATH.name)))
    phrases = []
    for exemplar in exemplars:
        path = exemplar.series["path"]
        if not case.traces.fetch([exemplar.trace_id])[exemplar.trace_id]:
            phrases.append(f"{exemplar.trace_id}: no trace")
        if by_trace.get(exemplar.trace_id) != [path]:
            phrases.append(
                f"{exemplar.trace_id}: lines for {by_trace.get(exemplar.trace_id)}, the exemplar's path is {path}"
            )
    return Finding(
        bool(exemplars) and not phrases,
        shorten(phrases) or f"{len(exemplars)} exemplars followed to their trace and their log line",
    )
