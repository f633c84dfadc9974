"""What a query was answered, whoever asked: curves, rows of a table, log lines, traces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gwz_dashboards.datasources import SCRAPE_INTERVAL
from gwz_e2e.panels.boards import Query

LEAST_STEP_S = float(SCRAPE_INTERVAL.removesuffix("s"))
"""The data source's `timeInterval`, below which Grafana puts no points."""


@dataclass(frozen=True)
class Curve:
    """A series: its labels, the name in the legend, its points in unix seconds."""

    labels: Mapping[str, str]
    name: str
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float | None:
        """Its last value."""
        return self.points[-1][1] if self.points else None

    def at(self, moment: float) -> float | None:
        """Its value at a moment of the grid, to half a second."""
        return next((value for when, value in self.points if abs(when - moment) < 0.5), None)


@dataclass(frozen=True)
class LogLine:
    """A line as it is shown, with its labels and metadata."""

    labels: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Shown:
    """An answer."""

    curves: Sequence[Curve] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    """Of a JSON endpoint: by the names of the columns."""
    lines: Sequence[LogLine] = ()
    traces: Sequence[str] = ()
    exemplars: Sequence[str] = ()
    """The traces that dots lead to."""
    body: Any = field(default=None, repr=False)
    """What the JSON endpoint said, whole."""


class NotShown(Exception):  # noqa: N818  # a finding, no error
    """A query was refused; the message says why."""


@dataclass(frozen=True)
class Window:
    """The time range, the distance of its points, and how long the windows of rates are."""

    start: float
    end: float
    step_s: float
    rate_s: float

    @property
    def range_s(self) -> float:
        """How long it is."""
        return self.end - self.start


class Asker(Protocol):
    """Who asks the data sources."""

    way: str
    """How: for the report."""

    def ask(self, query: Query, window: Window) -> Shown:
        """The answer to a query whose variables have been filled in; NotShown when it is refused."""
