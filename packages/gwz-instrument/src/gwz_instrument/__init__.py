"""One line in a FastAPI backend: the metrics, log lines and traces that the GatewayZ dashboards expect.

from gwz_instrument import instrument

telemetry = instrument(app)
"""

from typing import TYPE_CHECKING, Any

from .settings import Settings, SettingsError
from .telemetry import Telemetry, instrument

if TYPE_CHECKING:
    from .exchange import annotate
    from .model_calls import inference
    from .providers import observe_breaker
    from .takeover import CollisionError

__all__ = [
    "CollisionError",
    "Settings",
    "SettingsError",
    "Telemetry",
    "annotate",
    "inference",
    "instrument",
    "observe_breaker",
]

_LATER = {
    "CollisionError": "takeover",
    "annotate": "exchange",
    "inference": "model_calls",
    "observe_breaker": "providers",
}
"""Names whose modules import what is slow to load."""


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # as above

    return getattr(import_module(f".{_LATER[name]}", __name__), name)
