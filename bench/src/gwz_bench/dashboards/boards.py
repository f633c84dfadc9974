"""What Grafana's browser asks for a dashboard: the choices of its variables, then the queries of each of its panels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gwz_dashboards.common import GRID_WIDTH, finished
from gwz_dashboards.generate import pages
from gwz_e2e.limits.alone import seconds
from gwz_e2e.panels.answers import Window
from gwz_e2e.panels.boards import Chosen, Query, filled, labelled

Json = dict[str, Any]

WIDTH_PX = 2560
"""Of the browser: a panel asks for as many points as it is wide, so a wide one is the worst."""
LEFT_OUT = "tempo"
"""It keeps no traces that are sent a day late, so there is no day of them."""
_ROUND_S = ((1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300))
"""Grafana's: an interval up to the first is rounded to the second."""
_CHOSEN = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Times:
    """The time range that is chosen, and the scrape interval that the data source is told."""

    end: float
    range_s: float
    interval_s: int

    def window(self, points: int = WIDTH_PX, *, scraped: bool = True) -> Window:
        """The range of a panel that has room for so many points, with Grafana's step and window of rates.

        No point of what is `scraped` is nearer to the next than two scrapes are.
        """
        step_s = max(_rounded(self.range_s / points), float(self.interval_s if scraped else 0))
        rate_s = max(step_s + self.interval_s, 4.0 * self.interval_s)
        return Window(self.end - self.range_s, self.end, step_s, rate_s)


@dataclass(frozen=True)
class Variable:
    """A choice that is offered on a dashboard, of the values of a label."""

    name: str
    source: str
    """`prometheus` or `loki`."""
    uid: str
    selector: str
    label: str
    everything: str | None
    """What stands for all values, where all are chosen at first; else it is the first value."""

    @property
    def awaits(self) -> bool:
        """Whether it is asked for what was chosen of another one."""
        return bool(_CHOSEN.search(self.selector))

    def asked(self, chosen: Chosen) -> str:
        """The selector with what was chosen."""
        return _CHOSEN.sub(lambda found: str(chosen[found[1]]), self.selector)


@dataclass(frozen=True)
class Panel:
    """A panel's queries as they are asked, with the time that they are about."""

    title: str
    queries: tuple[Query, ...]
    points: int
    """That it has room for: a limit of its own, or its width."""
    window: Window


@dataclass(frozen=True)
class Board:
    """A dashboard as it ships."""

    document: Json

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.document["title"])

    @property
    def range_s(self) -> float:
        """How far back it looks by itself."""
        return seconds(self.document["time"]["from"].removeprefix("now-"))

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The choices that are asked for."""
        return tuple(_variable(one) for one in self.document["templating"]["list"] if one["type"] == "query")

    @property
    def settled(self) -> dict[str, str]:
        """The values of the variables that are not asked for."""
        found = self.document["templating"]["list"]
        return {one["name"]: str(one["current"]["value"]) for one in found if one["type"] != "query"}

    def panels(self, chosen: Chosen, times: Times) -> Iterator[Panel]:
        """The panels that have queries, with their variables filled in."""
        for panel in self.document["panels"]:
            queries = [Query(self.document["uid"], self.title, panel, target) for target in panel.get("targets", ())]
            asked = tuple(filled(query, chosen) for query in queries if query.kind != LEFT_OUT)
            if asked:
                points = int(panel.get("maxDataPoints") or WIDTH_PX * panel["gridPos"]["w"] // GRID_WIDTH)
                scraped = any(query.kind == "prometheus" for query in asked)
                yield Panel(str(panel["title"]), asked, points, times.window(points, scraped=scraped))


def every_board() -> list[Board]:
    """The dashboards that ship."""
    return [Board(finished(page)) for page in pages()]


def _rounded(interval_s: float) -> float:
    return next((float(rounded) for limit, rounded in _ROUND_S if interval_s <= limit), interval_s)


def _variable(model: Json) -> Variable:
    source, query = model["datasource"], model["query"]
    everything = str(model["allValue"]) if model.get("includeAll") else None
    selector, label = labelled(query)
    return Variable(model["name"], source["type"], source["uid"], selector, label, everything)
