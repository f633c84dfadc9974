"""Log lines: the labels of their stream, the keys of their metadata, the fields of the JSON line."""

from . import http, inference, spans
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
MAX_LINE_BYTES = 256 * 1024
"""Loki refuses longer lines."""
ADDED_BY_LOKI = ("detected_level",)
"""Metadata that the server writes beside ours, unless its limits forbid it."""

TIMESTAMP = Field("timestamp", "when the record was made, ISO 8601, UTC")
LINE_LEVEL = Field("level", "the stream's level, repeated for readers of the line alone", values=LEVELS)
LOGGER = Field("logger", "name of the logger")
MESSAGE = Field("message", "the formatted message")
EXCEPTION = Field("exception", "traceback, when the record carries one")
STACK = Field("stack", "where it was logged, when `stack_info` asked for that")
CUT = Field("cut", "true: the line was longer than Loki takes and lost the middle of its long values", "boolean")
METHOD = Field("method", "method of the request, as in the metrics", values=http.METHOD.values)
PATH = Field("path", "route template of the request, as in the metrics")
URL_PATH = Field("url_path", "path of the URL as it was asked for, without the query")
STATUS_CODE = Field("status_code", "status of the response", "int")
DURATION_MS = Field("duration_ms", "milliseconds from arrival to the last byte", "double")
OUTCOME = Field("outcome", "how the request ended", values=spans.OUTCOMES)
CHUNKS = Field("chunks", "parts of a response that came in more than one", "int")
FIRST_BYTE_MS = Field("first_byte_ms", "milliseconds from arrival to the first of these parts", "double")
LONGEST_GAP_MS = Field("longest_gap_ms", "milliseconds of the longest pause between two of these parts", "double")
PROVIDER = Field("provider", "provider that was asked")
MODEL = Field("model", "model that was asked for")

EVERY_LINE = (TIMESTAMP, LINE_LEVEL, LOGGER, MESSAGE, EXCEPTION)
"""What the handler writes of any record, whoever made it."""
RARE = (STACK, CUT)
"""What it adds to some, though to no request's."""
LINE_FIELDS = (
    *EVERY_LINE,
    METHOD,
    PATH,
    URL_PATH,
    STATUS_CODE,
    DURATION_MS,
    OUTCOME,
    CHUNKS,
    FIRST_BYTE_MS,
    LONGEST_GAP_MS,
    PROVIDER,
    MODEL,
)
"""What the line of a request has."""

STREAM = Field("stream", "whether the answer was asked for as a stream", "boolean")
INPUT_TOKENS = Field("input_tokens", "tokens that the model was given", "int")
OUTPUT_TOKENS = Field("output_tokens", "tokens that the model produced", "int")
ESTIMATED = Field("estimated", "whether the tokens are the application's estimate", "boolean")
COST_USD = Field("cost_usd", "cost of the call in US dollars", "double")
FIRST_CHUNK_MS = Field("first_chunk_ms", "milliseconds from the call to its first chunk", "double")
ATTEMPTS = Field("attempts", "how many attempts the call took", "int")
RESPONSE_MODEL = Field("response_model", "model that answered, by the provider's own name")
CALL_OUTCOME = Field("call_outcome", "how the call ended", values=inference.STATUSES)
CALL_MS = Field("call_ms", "milliseconds from the start of the call to its end", "double")
ERROR_TYPE = Field("error_type", "class name of the exception, or the status code of a failure")

DOMAIN_FIELDS = (
    CALL_OUTCOME,
    CALL_MS,
    STREAM,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    ESTIMATED,
    COST_USD,
    FIRST_CHUNK_MS,
    ATTEMPTS,
    RESPONSE_MODEL,
    ERROR_TYPE,
)
"""What the recorders add to it."""
