"""Metrics of the business: keys, plans, money, limits. Identity is no label: never a user, never a key."""

from .model import Label, Metric

_CONSTANTS = "constants of the application's code"

KEY_STATUS = Label("status", f"states of a key: {_CONSTANTS}")
TRIAL_STATUS = Label("status", f"states of a trial: {_CONSTANTS}")
PLAN_TYPE = Label("plan_type", "plans that the application sells")
BILLING_CYCLE = Label("billing_cycle", f"monthly, yearly and the like: {_CONSTANTS}")
CONNECTION_TYPE = Label("connection_type", f"what the connections are to: {_CONSTANTS}")
QUEUE_NAME = Label("queue_name", f"names of queues: {_CONSTANTS}")
LIMIT_TYPE = Label("limit_type", f"what is limited: {_CONSTANTS}")

_GAUGES = "gwz_instrument.business"

API_KEY_USAGE = Metric(
    "api_key_usage_total", "counter", "{use}", (KEY_STATUS,), "Uses of API keys, by what became of them.", _GAUGES
)
RATE_LIMITED = Metric(
    "rate_limited_requests_total",
    "counter",
    "{request}",
    (LIMIT_TYPE,),
    "Requests that a limit of the application refused.",
    _GAUGES,
)
ACTIVE_API_KEYS = Metric("active_api_keys", "gauge", "{key}", (KEY_STATUS,), "API keys, by their state.", _GAUGES)
SUBSCRIPTIONS = Metric(
    "subscription_count",
    "gauge",
    "{subscription}",
    (PLAN_TYPE, BILLING_CYCLE),
    "Subscriptions that are paid for.",
    _GAUGES,
)
TRIALS = Metric("trial_active", "gauge", "{trial}", (TRIAL_STATUS,), "Trials, by their state.", _GAUGES)
CREDIT_BALANCE = Metric(
    "user_credit_balance",
    "gauge",
    "{credit}",
    (PLAN_TYPE,),
    "Credits that all users of a plan have left together.",
    _GAUGES,
)
CONNECTIONS = Metric(
    "active_connections", "gauge", "{connection}", (CONNECTION_TYPE,), "Connections that are open.", _GAUGES
)
QUEUE_SIZE = Metric("queue_size", "gauge", "{item}", (QUEUE_NAME,), "Items that wait in a queue.", _GAUGES)
RATE_LIMIT = Metric("current_rate_limit", "gauge", "{request}", (LIMIT_TYPE,), "The limit that is in force.", _GAUGES)

METRICS = (
    API_KEY_USAGE,
    RATE_LIMITED,
    ACTIVE_API_KEYS,
    SUBSCRIPTIONS,
    TRIALS,
    CREDIT_BALANCE,
    CONNECTIONS,
    QUEUE_SIZE,
    RATE_LIMIT,
)
