"""What all dashboards share, applied in one last pass: grid, reference ids, range, tags, links to one another."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, count
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from gwz_dashboards.panels import LOKI, PROMETHEUS, PROMETHEUS_UID, Panel
from gwz_instrument.semconv import Label

GRID_WIDTH = 24
ALL = ".*"
_MIXED = model.DataSourceRef(type_val="datasource", uid="-- Mixed --")
_FIRST_HEADING = 101
MOST_POINTS = 400
"""More are not told apart on a screen, and take Prometheus twice as long when it is asked for a day."""

Variable = QueryVariable | CustomVariable | TextBoxVariable


@dataclass(frozen=True)
class Folder:
    """A folder of Grafana, and of the generated files."""

    uid: str
    title: str


EXECUTIVE = Folder("gwz-executive", "Executive")
BACKEND = Folder("gwz-backend", "Backend")
GATEWAY = Folder("gwz-gateway", "Gateway")
MODELS = Folder("gwz-models", "Models")
LOGS = Folder("gwz-logs", "Logs")
ALERTS = Folder("gwz-alerts", "Alerts")


@dataclass(frozen=True)
class Row:
    """Panels side by side: each with its width, all of one height."""

    height: int
    panels: tuple[tuple[int, Panel], ...]


@dataclass(frozen=True)
class Heading:
    """A line above the rows that belong together."""

    title: str

    height = 1


@dataclass(frozen=True)
class Page:
    """A dashboard: its name, its variables and its rows from top to bottom."""

    uid: str
    title: str
    description: str
    folder: Folder
    variables: tuple[Variable, ...]
    rows: tuple[Row | Heading, ...]
    refresh: str = "10s"
    since: str = "now-15m"


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


def filter_(name: str, label: str, query: str, *, multi: bool = False) -> QueryVariable:
    """Offer a choice of label values that begins with all of them."""
    return _from_all(variable(name, label, query), multi=multi)


def stream_filter(name: str, label: str, key: Label, stream: str) -> QueryVariable:
    """Offer a choice of the values of a label of Loki's streams that begins with all of them."""
    query: dict[str, object] = {"label": key.name, "refId": "A", "stream": stream, "type": 1}
    return _from_all(variable(name, label, "").query(query).datasource(LOKI), multi=True, everything=".+")


def choice(name: str, label: str, values: Mapping[str, str]) -> CustomVariable:
    """Offer values that the code knows, by the names that people read; the first is chosen."""
    first, *_ = values.items()
    return (
        CustomVariable(name)
        .label(label)
        .values(", ".join(f"{text} : {value}" for text, value in values.items()))
        .current(model.VariableOption(selected=True, text=first[0], value=first[1]))
        .options(
            [model.VariableOption(selected=text == first[0], text=text, value=value) for text, value in values.items()]
        )
    )


def text_box(name: str, label: str) -> TextBoxVariable:
    """Take what a person types."""
    return TextBoxVariable(name).label(label).default_value("").current(model.VariableOption(text="", value=""))


def finished(page: Page) -> dict[str, Any]:
    """Return the page as Grafana's JSON model; raises ValueError when a row is wider than the grid."""
    dashboard = (
        Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["gatewayz"])
        .refresh(page.refresh)
        .time(page.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(list(page.variables))
        .links([_others()])
        .build()
    )
    dashboard.panels = list(_placed(page))
    document: dict[str, Any] = json.loads(JSONEncoder().encode(dashboard))
    # The SDK leaves an object without its list, which Grafana's browser would complete and so report as a change.
    document["annotations"] = {"list": []}
    return document


def _others() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["gatewayz"])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )


def _from_all(query: QueryVariable, *, multi: bool, everything: str = ALL) -> QueryVariable:
    text, value = ("All", "$__all")
    return (
        query.include_all(True)
        .all_value(everything)
        .multi(multi)
        .current(model.VariableOption(text=[text] if multi else text, value=[value] if multi else value, selected=True))
    )


def _placed(page: Page) -> Iterator[model.Panel | model.RowPanel]:
    tops = accumulate((row.height for row in page.rows), initial=0)
    headings = count(_FIRST_HEADING)
    for top, row in zip(tops, page.rows, strict=False):
        if isinstance(row, Heading):
            place = model.GridPos(h=row.height, w=GRID_WIDTH, x=0, y=top)
            yield model.RowPanel(collapsed=False, title=row.title, grid_pos=place, id_val=next(headings), panels=[])
            continue
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
    """Name the panel's queries A, B, C, give the panel their data source, and let Prometheus compute no more points than are seen."""
    targets: list[Any] = list(panel.targets or [])
    for letter, target in zip(ascii_uppercase, targets, strict=False):
        target.ref_id = letter
    uids = {target.datasource.uid for target in targets}
    panel.datasource = targets[0].datasource if len(uids) == 1 else _MIXED
    if PROMETHEUS_UID in uids:
        panel.max_data_points = MOST_POINTS
    return panel
