"""The hops from the servers to the last signal, in the order in which a person would look for a fault."""

from collections.abc import Callable
from functools import partial

from gwz_e2e.case import Case, Engines
from gwz_e2e.checks import (
    app,
    correlation,
    data,
    derived,
    endpoints,
    far_ends,
    logs,
    metrics,
    refusals,
    servers,
    traces,
    workers,
)
from gwz_e2e.hops import Finding, Hop
from gwz_e2e.readers import Readers

SIGNALS = {
    "metrics": "metrics",
    "logs": "logs",
    "traces": "spans",
    "exemplars": "exemplars",
    "span_metrics": "span_metrics",
}
"""Freshness by name → the hop that says when the signal was complete."""

_SCRAPE_S = 20.0
_PUSH_S = 20.0
_TRACE_S = 30.0
DERIVED_S = 60.0
"""Span metrics reach Prometheus some 15 s after their span, edges without an answer 10 s later still."""


def server_hops(engines: Engines) -> list[Hop]:
    """The servers, each for itself."""
    return [
        Hop("prometheus", partial(servers.prometheus, engines)),
        Hop("loki", partial(servers.loki, engines)),
        Hop("tempo", partial(servers.tempo, engines)),
        Hop("redis", partial(servers.redis_answers, engines)),
        Hop("redis_exporter", partial(servers.exporter, engines), ("redis", "prometheus"), _SCRAPE_S),
    ]


def case_hops(case: Case, *, derived_s: float = DERIVED_S) -> list[Hop]:
    """What has to hold for an application that was under load; `derived_s` is the patience with Tempo's metrics."""

    def hop(name: str, check: Callable[[Case], Finding], *needs: str, patience_s: float = 0.0) -> Hop:
        return Hop(name, partial(check, case), needs, patience_s)

    return [
        hop("app", app.answers),
        hop("exposition", app.exposes, "app"),
        hop("check", app.checked_by_command, "exposition"),
        hop("load", app.load_as_planned, "app"),
        hop("ledger", app.ledger_complete, "load"),
        hop("cache", servers.cache_used, "load", "redis"),
        hop("scrape", metrics.scraped, "app", "prometheus", patience_s=_SCRAPE_S),
        hop("metrics", metrics.requests_equal, "ledger", "exposition", "scrape", patience_s=_SCRAPE_S),
        hop("calls", metrics.calls_equal, "metrics", patience_s=_SCRAPE_S),
        hop("data", data.data_equal, "metrics", "cache", patience_s=_SCRAPE_S),
        hop("business", data.business_equal, "calls", patience_s=_SCRAPE_S),
        hop("endpoints_local", endpoints.told_by_itself, "calls", patience_s=_SCRAPE_S),
        hop("durations", metrics.durations_hold, "metrics"),
        hop("logs", logs.each_once, "ledger", "loki", patience_s=_PUSH_S),
        hop("spans", traces.newest_arrived, "ledger", "tempo", patience_s=_TRACE_S),
        hop("traces", traces.all_arrived, "spans", patience_s=_TRACE_S),
        hop("trace_parent", traces.hang_together, "traces", patience_s=_TRACE_S),
        hop("exemplars", metrics.exemplars_lead_to_traces, "metrics", patience_s=_SCRAPE_S),
        hop("correlation", correlation.exemplar_to_trace_to_log, "exemplars", "logs", "traces", patience_s=5.0),
        hop("span_metrics", derived.span_metrics_equal, "spans", "prometheus", patience_s=derived_s),
        hop("service_graph", derived.service_graph_equal, "span_metrics", patience_s=derived_s),
    ]


def reader_hops(case: Case, readers: Readers, alone: Readers, store_port: int) -> list[Hop]:
    """What else has to hold of the JSON endpoints: `alone` looks for its Prometheus at a port where there is none."""
    from_prometheus = partial(endpoints.numbers_equal, case, readers.url, "prometheus")
    every = ("endpoints_local", "endpoints_prometheus")
    return [
        Hop("endpoints_prometheus", from_prometheus, ("calls", "logs"), _SCRAPE_S),
        Hop("workers", partial(workers.agree, case, readers.url, readers.workers), ("endpoints_prometheus",)),
        Hop("endpoint_errors", partial(refusals.seen, case, alone.url, store_port), every),
        Hop("instrumentation", partial(far_ends.arrive, case), ("logs", "spans"), _TRACE_S),
        Hop("endpoints_command", partial(app.endpoints_by_command, case, readers.url), (*every, "instrumentation")),
        Hop("endpoints_quick", partial(endpoints.quick, case, readers.url), (*every, "workers", "endpoint_errors")),
    ]


def again_hops(case: Case, again: Case, readers: Readers) -> list[Hop]:
    """After a second load of the same application: each number has grown by what the second ledger has."""
    both = {"endpoints_local_again": (case.app_url, "local"), "endpoints_prometheus_again": (readers.url, "prometheus")}
    return [
        Hop("load_again", partial(app.load_as_planned, again)),
        *(
            Hop(name, partial(endpoints.numbers_equal, case, url, source, again), ("load_again",), _SCRAPE_S)
            for name, (url, source) in both.items()
        ),
        Hop("endpoints_counted", partial(endpoints.counted, case), tuple(both)),
    ]


def sampler_hop(case: Case) -> Hop:
    """The share of traces that a ratio sampler keeps, of a second application."""
    return Hop("sampler", partial(traces.sampler_keeps_its_share, case), ("loki", "tempo"), _TRACE_S)
