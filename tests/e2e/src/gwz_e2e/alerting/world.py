"""What the faults act on: four applications that are well, their providers, their traffic, and the servers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from fastapi_app.catalog import models_of
from fastapi_app.providers.behaviour import Behaviour
from gwz_e2e.alerting.divided import FACTOR
from gwz_e2e.alerting.redis_cache import fill
from gwz_e2e.alerting.traffic import Traffic, chat
from gwz_e2e.scene import Scene
from gwz_e2e.stage import Providers, Stage
from gwz_instrument.settings import described
from gwz_stack import NativeStack

FAILING, SLOW, SPENDING, LAGGING = "failing", "slow", "spending", "lagging"
"""The applications, by what will become of them; each is a job of its own, because rules judge by job."""
API = FAILING
"""Whose JSON endpoints Grafana asks."""

DYING = ("openrouter", "portkey", "anannas", "aihubmix")
"""Providers that run in a process of their own, for the application that will fail."""
LATE, LONG, BUSY, DEAR, PLAIN = "xai", "fal", "chutes", "deepinfra", "together"
SILENT = "near"
"""Asked once and never again, as most providers are by night: of no requests no rule may say anything."""

_CALM: Mapping[str, tuple[Sequence[str], float]] = {
    FAILING: (DYING, 0.125),
    SLOW: ((LATE, LONG), 0.5),
    SPENDING: ((BUSY, DEAR), 0.25),
    LAGGING: ((PLAIN,), 0.5),
}
"""Whom an application asks when all is well, and the seconds between two requests."""
_PATIENT_S = "120"


@dataclass(frozen=True)
class World:
    """Everything that a fault may touch."""

    stage: Stage
    stack: NativeStack
    scenes: Mapping[str, Scene]
    providers: Providers
    traffic: Traffic

    @classmethod
    def of(cls, stage: Stage, stack: NativeStack) -> Self:
        """Build it; nothing runs yet."""
        ports = stage.ports(*_CALM, "providers")
        place = stage.place
        providers = Providers(place.supervisor, place.urls, ports["providers"], place.out, name="providers-alerts")
        # The endpoint's window is the application's own: it is divided like the windows of the rules, and so is the time
        # for which the delays of event loops are remembered. What the application remembers of its answers begins at full
        # minutes all the same, so its score may take one to fall.
        window_s = described()["health_window_s"].default / FACTOR
        more = {
            FAILING: {"GWZ_HEALTH_WINDOW_S": str(window_s)},
            SLOW: {"PROVIDER_TIMEOUT_S": _PATIENT_S},
        }
        scenes = {
            name: Scene(
                place,
                f"gateway-{name}",
                ports[name],
                name=name,
                job=job(name),
                providers_url=providers.url if name == FAILING else None,
                settings=more.get(name),
                module="gwz_e2e.alerting.app",
            )
            for name in _CALM
        }
        return cls(stage, stack, scenes, providers, Traffic())

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Run the applications under calm traffic while the context lasts, beside a Redis that is full as caches are."""
        supervisor = self.stage.supervisor
        self.stack.set_targets([scene.target for scene in self.scenes.values()])
        probes = {name: probe for scene in self.scenes.values() for name, probe in scene.launch().items()}
        supervisor.wait_ready({**self.providers.launch(), **probes})
        fill(self.stage.place.urls.redis)
        with self.traffic:
            for name, (providers, every_s) in _CALM.items():
                requests = [chat(provider, stream=stream) for provider in providers for stream in (False, True)]
                self.traffic.begin(name, self.scenes[name].case.app_url, requests, every_s=every_s)
            self.traffic.once(self.scenes[LAGGING].case.app_url, chat(SILENT, stream=True))
            yield
        supervisor.stop(*(scene.process for scene in self.scenes.values()), self.providers.name)

    def answers(self) -> Mapping[str, Mapping[str, int]]:
        """What each application answered to its calm traffic."""
        return {name: self.traffic.answers(name) for name in _CALM}


def job(name: str) -> str:
    """The job under which Prometheus scrapes an application."""
    return f"gatewayz_{name}"


def calm_usd_per_s(name: str) -> float:
    """What the calm traffic of an application costs."""
    providers, every_s = _CALM[name]
    usual = Behaviour()
    costs = [models_of(provider)[0].cost_usd(usual.input_tokens, usual.output_tokens) for provider in providers]
    return sum(costs) / len(costs) / every_s
