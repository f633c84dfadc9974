"""Metrics of the application's caches, and of what it asks Redis; Redis's own come from its exporter."""

from .model import Label, Metric

CACHE_NAME = Label("cache_name", "constants that the application's code gives its caches")
OPERATION = Label("operation", "Redis commands in lower case, pipeline for a pipeline as a whole")
STATUS = Label("status", "a closed set", ("success", "error"))
STATE = Label("state", "a closed set", ("active", "idle"))

REDIS_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds: a command takes a tenth of a millisecond beside the process, and seconds only when Redis is away."""

_CACHE = "gwz_instrument.cache"
_REDIS = "gwz_instrument.redis"

HITS = Metric(
    "cache_hits_total", "counter", "{look-up}", (CACHE_NAME,), "Look-ups that found what they asked for.", _CACHE
)
MISSES = Metric("cache_misses_total", "counter", "{look-up}", (CACHE_NAME,), "Look-ups that found nothing.", _CACHE)
SIZE = Metric("cache_size_bytes", "gauge", "By", (CACHE_NAME,), "Size of what the cache holds.", _CACHE)
REDIS_OPERATIONS = Metric(
    "gatewayz_redis_operations_total",
    "counter",
    "{operation}",
    (OPERATION, STATUS),
    "Commands that were sent to Redis and have ended.",
    _REDIS,
)
REDIS_DURATION = Metric(
    "gatewayz_redis_operation_duration_seconds",
    "histogram",
    "s",
    (OPERATION,),
    "Time that a command to Redis took, failed ones included.",
    _REDIS,
    REDIS_BUCKETS,
)
REDIS_POOL = Metric(
    "gatewayz_redis_pool_connections",
    "gauge",
    "{connection}",
    (STATE,),
    "Connections of the client's pool, in use and waiting.",
    _REDIS,
)

METRICS = (HITS, MISSES, SIZE, REDIS_OPERATIONS, REDIS_DURATION, REDIS_POOL)
