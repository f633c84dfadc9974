"""A scene: one application under its own service name, its load, and the case that comes of it."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from gwz_e2e.breaks import Break
from gwz_e2e.case import Case, Engines, Tokens
from gwz_stack import Process, Supervisor, Urls
from gwz_stack.errors import StackError, writing

ENVIRONMENT = "e2e"  # in any but a development environment /metrics wants a token: the run proves that it is shown
_TARGET_S = 20.0
_POLL_S = 0.2
_FOREIGN = (
    *("OTEL_", "GWZ_", "LOKI_", "TEMPO_", "PROMETHEUS_", "RAILWAY_", "APP_ENV"),
    *("WEB_CONCURRENCY", "PROVIDER_TIMEOUT_S", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
_SPAN_DELAY_MS = "1000"

HEALTH_WINDOW_S = 3600.0
"""Longer than a run takes: so the health of providers is judged by the whole load."""


@dataclass(frozen=True)
class Place:
    """Where scenes play: the servers, the simulated providers, the folder for what is written."""

    supervisor: Supervisor
    urls: Urls
    engines: Engines
    providers_url: str
    out: Path
    metrics_token: str
    tokens: Tokens = field(default_factory=Tokens.new)


class Scene:
    """One application; it may be sabotaged, and others may run beside it on the same servers.

    A `job` of its own makes it the only one of an environment on the dashboards.
    """

    def __init__(
        self,
        place: Place,
        service: str,
        port: int,
        *,
        name: str = "",
        sabotage: Break | None = None,
        sampled_share: float = 1.0,
        job: str = "",
        providers_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        module: str = "fastapi_app",
    ) -> None:
        self.name = name
        self._module = module
        self._settings = dict(settings or {})
        self._job = job
        self.sabotage = sabotage
        self._place = place
        self._providers_url = providers_url or place.providers_url
        folder = place.out / name
        self.case = Case(
            service=service,
            app_url=f"http://127.0.0.1:{port}",
            ledger_file=folder / "ledger.jsonl",
            summary_file=folder / "summary.json",
            engines=place.engines,
            sampled_share=sampled_share,
            metrics_token=place.metrics_token,
            tokens=place.tokens,
        )
        self._port = port

    @property
    def supervisor(self) -> Supervisor:
        """Who runs the application and its load."""
        return self._place.supervisor

    @property
    def process(self) -> str:
        """The application's name among the processes."""
        return f"app {self.case.service}"

    @property
    def plays(self) -> bool:
        """Whether there is an application to put under load."""
        return not (self.sabotage and self.sabotage.stops == "app")

    @property
    def target(self) -> dict[str, object]:
        """What Prometheus is told of the application."""
        labels = {"job": self._job} if self._job else {}
        if self.sabotage:
            labels.update(self.sabotage.target_labels)
        return {"targets": [f"127.0.0.1:{self._port}"], "labels": labels}

    def launch(self) -> Mapping[str, Callable[[], bool]]:
        """Start the application and return its readiness probe; nothing for one that does not play."""
        with writing(self.case.ledger_file):
            self.case.ledger_file.parent.mkdir(parents=True, exist_ok=True)
        if not self.plays:
            return {}
        name = self.process
        self._place.supervisor.launch(
            name, self._command(), log=self._log("app"), env=self._environment(), cwd=self._place.out
        )
        return {name: lambda: httpx.get(f"{self.case.app_url}/health", timeout=2, trust_env=False).is_success}

    def stop(self) -> None:
        """Stop the application, which sends what it still holds."""
        self._place.supervisor.stop(self.process)

    def load_command(
        self,
        *,
        seed: int,
        requests: int,
        speed: float,
        csv: Path | None = None,
        traced: bool = True,
        case: Case | None = None,
    ) -> list[str]:
        """The command that puts the application under load; not `traced`, the application starts each trace itself.

        `case` has the files for what it writes, where they are not the scene's own.
        """
        case = case or self.case
        command = [sys.executable, "-m", "fastapi_app.load", "--url", case.app_url, "--ledger", str(case.ledger_file)]
        command += ["--summary", str(case.summary_file), "--seed", str(seed), "--requests", str(requests)]
        command += ["--speed", str(speed), *(["--csv", str(csv)] if csv else [])]
        return command + ([] if traced and case.sampled_share == 1 else ["--untraced"])

    def log_of_load(self) -> Path:
        """Where the load writes how far it is."""
        return self._log("load")

    def forge(self) -> None:
        """Take the last line out of the ledger, if that is the sabotage."""
        if self.sabotage and self.sabotage.forges_ledger:
            lines = self.case.ledger_file.read_text(encoding="utf-8").splitlines(keepends=True)
            self.case.ledger_file.write_text("".join(lines[:-1]), encoding="utf-8")

    def _command(self) -> list[str]:
        if self.sabotage and self.sabotage.app_code:
            return [sys.executable, "-m", "gwz_e2e.saboteur", self.name]
        return [sys.executable, "-m", self._module]

    def _environment(self) -> dict[str, str]:
        place, case = self._place, self.case
        ours = {
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "PROVIDERS_URL": self._providers_url,
            "REDIS_URL": place.urls.redis,
            "POSTGREST_URL": f"{place.providers_url}/rest/v1",
            "NAMESPACE": case.service,
            "REDIS_TIMEOUT_S": "5",  # a look-up that is given up here would be a miss that the ledger knows nothing of
            "GAUGES_EVERY_S": "1",
            "DATABASE_URL": f"sqlite:///{place.out.resolve()}/data/{case.service}.db",
            "OTEL_SERVICE_NAME": case.service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": place.urls.otlp_http,
            "OTEL_BSP_SCHEDULE_DELAY": _SPAN_DELAY_MS,
            "GWZ_LOKI_URL": place.urls.loki,
            "GWZ_ENVIRONMENT": ENVIRONMENT,
            "GWZ_METRICS_TOKEN": place.metrics_token,
            "GWZ_MONITORING": "local",
            "GWZ_API_TOKEN": place.tokens.api,
            "GWZ_ADMIN_TOKEN": place.tokens.admin,
            "GWZ_LOKI_QUERY_URL": place.urls.loki,
            "GWZ_TEMPO_URL": place.urls.tempo,
            "GWZ_HEALTH_WINDOW_S": str(HEALTH_WINDOW_S),
        }
        if case.sampled_share < 1:
            ours["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
            ours["OTEL_TRACES_SAMPLER_ARG"] = str(case.sampled_share)
        of_break = self.sabotage.app_env if self.sabotage else {}
        return {**neutral_environment(), **ours, **self._settings, **of_break}

    def _log(self, what: str) -> Path:
        return self._place.out / "logs" / f"{what}{f'-{self.name}' if self.name else ''}.log"


def neutral_environment() -> dict[str, str]:
    """This process's environment without what would configure telemetry, the applications' servers or a proxy."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}


def wait_scraped(scenes: Iterable[Scene], engines: Engines, watch: Callable[[], None]) -> None:
    """Wait until Prometheus has asked each application once, in vain or not; a target that never shows is a hop's to report."""
    wanted = {scene.case.address for scene in scenes}
    deadline = time.monotonic() + _TARGET_S
    while time.monotonic() < deadline:
        watch()
        with suppress(httpx.HTTPError):
            asked = {t["labels"]["instance"] for t in engines.prometheus.targets() if t["health"] != "unknown"}
            if wanted <= asked:
                return
        time.sleep(_POLL_S)


class LoadFailed(StackError):  # noqa: N818  # as its siblings in gwz_stack.errors
    """A load ended without having done its work."""


def run_loads(
    loads: Sequence[tuple[Scene, Sequence[str]]], *, watch: Callable[[], None], tell: Callable[[str], None]
) -> None:
    """Run every load at once to its end, telling the first one's progress; LoadFailed for one that could not do its work."""
    if not loads:
        return
    supervisor = loads[0][0].supervisor
    running: list[tuple[Scene, Process]] = []
    try:
        for scene, command in loads:
            name, log = f"load {scene.case.service}", scene.log_of_load()
            running.append((scene, supervisor.launch(name, command, log=log, env=neutral_environment(), may_end=True)))
        told = ""
        while any(process.popen.poll() is None for _, process in running):
            watch()
            for scene, process in running:
                _judge_exit(scene, process.popen.poll())
            if (line := _last_line(running[0][1].log)) != told and "requests ended" in line:
                tell(line)
                told = line
            time.sleep(_POLL_S)
        for scene, process in running:
            _judge_exit(scene, process.popen.returncode)
            scene.forge()
    finally:
        supervisor.stop(*(process.name for _, process in running))


def _judge_exit(scene: Scene, code: int | None) -> None:
    """Raise LoadFailed for a load that is over and has neither proved nor refuted its plan."""
    written = scene.case.summary_file.exists() and scene.case.summary_file.stat().st_size > 0
    if code is None or (code in (0, 1) and written):
        return
    log = scene.log_of_load()
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    raise LoadFailed(
        f"The load of {scene.case.service} {ended}.",
        cause=f"Its last words: {_last_line(log) or 'none'}.",
        cure=f"Correct what it names, or read {log}.",
    )


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return next((line for line in reversed(lines) if not line.startswith("{")), "")
    return ""
