"""Metrics of the HTTP server: one sample set per request."""

from .model import Label, Metric

METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
OTHER_METHOD = "_OTHER"
UNMATCHED = "<unmatched>"
"""The path of a request that the router knew no route for."""
UNROUTED = "<unrouted>"
"""The path of a request that was answered before it reached the router."""
CLIENT_CLOSED = "499"
"""The status of a request whose client left before the response started."""

APP_NAME = Label("app_name", "one value per process: OTEL_SERVICE_NAME")
METHOD = Label("method", "the methods of RFC 9110 and PATCH, else _OTHER", (*METHODS, OTHER_METHOD))
PATH = Label(
    "path",
    "route templates of the application, <unmatched>, <unrouted>, past the budget _other; never the path of the URL",
)
STATUS_CODE = Label(
    "status_code",
    "100 to 599 as the application sends them, 499 for a client that left before one was sent, else _other",
)
EXCEPTION_TYPE = Label(
    "exception_type", "class names of exceptions that no handler of the application caught, past the budget _other"
)

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds; the upper ones because a language model may answer for minutes."""
SIZE_BUCKETS = (100.0, 1e3, 1e4, 1e5, 1e6)

_EMITTER = "gwz_instrument.http"

APP_INFO = Metric(
    "fastapi_app_info", "gauge", "1", (APP_NAME,), "One for every instrumented application.", "gwz_instrument.metrics"
)
REQUESTS = Metric(
    "fastapi_requests_total",
    "counter",
    "{request}",
    (APP_NAME, METHOD, PATH, STATUS_CODE),
    "Requests that have ended, by the status that was sent.",
    _EMITTER,
)
DURATION = Metric(
    "fastapi_requests_duration_seconds",
    "histogram",
    "s",
    (APP_NAME, METHOD, PATH),
    "Time from the request's arrival to the last byte of its response.",
    _EMITTER,
    LATENCY_BUCKETS,
)
IN_PROGRESS = Metric(
    "fastapi_requests_in_progress",
    "gauge",
    "{request}",
    (APP_NAME, METHOD, PATH),
    "Requests that have arrived and not ended.",
    _EMITTER,
)
REQUEST_SIZE = Metric(
    "fastapi_request_size_bytes",
    "histogram",
    "By",
    (APP_NAME, METHOD, PATH),
    "Size of the request's body: its Content-Length, or what was read of it.",
    _EMITTER,
    SIZE_BUCKETS,
)
RESPONSE_SIZE = Metric(
    "fastapi_response_size_bytes",
    "histogram",
    "By",
    (APP_NAME, METHOD, PATH),
    "Bytes of the response's body that were handed to the server, streams included.",
    _EMITTER,
    SIZE_BUCKETS,
)
EXCEPTIONS = Metric(
    "fastapi_exceptions_total",
    "counter",
    "{exception}",
    (APP_NAME, EXCEPTION_TYPE),
    "Exceptions that no handler of the application caught.",
    _EMITTER,
)

METRICS = (APP_INFO, REQUESTS, DURATION, IN_PROGRESS, REQUEST_SIZE, RESPONSE_SIZE, EXCEPTIONS)
