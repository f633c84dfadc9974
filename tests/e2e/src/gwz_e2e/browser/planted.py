"""A dashboard with one fault of each kind beside a sound panel: whoever looks at dashboards has to see these first."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from gwz_dashboards.panels import PROMETHEUS_UID
from gwz_e2e.browser.faults import CONSOLE, DATA, ERRORS, PANELS, REQUESTS, TITLES, VALUES, Fault

UID = "gwz-e2e-planted"
PLANTED_ERROR = "console.error('planted by gwz_e2e')"
"""Run in the page: the one fault that no dashboard can hold."""
_SOUND, _BAD, _NOTHING, _LONG, _NARROW, _NARROW_TABLE, _MISSING = range(1, 8)
THERE = range(1, _MISSING)
"""The panels that are on the dashboard."""
FAULTS: frozenset[tuple[str, int | None]] = frozenset(
    {
        (ERRORS, _BAD),
        (DATA, _NOTHING),
        (TITLES, _LONG),
        (VALUES, _NARROW),
        (VALUES, _NARROW_TABLE),
        (PANELS, _MISSING),
        (REQUESTS, None),
        (CONSOLE, None),
    }
)
"""What has to be seen: the check and the panel."""


def missed(found: Iterable[Fault]) -> list[str]:
    """A phrase for each planted fault that was not seen, and for each that was seen in the sound panel."""
    by_place = {(fault.check, fault.panel): fault.what for fault in found}
    unseen = [f"{check} does not see what was planted in panel {panel}" for check, panel in FAULTS - by_place.keys()]
    return sorted(unseen) + [
        f"{check} sees a fault in a sound panel: {what}" for (check, panel), what in by_place.items() if panel == _SOUND
    ]


@contextmanager
def planted(client: httpx.Client) -> Iterator[list[dict[str, Any]]]:
    """Have Grafana show the dashboard for as long as the context lasts; its panels, and one that is not on it."""
    shown = _panels()
    document = {"uid": UID, "title": "Planted by gwz_e2e", "panels": shown, "schemaVersion": 39}
    client.post("/api/dashboards/db", json={"dashboard": document, "overwrite": True}).raise_for_status()
    try:
        yield [*shown, _panel(_MISSING, "Missing", "vector(1)", 4)]
    finally:
        client.delete(f"/api/dashboards/uid/{UID}")


def _panels() -> list[dict[str, Any]]:
    wide = f'label_replace(vector(1), "cell", "{"no room for this " * 8}", "", "")'
    return [
        _panel(_SOUND, "Sound", "vector(1)", 24),
        _panel(_BAD, "Bad query", "sum(", 4, at=(0, 4)),
        _panel(_NOTHING, "Query for nothing", "nothing_of_the_kind{}", 4, at=(4, 4)),
        _panel(_LONG, "A title that is far too long " * 7, "vector(1)", 4, at=(8, 4)),
        _panel(_NARROW, "n", "vector(123456789.125)", 1, at=(12, 4)),
        _panel(_NARROW_TABLE, "Narrow table", wide, 4, at=(13, 4), kind="table"),
    ]


def _panel(
    id_: int, title: str, query: str, width: int, *, at: tuple[int, int] = (0, 0), kind: str = "stat"
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": PROMETHEUS_UID}
    table = {"format": "table"} if kind == "table" else {}
    return {
        "id": id_,
        "title": title,
        "type": kind,
        "datasource": source,
        "gridPos": {"x": at[0], "y": at[1], "w": width, "h": 4},
        "fieldConfig": {"defaults": {"unit": "currencyUSD", "decimals": 3}, "overrides": []},
        "options": {},
        "targets": [{"refId": "A", "datasource": source, "expr": query, "instant": True, **table}],
    }
