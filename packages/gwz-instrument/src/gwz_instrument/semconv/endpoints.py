"""The JSON endpoints: their paths, and the metric that counts their answers. Fields are those of `monitoring.models`."""

from .model import Endpoint, Label, Metric, Parameter

STATUS_CODES = ("200", "400", "401", "403", "404", "405", "422", "429", "500", "503")
OTHER_STATUS = "_other"
SORTS = ("requests", "tokens", "cost", "errors", "latency")
RANGES = ("1h", "24h", "7d", "30d")
BREAKER_STATES = ("CLOSED", "HALF_OPEN", "OPEN")
HEALTH_STATUSES = ("healthy", "degraded", "unhealthy", "unknown")
SOURCES = ("local", "prometheus")

_HOUR = (Parameter("hours", 1, 168),)
_DAY = (Parameter("hours", 24, 168),)

_M = "/api/monitoring"
_I = "/api/instrumentation"

HEALTH = Endpoint("GET", f"{_M}/health", "How each provider with traffic is doing.", "ProviderHealth", many=True)
PROVIDER = Endpoint("GET", f"{_M}/health/{{provider}}", "How one provider is doing.", "OneProviderHealth")
REALTIME = Endpoint(
    "GET", f"{_M}/stats/realtime", "Calls, tokens, money and latency of the last hours.", "Realtime", parameters=_HOUR
)
HOURLY = Endpoint(
    "GET", f"{_M}/stats/hourly/{{provider}}", "What one provider did, hour by hour.", "Hourly", parameters=_DAY
)
ERROR_RATES = Endpoint(
    "GET", f"{_M}/error-rates", "Models by the share of their calls that failed.", "ErrorRates", parameters=_DAY
)
ANOMALIES = Endpoint("GET", f"{_M}/anomalies", "Where providers depart from their own baseline now.", "Anomalies")
BREAKERS = Endpoint("GET", f"{_M}/circuit-breakers", "The state of each circuit breaker.", "Breaker", many=True)
AVAILABILITY = Endpoint(
    "GET",
    f"{_M}/providers/availability",
    "How much of the time each provider answered.",
    "Availability",
    parameters=(Parameter("days", 1, 30),),
)
TRENDING = Endpoint(
    "GET",
    "/v1/models/trending",
    "The models that lead by what is asked for.",
    "Trending",
    parameters=(
        Parameter("limit", 10, 100),
        Parameter("sort_by", SORTS[0], values=SORTS),
        Parameter("time_range", RANGES[1], values=RANGES),
        Parameter("gateway", "all"),
    ),
)
LATENCY_TRENDS = Endpoint(
    "GET", f"{_M}/latency-trends/{{provider}}", "A provider's latency, hour by hour.", "LatencyTrends", parameters=_DAY
)
LATENCY = Endpoint(
    "GET",
    f"{_M}/latency/{{provider}}/{{model:path}}",
    "The latency of a model at a provider.",
    "Latency",
    parameters=_HOUR,
)
ERRORS = Endpoint(
    "GET",
    f"{_M}/errors/{{provider}}",
    "The newest failures of a provider.",
    "Failure",
    many=True,
    parameters=(Parameter("limit", 100, 1000),),
)
COSTS = Endpoint(
    "GET", f"{_M}/cost-analysis", "What each provider cost.", "CostAnalysis", parameters=(Parameter("days", 7, 90),)
)
TOKENS = Endpoint(
    "GET", "/api/tokens/efficiency", "Tokens given and produced, by model.", "TokenEfficiency", parameters=_DAY
)

INSTRUMENTATION = Endpoint("GET", f"{_I}/health", "Whether logs and traces arrive at the far end.", "TelemetryHealth")
LOKI_STATUS = Endpoint("GET", f"{_I}/loki/status", "Whether Loki takes lines and gives them back.", "FarEnd")
TEMPO_STATUS = Endpoint("GET", f"{_I}/tempo/status", "Whether Tempo takes spans and gives them back.", "FarEnd")
TEST_LOG = Endpoint("POST", f"{_I}/test-log", "Sends a line and asks Loki for it.", "Proof")
TEST_TRACE = Endpoint("POST", f"{_I}/test-trace", "Sends a span and asks Tempo for it.", "Proof")

MONITORING = (
    HEALTH,
    PROVIDER,
    REALTIME,
    HOURLY,
    ERROR_RATES,
    ANOMALIES,
    BREAKERS,
    AVAILABILITY,
    TRENDING,
    LATENCY_TRENDS,
    LATENCY,
    ERRORS,
    COSTS,
    TOKENS,
)
"""What operators and panels read."""
INSTRUMENTATION_ENDPOINTS = (INSTRUMENTATION, LOKI_STATUS, TEMPO_STATUS, TEST_LOG, TEST_TRACE)
"""What tells whether telemetry arrives; the administrator's."""
ENDPOINTS = (*MONITORING, *INSTRUMENTATION_ENDPOINTS)
PREFIXES = ("/api/", TRENDING.path)
"""What each of their paths begins with: most requests to an application are told apart by this alone."""

ENDPOINT = Label("endpoint", "a closed set: the paths of the JSON endpoints", tuple(one.path for one in ENDPOINTS))
STATUS_CODE = Label(
    "status_code", "a closed set: what the endpoints answer, else _other", (*STATUS_CODES, OTHER_STATUS)
)

REQUESTS = Metric(
    "gwz_monitoring_requests_total",
    "counter",
    "{request}",
    (ENDPOINT, STATUS_CODE),
    "Answers of the JSON endpoints, which no other metric counts.",
    "gwz_instrument.monitoring",
)

METRICS = (REQUESTS,)
