"""What is asked over httpx: a span each, or a query of PostgREST, by one client or all, and no URL anywhere."""

import asyncio
import contextvars
import logging

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import TraceFlags

from gwz_instrument import recording as recordings
from gwz_instrument.attach import attach
from gwz_instrument.databases import database
from gwz_instrument.model_calls import inference
from gwz_instrument.postgrest import Asked, asked

KEY = "sk-secret"
GET = {"http.request.method": "GET", "server.address": "api.test", "server.port": 443}


@pytest.fixture
def sent():
    """The requests that came to the far end."""
    return []


@pytest.fixture
def answer(sent):
    """The far end: answers with the status that stands in the path, redirects, or fails."""

    def handle(request):
        sent.append(request)
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"location": "/200"})
        if request.url.path == "/slow":
            raise httpx.ReadTimeout(f"timed out: {request.url}")
        word = request.url.path.rpartition("/")[2]
        return httpx.Response(int(word) if word.isdigit() else 200, json=[])

    return httpx.MockTransport(handle)


@pytest.fixture
def client(world, answer):
    with httpx.Client(transport=answer, base_url="https://api.test") as made:
        attach(made, world.collectors)
        attach(made, world.collectors)
        yield made


@pytest.fixture
def postgrest(world, answer):
    with httpx.Client(transport=answer, base_url="https://db.test/rest/v1") as made:
        attach(made, world.collectors, database="postgrest")
        attach(made, world.collectors, database="postgrest")
        yield made


def counts(world):
    return world.samples("database_queries_total")


def test_a_request_has_one_span_with_nothing_of_its_url_but_the_host(world, client):
    assert client.get(f"/200/{KEY}?key={KEY}").status_code == 200
    assert world.spans == [("GET", {**GET, "http.response.status_code": 200}, "UNSET")]


def test_a_failure_that_was_answered_is_one(world, client):
    client.get("/404")
    assert world.spans == [("GET", {**GET, "http.response.status_code": 404, "error.type": "404"}, "ERROR")]


def test_what_is_raised_passes_through_and_leaves_no_text(world, client):
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/slow?key={KEY}")
    assert world.spans == [("GET", {**GET, "error.type": "ReadTimeout"}, "ERROR")]
    assert KEY not in world.exporter.get_finished_spans()[0].to_json()


def test_redirects_are_of_one_request(world, client, sent):
    assert client.get("/moved", follow_redirects=True).status_code == 200
    assert (len(sent), len(world.spans)) == (2, 1)


def test_a_stream_is_one_request_and_can_be_read(world, client):
    with client.stream("POST", "/200", content=b"x") as response:
        assert response.read() == b"[]"
    assert [span[0] for span in world.spans] == ["POST"]


def test_an_unknown_method_is_no_name(world, client):
    client.request("SECRET", "/200")
    assert world.spans[0][0] == "_OTHER"


async def test_an_async_client_is_recorded_and_so_is_a_cancelled_request(world):
    async def hang(request):
        await asyncio.sleep(0 if request.url.path == "/200" else 10)
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang), base_url="https://api.test") as client:
        attach(client, world.collectors)
        await client.get("/200")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/hang"), 0.02)
    assert world.spans == [
        ("GET", {**GET, "http.response.status_code": 200}, "UNSET"),
        ("GET", {**GET, "error.type": "CancelledError"}, "UNSET"),
    ]


async def test_a_request_that_another_context_closes_is_recorded_once(world):
    async def hang(_request):
        await asyncio.sleep(10)

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang)) as client:
        attach(client, world.collectors)
        request = client.get("https://api.test/")
        contextvars.copy_context().run(request.send, None)
        request.close()
    assert world.spans == [("GET", {**GET, "error.type": "GeneratorExit"}, "UNSET")]


def test_the_far_end_is_told_the_trace(world, client, sent):
    client.get("/200")
    context = world.exporter.get_finished_spans()[0].context
    *ids, flags = sent[0].headers["traceparent"].split("-")
    assert ids == ["00", f"{context.trace_id:032x}", f"{context.span_id:016x}"]
    assert int(flags, 16) & TraceFlags.SAMPLED


def test_the_far_end_is_told_a_trace_that_is_not_sampled(world, client, sent):
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("x")
    object.__setattr__(world.recording, "tracer", tracer)
    client.get("/200")
    assert not int(sent[0].headers["traceparent"].split("-")[3], 16) & TraceFlags.SAMPLED


def test_without_traces_of_ours_the_far_end_is_told_the_application_s(world, client, sent):
    tracer = world.recording.tracer
    object.__setattr__(world.recording, "tracer", None)
    client.get("/200")
    with tracer.start_as_current_span("of the application") as span:
        client.get("/200")
    assert "traceparent" not in sent[0].headers
    assert f"{span.get_span_context().span_id:016x}" in sent[1].headers["traceparent"]


def test_within_a_call_to_a_model_the_request_names_the_provider_and_the_call_no_more(world, client):
    """Tempo draws an edge for each span that names its peer: one for each time that something left the process."""
    with inference("groq", "m") as call:
        client.get("/200")
    with inference(None, "m") as call:
        with call.attempt(provider="xai"):
            client.get("/500")
        with call.attempt(provider="near"):
            pass
        client.get("/200")
    client.get("/200")
    peers = [(name.split()[0], attributes.get("peer.service")) for name, attributes, _ in world.spans]
    assert peers == [
        ("GET", "groq"),
        ("chat", None),
        ("GET", "xai"),
        ("chat", None),
        ("chat", "near"),
        ("GET", None),
        ("chat", None),
        ("GET", None),
    ]


def test_what_the_application_tells_the_far_end_stays(client, sent):
    client.get("/200", headers={"traceparent": "mine"})
    assert sent[0].headers["traceparent"] == "mine"


def test_a_request_that_is_sent_again_tells_its_own_span(world, client, sent):
    request = client.build_request("GET", "/200")
    told = [client.send(request) and sent[-1].headers["traceparent"] for _ in range(2)]
    ids = [f"{span.context.span_id:016x}" for span in world.exporter.get_finished_spans()]
    assert [each.split("-")[2] for each in told] == ids


def test_httpx_logs_no_query_of_an_attached_client(client, postgrest, answer, caplog):
    caplog.set_level(logging.INFO, "httpx")
    client.get("https://user:sk-secret@api.test/200", params={"key": KEY})
    postgrest.get("/users", params={"api_key": f"eq.{KEY}"})
    assert KEY not in caplog.text
    assert 'HTTP Request: GET https://api.test/200 "HTTP/1.1 200 OK"' in caplog.messages
    with httpx.Client(transport=answer) as other:
        other.get("https://api.test/200?a=b")
    assert "a=b" in caplog.messages[-1]


def test_a_query_is_a_query_and_no_request(world, postgrest, sent):
    postgrest.get("/users", params={"api_key": f"eq.{KEY}"}, headers={"accept-profile": "gateway"})
    assert counts(world) == {("users", "select"): 1}
    assert world.samples("database_query_duration_seconds_count") == {("users",): 1}
    attributes = {
        "db.system.name": "postgresql",
        "db.operation.name": "select",
        "db.collection.name": "users",
        "db.namespace": "gateway",
        "server.address": "db.test",
    }
    assert world.spans == [("select users", attributes, "UNSET")]
    assert "traceparent" not in sent[0].headers


async def test_an_async_client_s_queries_are_queries(world, answer):
    async with httpx.AsyncClient(transport=answer, base_url="https://db.test/rest/v1") as client:
        attach(client, world.collectors, database="postgrest")
        await client.post("/users", json={}, headers={"prefer": "return=minimal, resolution=merge-duplicates"})
        await client.post("/rpc/sum_credits", json={})
    assert counts(world) == {("users", "upsert"): 1, ("sum_credits", "rpc"): 1}
    assert world.spans[1][1]["db.stored_procedure.name"] == "sum_credits"


def test_a_query_that_fails_is_counted_with_what_was_answered_or_raised(world):
    def refuse(request):
        if request.url.path.endswith("/credits"):
            raise httpx.ConnectError(str(request.url))
        return httpx.Response(404 if request.url.path.endswith("/evil") else 409)

    with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
        attach(client, world.collectors, database="postgrest")
        client.post(f"https://db.test/rest/v1/users?columns={KEY}")
        client.get("https://db.test/rest/v1/evil")
        with pytest.raises(httpx.ConnectError):
            client.patch("https://db.test/rest/v1/credits")
        client.patch("https://db.test/rest/v1/users")
    assert counts(world) == {
        ("users", "insert"): 1,
        ("_other", "select"): 1,
        ("_other", "update"): 1,
        ("users", "update"): 1,
    }
    assert [span[1]["error.type"] for span in world.spans] == ["409", "404", "ConnectError", "409"]
    assert [span[1].get("db.response.status_code") for span in world.spans] == ["409", "404", None, "409"]
    assert {span[2] for span in world.spans} == {"ERROR"}


def test_a_block_counts_as_one_query_whatever_is_asked_in_it(world, postgrest):
    with database(table="report", operation="select"):
        postgrest.get("/users")
        postgrest.get("/credits")
    assert counts(world) == {("report", "select"): 1}


@pytest.mark.parametrize(
    ("method", "path", "prefer", "expected"),
    [
        ("GET", "/rest/v1/users", "", ("select", "users")),
        ("HEAD", "/rest/v1/users", "count=exact", ("select", "users")),
        ("POST", "/rest/v1/users", "return=minimal", ("insert", "users")),
        ("POST", "/rest/v1/users", "resolution=ignore-duplicates", ("upsert", "users")),
        ("PUT", "/rest/v1/users", "", ("upsert", "users")),
        ("PATCH", "/rest/v1/users", "", ("update", "users")),
        ("DELETE", "/rest/v1/users", "", ("delete", "users")),
        ("POST", "/rest/v1/rpc/sum", "", ("rpc", "sum")),
        ("GET", "/rest/v1/rpc/sum", "", ("rpc", "sum")),
        ("GET", "/db/rest/v1/users/", "", ("select", "users")),
        ("BREW", "/rest/v1/users", "", ("_other", "users")),
        ("GET", "/rest/v1/", "", ("_other", "_other")),
        ("GET", "/rest/v1/users/sk-secret", "", ("_other", "_other")),
        ("GET", "/rest/v1/sk-secret", "", ("_other", "_other")),
        ("GET", "/auth/v1/user", "", ("_other", "_other")),
    ],
)
def test_method_and_path_tell_what_is_asked(method, path, prefer, expected):
    assert asked(method, path, prefer) == Asked(*expected)


@given(st.text(), st.text(), st.text())
def test_whatever_the_path_is_what_is_read_of_it_is_a_name(method, path, prefer):
    found = asked(method, "/rest/v1/" + path, prefer)
    assert found.table == "_other" or len(found.table) <= 63
    assert found.operation in {"_other", "select", "insert", "update", "upsert", "delete", "rpc"}


def test_what_is_attached_as_a_database_stays_one(world, postgrest):
    attach(postgrest, world.collectors)
    postgrest.get("/users")
    assert counts(world) == {("users", "select"): 1}


@pytest.fixture
def everywhere(world, monkeypatch):
    """All of httpx, attached until the test ends."""
    for kind in (httpx.Client, httpx.AsyncClient):
        monkeypatch.setattr(kind, "send", kind.send)
    attach(httpx, world.collectors)


@pytest.mark.usefixtures("everywhere")
async def test_attached_as_a_whole_httpx_is_recorded_whoever_makes_the_client(world, answer):
    class Own(httpx.Client):
        pass

    send = httpx.Client.send
    attach(httpx, world.collectors)
    attach(httpx.Client, world.collectors)
    assert httpx.Client.send is send
    with Own(transport=answer) as client:
        client.get("https://api.test/200")
    async with httpx.AsyncClient(transport=answer) as client:
        await client.get("https://api.test/200")
    assert world.spans == [("GET", {**GET, "http.response.status_code": 200}, "UNSET")] * 2


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("kind", ["request", "postgrest"])
def test_a_client_that_is_attached_beside_all_of_httpx_is_recorded_once(world, answer, kind):
    with httpx.Client(transport=answer, base_url="https://db.test/rest/v1") as client:
        attach(client, world.collectors, database=None if kind == "request" else kind)
        client.get("/users")
    assert [span[0] for span in world.spans] == ["GET" if kind == "request" else "select users"]


def test_a_class_of_one_s_own_may_be_attached_alone(world, answer):
    class Own(httpx.Client):
        pass

    attach(Own, world.collectors)
    attach(Own, world.collectors)
    for kind in (Own, httpx.Client):
        with kind(transport=answer) as client:
            client.get("https://api.test/200")
    assert len(world.spans) == 1


def test_a_fault_of_ours_costs_no_request(world, client, monkeypatch, caplog):
    monkeypatch.setattr(world.recording.tracer, "start_span", lambda *_args, **_more: 1 / 0, raising=False)
    assert client.get("/200").status_code == 200
    assert world.samples("gwz_telemetry_dropped_total") == {("metrics", "fault"): 1}
    assert "ZeroDivisionError" in caplog.text


def test_before_instrument_a_request_is_only_sent(monkeypatch, client, sent):
    monkeypatch.setattr(recordings, "_installed", [])
    assert client.get("/200").status_code == 200
    assert "traceparent" not in sent[0].headers


@pytest.mark.parametrize("kind", ["request", "postgrest"])
def test_opentelemetry_s_own_instrumentation_makes_no_second_span(world, kind):
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    provider = TracerProvider(shutdown_on_exit=False)
    provider._active_span_processor = trace_processor(world)
    instrumentor = instrumentation.HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        transport = httpx.HTTPTransport()
        with httpx.Client(transport=transport, base_url="http://127.0.0.1:9/rest/v1") as client:
            attach(client, world.collectors, database=None if kind == "request" else kind)
            with pytest.raises(httpx.ConnectError):
                client.get("/users", params={"key": KEY})
            with pytest.raises(httpx.ConnectError), database(table="report", operation="select"):
                client.get("/users", params={"key": KEY})
        with httpx.Client() as other, pytest.raises(httpx.ConnectError):
            other.get("http://127.0.0.1:9/")
    finally:
        instrumentor.uninstrument()
    names = [span[0] for span in world.spans]
    assert names == (
        ["GET", "GET", "select report", "GET"] if kind == "request" else ["select users", "select report", "GET"]
    )
    assert KEY not in str(world.spans)


def trace_processor(world):
    """Whoever makes spans with it makes them where ours are."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415

    return SimpleSpanProcessor(world.exporter)
