"""Every dashboard as a person sees it, in two widths and both themes; what looks at them is shown planted faults first."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Error

from gwz_dashboards.common import finished
from gwz_dashboards.generate import pages
from gwz_e2e.browser import chromium, planted
from gwz_e2e.browser.chromium import Tab
from gwz_e2e.browser.faults import CHECKS, Fault, faults
from gwz_e2e.browser.sight import PageSeen, Reading
from gwz_e2e.browser.site import Site
from gwz_e2e.browser.walk import WALK, from_trace_to_lines
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding, Result
from gwz_e2e.report import PageProof
from gwz_e2e.stage import Tell

WIDTHS = (1366, 2560)
"""Of the laptop that most people have, and of a large screen."""
THEMES = ("dark", "light")
PLANTED = "browser_sight"
HOPS = (PLANTED, *CHECKS, WALK)
PICTURES = "pictures"
"""The folder of the pictures in that of the report."""

_CELL_PX = 38
_ABOVE_PX = 260
"""Room for Grafana's own bars above the panels: a panel out of sight is not drawn."""
_BELOW_PX = 16


@dataclass
class Gallery:
    """Looks at the dashboards of a Grafana that has them; in one thread."""

    site: Site
    out: Path
    """The folder of the report."""
    pause: Callable[[], None]
    """Called several times a second; what it raises ends everything."""
    tell: Tell
    pages: list[PageProof] = field(default_factory=list)

    def results(self) -> Iterator[Result]:
        """Each hop as it is decided; a browser or a Grafana that gives up breaks one more."""
        try:
            yield from self._results()
        except Error as error:
            yield Result("browser", ok=False, sentence=f"it gave up: {error.message}", decided_at=time.time())

    def _results(self) -> Iterator[Result]:
        (self.out / PICTURES).mkdir(parents=True, exist_ok=True)
        with chromium.opened() as browser:
            tab = Tab(browser.new_context(), self.site.url, self.pause)
            tab.log_in("admin", self.site.password)
            yield _result(PLANTED, self._planted(tab))
            yield from self._looked(tab)
            yield _result(WALK, from_trace_to_lines(tab, self.site))

    def _planted(self, tab: Tab) -> Finding:
        """The checks see every fault that is planted, and none in the panel beside them."""
        with planted.planted(self.site.client) as panels:
            self._open(tab, planted.UID, panels, THEMES[0])
            tab.settled(planted.THERE)
            tab.page.evaluate(planted.PLANTED_ERROR)
            seen = self._seen(tab, planted.UID, "", THEMES[0], tab.read(_ids(panels)))
        wrong = planted.missed(faults(seen, panels, ()))
        return Finding(not wrong, shorten(wrong) or f"{len(planted.FAULTS)} planted faults are seen, and no other")

    def _looked(self, tab: Tab) -> Iterator[Result]:
        """Every dashboard in every width and theme, then each check over all of them."""
        began = time.monotonic()
        found: list[tuple[PageSeen, list[Fault]]] = []
        for document in map(finished, pages()):
            for theme in THEMES:
                found += self._in_widths(tab, document, theme)
        panels = sum(len(seen.panels) for seen, _ in found)
        sizes = f"{len(WIDTHS)} widths and {len(THEMES)} themes, {len(found)} pages and {panels} panels"
        figures = {"browser_pages_s": round(time.monotonic() - began, 1)}
        for check, holds in CHECKS.items():
            wrong = [f"{seen.name}: {one.what}" for seen, ones in found for one in ones if one.check == check]
            yield _result(check, Finding(not wrong, shorten(wrong) or f"{holds}: {sizes}", figures))

    def _in_widths(self, tab: Tab, document: Mapping[str, Any], theme: str) -> Iterator[tuple[PageSeen, list[Fault]]]:
        uid, panels = document["uid"], panels_of(document)
        self._open(tab, uid, panels, theme)
        for width in WIDTHS:
            tab.page.set_viewport_size({"width": width, "height": _height(panels)})
            seen = self._seen(tab, uid, document["title"], theme, tab.settled(_ids(panels)))
            wrong = list(faults(seen, panels, self.site.empty(uid)))
            self._keep(tab, seen, wrong)
            yield seen, wrong

    def _open(self, tab: Tab, uid: str, panels: Sequence[Mapping[str, Any]], theme: str) -> None:
        tab.complaints()
        tab.page.set_viewport_size({"width": WIDTHS[0], "height": _height(panels)})
        tab.open(f"/d/{uid}?orgId=1&{self.site.times}&theme={theme}")

    def _seen(self, tab: Tab, uid: str, title: str, theme: str, reading: Reading) -> PageSeen:
        return PageSeen(uid, title, reading.width, theme, reading.panels, tab.complaints())

    def _keep(self, tab: Tab, seen: PageSeen, wrong: Sequence[Fault]) -> None:
        picture = f"{PICTURES}/{seen.name}.png"
        tab.page.screenshot(
            path=self.out / picture, clip={"x": 0, "y": 0, "width": seen.width, "height": seen.bottom + _BELOW_PX}
        )
        told = tuple(f"{one.check}: {one.what}" for one in wrong)
        self.pages.append(PageProof(seen.uid, seen.title, seen.width, seen.theme, len(seen.panels), told, picture))
        self.tell(f"{seen.name}: {len(seen.panels)} panels, {shorten(list(told)) or 'no fault'}")


def panels_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the headings between them."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def _ids(panels: Iterable[Mapping[str, Any]]) -> list[int]:
    return [panel["id"] for panel in panels]


def _height(panels: Iterable[Mapping[str, Any]]) -> int:
    bottom: int = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    return _ABOVE_PX + _CELL_PX * bottom


def _result(hop: str, finding: Finding) -> Result:
    return Result(hop, finding.ok, finding.sentence, time.time(), finding.figures)
