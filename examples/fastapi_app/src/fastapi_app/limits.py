"""How often a key may ask, counted in Redis for all workers together."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fastapi_app.accounts import Account

_WINDOW_S = 60
_SCRIPT = """-- requests of one window, in {namespace}
local number = redis.call('INCR', KEYS[1])
if number == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return number
"""
_NOBODY = "nobody"


class Limits:
    """Counts in fixed windows; lets everybody pass while Redis is down."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._namespace = namespace
        self._count = redis.register_script(_SCRIPT.format(namespace=namespace))

    async def open(self) -> None:
        """Have Redis know the script: the first call of all is refused, and loads it."""
        await self._number(_NOBODY)

    async def allow(self, account: Account) -> bool:
        """Whether an account may ask once more now."""
        if account.requests_per_minute == 0:
            return False
        number = await self._number(str(account.id))
        return number is None or number <= account.requests_per_minute

    async def _number(self, who: str) -> int | None:
        try:
            return int(await self._count(keys=[f"{self._namespace}:asked:{who}"], args=[_WINDOW_S]))
        except (RedisError, OSError):
            return None  # the cache says so, once
