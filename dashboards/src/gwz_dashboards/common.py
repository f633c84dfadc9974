"""What all dashboards share, applied in one last pass: grid, reference ids, refresh, range, tags."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from gwz_dashboards.panels import PROMETHEUS, Panel

GRID_WIDTH = 24


@dataclass(frozen=True)
class Folder:
    """A folder of Grafana, and of the generated files."""

    uid: str
    title: str


@dataclass(frozen=True)
class Row:
    """Panels side by side: each with its width, all of one height."""

    height: int
    panels: tuple[tuple[int, Panel], ...]


@dataclass(frozen=True)
class Page:
    """A dashboard: its name, its variables and its rows from top to bottom."""

    uid: str
    title: str
    description: str
    folder: Folder
    variables: tuple[QueryVariable, ...]
    rows: tuple[Row, ...]


def variable(name: str, label: str, query: str) -> QueryVariable:
    """Offer a choice of label values, asked anew whenever the time range changes."""
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(PROMETHEUS)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def finished(page: Page) -> dict[str, Any]:
    """Return the page as Grafana's JSON model; raises ValueError when a row is wider than the grid."""
    dashboard = (
        Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["gatewayz"])
        .refresh("10s")
        .time("now-15m", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(list(page.variables))
        .build()
    )
    dashboard.panels = list(_placed(page))
    document: dict[str, Any] = json.loads(JSONEncoder().encode(dashboard))
    # The SDK leaves an object without its list, which Grafana's browser would complete and so report as a change.
    document["annotations"] = {"list": []}
    return document


def _placed(page: Page) -> Iterator[model.Panel]:
    tops = accumulate((row.height for row in page.rows), initial=0)
    for top, row in zip(tops, page.rows, strict=False):
        lefts = list(accumulate((width for width, _ in row.panels), initial=0))
        if lefts[-1] > GRID_WIDTH:
            raise ValueError(
                f"{page.uid}: the row at {top} is {lefts[-1]} wide, the grid {GRID_WIDTH}: narrow its panels."
            )
        for left, (width, builder) in zip(lefts, row.panels, strict=False):
            panel = builder.build()
            panel.grid_pos = model.GridPos(h=row.height, w=width, x=left, y=top)
            yield _referenced(panel)


def _referenced(panel: model.Panel) -> model.Panel:
    """Name the panel's queries A, B, C and give the panel their data source."""
    targets: list[Any] = list(panel.targets or [])
    for letter, target in zip(ascii_uppercase, targets, strict=False):
        target.ref_id = letter
    panel.datasource = targets[0].datasource
    return panel
