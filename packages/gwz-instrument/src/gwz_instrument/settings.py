"""Settings: argument before environment before default, all faults reported at once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import urlsplit

HTTP_PROTOBUF = "http/protobuf"
GRPC = "grpc"
PROTOCOLS = (HTTP_PROTOBUF, GRPC)
SAMPLERS = (
    "always_off",
    "always_on",
    "parentbased_always_off",
    "parentbased_always_on",
    "parentbased_traceidratio",
    "traceidratio",
)
DEFAULT_EXCLUDED = ("/health", "/healthz", "/live", "/metrics", "/ready")
_PUSH_PATH = "/loki/api/v1/push"
_GRPC_PORT = 4317


class SettingsError(ValueError):
    """One or more settings are wrong; the message lists each with its cure."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("gwz-instrument cannot start:\n" + "\n".join(f"- {problem}" for problem in problems))


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What `instrument()` needs to know. `None` for an address switches its signal off.

    Make one with `Settings.load()`, which reads the environment and checks every value.
    """

    service_name: str = "gatewayz"
    """`OTEL_SERVICE_NAME`: the metrics' `app_name`, the logs' `app`, the traces' `service.name`."""
    environment: str = "development"
    """`GWZ_ENVIRONMENT`: the logs' `env`, the traces' `deployment.environment.name`."""
    log_service: str | None = None
    """`RAILWAY_SERVICE_NAME`: the logs' `service`; without it the service name."""
    otlp_endpoint: str | None = None
    """`OTEL_EXPORTER_OTLP_ENDPOINT`: base URL; `/v1/traces` is added for HTTP."""
    otlp_protocol: str | None = None
    """`OTEL_EXPORTER_OTLP_PROTOCOL`; without it `grpc` for port 4317, else `http/protobuf`."""
    traces_sampler: str = "parentbased_always_on"
    """`OTEL_TRACES_SAMPLER`."""
    traces_sampler_arg: float = 1.0
    """`OTEL_TRACES_SAMPLER_ARG`: the share of traces that the ratio samplers keep, 0 to 1."""
    loki_url: str | None = None
    """`GWZ_LOKI_URL`: base URL, without the push path."""
    prometheus_url: str | None = None
    """`GWZ_PROMETHEUS_URL`: where the JSON endpoints ask."""
    tempo_url: str | None = None
    """`GWZ_TEMPO_URL`: where the status endpoint asks."""
    exclude_paths: tuple[str, ...] = DEFAULT_EXCLUDED
    """Exact URL paths that leave no telemetry; `/metrics` never does."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Settings from `overrides`, the environment and the defaults; SettingsError lists all that is wrong."""
        known = {field.name for field in fields(cls)}
        problems = [
            f"unknown setting {name!r}: the settings are {', '.join(sorted(known))}"
            for name in sorted(set(overrides) - known)
        ]
        given = _from_environment(os.environ if environ is None else environ, problems)
        given.update({name: value for name, value in overrides.items() if name in known})
        settings = cls(**given)
        problems += settings.problems()
        if problems:
            raise SettingsError(problems)
        return settings

    def problems(self) -> list[str]:
        """What is wrong with these values, a sentence each, with the cure."""
        found = [
            f"{variable} is {value!r}: it must be an address such as {example}"
            for variable, value, example in (
                ("OTEL_EXPORTER_OTLP_ENDPOINT", self.otlp_endpoint, "http://tempo:4318"),
                ("GWZ_LOKI_URL", self.loki_url, "http://loki:3100"),
                ("GWZ_PROMETHEUS_URL", self.prometheus_url, "http://prometheus:9090"),
                ("GWZ_TEMPO_URL", self.tempo_url, "http://tempo:3200"),
            )
            if value is not None and not _is_address(value)
        ]
        if not self.service_name:
            found.append("OTEL_SERVICE_NAME is empty: name the application, for example OTEL_SERVICE_NAME=gatewayz")
        if self.otlp_protocol not in (None, *PROTOCOLS):
            found.append(
                f"OTEL_EXPORTER_OTLP_PROTOCOL is {self.otlp_protocol!r}: it must be one of {', '.join(PROTOCOLS)}"
            )
        if self.traces_sampler not in SAMPLERS:
            found.append(f"OTEL_TRACES_SAMPLER is {self.traces_sampler!r}: it must be one of {', '.join(SAMPLERS)}")
        if not 0.0 <= self.traces_sampler_arg <= 1.0:  # NaN fails this too
            found.append(f"OTEL_TRACES_SAMPLER_ARG is {self.traces_sampler_arg!r}: it must be a number from 0 to 1")
        return found

    @property
    def protocol(self) -> str:
        """The OTLP protocol in force."""
        if self.otlp_protocol:
            return self.otlp_protocol
        return GRPC if self.otlp_endpoint and urlsplit(self.otlp_endpoint).port == _GRPC_PORT else HTTP_PROTOBUF

    @property
    def stream_labels(self) -> dict[str, str]:
        """The constant labels of the log streams."""
        return {
            "app": self.service_name,
            "env": self.environment,
            "service": self.log_service or self.service_name,
        }


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Read the variables that are set and not empty; a number that is none goes to `problems`."""
    found: dict[str, Any] = {}
    for name, variables in _VARIABLES.items():
        for variable, read in variables:
            if text := environ.get(variable, "").strip():
                try:
                    found[name] = read(text)
                except ValueError:
                    problems.append(f"{variable} is {text!r}: it must be a number")
                break
    _read_seed_otlp(environ, found)
    return found


def _read_seed_otlp(environ: Mapping[str, str], found: dict[str, Any]) -> None:
    """`TEMPO_OTLP_HTTP` before `TEMPO_OTLP_GRPC`, each with its protocol, when ours is not set."""
    if "otlp_endpoint" in found:
        return
    for variable, protocol in (("TEMPO_OTLP_HTTP", HTTP_PROTOBUF), ("TEMPO_OTLP_GRPC", GRPC)):
        if endpoint := environ.get(variable, "").strip():
            found["otlp_endpoint"] = endpoint
            found.setdefault("otlp_protocol", protocol)
            return


def _push_base(url: str) -> str:
    return url.rstrip("/").removesuffix(_PUSH_PATH)


_Read = Callable[[str], Any]
_VARIABLES: dict[str, tuple[tuple[str, _Read], ...]] = {
    "service_name": (("OTEL_SERVICE_NAME", str),),
    "environment": (("GWZ_ENVIRONMENT", str), ("APP_ENV", str), ("RAILWAY_ENVIRONMENT_NAME", str)),
    "log_service": (("RAILWAY_SERVICE_NAME", str),),
    "otlp_endpoint": (("OTEL_EXPORTER_OTLP_ENDPOINT", str),),
    "otlp_protocol": (("OTEL_EXPORTER_OTLP_PROTOCOL", str),),
    "traces_sampler": (("OTEL_TRACES_SAMPLER", str),),
    "traces_sampler_arg": (("OTEL_TRACES_SAMPLER_ARG", float),),
    "loki_url": (("GWZ_LOKI_URL", str), ("LOKI_PUSH_URL", _push_base), ("LOKI_URL", str)),
    "prometheus_url": (("GWZ_PROMETHEUS_URL", str), ("PROMETHEUS_URL", str)),
    "tempo_url": (("GWZ_TEMPO_URL", str), ("TEMPO_URL", str)),
}
"""Setting → variables in order of precedence; the seed's names stand after ours."""


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
