"""The example with one more route, which blocks its event loop: `python -m gwz_e2e.alerting.blocking_app`."""

import time

from fastapi import FastAPI

from fastapi_app import __main__ as gateway
from fastapi_app import app
from fastapi_app.settings import Settings

PATH = "/v1/blocking"
BLOCKED_S = 0.8
"""Longer than the rule bears, shorter than a scrape may take."""


async def block() -> None:
    """Wait as a synchronous call in a coroutine does: nothing else of the process goes on meanwhile."""
    time.sleep(BLOCKED_S)  # noqa: ASYNC251  # this is the fault


def create_app(settings: Settings) -> FastAPI:
    """Build the gateway with the route."""
    made = app.create_app(settings)
    made.add_api_route(PATH, block)
    return made


if __name__ == "__main__":
    gateway.create_app = create_app  # type: ignore[attr-defined]  # where its main() looks for it
    gateway.main()
