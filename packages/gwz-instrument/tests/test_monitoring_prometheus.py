"""PrometheusStore, against a real Prometheus whose past was made up: deploys, restarts, gaps, processes of three minutes."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import pytest

from gwz_instrument.monitoring import condition, speed, spending, traffic
from gwz_instrument.monitoring.fetch import Server
from gwz_instrument.monitoring.prometheus import PrometheusStore
from gwz_instrument.monitoring.store import Ask, Unavailable
from gwz_instrument.semconv import inference, providers

HOUR, SCRAPE = 3600, 60
BOUNDS = (*inference.DURATION.buckets, float("inf"))
STATUSES = inference.STATUSES


def binary(name):
    """The path of `prometheus` or `promtool` that is here already: GWZ_<NAME>_BIN, on PATH, or what the stack has fetched."""
    if chosen := os.environ.get(f"GWZ_{name.upper()}_BIN"):
        return Path(chosen)
    if found := shutil.which(name):
        return Path(found)
    pytest.importorskip("gwz_stack", reason="the stack, which finds the real Prometheus, is not installed here")
    from gwz_stack import archive, gobuild  # noqa: PLC0415
    from gwz_stack.cache import Cache  # noqa: PLC0415
    from gwz_stack.versions import pin  # noqa: PLC0415

    wanted, cache = pin(name), Cache.from_environment()
    found = (wanted.archive and archive.cached(wanted.archive, cache)) or (
        wanted.go and gobuild.cached(name, wanted.go, cache)
    )
    if not found:
        pytest.skip(f"no {name} here: `python -m gwz_stack find {name}` fetches one")
    return found


class RealPrometheus:
    """A Prometheus of its own folder."""

    def __init__(self, folder, port, config="scrape_configs: []\n"):
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self._address = f"127.0.0.1:{port}"
        (folder / "prometheus.yml").write_text(config)
        self._command = [
            binary("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=60d",
            f"--web.listen-address={self._address}",
        ]

    def remember(self, exposition):
        """Give it a past: OpenMetrics with times."""
        (self.folder / "past.om").write_text(exposition)
        command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        subprocess.run([*command, self.folder / "past.om", self.folder / "data"], check=True, capture_output=True)

    def start(self):
        with (self.folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(300):
            with contextlib.suppress(OSError), contextlib.closing(HTTPConnection(self._address, timeout=5)) as ready:
                ready.request("GET", "/-/ready")
                if ready.getresponse().status == 200:
                    return self
            assert self._process.poll() is None, (self.folder / "prometheus.log").read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError((self.folder / "prometheus.log").read_text()[-2000:])

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)


class Process:
    """One process that was scraped: its calls, in the order of their ends."""

    def __init__(self, instance, born, died, calls, *, job="gatewayz", app="shop"):
        self.job, self.instance, self.app = job, instance, app
        self.born, self.died, self.calls = born, died, calls

    def scrapes(self, gaps):
        first = self.born - self.born % SCRAPE + SCRAPE
        return [at for at in range(first, self.died, SCRAPE) if not any(a <= at < b for a, b in gaps)]


def past(processes, gaps):
    """Every sample of these processes, as OpenMetrics wants it: metric by metric, series by series, in the order of time."""
    series = {}
    for process in processes:
        where = f'job="{process.job}",instance="{process.instance}"'
        counted, calls = Counter(), iter(process.calls)
        waiting = next(calls, None)
        for beat, at in enumerate(process.scrapes(gaps)):
            while waiting is not None and waiting[0] <= at:
                count(counted, waiting)
                waiting = next(calls, None)
            rows = {
                ("fastapi_app_info", f'{where},app_name="{process.app}"'): 1,
                ("gwz_telemetry_items_total", f'{where},signal="metrics",outcome="delivered"'): beat,
            }
            rows |= {(name, f"{where},{labels}"): value for (name, labels), value in counted.items()}
            for key, value in rows.items():
                series.setdefault(key, []).append((at, value))
    kinds = {"fastapi_app_info": "gauge"}
    lines = []
    for name in sorted({name for name, _ in series}):
        family = name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        kind = kinds.get(name, "counter" if name.endswith("_total") else "unknown")
        lines.append(f"# TYPE {family if kind != 'unknown' else name} {kind}")
        for (_, labels), samples in ((key, found) for key, found in series.items() if key[0] == name):
            lines += [f"{name}{{{labels}}} {value} {at}" for at, value in samples]
    return "\n".join([*lines, "# EOF", ""])


def count(counted, call):
    _at, provider, model, status, seconds, tokens, cost = call
    pair = f'provider="{provider}",model="{model}"'
    for one in STATUSES:
        counted.setdefault(("model_inference_requests_total", f'{pair},status="{one}"'), 0)
        counted.setdefault(("gatewayz_provider_attempts_total", f'provider="{provider}",status="{one}"'), 0)
    counted["model_inference_requests_total", f'{pair},status="{status}"'] += 1
    counted["gatewayz_provider_attempts_total", f'provider="{provider}",status="{status}"'] += 1
    for bound in BOUNDS:
        le = "+Inf" if bound == float("inf") else f"{bound}"
        counted["model_inference_duration_seconds_bucket", f'{pair},le="{le}"'] += seconds <= bound
    counted["model_inference_duration_seconds_sum", pair] += seconds
    if status == "success":
        counted["tokens_used_total", f'{pair},token_type="input"'] += tokens
        counted["tokens_used_total", f'{pair},token_type="output"'] += 2 * tokens
        counted["credits_used_total", pair] += cost
        counted["gatewayz_provider_answer_seconds_total", f'provider="{provider}"'] += seconds
        counted["gatewayz_provider_answer_worth_total", f'provider="{provider}"'] += 1.0


def calls(seed, start, end, every=40.0, providers=("groq", "xai")):
    rng, found, at = random.Random(seed), [], float(start)
    while (at := at + rng.expovariate(1 / every)) < end:
        status = rng.choices(STATUSES, (80, 8, 2, 1, 2, 2, 1))[0]
        call = (at, rng.choice(providers), rng.choice("mn"), status, rng.choice((0.05, 0.3, 0.7, 4.0)))
        found.append((*call, rng.randrange(1, 1000), rng.randrange(1, 10**6) / 1e6))
    return found


NOW = int(time.time()) // HOUR * HOUR - 2 * HOUR + 600
"""The present of the tests: ten minutes past an hour that is over."""
GAP = (NOW - 20 * HOUR, NOW - 20 * HOUR + 1500)
"""Prometheus was away; the processes were not."""


def _processes():
    old, new = NOW - 40 * HOUR, NOW - 6 * HOUR - 400
    return [
        Process("a:1", old, new, calls(1, old, new)),  # a deploy: the instance's name stays
        Process("a:1", new + 20, NOW + 900, calls(2, new + 20, NOW + 900, providers=("groq", "xai", "near"))),
        Process("b:1", old + 100, new - 50, calls(3, old + 100, new - 50)),  # here it does not
        Process("c:1", new + 40, NOW + 900, calls(4, new + 40, NOW + 900)),
        Process("d:1", NOW - 2 * HOUR, NOW - 2 * HOUR + 180, calls(5, NOW - 2 * HOUR, NOW - 2 * HOUR + 180, 3.0)),
    ]


PROCESSES = _processes()


@pytest.fixture(scope="module")
def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, free_port):
    server = RealPrometheus(tmp_path_factory.mktemp("prometheus"), free_port)
    server.remember(past(PROCESSES, [GAP]))
    yield server.start()
    server.stop()


def store_of(url, now=NOW + 3, **settings):
    server = Server(url, "Prometheus", "GWZ_PROMETHEUS_URL")
    return PrometheusStore(server, app_name="shop", clock=lambda: now, **settings)


@pytest.fixture
def store(prometheus):
    return store_of(prometheus.url)


def seen(start, end):
    """The calls that the scrapes saw between two times: of a process that died, none after its last scrape."""
    found = []
    for process in PROCESSES:
        scrapes = process.scrapes([GAP])
        for call in process.calls:
            at = next((scrape for scrape in scrapes if scrape >= call[0]), None)
            if at is not None and start < at <= end:
                found.append(call)
    return found


def tally(found, *key):
    places = {"provider": 1, "model": 2, "status": 3}
    return Counter(tuple(call[places[name]] for name in key) for call in found)


@pytest.mark.parametrize("hours", [1, 3, 24, 38])
def test_counts_are_those_of_the_scrapes_through_restarts_deploys_and_gaps(store, hours):
    view = store.look(hours * HOUR)
    window = view.window
    assert (window.end, window.start) == (NOW, NOW - hours * HOUR)
    ask = Ask(inference.REQUESTS, ("provider", "model", "status"))
    ((sums,),) = view.increases([ask], [window.start, window.end])
    wanted = tally(seen(window.start, window.end), "provider", "model", "status")
    assert {key: number for key, number in sums.items() if number} == wanted


def test_hours_add_up_to_the_whole_and_each_is_its_own(store):
    view = store.look(24 * HOUR)
    edges = view.window.hours
    (each,) = view.increases([Ask(inference.REQUESTS, ("provider",))], edges)
    assert len(each) == 25
    for start, end, sums in zip(edges, edges[1:], each, strict=False):
        if not (GAP[0] - HOUR < start < GAP[1]):  # a gap moves what it hides to where the next scrape is
            assert {key: number for key, number in sums.items() if number} == tally(seen(start, end), "provider")
    total = Counter()
    for sums in each:
        total.update(sums)
    assert {key: number for key, number in total.items() if number} == tally(seen(edges[0], edges[-1]), "provider")


def test_money_and_tokens_are_exact(store):
    page = traffic.tokens(store, 24).body
    good = [call for call in seen(NOW - 24 * HOUR, NOW) if call[3] == "success"]
    assert page.tokens_input == sum(call[5] for call in good)
    assert page.tokens_output == 2 * page.tokens_input
    assert page.total_cost == pytest.approx(sum(call[6] for call in good), abs=1e-9)
    costs = spending.costs(store, 1).body
    assert costs.total_cost == pytest.approx(page.total_cost, abs=1e-9)
    assert sum(point.total_cost for point in costs.series) == pytest.approx(page.total_cost, abs=1e-9)


def test_latency_is_in_the_bucket_in_which_the_calls_are(store):
    found = sorted(call[4] for call in seen(NOW - 24 * HOUR, NOW) if call[1] == "groq" and call[2] == "m")
    page = speed.of_model(store, "groq", "m", 24).body
    assert page.count == len(found)
    assert page.avg == pytest.approx(sum(found) / len(found) * 1e3)
    for share, ms in ((0.5, page.p50), (0.95, page.p95), (0.99, page.p99)):
        value = found[int(share * len(found))]
        low, high = next((a, b) for a, b in zip((0, *BOUNDS), BOUNDS, strict=False) if a < value <= b)
        assert low * 1e3 <= ms <= high * 1e3


def test_a_process_that_ended_makes_the_counts_inexact_and_a_quiet_hour_is_exact(prometheus):
    assert not store_of(prometheus.url).look(3 * HOUR).window.exact  # d:1 came and went
    assert not store_of(prometheus.url).look(HOUR).window.exact  # calls at both edges


def test_a_window_is_complete_if_it_was_scraped_throughout(store):
    assert store.look(3 * HOUR).window.complete
    assert store.look(19 * HOUR).window.complete
    assert not store.look(24 * HOUR).window.complete  # Prometheus was away
    assert not store.look(60 * HOUR).window.complete  # there was nothing yet


def test_the_time_before_a_window_can_be_looked_at(store):
    view = store.look(2 * HOUR, before_s=HOUR)
    assert (view.window.start, view.window.end) == (NOW - 3 * HOUR, NOW - HOUR)
    ((sums,),) = view.increases([Ask(providers.ATTEMPTS, ("provider",))], [view.window.start, view.window.end])
    assert {k: n for k, n in sums.items() if n} == tally(seen(NOW - 3 * HOUR, NOW - HOUR), "provider")


def test_what_is_known_is_what_was_there_within_a_week(store):
    assert store.knows("near")
    assert store.knows("groq", "m")
    assert not store.knows("groq", "zzz")
    assert not store.knows("nobody")
    assert not store.knows('"} or vector(1) #')
    assert store_of("http://127.0.0.1:1", declared=("idle",)).knows("idle")


def test_an_application_of_another_name_sees_nothing(prometheus):
    server = Server(prometheus.url, "Prometheus", "GWZ_PROMETHEUS_URL")
    view = PrometheusStore(server, app_name="other", clock=lambda: NOW).look(HOUR)
    assert not view.window.complete
    assert view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end]) == [[{}]]
    assert condition.health(PrometheusStore(server, app_name="other", clock=lambda: NOW), 300).body == []


def test_two_jobs_of_one_name_are_not_added_up(tmp_path):
    start = NOW - 2 * HOUR
    both = [
        Process("a:1", start, NOW + 60, calls(1, start, NOW + 60), job="gatewayz_production"),
        Process("a:1", start, NOW + 60, calls(2, start, NOW + 60), job="gatewayz_staging"),
    ]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = RealPrometheus(tmp_path, port)
    server.remember(past(both, []))
    server.start()
    try:
        with pytest.raises(
            Unavailable, match=r"gatewayz_production, gatewayz_staging all scrape.*GWZ_PROMETHEUS_SELECTOR"
        ):
            store_of(server.url).look(HOUR)
        view = store_of(server.url, selector='job="gatewayz_staging"').look(HOUR)
        ((sums,),) = view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end])
        scraped = [call for call in both[1].calls if NOW - HOUR < -(-call[0] // SCRAPE) * SCRAPE <= NOW]
        assert sums == {(): len(scraped)}
    finally:
        server.stop()


def test_a_prometheus_that_hangs_is_given_up_in_time(tmp_path, free_port_of):
    server = RealPrometheus(tmp_path, free_port_of())
    server.start()
    store = store_of(server.url, now=time.time())
    store.look(60)
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"Prometheus.*has not answered in time"):
            store.look(60)
        assert time.monotonic() - began < 2.0 * 3
    finally:
        server.signal(signal.SIGCONT)
        server.stop()
    with pytest.raises(Unavailable, match=r"Prometheus.*refuses connections: start it"):
        store.look(60)


@pytest.fixture
def free_port_of():
    def find():
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            return found.getsockname()[1]

    return find


def test_another_application_of_the_same_job_is_not_this_one(tmp_path, free_port_of):
    start = NOW - 2 * HOUR
    ours = Process("a:1", start, NOW + 60, calls(1, start, NOW - HOUR + 600))
    theirs = Process("b:1", start, NOW + 60, calls(2, start, NOW + 60, providers=("other",)), app="warehouse")
    server = RealPrometheus(tmp_path, free_port_of())
    server.remember(past([ours, theirs], []))
    server.start()
    try:
        store = store_of(server.url)
        assert not store.knows("other")
        window = store.look(1.5 * HOUR).window
        assert [window.exact, store.look(HOUR - 900).window.exact] == [
            False,
            True,
        ]  # quiet, whatever the other one does
        assert store.breakers().states == {}
    finally:
        server.stop()
