"""The faults: what is done to the world, and the alerts that have to say so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fastapi_app.providers.behaviour import Behaviour, Deed
from gwz_e2e.alerting import app
from gwz_e2e.alerting.notices import Key
from gwz_e2e.alerting.redis_cache import NEARLY, NothingGoes, TooMuchAskedFor
from gwz_e2e.alerting.traffic import Request, chat
from gwz_e2e.alerting.world import API, BUSY, DEAR, DYING, FAILING, LAGGING, LATE, LONG, SLOW, SPENDING, World, job
from gwz_stack import Supervisor


class Fault(Protocol):
    """Something that goes wrong, and is put right again; called in the supervisor's thread."""

    def begin(self) -> None:
        """Let it go wrong."""

    def end(self) -> None:
        """Put it right; returns when that is done."""


@dataclass(frozen=True)
class Sign:
    """An alert that a fault shows by; `labels` tell it from others of its rule."""

    slug: str
    labels: Mapping[str, str] = field(default_factory=dict)
    says: tuple[float, float] | None = None
    """Between what the number in its message lies, where the fault decides it."""
    why: str = ""
    """For an alert that only follows from the fault: from what."""

    @property
    def uid(self) -> str:
        """The uid of its rule."""
        return f"gwz-{self.slug}"

    def is_shown_by(self, key: Key) -> bool:
        """Whether an alert is this one."""
        return key.uid == self.uid and self.labels.items() <= key.labels

    def is_right(self, value: float | None) -> bool:
        """Whether the fault makes the alert say this."""
        return self.says is None or (value is not None and self.says[0] <= value <= self.says[1])


@dataclass(frozen=True)
class Trial:
    """A fault, the alerts that it is there for, and those that rightly follow from it."""

    does: str
    phase: int
    """Faults of one phase go on at once: they do not disturb each other."""
    make: Callable[[World], Fault]
    shows: tuple[Sign, ...]
    also: tuple[Sign, ...] = ()


@dataclass(frozen=True)
class ProvidersDie:
    """The process of providers ends by SIGKILL."""

    world: World

    def begin(self) -> None:
        """Kill them."""
        self.world.providers.kill()

    def end(self) -> None:
        """Start them again."""
        self.world.stage.supervisor.wait_ready(self.world.providers.launch())


@dataclass(frozen=True)
class ServerDies:
    """A server ends by SIGKILL."""

    world: World
    server: str

    def begin(self) -> None:
        """Kill it."""
        self.world.stack.kill_server(self.server)

    def end(self) -> None:
        """Start it again."""
        self.world.stack.restart(self.server)


@dataclass(frozen=True)
class ApplicationDies:
    """An application ends by SIGKILL."""

    world: World
    name: str

    def begin(self) -> None:
        """Kill it."""
        self._supervisor.kill(self.world.scenes[self.name].process)

    def end(self) -> None:
        """Start it again."""
        self._supervisor.wait_ready(self.world.scenes[self.name].launch())

    @property
    def _supervisor(self) -> Supervisor:
        return self.world.stage.supervisor


@dataclass(frozen=True)
class Requests:
    """Requests beside the calm ones, whose answers are the fault."""

    world: World
    name: str
    request: Request
    every_s: float

    def begin(self) -> None:
        """Ask."""
        url = self.world.scenes[self.name].case.app_url
        self.world.traffic.begin(self._kind, url, [self.request], every_s=self.every_s)

    def end(self) -> None:
        """Ask no more, and leave what is not answered yet."""
        self.world.traffic.end(self._kind)

    @property
    def _kind(self) -> str:
        return f"{self.name} {self.request}"


def _failing(slug: str, says: tuple[float, float]) -> Sign:
    return Sign(slug, {"job": job(FAILING)}, says)


_LONG = Behaviour(delay_s=33.0, chunks=66, output_tokens=66)
_LATE = Behaviour(delay_s=4.0, chunks=1)
_DEAR = Behaviour(input_tokens=2_000_000)
_BUSY = Behaviour(Deed.BUSY)

TRIALS: Mapping[str, Trial] = {
    "providers die": Trial(
        f"{len(DYING)} of {len(DYING)} providers of an application are killed",
        1,
        ProvidersDie,
        shows=(
            Sign("health-score-low", says=(0, 30)),
            _failing("error-rate-high", (0.1, 1)),
            _failing("availability-burn-fast", (0.072, 0.5)),
            _failing("availability-burn-slow", (0.03, 0.5)),
            _failing("provider-down", (0, 0.5)),
            Sign("breaker-open", says=(1, 1)),
        ),
        also=(
            Sign(
                "provider-errors",
                {"job": job(FAILING)},
                why="a provider that is down fails more than 30 % of its attempts",
            ),
        ),
    ),
    "provider busy": Trial(
        "a provider answers 429 to two in five attempts",
        1,
        lambda world: Requests(world, SPENDING, chat(BUSY, _BUSY), 0.8),
        shows=(Sign("provider-errors", {"job": job(SPENDING), "provider": BUSY}, says=(0.3, 0.6)),),
    ),
    "first bytes late": Trial(
        f"a provider begins its answers after {_LATE.delay_s:g} s",
        1,
        lambda world: Requests(world, SLOW, chat(LATE, _LATE, stream=True), 0.5),
        shows=(Sign("first-byte-slow", {"job": job(SLOW), "provider": LATE}, says=(3, 5)),),
    ),
    "streams long": Trial(
        f"a provider takes {_LONG.delay_s:g} s for a stream",
        1,
        lambda world: Requests(world, SLOW, chat(LONG, _LONG, stream=True), 0.7),
        shows=(
            Sign("streams-slow", {"job": job(SLOW), "provider": LONG}, says=(30, 60)),
            Sign("latency-high", {"job": job(SLOW)}, says=(10, 60)),
        ),
    ),
    "requests dear": Trial(
        f"requests of {_DEAR.input_tokens:,} tokens each are made beside the usual ones",
        1,
        lambda world: Requests(world, SPENDING, chat(DEAR, _DEAR), 0.5),
        shows=(Sign("cost-spike", {"job": job(SPENDING)}, says=(10, 100_000)),),
    ),
    "loop blocked": Trial(
        f"a handler blocks the event loop for {app.BLOCKED_S:g} s, again and again",
        1,
        lambda world: Requests(world, LAGGING, {"method": "GET", "url": app.BLOCKING_PATH}, 1.5),
        shows=(Sign("event-loop-lag", {"job": job(LAGGING)}, says=(0.5, 3)),),
    ),
    "redis keeps all": Trial(
        f"Redis is {NEARLY:.0%} full and may evict nothing",
        1,
        lambda world: NothingGoes(world.stage.place.urls.redis),
        shows=(Sign("redis-memory-high", says=(0.9, 1.05)),),
    ),
    "redis too small": Trial(
        "more than fits into Redis is asked for, so that it evicts what is missed next",
        2,
        lambda world: TooMuchAskedFor(world.stage.place.urls.redis),
        shows=(Sign("redis-memory-high", says=(0.9, 1.05)),),
    ),
    "redis dies": Trial(
        "Redis is killed", 3, lambda world: ServerDies(world, "redis"), shows=(Sign("redis-down", says=(0, 0)),)
    ),
    "loki dies": Trial("Loki is killed", 2, lambda world: ServerDies(world, "loki"), shows=(Sign("no-logs"),)),
    "tempo dies": Trial(
        "Tempo is killed, while requests are served",
        2,
        lambda world: ServerDies(world, "tempo"),
        shows=(
            Sign("no-traces", says=(11, 1000)),
            Sign("telemetry-lost", {"signal": "traces"}, says=(2, 2000)),
        ),
    ),
    "application dies": Trial(
        "the application that Grafana asks is killed",
        2,
        lambda world: ApplicationDies(world, API),
        shows=(Sign("api-down"), Sign("target-not-scraped", {"job": job(API)})),
    ),
    "prometheus dies": Trial(
        "Prometheus is killed",
        4,
        lambda world: ServerDies(world, "prometheus"),
        shows=(Sign("target-not-scraped"),),
    ),
}
"""Every fault by its name; each alert that ships has one at least."""
