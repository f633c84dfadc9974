"""Where the servers of a running stack listen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Urls:
    """Base addresses, without a slash at the end; `grafana` is None in a stack that runs without it."""

    prometheus: str
    loki: str
    tempo: str
    grafana: str | None
    redis: str
    redis_exporter: str
    otlp_http: str
    otlp_grpc: str
