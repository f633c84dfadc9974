"""The metrics of redis_exporter that our dashboards ask for: Redis says them of itself, so our contract does not hold them."""

from gwz_instrument.semconv import Label, Metric

DB = Label("db", "the numbered databases of Redis")
CMD = Label("cmd", "the commands of Redis")
POLICY = Label("maxmemory_policy", "the policies of Redis on what it evicts")

_EMITTER = "redis_exporter"


def _metric(name: str, unit: str, brief: str, *labels: Label) -> Metric:
    return Metric(name, "counter" if name.endswith("_total") else "gauge", unit, labels, brief, _EMITTER)


UP = _metric("redis_up", "1", "Whether Redis answered the exporter: 1 or 0; without it every other one is missing.")
MEMORY_USED = _metric("redis_memory_used_bytes", "By", "Memory that Redis holds.")
MEMORY_MAX = _metric("redis_memory_max_bytes", "By", "What Redis may hold; 0 without a limit.")
INSTANCE = _metric("redis_instance_info", "1", "1, with what Redis says of itself as labels.", POLICY)
EVICTED = _metric("redis_evicted_keys_total", "{key}", "Keys that had to make room.")
KEYS = _metric("redis_db_keys", "{key}", "Keys that are held.", DB)
COMMANDS = _metric("redis_commands_processed_total", "{command}", "Commands that were carried out.")
HITS = _metric("redis_keyspace_hits_total", "{look-up}", "Look-ups that found their key.")
MISSES = _metric("redis_keyspace_misses_total", "{look-up}", "Look-ups that found no key.")
CALLS = _metric("redis_commands_total", "{command}", "Commands that were carried out, by their name.", CMD)
CALL_SECONDS = _metric("redis_commands_duration_seconds_total", "s", "Time that Redis spent on a command.", CMD)

METRICS = (UP, MEMORY_USED, MEMORY_MAX, INSTANCE, EVICTED, KEYS, COMMANDS, HITS, MISSES, CALLS, CALL_SECONDS)
