"""What is asked of the endpoints, and what must come back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from gwz_instrument.semconv import Endpoint, endpoints

NOBODY: Final = "gwz-instrument-nobody"
"""A provider that there is not, and a model."""
_WRONG_TOKEN: Final = "gwz-instrument-wrong"  # noqa: S105  # which is what it is for
_HOUR_S: Final = 3600
_RANGES_S: Final = {"1h": _HOUR_S, "24h": 24 * _HOUR_S, "7d": 168 * _HOUR_S, "30d": 720 * _HOUR_S}
_REFUSED: Final = (401, 403)
"""A dependency of the application's may answer either."""


@dataclass(frozen=True, slots=True)
class Access:
    """The reader's token and the administrator's."""

    token: str | None = field(default=None, repr=False)
    admin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `parameters` are as sent, `asked` are those with the defaults, as the answer should repeat them."""

    endpoint: Endpoint
    method: str
    path: str
    token: str | None = field(default=None, repr=False)
    wants: tuple[int, ...] = (200,)
    words: tuple[str, ...] = ()
    """What the message of a refusal must name."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    how: str = ""
    """What is odd about it, for people."""

    @property
    def is_good(self) -> bool:
        """Whether it asks for an answer, and not for a refusal."""
        return 200 in self.wants

    @property
    def span_s(self) -> int | None:
        """How long the window of the answer should be."""
        if "time_range" in self.asked:
            return _RANGES_S[self.asked["time_range"]]
        if "hours" in self.asked:
            return int(self.asked["hours"]) * _HOUR_S
        return int(self.asked["days"]) * 24 * _HOUR_S if "days" in self.asked else None


@dataclass(frozen=True, slots=True)
class NotTried:
    """An endpoint that was not called, and why."""

    method: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Whom the instance has traffic with: providers, and models at them, the busiest first."""

    providers: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    endpoints.REALTIME.path: {"hours": 1},
    endpoints.HOURLY.path: {"hours": 24},
    endpoints.ERROR_RATES.path: {"hours": 24},
    endpoints.AVAILABILITY.path: {"days": 1},
    endpoints.TRENDING.path: {"limit": 10, "sort_by": "requests", "time_range": "24h", "gateway": "all"},
    endpoints.LATENCY_TRENDS.path: {"hours": 24},
    endpoints.LATENCY.path: {"hours": 1},
    endpoints.ERRORS.path: {"limit": 100},
    endpoints.COSTS.path: {"days": 7},
    endpoints.TOKENS.path: {"hours": 24},
}
_OTHERS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    endpoints.REALTIME.path: ({"hours": 1}, {"hours": 24}),  # 168 is among the first
    endpoints.HOURLY.path: ({"hours": 1}, {"hours": 168}),
    endpoints.ERROR_RATES.path: ({"hours": 1}, {"hours": 168}),
    endpoints.AVAILABILITY.path: ({"days": 30},),
    endpoints.TRENDING.path: (
        *({"sort_by": sort, "limit": 5} for sort in endpoints.SORTS),
        *({"time_range": time_range, "limit": 5} for time_range in endpoints.RANGES),
    ),
    endpoints.LATENCY_TRENDS.path: ({"hours": 1}, {"hours": 168}),
    endpoints.LATENCY.path: ({"hours": 24}, {"hours": 168}),
    endpoints.ERRORS.path: ({"limit": 5},),
    endpoints.COSTS.path: ({"days": 1}, {"days": 90}),
    endpoints.TOKENS.path: ({"hours": 1}, {"hours": 168}),
}
_HOURS: Final = (("hours", ("0", "169", "abc"), ("hours", "1 to 168")),)
_WRONG: Final[Mapping[str, Sequence[tuple[str, Sequence[str], tuple[str, ...]]]]] = {
    **{path: _HOURS for path, defaults in _DEFAULTS.items() if "hours" in defaults},
    endpoints.AVAILABILITY.path: (("days", ("0", "31"), ("days", "30")),),
    endpoints.COSTS.path: (("days", ("0", "91"), ("days", "1 to 90")),),
    endpoints.ERRORS.path: (("limit", ("0", "1001"), ("limit", "1000")),),
    endpoints.TRENDING.path: (
        ("limit", ("0", "101"), ("limit", "1 to 100")),
        ("sort_by", ("nonsense",), ("sort_by", *endpoints.SORTS)),
        ("time_range", ("2h",), ("time_range", *endpoints.RANGES)),
    ),
}
"""Parameter, values that are refused, what the refusal must name."""


def first_calls(access: Access) -> list[Call]:
    """What tells whether these are our endpoints, and whom they know."""
    return [
        _good(endpoints.HEALTH, access),
        _good(endpoints.REALTIME, access, {"hours": 168}),
        _good(endpoints.TRENDING, access, {"time_range": "30d", "limit": 100}),
    ]


def calls(seen: Seen, access: Access) -> Iterator[Call | NotTried]:
    """All other calls of the monitoring endpoints."""
    for endpoint in endpoints.MONITORING:
        yield from _good_calls(endpoint, seen, access)
        yield from _wrong_calls(endpoint, seen, access)
    if seen.providers:
        yield _good(endpoints.TRENDING, access, {"gateway": seen.providers[0], "limit": 5})
    if access.token:
        yield Call(endpoints.HEALTH, "GET", endpoints.HEALTH.path, _WRONG_TOKEN, _REFUSED, how="with a wrong token")


def instrumentation_calls(access: Access) -> Iterator[Call]:
    """The calls of the administrator's endpoints; those that prove something send a line and a span."""
    for endpoint in endpoints.INSTRUMENTATION_ENDPOINTS:
        yield _far_end(endpoint, access)
        other = "GET" if endpoint.method == "POST" else "POST"
        yield Call(endpoint, other, endpoint.path, access.admin, (405,))
        if endpoint is not endpoints.INSTRUMENTATION:
            yield Call(endpoint, endpoint.method, endpoint.path, None, (401,), how="without a token")
            if access.token and access.token != access.admin:
                yield Call(
                    endpoint, endpoint.method, endpoint.path, access.token, (401,), how="with the reader's token"
                )
    if access.token:
        health = endpoints.INSTRUMENTATION
        yield Call(health, "GET", health.path, None, _REFUSED, how="without a token")
        if access.token != access.admin:
            yield Call(health, "GET", health.path, access.token, (200, 503), how="with the reader's token")
    yield _far_end(endpoints.TEST_LOG, access, {"message": "a warning of gwz-instrument endpoints", "level": "warning"})
    yield _far_end(endpoints.TEST_TRACE, access, {"message": "a span of gwz-instrument endpoints"})
    yield _far_end(endpoints.TEST_LOG, access, {"level": "nonsense"}, (422,), ("level", "debug", "critical"))
    yield _far_end(endpoints.TEST_TRACE, access, {"message": ""}, (422,), ("1 character",))


def path_of(endpoint: Endpoint, provider: str = NOBODY, model: str = NOBODY, **parameters: object) -> str:
    """The path of an endpoint with its parameters."""
    path = endpoint.path.replace("{provider}", quote(provider, safe="")).replace("{model:path}", quote(model))
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _good_calls(endpoint: Endpoint, seen: Seen, access: Access) -> Iterator[Call | NotTried]:
    if endpoint is endpoints.HEALTH:
        return  # among the first
    abouts = list(_abouts(endpoint, seen))
    if not abouts:
        whom = "model" if "{model" in endpoint.path else "provider"
        yield NotTried(endpoint.method, endpoint.path, f"no {whom} has had traffic")
    for number, about in enumerate(abouts):
        yield _good(endpoint, access, {}, about)
        if number == 0:
            yield from (_good(endpoint, access, one, about) for one in _OTHERS.get(endpoint.path, ()))


def _wrong_calls(endpoint: Endpoint, seen: Seen, access: Access) -> Iterator[Call]:
    def refused(wants: tuple[int, ...], how: str = "", words: tuple[str, ...] = (), **parameters: str) -> Call:
        return Call(endpoint, "GET", path_of(endpoint, **parameters), access.token, wants, words, how=how)

    for name, values, words in _WRONG.get(endpoint.path, ()):
        yield from (refused((422,), words=words, **{name: value}) for value in values)
    if "{provider}" in endpoint.path:
        yield refused((404,), words=(NOBODY,))
    if "{model" in endpoint.path and seen.providers:
        yield refused((404,), words=(NOBODY,), provider=seen.providers[0])
    if access.token:
        yield Call(endpoint, "GET", path_of(endpoint), None, _REFUSED, how="without a token")
    yield Call(endpoint, "POST", path_of(endpoint), access.token, (405,))


def _abouts(endpoint: Endpoint, seen: Seen) -> Iterable[Mapping[str, str]]:
    """Whom to ask an endpoint about; about nobody those that know all."""
    if "{model" in endpoint.path:
        return ({"provider": provider, "model": model} for provider, model in seen.pairs[:2])
    if "{provider}" in endpoint.path:
        return ({"provider": provider} for provider in seen.providers[:2])
    return ({},)


def _good(
    endpoint: Endpoint,
    access: Access,
    parameters: Mapping[str, Any] | None = None,
    about: Mapping[str, str] | None = None,
) -> Call:
    sent, whom = parameters or {}, about or {}
    asked = {**_DEFAULTS.get(endpoint.path, {}), **sent, **whom}
    return Call(endpoint, "GET", path_of(endpoint, **whom, **sent), access.token, asked=asked)


def _far_end(
    endpoint: Endpoint,
    access: Access,
    body: Mapping[str, Any] | None = None,
    wants: tuple[int, ...] = (200, 503),
    words: tuple[str, ...] = (),
) -> Call:
    return Call(endpoint, endpoint.method, endpoint.path, access.admin, wants, words, body=body)
