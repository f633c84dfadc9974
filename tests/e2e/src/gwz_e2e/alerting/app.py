"""The example as the alerts' trial needs it: `python -m gwz_e2e.alerting.app`.

It has one more route, which blocks its event loop, and remembers the delays of the loop for as much shorter as the rules wait.
"""

import time

from fastapi import FastAPI

from fastapi_app import __main__ as gateway
from fastapi_app import app
from fastapi_app.settings import Settings
from gwz_e2e.alerting.divided import FACTOR
from gwz_instrument import runtime

BLOCKING_PATH = "/v1/blocking"
BLOCKED_S = 0.8
"""Longer than the rule bears, shorter than a scrape may take."""
LAG_WINDOW_S = runtime.LAG_WINDOW_S // FACTOR + 1
"""Delays are kept by full seconds: of one alone no scrape a second could be sure to see."""


async def block() -> None:
    """Wait as a synchronous call in a coroutine does: nothing else of the process goes on meanwhile."""
    time.sleep(BLOCKED_S)  # noqa: ASYNC251  # this is the fault


def create_app(settings: Settings) -> FastAPI:
    """Build the gateway with the route."""
    made = app.create_app(settings)
    made.add_api_route(BLOCKING_PATH, block)
    return made


if __name__ == "__main__":
    runtime.LAG_WINDOW_S = LAG_WINDOW_S  # type: ignore[misc]  # nobody but this trial wants another
    gateway.create_app = create_app  # type: ignore[attr-defined]  # where its main() looks for it
    gateway.main()
