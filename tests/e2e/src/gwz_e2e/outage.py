"""An outage: providers are killed under steady traffic, and their health has to say so within one window, and recover."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self, TypeVar

import httpx

from gwz_e2e.engines import Series
from gwz_e2e.hops import Aborted, Finding, Hop
from gwz_e2e.readers import Readers
from gwz_e2e.reading import Reader
from gwz_e2e.scene import Scene
from gwz_e2e.stage import Providers, Stage
from gwz_instrument.semconv import endpoints, providers

HOP = "provider_health"
NEEDS = ("redis_exporter",)
"""It compares counts of look-ups, which the requests of this one would go on raising."""
SERVICE = "gateway-outage"
MODEL, ASKED = "openai/gpt-4o-mini", ("openrouter", "portkey")
WINDOW_S = 20.0
"""`health_window_s`, short enough to be waited for."""
SLACK_S = 3.0
"""For what lies between a change and the scrape that shows it."""

_HEADERS = {"authorization": "Bearer gw-pro-1"}
_BASELINE_S = 120.0
_PACE_S = 0.25
_POLL_S = 0.5
_ANSWER_S = 10.0
_RESTART_S = 60.0
_REMEMBERED_S = 8 * WINDOW_S
_PATIENCE = 2.0
"""How many times as long as is allowed a wait goes on: its sentence can then say how long it took."""

T = TypeVar("T")


class Point(NamedTuple):
    """A sample: when it was scraped and what it said."""

    at: float
    value: float


@dataclass(frozen=True)
class Sign:
    """What a metric has to say of every provider; `state` is the label of a breaker's."""

    metric: str
    holds: Callable[[float], bool]
    state: str = ""


HEALTHY = Sign(providers.HEALTH_SCORE.name, lambda score: score >= 0.95)
FALLEN = Sign(providers.HEALTH_SCORE.name, lambda score: score < 0.30)
DEAD = (
    Sign(providers.AVAILABILITY.name, lambda available: available == 0),
    Sign(providers.ERROR_RATE.name, lambda rate: rate >= 0.95),
    Sign(providers.BREAKER_STATE.name, lambda state: state == 1, "open"),
)
ALIVE = (
    Sign(providers.AVAILABILITY.name, lambda available: available == 1),
    Sign(providers.ERROR_RATE.name, lambda rate: rate <= 0.05),
    Sign(providers.BREAKER_STATE.name, lambda state: state == 1, "closed"),
)
_METRICS = sorted({sign.metric for sign in (HEALTHY, *DEAD)})


@dataclass(frozen=True)
class History:
    """What was scraped of one application: the health of its providers, and `up` of every scrape."""

    series: Sequence[Series]

    def shown(self, signs: Iterable[Sign], since: float) -> Point | None:
        """The sample after `since` with which the last sign of the last provider came; None while one is missing."""
        firsts = [
            self._first({"__name__": sign.metric, "provider": provider, "state": sign.state}, sign.holds, since)
            for sign in signs
            for provider in ASKED
        ]
        return None if None in firsts else max(point for point in firsts if point)

    def gone(self, since: float) -> Point | None:
        """The first good scrape after `since` that found no series of any provider, nor did one after it."""
        last = max((one.samples[-1][0] for one in self.series if "provider" in one.labels), default=since)
        return self._first({"__name__": "up"}, lambda up: up == 1, max(since, last))

    def words(self) -> str:
        """What each series said last, of breakers only the state that they are in, and how long before the last scrape."""
        now = max((at for one in self.series for at, _ in one.samples), default=0.0)
        said = [
            f"{_title(one)} {one.samples[-1][1]:.2f} ({now - one.samples[-1][0]:.0f} s old)"
            for one in self.series
            if "provider" in one.labels and ("state" not in one.labels or one.samples[-1][1])
        ]
        return ", ".join(sorted(said)) or "no series of a provider"

    def _first(self, labels: dict[str, str], holds: Callable[[float], bool], since: float) -> Point | None:
        points = (
            Point(*sample)
            for one in self.series
            if all(one.labels.get(name, "") == value for name, value in labels.items())
            for sample in one.samples
        )
        return next((point for point in points if point.at > since and holds(point.value)), None)


class Took(NamedTuple):
    """How long something took to show, and the value that showed it."""

    seconds: float
    value: float


class Missed(Exception):  # noqa: N818  # a finding, no error
    """A phase did not show what it has to; the message says which, and what the series said."""


@dataclass(frozen=True)
class Waiting:
    """Waits for what the series have to show, judged by the times of their scrapes; raises Missed or Aborted."""

    look: Callable[[], History]
    pause: Callable[[], None]
    now: Callable[[], float] = time.time

    def until(self, phase: str, find: Callable[[History, float], Point | None], since: float, at_most_s: float) -> Took:
        """What `find` waits for from `since` on; it may take `at_most_s`."""
        deadline = since + _PATIENCE * at_most_s
        while (found := find(history := self.look(), since)) is None:
            if self.now() > deadline:
                raise Missed(f"{phase}: not within {_PATIENCE * at_most_s:.0f} s; last said {history.words()}")
            self.pause()
        if (seconds := found.at - since) > at_most_s:
            raise Missed(f"{phase}: after {seconds:.1f} s, {at_most_s:.0f} s are allowed; last said {history.words()}")
        return Took(seconds, found.value)


class Errands:
    """Work that one thread hands over to another, because what it needs is not thread-safe: the supervisor."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()

    def hand_over(self, work: Callable[[], T], pause: Callable[[], None]) -> T:
        """Return what `work` returned, or raise what it raised, once the other thread did it."""
        future: Future[T] = Future()
        self._queue.put((work, future))
        while not future.done():
            pause()
        return future.result()

    def do(self) -> None:
        """Do what was handed over."""
        with suppress(Empty):
            while True:
                work, future = self._queue.get_nowait()
                try:
                    future.set_result(work())
                except Exception as error:  # noqa: BLE001  # it is for the thread that asked
                    future.set_exception(error)


class Asking:
    """Asks the gateway for every provider at a steady pace, for as long as the context lasts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(name,), daemon=True) for name in ASKED]
        self._answers: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def words(self) -> str:
        """How often the gateway answered what."""
        return ", ".join(f"{number} × {answer}" for answer, number in sorted(Counter(self._answers).items()))

    def _ask(self, provider: str) -> None:
        body = {"model": MODEL, "provider": provider, "messages": [{"role": "user", "content": "hi"}]}
        due = time.monotonic()
        with httpx.Client(base_url=self._url, headers=_HEADERS, timeout=_ANSWER_S, trust_env=False) as client:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                try:
                    self._answers.append(str(client.post("/v1/chat/completions", json=body).status_code))
                except httpx.HTTPError as error:
                    self._answers.append(type(error).__name__)
                due = max(due + _PACE_S, time.monotonic())  # no burst after a slow answer


class Outage:
    """The application that suffers it, the providers that die for nobody else, and the hop that has it happen."""

    def __init__(self, stage: Stage) -> None:
        ports = stage.ports("app", "providers", "reader")
        place = stage.place
        self.providers = Providers(place.supervisor, place.urls, ports["providers"], place.out, name="providers-outage")
        settings = {
            "GWZ_HEALTH_WINDOW_S": str(WINDOW_S),
            "GWZ_ANOMALY_WINDOW_S": str(WINDOW_S),
            "GWZ_ANOMALY_BASELINE_S": str(_BASELINE_S),
        }
        self.scene = Scene(
            place, SERVICE, ports["app"], name="outage", providers_url=self.providers.url, settings=settings
        )
        self.reader = Readers(
            place, self.scene.case, ports["reader"], name="reader-outage", workers=1, settings=settings
        )
        self.hop = Hop(HOP, self._check, NEEDS)
        self.given_up = threading.Event()
        """To be set when nobody waits for the hop any more."""
        self._stage = stage
        self._errands = Errands()

    @property
    def processes(self) -> tuple[str, ...]:
        """Everything that runs for it alone."""
        return self.scene.process, self.reader.name, self.providers.name

    def watch(self) -> None:
        """Watch the stage, and kill and start the providers when the hop asks for that: in the supervisor's thread."""
        self._stage.watch()
        self._errands.do()

    def _check(self) -> Finding:
        """Providers that die are below 0.30 within one window, recover, and have no series without traffic."""
        asking = Asking(self.scene.case.app_url)
        wait = Waiting(self._look, self._pause)
        try:
            with asking:
                full_at = time.time() + WINDOW_S  # a window that is full of successes takes longest to fall
                healthy = wait.until("a score of 0.95 before the kill", shown(HEALTHY), full_at, 2 * WINDOW_S)
                killed_at = self._errands.hand_over(self._kill, self._pause)
                fall = wait.until("a score below 0.30 after the kill", shown(FALLEN), killed_at, WINDOW_S + SLACK_S)
                wait.until("unavailable and open after the kill", shown(*DEAD), killed_at, 2 * WINDOW_S)
                surge = self._surge()
                back_at = self._restart()
                recovery = wait.until("a score of 0.95 after the restart", shown(HEALTHY), back_at, 2 * WINDOW_S)
                wait.until("available and closed after the restart", shown(*ALIVE), back_at, 2 * WINDOW_S)
            silent_at = time.time()
            silence = wait.until("no series without traffic", History.gone, silent_at, 1.5 * WINDOW_S + SLACK_S)
        except Missed as missed:
            return Finding(ok=False, sentence=f"{missed}; the gateway answered {asking.words()}")
        return Finding(
            ok=True,
            sentence=f"the scores of {' and '.join(ASKED)} fell from {healthy.value:.2f} to {fall.value:.2f} in "
            f"{fall.seconds:.1f} s after the kill, {surge}, were back at {recovery.value:.2f} {recovery.seconds:.1f} s after the "
            f"restart, and had no series {silence.seconds:.1f} s after the last request",
            figures={
                "outage_fall_s": round(fall.seconds, 1),
                "outage_recovery_s": round(recovery.seconds, 1),
                "outage_silence_s": round(silence.seconds, 1),
            },
        )

    def _surge(self) -> str:
        """Wait until the anomalies, told from Prometheus, have an error surge of every provider, and say how large it is."""
        deadline = time.time() + _PATIENCE * WINDOW_S
        reader = Reader(self.reader.url, self.scene.case.tokens.api)
        while True:
            told = reader.get(endpoints.ANOMALIES.path)
            surges = [one for one in told.json().get("anomalies", ()) if _is_surge(one)]
            if sorted(one["provider"] for one in surges) == sorted(ASKED) and _adds_up(told.json()):
                values = ", ".join(f"{one['value']:.2f} where {one['expected']:.2f} is usual" for one in surges)
                return f"with error surges of {values}"
            if time.time() > deadline:
                raise Missed(f"no error surge after the kill: {told.status_code} {told.text[:400]}")
            self._pause()

    def _look(self) -> History:
        selector = f'{{__name__=~"up|{"|".join(_METRICS)}", instance="{self.scene.case.address}"}}'
        with suppress(httpx.TransportError):  # whether Prometheus has died is the supervisor's to say
            return History(self._stage.place.engines.prometheus.scraped(selector, _REMEMBERED_S))
        return History([])

    def _kill(self) -> float:
        killed_at = time.time()
        self.providers.kill()
        return killed_at

    def _restart(self) -> float:
        """Start the providers again and return when they answered."""
        self._errands.hand_over(self.providers.launch, self._pause)
        deadline = time.time() + _RESTART_S
        while time.time() < deadline:
            with suppress(httpx.HTTPError):
                if self.providers.answer():
                    return time.time()
            self._pause()
        raise Missed(f"restart: the providers did not answer within {_RESTART_S:.0f} s")

    def _pause(self) -> None:
        if self.given_up.wait(_POLL_S):
            raise Aborted(HOP)


def shown(*signs: Sign) -> Callable[[History, float], Point | None]:
    """What finds the sample with which the last of these signs came."""
    return lambda history, since: history.shown(signs, since)


def _is_surge(anomaly: Mapping[str, Any]) -> bool:
    """Whether an anomaly is what providers are that were well and now fail every time."""
    kind, severity = anomaly["type"], anomaly["severity"]
    return (kind, severity) == (providers.ANOMALIES[1], "critical") and anomaly["value"] >= 0.95 > 2 * anomaly[
        "expected"
    ]


def _adds_up(told: Mapping[str, Any]) -> bool:
    severities = [one["severity"] for one in told["anomalies"]]
    counts = told["total_count"], told["critical_count"], told["warning_count"]
    return counts == (len(severities), severities.count("critical"), severities.count("warning"))


def _title(series: Series) -> str:
    labels = series.labels
    return " ".join(filter(None, (labels["__name__"], labels.get("provider"), labels.get("state"))))
