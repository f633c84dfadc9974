"""How a call to a model ended, by the exception that ended it; no provider's package is imported for that."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

SUCCESS: Final = "success"
ERROR: Final = "error"
TIMEOUT: Final = "timeout"
CANCELLED: Final = "cancelled"
CLIENT_DISCONNECTED: Final = "client_disconnected"
STREAM_ERROR: Final = "stream_error"
ABANDONED: Final = "abandoned"

RATE_LIMITED: Final = "rate_limited"
EMPTY_STREAM: Final = "empty_stream"

_TIMEOUT_NAMES: Final = frozenset(
    {
        "APITimeoutError",  # openai, anthropic
        "DeadlineExceeded",  # google.api_core
        "ReadTimeoutError",  # urllib3
        "Timeout",  # requests
        "TimeoutError",  # built in, asyncio, concurrent.futures, aiohttp, redis
        "TimeoutException",  # httpx
    }
)
_RATE_LIMIT_NAMES: Final = frozenset(
    {
        "RateLimitError",  # openai, anthropic, cerebras
        "ResourceExhausted",  # google.api_core
        "TooManyRequests",
    }
)
_TIMEOUT_STATUSES: Final = frozenset({408, 504})
_TOO_MANY: Final = 429
_GRPC_TIMEOUT, _GRPC_RATE_LIMIT = "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"


class Outcome(NamedTuple):
    """A status of the contract, and the `error.type` that goes with it."""

    status: str
    error_type: str | None = None


def of_error(error: BaseException, *, client_left: bool = False) -> Outcome:
    """Judge a call by the exception that left it; `client_left` tells who is behind a cancellation.

    Timeouts and rate limits are known by the names of the classes that the exception's class derives from, by a
    `status_code`, its own or its response's, and by the `code()` of grpc.
    """
    try:
        return _of_error(single(error), client_left=client_left)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # an object of the application's may raise anything when it is asked
        return Outcome(ERROR, type(error).__name__)


def _of_error(error: BaseException, *, client_left: bool) -> Outcome:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Outcome(CLIENT_DISCONNECTED if client_left else CANCELLED, type(error).__name__)
    names = {kind.__name__ for kind in type(error).__mro__}
    status, code = _status_code(error), _grpc_code(error)
    if names & _TIMEOUT_NAMES or status in _TIMEOUT_STATUSES or code == _GRPC_TIMEOUT:
        return Outcome(TIMEOUT, type(error).__name__)
    if names & _RATE_LIMIT_NAMES or status == _TOO_MANY or code == _GRPC_RATE_LIMIT:
        return Outcome(ERROR, RATE_LIMITED)
    return Outcome(ERROR, type(error).__name__)


def single(error: BaseException) -> BaseException:
    """The exception that a task group wrapped, when it wrapped only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _status_code(error: BaseException) -> int | None:
    """What the far end answered; the application's objects may answer anything to a question, also by raising."""
    return next((status for status in _statuses(error) if isinstance(status, int)), None)


def _statuses(error: BaseException) -> Iterator[Any]:
    yield _asked(error, "status_code")
    yield _asked(_asked(error, "response"), "status_code")
    yield _asked(error, "status")  # aiohttp


def _grpc_code(error: BaseException) -> str | None:
    code = _asked(error, "code")
    try:
        return str(code().name) if callable(code) else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # as above
        return None


def _asked(thing: object, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # as above
        return None
