"""Settings: argument before environment before default, all faults reported at once."""

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import InitVar, dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from . import rules
from .rules import Rule
from .semconv import logs

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
DEVELOPMENT = ("development", "dev", "local", "test")
"""Environments, in any case, whose `/metrics` may be read without a token."""

PRODUCTION = ("production", "prod")
"""Environments, in any case, in which the JSON endpoints are not answered to everybody."""
LOCAL = "local"
PROMETHEUS = "prometheus"
STORES = (LOCAL, PROMETHEUS)

_GRPC_PORT = 4317
_TRACES_PATH = "/v1/traces"
_MIB = 1 << 20
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_SEED_PROTOCOLS = {"TEMPO_OTLP_HTTP": HTTP_PROTOBUF, "TEMPO_OTLP_GRPC": GRPC}
"""The seed's names of the endpoint say the protocol too."""


class SettingsError(ValueError):
    """One or more settings are wrong; the message lists each with its cure."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("gwz-instrument cannot start:\n" + "\n".join(f"- {problem}" for problem in problems))


_S = TypeVar("_S")


class _FromEnvironment:
    """The mark of a setting that no argument was given for."""

    def __repr__(self) -> str:
        return "<from the environment>"


_UNSET = _FromEnvironment()


@dataclass(frozen=True, slots=True)
class Setting:
    """How a setting is given and what it means; the reference page is made of these."""

    default: Any
    rule: Rule
    meaning: str
    variables: tuple[str, ...]
    """In order of precedence; the seed's names stand after ours."""

    def found(self, name: str, given: object, environ: Mapping[str, str]) -> tuple[str, Any]:
        """Where the value comes from (argument, variable, or nowhere: the default) and the value; ValueError if it is wrong."""
        if given is not _UNSET:
            return name, self.rule.value(name, given)
        for variable in self.variables:
            if text := environ.get(variable, "").strip():
                return variable, self.rule.read_value(variable, text)
        return "", self.default


def _setting(default: object, rule: Rule, meaning: str, *variables: str) -> Any:
    return dataclasses.field(default=_UNSET, metadata={"setting": Setting(default, rule, meaning, variables)})


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Settings:
    """What `instrument()` needs to know; what no argument gives is read from the environment, then has its default.

    Every value is checked; SettingsError lists all that are wrong. `None` for an address switches its signal off.
    """

    service_name: str = _setting(
        "gatewayz",
        rules.TEXT,
        "Name of the application: the metrics' `app_name`, the logs' `app`, the traces' `service.name`.",
        "OTEL_SERVICE_NAME",
    )
    environment: str = _setting(
        "development",
        rules.TEXT,
        "The logs' `env`, the traces' `deployment.environment.name`. "
        f"Any other than {', '.join(f'`{name}`' for name in DEVELOPMENT)} needs a metrics token.",
        "GWZ_ENVIRONMENT",
        "APP_ENV",
        "RAILWAY_ENVIRONMENT_NAME",
    )
    log_service: str | None = _setting(
        None, rules.optional(rules.TEXT), "The logs' `service`; without it the service name.", "RAILWAY_SERVICE_NAME"
    )
    metrics_token: str | None = _setting(
        None,
        rules.optional(rules.SECRET),
        "What a scraper of `/metrics` must send as `Authorization: Bearer`.",
        "GWZ_METRICS_TOKEN",
    )
    otlp_endpoint: str | None = _setting(
        None,
        rules.optional(rules.address("http://tempo:4318")),
        f"Where spans go: a base URL, to which `{_TRACES_PATH}` is added for HTTP. Without an endpoint no traces; "
        "`OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none` switch off the variables.",
        _ENDPOINT,
        *_SEED_PROTOCOLS,
    )
    otlp_traces_endpoint: str | None = _setting(
        None,
        rules.optional(rules.address("http://tempo:4318/v1/traces")),
        "Where spans go: the whole URL, used as it is, before `otlp_endpoint`.",
        _TRACES_ENDPOINT,
    )
    otlp_protocol: str | None = _setting(
        None,
        rules.optional(rules.one_of(*PROTOCOLS)),
        f"`{HTTP_PROTOBUF}` or `{GRPC}`; without it `{GRPC}` for port {_GRPC_PORT}, else `{HTTP_PROTOBUF}`.",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    )
    traces_sampler: str = _setting(
        "parentbased_always_on",
        rules.one_of(*SAMPLERS),
        f"Which traces are kept: {', '.join(f'`{name}`' for name in SAMPLERS)}.",
        "OTEL_TRACES_SAMPLER",
    )
    traces_sampler_arg: float = _setting(
        1.0, rules.number(0, 1), "The share of traces that the ratio samplers keep.", "OTEL_TRACES_SAMPLER_ARG"
    )
    slow_request_s: float = _setting(
        10.0,
        rules.number(0),
        "A request that took at least so many seconds keeps its server span though its trace is not sampled.",
        "GWZ_SLOW_REQUEST_S",
    )
    loki_url: str | None = _setting(
        None,
        rules.optional(rules.address("http://loki:3100", without="/loki/api/v1/push")),
        "Where log lines go: a base URL; the push path may be there. Without it no logs.",
        "GWZ_LOKI_URL",
        "LOKI_PUSH_URL",
        "LOKI_URL",
    )
    loki_token: str | None = _setting(
        None,
        rules.optional(rules.SECRET),
        "What Loki, or the gateway before it, is sent as `Authorization: Bearer`.",
        "GWZ_LOKI_TOKEN",
    )
    log_queue_bytes: int = _setting(
        16 * _MIB,
        rules.whole(logs.MAX_LINE_BYTES),
        "Log lines that wait for Loki may take so much memory; then the oldest is dropped and counted.",
        "GWZ_LOG_QUEUE_BYTES",
    )
    monitoring: str | bool | None = _setting(
        None,
        rules.optional(rules.switch(*STORES)),
        f"Where the JSON endpoints have their numbers from: {', '.join(f'`{name}`' for name in STORES)}; `False`, in the "
        "variable `off`, for none of them. Without it `prometheus` if there is a `prometheus_url`, else `local` if there is "
        "an `api_token` or the environment is not production, else off.",
        "GWZ_MONITORING",
    )
    api_token: str | None = _setting(
        None,
        rules.optional(rules.SECRET),
        "What a reader of the JSON endpoints must send as `Authorization: Bearer`. In production they are not answered without one.",
        "GWZ_API_TOKEN",
    )
    admin_token: str | None = _setting(
        None,
        rules.optional(rules.SECRET),
        "The administrator's, which opens `/api/instrumentation` too; without one that is closed.",
        "GWZ_ADMIN_TOKEN",
    )
    monitoring_auth: Callable[..., Any] | None = _setting(  # noqa: RUF009  # a field, as the others are
        None,
        rules.optional(rules.CALLABLE),
        "A dependency of FastAPI that admits readers of the JSON endpoints in place of `api_token`, by returning.",
    )
    monitoring_rate: float = _setting(
        50.0,
        rules.number(1),
        "So many questions a second of one reader are put to the store; answers from the cache are not counted.",
        "GWZ_MONITORING_RATE",
    )
    prometheus_url: str | None = _setting(
        None,
        rules.optional(rules.address("http://prometheus:9090")),
        "Where the JSON endpoints ask: Prometheus, Mimir or Thanos; user and password may be in it.",
        "GWZ_PROMETHEUS_URL",
        "PROMETHEUS_URL",
    )
    prometheus_selector: str | None = _setting(
        None,
        rules.optional(rules.SELECTOR),
        "Which scraped series are this deployment's; wanted only where several jobs scrape applications of this name.",
        "GWZ_PROMETHEUS_SELECTOR",
    )
    loki_query_url: str | None = _setting(
        None,
        rules.optional(rules.address("http://loki:3100", without="/loki/api/v1/query_range")),
        "Where error samples and the status endpoint are asked for; without it `loki_url`.",
        "GWZ_LOKI_QUERY_URL",
        "LOKI_QUERY_URL",
    )
    tempo_url: str | None = _setting(
        None,
        rules.optional(rules.address("http://tempo:3200")),
        "Where the status endpoint asks for traces.",
        "GWZ_TEMPO_URL",
        "TEMPO_URL",
    )
    models: tuple[str, ...] = _setting(
        (),
        rules.names("openai/gpt-4o"),
        "Models that are label values from the start; others become one when an upstream answers them with success.",
        "GWZ_MODELS",
    )
    providers: tuple[str, ...] = _setting(
        (),
        rules.names("openrouter"),
        "Providers that are label values; others become one when the application's code names them as a constant.",
        "GWZ_PROVIDERS",
    )
    max_models: int = _setting(
        300, rules.whole(1), "At most so many models are label values; the rest is `_other`.", "GWZ_MAX_MODELS"
    )
    max_providers: int = _setting(
        100, rules.whole(1), "At most so many providers are label values; the rest is `_other`.", "GWZ_MAX_PROVIDERS"
    )
    call_max_s: float = _setting(
        3600.0,
        rules.number(0),
        "A call to a model whose stream takes longer counts as abandoned.",
        "GWZ_CALL_MAX_S",
    )
    late_usage_s: float = _setting(
        30.0,
        rules.number(0),
        "So long after its end a call may be told what it consumed and cost.",
        "GWZ_LATE_USAGE_S",
    )
    health_window_s: float = _setting(
        300.0, rules.number(1), "The time that a provider's health is judged by.", "GWZ_HEALTH_WINDOW_S"
    )
    anomaly_window_s: float = _setting(
        3600.0, rules.number(1), "The time that is searched for anomalies.", "GWZ_ANOMALY_WINDOW_S"
    )
    anomaly_baseline_s: float = _setting(
        86400.0, rules.number(1), "The time before it that anomalies are told from.", "GWZ_ANOMALY_BASELINE_S"
    )
    max_paths: int = _setting(
        1000, rules.whole(1), "At most so many route templates are label values; the rest is `_other`.", "GWZ_MAX_PATHS"
    )
    exclude_paths: tuple[str, ...] = _setting(
        DEFAULT_EXCLUDED,
        rules.paths(always=DEFAULT_EXCLUDED),
        f"Paths of requests that leave no telemetry, beside {', '.join(f'`{path}`' for path in DEFAULT_EXCLUDED)}, "
        "which never do: exact, as in the URL.",
        "GWZ_EXCLUDE_PATHS",
    )
    replace_existing: bool = _setting(
        False,
        rules.FLAG,
        "Take out the application's own metrics and routes whose names ours need, instead of refusing to start.",
        "GWZ_REPLACE_EXISTING",
    )
    remove_middleware: tuple[str, ...] = _setting(
        (), rules.names("ObservabilityMiddleware"), "Class names of the application's middlewares to take out."
    )
    environ: InitVar[Mapping[str, str] | None] = None

    def __post_init__(self, environ: Mapping[str, str] | None) -> None:
        """Fill in and check every value."""
        environ = os.environ if environ is None else environ
        sources: dict[str, str] = {}
        problems: list[str] = []
        for name, setting in described().items():
            try:
                sources[name], value = setting.found(name, getattr(self, name), environ)
            except ValueError as error:
                problems.append(str(error))
                value = setting.default  # so that what follows can be checked all the same
            object.__setattr__(self, name, value)
        self._follow_environment(environ, sources)
        problems += self._contradictions(sources)
        if problems:
            raise SettingsError(problems)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Settings from `overrides`, `environ` (by default the process's) and the defaults."""
        return _checked(lambda known: cls(environ=environ, **known), overrides)

    @classmethod
    def resolve(cls, settings: Self | None, overrides: Mapping[str, Any]) -> Self:
        """What `instrument()` was given: `overrides` over `settings`, or over the environment when there are none."""
        if settings is None:
            return _checked(lambda known: cls(**known), overrides)
        if not isinstance(settings, cls):
            problem = (
                f"settings is of type {type(settings).__name__}: give Settings(...), "
                "or single settings by name, as in instrument(app, loki_url='http://loki:3100')"
            )
            raise SettingsError([problem])
        return _checked(lambda known: dataclasses.replace(settings, **known), overrides)

    def __repr__(self) -> str:
        """All values; tokens and passwords hidden."""
        shown = (f"{name}={setting.rule.shown(getattr(self, name))}" for name, setting in described().items())
        return f"Settings({', '.join(shown)})"

    @property
    def protocol(self) -> str:
        """The OTLP protocol in force."""
        if self.otlp_protocol:
            return self.otlp_protocol
        endpoint = self.otlp_traces_endpoint or self.otlp_endpoint
        return GRPC if endpoint and urlsplit(endpoint).port == _GRPC_PORT else HTTP_PROTOBUF

    @property
    def traces_url(self) -> str | None:
        """Where the exporter of `protocol` sends to; None: no traces."""
        if self.otlp_traces_endpoint or self.otlp_endpoint is None:
            return self.otlp_traces_endpoint
        path = "" if self.protocol == GRPC or self.otlp_endpoint.endswith(_TRACES_PATH) else _TRACES_PATH
        return self.otlp_endpoint + path

    @property
    def is_production(self) -> bool:
        """Whether strangers can be expected."""
        return self.environment.lower() in PRODUCTION

    @property
    def store(self) -> str | None:
        """The store that is asked for, or that follows from the rest; None: no JSON endpoints."""
        guarded = bool(self.api_token or self.monitoring_auth) or not self.is_production
        if self.monitoring is not None:
            return self.monitoring if isinstance(self.monitoring, str) else None
        if not guarded:
            return None
        return PROMETHEUS if self.prometheus_url else LOCAL

    @property
    def stream_labels(self) -> dict[str, str]:
        """The constant labels of the log streams."""
        return {
            logs.APP.name: self.service_name,
            logs.ENV.name: self.environment,
            logs.SERVICE.name: self.log_service or self.service_name,
        }

    def _follow_environment(self, environ: Mapping[str, str], sources: Mapping[str, str]) -> None:
        """Heed what OpenTelemetry's and the seed's variables say about each other."""
        disabled = _disables_traces(environ)
        for name in ("otlp_endpoint", "otlp_traces_endpoint"):
            if disabled and sources.get(name) != name:
                object.__setattr__(self, name, None)
        implied = _SEED_PROTOCOLS.get(sources.get("otlp_endpoint", ""))
        if implied and not self.otlp_protocol and not self.otlp_traces_endpoint:
            object.__setattr__(self, "otlp_protocol", implied)

    def _contradictions(self, sources: Mapping[str, str]) -> list[str]:
        """What is wrong between settings that are right by themselves."""
        found = [
            f"{sources.get(names) or names} has {len(given)} {names}, more than max_{names} allows ({most}): "
            f"raise GWZ_MAX_{names.upper()} or name fewer"
            for names, given, most in (
                ("models", self.models, self.max_models),
                ("providers", self.providers, self.max_providers),
            )
            if len(given) > most
        ]
        if "metrics_token" in sources and not self.metrics_token and self.environment.lower() not in DEVELOPMENT:
            found.append(
                f"GWZ_METRICS_TOKEN is not set, and {sources.get('environment') or 'environment'} is "
                f"{self.environment!r}: /metrics is answered before the application's own authentication, so anybody "
                "could read it. Set GWZ_METRICS_TOKEN to a random text and give Prometheus a file with the same text: "
                "in its scrape job, authorization: {credentials_file: /etc/prometheus/metrics_token}. "
                f"On a developer's machine set GWZ_ENVIRONMENT to one of {', '.join(DEVELOPMENT)}"
            )
        return found + self._monitoring_problems(sources)

    def _monitoring_problems(self, sources: Mapping[str, str]) -> list[str]:
        """Why the store that is asked for cannot be."""
        source = sources.get("monitoring")
        if not source or not self.monitoring:
            return []
        found = []
        if self.is_production and not self.api_token and not self.monitoring_auth:
            found.append(
                f"GWZ_API_TOKEN is not set, {source} is {self.monitoring!r} and the environment {self.environment!r}: "
                "anybody could read the JSON endpoints. Set GWZ_API_TOKEN to a random text and give it to Grafana's data "
                "source, or give monitoring_auth a dependency of the application's"
            )
        if self.monitoring == PROMETHEUS and not self.prometheus_url:
            found.append(
                f"{source} is {PROMETHEUS!r}, and GWZ_PROMETHEUS_URL is not set: set it to an address such as "
                "http://prometheus:9090"
            )
        return found


def described() -> dict[str, Setting]:
    """Every setting by its name, in the order of the class."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(Settings)}


def _checked(make: Callable[[dict[str, Any]], _S], overrides: Mapping[str, Any]) -> _S:
    """What `make` returns for the overrides that are settings; what is unknown is reported with what is wrong."""
    known = described()
    problems = [_unknown(name, known) for name in overrides if name not in known]
    try:
        settings = make({name: value for name, value in overrides.items() if name in known})
    except SettingsError as error:
        raise SettingsError([*problems, *error.problems]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(sorted(known))}"
    return f"there is no setting {name!r}: {cure}"


def _disables_traces(environ: Mapping[str, str]) -> bool:
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
