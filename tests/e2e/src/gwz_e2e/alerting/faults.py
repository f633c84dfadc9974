"""The faults: what is done to the world, and the alerts that have to say so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import redis

from fastapi_app.providers.behaviour import Behaviour, Deed
from gwz_e2e.alerting import blocking_app
from gwz_e2e.alerting.notices import Key
from gwz_e2e.alerting.traffic import Request, chat
from gwz_e2e.alerting.world import API, BUSY, DEAR, DYING, FAILING, LAGGING, LATE, LONG, SLOW, SPENDING, World, job
from gwz_stack import Supervisor

_MIB = 1 << 20


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
    why: str = ""
    """For an alert that only follows from the fault: from what."""

    @property
    def uid(self) -> str:
        """The uid of its rule."""
        return f"gwz-{self.slug}"

    def is_shown_by(self, key: Key) -> bool:
        """Whether an alert is this one."""
        return key.uid == self.uid and self.labels.items() <= key.labels


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


@dataclass(frozen=True)
class RedisFills:
    """Redis is given values until little of what it may hold is free."""

    world: World

    def begin(self) -> None:
        """Fill it."""
        with self._client() as client:
            number = 0
            while (memory := client.info("memory"))["used_memory"] < _FULL * memory["maxmemory"]:
                client.set(f"{_PREFIX}{number}", bytes(_MIB))
                number += 1

    def end(self) -> None:
        """Take the values out again."""
        with self._client() as client:
            client.delete(*client.keys(f"{_PREFIX}*"))

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.world.stage.place.urls.redis, socket_timeout=10)


_FULL = 0.95
_PREFIX = "gwz-e2e-alerts:"


def _failing(slug: str) -> Sign:
    return Sign(slug, {"job": job(FAILING)})


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
            Sign("health-score-low"),
            _failing("error-rate-high"),
            _failing("availability-burn-fast"),
            _failing("availability-burn-slow"),
            _failing("provider-down"),
            Sign("breaker-open"),
        ),
        also=(
            Sign(
                "provider-errors", {"job": job(FAILING)}, "a provider that is down fails more than 30 % of its attempts"
            ),
        ),
    ),
    "provider busy": Trial(
        "a provider answers 429 to two in five attempts",
        1,
        lambda world: Requests(world, SPENDING, chat(BUSY, _BUSY), 0.8),
        shows=(Sign("provider-errors", {"job": job(SPENDING), "provider": BUSY}),),
    ),
    "first bytes late": Trial(
        f"a provider begins its answers after {_LATE.delay_s:g} s",
        1,
        lambda world: Requests(world, SLOW, chat(LATE, _LATE, stream=True), 0.5),
        shows=(Sign("first-byte-slow", {"job": job(SLOW), "provider": LATE}),),
    ),
    "streams long": Trial(
        f"a provider takes {_LONG.delay_s:g} s for a stream",
        1,
        lambda world: Requests(world, SLOW, chat(LONG, _LONG, stream=True), 0.7),
        shows=(
            Sign("streams-slow", {"job": job(SLOW), "provider": LONG}),
            Sign("latency-high", {"job": job(SLOW)}),
        ),
    ),
    "requests dear": Trial(
        f"requests of {_DEAR.input_tokens:,} tokens each are made beside the usual ones",
        1,
        lambda world: Requests(world, SPENDING, chat(DEAR, _DEAR), 0.5),
        shows=(Sign("cost-spike", {"job": job(SPENDING)}),),
    ),
    "loop blocked": Trial(
        f"a handler blocks the event loop for {blocking_app.BLOCKED_S:g} s, again and again",
        1,
        lambda world: Requests(world, LAGGING, {"method": "GET", "url": blocking_app.PATH}, 1.5),
        shows=(Sign("event-loop-lag", {"job": job(LAGGING)}),),
    ),
    "redis full": Trial(
        f"Redis is filled to {_FULL:.0%} of its maxmemory",
        1,
        RedisFills,
        shows=(Sign("redis-memory-high"),),
    ),
    "redis dies": Trial("Redis is killed", 2, lambda world: ServerDies(world, "redis"), shows=(Sign("redis-down"),)),
    "loki dies": Trial("Loki is killed", 2, lambda world: ServerDies(world, "loki"), shows=(Sign("no-logs"),)),
    "tempo dies": Trial(
        "Tempo is killed, while requests are served",
        2,
        lambda world: ServerDies(world, "tempo"),
        shows=(Sign("no-traces"), Sign("telemetry-lost", {"signal": "traces"})),
    ),
    "application dies": Trial(
        "the application that Grafana asks is killed",
        2,
        lambda world: ApplicationDies(world, API),
        shows=(Sign("api-down"), Sign("target-not-scraped", {"job": job(API)})),
    ),
    "prometheus dies": Trial(
        "Prometheus is killed",
        3,
        lambda world: ServerDies(world, "prometheus"),
        shows=(Sign("target-not-scraped"),),
    ),
}
"""Every fault by its name; each alert that ships has one at least."""
