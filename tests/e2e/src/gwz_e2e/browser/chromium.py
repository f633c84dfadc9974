"""Chromium, found on this machine and driven without a window; it complains, and what it complains of is kept."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from gwz_e2e.browser.sight import Complaints, Reading, script

BROWSER = "GWZ_BROWSER_BIN"
"""Names the browser's executable, where it is not on PATH."""
PATIENCE_S = 60.0
"""A page of Grafana takes two or three seconds; a machine that is busy with something else many more."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_POLL_MS = 100
_ASKS = {"xhr", "fetch"}
_GIVEN_UP = "net::ERR_ABORTED"
"""What a page asked that was left meanwhile, and a query whose answer nobody waits for any more."""
_TOLD_TWICE = "Failed to load resource"
"""The console's words on a request that failed, which is told of with its address."""


def binary() -> str | None:
    """The browser's executable, None when there is none."""
    named = os.environ.get(BROWSER)
    if named:
        return named if Path(named).exists() else None
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser, for as long as the context lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary())
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in the browser; `pause` is called several times a second while it waits, and what it raises ends the waiting."""

    def __init__(self, context: BrowserContext, origin: str, pause: Callable[[], None]) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1e3)
        self._origin = origin
        self._pause = pause
        self._asking: set[Request] = set()
        self._failed: list[str] = []
        self._console: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._done)
        self.page.on("requestfailed", self._not_answered)
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._console.append(f"{error}"))

    def log_in(self, user: str, password: str) -> None:
        """Fill in Grafana's form."""
        self.open("/login")
        self.page.fill("input[name=user]", user)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def open(self, path: str) -> None:
        """Go to a page of Grafana; the mouse points at nothing on it."""
        self.page.mouse.move(0, 0)
        self.page.goto(f"{self._origin}{path}")

    def until(self, holds: Callable[[], bool]) -> bool:
        """Wait until something holds; False when it does not within the patience."""
        deadline = time.monotonic() + PATIENCE_S
        while not (held := holds()) and time.monotonic() < deadline:
            self._pause()
            self.page.wait_for_timeout(_POLL_MS)
        return held

    def settled(self, ids: Sequence[int]) -> Reading:
        """What is seen of panels once all are drawn, no question is open and nothing moves; else when patience is over."""
        size = self.page.viewport_size
        width = size["width"] if size else 0
        readings = [self.read(ids)]

        def still() -> bool:
            readings.append(self.read(ids))
            before, now = readings[-2:]
            return now == before and now.is_of(width, ids) and not self._asking

        self.until(still)
        return readings[-1]

    def read(self, ids: Sequence[int]) -> Reading:
        """What is seen of panels now."""
        return Reading.of(self.page.evaluate(script(), list(ids)))

    def complaints(self) -> Complaints:
        """What failed since the last time; the list begins anew."""
        told = Complaints(tuple(self._failed), tuple(self._console))
        self._failed.clear()
        self._console.clear()
        return told

    def _asked(self, request: Request) -> None:
        if request.resource_type in _ASKS:
            self._asking.add(request)

    def _done(self, request: Request) -> None:
        self._asking.discard(request)

    def _not_answered(self, request: Request) -> None:
        self._done(request)
        if request.failure != _GIVEN_UP and self._is_ours(request.url):
            self._failed.append(f"{request.method} {self._path(request.url)}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and self._is_ours(response.url):
            self._failed.append(f"{response.request.method} {self._path(response.url)}: {response.status}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_TOLD_TWICE):
            self._console.append(message.text)

    def _is_ours(self, url: str) -> bool:
        return url.startswith(self._origin)

    def _path(self, url: str) -> str:
        return url.removeprefix(self._origin).split("?")[0]
