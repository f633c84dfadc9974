"""What a client asks Redis is counted, timed and has a span, which never holds a key; against a real server."""

import asyncio
import gc
import socket
import subprocess
import time

import pytest

from gwz_instrument import recording as recordings
from gwz_instrument.attach import attach

redis = pytest.importorskip("redis")
aioredis = pytest.importorskip("redis.asyncio")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a server that has nothing and keeps nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    where = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(number), "--bind", "127.0.0.1", "--save", "", "--dir", str(where)]
    try:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("redis-server is not installed")
    with server:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", number)).close()
                break
            except OSError:
                assert time.monotonic() < until, "within ten seconds"
                time.sleep(0.02)
        yield number
        server.terminate()


@pytest.fixture
def client(world, port):
    made = redis.Redis(host="127.0.0.1", port=port, db=3)
    attach(made, world.collectors)
    attach(made, world.collectors)
    yield made
    made.flushall()
    made.close()


@pytest.fixture
async def async_client(world, port):
    made = aioredis.Redis(host="127.0.0.1", port=port, db=3)
    attach(made, world.collectors)
    attach(made, world.collectors)
    yield made
    await made.flushall()
    await made.aclose()
    await made.connection_pool.disconnect()


def counts(world):
    return world.samples("gatewayz_redis_operations_total")


def attributes(port, operation, **more):
    where = {"db.namespace": "3", "server.address": "127.0.0.1", "server.port": port}
    return {"db.system.name": "redis", "db.operation.name": operation, **where, **more}


def test_a_command_is_recorded_once_without_its_key(world, client, port):
    client.set("user:sk-secret", "1")
    assert client.get("user:sk-secret") == b"1"
    assert counts(world) == {("set", "success"): 1, ("get", "success"): 1}
    assert world.samples("gatewayz_redis_operation_duration_seconds_count") == {("set",): 1, ("get",): 1}
    assert world.spans == [("set", attributes(port, "set"), "UNSET"), ("get", attributes(port, "get"), "UNSET")]
    assert "secret" not in str(world.spans)


async def test_an_async_client_s_commands_are_recorded_once(world, async_client, port):
    await async_client.set("user:sk-secret", "1")
    assert await async_client.get("user:sk-secret") == b"1"
    assert counts(world) == {("set", "success"): 1, ("get", "success"): 1}
    assert world.spans == [("set", attributes(port, "set"), "UNSET"), ("get", attributes(port, "get"), "UNSET")]


def test_a_pipeline_is_one_operation(world, client, port):
    with client.pipeline() as pipeline:
        assert pipeline.set("a", "1").incr("a").execute() == [True, 2]
        assert pipeline.execute() == []
    assert counts(world) == {("pipeline", "success"): 1}
    assert world.spans == [("pipeline", attributes(port, "pipeline", **{"db.operation.batch.size": 2}), "UNSET")]


async def test_an_async_pipeline_is_one_operation(world, async_client, port):
    async with async_client.pipeline() as pipeline:
        assert await pipeline.set("a", "1").incr("a").execute() == [True, 2]
        assert await pipeline.execute() == []
    assert counts(world) == {("pipeline", "success"): 1}
    assert world.spans == [("pipeline", attributes(port, "pipeline", **{"db.operation.batch.size": 2}), "UNSET")]


def test_commands_of_a_pipeline_that_watches_are_sent_at_once(world, client):
    def add(pipeline):
        value = int(pipeline.get("a") or 0)
        pipeline.multi()
        pipeline.set("a", value + 1)

    assert client.transaction(add, "a") == [True]
    assert counts(world) == {
        ("watch", "success"): 1,
        ("get", "success"): 1,
        ("pipeline", "success"): 1,
    }


async def test_commands_of_an_async_pipeline_that_watches_are_sent_at_once(world, async_client):
    async with async_client.pipeline() as pipeline:
        await pipeline.watch("a")
        assert await pipeline.get("a") is None
        pipeline.multi()
        assert await pipeline.set("a", 1).execute() == [True]
    assert {key: number for key, number in counts(world).items() if key[0] != "unwatch"} == {
        ("watch", "success"): 1,
        ("get", "success"): 1,
        ("pipeline", "success"): 1,
    }


def test_what_redis_refuses_is_an_error_that_passes_through(world, client):
    client.set("a", "text")
    with pytest.raises(redis.ResponseError):
        client.lpush("a", "sk-secret")
    assert counts(world) == {("set", "success"): 1, ("lpush", "error"): 1}
    assert world.samples("gatewayz_redis_operation_duration_seconds_count") == {("set",): 1, ("lpush",): 1}
    assert (world.spans[1][1]["error.type"], world.spans[1][2]) == ("ResponseError", "ERROR")
    assert "secret" not in str(world.spans)


def test_an_unknown_command_is_no_label(world, client):
    for number in range(5):
        with pytest.raises(redis.ResponseError):
            client.execute_command(f"evil{number} sk-secret")
    assert counts(world) == {("_other", "error"): 5}
    assert "secret" not in str(world.spans)


def test_a_command_of_two_words_has_the_name_of_the_first(world, client):
    client.config_get("maxmemory")
    assert counts(world) == {("config", "success"): 1}


def test_a_server_that_is_away_is_an_error(world):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = redis.Redis(port=free.getsockname()[1], retry=None)
    attach(client, world.collectors)
    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert counts(world) == {("ping", "error"): 1}
    assert world.spans[0][1]["error.type"] == "ConnectionError"


async def test_a_cancelled_command_is_counted_once(world, async_client):
    task = asyncio.create_task(async_client.blpop("nothing", 10))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(world) == {("blpop", "error"): 1}
    assert world.spans[0][1]["error.type"] == "CancelledError"
    assert world.spans[0][2] == "UNSET"


def test_the_connections_of_the_pool_are_read_at_a_scrape(world, client):
    client.ping()
    assert world.samples("gatewayz_redis_pool_connections") == {("idle",): 1}
    with client.client():  # holds on to one
        assert world.samples("gatewayz_redis_pool_connections") == {("active",): 1}


async def test_the_connections_of_an_async_pool_are_read_at_a_scrape(world, async_client):
    await async_client.ping()
    assert world.samples("gatewayz_redis_pool_connections") == {("idle",): 1}


def test_a_pool_that_blocks_is_read_too(world, port):
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=5)
    client = redis.Redis(connection_pool=pool)
    attach(client, world.collectors)
    client.ping()
    with client.client(), client.client() as second:
        second.close()
        assert world.samples("gatewayz_redis_pool_connections") == {("active",): 1, ("idle",): 1}
    pool.disconnect()


def test_a_client_that_is_gone_has_no_connections(world, port):
    client = redis.Redis(host="127.0.0.1", port=port)
    attach(client, world.collectors)
    client.ping()
    client.close()
    del client
    gc.collect()
    assert world.samples("gatewayz_redis_pool_connections") == {}


def test_a_derived_client_stays_what_it_was(world, client):
    assert isinstance(client, redis.Redis)
    assert type(client).__name__ == "Redis"
    with client.client() as alone:
        alone.ping()
    assert counts(world)["ping", "success"] == 1


def test_before_instrument_a_command_is_only_sent(monkeypatch, client):
    monkeypatch.setattr(recordings, "_installed", [])
    assert client.ping()
    assert client.pipeline().ping().execute() == [True]
