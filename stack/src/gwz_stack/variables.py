"""Every variable that the stack's containers take, declared once: .env.example and the reference page are made of these."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The address of a web hook is all that one needs to send to it.
_SECRET = re.compile(r"_(TOKEN|PASSWORD|KEY)$|^GWZ_ALERT_\w+_URL$")
GATEWAYS = {"production": "api.gatewayz.ai", "staging": "gatewayz-staging.up.railway.app"}
"""Where the gateway runs, by environment: what Prometheus scrapes unless a variable says otherwise."""


@dataclass(frozen=True)
class Variable:
    """One variable: who takes it, what it means, and its value where nobody sets it (None: it must be set)."""

    name: str
    services: tuple[str, ...]
    meaning: str
    default: str | None = None
    optional: bool = False
    """Without a value it is simply not there."""
    laptop: bool = False
    """compose.yaml takes it from stack/.env; the others it sets by itself."""

    @property
    def secret(self) -> bool:
        """Whether nobody may read it in a file of the repository; the name says so, and so does the entrypoint."""
        return bool(_SECRET.search(self.name))

    @property
    def drawn(self) -> bool:
        """Whether it is a secret of the stack's own, which stack/.env gets a random value for."""
        return self.laptop and self.secret and self.required

    @property
    def required(self) -> bool:
        """Whether a service does not start without it."""
        return self.default is None and not self.optional


def _gateway(environment: str, host: str) -> tuple[Variable, ...]:
    prefix = f"GATEWAYZ_{environment.upper()}"
    here = environment == "production"
    return (
        Variable(
            f"{prefix}_TARGET",
            ("prometheus",),
            f"The {environment} gateway as `host:port`; `none.invalid:80` for none.",
            default=f"{host}:443",
            laptop=here,
        ),
        Variable(
            f"{prefix}_SCHEME", ("prometheus",), "How it is scraped: `https` or `http`.", default="https", laptop=here
        ),
        Variable(
            f"{prefix}_REPLICAS",
            ("prometheus",),
            "A private name with one address for each replica, which are scraped one by one over `http`; then no target.",
            default="none.invalid",
        ),
        Variable(f"{prefix}_REPLICAS_PORT", ("prometheus",), "The port of each replica.", default="8000"),
        Variable(f"{prefix}_TOKEN", ("prometheus",), "The `GWZ_METRICS_TOKEN` that this gateway was started with."),
    )


VARIABLES = (
    Variable(
        "GF_SECURITY_ADMIN_PASSWORD",
        ("grafana",),
        "Password of Grafana's `admin`; it holds from the first start on.",
        laptop=True,
    ),
    Variable(
        "GF_SECURITY_SECRET_KEY",
        ("grafana",),
        "Encrypts what Grafana keeps secret in its database; another one makes that unreadable.",
        laptop=True,
    ),
    Variable(
        "GF_METRICS_BASIC_AUTH_PASSWORD",
        ("grafana", "prometheus"),
        "What Prometheus shows Grafana to read its `/metrics`.",
        laptop=True,
    ),
    Variable(
        "GRAFANA_ROOT_URL",
        ("grafana",),
        "What the browser calls Grafana; links in alerts begin with it.",
        default="http://localhost:3000",
    ),
    Variable(
        "GWZ_METRICS_TOKEN",
        ("compose",),
        "On a laptop: what the gateway is started with, and Prometheus shows it.",
        laptop=True,
    ),
    *(variable for environment, host in GATEWAYS.items() for variable in _gateway(environment, host)),
    Variable("LOKI_TARGET", ("prometheus",), "Loki as `host:port`.", default="loki:3100"),
    Variable("TEMPO_TARGET", ("prometheus",), "Tempo as `host:port`.", default="tempo:3200"),
    Variable("GRAFANA_TARGET", ("prometheus",), "Grafana as `host:port`.", default="grafana:3000"),
    Variable(
        "REDIS_EXPORTER_TARGET", ("prometheus",), "The exporter of Redis as `host:port`.", default="redis_exporter:9121"
    ),
    Variable(
        "PROMETHEUS_URL",
        ("tempo",),
        "Where Tempo writes what it derives from spans.",
        default="http://prometheus:9090",
    ),
    Variable("REDIS_ADDR", ("redis_exporter",), "The gateway's Redis: `redis://host:port`, `rediss://` for TLS."),
    Variable("REDIS_PASSWORD", ("redis_exporter",), "Its password, where it has one.", optional=True),
    Variable("GATE_PRODUCTION_TOKEN", ("gate",), "What production shows the gate to write.", laptop=True),
    Variable("GATE_STAGING_TOKEN", ("gate",), "What staging shows the gate to write.", laptop=True),
    Variable("GATE_LOKI_TARGET", ("gate",), "Where the gate sends log lines: `host:port`."),
    Variable("GATE_OTLP_HTTP_TARGET", ("gate",), "Where the gate sends spans that came over HTTP: `host:port`."),
    Variable("GATE_OTLP_GRPC_TARGET", ("gate",), "Where the gate sends spans that came over gRPC: `host:port`."),
    Variable("GATE_BODY_MAX", ("gate",), "The largest push; raise it when pushes are answered 413.", default="8m"),
    Variable(
        "GATE_RATE", ("gate",), "Pushes a second of one environment; raise it when sound ones get 429.", default="100"
    ),
    Variable("GATE_BURST", ("gate",), "So many more may come at once.", default="200"),
    Variable(
        "GATE_LISTEN",
        ("gate",),
        "Where HTTP comes in; `0.0.0.0:14318` on a machine without IPv6.",
        default="[::]:14318 ipv6only=off",
    ),
    Variable(
        "GATE_GRPC_LISTEN",
        ("gate",),
        "Where gRPC comes in; `0.0.0.0:14317` on a machine without IPv6.",
        default="[::]:14317 ipv6only=off",
    ),
    Variable("GATE_RUN", ("gate",), "A folder for bodies that do not fit in memory.", default="/tmp"),  # noqa: S108 - in a container of its own
    Variable(
        "RESOLVER", ("gate",), "The DNS server that nginx asks; the one of resolv.conf by itself.", default="127.0.0.1"
    ),
    Variable("GRAFANA_URL", ("provision",), "Where Grafana is."),
    Variable("GRAFANA_USER", ("provision",), "Who provisions it.", optional=True),
    Variable("GRAFANA_PASSWORD", ("provision",), "That user's password."),
    Variable("PROMETHEUS_INTERNAL_URL", ("provision",), "Where Grafana finds Prometheus."),
    Variable("LOKI_URL", ("provision",), "Where Grafana finds Loki."),
    Variable("TEMPO_INTERNAL_URL", ("provision",), "Where Grafana finds Tempo."),
    *(
        Variable(
            f"{server.upper()}_TENANT",
            ("provision",),
            f"Sent to {server} as `X-Scope-OrgID`, where it has tenants.",
            optional=True,
        )
        for server in ("Prometheus", "Loki", "Tempo")
    ),
    Variable("GWZ_API_URL", ("provision",), "Where Grafana finds the gateway's JSON endpoints.", laptop=True),
    Variable("GWZ_API_TOKEN", ("provision",), "The `GWZ_API_TOKEN` that the gateway was started with.", laptop=True),
    Variable(
        "GWZ_RUNBOOKS_URL",
        ("provision",),
        "Where the pages are that alerts lead to; the project's own by itself.",
        optional=True,
    ),
    Variable("GWZ_ALERT_WEBHOOK_URL", ("provision",), "Alerts go there by a webhook.", optional=True, laptop=True),
    Variable("GWZ_ALERT_SLACK_URL", ("provision",), "Alerts go there by Slack.", optional=True, laptop=True),
    Variable("GWZ_ALERT_EMAIL", ("provision",), "Alerts go there by e-mail.", optional=True, laptop=True),
    Variable("GWZ_ALERT_PAGERDUTY_KEY", ("provision",), "Alerts go there by PagerDuty.", optional=True, laptop=True),
)


def declared(service: str) -> dict[str, Variable]:
    """Return the variables that a service takes, by name."""
    return {variable.name: variable for variable in VARIABLES if service in variable.services}


def samples(service: str) -> dict[str, str]:
    """Return a value for each variable that a service does not start without: sound, and nobody's."""
    return {name: _sample(name) for name, variable in declared(service).items() if variable.required}


def _sample(name: str) -> str:
    if _SECRET.search(name):
        return f"sample-{name.lower()}"
    return {"TARGET": "localhost:80", "ADDR": "redis://localhost:6379"}.get(
        name.rpartition("_")[2], "http://localhost:80"
    )


def env_example() -> str:
    """Return stack/.env.example: what a person may set on a laptop."""
    lines = [
        "# Written by `nox -s generate` from gwz_stack.variables: change that, never this file.",
        "# Copy nothing: `nox -s env` writes stack/.env with random secrets. What is commented out here may be added there.",
    ]
    for variable in VARIABLES:
        if variable.laptop:
            lines += ["", f"# {variable.meaning}"]
            lines += [f"{variable.name}=" if variable.drawn else f"# {variable.name}="]
    return "\n".join(lines) + "\n"
