"""Metrics of the stages of a request inside the application."""

from .inference import ENDPOINT
from .model import Label, Metric

STAGE = Label("stage", "constants that the application's code gives its stages")

FRONTEND_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
STAGE_BUCKETS = (*FRONTEND_BUCKETS, 1.0, 2.0, 5.0)

_EMITTER = "gwz_instrument.stages"

FRONTEND = Metric(
    "frontend_processing_seconds",
    "histogram",
    "s",
    (ENDPOINT,),
    "Time that the application takes before it calls a provider: parsing, authentication, preparation.",
    _EMITTER,
    FRONTEND_BUCKETS,
)
STAGE_DURATION = Metric(
    "request_stage_duration_seconds",
    "histogram",
    "s",
    (STAGE, ENDPOINT),
    "Time that one stage of a request took.",
    _EMITTER,
    STAGE_BUCKETS,
)

METRICS = (FRONTEND, STAGE_DURATION)
