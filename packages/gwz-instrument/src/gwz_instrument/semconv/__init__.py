"""The contract: every metric, label, log field and span attribute, declared once.

Dashboards, checks and emitters refer to these entries and never to strings of their own.
"""

from . import business, cache, database, endpoints, health, http, inference, logs, process, providers, spans, stages
from .model import Attribute, Endpoint, Field, Label, Metric, Parameter, Span

CORE: tuple[Metric, ...] = (*http.METRICS, *health.METRICS, *process.METRICS)
"""What `instrument(app)` alone emits."""
DOMAIN: tuple[Metric, ...] = (
    *inference.METRICS,
    *providers.METRICS,
    *database.METRICS,
    *cache.METRICS,
    *stages.METRICS,
    *business.METRICS,
    *endpoints.METRICS,
)
"""What the recorders emit, which an application calls where it calls models, databases and caches, and the JSON endpoints."""
METRICS: tuple[Metric, ...] = (*CORE, *DOMAIN)

__all__ = [
    "CORE",
    "DOMAIN",
    "METRICS",
    "Attribute",
    "Endpoint",
    "Field",
    "Label",
    "Metric",
    "Parameter",
    "Span",
    "business",
    "cache",
    "database",
    "endpoints",
    "health",
    "http",
    "inference",
    "logs",
    "process",
    "providers",
    "spans",
    "stages",
]
