"""The joins between the data sources as Grafana has them: exemplar to trace, line to trace, trace to lines and metrics."""

from collections.abc import Iterator, Sequence

from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID, TEMPO_UID
from gwz_dashboards.tempo_metrics import EDGE_CALLS
from gwz_e2e.browser.site import Site
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.panels.answers import LogLine
from gwz_e2e.panels.boards import Json

_FOLLOWED = 5


def joined(site: Site) -> Finding:
    """Each join of each data source leads from what the panels show to something that belongs to it."""
    wrong = [*_to_traces(site), *_from_traces(site)]
    return Finding(
        not wrong,
        shorten(wrong)
        or f"{_FOLLOWED} exemplars and {_FOLLOWED} lines lead to their traces, those to their lines, to metrics and to the map of services",
    )


def lines_of(site: Site, trace_id: str) -> Sequence[LogLine]:
    """The lines to which Grafana leads from a trace."""
    join = site.sources[TEMPO_UID]["jsonData"]["tracesToLogsV2"]
    query = join["query"].replace("${__trace.traceId}", trace_id)
    return site.ask(
        {"datasource": {"type": "loki", "uid": join["datasourceUid"]}, "queryType": "range", "expr": query}
    ).lines


def _to_traces(site: Site) -> Iterator[str]:
    (exemplar,) = site.sources[PROMETHEUS_UID]["jsonData"]["exemplarTraceIdDestinations"]
    (field,) = site.sources[LOKI_UID]["jsonData"]["derivedFields"]
    label = field["matcherRegex"]
    dots = [trace for one in site.seen for trace in one.shown.exemplars]
    lines = [line.labels[label] for one in site.seen for line in one.shown.lines if label in line.labels]
    for what, found, uid in (("exemplar", dots, exemplar["datasourceUid"]), ("line", lines, field["datasourceUid"])):
        if len(found) < _FOLLOWED:
            yield f"{len(found)} {what}s name a trace"
        yield from (
            f"the trace {one} of a {what} is not there" for one in found[:_FOLLOWED] if not site.spans(uid, one)
        )


def _from_traces(site: Site) -> Iterator[str]:
    joins = site.sources[TEMPO_UID]["jsonData"]
    for trace_id in list(site.facts.by_trace)[:_FOLLOWED]:
        if not any(trace_id in line.labels.values() for line in lines_of(site, trace_id)):
            yield f"no line belongs to the trace {trace_id}"
    to_metrics = joins["tracesToMetrics"]
    tags = ",".join(f'{tag["value"]}="{site.facts.case.service}"' for tag in to_metrics["tags"])
    asked = [(to_metrics["datasourceUid"], one["query"].replace("$__tags", tags)) for one in to_metrics["queries"]]
    asked.append((joins["serviceMap"]["datasourceUid"], f"rate({EDGE_CALLS.name}{{}}[5m])"))
    yield from (f"nothing is answered to {query}" for uid, query in asked if not site.ask(_promql(uid, query)).curves)


def _promql(uid: str, query: str) -> Json:
    return {"datasource": {"type": "prometheus", "uid": uid}, "instant": True, "range": False, "expr": query}
