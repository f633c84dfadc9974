"""An application with the metrics, routes and habits of the backend that ours is dropped into.

Importing it empties prometheus_client's registry and makes 36 collectors there, 33 of them with names of the contract.
"""

from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, Summary, generate_latest
from starlette.responses import PlainTextResponse

for registered in list(REGISTRY._collector_to_names):
    REGISTRY.unregister(registered)

_HTTP = ("app_name", "method", "path")
_CALL = ("provider", "model")
_LATENCY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (100, 1e3, 1e4, 1e5, 1e6)

APP_INFO = Info("fastapi_app_info", "The application.", ("app_name",))
REQUESTS = Counter("fastapi_requests_total", "Requests.", (*_HTTP, "status_code"))
REQUESTS_DURATION = Histogram("fastapi_requests_duration_seconds", "Duration.", _HTTP, buckets=_LATENCY)
REQUESTS_IN_PROGRESS = Gauge("fastapi_requests_in_progress", "Under way.", _HTTP)
REQUEST_SIZE = Histogram("fastapi_request_size_bytes", "Request size.", _HTTP, buckets=_SIZES)
RESPONSE_SIZE = Histogram("fastapi_response_size_bytes", "Response size.", _HTTP, buckets=_SIZES)
EXCEPTIONS = Counter("fastapi_exceptions_total", "Exceptions.", ("app_name", "exception_type"))
LEGACY_REQUESTS = Counter("http_requests_total", "The same again.", ("method", "endpoint", "status_code"))
LEGACY_REQUEST_DURATION = Histogram(
    "http_request_duration_seconds", "The same again.", ("method", "endpoint"), buckets=_LATENCY
)
MODEL_INFERENCE_REQUESTS = Counter("model_inference_requests_total", "Calls.", (*_CALL, "status"))
MODEL_INFERENCE_DURATION = Histogram(
    "model_inference_duration_seconds", "Duration.", _CALL, buckets=(0.1, 0.5, 1, 2.5, 5, 10, 25, 60)
)
TOKENS_USED = Counter("tokens_used_total", "Tokens.", (*_CALL, "token_type"))
CREDITS_USED = Counter("credits_used_total", "Credits.", _CALL)
DATABASE_QUERIES = Counter("database_queries_total", "Queries.", ("table", "operation"))
DATABASE_QUERY_DURATION = Summary("database_query_duration_seconds", "Duration.", ("table",))
CACHE_HITS = Counter("cache_hits_total", "Hits.", ("cache_name",))
CACHE_MISSES = Counter("cache_misses_total", "Misses.", ("cache_name",))
CACHE_SIZE = Gauge("cache_size_bytes", "Size.", ("cache_name",))
RATE_LIMITED_REQUESTS = Counter("rate_limited_requests_total", "Refused.", ("limit_type",))
CURRENT_RATE_LIMIT = Gauge("current_rate_limit", "Limit.", ("limit_type",))
PROVIDER_AVAILABILITY = Gauge("provider_availability", "Up.", ("provider",))
PROVIDER_ERROR_RATE = Gauge("provider_error_rate", "Errors.", ("provider",))
PROVIDER_RESPONSE_TIME = Histogram(
    "provider_response_time_seconds", "Duration.", ("provider",), buckets=(0.1, 0.5, 1, 2.5, 5, 10)
)
API_KEY_USAGE = Counter("api_key_usage_total", "Uses.", ("status",))
ACTIVE_API_KEYS = Gauge("active_api_keys", "Keys.", ("status",))
USER_CREDIT_BALANCE = Gauge("user_credit_balance", "Credits.", ("plan_type",))
TRIAL_ACTIVE = Gauge("trial_active", "Trials.", ("status",))
SUBSCRIPTION_COUNT = Gauge("subscription_count", "Subscriptions.", ("plan_type", "billing_cycle"))
ACTIVE_CONNECTIONS = Gauge("active_connections", "Connections.", ("connection_type",))
QUEUE_SIZE = Gauge("queue_size", "Queue.", ("queue_name",))
BACKEND_TTFB = Histogram("backend_ttfb_seconds", "First byte.", (*_CALL, "endpoint"), buckets=(0.1, 0.5, 1, 2, 5, 10))
STREAMING_DURATION = Histogram(
    "streaming_duration_seconds", "Stream.", (*_CALL, "endpoint"), buckets=(0.1, 0.5, 1, 2, 5, 10)
)
TIME_TO_FIRST_CHUNK = Histogram(
    "time_to_first_chunk_seconds", "First chunk.", _CALL, buckets=(0.1, 0.5, 1, 2, 5, 10, 15)
)
FRONTEND_PROCESSING = Histogram(
    "frontend_processing_seconds", "Before.", ("endpoint",), buckets=(0.001, 0.01, 0.1, 0.5)
)
REQUEST_STAGE_DURATION = Histogram(
    "request_stage_duration_seconds", "Stage.", ("stage", "endpoint"), buckets=(0.001, 0.01, 0.1, 1, 5)
)
STAGE_PERCENTAGE = Gauge("stage_percentage", "Share.", ("stage", "endpoint"))

shadowed = APIRouter()


@shadowed.get("/metrics")
async def grafana_metrics():
    return PlainTextResponse("never asked")


@shadowed.get("/api/metrics/summary")
async def summary():
    return {"metrics": len(REGISTRY._collector_to_names)}


def create_app():
    """The application, with its two `GET /metrics` routes; its requests go on feeding its own counter."""
    app = FastAPI()

    @app.get("/metrics")
    async def metrics():
        return PlainTextResponse(generate_latest(REGISTRY))

    @app.get("/ping")
    async def ping():
        REQUESTS.labels("gatewayz", "GET", "/ping", "200").inc()
        return "pong"

    app.include_router(shadowed)
    return app
