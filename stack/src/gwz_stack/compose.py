"""The stack as containers: the same configuration, run by Docker Compose."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from gwz_stack.command import run
from gwz_stack.dockerfile import dockerfile
from gwz_stack.dotenv import METRICS_TOKEN, PASSWORD, read_env, write_env
from gwz_stack.errors import StackError, writing
from gwz_stack.layout import COMPOSE_FILE, NOWHERE, service
from gwz_stack.ports import HOST
from gwz_stack.render import FILES, e2e_overrides, render, shipped, write
from gwz_stack.urls import Urls
from gwz_stack.versions import SERVERS, STACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ENV_FILE = STACK / ".env"
_TARGETS = "/etc/prometheus/targets"


def available() -> tuple[bool, str]:
    """Tell whether containers can be run here, and if not, why."""
    if not shutil.which("docker"):
        return False, "the docker command is not installed"
    if run(["docker", "compose", "version"]).exit_code:
        return False, "docker has no compose command (version 2 comes with Docker's package docker-compose-plugin)"
    engine = run(["docker", "info"])
    if engine.exit_code:
        return False, (engine.output.strip().splitlines() or ["docker info failed"])[-1]
    return True, ""


class ComposeStack:
    """The containers of compose.yaml; with `e2e`, with the overrides of e2e.toml and data that end with them."""

    def __init__(self, run_dir: Path, *, e2e: bool = False, env_file: Path = ENV_FILE) -> None:
        self._run_dir = run_dir.resolve()
        self._e2e = e2e
        self._env_file = env_file
        # A person's own containers and data are not touched by an end-to-end run.
        self._project = "gatewayz-e2e" if e2e else "gatewayz"

    @property
    def urls(self) -> Urls:
        """Where the servers listen on the host."""
        return Urls(
            prometheus=f"http://{_published('prometheus', 9090)}",
            loki=f"http://{_published('loki', 3100)}",
            tempo=f"http://{_published('tempo', 3200)}",
            grafana=f"http://{_published('grafana', 3000)}",
            redis=f"redis://{_published('redis', 6379)}/0",
            redis_exporter=f"http://{_published('redis_exporter', 9121)}",
            otlp_http=f"http://{_published('tempo', 4318)}",
            otlp_grpc=f"http://{_published('tempo', 4317)}",
        )

    @property
    def grafana_password(self) -> str:
        """The password of Grafana's admin, from the .env file."""
        return read_env(self._env_file).get(PASSWORD, "")

    @property
    def metrics_token(self) -> str:
        """What Prometheus shows the gateway, from the .env file."""
        return read_env(self._env_file).get(METRICS_TOKEN, "")

    @property
    def targets_file(self) -> Path:
        """The file in which Prometheus finds the gateway's addresses."""
        return self._run_dir / "config" / "targets" / "gatewayz_production.yml"

    def start(self) -> None:
        """Create and start the containers and wait until all are healthy; raises StackError with Compose's words."""
        possible, reason = available()
        if not possible:
            raise StackError(
                "The containers cannot run.", cause=f"{reason}.", cure="Start Docker, or use --mode native."
            )
        write_env(self._env_file)
        if not self.targets_file.exists():
            self.set_targets([])
        self._write_overrides()
        try:
            # The servers by name: --wait takes the one-shot `provision`, which ends, for a failure.
            self._compose("up", "--detach", "--wait", "--build", *SERVERS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop and remove the containers; the data stay, unless they were those of an end-to-end run."""
        self._compose("down", *(["--volumes"] if self._e2e else []))

    def set_targets(self, targets: Sequence[Mapping[str, object]]) -> None:
        """Tell Prometheus where the gateway runs, as NativeStack.set_targets does."""
        with writing(self.targets_file):
            self.targets_file.parent.mkdir(parents=True, exist_ok=True)
            draft = self.targets_file.with_suffix(".draft")
            draft.write_text(json.dumps(list(targets), indent=2), encoding="utf-8")
            draft.rename(self.targets_file)

    def _write_overrides(self) -> None:
        """Write a second Compose file that mounts this run's configuration over the shipped one."""
        mounts = {"prometheus": [f"{self.targets_file.parent}:{_TARGETS}:ro"]}
        with writing(self._run_dir):
            for server in FILES if self._e2e else ():
                config = self._run_dir / "config" / FILES[server].name
                write(server, render(server, shipped(server), places={}, overrides=e2e_overrides(server)), config)
                mounts.setdefault(server, []).append(f"{config}:{_mounted(server)}:ro")
            self._run_dir.mkdir(parents=True, exist_ok=True)
            services: dict[str, Any] = {server: {"volumes": volumes} for server, volumes in mounts.items()}
            # The targets file says it all.
            services["prometheus"]["environment"] = {"GATEWAYZ_PRODUCTION_TARGET": NOWHERE}
            self._override_file.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")

    @property
    def _override_file(self) -> Path:
        return self._run_dir / "compose.override.yaml"

    def _compose(self, *arguments: str) -> None:
        argv = ["docker", "compose", "--project-name", self._project, "--env-file", str(self._env_file)]
        argv += ["--file", str(COMPOSE_FILE), "--file", str(self._override_file), *arguments]
        result = run(argv)
        if result.exit_code:
            raise StackError(
                f"`docker compose {arguments[0]}` failed.",
                cause=f"It said: {result.output.strip()[-600:]}.",
                cure=f"`docker compose --project-name {self._project} logs` shows the servers' words.",
            )


def _published(server: str, container_port: int) -> str:
    for mapping in service(server)["ports"]:
        host, port, inside = str(mapping).split(":")
        if int(inside) == container_port:
            return f"{host}:{port}"
    raise KeyError(f"compose.yaml publishes no port {container_port} of {server} on {HOST}")


def _mounted(server: str) -> str:
    return next(file for file in dockerfile(server).templates if file.endswith(f"/{FILES[server].name}"))
