"""Runs the providers: `python -m fastapi_app.providers`, configured by HOST and PORT."""

import os
import sys

import uvicorn

from fastapi_app.providers.app import create_app
from fastapi_app.providers.connection import LosableProtocol
from fastapi_app.settings import KEEP_ALIVE_S, number


def main() -> None:
    """Serve until SIGINT or SIGTERM; calls that hang are given up after a second."""
    try:
        port = number(os.environ, "PORT", 8001, int)
    except ValueError as error:
        sys.exit(f"fastapi_app.providers: {error}")
    uvicorn.run(
        create_app(),
        host=os.environ.get("HOST", "127.0.0.1"),
        port=port,
        http=LosableProtocol,
        workers=1,  # whatever WEB_CONCURRENCY says: metrics of several workers would need a shared store
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


if __name__ == "__main__":
    main()
