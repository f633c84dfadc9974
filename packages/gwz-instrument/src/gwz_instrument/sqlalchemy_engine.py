"""Queries of a SQLAlchemy engine, by its events. Of a statement only the verb and the table are taken."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.util.types import AttributeValue

from .databases import Query, within_block
from .labels import OTHER
from .recording import recording
from .semconv import spans

MOST_READ: Final = 4096  # characters of a statement
MOST_STATEMENTS: Final = 1000
_QUERY: Final = "_gwz_query"


class Statement(NamedTuple):
    """What a statement does, and to which table."""

    operation: str
    table: str


def attach(engine: Any) -> None:
    """Have the queries of an engine, sync or async, recorded; once, however often it is attached.

    A query lasts until the driver has executed it; the rows may still have to be fetched. One for many rows is one.
    """
    from sqlalchemy import event  # noqa: PLC0415  # whoever has an engine has imported it

    engine = getattr(engine, "sync_engine", engine)
    for name, listener in _LISTENERS.items():
        event.listen(engine, name, listener)  # which is idempotent


def read(text: str) -> Statement:
    """The verb and the table of a statement; `_other` for what is not told by its first words.

    The table is the first one after FROM, INTO or UPDATE that is not within parentheses, without its schema.
    """
    words = _words(text[:MOST_READ])
    verb = next(words, "").lower()
    if verb not in _BEFORE_TABLE:
        return Statement(OTHER, OTHER)
    operation = _OPERATIONS.get(verb, verb)
    before = _BEFORE_TABLE[verb]
    if before != verb and not any(word.lower() == before for word in words):
        return Statement(operation, OTHER)
    return Statement(operation, _table(words))


def _words(text: str) -> Iterator[str]:
    """The words, quoted names and signs that stand outside of parentheses, literals and comments."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "broken":  # a literal of which it is not certain where it ends, nor what is behind it
            return
        if match[0] == ")":
            depth -= 1
        elif depth == 0 and match.lastgroup in _WORDS:
            yield match[0]
        if match[0] == "(":
            depth += 1


def _table(words: Iterator[str]) -> str:
    table = next(words, "")
    while table.lower() in _BEFORE_NAME:
        table = next(words, "")
    while next(words, "") == ".":
        table = next(words, "")
    name = table[1:-1] if table[:1] in _QUOTES else table
    return name if _NAME.fullmatch(name) else OTHER


def _before(
    connection: Any, _cursor: object, statement: object, _parameters: object, context: Any, _many: object
) -> None:
    found = recording()
    if found is None or context is None or within_block():
        return
    try:
        asked, engine = _read_once(str(statement)), connection.engine
        system = _SYSTEMS.get(engine.dialect.name, engine.dialect.name)
        query = Query(asked.table, asked.operation, system)
        query.details = lambda: _where(engine.url, system)
        query.begin(found)
        setattr(context, _QUERY, query)
    except Exception:  # noqa: BLE001  # no fault of ours may cost a query
        found.complain("sqlalchemy")


def _after(
    _connection: object, _cursor: object, _statement: object, _parameters: object, context: Any, _many: object
) -> None:
    query = _taken(context)
    if query is not None:
        query.end()


def _failed(exception: Any) -> None:
    query = _taken(exception.execution_context)
    if query is not None:
        error, where = exception.original_exception, query.details
        query.details = lambda: {**(where() if where else {}), **_code(error)}
        query.end(error, known=False)


def _taken(context: Any) -> Query | None:
    """The query of an execution, which then has none: it may have several, one after the other."""
    query = getattr(context, _QUERY, None)
    if query is not None:
        setattr(context, _QUERY, None)
    return query


def _read_once(text: str) -> Statement:
    """As `read`, which is remembered by the text's hash: texts are not kept."""
    key = hash(text)
    known = _statements.get(key)
    if known is None:
        if len(_statements) >= MOST_STATEMENTS:
            _statements.clear()
        known = _statements[key] = read(text)
    return known


def _where(url: Any, system: str) -> Mapping[str, AttributeValue]:
    found = {spans.SERVER_ADDRESS.name: url.host, spans.SERVER_PORT.name: url.port}
    if system != _SQLITE:  # a file of this machine
        found[spans.DB_NAMESPACE.name] = url.database
    return {attribute: value for attribute, value in found.items() if value is not None}


def _code(error: BaseException) -> Mapping[str, AttributeValue]:
    """The database's own code for an error, where the driver tells it."""
    code = next((code for name in _CODES if isinstance(code := getattr(error, name, None), str)), None)
    return {} if code is None else {spans.DB_STATUS.name: code}


_CODES: Final = ("sqlite_errorname", "pgcode", "sqlstate")  # sqlite3, psycopg2, and both psycopg and asyncpg
_LISTENERS: Final[Mapping[str, Any]] = {
    "before_cursor_execute": _before,
    "after_cursor_execute": _after,
    "handle_error": _failed,
}
_SQLITE: Final = "sqlite"
_SYSTEMS: Final = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
"""Where OpenTelemetry has another name than SQLAlchemy."""
_BEFORE_TABLE: Final = {"select": "from", "delete": "from", "insert": "into", "replace": "into", "update": "update"}
"""The word before the table, by the statement's verb."""
_OPERATIONS: Final = {"replace": "upsert"}
_BEFORE_NAME: Final = frozenset({"lateral", "only"})
_QUOTES: Final = ('"', "`", "[")
_NAME: Final = re.compile(r"[^\W\d][\w$]{0,62}")
_WORDS: Final = frozenset({"word", "name", "sign"})
_TOKEN: Final = re.compile(
    r"""
    --[^\n]*(?:\n|\Z) | /\*.*?\*/
    | \w?'(?:[^'\\]|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?P<broken>'|`[^`]*\Z|"[^"]*\Z|/\*|\$\w*\$)
    | (?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[^\]\[]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<sign>[.,;(])
    | \)
    """,
    re.VERBOSE | re.DOTALL,
)
"""A backslash within a literal ends it in one database and not in the other: such a literal counts as broken."""
_statements: dict[int, Statement] = {}
