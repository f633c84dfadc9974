"""Processes beside an application that answer the monitoring endpoints for it from Prometheus; nobody scrapes them."""

import sys
from collections.abc import Callable, Mapping

import httpx

from gwz_e2e.case import Case
from gwz_e2e.scene import ENVIRONMENT, HEALTH_WINDOW_S, Place, neutral_environment
from gwz_stack.errors import writing

WORKERS = 4


class Readers:
    """One port and its workers."""

    def __init__(
        self,
        place: Place,
        case: Case,
        port: int,
        *,
        name: str = "readers",
        workers: int = WORKERS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.workers = workers
        self._place = place
        self._case = case
        self._port = port
        self._settings = dict(settings or {})
        self._shared = place.out.resolve() / "data" / name

    def launch(self) -> Mapping[str, Callable[[], bool]]:
        """Start the processes and return their readiness probe."""
        with writing(self._shared):
            self._shared.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "uvicorn", "gwz_e2e.reader_app:app", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--workers", str(self.workers), "--no-access-log"]
        self._place.supervisor.launch(
            self.name,
            [*command, "--log-level", "warning"],
            log=self._place.out / "logs" / f"{self.name}.log",
            env={**neutral_environment(), **self._environment()},
            cwd=self._place.out,
        )
        return {self.name: self._answer}

    def stop(self) -> None:
        """End the processes."""
        self._place.supervisor.stop(self.name)

    def _answer(self) -> bool:
        return httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success

    def _environment(self) -> dict[str, str]:
        place, case = self._place, self._case
        return {
            "OTEL_SERVICE_NAME": case.service,
            "GWZ_ENVIRONMENT": ENVIRONMENT,
            "GWZ_METRICS_TOKEN": place.metrics_token,
            "GWZ_MONITORING": "prometheus",
            "GWZ_PROMETHEUS_URL": place.urls.prometheus,
            "GWZ_LOKI_QUERY_URL": place.urls.loki,
            "GWZ_API_TOKEN": case.tokens.api,
            "GWZ_HEALTH_WINDOW_S": str(HEALTH_WINDOW_S),
            # Several workers do not start without, though nobody scrapes these.
            **({"PROMETHEUS_MULTIPROC_DIR": str(self._shared)} if self.workers > 1 else {}),
            **self._settings,
        }
