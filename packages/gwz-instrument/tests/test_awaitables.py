"""A function that returns an awaitable is recorded until that is done, as a coroutine function is."""

import asyncio
import copy
import gc
import weakref
from collections.abc import Coroutine

import pytest
from opentelemetry import trace

from gwz_instrument import database, inference, stage, task
from gwz_instrument.databases import current as current_query
from gwz_instrument.open_calls import current as current_call

RECORDERS = {
    "database": lambda: database(table="t", operation="select"),
    "inference": lambda: inference(provider="p", model="m"),
    "stage": lambda: stage("t"),
    "task": lambda: task("t"),
}
COUNTS = ("database_queries_total", "model_inference_requests_total", "request_stage_duration_seconds_count")
SECONDS = (
    "database_query_duration_seconds_sum",
    "model_inference_duration_seconds_sum",
    "request_stage_duration_seconds_sum",
)


def seen(world):
    """What was recorded, but for the times."""
    return [world.samples(name) for name in COUNTS], world.spans


NOTHING = [{}, {}, {}], []


class Promise:
    """An awaitable that is neither a coroutine nor a future, as the calls of grpc.aio are."""

    def __init__(self, coroutine):
        self._coroutine = coroutine
        self.request_id = "r-1"

    def __await__(self):
        return self._coroutine.__await__()


class Request(Promise, Coroutine):
    """What may be entered instead of awaited, and is a coroutine to who asks, as the requests of aiohttp are."""

    left = False

    async def __aenter__(self):
        return await self._coroutine

    async def __aexit__(self, *error):
        self.left = True

    def send(self, value):
        return self._coroutine.send(value)

    def throw(self, *error):
        return self._coroutine.throw(*error)

    def close(self):
        return self._coroutine.close()


KINDS = {
    "coroutine": lambda coroutine: coroutine,
    "task": asyncio.ensure_future,
    "future": asyncio.gather,
    "awaitable": Promise,
    "request": Request,
}


async def succeed(go):
    await go.wait()
    return "answer"


async def fail(go):
    await go.wait()
    raise LookupError


async def give_up(go):
    await go.wait()
    raise asyncio.CancelledError


async def outcome_of(awaitable):
    try:
        return await awaitable
    except (LookupError, asyncio.CancelledError) as error:
        return type(error)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [succeed, fail, give_up])
async def test_the_record_has_the_outcome_and_the_time_of_what_is_awaited(world, spans, recorder, kind, function):
    recorded, go = RECORDERS[recorder](), asyncio.Event()
    go.set()
    expected = await outcome_of(recorded(function)(go))
    as_a_coroutine_function = seen(world)
    world = type(world)(*spans)
    spans[1].clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gwz_instrument.recording._installed", [world.recording])
        go.clear()
        returned = recorded(lambda: KINDS[kind](function(go)))()
        assert seen(world) == NOTHING
        asyncio.get_running_loop().call_later(0.03, go.set)
        found = await outcome_of(returned)
    assert found == ([expected] if kind == "future" and function is succeed else expected)
    assert seen(world) == as_a_coroutine_function
    if recorder != "task":
        ((seconds,),) = [list(world.samples(name).values()) for name in SECONDS if world.samples(name)]
        assert 0.02 <= seconds < 1


@pytest.mark.parametrize("recorder", RECORDERS)
async def test_a_future_is_the_same_object(world, recorder):
    future = asyncio.get_running_loop().create_future()
    returned = RECORDERS[recorder]()(lambda: future)()
    assert returned is future
    assert seen(world) == NOTHING
    future.set_result(1)
    assert await returned == 1


async def test_a_future_that_is_done_already_is_recorded_at_once(world):
    future = asyncio.get_running_loop().create_future()
    future.set_exception(LookupError())
    returned = database(table="t", operation="select")(lambda: future)()
    assert [(attributes["error.type"], status) for _, attributes, status in world.spans] == [("LookupError", "ERROR")]
    with pytest.raises(LookupError):
        await returned


@pytest.mark.usefixtures("world")
async def test_a_future_still_tells_that_nobody_asked_for_its_exception():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))

    @database(table="t", operation="select")
    def ask():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(LookupError())
        return future

    ask()
    gc.collect()
    assert told == ["Future exception was never retrieved"]


async def test_a_task_that_is_cancelled_is_recorded_though_nobody_awaits_it(world):
    ticking = database(table="t", operation="select")(lambda: asyncio.ensure_future(asyncio.sleep(60)))()
    await asyncio.sleep(0)
    ticking.cancel()
    await asyncio.wait([ticking])
    ((_, attributes, status),) = world.spans
    assert (attributes["error.type"], status) == ("CancelledError", "UNSET")


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("world")
async def test_the_block_is_current_while_it_is_awaited_and_not_in_between(recorder, kind):
    def here():
        return trace.get_current_span(), current_call.get(), current_query.get()

    go, inside = asyncio.Event(), []
    go.set()

    async def work():
        inside.append(here())
        await go.wait()

    outside = here()
    returned = RECORDERS[recorder]()(lambda: KINDS[kind](work()))()
    assert here() == outside
    await returned
    assert here() == outside
    assert (inside == [outside]) == (recorder == "stage")


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(("function", "raised"), [(succeed, None), (fail, LookupError)])
async def test_what_may_be_entered_is_entered_and_recorded_until_then(world, recorder, function, raised):
    go = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, go.set)
    request = Request(function(go))
    returned = RECORDERS[recorder]()(lambda: request)()
    assert seen(world) == NOTHING
    try:
        async with returned as answer:
            assert answer == "answer"
            assert seen(world) != NOTHING
    except LookupError:
        assert raised is LookupError
    assert request.left == (raised is None)
    assert len(world.spans) == (recorder != "stage")
    assert sum(len(counts) for counts in seen(world)[0]) == (recorder != "task")


@pytest.mark.parametrize("recorder", RECORDERS)
async def test_a_coroutine_of_another_kind_can_be_made_a_task(world, recorder):
    go = asyncio.Event()
    go.set()
    returned = RECORDERS[recorder]()(lambda: Request(succeed(go)))()
    assert seen(world) == NOTHING
    assert await asyncio.create_task(returned) == "answer"
    assert seen(world) != NOTHING


@pytest.mark.usefixtures("world")
async def test_a_coroutine_that_is_closed_unawaited_is_closed_itself():
    database(table="t", operation="select")(lambda: Request(asyncio.sleep(1)))().close()


async def test_what_stands_for_an_awaitable_is_it_in_all_else(world):
    returned = database(table="t", operation="select")(lambda: Promise(asyncio.sleep(0, "answer")))()
    assert isinstance(returned, Promise)
    assert not isinstance(returned, Request)
    assert returned.request_id == "r-1"
    with pytest.raises(AttributeError):
        _ = returned.send
    assert await returned == "answer"
    assert len(world.spans) == 1


@pytest.mark.usefixtures("world")
def test_a_copy_is_the_awaitables_own():
    class Lazy:
        def __await__(self):
            yield

    copied = copy.copy(database(table="t", operation="select")(Lazy)())
    assert type(copied) is Lazy


async def test_what_is_awaited_twice_is_recorded_once(world):
    class Cached:
        async def answer(self):
            return 1

        def __await__(self):
            return self.answer().__await__()

    returned = database(table="t", operation="select")(Cached)()
    assert (await returned, await returned) == (1, 1)
    assert len(world.spans) == 1


async def test_what_nobody_awaits_is_not_recorded_and_let_go_of(world):
    promises = []

    class Lazy:
        def __await__(self):
            yield

    @database(table="t", operation="select")
    def ask():
        made = Lazy()
        promises.append(weakref.ref(made))
        return made

    ask()
    gc.collect()
    assert promises[0]() is None
    assert seen(world) == NOTHING


@pytest.mark.usefixtures("world")
def test_a_client_that_may_be_awaited_to_connect_it_is_left_as_it_is():
    """As those of redis.asyncio and their pipelines, which are used long before somebody waits."""

    class Pipeline:
        def __await__(self):
            yield

        def __len__(self):
            return 3

        def execute(self):
            return 1

    made = database(table="t", operation="select")(Pipeline)()
    assert type(made) is Pipeline
    assert len(made) == 3


async def test_usage_of_an_answer_that_several_share_is_counted_once(world):
    """One request at a time for a key, and whoever asks meanwhile is given the same task."""

    async def ask_provider():
        await asyncio.sleep(0.01)
        return {"usage": {"prompt_tokens": 100, "completion_tokens": 200}}

    shared = asyncio.create_task(ask_provider())

    @inference(provider="p", model="m")
    def ask():
        return shared

    await asyncio.gather(*(ask() for _ in range(10)))
    await asyncio.sleep(0)
    assert sum(world.samples("tokens_used_total").values()) == 300


async def test_what_may_be_looped_over_instead_is_a_stream_of_the_call(world):
    class Cursor:
        def __await__(self):
            yield

        async def __aiter__(self):
            for chunk in "ab":
                yield chunk

    @inference(provider="p", model="m")
    def ask():
        return Cursor()

    assert [chunk async for chunk in ask()] == ["a", "b"]
    assert world.samples("model_inference_requests_total") == {("_other", "m", "success"): 1}


async def test_usage_is_read_from_what_a_future_brings(world):
    usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    @inference(provider="p", model="m")
    def ask():
        return asyncio.ensure_future(asyncio.sleep(0, usage))

    assert await ask() is usage
    assert sum(world.samples("tokens_used_total").values()) == 3


async def test_a_stream_that_a_future_brings_stays_as_it_is(world):
    stream = iter("ab")

    @inference(provider="p", model="m")
    def ask():
        return asyncio.ensure_future(asyncio.sleep(0, stream))

    assert await ask() is stream
    assert [labels[-1] for labels in world.samples("model_inference_requests_total")] == ["success"]


async def test_an_attempt_lasts_as_long_as_its_future(world):
    @inference(provider="p", model="m")
    def ask():
        return asyncio.ensure_future(asyncio.sleep(0.01))

    with inference(provider="p", model="m"):
        returned = ask()
        assert world.spans == []
        await returned
        assert [name for name, *_ in world.spans] == ["chat m at p"]
    assert sum(world.samples("model_inference_requests_total").values()) == 1
