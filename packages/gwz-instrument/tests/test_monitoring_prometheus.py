"""PrometheusStore, against a real Prometheus whose past was made up: deploys, restarts, gaps, processes of three minutes."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gwz_instrument.monitoring import condition, speed, spending, traffic
from gwz_instrument.monitoring.fetch import Server
from gwz_instrument.monitoring.prometheus import PrometheusStore
from gwz_instrument.monitoring.store import Ask, Unavailable, deadline
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


def store_of(url, now=NOW + 3, app="shop", **settings):
    server = Server(url, "Prometheus", "GWZ_PROMETHEUS_URL")
    return PrometheusStore(server, app_name=app, clock=None if now is None else lambda: now, **settings)


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
            Unavailable,
            match=r"gatewayz_production, gatewayz_staging all have applications named.*GWZ_PROMETHEUS_SELECTOR",
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
        assert time.monotonic() - began < 2.0
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


class _Scraped(BaseHTTPRequestHandler):
    """An application that is quiet, and fails the scrapes whose numbers its server has in `failing`."""

    def do_GET(self):
        self.server.scrapes += 1
        lines = (
            'fastapi_app_info{app_name="shop"} 1',
            f'gwz_telemetry_items_total{{signal="metrics",outcome="delivered"}} {self.server.scrapes}',
            'model_inference_requests_total{provider="p",model="m",status="success"} 7',
            'gatewayz_circuit_breaker_state{provider="p",state="open"} 1',
        )
        self.send_response(500 if self.server.scrapes in self.server.failing else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())

    def log_message(self, *_):
        pass


def test_a_scrape_that_failed_hides_nothing_and_takes_no_exactness_away(tmp_path, free_port_of):
    """Prometheus marks every series of a target whose scrape fails as ended."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Scraped) as application:
        application.scrapes, application.failing = 0, range(20, 22)
        threading.Thread(target=application.serve_forever, daemon=True).start()
        target = f"127.0.0.1:{application.server_address[1]}"
        job = {
            "job_name": "shop",
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "static_configs": [{"targets": [target]}],
        }
        config = json.dumps({"scrape_configs": [job]})
        server = RealPrometheus(tmp_path, free_port_of(), config).start()
        try:
            store = store_of(server.url, None)
            found = []
            while application.scrapes < 30:
                if application.scrapes > 15:
                    known = store.look(60).window.exact and store.breakers().states == {"p": "open"}
                    found.append((application.scrapes, known))
                time.sleep(0.02)
        finally:
            server.stop()
            application.shutdown()
    assert len({scrapes for scrapes, _ in found}) > 10
    assert [scrapes for scrapes, known in found if not known] == []


DAY = 24 * HOUR


class Pasts:
    """Pasts of applications that have nothing to do with each other, in one Prometheus."""

    def __init__(self):
        self._series = {}

    def scraped(self, app, instance, times, counts, *, beats=None, started=None, **labels):
        """A process as it was scraped, and what it had counted by then."""
        target = {"job": app, "instance": instance, **labels}
        where = ",".join(f'{name}="{value}"' for name, value in target.items())
        for number, (at, count) in enumerate(zip(times, counts, strict=True)):
            self._add("fastapi_app_info", f'{where},app_name="{app}"', at, 1)
            beat = number if beats is None else beats[number]
            self._add("gwz_telemetry_items_total", f'{where},signal="metrics",outcome="delivered"', at, beat)
            if count is not None:
                pair = 'provider="p",model="m",status="success"'
                self._add("model_inference_requests_total", f"{where},{pair}", at, count)
            if started is not None:
                self._add("process_start_time_seconds", where, at, started)
        return self

    def _add(self, name, labels, at, value):
        self._series.setdefault((name, labels), {})[at] = value

    def text(self):
        lines, last = [], None
        for name, labels in sorted(self._series):
            if name != last:
                kind = "counter" if name.endswith("_total") else "gauge"
                lines.append(f"# TYPE {name.removesuffix('_total')} {kind}")
            last = name
            lines += [f"{name}{{{labels}}} {value} {at}" for at, value in sorted(self._series[name, labels].items())]
        return "\n".join([*lines, "# EOF", ""])


def every(pause, first, last=0):
    """Times of scrapes, from the present."""
    return range(NOW + first, NOW + last + 1, pause)


def _pasts():
    pasts, hour = Pasts(), every(60, -HOUR)
    half = every(60, -1800)
    pasts.scraped("looping", "a:1", half, [7] * 31, beats=[0] * 31)
    pasts.scraped("once", "a:1", half, [100, *range(0, 90, 3)], beats=[0, *range(30)])
    old, new = every(60, -2 * HOUR, -HOUR), every(60, -3000)
    pasts.scraped("moved", "a:1", old, range(0, 610, 10), pod="old")
    pasts.scraped("moved", "a:1", new, range(51), pod="new")
    pasts.scraped("moved-soon", "a:1", old, range(0, 610, 10), pod="old")
    pasts.scraped("moved-soon", "a:1", every(60, -HOUR + 60), range(60), pod="new")
    later = every(60, -HOUR + 60)
    pasts.scraped("relabelled", "a:1", old, range(0, 610, 10))
    pasts.scraped("relabelled", "a:1", later, range(610, 1210, 10), beats=range(61, 121), cluster="eu")
    pasts.scraped("split", "a:1", hour, range(61), namespace="prod").scraped(
        "split", "b:1", hour, range(61), namespace="staging"
    )
    pasts.scraped("twice", "a:1", hour, range(61), replica="x").scraped("twice", "a:1", hour, range(61), replica="y")
    known = range(100, 221)
    pasts.scraped("late", "a:1", every(60, -2 * HOUR), [5] * 121, beats=known)
    pasts.scraped("late", "b:1", every(60, -2 * HOUR + 30, 30), [5] * 120 + [45], beats=range(100, 221))
    pasts.scraped("gone", "a:1", every(60, -2 * HOUR), [5] * 121, beats=known)
    pasts.scraped("gone", "b:1", every(60, -2 * HOUR, -200), [5] * 117, beats=range(100, 217))
    counts = [50 * (at > NOW - HOUR) for at in every(60, -2 * HOUR)]
    pasts.scraped("probed", "a:1", every(60, -2 * HOUR), counts, beats=range(100, 2520, 20))
    pasts.scraped("popular", "a:1", half, range(100, 131), beats=range(700, 1320, 20), started=NOW - 1820)
    return pasts


@pytest.fixture(scope="module")
def pasts(tmp_path_factory):
    server = RealPrometheus(tmp_path_factory.mktemp("pasts"), _free_port())
    server.remember(_pasts().text())
    yield server.start()
    server.stop()


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def having(folder, pasts):
    """A Prometheus of its own for a large past."""
    server = RealPrometheus(folder, _free_port())
    server.remember(pasts.text())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def counted(store, seconds):
    """How many calls there were, and of which window."""
    view = store.look(seconds)
    ((sums,),) = view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end])
    return sum(sums.values()), view.window


@pytest.mark.parametrize(
    ("app", "seconds", "calls"),
    [
        ("looping", 1770, 30 * 7),
        ("once", 1830, 187),
        ("moved", 2 * HOUR + 30, 650),
        ("moved-soon", 2 * HOUR + 30, 659),
        ("relabelled", 2 * HOUR + 30, 1200),
    ],
)
def test_processes_that_follow_each_other_are_told_apart(pasts, app, seconds, calls):
    """Restarts that no heartbeat fell by, another pod at the same address, another label for the same process."""
    number, window = counted(store_of(pasts.url, app=app), seconds)
    assert (number, window.complete, window.exact) == (calls, app != "moved", False)


def test_what_differs_in_a_namespace_alone_is_not_added_up(pasts):
    with pytest.raises(
        Unavailable,
        match=r"the namespaces prod, staging all have applications named 'split'.*such as namespace=\"prod\"",
    ):
        store_of(pasts.url, app="split").look(HOUR)
    assert counted(store_of(pasts.url, app="split", selector='namespace="staging"'), 1800)[0] == 30


def test_what_a_pair_of_prometheus_servers_scraped_is_not_counted_twice(pasts):
    for seconds in (60, 300, HOUR, DAY):
        with pytest.raises(
            Unavailable, match=r"a:1 of the job twice is scraped twice, with replica 'x' and 'y'.*SELECTOR"
        ):
            store_of(pasts.url, app="twice").look(seconds)
    assert counted(store_of(pasts.url, app="twice", selector='replica="x"'), 1800)[0] == 30


def test_a_window_ends_before_what_only_some_were_scraped_after(pasts):
    """Forty calls that another process made 20 s ago are neither counted nor called none: the window ends before."""
    number, window = counted(store_of(pasts.url, NOW + 1, app="late"), HOUR)
    assert (number, window.end, window.exact) == (0, NOW - 30, True)
    number, window = counted(store_of(pasts.url, NOW + 31, app="late"), HOUR)
    assert (number, window.end, window.exact) == (0, NOW, False)  # but not none that could belong into it


def test_a_process_that_is_no_longer_scraped_does_not_hold_the_window_up(pasts):
    number, window = counted(store_of(pasts.url, app="gone"), HOUR)
    assert (number, window.end, window.exact, window.complete) == (0, NOW, False, True)


def test_others_that_read_the_metrics_make_no_scrape_quicker(pasts):
    number, window = counted(store_of(pasts.url, app="probed"), HOUR - 30)
    assert (number, window.exact) == (50, False)  # which may have been half a minute before


def test_a_process_that_others_had_read_before_was_born_all_the_same(pasts):
    assert counted(store_of(pasts.url, app="popular"), HOUR)[0] == 130
    assert counted(store_of(pasts.url, app="popular"), 1830)[1].complete


def test_the_application_s_clock_does_not_matter(pasts, tmp_path):
    """Without a clock of the tests' the present is that of Prometheus."""
    now = int(time.time())
    times = range(now - HOUR, now + 1, 60)
    with having(tmp_path, Pasts().scraped("shop", "a:1", times, range(len(times)))) as server:
        found = store_of(server.url, None).look(1800).window
        assert found.end == times[-1]
    assert abs(store_of(pasts.url, None, app="nobody").look(60).window.end - time.time()) < 60


def test_a_job_that_was_renamed_is_refused_only_while_the_window_has_both(tmp_path):
    with having(
        tmp_path,
        Pasts()
        .scraped("shop", "a:1", every(60, -2 * DAY, -5 * HOUR), range(2581), job="old")
        .scraped("shop", "a:1", every(60, -5 * HOUR + 60), range(300), job="new"),
    ) as server:
        store = store_of(server.url)
        assert counted(store, 2 * HOUR)[0] == 120
        assert store.knows("p", "m")
        assert store.breakers().states == {}
        with pytest.raises(Unavailable, match="the jobs new, old all have"):
            store.look(DAY)


@pytest.mark.parametrize(("pause", "days", "missing"), [(120, 7, 1800), (15, 1, 150), (240, 21, 7200)])
def test_a_window_with_an_outage_is_not_complete(tmp_path, pause, days, missing):
    first = NOW - (days + 1) * DAY
    gap = NOW - 3 * days * DAY // 7 + 400
    times = [at for at in range(first, NOW + 1, pause) if not gap <= at < gap + missing - pause]
    with having(tmp_path, Pasts().scraped("shop", "a:1", times, [None] * len(times))) as server:
        assert not store_of(server.url).look(days * DAY).window.complete
        assert store_of(server.url).look(days * DAY // 4).window.complete


@pytest.fixture
def questions(monkeypatch):
    """What is asked."""
    asked, ask = [], Server.ask

    def note(server, path, parameters, until):
        asked.append((path, dict(parameters), until))
        return ask(server, path, parameters, until)

    monkeypatch.setattr(Server, "ask", note)
    return asked


@pytest.mark.slow
def test_a_week_of_deploys_takes_few_questions_and_loses_none(tmp_path, questions):
    """140 processes that ended, of four at a time."""
    pasts, calls = Pasts(), 0
    for deploy in range(35):
        begun = NOW - 7 * DAY + 600 + deploy * 17280
        for replica in range(4):
            times = range(begun, min(begun + 17280, NOW + 1), 240)
            pasts.scraped("shop", f"10.0.{deploy}.{replica}:1", times, range(len(times)))
            calls += len(times) - 1
    with having(tmp_path, pasts) as server:
        store = store_of(server.url)
        assert counted(store, 7 * DAY)[0] == calls
        questions.clear()
        began = time.monotonic()
        traffic.realtime(store, 168, 300)
        assert time.monotonic() - began < 1.0
        assert len(questions) < 80


@pytest.mark.slow
def test_restarts_behind_one_address_in_a_week_are_found_without_reading_the_week(tmp_path, questions):
    times, calls, beats = every(60, -8 * DAY), [], []
    lives = [at // 50000 for at in times]
    for number, life in enumerate(lives):
        fresh = number and lives[number - 1] != life
        beats.append(0 if fresh else (beats[-1] + 1 if beats else 0))
        calls.append(5 if fresh else (calls[-1] + 1 if calls else 0))
    wanted = sum(
        b - a if b > a else b for at, a, b in zip(times[1:], calls, calls[1:], strict=False) if at > NOW - 7 * DAY
    )
    with having(tmp_path, Pasts().scraped("shop", "a:1", times, calls, beats=beats)) as server:
        assert counted(store_of(server.url), 7 * DAY)[0] == wanted
        ranges = [parameters["query"] for _, parameters, _ in questions if parameters.get("query", "").endswith("ms]")]
        assert 5 < len(ranges) < 30


class OddServer(ThreadingHTTPServer):
    """Answers everything with the same."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _OddHandler)
        self.body = b"{}"
        self.url = f"http://127.0.0.1:{self.server_port}"


class _OddHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def odd():
    with OddServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"7",
        b"no json",
        b'{"data":null}',
        b'{"data":{"result":null}}',
        b'{"data":{"result":[[]]}}',
        b'{"status":"error","error":"x"}',
        b'{"data":["a"]}',
        b'{"data":{"result":[{"metric":{},"value":["1"]}]}}',
        b'{"data":{"result":[{"stream":{},"values":[["1","[1]"],["2","no json"]]}]}}',
    ],
)
def test_what_answers_otherwise_than_prometheus_and_loki_is_unavailable(odd, body):
    odd.body = body
    store = store_of(odd.url, None, loki=Server(odd.url, "Loki", "GWZ_LOKI_QUERY_URL"))
    for ask in (lambda: store.look(HOUR), lambda: store.knows("p"), store.breakers, lambda: store.failures("p", 9)):
        with pytest.raises(
            Unavailable, match=r"(Prometheus|Loki) answered with something that it never says: check GWZ_"
        ):
            ask()


def test_failures_are_never_all_of_them(odd):
    """A line has the last call of its request only."""
    line = json.dumps({"model": "m", "error_type": "E"})
    odd.body = json.dumps({"data": {"result": [{"stream": {}, "values": [["1000000000", line]]}]}}).encode()
    found = store_of(odd.url, loki=Server(odd.url, "Loki", "GWZ_LOKI_QUERY_URL")).failures("p", 9)
    assert [one.at for one in found.found] == [1.0]
    assert not found.window.complete


@pytest.fixture
def answers(monkeypatch):
    """What is added to answers of Prometheus, by a part of the question."""
    more, ask = {}, Server.ask

    def answer(server, path, parameters, until):
        assert parameters.get("partial_response") == "false"
        found = ask(server, path, parameters, until)
        added = next((one for part, one in more.items() if part in str(parameters)), {})
        return type(found)(found.status, json.dumps({**json.loads(found.body), **added}).encode())

    monkeypatch.setattr(Server, "ask", answer)
    return more


@pytest.mark.parametrize(
    ("added", "complete"),
    [
        ({"warnings": ["store x: partial response"]}, False),
        ({"infos": ["partial response: a store is away"]}, False),
        ({"infos": ["metric might not be a counter"], "warnings": []}, True),
    ],
)
def test_an_answer_that_says_that_it_is_partial_is_not_complete(store, answers, added, complete):
    answers["count_over_time"] = added
    assert store.look(3 * HOUR).window.complete == complete


def test_numbers_that_turn_out_to_be_partial_are_none(store, answers):
    view = store.look(3 * HOUR)
    answers["sum without"] = {"warnings": ["store x is away"]}
    with pytest.raises(Unavailable, match="in part only"):
        view.increases([Ask(inference.REQUESTS)], [view.window.start, view.window.end])


def test_breakers_in_states_that_nobody_knows_are_left_out(tmp_path):
    times = every(60, -HOUR)
    pasts = Pasts().scraped("shop", "a:1", times, [None] * 61)
    for state in ("open", "molten"):
        for at in times:
            pasts._add(
                "gatewayz_circuit_breaker_state", f'job="shop",instance="a:1",provider="p",state="{state}"', at, 1
            )
    with having(tmp_path, pasts) as server:
        assert store_of(server.url).breakers().states == {"p": "open"}


def test_all_questions_of_an_answer_have_one_deadline(store, questions):
    with deadline(1.0):
        store.look(HOUR)
        store.knows("groq")
        store.breakers()
    assert len({until for _, _, until in questions}) == 1
    assert questions[0][2] <= time.monotonic() + 1.0
    store.knows("groq")
    assert questions[-1][2] > questions[0][2]


def test_more_lives_than_can_be_read_are_not_complete(pasts, monkeypatch):
    monkeypatch.setattr("gwz_instrument.monitoring.heartbeats._MOST_LIVES", 20)
    number, window = counted(store_of(pasts.url, app="looping"), 1770)
    assert (number, window.complete, window.exact) == (20 * 7, False, False)
