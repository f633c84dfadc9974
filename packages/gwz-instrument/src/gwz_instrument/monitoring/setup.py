"""Opens the JSON endpoints of an application: which store, with which tokens, or why not."""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from gwz_instrument import multiprocess
from gwz_instrument.metrics import Collectors
from gwz_instrument.recording import Recording
from gwz_instrument.settings import LOCAL, Settings, SettingsError

from .door import Door
from .fetch import Server
from .local import LocalStore, keep_ticking
from .prometheus import PrometheusStore
from .store import Store

if TYPE_CHECKING:
    from fastapi import FastAPI

    from gwz_instrument.logs import LokiHandler
    from gwz_instrument.traces import Traces

_LOG: Final = logging.getLogger("gwz_instrument")
_NO_FASTAPI: Final = "the JSON endpoints need FastAPI, which is not installed: pip install 'gwz-instrument[monitoring]', or set GWZ_MONITORING=off"
_SEVERAL: Final = (
    "the local store sees the calls of one worker only, and PROMETHEUS_MULTIPROC_DIR says that there are several: set "
    "GWZ_PROMETHEUS_URL, or GWZ_MONITORING=off"
)
_OPEN: Final = (
    "the JSON endpoints are off: the environment is %r and GWZ_API_TOKEN is not set, so that anybody could read them. "
    "Set GWZ_API_TOKEN to a random text, or GWZ_MONITORING=off to hear no more of it"
)


def problems(settings: Settings) -> list[str]:
    """Why the store that is asked for by name cannot be had here."""
    if not settings.monitoring:
        return []
    found = [] if _has_fastapi() else [_NO_FASTAPI]
    return found + ([_SEVERAL] if settings.store == LOCAL and multiprocess.enabled() else [])


def is_wanted(settings: Settings) -> bool:
    """Whether there are JSON endpoints; one warning if there are none because something is missing."""
    if settings.store is None:
        if settings.monitoring is None:
            _LOG.warning(_OPEN, settings.environment)
        return False
    if settings.store == LOCAL and multiprocess.enabled():
        _LOG.warning("the JSON endpoints are off: %s", _SEVERAL)
        return False
    return _has_fastapi()  # by themselves they are no reason to install it


def open_door(  # noqa: PLR0917  # what the application has
    app: Any,
    settings: Settings,
    collectors: Collectors,
    recording: Recording,
    handler: "LokiHandler | None",
    spans_out: "Traces | None",
) -> Door:
    """The JSON endpoints of `app`, which is asked for its dependencies and gets them into its OpenAPI document."""
    store, keep_up = _store(settings, collectors, recording)
    make = partial(_make, settings, store, recording, handler, spans_out)
    door = Door(make, collectors, app, keep_up)
    if settings.monitoring_auth is not None:
        _check(door)
    if hasattr(app, "openapi"):
        door.document()
    return door


def _check(door: Door) -> None:
    """SettingsError if FastAPI takes no dependency for what is to admit readers."""
    try:
        door.app()
    except Exception as error:
        raise SettingsError(
            [f"monitoring_auth is no dependency of FastAPI ({type(error).__name__}: {error}): correct its parameters"]
        ) from error


def _store(settings: Settings, collectors: Collectors, recording: Recording) -> tuple[Store, Callable[[], None]]:
    """The store, and what is to be called now and then so that it goes on in the child of a fork."""
    if settings.store == LOCAL:
        local = LocalStore(collectors, declared=settings.providers)
        recording.observers.append(local)
        return local, partial(keep_ticking, local)
    loki_url = settings.loki_query_url or settings.loki_url
    loki = Server(loki_url, "Loki", "GWZ_LOKI_QUERY_URL", _bearer(settings.loki_token)) if loki_url else None
    store = PrometheusStore(
        Server(str(settings.prometheus_url), "Prometheus", "GWZ_PROMETHEUS_URL"),
        app_name=settings.service_name,
        selector=settings.prometheus_selector,
        declared=settings.providers,
        loki=loki,
        stream=settings.stream_labels,
    )
    return store, lambda: None


def _make(
    settings: Settings,
    store: Store,
    recording: Recording,
    handler: "LokiHandler | None",
    spans_out: "Traces | None",
) -> "FastAPI":
    from .desk import Desk  # noqa: PLC0415  # FastAPI and pydantic, once they are needed
    from .far_end import FarEnds  # noqa: PLC0415
    from .router import make_app  # noqa: PLC0415

    desk = Desk(store, rate=settings.monitoring_rate, complain=partial(recording.complain, "monitoring"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic's at how an old FastAPI makes fields
        return make_app(desk, FarEnds(settings, handler, spans_out), settings)


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _has_fastapi() -> bool:
    return find_spec("fastapi") is not None
