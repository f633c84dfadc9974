"""The contract: every metric, label, log field and span attribute, declared once.

Dashboards, checks and emitters refer to these entries and never to strings of their own.
"""

from . import health, http, logs, spans
from .model import Attribute, Field, Label, Metric, Span

METRICS: tuple[Metric, ...] = (*http.METRICS, *health.METRICS)

__all__ = ["METRICS", "Attribute", "Field", "Label", "Metric", "Span", "health", "http", "logs", "spans"]
