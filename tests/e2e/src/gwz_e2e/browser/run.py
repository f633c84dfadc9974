"""The browser's part of a run: what leads on from the dashboards, by Grafana's API, and how they look, in a browser."""

from functools import partial

import httpx

from gwz_e2e.browser import chromium
from gwz_e2e.browser.correlations import joined
from gwz_e2e.browser.links import followed
from gwz_e2e.browser.proof import HOPS as LOOKS
from gwz_e2e.browser.site import Site
from gwz_e2e.browser.variables import offered
from gwz_e2e.hops import Hop

_TIMEOUT_S = 10.0
LEADS = ("variables", "links", "correlations")
HOPS = (*LEADS, *LOOKS)


def leads(site: Site) -> list[Hop]:
    """What has to hold of that which leads on from the dashboards."""
    return [Hop(name, partial(check, site)) for name, check in zip(LEADS, (offered, followed, joined), strict=True)]


def why_blind(url: str) -> str:
    """Why nothing can be looked at; empty where there are a browser and pages for it."""
    if chromium.binary() is None:
        return f"no chromium on PATH, and {chromium.BROWSER} names none"
    page = httpx.get(f"{url}/login", timeout=_TIMEOUT_S, trust_env=False)
    if not page.is_success or "<script" not in page.text:
        return f"this Grafana has no web interface: /login answers {page.status_code}"
    return ""
