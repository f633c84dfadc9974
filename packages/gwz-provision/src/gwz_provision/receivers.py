"""The contact points that we know: their types, and the settings without which Grafana refuses them."""

from collections.abc import Mapping
from typing import Any

_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "email": (("addresses",),),
    "pagerduty": (("integrationKey",),),
    "slack": (("url",), ("token", "recipient")),
    "webhook": (("url",),),
}
"""Of each type the settings that it needs, and those that would do as well."""


def fault(kind: str, settings: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a contact point of a type; None when Grafana would take it."""
    if kind not in _NEEDED:
        return f"has the type {kind!r}, not one of {', '.join(_NEEDED)}"
    if any(all(settings.get(name) for name in names) for names in _NEEDED[kind]):
        return None
    return f"has the type {kind} and not {', or '.join(' and '.join(names) for names in _NEEDED[kind])} in its settings"
