"""The JSON endpoints as they are asked for over HTTP: who may, what is refused, what is kept, and that looking changes nothing."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import get_args

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from gwz_instrument import CollisionError, SettingsError, inference, instrument, semconv
from gwz_instrument.monitoring import models
from gwz_instrument.monitoring.desk import Desk, Limit
from gwz_instrument.monitoring.door import PATHS
from gwz_instrument.monitoring.store import Unavailable
from gwz_instrument.monitoring.workers import Workers
from gwz_instrument.semconv import endpoints
from gwz_instrument.settings import Settings

TOKEN, ADMIN = {"Authorization": "Bearer reader"}, {"Authorization": "Bearer admin"}
VALUES = {"{provider}": "groq", "{model:path}": "m/1"}


class Client:
    """Asks an application, without a server and without waiting for one."""

    def __init__(self, app, *, root_path=""):
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, root_path=root_path), base_url="http://app", follow_redirects=True
        )
        self._runner = asyncio.Runner()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.run(self._http.aclose())
        self._runner.close()

    def request(self, method, path, **options):
        return self._runner.run(self._http.request(method, path, **options))

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)


def url(endpoint):
    path = endpoint.path
    for name, value in VALUES.items():
        path = path.replace(name, value)
    return path


def make(app=None, **settings):
    app = app or FastAPI()
    registry = CollectorRegistry()
    settings = {
        "providers": ("groq", "idle"),
        "models": ("m/1",),
        "api_token": "reader",
        "admin_token": "admin",
        **settings,
    }
    with_defaults = Settings.load({}, **settings)
    telemetry = instrument(app, with_defaults, registry=registry)
    return app, telemetry


@pytest.fixture
def app():
    app, _ = make()

    @app.get("/call/{status}")
    def call(status: str):
        with suppress(TimeoutError), inference("groq", "m/1") as made:
            if status == "error":
                raise TimeoutError
            made.usage(input_tokens=10, output_tokens=5, cost_usd=0.25)

    return app


@pytest.fixture
def client(app):
    with Client(app) as client:
        client.get("/call/ok")
        client.get("/call/error")
        yield client


def counted(client, name):
    text = client.get("/metrics").text
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.value
    }


@pytest.mark.parametrize("endpoint", endpoints.MONITORING, ids=lambda one: one.path)
def test_every_endpoint_answers_by_its_model(client, endpoint):
    answer = client.get(url(endpoint), headers=TOKEN)
    assert answer.status_code == 200, answer.text
    model = getattr(models, endpoint.answer)
    bodies = answer.json() if endpoint.many else [answer.json()]
    assert bodies
    for body in bodies:
        model.model_validate(body)
    if endpoint.many:
        about = {name: answer.headers[f"gwz-{name}"] for name in ("source", "from", "to", "complete", "exact")}
    else:
        about = {name: answer.json()[name] for name in ("source", "from", "to", "complete", "exact")}
    assert about["source"] == "local"
    assert about["from"] < about["to"]


@pytest.mark.parametrize("endpoint", endpoints.MONITORING, ids=lambda one: one.path)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic cmVhZGVyOg=="}])
def test_without_the_token_there_is_no_answer(client, endpoint, headers):
    answer = client.get(url(endpoint), headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "GWZ_API_TOKEN" in answer.json()["detail"]
    assert "reader" not in answer.text


def test_the_administrator_may_read_and_only_the_administrator_may_probe(client):
    assert client.get("/api/monitoring/health", headers=ADMIN).status_code == 200
    for endpoint in endpoints.INSTRUMENTATION_ENDPOINTS[1:]:
        assert client.request(endpoint.method, endpoint.path, headers=TOKEN).status_code == 401
        assert client.request(endpoint.method, endpoint.path, headers=ADMIN).status_code == 200
    assert client.get("/api/instrumentation/health").status_code == 401


def test_without_an_administrators_token_nobody_may_probe():
    app, _ = make(admin_token=None)
    with Client(app) as client:
        answer = client.post("/api/instrumentation/test-log", headers={"Authorization": "Bearer "})
        assert (answer.status_code, "GWZ_ADMIN_TOKEN" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/monitoring/stats/realtime?hours=0", "hours must be a whole number from 1 to 168, and is '0'"),
        ("/api/monitoring/stats/realtime?hours=169", "from 1 to 168"),
        ("/api/monitoring/error-rates?hours=x", "from 1 to 168, and is 'x'"),
        ("/api/monitoring/providers/availability?days=0", "days must be a whole number from 1 to 30, and is"),
        ("/api/monitoring/cost-analysis?days=91", "from 1 to 90"),
        ("/api/monitoring/errors/groq?limit=1001", "limit must be a whole number from 1 to 1000, and is"),
        ("/v1/models/trending?limit=0", "from 1 to 100"),
        (
            "/v1/models/trending?sort_by=users",
            "sort_by must be one of requests, tokens, cost, errors, latency, and is 'users'",
        ),
        ("/v1/models/trending?time_range=2h", "time_range must be one of 1h, 24h, 7d, 30d"),
    ],
)
def test_what_is_out_of_range_is_refused_and_the_range_named(client, path, said):
    answer = client.get(path, headers=TOKEN)
    assert answer.status_code == 422
    assert said in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/monitoring/health/nobody",
        "/api/monitoring/stats/hourly/nobody",
        "/api/monitoring/latency-trends/nobody",
        "/api/monitoring/errors/nobody",
        "/api/monitoring/latency/groq/nothing",
        "/api/monitoring/latency/nobody/m/1",
        "/api/monitoring/health/%F0%9F%92%A9",
    ],
)
def test_who_was_never_seen_is_not_found(client, path):
    answer = client.get(path, headers=TOKEN)
    assert (answer.status_code, "There is no" in answer.json()["detail"]) == (404, True)


def test_a_provider_that_is_declared_and_was_never_asked_has_no_score(client):
    body = client.get("/api/monitoring/health/idle", headers=TOKEN).json()
    assert (body["health_score"], body["status"], body["error_rate"]) == (None, "unknown", None)


def test_a_wrong_method_is_refused_and_counted(client):
    assert client.delete("/api/monitoring/health", headers=TOKEN).status_code == 405
    assert counted(client, "gwz_monitoring_requests_total")["/api/monitoring/health", "405"] == 1


def test_looking_changes_nothing_of_what_is_seen(client):
    before = {
        name: counted(client, name) for name in ("fastapi_requests_total", "fastapi_requests_duration_seconds_count")
    }
    for endpoint in endpoints.ENDPOINTS:
        client.request(endpoint.method, url(endpoint), headers=ADMIN)
    client.get("/api/monitoring/health/nobody", headers=TOKEN)
    assert {name: counted(client, name) for name in before} == before
    answers = counted(client, "gwz_monitoring_requests_total")
    assert {path for path, status in answers if status == "200"} == set(PATHS)
    assert answers["/api/monitoring/health/{provider}", "404"] == 1
    assert counted(client, "fastapi_requests_in_progress") == {}


def test_other_paths_under_our_prefixes_are_the_applications_and_are_counted(app):
    @app.get("/api/monitoring/chat-requests/counts")
    def counts():
        return []

    @app.get("/v1/models/{name:path}")
    def model(name: str):
        return name

    with Client(app) as client:
        assert client.get("/api/monitoring/chat-requests/counts").json() == []
        assert client.get("/v1/models/trending/more").json() == "trending/more"
        assert client.get("/v1/models/trending", headers=TOKEN).json()["success"] is True
        assert client.get("/api/monitoring/nothing").status_code == 404
        paths = {labels[2] for labels in counted(client, "fastapi_requests_total")}
    assert paths == {"/api/monitoring/chat-requests/counts", "/v1/models/{name:path}", "<unmatched>"}


def test_the_applications_middlewares_do_not_stand_in_the_way():
    class Refuses(BaseHTTPMiddleware):
        async def dispatch(self, _request, _call_next):
            return PlainTextResponse("no", 418)

    app = FastAPI()
    app.add_middleware(Refuses)
    make(app)
    with Client(app) as client:
        assert client.get("/anything").status_code == 418
        assert client.get("/api/monitoring/health", headers=TOKEN).status_code == 200


@pytest.mark.parametrize("root", ["", "/gateway"])
def test_a_root_path_of_a_proxy_makes_no_difference(root):
    app, _ = make()
    with Client(app, root_path=root) as client:
        assert client.get("/api/monitoring/health", headers=TOKEN).status_code == 200


def test_a_mounted_application_answers_below_its_mount():
    inner, _ = make()
    with Client(Starlette(routes=[Mount("/inner", inner)])) as client:
        assert client.get("/inner/api/monitoring/health", headers=TOKEN).status_code == 200
        assert client.get("/api/monitoring/health", headers=TOKEN).status_code == 404


def test_an_application_of_starlette_has_them_too():
    app, _ = make(Starlette(routes=[Route("/", lambda _request: PlainTextResponse("hi"))]))
    with Client(app) as client:
        assert client.get("/api/monitoring/stats/realtime", headers=TOKEN).json()["source"] == "local"


def test_the_backends_own_dependency_admits_with_its_state_and_its_overrides():
    app = FastAPI()
    app.state.key = "sesame"

    def clock():
        return "now"

    def admit(request: Request, x_key: str = Header(), time: str = Depends(clock)):
        if x_key != request.app.state.key or time != "then":
            raise HTTPException(402, "pay first")

    make(app, api_token=None, monitoring_auth=admit)
    app.dependency_overrides[clock] = lambda: "then"
    with Client(app) as client:
        assert client.get("/api/monitoring/health", headers={"X-Key": "sesame"}).status_code == 200
        assert client.get("/api/monitoring/health", headers={"X-Key": "else"}).status_code == 402
        assert counted(client, "gwz_monitoring_requests_total")["/api/monitoring/health", "_other"] == 1


def test_the_applications_document_has_the_endpoints_with_their_models(app):
    class Latency(models._Body):
        """The application's own, of the same name as one of ours."""

        weight: int

    @app.get("/weight")
    def weight() -> Latency:
        return Latency(weight=1)

    document = app.openapi()
    assert set(PATHS) <= {path.replace("/{model}", "/{model:path}") for path in document["paths"]}
    schemas = document["components"]["schemas"]
    assert set(schemas["Latency"]["properties"]) == {"weight"}
    assert "p95" in schemas["GwzLatency"]["properties"]
    assert {
        name for name in _references(document) if name.removeprefix("#/components/schemas/") not in schemas
    } == set()
    assert document is not app.openapi() or document == app.openapi()


def _references(node):
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_words_of_the_models_are_those_of_the_contract():
    """A type has to spell its values out."""
    assert set(get_args(models.Sort)) == set(endpoints.SORTS)
    assert set(get_args(models.Range)) == set(endpoints.RANGES)
    assert set(get_args(models.Status)) == set(endpoints.HEALTH_STATUSES)
    assert set(get_args(models.Breaker.model_fields["state"].annotation)) == set(endpoints.BREAKER_STATES)
    assert set(get_args(models.Body.model_fields["source"].annotation)) == set(endpoints.SOURCES)
    assert set(get_args(models.Anomaly.model_fields["type"].annotation)) == set(semconv.providers.ANOMALIES)


# Which store, and whether there is any.


@pytest.mark.parametrize(
    ("environ", "given", "store"),
    [
        ({}, {}, "local"),
        ({"GWZ_PROMETHEUS_URL": "http://p:9090"}, {}, "prometheus"),
        ({"GWZ_MONITORING": "local", "GWZ_PROMETHEUS_URL": "http://p:9090"}, {}, "local"),
        ({"GWZ_MONITORING": "off"}, {}, None),
        ({"GWZ_PROMETHEUS_URL": "http://p:9090"}, {"monitoring": False}, None),
        ({"GWZ_MONITORING": "off"}, {"monitoring": "local"}, "local"),
        ({"GWZ_ENVIRONMENT": "staging"}, {}, "local"),
        ({"GWZ_ENVIRONMENT": "production"}, {}, None),
        ({"GWZ_ENVIRONMENT": "Production", "GWZ_PROMETHEUS_URL": "http://p:9090"}, {}, None),
        ({"GWZ_ENVIRONMENT": "production", "GWZ_API_TOKEN": "t"}, {}, "local"),
        ({"GWZ_ENVIRONMENT": "production", "GWZ_API_TOKEN": "t", "GWZ_PROMETHEUS_URL": "http://p:9"}, {}, "prometheus"),
    ],
)
def test_the_store_is_what_the_settings_say_or_imply(environ, given, store):
    assert Settings.load({"GWZ_METRICS_TOKEN": "m", **environ}, **given).store == store


@pytest.mark.parametrize("store", ["local", "prometheus"])
def test_a_store_that_is_asked_for_refuses_to_be_open_in_production(store):
    given = {"environment": "production", "metrics_token": "m", "monitoring": store, "prometheus_url": "http://p:9090"}
    with pytest.raises(
        SettingsError, match=r"GWZ_API_TOKEN is not set, monitoring is '.*' and the environment 'production'"
    ):
        Settings.load({}, **given)
    assert Settings.load({}, **given, api_token="t").store == store
    assert Settings.load({}, **given, monitoring_auth=lambda: None).store == store


def test_prometheus_without_an_address_is_refused():
    with pytest.raises(SettingsError, match="monitoring is 'prometheus', and GWZ_PROMETHEUS_URL is not set"):
        Settings.load({}, monitoring="prometheus")


def test_in_production_without_a_token_there_are_none_and_one_warning(caplog):
    app, _ = make(environment="production", metrics_token="m", api_token=None)
    assert [record.levelname for record in caplog.records if "GWZ_API_TOKEN" in record.message] == ["WARNING"]
    with Client(app) as client:
        assert client.get("/api/monitoring/health").status_code == 404
    assert set(PATHS) & set(app.openapi()["paths"]) == set()


def test_switched_off_there_are_none_and_no_word_of_it(caplog):
    app, _ = make(environment="production", metrics_token="m", api_token=None, monitoring=False)
    assert [record.message for record in caplog.records if "JSON endpoints" in record.message] == []
    with Client(app) as client:
        assert client.get("/api/monitoring/health").status_code == 404


def test_a_route_of_the_applications_with_one_of_our_paths_is_refused_or_replaced():
    def routes():
        app, router = FastAPI(), APIRouter(prefix="/api/monitoring")
        router.add_api_route("/latency/{vendor}/{name}", lambda: 1)
        app.include_router(router)
        app.add_api_route("/api/tokens/efficiency", lambda: 2)
        return app

    with pytest.raises(CollisionError) as caught:
        make(routes())
    said = str(caught.value)
    assert "/api/monitoring/latency/{vendor}/{name}" in said
    assert "/api/tokens/efficiency" in said
    app, _ = make(routes(), replace_existing=True)
    with Client(app) as client:
        assert client.get("/api/tokens/efficiency", headers=TOKEN).json()["source"] == "local"
    make(routes(), monitoring=False)  # without ours there is nothing to collide with


async def test_a_route_that_comes_later_is_named_at_the_start(caplog):
    app, _ = make()
    app.add_api_route("/api/monitoring/health/{name}", lambda: 1)
    sent = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(sent)

    async def send(_message):
        pass

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    (said,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "route GET /api/monitoring/health/{name}, answered by" in said
    assert "is never reached" in said


# What is kept, limited, and given up.


class Slow:
    """A store whose every answer is made of a question's number."""

    source = "local"


def desk(clock=time.monotonic, rate=50.0, deadline_s=1.9):
    return Desk(Slow(), rate=rate, complain=lambda: None, clock=clock, deadline_s=deadline_s)


@contextmanager
def a_page(gate=None):
    made = []

    def page():
        if gate is not None:
            gate.wait(10)
        made.append(1)
        return _Page(len(made))

    yield page, made


def _Page(number):  # noqa: N802  # stands for a class
    from gwz_instrument.monitoring.pages import Page  # noqa: PLC0415
    from gwz_instrument.monitoring.store import Window  # noqa: PLC0415

    return Page(models.Refusal(detail=str(number)), Window(0.0, 1.0, complete=True, exact=True))


async def test_an_answer_is_kept_for_a_second():
    now = [0.0]
    asked = desk(lambda: now[0])
    with a_page() as (page, made):
        first = await asked.page("r", "q", page)
        now[0] = 0.9
        assert (await asked.page("r", "q", page)).body == first.body
        now[0] = 1.1
        assert (await asked.page("r", "q", page)).body != first.body
        await asked.page("r", "other", page)
    assert len(made) == 3


async def test_who_asks_at_the_same_time_shares_one_question():
    gate = threading.Event()
    asked = desk()
    with a_page(gate) as (page, made):
        waiting = [asyncio.create_task(asked.page("r", "q", page)) for _ in range(20)]
        await asyncio.sleep(0.05)
        gate.set()
        assert len({(await one).body for one in waiting}) == 1
    assert len(made) == 1


async def test_a_reader_that_asks_too_often_is_told_when_to_come_back_and_others_are_not():
    now = [0.0]
    asked = desk(lambda: now[0], rate=5.0)
    with a_page() as (page, _):
        for number in range(5):
            await asked.page("r", number, page)
        with pytest.raises(HTTPException) as caught:
            await asked.page("r", "one more", page)
        assert (caught.value.status_code, caught.value.headers["Retry-After"]) == (429, "1")
        await asked.page("r", 4, page)  # it is kept: nobody is refused what is there
        await asked.page("another", "one more still", page)
        now[0] = 0.21
        await asked.page("r", "now", page)


def test_the_readers_that_are_remembered_are_bounded():
    limit = Limit(1.0, lambda: 0.0)
    for number in range(3000):
        limit.refuses(str(number))
    assert len(limit._left) == 1000


async def test_a_store_that_hangs_is_given_up_in_time_and_its_threads_do_not_pile_up():
    gate = threading.Event()
    asked = desk(deadline_s=0.2)
    with a_page(gate) as (page, made):
        began = time.monotonic()
        answers = await asyncio.gather(*(asked.page("r", n, page) for n in range(30)), return_exceptions=True)
        assert time.monotonic() - began < 0.2 * 3 + 1
        assert {(one.status_code, one.headers["Retry-After"]) for one in answers} == {(503, "2")}
        gate.set()
        await asyncio.sleep(0.1)
    assert len(made) == 4  # what had not begun was not begun any more


async def test_a_failure_is_not_kept_and_says_its_reason():
    def fails():
        raise Unavailable("Prometheus refuses connections")

    asked = desk()
    with pytest.raises(HTTPException) as caught:
        await asked.page("r", "q", fails)
    assert (caught.value.status_code, caught.value.detail) == (503, "Prometheus refuses connections")
    with a_page() as (page, made):
        await asked.page("r", "q", page)
    assert made == [1]


async def test_a_fault_of_ours_is_told_and_is_no_zero():
    def fails():
        return 1 / 0

    complaints = []
    asked = Desk(Slow(), rate=50.0, complain=lambda: complaints.append(sys.exc_info()[0]))
    with pytest.raises(HTTPException) as caught:
        await asked.page("r", "q", fails)
    assert (caught.value.status_code, complaints) == (500, [ZeroDivisionError])


def test_a_prometheus_that_is_not_there_is_named_within_two_seconds():
    app, _ = make(monitoring="prometheus", prometheus_url="http://127.0.0.1:9")
    with Client(app) as client:
        began = time.monotonic()
        answer = client.get("/api/monitoring/stats/realtime", headers=TOKEN)
        assert time.monotonic() - began < 2.0 * 3
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "Prometheus (GWZ_PROMETHEUS_URL) refuses connections" in answer.json()["detail"]
    assert "127.0.0.1" not in answer.text


def test_every_documented_status_of_an_answer_is_one_of_the_metrics():
    app, _ = make()
    documented = {
        status
        for path, methods in app.openapi()["paths"].items()
        if path.replace("/{model}", "/{model:path}") in PATHS
        for operation in methods.values()
        for status in operation["responses"]
    }
    assert documented <= set(endpoints.STATUS_CODES)
    assert {"200", "401", "403", "404", "422", "429", "503"} <= documented
    json.dumps(app.openapi())


# What a hostile reader found.


async def test_who_shares_a_question_that_came_to_nothing_gets_a_503_too():
    """Whoever waits longest does not take the answer from those who came later."""
    gate = threading.Event()
    asked = desk(deadline_s=0.3)
    with a_page(gate) as (page, _):
        busy = [asyncio.create_task(asked.page("r", n, page)) for n in range(4)]
        first = asyncio.create_task(asked.page("r", "shared", page))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(asked.page("r", "shared", page))
        answers = await asyncio.gather(*busy, first, second, return_exceptions=True)
        gate.set()
    assert [getattr(one, "status_code", one) for one in answers] == [503] * 6


async def test_a_client_that_leaves_takes_nobody_elses_answer():
    gate = threading.Event()
    asked = desk()
    with a_page(gate) as (page, _):
        leaves = asyncio.create_task(asked.page("r", "q", page))
        stays = asyncio.create_task(asked.page("r", "q", page))
        await asyncio.sleep(0.05)
        leaves.cancel()
        await asyncio.sleep(0.05)
        gate.set()
        assert (await stays).status_code == 200


async def test_probes_that_hang_take_no_thread_from_the_questions():
    gate = threading.Event()
    asked = desk(deadline_s=2.0)
    probes = [asyncio.create_task(asked.work("r", gate.wait, 5.0)) for _ in range(8)]
    await asyncio.sleep(0.05)
    with a_page() as (page, made):
        await asked.page("r", "q", page)
    gate.set()
    await asyncio.gather(*probes)
    assert made == [1]


async def test_answers_that_are_old_are_let_go_of():
    now = [0.0]
    asked = desk(lambda: now[0], rate=1e6)
    with a_page() as (page, _):
        for number in range(50):
            await asked.page("r", number, page)
        assert len(asked._answers) == 50
        now[0] = 2.0
        await asked.page("r", "one more", page)
    assert len(asked._answers) == 1


def test_an_exit_waits_for_no_question():
    code = (
        "import time\n"
        "from gwz_instrument.monitoring.workers import Workers\n"
        "workers = Workers(2)\n"
        "workers.submit(lambda: time.sleep(60), 5.0)\n"
        "time.sleep(0.2)\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
    assert time.monotonic() - began < 20


def test_threads_end_with_whoever_had_them():
    workers = Workers(3)
    assert [workers.submit(lambda: 1, 5.0).result(5) for _ in range(5)] == [1] * 5
    threads = [thread for thread in threading.enumerate() if thread.name == "gwz-monitoring-worker"]
    del workers
    for thread in threads[-3:]:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads[-3:])


@pytest.mark.parametrize("blocked", [("fastapi", "pydantic"), ("pydantic",)])
def test_an_application_of_starlette_needs_neither_fastapi_nor_pydantic(blocked):
    code = (
        "import sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        "from prometheus_client import CollectorRegistry\n"
        "from starlette.applications import Starlette\n"
        "from gwz_instrument import instrument\n"
        "instrument(Starlette(), registry=CollectorRegistry(), environment='development')\n"
        "instrument(Starlette(), registry=CollectorRegistry(), monitoring=False, environment='development')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("path", ["/api/monitoring/health/live", "/api/monitoring/latency/{a}/{b}/history"])
def test_a_route_that_one_of_our_templates_covers_is_refused_as_well(path):
    app = FastAPI()
    app.add_api_route(path, lambda: 1)
    with pytest.raises(CollisionError) as caught:
        make(app)
    assert path in str(caught.value)


def test_each_reader_of_an_answer_that_is_kept_has_its_own_background_tasks():
    app, done = FastAPI(), []

    def admit(tasks: BackgroundTasks, x_name: str = Header()):
        tasks.add_task(done.append, x_name)

    make(app, api_token=None, monitoring_auth=admit)
    with Client(app) as client:
        for name in ("alice", "bob"):
            assert client.get("/api/monitoring/health", headers={"X-Name": name}).status_code == 200
    assert done == ["alice", "bob"]


def test_what_the_applications_dependency_raises_is_answered_as_the_application_does():
    class NoSuchUserError(Exception):
        pass

    def admit():
        raise NoSuchUserError

    app = FastAPI()
    app.add_exception_handler(NoSuchUserError, lambda _request, _error: PlainTextResponse("who?", 401))
    make(app, api_token=None, monitoring_auth=admit)
    with Client(app) as client:
        assert client.get("/api/monitoring/health").text == "who?"


def test_what_is_no_dependency_is_a_set_up_error():
    def admit(thing: threading.Thread):
        pass

    with pytest.raises(SettingsError, match="monitoring_auth is no dependency of FastAPI"):
        make(FastAPI(), api_token=None, monitoring_auth=admit)


def test_overrides_that_are_replaced_later_are_seen():
    def admit():
        raise HTTPException(401, "no")

    app, _ = make(FastAPI(), api_token=None, monitoring_auth=admit)
    with Client(app) as client:
        assert client.get("/api/monitoring/health").status_code == 401
        app.dependency_overrides = {admit: lambda: None}
        assert client.get("/api/monitoring/health").status_code == 200


def test_a_tokens_spelling_gives_no_further_questions():
    app, _ = make(monitoring_rate=3.0)
    with Client(app) as client:
        found = [
            client.get(f"/api/monitoring/stats/realtime?hours={n}", headers={"Authorization": f"{scheme} reader"})
            for n, scheme in enumerate(("Bearer", "bearer", "BEARER", "beareR", "bEARER"), 1)
        ]
    assert 429 in {one.status_code for one in found}


def test_a_gateway_that_was_never_seen_is_not_found():
    app, _ = make()
    with Client(app) as client:
        assert client.get("/v1/models/trending?gateway=nobody", headers=TOKEN).status_code == 404
        assert client.get("/v1/models/trending?gateway=idle", headers=TOKEN).json()["data"] == []


def test_the_parameters_of_the_contract_are_those_that_are_read():
    """Their names, their defaults and what is allowed."""
    app, _ = make()
    paths = {path.replace("/{model}", "/{model:path}"): methods for path, methods in app.openapi()["paths"].items()}
    for endpoint in endpoints.ENDPOINTS:
        read = {
            one["name"]: (one["schema"].get("default"), one["schema"].get("minimum"), one["schema"].get("maximum"))
            for one in paths[endpoint.path][endpoint.method.lower()].get("parameters", ())
            if one["in"] == "query"
        }
        declared = {one.name: (one.default, 1 if one.maximum else None, one.maximum) for one in endpoint.parameters}
        assert read == declared, endpoint.path
