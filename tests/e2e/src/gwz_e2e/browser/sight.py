"""What a person sees of a dashboard: each panel as it is drawn, and what the browser complains of meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self


@dataclass(frozen=True)
class PanelSeen:
    """A panel as it is drawn."""

    id: int
    there: bool = True
    loading: bool = False
    drawn: bool = True
    """Whether there is anything in it: a text, a line."""
    error: bool = False
    """Whether it has Grafana's mark of an error in its corner."""
    title_cut: bool = False
    said: str = ""
    """Every text in it but its title."""
    cut: tuple[str, ...] = ()
    """Texts of which a part cannot be read."""
    hrefs: tuple[str, ...] = ()
    box: tuple[int, ...] = ()
    """Left, top, width and height in pixels."""

    @classmethod
    def of(cls, read: dict[str, Any]) -> Self:
        """What the script in the page has read."""
        lists = {name: tuple(read.get(name, ())) for name in ("cut", "hrefs", "box")}
        return cls(**{**read, **lists})

    @property
    def settled(self) -> bool:
        """Whether it is there and waits for nothing."""
        return self.there and self.drawn and not self.loading


@dataclass(frozen=True)
class Complaints:
    """Requests that failed and errors in the console."""

    requests: tuple[str, ...] = ()
    console: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageSeen:
    """A dashboard in one width and one theme."""

    uid: str
    title: str
    width: int
    theme: str
    panels: tuple[PanelSeen, ...]
    complaints: Complaints = Complaints()

    @property
    def bottom(self) -> int:
        """Where the lowest panel ends, in pixels."""
        return max((top + height for _, top, _, height in (one.box for one in self.panels if one.box)), default=0)

    @property
    def name(self) -> str:
        """What tells it from the others: also the name of its picture."""
        return f"{self.uid}-{self.width}-{self.theme}"


@dataclass(frozen=True)
class Reading:
    """What the script in the page has read: equal to the one before when nothing has moved."""

    panels: tuple[PanelSeen, ...]
    width: int
    moving: bool = False
    """Whether something is on its way to another place."""

    @classmethod
    def of(cls, read: dict[str, Any]) -> Self:
        """From the script's answer."""
        return cls(tuple(PanelSeen.of(panel) for panel in read["panels"]), read["width"], read["moving"])

    def is_of(self, width: int, ids: Sequence[int]) -> bool:
        """Whether it is of these panels, all drawn and in their places, and they have taken the width of the window."""
        rights = [left + across for left, _, across, _ in (one.box for one in self.panels if one.box)]
        fills = bool(rights) and width - _MARGIN < max(rights) <= width
        still = self.width == width and fills and not self.moving
        return still and [one.id for one in self.panels if one.settled] == list(ids)


_MARGIN = 60
"""Pixels to the right of the panels that may be the scroll bar's and the frame's."""


@cache
def script() -> str:
    """The script that reads a page: a function of the panels' ids."""
    return files("gwz_e2e.browser").joinpath("sight.js").read_text(encoding="utf-8")
