"""Metrics of the health of providers and models; no traffic gives no series, never a healthy one."""

from .inference import MODEL, PROVIDER, STATUSES
from .model import Label, Metric

BREAKER_STATES = ("closed", "half_open", "open")
ANOMALIES = ("cost_spike", "error_surge", "latency_spike", "unusual_pattern")

STATUS = Label("status", "a closed set", STATUSES)
STATE = Label("state", "a closed set", BREAKER_STATES)
TYPE = Label("type", "a closed set", ANOMALIES)

_EMITTER = "gwz_instrument.providers"
_RECORDER = "gwz_instrument.inference"

ATTEMPTS = Metric(
    "gatewayz_provider_attempts_total",
    "counter",
    "{attempt}",
    (PROVIDER, STATUS),
    "Attempts at a provider that have ended, by how they ended; a call that falls back makes several.",
    _RECORDER,
)
ANSWER_SECONDS = Metric(
    "gatewayz_provider_answer_seconds_total",
    "counter",
    "s",
    (PROVIDER,),
    "Time that the attempts which succeeded took.",
    _RECORDER,
)
ANSWER_WORTH = Metric(
    "gatewayz_provider_answer_worth_total",
    "counter",
    "1",
    (PROVIDER,),
    "What the attempts which succeeded are worth, each 0.7 to 1 by its speed: the health score is made of it.",
    _RECORDER,
)
AVAILABILITY = Metric(
    "provider_availability",
    "gauge",
    "1",
    (PROVIDER,),
    "Whether the provider answers: 1 or 0.",
    _EMITTER,
)
ERROR_RATE = Metric(
    "provider_error_rate",
    "gauge",
    "1",
    (PROVIDER,),
    "Share of the attempts at the provider that failed, 0 to 1.",
    _EMITTER,
)
HEALTH_SCORE = Metric(
    "gatewayz_provider_health_score",
    "gauge",
    "1",
    (PROVIDER,),
    "Health of the provider by its successes and its speed, 0 to 1.",
    _EMITTER,
)
BREAKER_STATE = Metric(
    "gatewayz_circuit_breaker_state",
    "gauge",
    "1",
    (PROVIDER, STATE),
    "One for the state that the provider's circuit breaker is in, zero for the others.",
    _EMITTER,
)
MODEL_UPTIME = Metric(
    "gatewayz_model_uptime_24h",
    "gauge",
    "1",
    (MODEL,),
    "Share of the last 24 hours in which the model answered, 0 to 1.",
    _EMITTER,
)
TOKEN_EFFICIENCY = Metric(
    "gatewayz_token_efficiency",
    "gauge",
    "1",
    (MODEL,),
    "Tokens that the model produced for each that it was given.",
    _EMITTER,
)
DETECTED_ANOMALIES = Metric(
    "gatewayz_detected_anomalies_total",
    "counter",
    "{anomaly}",
    (TYPE,),
    "Departures of a provider from its own baseline.",
    _EMITTER,
)

METRICS = (
    ATTEMPTS,
    ANSWER_SECONDS,
    ANSWER_WORTH,
    AVAILABILITY,
    ERROR_RATE,
    HEALTH_SCORE,
    BREAKER_STATE,
    MODEL_UPTIME,
    TOKEN_EFFICIENCY,
    DETECTED_ANOMALIES,
)
