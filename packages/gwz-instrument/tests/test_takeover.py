import asyncio
import importlib.util
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
    make_asgi_app,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute

from gwz_instrument import semconv, taken_metrics, taken_routes, takeover
from gwz_instrument.settings import SettingsError

PATHS = ("/metrics",)


class Ours(Collector):
    """Emits every metric of the core that this package makes, at zero."""

    def collect(self):
        return self.describe()

    def describe(self):
        entries = (entry for entry in semconv.CORE if entry.emitted_by.startswith("gwz_instrument."))
        return [Family(entry.family, entry.brief, entry.kind) for entry in entries]


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def default_registry():
    """prometheus_client's own registry, which has its own collectors again afterwards."""
    before = list(REGISTRY._collector_to_names)
    yield REGISTRY
    for collector in list(REGISTRY._collector_to_names):
        REGISTRY.unregister(collector)
    for collector in before:
        REGISTRY.register(collector)


@pytest.fixture
def predecessor(default_registry, monkeypatch):  # noqa: ARG001  # as it was, afterwards
    """The module as its first import leaves it."""
    spec = importlib.util.spec_from_file_location("predecessor", Path(__file__).with_name("predecessor.py"))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "predecessor", module)
    spec.loader.exec_module(module)
    return module


def found_metrics(registry, entries=semconv.METRICS):
    return taken_metrics.find(registry, Ours(), entries)


def found_routes(app, paths=PATHS):
    return [(route.path, route.methods) for route in taken_routes.find(app, paths)]


def make_room(app, registry, *, replace=True, entries=semconv.METRICS):
    return takeover.make_room(app, registry, Ours(), entries=entries, paths=PATHS, replace=replace)


def get(app, path):
    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
            return await client.get(path)

    return asyncio.run(ask())


def answers(app, path):
    return get(app, path).status_code


async def endpoint(_request: Request):
    return PlainTextResponse("theirs")


# The predecessor


@pytest.mark.parametrize(("entries", "number"), [(semconv.METRICS, 33), (semconv.CORE, 7)])
def test_the_predecessors_collectors_and_routes_collide(predecessor, entries, number):
    with pytest.raises(takeover.CollisionError) as caught:
        make_room(predecessor.create_app(), REGISTRY, replace=False, entries=entries)
    collisions, message = caught.value.collisions, str(caught.value)
    assert (len(collisions.metrics), len(collisions.routes)) == (number, 2)
    assert message.count(" in predecessor\n") == number
    assert "- metric fastapi_app_info (info; ours is a gauge) in predecessor\n" in message
    assert "- metric fastapi_requests_total (counter) in predecessor\n" in message
    assert "- route GET /metrics, answered by predecessor.create_app.<locals>.metrics\n" in message
    assert "- route GET /metrics, answered by predecessor.grafana_metrics\n" in message
    for cure in (
        "Remove it",
        "Settings(replace_existing=True)",
        "GWZ_REPLACE_EXISTING=true",
        "registry=CollectorRegistry()",
    ):
        assert cure in message


@pytest.mark.usefixtures("predecessor")
def test_two_of_the_predecessors_metrics_have_another_type():
    different = {(*m.names, m.kind, m.our_kind) for m in found_metrics(REGISTRY) if m.kind != m.our_kind}
    assert different == {
        ("fastapi_app_info", "info", "gauge"),
        ("database_query_duration_seconds", "summary", "histogram"),
    }


def test_a_refusal_changes_nothing(predecessor):
    app = predecessor.create_app()
    before = (list(REGISTRY._collector_to_names), list(app.routes), found_routes(app))
    with pytest.raises(takeover.CollisionError):
        make_room(app, REGISTRY, replace=False)
    assert (list(REGISTRY._collector_to_names), list(app.routes), found_routes(app)) == before


def test_replacing_leaves_the_three_other_metrics_and_the_other_routes(predecessor):
    app = predecessor.create_app()
    make_room(app, REGISTRY)
    assert {names[0] for names in REGISTRY._collector_to_names.values()} == {
        "http_requests",
        "http_request_duration_seconds",
        "stage_percentage",
    }
    assert found_routes(app) == []
    assert (answers(app, "/metrics"), answers(app, "/ping"), answers(app, "/api/metrics/summary")) == (404, 200, 200)
    assert "/metrics" not in app.openapi()["paths"]


def test_after_replacing_ours_can_be_registered_and_the_application_feeds_its_own(predecessor):
    app = predecessor.create_app()
    make_room(app, REGISTRY)
    REGISTRY.register(Ours())
    predecessor.APP_INFO.labels("gatewayz").info({"version": "1"})
    predecessor.REQUESTS_DURATION.labels("gatewayz", "GET", "/").observe(1)
    assert get(app, "/ping").text == '"pong"'
    assert "fastapi_requests_total{" not in generate_latest(REGISTRY).decode()


def test_what_was_made_room_for_does_not_collide_again(predecessor):
    app = predecessor.create_app()
    make_room(app, REGISTRY)
    assert not make_room(app, REGISTRY, replace=False)


# Metrics


def test_ours_and_prometheus_clients_own_collectors_are_no_collisions(registry):
    ours = Ours()
    registry.register(ours)
    ProcessCollector(registry=registry)
    Counter("sold", "", registry=registry)
    assert taken_metrics.find(registry, ours, semconv.METRICS) == ()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda r: Counter("fastapi_requests", "", registry=r), "fastapi_requests_total"),
        (lambda r: Gauge("fastapi_requests_total", "", registry=r), "fastapi_requests_total"),
        (
            lambda r: Gauge("fastapi_requests_duration_seconds_bucket", "", registry=r),
            "fastapi_requests_duration_seconds",
        ),
        (lambda r: Counter("fastapi_requests_in_progress", "", registry=r), "fastapi_requests_in_progress"),
        (lambda r: Info("fastapi_app", "", registry=r), "fastapi_app_info"),
        (lambda r: Histogram("fastapi_requests", "", registry=r), "fastapi_requests_total"),
    ],
)
def test_every_name_that_the_registry_would_refuse_is_found(registry, make, name):
    make(registry)
    (taken,) = found_metrics(registry)
    assert taken.names == (name,)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(Ours())
    taken_metrics.unregister(registry, [taken])
    registry.register(Ours())


def test_names_that_only_begin_like_ours_stay(registry):
    Counter("fastapi_requests_of_mine", "", registry=registry)
    Gauge("http_requests_total", "", registry=registry)
    assert found_metrics(registry) == ()


class Several(Collector):
    """A collector of an application's own making, with metrics of the contract and another one."""

    def collect(self):
        yield GaugeMetricFamily("fastapi_app_info", "", value=1)
        yield GaugeMetricFamily("queue_size", "", value=2)
        yield GaugeMetricFamily("sold", "", value=3)


@pytest.mark.parametrize("described", [False, True])
def test_a_collector_with_several_names_is_listed_once_and_keeps_its_other_metrics(described):
    """Without descriptions a registry knows no names, and a scrape would show two metrics of one name."""
    registry, theirs = CollectorRegistry(auto_describe=described), Several()
    registry.register(theirs)
    (taken,) = found_metrics(registry)
    assert (taken.names, taken.module) == (("fastapi_app_info", "queue_size"), Several.__module__)
    taken_metrics.unregister(registry, [taken])
    assert found_metrics(registry) == ()
    registry.register(Ours())
    assert registry.get_sample_value("sold") == 3
    assert registry.get_sample_value("queue_size") is None


class Failing(Collector):
    def collect(self):
        raise OSError("the database is away")


def test_a_collector_that_fails_is_left_alone(registry):
    registry.register(Failing())
    assert found_metrics(registry) == ()


def test_the_module_is_the_one_that_made_the_collectors(registry, monkeypatch):
    """Others may have imported some of them, before or after."""
    first, second = Counter("fastapi_requests", "", registry=registry), Gauge("queue_size", "", registry=registry)
    importer, maker = type(sys)("importer"), type(sys)("maker")
    importer.first = maker.first = first
    maker.second = second
    for module in (importer, maker):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert [taken.module for taken in found_metrics(registry)] == ["maker", "maker"]


def test_a_collector_that_no_module_holds_has_an_unknown_module(registry):
    Counter("fastapi_requests", "", registry=registry)
    assert str(found_metrics(registry)[0]) == "metric fastapi_requests_total (counter) in an unknown module"


def test_looking_for_the_module_wakes_no_lazy_module(registry, monkeypatch):
    class Asleep(type(sys)):
        def __getattribute__(self, name):
            raise AssertionError(f"woken for {name}")

    monkeypatch.setitem(sys.modules, "asleep", Asleep("asleep"))
    monkeypatch.setitem(sys.modules, "absent", None)
    Counter("fastapi_requests", "", registry=registry)
    assert len(found_metrics(registry)) == 1


# Routes


def routed(*routes):
    return Starlette(routes=list(routes))


def included(*prefixes):
    app, router = FastAPI(), APIRouter(prefix="/deep" if "/deep" in prefixes else "")
    router.add_api_route("/metrics", endpoint)
    router.add_api_route("/other", endpoint)
    for prefix in prefixes:
        app.include_router(router, prefix=prefix.removeprefix("/deep"))
    return app


def nested():
    app, outer, inner = FastAPI(), APIRouter(), APIRouter()
    inner.add_api_route("/metrics", endpoint)
    inner.add_api_route("/other", endpoint)
    outer.include_router(inner)
    app.include_router(outer)
    return app


OTHER = Route("/other", endpoint)


@pytest.mark.parametrize(
    ("app", "found"),
    [
        (routed(Route("/metrics", endpoint), OTHER), [("/metrics", ("GET", "HEAD"))]),
        (routed(Route("/metrics", endpoint), Route("/metrics", endpoint), OTHER), [("/metrics", ("GET", "HEAD"))] * 2),
        (routed(Route("/metrics", endpoint, methods=["POST"]), OTHER), [("/metrics", ("POST",))]),
        (routed(Route("/metrics", HTTPEndpoint), OTHER), [("/metrics", ())]),
        (routed(Mount("/metrics", make_asgi_app()), OTHER), [("/metrics", ())]),
        (routed(Mount("/metrics", routes=[OTHER]), OTHER), [("/metrics", ())]),
        (routed(Mount("/", routes=[Route("/metrics", endpoint), OTHER])), [("/metrics", ("GET", "HEAD"))]),
        (routed(Host("testserver", routed(Route("/metrics", endpoint), OTHER))), [("/metrics", ("GET", "HEAD"))]),
        (included(""), [("/metrics", ("GET",))]),
        (included("", ""), [("/metrics", ("GET",))] * 2),
        (nested(), [("/metrics", ("GET",))]),
    ],
)
def test_a_route_of_ours_is_found_and_removed_wherever_it_is(app, found):
    assert answers(app, "/metrics") in (200, 307, 404, 405)  # FastAPI has worked out its routes by now
    assert found_routes(app) == found
    taken_routes.remove(app, taken_routes.find(app, PATHS))
    assert found_routes(app) == []
    assert (answers(app, "/metrics"), answers(app, "/other")) == (404, 200)


@pytest.mark.parametrize(
    "app",
    [
        routed(Route("/metrics/", endpoint)),
        routed(Route("/{path:path}", endpoint)),
        routed(Mount("/api", routes=[Route("/metrics", endpoint)])),
        routed(WebSocketRoute("/metrics", endpoint)),
        included("/v1"),
        included("/deep"),
    ],
)
def test_other_paths_are_left_alone(app):
    assert found_routes(app) == []


def test_parameters_names_make_no_difference():
    app = routed(Route("/health/{provider_name:path}", endpoint), Route("/health/{a}/{b}", endpoint))
    assert found_routes(app, ("/health/{provider}",)) == [("/health/{provider_name:path}", ("GET", "HEAD"))]


def test_a_router_that_is_included_under_another_path_keeps_its_route_there():
    app = included("", "/v1")
    taken_routes.remove(app, taken_routes.find(app, PATHS))
    assert (answers(app, "/v1/metrics"), answers(app, "/v1/other"), answers(app, "/other")) == (200, 200, 200)


def test_an_application_mounted_in_itself_is_searched_once():
    app = routed(Route("/metrics", endpoint))
    app.mount("/", app)
    assert found_routes(app) == [("/metrics", ("GET", "HEAD"))]


def test_routes_are_told_with_what_answers_them():
    app = routed(Route("/metrics", endpoint), Mount("/metrics", make_asgi_app()))
    assert [str(route) for route in taken_routes.find(app, PATHS)] == [
        f"route GET,HEAD /metrics, answered by {endpoint.__module__}.endpoint",
        "route any method /metrics, answered by prometheus_client.asgi.make_asgi_app.<locals>.prometheus_app",
    ]


def test_a_route_alone_is_no_reason_for_another_registry(registry):
    with pytest.raises(takeover.CollisionError) as caught:
        make_room(routed(Route("/metrics", endpoint)), registry, replace=False)
    assert "CollectorRegistry" not in str(caught.value)


# Applications and middlewares


@pytest.mark.parametrize("app", [FastAPI(), Starlette()])
def test_applications_of_both_frameworks_are_accepted(app):
    takeover.check_app(app)


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        (object(), "instrument() was given a builtins.object, which has no build_middleware_stack, middleware_stack,"),
        (None, "a builtins.NoneType"),
        ([], "a builtins.list"),
        (APIRouter(), "a fastapi.routing.APIRouter"),
        (
            BaseHTTPMiddleware(FastAPI()),
            "give it the FastAPI or Starlette application itself, not what has been wrapped",
        ),
        (FastAPI, "instrument() was given the class FastAPI: give it an application, as FastAPI()"),
    ],
)
def test_anything_else_is_refused_with_what_it_lacks(app, sentence):
    with pytest.raises(TypeError) as caught:
        takeover.check_app(app)
    assert sentence in str(caught.value)


class Watching(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["watched"] = "yes"
        return response


def watched():
    app = routed(OTHER)
    app.add_middleware(Watching)
    app.add_middleware(Watching)

    async def signing(request, call_next):
        response = await call_next(request)
        response.headers["signed"] = "yes"
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=signing)
    return app


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ((), {"watched", "signed"}),
        (("Watching",), {"signed"}),
        (("signing",), {"watched"}),
        (("Watching", "signing"), set()),
    ],
)
def test_middlewares_are_taken_out_by_name(names, left):
    app = watched()
    takeover.remove_middleware(app, names)
    assert {"watched", "signed"} & get(app, "/other").headers.keys() == left


def test_a_middleware_that_is_not_there_is_an_error_that_lists_those_that_are():
    with pytest.raises(SettingsError) as caught:
        takeover.remove_middleware(watched(), ("Watching", "Gone", "Lost"))
    assert caught.value.problems == (
        "remove_middleware has 'Gone', but the application does not: it has signing, Watching, Watching at this point",
        "remove_middleware has 'Lost', but the application does not: it has signing, Watching, Watching at this point",
    )


def test_a_middleware_cannot_be_taken_out_of_a_running_application():
    app = watched()
    assert answers(app, "/other") == 200
    with pytest.raises(SettingsError, match="too late"):
        takeover.remove_middleware(app, ("Watching",))
    takeover.remove_middleware(app, ())
