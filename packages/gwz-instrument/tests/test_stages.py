"""Stages of a request are timed under its route, and the time before it calls its first provider once."""

import asyncio
import time
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from gwz_instrument import instrument
from gwz_instrument import recording as recordings
from gwz_instrument.exchange import Exchange
from gwz_instrument.metrics import Collectors
from gwz_instrument.recording import make_recording
from gwz_instrument.settings import Settings
from gwz_instrument.stages import MAX_STAGES, frontend_done, stage

COUNT = "request_stage_duration_seconds_count"
SUM = "request_stage_duration_seconds_sum"


class World:
    """Where stages are written, and everything that was."""

    def __init__(self):
        self.registry, self.collectors = CollectorRegistry(), Collectors()
        self.registry.register(self.collectors)
        self.tracer = TracerProvider(shutdown_on_exit=False).get_tracer("gwz_instrument")
        self.recording = make_recording(
            Settings(environ={}),
            self.collectors,
            tracer=self.tracer,
            lines=None,
            endpoint_of=lambda exchange: "_none" if exchange is None else "/route",
        )

    def samples(self, name, registry=None):
        return {
            tuple(value for key, value in sample.labels.items() if key != "le"): sample.value
            for family in (registry or self.registry).collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    def exemplars(self, name):
        return [
            sample.exemplar.labels["trace_id"]
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.exemplar
        ]


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(recordings, "_installed", [world.recording])
    monkeypatch.setattr(recordings, "_complained", set())
    return world


def test_a_block_is_timed(world):
    with stage("auth"):
        time.sleep(0.02)
    assert world.samples(COUNT) == {("auth", "_none"): 1}
    assert 0.02 <= world.samples(SUM)["auth", "_none"] < 1


async def test_an_async_block_is_timed_with_what_it_waits_for(world):
    async with stage("auth"):
        await asyncio.sleep(0.02)
    assert 0.02 <= world.samples(SUM)["auth", "_none"] < 1


def test_what_is_raised_passes_through_and_the_time_counts(world):
    error = LookupError()
    with pytest.raises(LookupError) as raised, stage("auth"):
        raise error
    assert raised.value is error
    assert world.samples(COUNT) == {("auth", "_none"): 1}


async def test_each_call_of_a_decorated_function_is_timed(world):
    @stage("parse")
    def parse(text):
        """Doc."""
        return int(text)

    @stage("wait")
    async def wait(seconds):
        await asyncio.sleep(seconds)
        return seconds

    assert (parse("1"), parse(text="2"), parse.__doc__) == (1, 2, "Doc.")
    assert await asyncio.gather(wait(0.02), wait(0.02)) == [0.02, 0.02]
    assert world.samples(COUNT) == {("parse", "_none"): 2, ("wait", "_none"): 2}
    assert world.samples(SUM)["wait", "_none"] >= 0.039


def test_an_object_that_is_called_to_be_awaited_is_timed_until_it_is_done(world):
    class Client:
        async def __call__(self):
            await asyncio.sleep(0.02)

    asyncio.run(stage("ask")(Client())())
    assert world.samples(SUM)["ask", "_none"] >= 0.02


def test_a_generator_cannot_be_decorated():
    def numbers():
        yield 1

    async def anumbers():
        yield 1

    for function in (numbers, anumbers):
        with pytest.raises(
            TypeError, match=r"numbers is a generator, which takes the time of its reader: put the block"
        ):
            stage("x")(function)


def test_stages_within_stages_have_each_their_time(world):
    with stage("outer"), stage("inner"):
        pass
    assert world.samples(COUNT) == {("outer", "_none"): 1, ("inner", "_none"): 1}


@pytest.mark.parametrize("name", [None, b"auth", "", 1, "x" * 10_000, "\ud800"])
def test_a_name_that_is_none_is_other(world, name):
    with stage(name):
        pass
    assert world.samples(COUNT) == {("_other", "_none"): 1}


def test_names_beyond_the_budget_are_other(world):
    for number in range(MAX_STAGES + 5):
        with stage(f"s{number}"):
            pass
    assert len(world.samples(COUNT)) == MAX_STAGES + 1
    assert world.samples(COUNT)["_other", "_none"] == 5


def test_the_exemplar_is_the_trace_that_is_current(world):
    with world.tracer.start_as_current_span("request") as span, stage("auth"):
        pass
    assert world.exemplars("request_stage_duration_seconds_bucket") == [f"{span.get_span_context().trace_id:032x}"]


def test_before_there_is_an_application_the_block_just_runs(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    with stage("auth"):
        done = True
    assert done


def test_a_fault_of_ours_does_not_reach_the_block(world, monkeypatch, caplog):
    monkeypatch.setattr(world.collectors, "child", lambda *_: 1 / 0)
    with stage("auth"):
        pass
    assert "failed at its own work (stage)" in caplog.text


async def test_within_a_request_the_endpoint_is_its_route(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    app, registry = FastAPI(), CollectorRegistry()

    @app.get("/items/{item}")
    async def read(item: int):
        async with stage("auth"):
            pass
        with stage("fetch"):
            return item

    instrument(app, registry=registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        assert (await http.get("/items/1")).status_code == 200
    assert World.samples(None, COUNT, registry) == {
        ("auth", "/items/{item}"): 1,
        ("fetch", "/items/{item}"): 1,
    }


def exchange_of(world, started_s_ago=0.2):
    exchange = Exchange({"path": "/", "headers": []}, "GET")
    exchange.started_s -= started_s_ago
    exchange.recording = world.recording
    return exchange


def test_the_frontends_time_is_from_the_arrival_to_the_first_call_and_told_once(world):
    exchange = exchange_of(world)
    exchange.span = world.tracer.start_span("request")
    for _ in range(3):
        frontend_done(exchange, world.recording)
    assert world.samples("frontend_processing_seconds_count") == {("/route",): 1}
    assert 0.2 <= world.samples("frontend_processing_seconds_sum")["/route",] < 1
    assert world.exemplars("frontend_processing_seconds_bucket") == [
        f"{exchange.span.get_span_context().trace_id:032x}"
    ]


def test_a_call_outside_of_any_request_or_after_its_end_says_nothing_of_the_frontend(world):
    ended = exchange_of(world)
    ended.end()
    frontend_done(ended, world.recording)
    frontend_done(None, world.recording)
    assert world.samples("frontend_processing_seconds_count") == {}


def test_a_spoilt_request_costs_no_call(world, caplog):
    frontend_done(SimpleNamespace(ended_s=0, scope=None), world.recording)
    assert "failed at its own work (frontend)" in caplog.text
