"""JSON values in Redis; a Redis that is down is a miss."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gwz_instrument import cache

_logger = logging.getLogger(__name__)


def open_redis(url: str, timeout_s: float) -> Redis:
    """Return a client that tries once and does not wait long."""
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


class Cache:
    """Remembers values for a while, under names of its own in a Redis that it may share; never raises because of Redis."""

    def __init__(self, redis: Redis, name: str, namespace: str, ttl_s: int) -> None:
        self._redis = redis
        self._name = name
        self._prefix = f"{namespace}:{name}:"
        self._ttl_s = ttl_s
        self._available = True

    async def remember(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        """Return the cached value, else load it and keep it for the time to live; None is not kept."""
        try:
            cached = await self._redis.get(self._prefix + key)
        except (RedisError, OSError) as error:
            self._note(error)
            cache(self._name).miss()
            return await load()
        self._note(None)
        if cached is not None:
            cache(self._name).hit()
            return json.loads(cached)
        cache(self._name).miss()
        value = await load()
        if value is not None:
            await self._keep(key, value)
        return value

    async def _keep(self, key: str, value: Any) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as commands:
                commands.set(self._prefix + key, json.dumps(value), ex=self._ttl_s)
                commands.sadd(f"{self._prefix}keys", key)  # who clears the catalog by hand finds them there
                await commands.execute()
        except (RedisError, OSError) as error:
            self._note(error)

    def _note(self, error: Exception | None) -> None:
        """Log when Redis goes away and when it returns, not once per request in between."""
        if error and self._available:
            _logger.warning("Redis does not answer (%s): every look-up is a miss until it does; check REDIS_URL", error)
        if not error and not self._available:
            _logger.warning("Redis answers again")
        self._available = error is None
