"""The cache in front of a Redis that is there, absent, or silent."""

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.cache import Cache, open_redis


class Source:
    """Counts how often the value had to be loaded."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.loaded = 0

    async def load(self) -> Any:
        self.loaded += 1
        return self.value


async def remembered_twice(url: str, value: Any) -> int:
    source = Source(value)
    async with open_redis(url, timeout_s=0.2) as redis:
        cache = Cache(redis, "catalog", "test", ttl_s=10)
        assert [await cache.remember("key", source.load) for _ in range(2)] == [value, value]
    return source.loaded


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are accepted and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]  # bound, but not listening


async def test_absent_redis_is_a_miss_and_said_once(refused_port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert await remembered_twice(f"redis://127.0.0.1:{refused_port}/0", {"a": 1}) == 2
    assert [record.name for record in caplog.records].count("fastapi_app.cache") == 1
    assert "every look-up is a miss until it does; check REDIS_URL" in caplog.text


async def test_silent_redis_costs_a_fifth_of_a_second(silent_port: int) -> None:
    started = time.monotonic()

    assert await remembered_twice(f"redis://127.0.0.1:{silent_port}/0", {"a": 1}) == 2

    assert time.monotonic() - started < 0.9  # two look-ups of 0.2 s


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server in PATH")
async def test_value_is_loaded_once_and_none_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    redis = await asyncio.create_subprocess_exec(
        "redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        while not path.exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.02)
        assert await remembered_twice(f"unix://{path}?db=0", {"a": 1}) == 1
        assert await remembered_twice(f"unix://{path}?db=1", None) == 2
    finally:
        redis.terminate()
        await redis.wait()
