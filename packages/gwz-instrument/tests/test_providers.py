"""The health of providers follows the attempts that end, as gauges of a scrape."""

import gc
import os
import re
import signal
import threading
import weakref
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gwz_instrument import inference, providers
from gwz_instrument import recording as recordings
from gwz_instrument.call_records import AttemptEnded, UsageKnown
from gwz_instrument.metrics import Collectors
from gwz_instrument.providers import ProviderHealth, observe_breaker, watch_providers
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/provider-health.md"
GAUGES = (
    "provider_availability",
    "provider_error_rate",
    "gatewayz_provider_health_score",
    "gatewayz_circuit_breaker_state",
    "gatewayz_model_uptime_24h",
    "gatewayz_token_efficiency",
)


class World:
    """A provider's health, a clock that only the test moves, and what a scrape says."""

    def __init__(self, **settings):
        self.now = 1_000_000.0
        self.collectors, self.registry = Collectors(), CollectorRegistry()
        self.registry.register(self.collectors)
        self.health = ProviderHealth(self.collectors, clock=lambda: self.now, **settings)

    def attempts(self, provider, *statuses, seconds=1.0, model="m"):
        for status in statuses:
            self.health(AttemptEnded(provider, model, status, seconds))

    def usage(self, provider="p", model="m", **usage):
        self.health(UsageKnown(provider, model, usage))

    def scrape(self, name):
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    def breakers(self):
        return {provider: state for (provider, state), value in self.scrape(GAUGES[3]).items() if value}

    @property
    def score(self):
        return self.scrape("gatewayz_provider_health_score")

    @property
    def anomalies(self):
        return {kind: n for (kind,), n in self.scrape("gatewayz_detected_anomalies_total").items() if n}


@pytest.fixture
def world():
    return World()


def test_no_traffic_is_no_series(world):
    """Nothing is healthy before it was tried, and the anomalies are zero from the start."""
    assert [world.scrape(name) for name in GAUGES] == [{}] * 6
    assert world.scrape("gatewayz_detected_anomalies_total") == {
        ("cost_spike",): 0,
        ("error_surge",): 0,
        ("latency_spike",): 0,
        ("unusual_pattern",): 0,
    }


def test_each_provider_has_its_own_numbers(world):
    """Three of four, none of two."""
    world.attempts("p", "success", "success", "success", "timeout")
    world.attempts("q", "error", "stream_error", model="n")
    assert world.scrape("provider_availability") == {("p",): 1, ("q",): 0}
    assert world.scrape("provider_error_rate") == {("p",): 0.25, ("q",): 1}
    assert world.score == {("p",): 0.75, ("q",): 0}
    assert world.scrape("gatewayz_model_uptime_24h") == {("m",): 1, ("n",): 0}


def test_what_the_client_ended_makes_no_series(world):
    """It says nothing of the provider."""
    world.attempts("p", "cancelled", "client_disconnected", "abandoned")
    assert [world.scrape(name) for name in GAUGES] == [{}] * 6


def test_a_killed_provider_falls_within_one_window_and_recovers_after(world):
    """An attempt each second: below 0.3 before the 300 seconds are over, and back at 1 after as many again."""
    scores = []
    for second in range(900):
        world.attempts("p", "error" if 300 <= second < 600 else "success")
        world.now += 1
        if second % 100 == 99:
            scores.append(world.score[("p",)])
    assert scores[:3] == [1.0, 1.0, 1.0]
    assert 0.6 < scores[3] < 0.7
    assert 0.3 < scores[4] < 0.4
    assert scores[5] < 0.01
    assert scores[8] > 0.99


def test_a_window_without_traffic_ends_the_series(world):
    """What was seen before is no news of now; the uptime has 24 hours."""
    world.attempts("p", "success")
    world.usage(input_tokens=1, output_tokens=1)
    world.now += 301
    assert [world.scrape(name) for name in GAUGES] == [{}] * 4 + [{("m",): 1}, {}]
    world.now += 86400
    assert world.scrape("gatewayz_model_uptime_24h") == {}


def test_uptime_is_counted_in_five_minutes(world):
    """Twelve of them, of which three had only failures, and two hours without traffic."""
    for part in range(12):
        world.attempts("p", *(["error"] * 9 if part in (4, 5, 6) else ["error", "success"]))
        world.now += 300
    world.now += 7200
    assert world.scrape("gatewayz_model_uptime_24h") == {("m",): 0.75}


def test_efficiency_is_of_the_usage_that_has_both_sides(world):
    """A price alone, and one side alone, change nothing."""
    world.usage(input_tokens=100, output_tokens=50, cost_usd=1.0)
    world.usage(input_tokens=300, output_tokens=50)
    world.usage(input_tokens=1e6)
    world.usage(cost_usd=1.0)
    assert world.scrape("gatewayz_token_efficiency") == {("m",): 0.25}


def test_the_shadow_of_a_breaker_opens_and_half_opens(world):
    """Five failures, then a minute; of three states one is in force."""
    world.attempts("p", *["error"] * 4)
    assert world.breakers() == {"p": "closed"}
    world.attempts("p", "error")
    assert world.scrape("gatewayz_circuit_breaker_state") == {
        ("p", "closed"): 0,
        ("p", "half_open"): 0,
        ("p", "open"): 1,
    }
    world.now += 60
    assert world.breakers() == {"p": "half_open"}
    world.attempts("p", "success", "success")
    assert world.breakers() == {"p": "closed"}


def test_the_window_of_the_example_recovers_faster():
    """Twenty seconds, and a shadow that half opens after four."""
    world = World(health_window_s=20.0, anomaly_window_s=20.0, anomaly_baseline_s=120.0)
    world.attempts("p", *["error"] * 5)
    world.now += 4
    assert world.breakers() == {"p": "half_open"}
    world.now += 17
    assert world.score == {}


def steady(world, seconds, *, per_second=1, failing=False, answer_s=1.0, cost=0.01):
    """Traffic, scraped each second."""
    for _ in range(seconds):
        for _ in range(per_second):
            world.attempts("p", "error" if failing else "success", seconds=answer_s)
            world.usage(cost_usd=cost)
        world.now += 1
        world.scrape("provider_error_rate")


def example():
    return World(health_window_s=20.0, anomaly_window_s=20.0, anomaly_baseline_s=120.0)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, {}),
        ({"failing": True}, {"error_surge": 1}),
        ({"answer_s": 9.0}, {"latency_spike": 1}),
        ({"cost": 0.1}, {"cost_spike": 1}),
        ({"per_second": 9, "cost": 0.001}, {"unusual_pattern": 1}),
    ],
)
def test_a_departure_is_counted_once_not_once_for_each_scrape(change, kinds):
    """Fifteen seconds of it, seen for longer than that, and as much time again without it."""
    world = example()
    steady(world, 120)
    assert world.anomalies == {}
    steady(world, 15, **change)
    steady(world, 60)
    assert {kind: world.anomalies.get(kind, 0) for kind in kinds} == kinds
    assert world.anomalies == kinds


def test_two_departures_are_counted_twice():
    """With three windows between them."""
    world = example()
    steady(world, 120)
    for _ in range(2):
        steady(world, 10, answer_s=9.0)
        steady(world, 60)
    assert world.anomalies == {"latency_spike": 2}


def test_a_provider_that_falls_silent_is_unusual():
    """No fact comes, and the scrape sees it."""
    world = example()
    steady(world, 120, per_second=2)
    for _ in range(60):
        world.now += 1
        world.scrape("provider_error_rate")
    assert world.anomalies == {"unusual_pattern": 1}


def test_nothing_is_told_from_a_start():
    """The first minute of a process has nothing before it to depart from."""
    world = example()
    steady(world, 10)
    steady(world, 20, failing=True, answer_s=50.0, cost=5.0)
    assert world.anomalies == {}


def test_facts_of_many_threads_are_all_counted(world):
    """Eight threads, 500 attempts each, a tenth of them failures, scraped meanwhile."""
    go = threading.Barrier(9)

    def run():
        go.wait(30)
        for number in range(500):
            world.attempts("p", "error" if number % 10 == 0 else "success")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    go.wait(30)
    for _ in range(5):
        world.scrape("provider_error_rate")
    for thread in threads:
        thread.join(30)
    world.scrape("provider_error_rate")
    seen = world.health._recent.total("p", *[world.health._recent.slot(world.now)] * 2)
    assert (seen.successes, seen.failures) == (3600, 400)


def test_facts_that_come_within_a_line_of_the_addition_are_all_counted(interruption):
    """The collector may end calls anywhere, of providers that are new too."""

    def at(position):
        world = World()

        def finalizer():
            for provider in ("p", "new"):
                world.attempts(provider, *["success"] * 64)

        world.attempts("p", "error")
        lines.at(position, finalizer)
        with lines.here():
            first = world.scrape("provider_error_rate")
        assert first["p",] in (1.0, 1 / 65)
        if lines.passed < position:
            return False
        rates = world.scrape("provider_error_rate")
        assert (position, rates) == (position, {("p",): 1 / 65, ("new",): 0.0})
        return True

    lines = interruption(lambda file: file.endswith(("window.py", "providers.py")))
    position = 1
    while at(position):
        position += 1
    assert position > 100


def test_facts_do_not_pile_up_between_scrapes(world):
    """Nobody may ever scrape."""
    world.attempts("p", *["success"] * 10_000)
    assert len(world.health._waiting) < 64


def test_memory_is_that_of_the_keys(world):
    """A day of one provider takes what its first minute took."""
    world.attempts("p", "success")
    world.usage(input_tokens=1, output_tokens=1, cost_usd=1.0)
    world.scrape("provider_error_rate")
    rings = (world.health._recent, world.health._tokens, world.health._answers, world.health._history._ring)
    sizes = [len(track.sums) + len(track.numbers) for ring in rings for track in ring._tracks.values()]
    assert sum(sizes) * 8 < 32_000
    for _ in range(200):
        world.now += 432
        world.attempts("p", "success")
        world.scrape("provider_error_rate")
    assert sizes == [len(track.sums) + len(track.numbers) for ring in rings for track in ring._tracks.values()]


def test_a_short_window_before_a_long_baseline_takes_no_more_than_600_slots():
    """A second before a day would be a million."""
    ring = World(anomaly_window_s=1.0).health._history._ring
    assert ring.slots <= 602
    assert ring.slots * ring.slot_s > 86_401


def test_other_facts_and_numbers_that_are_none_change_nothing(world):
    """A sum that took them would be none for as long as the window."""
    world.health(object())
    world.health(None)
    world.attempts("p", "success", seconds=float("nan"))
    world.usage(input_tokens=float("nan"), output_tokens=float("inf"), cost_usd=float("nan"))
    world.usage(input_tokens=10, output_tokens=5)
    assert world.score == {("p",): 1}
    assert world.scrape("gatewayz_token_efficiency") == {("m",): 0.5}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_another_thread_adds_can_go_on(world):
    """The child's lock is its own."""
    held, release = threading.Event(), threading.Event()

    def hold():
        with providers._adding():
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # ends a child that waits for the parent's lock
        world.attempts("p", "success")
        os._exit(0 if world.score == {("p",): 1} else 1)
    release.set()
    thread.join(30)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_collectors_that_are_dropped_are_freed(world):
    """A health that holds them would keep every application of a test run."""
    collectors = weakref.ref(world.collectors)
    health = world.health
    world.attempts("p", "success")
    del world.collectors, world.registry
    gc.collect()
    assert collectors() is None
    assert health.availability() == {("p",): 1.0}


@pytest.fixture
def recording(monkeypatch):
    """An application's recording, observed as `instrument()` lets it be."""
    monkeypatch.setattr(recordings, "_complained", set())
    collectors = Collectors()
    made = make_recording(
        Settings(environ={}, models=("m",), providers=("groq", "together"), max_providers=3),
        collectors,
        tracer=None,
        lines=None,
        endpoint_of=lambda _exchange: "/route",
    )
    made.observers.append(watch_providers(collectors, made.settings))
    monkeypatch.setattr(recordings, "_installed", [made])
    return made


def scraped(recording, name):
    return {
        tuple(sample.labels.values()): sample.value
        for family in recording.collectors.collect()
        for sample in family.samples
        if sample.name == name
    }


def settled(recording):
    """Wait for the callback's answer, which the next scrape has."""
    recording.observers[0]._observed.wait(10)


def test_calls_are_observed(recording):
    """An attempt that fails, one that succeeds, their tokens."""
    with inference(model="m") as call:
        with pytest.raises(ConnectionError), call.attempt(provider="groq", model="m"):
            raise ConnectionError
        with call.attempt(provider="together", model="m"):
            call.usage(input_tokens=10, output_tokens=40)
    assert scraped(recording, "provider_availability") == {("groq",): 0, ("together",): 1}
    assert scraped(recording, "provider_error_rate") == {("groq",): 1, ("together",): 0}
    assert scraped(recording, "gatewayz_token_efficiency") == {("m",): 4}


def test_applications_of_one_registry_have_one_health(recording):
    """Two would add up to an availability of 2."""
    other = watch_providers(recording.collectors, recording.settings)
    assert other is recording.observers[0]
    with inference(provider="groq", model="m"):
        pass
    assert scraped(recording, "provider_availability") == {("groq",): 1}


def test_a_registry_that_is_dropped_takes_its_health_along():
    """Tests make one after the other."""
    collectors = Collectors()
    health = weakref.ref(watch_providers(collectors, Settings(environ={})))
    del collectors
    gc.collect()
    assert health() is None


def test_hostile_names_that_fail_are_one_series(recording):
    """Of 200 providers and models."""
    for number in range(200):
        with pytest.raises(ConnectionError), inference(provider=f"x{number}", model=f"y{number}"):
            raise ConnectionError
    assert scraped(recording, "provider_error_rate") == {("_other",): 1}
    assert scraped(recording, "gatewayz_model_uptime_24h") == {("_other",): 0}


def test_the_breakers_of_the_application_take_the_place_of_the_shadows(recording):
    """As its callback says, with traffic or without."""
    observe_breaker(lambda: {"groq": "OPEN", "fal": "closed"})
    settled(recording)
    with inference(provider="together", model="m"):
        pass
    states = scraped(recording, "gatewayz_circuit_breaker_state")
    assert {key for key, value in states.items() if value} == {("groq", "open"), ("fal", "closed")}
    assert len(states) == 6


def test_what_a_callback_says_wrongly_is_counted_and_the_rest_is_taken(recording, caplog):
    """States that are none, names that are none, more names than the budget has."""
    names = {f"x{number}": "open" for number in range(200)}
    observe_breaker(lambda: {"groq": "closed", "fal": "ajar", 7: "open", "y" * 10_000: "open", b"z": "open", **names})
    settled(recording)
    states = scraped(recording, "gatewayz_circuit_breaker_state")
    assert {key for key, value in states.items() if value} == {("groq", "closed"), ("x0", "open")}
    assert scraped(recording, "gwz_telemetry_dropped_total")["metrics", "invalid"] == 1
    assert scraped(recording, "gwz_label_values_refused_total")["gatewayz_circuit_breaker_state", "provider"] == 202
    assert "gwz-instrument was given the state of a breaker = 'ajar', which is none" in caplog.text


class Hostile:
    def items(self):
        raise RuntimeError("no items")


@pytest.mark.parametrize("answer", [None, 7, "open", [1], Hostile()])
def test_an_answer_that_is_none_is_a_fault_of_no_scrape(recording, caplog, answer):
    """It is logged once, and there are no states."""
    observe_breaker(lambda: answer)
    settled(recording)
    assert scraped(recording, "gatewayz_circuit_breaker_state") == {}
    assert scraped(recording, "gwz_telemetry_dropped_total")["metrics", "fault"] == 1
    assert "observe_breaker" in caplog.text


def test_what_cannot_be_called_is_refused_at_set_up(recording):  # noqa: ARG001  # it is there, and changes nothing
    """A mapping is the likely mistake."""
    with pytest.raises(TypeError, match=re.escape("not {'groq': 'open'}: give it one like lambda:")):
        observe_breaker({"groq": "open"})


def test_before_an_application_nothing_happens(monkeypatch):
    """The callback comes back as it was."""
    monkeypatch.setattr(recordings, "_installed", [])
    callback = dict
    assert observe_breaker(callback) is callback


def test_the_snippet_of_the_page_runs(recording):
    """With breakers as an application has them."""
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    breaker = type("Breaker", (), {"state": "half_open"})
    exec(compile(snippet, PAGE.name, "exec"), {"circuit_breakers": {"groq": breaker}})  # noqa: S102  # that is the point
    settled(recording)
    assert scraped(recording, "gatewayz_circuit_breaker_state")["groq", "half_open"] == 1
