"""Metrics of inference: calls to models, their time, tokens and money."""

from .model import Label, Metric

STATUSES = ("success", "error", "timeout", "cancelled", "client_disconnected", "stream_error", "abandoned")
"""How a call to a model can end; `success` is the only good one."""
TOKEN_TYPES = ("input", "output", "input_estimated", "output_estimated")
"""What a provider reported, and apart from it what the application estimated where none was reported."""

PROVIDER = Label(
    "provider",
    "providers that the settings declare or the application names as a constant, else _other; a budget bounds them",
)
MODEL = Label(
    "model",
    "models that the settings declare or an upstream answered with success, as they were requested after the "
    "application's aliasing, else _other; a budget bounds them",
)
ENDPOINT = Label("endpoint", "route templates of the application, or constants that its code gives")
STATUS = Label("status", "a closed set", STATUSES)
TOKEN_TYPE = Label("token_type", "a closed set", TOKEN_TYPES)

FIRST_BYTE_BUCKETS = (0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds; for streams whole as well, so that the two can be compared bucket by bucket."""

_EMITTER = "gwz_instrument.inference"

REQUESTS = Metric(
    "model_inference_requests_total",
    "counter",
    "{call}",
    (PROVIDER, MODEL, STATUS),
    "Calls to models that have ended, by how they ended.",
    _EMITTER,
)
DURATION = Metric(
    "model_inference_duration_seconds",
    "histogram",
    "s",
    (PROVIDER, MODEL),
    "Time from the start of a call to its end, attempts that failed and the whole stream included.",
    _EMITTER,
    (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0),
)
TOKENS = Metric(
    "tokens_used_total",
    "counter",
    "{token}",
    (PROVIDER, MODEL, TOKEN_TYPE),
    "Tokens that calls consumed and produced.",
    _EMITTER,
)
CREDITS = Metric(
    "credits_used_total",
    "counter",
    "{USD}",
    (PROVIDER, MODEL),
    "Cost of calls in US dollars, as the application computed it.",
    _EMITTER,
)
COST = Metric(
    "gatewayz_cost_by_provider_total",
    "counter",
    "{USD}",
    (PROVIDER,),
    "Cost of calls in US dollars, by the provider that was paid.",
    _EMITTER,
)
BACKEND_TTFB = Metric(
    "backend_ttfb_seconds",
    "histogram",
    "s",
    (PROVIDER, MODEL, ENDPOINT),
    "Time from the start of a call to the first byte of the provider's answer.",
    _EMITTER,
    FIRST_BYTE_BUCKETS,
)
FIRST_CHUNK = Metric(
    "time_to_first_chunk_seconds",
    "histogram",
    "s",
    (PROVIDER, MODEL),
    "Time from the start of a streamed call to its first chunk.",
    _EMITTER,
    (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0),
)
STREAMING_DURATION = Metric(
    "streaming_duration_seconds",
    "histogram",
    "s",
    (PROVIDER, MODEL, ENDPOINT),
    "Time from the first chunk of a stream to its last.",
    _EMITTER,
    FIRST_BYTE_BUCKETS,
)
PROVIDER_RESPONSE_TIME = Metric(
    "provider_response_time_seconds",
    "histogram",
    "s",
    (PROVIDER,),
    "Time that one attempt took at a provider, whatever became of it.",
    _EMITTER,
    (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
)

METRICS = (
    REQUESTS,
    DURATION,
    TOKENS,
    CREDITS,
    COST,
    BACKEND_TTFB,
    FIRST_CHUNK,
    STREAMING_DURATION,
    PROVIDER_RESPONSE_TIME,
)
