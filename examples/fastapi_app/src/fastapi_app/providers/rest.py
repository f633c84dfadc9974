"""The customers' database behind PostgREST, as Supabase offers it: in memory, one world of rows per schema."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from json import JSONDecodeError
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fastapi_app.accounts import ACCOUNTS, Account

MAX_SCHEMAS = 64
_OBJECT = "application/vnd.pgrst.object+json"


@dataclass(frozen=True)
class Activity:
    """One line of what happened to a customer."""

    request_id: str
    account_id: int
    event: str


_COLUMNS: dict[str, dict[str, Any]] = {
    table: {column.name: column.type for column in fields(row)}
    for table, row in (("accounts", Account), ("activity", Activity))
}
_ARGUMENTS: dict[str, dict[str, Any]] = {"deduct_credits": {"account_id": int, "amount_usd": float}}
_TYPES = {int: "integer", float: "double precision", str: "text"}


class PostgrestError(Exception):
    """What PostgREST answers when it cannot do what it was asked."""

    def __init__(
        self, status: int, code: str | None, message: str, *, details: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "details": details, "hint": hint, "message": message}


class Schema:
    """The rows of one world. No method awaits, so none sees another's half-done work."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tables: dict[str, list[dict[str, Any]]] = {"accounts": [asdict(a) for a in ACCOUNTS], "activity": []}

    def select(self, table: str, query: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the rows that every filter lets through, with the columns that `select` names."""
        rows, columns = self._table(table), ["*"]
        for name, value in query:
            if name == "select":
                columns = value.split(",")
            else:
                wanted = _operand(table, name, value)
                rows = [row for row in rows if row[name] == wanted]
        names = [name for column in columns for name in (_COLUMNS[table] if column == "*" else [column])]
        for name in names:
            _column_type(table, name)
        return [{name: row[name] for name in names} for row in rows]

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Add a row; a column that it does not have is null. Accounts are opened elsewhere."""
        rows = self._table(table)
        if table == "accounts":
            raise PostgrestError(403, "42501", "permission denied for table accounts")
        types = {name: _column_type(table, name) for name in row}
        values = {name: _cast(types[name], value) for name, value in row.items() if value is not None}
        rows.append(dict.fromkeys(_COLUMNS[table]) | values)

    def call(self, function: str, arguments: dict[str, Any]) -> float:
        """Return what the function of that name and those arguments returns."""
        types = _ARGUMENTS.get(function)
        if types is None or types.keys() != arguments.keys():
            signature = f"{self.name}.{function}({', '.join(sorted(arguments))})"
            raise PostgrestError(404, "PGRST202", f"Could not find the function {signature} in the schema cache")
        return self._deduct_credits(**{name: _cast(types[name], value) for name, value in arguments.items()})

    def _deduct_credits(self, account_id: int, amount_usd: float) -> float:
        account = next((row for row in self._table("accounts") if row["id"] == account_id), None)
        if account is None:
            raise PostgrestError(400, "P0002", f"there is no account {account_id}")
        if amount_usd > account["credits_usd"]:
            raise PostgrestError(400, "P0001", "insufficient credits")
        account["credits_usd"] -= amount_usd
        balance: float = account["credits_usd"]
        return balance

    def _table(self, name: str) -> list[dict[str, Any]]:
        try:
            return self._tables[name]
        except KeyError:
            message = f"Could not find the table '{self.name}.{name}' in the schema cache"
            raise PostgrestError(404, "PGRST205", message) from None


class Database:
    """Every schema that was asked for; each begins with the same customers."""

    def __init__(self) -> None:
        self._schemas: dict[str, Schema] = {}

    def schema(self, name: str) -> Schema:
        """Return the schema of that name, made now if nobody asked for it before."""
        if name not in self._schemas:
            if len(self._schemas) == MAX_SCHEMAS:
                raise PostgrestError(503, "53000", f"No room for schema {name!r}: there are {MAX_SCHEMAS} already")
            self._schemas[name] = Schema(name)
        return self._schemas[name]


def create_app() -> Starlette:
    """Build the application, to be mounted at `/rest/v1`."""
    database = Database()

    async def read(request: Request) -> Response:
        rows = _schema(database, request).select(request.path_params["table"], request.query_params.multi_items())
        if _OBJECT not in request.headers.get("accept", ""):
            return JSONResponse(rows)
        if len(rows) != 1:
            message = "JSON object requested, multiple (or no) rows returned"
            raise PostgrestError(406, "PGRST116", message, details=f"The result contains {len(rows)} rows")
        return JSONResponse(rows[0], media_type=_OBJECT)

    async def write(request: Request) -> Response:
        schema = _schema(database, request)
        schema.insert(request.path_params["table"], await _body(request))
        return Response(status_code=201)

    async def call(request: Request) -> Response:
        schema = _schema(database, request)
        return JSONResponse(schema.call(request.path_params["function"], await _body(request)))

    routes = [
        Route("/rpc/{function}", call, methods=["POST"]),
        Route("/{table}", read, methods=["GET"]),
        Route("/{table}", write, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={PostgrestError: _explain})


def _schema(database: Database, request: Request) -> Schema:
    if "apikey" not in request.headers:
        # Supabase's own gateway says this, in front of PostgREST.
        hint = "No `apikey` request header or url param was found."
        raise PostgrestError(401, None, "No API key found in request", hint=hint)
    header = "accept-profile" if request.method in ("GET", "HEAD") else "content-profile"
    return database.schema(request.headers.get(header, "public"))


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise PostgrestError(400, "PGRST102", "Empty or invalid json")
    return body


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PostgrestError)  # noqa: S101  # the only class it is registered for
    return JSONResponse(error.body, status_code=error.status)


def _operand(table: str, name: str, value: str) -> Any:
    kind = _column_type(table, name)
    operator, _, operand = value.partition(".")
    if operator != "eq":
        raise PostgrestError(400, "PGRST100", f'"failed to parse filter ({value})": only eq is simulated')
    return _cast(kind, operand)


def _column_type(table: str, name: str) -> Any:
    try:
        return _COLUMNS[table][name]
    except KeyError:
        raise PostgrestError(400, "42703", f"column {table}.{name} does not exist") from None


def _cast(kind: Any, value: Any) -> Any:
    try:
        return kind(value)
    except (OverflowError, TypeError, ValueError):
        raise PostgrestError(400, "22P02", f'invalid input syntax for type {_TYPES[kind]}: "{value}"') from None
