"""Sets the stage: servers found and started, the simulated providers beside them, an output folder of its own."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from gwz_e2e.case import Engines
from gwz_e2e.engines import Loki, Prometheus, Tempo
from gwz_e2e.options import Options
from gwz_e2e.scene import Place, neutral_environment
from gwz_stack import SERVERS, ComposeStack, Found, NativeStack, ServerUnavailable, Supervisor, Urls, find
from gwz_stack.errors import StackError, VersionRefused, writing
from gwz_stack.ports import Reservation

Tell = Callable[[str], None]

_OURS = ("report.json", "report.html", "junit.xml", "ledger.jsonl", "summary.json", "urls.json")
_FOLDERS = ("config", "data", "logs", "pictures", "tmp")
_MARK = ".gwz-e2e"
_PROVIDERS = "providers"
_PROVIDERS_GRACE_S = 3.0


@dataclass(frozen=True)
class Stage:
    """A running stack with what the scenes need beside it."""

    place: Place
    stack: NativeStack | ComposeStack
    supervisor: Supervisor
    servers: dict[str, Found]

    def watch(self) -> None:
        """Raise ServerDied when any process ended unasked."""
        self.supervisor.check()

    def ports(self, *names: str) -> dict[str, int]:
        """Free ports for applications, which no other run takes meanwhile."""
        return _reserve(self.supervisor, *names)


class Providers:
    """The simulated providers: one process, which can be started again on its port."""

    def __init__(self, supervisor: Supervisor, urls: Urls, port: int, out: Path, *, name: str = _PROVIDERS) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._supervisor = supervisor
        self._urls = urls
        self._port = port
        self._out = out

    def launch(self) -> Mapping[str, Callable[[], bool]]:
        """Start the process and return its readiness probe."""
        self._supervisor.launch(
            self.name,
            [sys.executable, "-m", "fastapi_app.providers"],
            log=self._out / "logs" / f"{self.name}.log",
            grace_s=_PROVIDERS_GRACE_S,
            env={
                **neutral_environment(),
                "HOST": "127.0.0.1",
                "PORT": str(self._port),
                "OTEL_EXPORTER_OTLP_ENDPOINT": self._urls.otlp_http,
            },
            cwd=self._out,
        )
        return {self.name: self.answer}

    def answer(self) -> bool:
        """Whether they say that they are well; raises httpx.HTTPError where nobody listens."""
        return httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success

    def kill(self) -> None:
        """End the process as a crash would; the supervisor does not report it."""
        self._supervisor.kill(self.name)

    def stop(self) -> None:
        """End the process, which sends what it still holds."""
        self._supervisor.stop(self.name)


@dataclass
class Cast:
    """The servers that were found, and why others were not."""

    servers: dict[str, Found] = field(default_factory=dict)
    missing: dict[str, StackError] = field(default_factory=dict)


def find_all(tell: Tell) -> Cast:
    """Look for every server; Grafana's plugin only where there is a Grafana."""
    cast = Cast()
    for server in (*SERVERS, "infinity"):
        if server == "infinity" and "grafana" not in cast.servers:
            continue
        try:
            cast.servers[server] = found = find(server, progress=tell)
            tell(f"{found} from {found.source}")
        except (ServerUnavailable, VersionRefused) as error:
            cast.missing[server] = error
            tell(f"{server} is missing")
    return cast


@contextmanager
def set_stage(options: Options, cast: Cast, tell: Tell, *, e2e: bool) -> Iterator[Stage]:
    """Start the servers and the providers; whatever happens, nothing of it runs afterwards."""
    with Supervisor() as supervisor:
        stack = _stack(options, cast, supervisor, e2e=e2e)
        stack.start()
        try:
            if isinstance(stack, NativeStack):
                tell(f"stack ready in {max(stack.ready_s.values()):.1f} s")
            port = _reserve(supervisor, _PROVIDERS)[_PROVIDERS]
            providers = Providers(supervisor, stack.urls, port, options.out)
            engines = Engines(
                Prometheus(stack.urls.prometheus), Loki(stack.urls.loki), Tempo(stack.urls.tempo), stack.urls.redis
            )
            place = Place(supervisor, stack.urls, engines, providers.url, options.out, stack.metrics_token)
            supervisor.wait_ready(providers.launch())
            yield Stage(place, stack, supervisor, cast.servers)
        finally:
            tell("stopping")
            # Applications first: they send what they hold to servers that still take it.
            supervisor.stop(*(name for name in supervisor.names if name not in SERVERS))
            if isinstance(stack, ComposeStack):
                stack.stop()


def _reserve(supervisor: Supervisor, *names: str) -> dict[str, int]:
    reservation = Reservation.of(names, given={})
    supervisor.afterwards(reservation.close)
    return reservation.ports


def _stack(options: Options, cast: Cast, supervisor: Supervisor, *, e2e: bool) -> NativeStack | ComposeStack:
    if options.mode == "compose":
        return ComposeStack(options.out, e2e=e2e)
    for server in SERVERS:
        if server != "grafana" and server in cast.missing:
            raise cast.missing[server]
    return NativeStack(options.out, servers=cast.servers, supervisor=supervisor, e2e=e2e)


@contextmanager
def output_folder(out: Path, scenes: tuple[str, ...] = ()) -> Iterator[None]:
    """Make `out` this run's alone, without what an earlier run left there.

    StackError when another run writes there or the folder holds something that is not a run's.
    """
    mark = out / _MARK
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if not mark.exists() and any(out.iterdir()):
            raise StackError(
                f"{out} holds something that is not a run's.",
                cause="A run empties its folder.",
                cure="Give --out an empty folder, or a new one.",
            )
        lock = os.open(mark, os.O_CREAT | os.O_RDWR)
    try:
        _lock(lock, out)
        with writing(out):
            for name in (*_FOLDERS, *scenes):
                shutil.rmtree(out / name, ignore_errors=True)
            for name in _OURS:
                (out / name).unlink(missing_ok=True)
            for name in ("data", "logs"):
                (out / name).mkdir()
        yield
    finally:
        drop_data(out)
        os.close(lock)


def drop_data(out: Path) -> None:
    """Remove what only the servers needed, before a report is written: it may be what fills the disk."""
    for name in ("data", "tmp"):
        shutil.rmtree(out / name, ignore_errors=True)


def _lock(lock: int, out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StackError(
            f"{out} is in use.", cause="Another run writes there.", cure="Wait for it, or give --out another folder."
        ) from error
