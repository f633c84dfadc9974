"""Metrics of the telemetry itself and of the process it runs in; they describe a process, so none has app_name."""

from .model import Label, Metric

SIGNALS = ("metrics", "logs", "traces")
DELIVERED = "delivered"
DROPPED_OUTCOME = "dropped"
FAILED = "failed"
"""The far end could not be reached, or failed until the deadline."""
FAULT = "fault"
"""A bug of ours."""
QUEUE_FULL = "queue_full"
REJECTED = "rejected"
"""The far end answered, and refused it."""
SHUTDOWN = "shutdown"
"""Not delivered before the end of the process."""
INVALID = "invalid"
"""The application gave a value that is none: half a token, a price below zero."""
REASONS = (FAILED, FAULT, INVALID, QUEUE_FULL, REJECTED, SHUTDOWN)

SIGNAL = Label("signal", "the three signals", SIGNALS)
OUTCOME = Label("outcome", "a closed set", (DELIVERED, DROPPED_OUTCOME))
REASON = Label("reason", "a closed set", REASONS)
METRIC = Label("metric", "names of the metrics of this contract")
LABEL = Label("label", "names of the labels of this contract")

ITEMS = Metric(
    "gwz_telemetry_items_total",
    "counter",
    "{item}",
    (SIGNAL, OUTCOME),
    "Log lines, spans and scrapes that left the process or were given up.",
    "gwz_instrument.metrics",
)
DROPPED = Metric(
    "gwz_telemetry_dropped_total",
    "counter",
    "{item}",
    (SIGNAL, REASON),
    "Log lines, spans and scrapes that were given up, by the reason.",
    "gwz_instrument.metrics",
)
REFUSED = Metric(
    "gwz_label_values_refused_total",
    "counter",
    "{value}",
    (METRIC, LABEL),
    "Label values that were replaced by _other, methods by _OTHER, because their bound did not admit them.",
    "gwz_instrument.labels",
)
LOOP_LAG = Metric(
    "gatewayz_event_loop_lag_seconds",
    "gauge",
    "s",
    (),
    "Longest delay of the event loop in the last 60 seconds.",
    "gwz_instrument.runtime",
)
CPU = Metric(
    "gatewayz_cpu_utilization_ratio",
    "gauge",
    "1",
    (),
    "Processor time that was used, as a share of what the container may use.",
    "gwz_instrument.runtime",
)
MEMORY = Metric(
    "gatewayz_memory_utilization_ratio",
    "gauge",
    "1",
    (),
    "Memory in use, as a share of the container's limit.",
    "gwz_instrument.runtime",
)

METRICS = (ITEMS, DROPPED, REFUSED, LOOP_LAG, CPU, MEMORY)
