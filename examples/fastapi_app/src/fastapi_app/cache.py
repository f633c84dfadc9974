"""JSON values in Redis; a Redis that is down is a miss."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_logger = logging.getLogger(__name__)

_TIMEOUT_S = 0.2


class Cache:
    """Remembers values for a while; never raises because of Redis, never waits long for it."""

    def __init__(self, url: str, ttl_s: int) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._ttl_s = ttl_s
        self._available = True

    async def remember(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        """Return the cached value, else load it and keep it for the time to live; None is not kept."""
        try:
            cached = await self._redis.get(key)
        except (RedisError, OSError) as error:
            self._note(error)
            return await load()
        self._note(None)
        if cached is not None:
            return json.loads(cached)
        value = await load()
        if value is not None:
            await self._keep(key, value)
        return value

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _keep(self, key: str, value: Any) -> None:
        try:
            await self._redis.set(key, json.dumps(value), ex=self._ttl_s)
        except (RedisError, OSError) as error:
            self._note(error)

    def _note(self, error: Exception | None) -> None:
        """Log when Redis goes away and when it returns, not once per request in between."""
        if error and self._available:
            _logger.warning("Redis does not answer (%s): every look-up is a miss until it does; check REDIS_URL", error)
        if not error and not self._available:
            _logger.warning("Redis answers again")
        self._available = error is None
