"""The walk of whoever looks for a reason: from a row of a table to its trace, from a span to the lines of its request."""

from collections.abc import Iterator

from playwright.sync_api import Error

from gwz_dashboards import links
from gwz_dashboards.panels import TEMPO_UID
from gwz_e2e.browser.chromium import Tab
from gwz_e2e.browser.correlations import lines_of
from gwz_e2e.browser.site import Site
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding

WALK = "browser_walk"
_TRACES_PANEL = 11
_ROW = f':is([data-viz-panel-key="panel-{_TRACES_PANEL}"], [data-panelid="{_TRACES_PANEL}"]) a[href]'
_SPAN = '[data-testid="span-view"]'
_SPAN_S_LINES = '[data-testid="span-detail-component"] >> text="Logs for this span"'
_LINE = '[data-testid="logRows"] tr'


def from_trace_to_lines(tab: Tab, site: Site) -> Finding:
    """A click on a trace of the table shows its spans, one on a span's button the lines of its request."""
    told: list[str] = []
    try:
        wrong = list(_walked(tab, site, told))
    except Error as error:  # nothing to click on
        wrong = [f"after {told[-1] if told else 'nothing'}: {error.message.splitlines()[0]}"]
    complaints = tab.complaints()
    wrong += [*complaints.requests, *complaints.console]
    return Finding(not wrong, shorten(wrong) or f"clicked from {', to '.join(told)}")


def _walked(tab: Tab, site: Site, told: list[str]) -> Iterator[str]:
    tab.complaints()
    tab.open(f"/d/{links.FLOW_UID}?orgId=1&{site.times}&var-app={site.facts.case.service}")
    tab.settled([_TRACES_PANEL])
    row = tab.page.locator(_ROW).first
    trace_id = row.inner_text().rjust(32, "0")
    row.click()
    told.append(f"the trace {trace_id} of a table")
    yield from _shows(tab, _SPAN, site.spans(TEMPO_UID, trace_id), "spans", told)
    tab.page.locator(_SPAN).first.click()
    tab.page.locator(_SPAN_S_LINES).first.click()
    yield from _shows(tab, _LINE, len(lines_of(site, trace_id)), "lines", told)


def _shows(tab: Tab, what: str, number: int, name: str, told: list[str]) -> Iterator[str]:
    shown = tab.page.locator(what)
    if not number or not tab.until(lambda: shown.count() == number):
        yield f"{told[-1]} shows {shown.count()} {name} and has {number}"
    told.append(f"its {number} {name}")
