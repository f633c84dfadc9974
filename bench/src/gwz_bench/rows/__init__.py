"""The rows of the table: each is a function that takes the options and returns its rows."""

from collections.abc import Callable, Mapping

from gwz_bench.options import Options
from gwz_bench.report import Row

from . import away, forks, hostile, imports, logs, memory, recorders, requests

ROWS: Mapping[str, Callable[[Options], list[Row]]] = {
    "json-metrics": requests.json_metrics,
    "json-multiprocess": requests.json_multiprocess,
    "json-all": requests.json_all,
    "stream-50": requests.stream,
    "routers": requests.routers,
    "inference": recorders.inference,
    "database": recorders.database,
    "cache": recorders.cache,
    "local-store": recorders.local_store,
    "log-call": logs.call,
    "log-throughput": logs.throughput,
    "loki-away": away.loki_away,
    "forks-exits": forks.forks_and_exits,
    "hostile": hostile.hostile,
    "import": imports.imports,
    "memory": memory.memory,
}
