"""One line in a FastAPI backend: the metrics, log lines and traces that the GatewayZ dashboards expect.

from gwz_instrument import instrument

telemetry = instrument(app)
"""

from typing import TYPE_CHECKING, Any

from .settings import Settings, SettingsError
from .telemetry import Telemetry, instrument

if TYPE_CHECKING:
    from .business import count, gauge
    from .caches import cache
    from .databases import database
    from .exchange import annotate
    from .model_calls import inference
    from .providers import observe_breaker
    from .stages import stage
    from .takeover import CollisionError
    from .tasks import task

__all__ = [
    "CollisionError",
    "Settings",
    "SettingsError",
    "Telemetry",
    "annotate",
    "cache",
    "count",
    "database",
    "gauge",
    "inference",
    "instrument",
    "observe_breaker",
    "stage",
    "task",
]

_LATER = {
    "CollisionError": "takeover",
    "annotate": "exchange",
    "cache": "caches",
    "count": "business",
    "database": "databases",
    "gauge": "business",
    "inference": "model_calls",
    "observe_breaker": "providers",
    "stage": "stages",
    "task": "tasks",
}
"""Names whose modules import what is slow to load."""


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # as above

    return getattr(import_module(f".{_LATER[name]}", __name__), name)
