"""What is wrong with a dashboard as it is seen: each fault under the check that it breaks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gwz_dashboards.panels import UNEXPLAINED
from gwz_e2e.browser.sight import PageSeen, PanelSeen

CHECKS: Mapping[str, str] = {
    "browser_panels": "every panel is drawn",
    "browser_errors": "no panel is in error",
    "browser_data": "no panel is empty that has something to show",
    "browser_titles": "no title is cut",
    "browser_values": "no value is cut",
    "browser_requests": "no request failed",
    "browser_console": "the console has no error",
}
"""Each check by its hop, and what holds."""
PANELS, ERRORS, DATA, TITLES, VALUES, REQUESTS, CONSOLE = CHECKS

_NOTHING = re.compile(
    r"\bno data\b|data outside time range|data is missing|unable to render|plugin not found", re.IGNORECASE
)
_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """A fault of a page; of the page as a whole where it has no panel."""

    check: str
    what: str
    panel: int | None = None


def faults(seen: PageSeen, panels: Sequence[Mapping[str, Any]], empty: Collection[int]) -> Iterator[Fault]:
    """The faults of a page that has these panels; `empty` are those that rightly have nothing to show."""
    by_id = {one.id: one for one in seen.panels}
    for panel in panels:
        one = by_id[panel["id"]]
        for check, what in _of_panel(
            one, str(panel["fieldConfig"]["defaults"].get("noValue", "")), may_be_empty=one.id in empty
        ):
            yield Fault(check, f"{panel['title']}: {what}", one.id)
    yield from (Fault(REQUESTS, what) for what in seen.complaints.requests)
    yield from (Fault(CONSOLE, what) for what in seen.complaints.console)


def _of_panel(one: PanelSeen, instead: str, *, may_be_empty: bool) -> Iterator[tuple[str, str]]:
    if not one.settled:
        yield PANELS, "it is not there" if not one.there else "it still loads" if one.loading else "nothing is drawn"
        return
    if one.error:
        yield ERRORS, f"it is in error and says {one.said[:_SHOWN]!r}"
    says_nothing = bool(_NOTHING.search(one.said)) or one.said in UNEXPLAINED
    if says_nothing or (one.said == instead and not may_be_empty):
        yield DATA, f"it says {one.said[:_SHOWN]!r}"
    if one.title_cut:
        yield TITLES, "its title is cut"
    if one.cut:
        yield (
            VALUES,
            f"{', '.join(repr(text[:_SHOWN]) for text in one.cut[:3])} cannot be read whole ({len(one.cut)} texts)",
        )
