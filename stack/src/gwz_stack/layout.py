"""Where things lie when the servers run natively: addresses, ports and folders in place of those of the containers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from gwz_stack.dockerfile import dockerfile
from gwz_stack.ports import HOST
from gwz_stack.urls import Urls
from gwz_stack.variables import declared
from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PORTS = (
    "prometheus",
    "loki",
    "loki_grpc",
    "tempo",
    "tempo_grpc",
    "otlp_grpc",
    "otlp_http",
    "grafana",
    "redis",
    "redis_exporter",
)

INFINITY = "yesoreyeram-infinity-datasource"

COMPOSE_FILE = STACK / "compose.yaml"
ENTRYPOINT = STACK / "entrypoint.sh"
NOWHERE = "none.invalid:80"  # a target that prometheus.yml drops

# Nothing else of the caller's environment reaches a server: with OTEL_* Tempo would trace itself, GF_* would override the file.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_LONGEST_TMPDIR = 80  # Grafana puts the sockets of its plugins there, and a socket's path ends at 108 characters


@dataclass(frozen=True)
class Layout:
    """The folders below one run, and the port of each listener."""

    run_dir: Path
    ports: Mapping[str, int]

    def address(self, name: str) -> str:
        """Return host:port of a listener."""
        return f"{HOST}:{self.ports[name]}"

    def data(self, server: str) -> Path:
        """Return the folder of a server's data."""
        return self.run_dir / "data" / server

    def log(self, server: str) -> Path:
        """Return the file that a server's output goes to."""
        return self.run_dir / "logs" / f"{server}.log"

    def template(self, server: str) -> Path:
        """Return the configuration file of a server as the entrypoint takes it."""
        return self.run_dir / "config" / "templates" / self.config(server).name

    def config(self, server: str) -> Path:
        """Return the configuration file that a server reads."""
        return self.run_dir / "config" / (f"{server}.ini" if server == "grafana" else f"{server}.yml")

    @property
    def targets_file(self) -> Path:
        """Where Prometheus reads the gateway's addresses."""
        return self.run_dir / "config" / "targets" / "gatewayz_production.json"

    def urls(self, *, grafana: bool) -> Urls:
        """Return the addresses as others use them."""
        return Urls(
            prometheus=f"http://{self.address('prometheus')}",
            loki=f"http://{self.address('loki')}",
            tempo=f"http://{self.address('tempo')}",
            grafana=f"http://{self.address('grafana')}" if grafana else None,
            redis=f"redis://{self.address('redis')}/0",
            redis_exporter=f"http://{self.address('redis_exporter')}",
            otlp_http=f"http://{self.address('otlp_http')}",
            otlp_grpc=f"http://{self.address('otlp_grpc')}",
        )


def places(server: str, layout: Layout) -> dict[str, object]:
    """Return, by dotted path, what takes the place of the containers' addresses and folders in a server's configuration."""
    data = str(layout.data(server))
    by_server: dict[str, dict[str, object]] = {
        "prometheus": {
            "scrape_configs.prometheus.static_configs.0.targets.0": layout.address("prometheus"),
            "rule_files.0": str(STACK / "prometheus" / "rules" / "*.yml"),
            "scrape_configs.gatewayz_production.file_sd_configs.0.files.0": str(layout.targets_file),
            "scrape_configs.gatewayz_staging.file_sd_configs.0.files.0": str(
                layout.targets_file.with_stem("gatewayz_staging")
            ),
        },
        "loki": {
            "server.http_listen_address": HOST,
            "server.http_listen_port": layout.ports["loki"],
            "server.grpc_listen_address": HOST,
            "server.grpc_listen_port": layout.ports["loki_grpc"],
            "frontend_worker.frontend_address": layout.address("loki_grpc"),
            "common.path_prefix": data,
            "common.storage.filesystem.chunks_directory": f"{data}/chunks",
            "common.storage.filesystem.rules_directory": f"{data}/rules",
            "ingester.wal.dir": f"{data}/wal",
            "compactor.working_directory": f"{data}/compactor",
        },
        "tempo": {
            "server.http_listen_address": HOST,
            "server.http_listen_port": layout.ports["tempo"],
            "server.grpc_listen_address": HOST,
            "server.grpc_listen_port": layout.ports["tempo_grpc"],
            "distributor.receivers.otlp.protocols.grpc.endpoint": layout.address("otlp_grpc"),
            "distributor.receivers.otlp.protocols.http.endpoint": layout.address("otlp_http"),
            "querier.frontend_worker.frontend_address": layout.address("tempo_grpc"),
            "storage.trace.local.path": f"{data}/blocks",
            "storage.trace.wal.path": f"{data}/wal",
            "metrics_generator.storage.path": f"{data}/generator/wal",
            "metrics_generator.storage.remote_write.0.url": f"http://{layout.address('prometheus')}/api/v1/write",
            "metrics_generator.traces_storage.path": f"{data}/generator/traces",
        },
        "grafana": {
            "server.http_addr": HOST,
            "server.http_port": str(layout.ports["grafana"]),
            "paths.data": data,
            "paths.logs": f"{data}/log",
            "paths.plugins": f"{data}/plugins",
            "paths.provisioning": f"{data}/provisioning",
        },
    }
    return by_server[server]


def plugin_places(plugins: Path) -> dict[str, object]:
    """Return the places of Grafana's plugins in a folder that find() returned for `infinity`."""
    return {"paths.plugins": str(plugins), "plugins.allow_loading_unsigned_plugins": INFINITY}


def command(server: str, binary: Path, layout: Layout, *, flags: Mapping[str, str] | None = None) -> list[str]:
    """Return the command of a server's container with its own binary, addresses and folders, started as the container is.

    `flags` are other values of flags that only the caller knows.
    """
    _, *given = dockerfile(server).command
    own = [str(binary), *replace_flags(given, _flags(server, layout) | dict(flags or {}))]
    needs = _needs(server, layout)
    return ["/bin/sh", str(ENTRYPOINT), *needs, "--", *own] if needs else own


def environment(server: str, layout: Layout, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server's container with its own addresses and `secrets`, and the little that it inherits."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    scratch = str(layout.run_dir / "tmp")
    if len(scratch) <= _LONGEST_TMPDIR:
        inherited["TMPDIR"] = scratch
    containers: dict[str, str] = service(server).get("environment", {})
    return {
        **inherited,
        **{name: value for name, value in containers.items() if "$" not in value and not name.endswith("_FILE")},
        **_variables(server, layout),
        **{name: value for name, value in secrets.items() if name in declared(server)},
        "GWZ_RENDERED": str(layout.run_dir / "config"),
    }


def replace_flags(flags: list[str], values: Mapping[str, str]) -> list[str]:
    """Return the flags, `--name=value` or `--name value`, with other values; raises KeyError for a flag that is not there."""
    replaced = list(flags)
    for flag, value in values.items():
        joined = [index for index, text in enumerate(flags) if text.startswith(f"{flag}=")]
        if joined:
            replaced[joined[0]] = f"{flag}={value}"
        elif flag in flags:
            replaced[flags.index(flag) + 1] = value
        else:
            raise KeyError(f"the command has no flag {flag}")
    return replaced


def service(server: str) -> dict[str, Any]:
    """Return a server's service in compose.yaml."""
    found: dict[str, Any] = compose_file()["services"][server]
    return found


@cache
def compose_file() -> dict[str, Any]:
    """Return compose.yaml, parsed."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return parsed


def _needs(server: str, layout: Layout) -> list[str]:
    """What the entrypoint checks, at its place here."""
    image = dockerfile(server)
    places = dict.fromkeys(image.templates, str(layout.template(server)))
    places |= {f"{folder}/": f"{layout.data(server)}/" for folder in image.folders}
    return [places.get(need, need) for need in image.needs]


def _variables(server: str, layout: Layout) -> dict[str, str]:
    """Where the servers find one another here, and nothing beyond this machine."""
    by_server: dict[str, dict[str, str]] = {
        "prometheus": {
            "LOKI_TARGET": layout.address("loki"),
            "TEMPO_TARGET": layout.address("tempo"),
            "GRAFANA_TARGET": layout.address("grafana"),
            "REDIS_EXPORTER_TARGET": layout.address("redis_exporter"),
            # The gateways are in the targets file, which changes while Prometheus runs.
            "GATEWAYZ_PRODUCTION_TARGET": NOWHERE,
            "GATEWAYZ_STAGING_TARGET": NOWHERE,
        },
        "grafana": {"GRAFANA_ROOT_URL": f"http://{layout.address('grafana')}"},
        "redis_exporter": {"REDIS_ADDR": f"redis://{layout.address('redis')}"},
    }
    return by_server.get(server, {})


def _flags(server: str, layout: Layout) -> dict[str, str]:
    config, data = str(layout.config(server)), str(layout.data(server))
    flags: dict[str, dict[str, str]] = {
        "prometheus": {
            "--config.file": config,
            "--storage.tsdb.path": data,
            "--web.listen-address": layout.address("prometheus"),
        },
        "loki": {"-config.file": config},
        "tempo": {"-config.file": config},
        "grafana": {"--config": config},
        "redis": {"--bind": HOST, "--port": str(layout.ports["redis"]), "--dir": data},
        "redis_exporter": {"-web.listen-address": layout.address("redis_exporter")},
    }
    return flags.get(server, {})
