"""A processor for structlog: the trace, span and request that are current, in every event.

It needs nothing of structlog: a processor is a callable.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

from .entry import Metadata

Event = MutableMapping[str, Any]


def add_ids(metadata: Callable[[], Metadata] | None = None) -> Callable[[Any, str, Event], Event]:
    """A processor that adds `trace_id`, `span_id` and `request_id` to each event; what the event says itself stays.

    `metadata` is what a handler of its own was given; without it the ids are those that `instrument()` knows.
    """
    if metadata is None:
        from gwz_instrument.exchange import metadata as of_request  # noqa: PLC0415  # OpenTelemetry is slow to load

        metadata = of_request
    ask = metadata

    def processor(_logger: Any, _name: str, event: Event) -> Event:
        try:
            ids = ask()
        except Exception:  # noqa: BLE001  # an event without its ids is better than none
            return event
        for name, value in ids.items():
            event.setdefault(name, value)
        return event

    return processor
