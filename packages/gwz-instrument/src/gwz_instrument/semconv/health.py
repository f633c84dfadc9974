"""Metrics of the telemetry itself: what it had to give up."""

from .http import APP_NAME
from .model import Label, Metric

SIGNAL = Label("signal", "the three signals", ("metrics", "logs", "traces"))
REASON = Label(
    "reason",
    "a closed set",
    ("queue_full", "rejected", "shutdown"),
)

DROPPED = Metric(
    "gwz_telemetry_dropped_total",
    "counter",
    "{item}",
    (APP_NAME, SIGNAL, REASON),
    "Log lines that never reached their server: the queue was full, the server refused them, the process ended first.",
    "gwz_instrument.logs",
)

METRICS = (DROPPED,)
