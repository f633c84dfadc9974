"""Runs the gateway: `python -m fastapi_app`, configured by the environment."""

import os
import sys

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from fastapi_app.app import create_app
from fastapi_app.settings import KEEP_ALIVE_S, Settings


def main() -> None:
    """Serve until SIGINT or SIGTERM; open requests get five seconds to finish."""
    try:
        settings = Settings.from_environment(os.environ)
        app = create_app(settings)
    except ValueError as error:
        sys.exit(f"fastapi_app: {error}")
    except SQLAlchemyError as error:
        sys.exit(f"fastapi_app: the database cannot be opened ({str(error).splitlines()[0]}); correct DATABASE_URL")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        workers=1,  # whatever WEB_CONCURRENCY says: metrics of several workers would need a shared store
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


if __name__ == "__main__":
    main()
