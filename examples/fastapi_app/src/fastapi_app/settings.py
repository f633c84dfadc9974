"""What the gateway can be told by its environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

KEEP_ALIVE_S = 75
"""How long the servers keep an idle connection: longer than any client does, so that no request meets a closing one."""

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Settings:
    """The gateway's addresses and its patience."""

    host: str = "127.0.0.1"
    port: int = 8000
    providers_url: str = "http://127.0.0.1:8001"
    redis_url: str = "redis://127.0.0.1:6379/0"
    database_url: str = "sqlite:///fastapi_app.db"
    postgrest_url: str = "http://127.0.0.1:8001/rest/v1"
    provider_timeout_s: float = 3.75
    redis_timeout_s: float = 0.2
    gauges_every_s: float = 30.0
    namespace: str = "gateway"
    """Which part of Redis and which schema of the customers' database are the application's own."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read HOST, PORT and the variables below; ValueError names a bad one."""
        return cls(
            host=environment.get("HOST", cls.host),
            port=number(environment, "PORT", cls.port, int),
            providers_url=environment.get("PROVIDERS_URL", cls.providers_url).rstrip("/"),
            redis_url=environment.get("REDIS_URL", cls.redis_url),
            database_url=environment.get("DATABASE_URL", cls.database_url),
            postgrest_url=environment.get("POSTGREST_URL", cls.postgrest_url).rstrip("/"),
            provider_timeout_s=number(environment, "PROVIDER_TIMEOUT_S", cls.provider_timeout_s, float),
            redis_timeout_s=number(environment, "REDIS_TIMEOUT_S", cls.redis_timeout_s, float),
            gauges_every_s=number(environment, "GAUGES_EVERY_S", cls.gauges_every_s, float),
            namespace=environment.get("NAMESPACE", cls.namespace),
        )


def number(environment: Mapping[str, str], name: str, default: _Number, convert: Callable[[str], _Number]) -> _Number:
    """Read one positive number; ValueError says which variable holds what instead."""
    text = environment.get(name)
    if text is None:
        return default
    try:
        value = convert(text)
    except ValueError:
        value = convert("0")
    if value <= 0:
        raise ValueError(f"{name} is {text!r}, but must be a number above zero such as {default}; correct or unset it")
    return value
