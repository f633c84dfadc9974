"""Where things lie when the servers run natively: addresses, ports and folders in place of those of the containers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from gwz_stack.ports import HOST
from gwz_stack.urls import Urls
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

    def config(self, server: str) -> Path:
        """Return the rendered configuration file of a server."""
        return self.run_dir / "config" / (f"{server}.ini" if server == "grafana" else f"{server}.yml")

    @property
    def targets_file(self) -> Path:
        """Where Prometheus reads the gateway's addresses."""
        return self.run_dir / "config" / "targets" / "gatewayz_production.json"

    @property
    def metrics_token_file(self) -> Path:
        """Where Prometheus reads what it shows the gateway."""
        return self.run_dir / "config" / "metrics_token"

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
    scraped: dict[str, object] = {
        f"scrape_configs.{job}.static_configs.0.targets.0": layout.address(job)
        for job in ("prometheus", "loki", "tempo", "grafana", "redis_exporter")
    }
    by_server: dict[str, dict[str, object]] = {
        "prometheus": {
            **scraped,
            "rule_files.0": str(STACK / "prometheus" / "rules" / "*.yml"),
            "scrape_configs.gatewayz_production.file_sd_configs.0.files.0": str(layout.targets_file),
            "scrape_configs.gatewayz_production.authorization.credentials_file": str(layout.metrics_token_file),
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


def command(server: str, binary: Path, layout: Layout) -> list[str]:
    """Return the command of a server's container with its own binary, addresses and folders."""
    given: list[str] = service(server).get("command", [])
    flags = given[1:] if given and not given[0].startswith("-") else given
    return [str(binary), *replace_flags(flags, _flags(server, layout))]


def environment(server: str, layout: Layout) -> dict[str, str]:
    """Return the environment of a server's container with its own addresses, and the little that it inherits."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    scratch = str(layout.run_dir / "tmp")
    if len(scratch) <= _LONGEST_TMPDIR:
        inherited["TMPDIR"] = scratch
    if server == "redis_exporter":
        own = dict(service(server)["environment"])
        return (
            inherited
            | own
            | {
                "REDIS_ADDR": f"redis://{layout.address('redis')}",
                "REDIS_EXPORTER_WEB_LISTEN_ADDRESS": layout.address("redis_exporter"),
            }
        )
    return inherited


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
            raise KeyError(f"compose.yaml has no flag {flag}")
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
        "redis": {"--bind": HOST, "--port": str(layout.ports["redis"]), "--dir": data},
    }
    return flags.get(server, {})
