"""Metrics of the database, whichever client asks it."""

from .model import Label, Metric

TABLE = Label("table", "tables and stored functions of the application's schema, else _other; a budget bounds them")
OPERATION = Label("operation", "verbs of the client: select, insert, update, delete, rpc and the like")

QUERY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: a look-up by key beside the process takes about one millisecond, a call to a database behind HTTP tens of
them, and ten seconds is where its clients give up. The predecessor had a summary without quantiles, so no buckets."""

_EMITTER = "gwz_instrument.database"

QUERIES = Metric(
    "database_queries_total",
    "counter",
    "{query}",
    (TABLE, OPERATION),
    "Queries that have ended, failed ones included.",
    _EMITTER,
)
QUERY_DURATION = Metric(
    "database_query_duration_seconds",
    "histogram",
    "s",
    (TABLE,),
    "Time that a query took, failed ones included.",
    _EMITTER,
    QUERY_BUCKETS,
)

METRICS = (QUERIES, QUERY_DURATION)
