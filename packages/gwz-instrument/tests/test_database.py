"""A query is counted, timed and has a span, whoever asks it and however it ends."""

import asyncio
import contextvars
import enum
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_OFF

from gwz_instrument import recording as recordings
from gwz_instrument.databases import MAX_TABLES, database
from gwz_instrument.sqlalchemy_engine import Statement, read

SELECT_USERS = {"db.system.name": "postgresql", "db.operation.name": "select", "db.collection.name": "users"}


def counts(world):
    return world.samples("database_queries_total")


def test_a_block_is_a_query(world):
    with database(table="users", operation="select"):
        pass
    assert counts(world) == {("users", "select"): 1}
    assert world.samples("database_query_duration_seconds_count") == {("users",): 1}
    assert world.spans == [("select users", SELECT_USERS, "UNSET")]


async def test_a_block_may_be_entered_by_async_with(world):
    async with database("users", "select", system="sqlite"):
        await asyncio.sleep(0)
    assert counts(world) == {("users", "select"): 1}
    assert world.spans[0][1]["db.system.name"] == "sqlite"


def test_what_is_raised_passes_through_and_names_the_span_s_error(world):
    error = LookupError("api_key=secret")
    with pytest.raises(LookupError) as raised, database(table="users", operation="select"):
        raise error
    assert raised.value is error
    assert counts(world) == {("users", "select"): 1}
    assert world.spans == [("select users", {**SELECT_USERS, "error.type": "LookupError"}, "ERROR")]
    assert not world.exporter.get_finished_spans()[0].events


async def test_a_cancelled_query_is_counted_and_not_a_failure(world):
    async def ask():
        async with database(table="users", operation="select"):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(), 0.01)
    assert counts(world) == {("users", "select"): 1}
    assert world.spans == [("select users", {**SELECT_USERS, "error.type": "CancelledError"}, "UNSET")]


def test_a_query_may_be_told_that_it_failed(world):
    with database(table="users", operation="select") as query:
        query.fail("409")
    assert world.spans == [("select users", {**SELECT_USERS, "error.type": "409"}, "ERROR")]


def test_a_stored_function_is_named_as_one(world):
    with database(table="sum_credits", operation="rpc"):
        pass
    assert world.spans[0][1]["db.stored_procedure.name"] == "sum_credits"


async def test_a_decorated_function_is_a_query_each_time(world):
    recorded = database(table="users", operation="select")

    @recorded
    def find(name):
        return name.upper()

    @recorded
    async def find_async(name):
        return find(name)

    assert (find("a"), await find_async("b"), find.__name__) == ("A", "B", "find")
    assert counts(world) == {("users", "select"): 3}


@pytest.mark.usefixtures("world")
def test_the_span_of_a_block_is_current_in_it_and_not_after_it():
    with database(table="users", operation="select"):
        inside = trace.get_current_span()
    assert inside.name == "select users"
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_generator_that_another_context_closes_is_recorded_once(world, caplog):
    def rows():
        with database(table="users", operation="select"):
            yield 1

    generator = contextvars.copy_context().run(lambda: (made := rows(), next(made))[0])
    generator.close()
    assert counts(world) == {("users", "select"): 1}
    assert not caplog.records


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, DEFAULT_OFF])
def test_without_a_sampled_trace_no_span_is_made(world, sampler):
    tracer, calls = TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("x"), []
    parent = tracer.start_span("request")
    tracer.start_span = lambda *args, **_: calls.append(args)
    object.__setattr__(world.recording, "tracer", tracer)
    with database(table="users", operation="select"):
        pass
    with trace.use_span(parent), database(table="users", operation="select"):
        pass
    assert (counts(world), calls) == ({("users", "select"): 2}, [])


def test_a_sampled_query_is_its_bucket_s_example(world):
    with database(table="users", operation="select"):
        pass
    trace_id = f"{world.exporter.get_finished_spans()[0].context.trace_id:032x}"
    found = [
        sample.exemplar.labels
        for family in world.registry.collect()
        for sample in family.samples
        if sample.name == "database_query_duration_seconds_bucket" and sample.exemplar
    ]
    assert found == [{"trace_id": trace_id}]


class Unfriendly:
    def __eq__(self, other):
        raise RuntimeError("no")

    def __hash__(self):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("name", [None, b"users", 7, float("nan"), [], Unfriendly(), "", "x" * 10_000, "\ud800"])
def test_what_is_no_name_is_other_and_raises_nothing(world, name):
    with database(table=name, operation="select"):
        pass
    with database(table="users", operation=name, system=name):
        pass
    assert counts(world) == {("_other", "select"): 1, ("users", "_other"): 1}
    assert world.samples("gwz_telemetry_dropped_total").keys() <= {("metrics", "invalid")}


def test_a_name_may_be_a_member_of_an_enumeration(world):
    class Table(str, enum.Enum):  # noqa: UP042  # the old shape is the point
        USERS = "users"

    with database(table=Table.USERS, operation="select"):
        pass
    assert counts(world) == {("users", "select"): 1}


def test_tables_beyond_the_budget_are_one(world):
    for number in range(MAX_TABLES + 5):
        with database(table=f"t{number}", operation="select"):
            pass
    assert len(counts(world)) == MAX_TABLES + 1
    assert counts(world)["_other", "select"] == 5
    assert world.samples("gwz_label_values_refused_total") == {("database_queries_total", "table"): 5}


def test_before_instrument_a_block_is_only_a_block(monkeypatch):
    monkeypatch.setattr(recordings, "_installed", [])
    with database(table="users", operation="select") as query:
        query.fail("x")
    with pytest.raises(KeyError), database(table="users", operation="select"):
        raise KeyError


@pytest.mark.parametrize(
    ("text", "operation", "table"),
    [
        ("SELECT users.id, users.name \nFROM users WHERE a = %(a)s", "select", "users"),
        ("select extract(year from d) from [dbo].[orders]", "select", "orders"),
        ('/* from a */ SELECT 1 FROM "Users" -- x', "select", "Users"),
        ("INSERT INTO public.users (a) VALUES (1)", "insert", "users"),
        ("INSERT OR REPLACE INTO users SELECT 1", "insert", "users"),
        ("REPLACE INTO `users` VALUES (1)", "upsert", "users"),
        ("UPDATE ONLY app.users SET a=1", "update", "users"),
        ("DELETE FROM users", "delete", "users"),
        ("SELECT a FROM users WHERE b = $1", "select", "users"),
        ("SELECT a FROM (SELECT b FROM users) AS c", "select", "_other"),
        ("SELECT 1", "select", "_other"),
        ("SELECT 'it''s from secret'", "select", "_other"),
        (r"SELECT 'a\' , ' from secret'", "select", "_other"),
        ("SELECT $$ from secret", "select", "_other"),
        ('SELECT "from secret"', "select", "_other"),
        ('SELECT a FROM "two words"', "select", "_other"),
        ("WITH a AS (SELECT 1) SELECT 1 FROM a", "_other", "_other"),
        ("secret", "_other", "_other"),
        ("", "_other", "_other"),
    ],
)
def test_of_a_statement_the_verb_and_the_table_are_read(text, operation, table):
    assert read(text) == Statement(operation, table)


@pytest.fixture
def engine():
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from gwz_instrument.sqlalchemy_engine import attach  # noqa: PLC0415

    made = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.pool.StaticPool, connect_args={"check_same_thread": False}
    )
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (name TEXT UNIQUE)")
    attach(made)
    attach(made)
    yield made
    made.dispose()


def test_the_queries_of_an_engine_are_recorded_once_without_their_text(world, engine):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    users = sqlalchemy.table("users", sqlalchemy.column("name"))
    with engine.begin() as connection:
        connection.execute(users.insert(), [{"name": "secret"}, {"name": "b"}])
        connection.execute(sqlalchemy.select(users).where(users.c.name == "secret")).all()
        connection.exec_driver_sql("PRAGMA user_version")
    assert counts(world) == {("users", "insert"): 1, ("users", "select"): 1, ("_other", "_other"): 1}
    attributes = {"db.system.name": "sqlite", "db.collection.name": "users"}
    assert world.spans == [
        ("insert users", {**attributes, "db.operation.name": "insert"}, "UNSET"),
        ("select users", {**attributes, "db.operation.name": "select"}, "UNSET"),
        ("_other", {"db.system.name": "sqlite", "db.operation.name": "_other"}, "UNSET"),
    ]
    assert "secret" not in str(world.spans)


def test_a_query_that_the_driver_refuses_is_recorded_with_its_error(world, engine):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO users VALUES ('a')")
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO users VALUES ('a')")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.exec_driver_sql("SELECT 1 FROM evil_123")
    assert counts(world) == {("users", "insert"): 2, ("_other", "select"): 1}
    assert [span[1].get("error.type") for span in world.spans] == [None, "IntegrityError", "OperationalError"]
    assert world.spans[1][1]["db.response.status_code"] == "SQLITE_CONSTRAINT_UNIQUE"


def test_a_block_counts_as_one_query_whatever_the_engine_is_asked_in_it(world, engine):
    with database(table="report", operation="select"), engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM users")
        connection.exec_driver_sql("SELECT 2 FROM users")
    assert counts(world) == {("report", "select"): 1}
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM users")
    assert counts(world) == {("report", "select"): 1, ("users", "select"): 1}


def test_a_thread_that_outlives_the_block_records_its_own_queries(world, engine):
    with database(table="report", operation="select"):
        context = contextvars.copy_context()

    def ask():
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM users")

    thread = threading.Thread(target=context.run, args=(ask,))
    thread.start()
    thread.join(10)
    assert counts(world) == {("report", "select"): 1, ("users", "select"): 1}


async def test_an_async_engine_is_recorded_and_so_is_a_cancelled_query(world):
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    aio = pytest.importorskip("sqlalchemy.ext.asyncio")
    from gwz_instrument.sqlalchemy_engine import attach  # noqa: PLC0415

    engine = aio.create_async_engine("sqlite+aiosqlite://")
    attach(engine)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("CREATE TABLE users (name TEXT)")
        await connection.exec_driver_sql("SELECT name FROM users")
        endless = "SELECT 1 FROM (WITH RECURSIVE a(b) AS (SELECT 1 UNION ALL SELECT b + 1 FROM a LIMIT 2000000) SELECT b FROM a)"
        task = asyncio.create_task(connection.exec_driver_sql(endless + " WHERE b < 0"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await engine.dispose()
    assert counts(world) == {("_other", "_other"): 1, ("users", "select"): 1, ("_other", "select"): 1}
    assert world.spans[-1][1]["error.type"] == "CancelledError"
