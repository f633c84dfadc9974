"""Queries of a PostgREST client, as Supabase's is: what is asked stands in the method and the path."""

import re
from typing import Any, Final, NamedTuple

from opentelemetry.util.types import AttributeValue

from .databases import POSTGRESQL, RPC, Query
from .labels import OTHER
from .names import name_of
from .recording import Recording
from .semconv import spans

ROOT: Final = "/rest/v1/"


class Asked(NamedTuple):
    """What a request asks of the database; of a stored function the table is its name."""

    operation: str
    table: str


def asked(method: str, path: str, prefer: str = "") -> Asked:
    """What a request asks, by its method, its path, and its header `Prefer`; `_other` for what is no query."""
    found = _PATH.search(path)
    if found is None:
        return Asked(OTHER, OTHER)
    if found["rpc"]:
        return Asked(RPC, found["name"])
    if method == "POST" and _RESOLUTION in prefer.replace(" ", ""):
        return Asked("upsert", found["name"])
    return Asked(_OPERATIONS.get(method, OTHER), found["name"])


class PostgrestQuery:
    """A request that is a query: recorded as one, and not as a request. Raises nothing of its own."""

    def __init__(self, found: Recording, request: Any) -> None:
        url = request.url
        what = asked(request.method, url.path, request.headers.get("prefer", ""))
        self._where: dict[str, AttributeValue] = {spans.SERVER_ADDRESS.name: url.host}
        if url.port is not None:
            self._where[spans.SERVER_PORT.name] = url.port
        reads = request.method in ("GET", "HEAD")
        if schema := name_of(request.headers.get("accept-profile" if reads else "content-profile")):
            self._where[spans.DB_NAMESPACE.name] = schema
        self._query = Query(what.table, what.operation, POSTGRESQL)
        self._query.details = lambda: self._where
        self._query.begin(found)

    def end(self, status: int | None, error: BaseException | None) -> None:
        """Write it. That PostgREST answered, but for "there is none", says that there is such a table."""
        if status is not None and status >= _FAILED:
            self._query.fail(str(status))
            self._where[spans.DB_STATUS.name] = str(status)
        self._query.end(error, known=status is not None and status != _NOT_FOUND)


_FAILED: Final = 400
_NOT_FOUND: Final = 404
_RESOLUTION: Final = "resolution="
"""Of rows that are there already: merged, or left as they are."""
_OPERATIONS: Final = {
    "GET": "select",
    "HEAD": "select",
    "POST": "insert",
    "PUT": "upsert",
    "PATCH": "update",
    "DELETE": "delete",
}
_PATH: Final = re.compile(re.escape(ROOT) + r"(?P<rpc>rpc/)?(?P<name>[^\W\d][\w$]{0,62})/?\Z")
