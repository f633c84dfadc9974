"""Sixteen ways to break a hop: what each does, and which hop must be the first to say so."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Break:
    """A sabotage. `hop` is the first that must be broken; what needs it is not reached, all others hold."""

    hop: str
    does: str
    also: tuple[str, ...] = ()
    """Hops that see it too, in another signal."""
    app_code: bool = False
    """The application runs with a fault in its code: `gwz_e2e.saboteur` has it under the break's name."""
    app_env: Mapping[str, str] = field(default_factory=dict)
    target_labels: Mapping[str, str] = field(default_factory=dict)
    tempo: Mapping[str, object] = field(default_factory=dict)
    stops: str | None = None
    """A server that is stopped, or "app"."""
    forges_ledger: bool = False

    @property
    def touches_servers(self) -> bool:
        """Whether applications beside it would notice, so that it needs the stack for itself."""
        return bool(self.tempo) or self.stops not in (None, "app")


_NOWHERE = "http://127.0.0.1:9"

BREAKS: Mapping[str, Break] = {
    "app-down": Break("app", "the application is not started", stops="app"),
    "scrape-path": Break(
        "scrape", "Prometheus asks /health for metrics", target_labels={"__metrics_path__": "/health"}
    ),
    "metric-renamed": Break("exposition", "fastapi_requests_total is emitted under another name", app_code=True),
    "loki-url": Break("logs", "GWZ_LOKI_URL names a port where nothing listens", app_env={"GWZ_LOKI_URL": _NOWHERE}),
    "log-dropped": Break("logs", "one request line in twenty is never queued", app_code=True),
    "log-doubled": Break("logs", "one request line in twenty is queued twice", app_code=True),
    "otlp-port": Break(
        "spans",
        "OTEL_EXPORTER_OTLP_ENDPOINT names a port where nothing listens",
        app_env={"OTEL_EXPORTER_OTLP_ENDPOINT": _NOWHERE},
    ),
    "trace-parent": Break(
        "trace_parent", "the server span takes another span of the trace for its parent", app_code=True
    ),
    "exemplar": Break("exemplars", "durations are observed without an exemplar", app_code=True),
    "failure-as-success": Break(
        "calls", "a stream that breaks counts as one that ended well", also=("trace_parent",), app_code=True
    ),
    "hit-forgotten": Break("data", "one hit of a cache in twenty is not counted", app_code=True),
    "balance-stale": Break("business", "what customers have left is what it was at the start", app_code=True),
    "failure-hidden": Break(
        "endpoints_local", "the JSON endpoints take a stream that breaks for no failure", app_code=True
    ),
    "remote-write": Break(
        "span_metrics",
        "Tempo writes its metrics to a path that Prometheus does not have",
        tempo={"metrics_generator.storage.remote_write.0.url": "{prometheus}/api/v1/wrote"},
    ),
    "ledger-off-by-one": Break("ledger", "the ledger lacks its last line", forges_ledger=True),
    # Nothing is kept in a Redis that is away: the spans of it lack what only a pipeline has.
    "redis-down": Break("redis", "Redis is stopped", also=("trace_parent",), stops="redis"),
}
