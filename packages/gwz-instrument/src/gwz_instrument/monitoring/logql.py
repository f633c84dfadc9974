"""LogQL as text, and how Loki is asked for the newest lines."""

from collections.abc import Mapping
from typing import Final

from .promql import quoted

QUERY_PATH: Final = "/loki/api/v1/query_range"


def selector(labels: Mapping[str, str]) -> str:
    """The streams that have these labels."""
    return f"{{{', '.join(f'{name}={quoted(value)}' for name, value in labels.items())}}}"


def newest(query: str, start: float, end: float, limit: int) -> dict[str, str]:
    """The parameters that ask for the newest lines of a query between two times, in seconds since 1970."""
    return {
        "query": query,
        "start": f"{int(start * 1e9)}",
        "end": f"{int(end * 1e9)}",
        "limit": str(limit),
        "direction": "backward",
    }
