"""Log lines: the labels of their stream, the keys of their metadata, the fields of the JSON line."""

from .model import Field, Label

LEVELS = ("debug", "info", "warning", "error", "critical")

APP = Label("app", "one value per process: OTEL_SERVICE_NAME")
ENV = Label("env", "one value per deployment: GWZ_ENVIRONMENT")
SERVICE = Label("service", "one value per deployed service: RAILWAY_SERVICE_NAME, else as app")
LEVEL = Label("level", "a closed set; custom levels count as the next lower one", LEVELS)

STREAM_LABELS = (APP, ENV, SERVICE, LEVEL)
"""All labels there are: anything unbounded would open a stream per value."""

TRACE_ID = Field("trace_id", "trace of the request, 32 hex digits")
SPAN_ID = Field("span_id", "span that was current when the line was written, 16 hex digits")
REQUEST_ID = Field("request_id", "the request's X-Request-ID, or one made for it")

STRUCTURED_METADATA = (TRACE_ID, SPAN_ID, REQUEST_ID)

TIMESTAMP = Field("timestamp", "when the record was made, ISO 8601, UTC")
LOGGER = Field("logger", "name of the logger")
MESSAGE = Field("message", "the formatted message")
EXCEPTION = Field("exception", "traceback, when the record carries one")
METHOD = Field("method", "method of the request, as in the metrics")
PATH = Field("path", "route template of the request, as in the metrics")
URL_PATH = Field("url_path", "path of the URL as it was asked for, without the query")
STATUS_CODE = Field("status_code", "status of the response, a number")
DURATION_MS = Field("duration_ms", "milliseconds from arrival to the last byte")
OUTCOME = Field("outcome", "how the request ended: one of the outcomes of spans.OUTCOMES")
PROVIDER = Field("provider", "provider that was asked")
MODEL = Field("model", "model that was asked for")

LINE_FIELDS = (
    TIMESTAMP,
    Field("level", "the stream's level, repeated for readers of the line alone"),
    LOGGER,
    MESSAGE,
    EXCEPTION,
    METHOD,
    PATH,
    URL_PATH,
    STATUS_CODE,
    DURATION_MS,
    OUTCOME,
    PROVIDER,
    MODEL,
)
