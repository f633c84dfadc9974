"""The gate as a process on loopback: its image's command and configuration, before servers that run already."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from gwz_stack.dockerfile import dockerfile
from gwz_stack.errors import writing
from gwz_stack.layout import ENTRYPOINT, replace_flags
from gwz_stack.ports import HOST, Reservation
from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gwz_stack.find import Found
    from gwz_stack.process import Supervisor
    from gwz_stack.urls import Urls

ENVIRONMENTS = ("production", "staging")


class Gate:
    """One nginx below `run_dir`, in front of the Loki and the Tempo at `urls`; `limits` are GATE_* variables."""

    name = "gate"

    def __init__(
        self,
        run_dir: Path,
        *,
        nginx: Found,
        urls: Urls,
        supervisor: Supervisor,
        limits: Mapping[str, str] | None = None,
        configuration: Path = STACK / "gate" / "nginx.conf",
    ) -> None:
        self.tokens = {environment: secrets.token_urlsafe(24) for environment in ENVIRONMENTS}
        self._nginx = nginx
        self._urls = urls
        self._supervisor = supervisor
        self._limits = dict(limits or {})
        self._configuration = configuration
        self._folder = run_dir.resolve() / self.name
        reservation = Reservation.of(("http", "grpc"), given={})
        supervisor.afterwards(reservation.close)
        self.ports = reservation.ports

    @property
    def http(self) -> str:
        """Where log lines and spans over HTTP come in."""
        return f"http://{HOST}:{self.ports['http']}"

    @property
    def grpc(self) -> str:
        """Where spans over gRPC come in."""
        return f"http://{HOST}:{self.ports['grpc']}"

    def start(self, *, timeout_s: float = 30.0) -> None:
        """Start it and wait until it answers; raises as Supervisor.start() does."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._supervisor.start(
            self.name,
            self._command(),
            log=self._folder / "gate.log",
            ready=lambda: httpx.get(f"{self.http}/healthz", timeout=2, trust_env=False).is_success,
            env={"PATH": os.environ["PATH"], **self._variables(), **self._limits},
            timeout_s=timeout_s,
        )

    def _command(self) -> list[str]:
        image = dockerfile(self.name)
        _, *flags = image.command
        needs = [str(self._configuration) if need in image.templates else need for need in image.needs]
        own = replace_flags(flags, {"-c": str(self._folder / "rendered" / "nginx.conf")})
        # Started by root, nginx would hand its work to a user that cannot enter a private folder.
        own += ["-g", "user root;"] if os.geteuid() == 0 else []
        (self._folder / "rendered").mkdir(exist_ok=True)
        return ["/bin/sh", str(ENTRYPOINT), *needs, "--", str(self._nginx.path), *own]

    def _variables(self) -> dict[str, str]:
        return {
            "GWZ_RENDERED": str(self._folder / "rendered"),
            "GATE_RUN": str(self._folder),
            "GATE_LISTEN": f"{HOST}:{self.ports['http']}",
            "GATE_GRPC_LISTEN": f"{HOST}:{self.ports['grpc']}",
            "GATE_LOKI_TARGET": urlsplit(self._urls.loki).netloc,
            "GATE_OTLP_HTTP_TARGET": urlsplit(self._urls.otlp_http).netloc,
            "GATE_OTLP_GRPC_TARGET": urlsplit(self._urls.otlp_grpc).netloc,
            **{f"GATE_{environment.upper()}_TOKEN": token for environment, token in self.tokens.items()},
        }
