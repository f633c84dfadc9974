import asyncio
import functools
import sys
import types

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from gwz_instrument import routes as module
from gwz_instrument.routes import RouteTemplates, relative_path

PATHS_HOLD_ROOT = hasattr(sys.modules["starlette._utils"], "get_route_path")
"""Whether this Starlette counts root_path as a part of the path."""


def ask(app, path, *, method="GET", headers=(), root_path="", templates=None, through=None):
    """(template, status) of one request, read after the answer, as a middleware outside `app` does."""
    sent, received = [], [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        return received.pop() if received else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": root_path, "scheme": "http", "query_string": b"",
        "headers": [(b"host", b"example.org"), *((name.encode(), value.encode()) for name, value in headers)],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 5),
    }  # fmt: skip
    asyncio.run((through or app)(scope, receive, send))
    return (templates or RouteTemplates(app)).of(scope), sent[0]["status"]


async def ok(_request):
    return PlainTextResponse("ok")


async def raw(scope, receive, send):
    await PlainTextResponse("raw")(scope, receive, send)


def plain(*routes, **options):
    return Starlette(routes=list(routes), **options)


def api(*paths, **options):
    app = FastAPI(**options)
    for path in paths:
        app.get(path)(one_more_endpoint())
    return app


def one_more_endpoint():
    async def endpoint():
        return "ok"

    return endpoint


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/items/1", "/items/{item}"),
        ("/v1/acme/outer/inner/a/b", "/v1/{tenant}/outer/inner/{name:path}"),
        ("/v1/acme/outer", "/v1/{tenant}/outer"),
        ("/mnt/acme/things/7", "/mnt/{tenant}/things/{thing}"),
        ("/mnt/acme/deep/x/y", "/mnt/{tenant}/deep/{deep}/y"),
        ("/docs", "/docs"),
        ("/openapi.json", "/openapi.json"),
        ("/mnt/acme/openapi.json", "/mnt/{tenant}/openapi.json"),
        ("/plain/5", "/plain/{x}"),
        ("/v1/acme/inner-plain", "/v1/{tenant}/inner-plain"),
        ("/raw/wp-login.php", "/raw/{path}"),
        ("/raw/", "/raw/{path}"),
    ],
)
def test_fastapi_routes_have_their_whole_template(path, template):
    inner, outer, deep = APIRouter(prefix="/inner"), APIRouter(prefix="/outer"), api("/y")
    inner.get("/{name:path}")(one_more_endpoint())
    outer.get("")(one_more_endpoint())
    outer.add_route("/inner-plain", ok)
    outer.include_router(inner)
    sub = api("/things/{thing}")
    sub.mount("/deep/{deep}", deep)
    app = api("/items/{item}")
    app.include_router(outer, prefix="/v1/{tenant}")
    app.mount("/mnt/{tenant}", sub)
    app.add_route("/plain/{x}", ok)
    app.mount("/raw", raw)
    assert ask(app, path) == (template, 200)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/a/1/b/2", "/a/{x}/b/{y:int}"),
        ("/a/1/c/d", "/a/{x}/c/d"),
        ("/router/e", "/router/e"),
        ("/class", "/class"),
        ("/partial", "/partial"),
        ("/wrapped/f/3", "/wrapped/f/{z}"),
        ("/behind/g", "/behind/g"),
        ("/api/h/4", "/api/h/{h}"),
        ("/api/openapi.json", "/api/openapi.json"),
        ("/any/thing/else", "/{path}"),
    ],
)
def test_starlette_routes_have_their_whole_template(path, template):
    class Endpoint(HTTPEndpoint):
        async def get(self, _request):
            return PlainTextResponse("ok")

    app = plain(
        Route("/", ok),
        Route("/class", Endpoint),
        Route("/partial", functools.partial(ok)),
        Mount("/a/{x}", routes=[Route("/b/{y:int}", one_more()), Mount("/c", routes=[Route("/d", one_more())])]),
        Mount("/router", Router([Route("/e", one_more())])),
        Mount("/wrapped", routes=[Route("/f/{z}", one_more())], middleware=[Middleware(GZipMiddleware)]),
        Mount("/behind", GZipMiddleware(plain(Route("/g", one_more())))),
        Mount("/api", api("/h/{h}")),
        Mount("", raw),
    )
    assert ask(app, path) == (template, 200)


def one_more():
    async def endpoint(_request):
        return PlainTextResponse("ok")

    return endpoint


def test_one_application_under_several_mounts_has_the_template_of_each():
    sub = api("/x/{x}")
    app = api()
    for path in ("/one", "/two/{name}", "/two/{name}/three"):
        app.mount(path, sub)
    assert ask(app, "/one/x/1") == ("/one/x/{x}", 200)
    assert ask(app, "/two/one/x/1") == ("/two/{name}/x/{x}", 200)
    assert ask(app, "/two/x/x/1") == ("/two/{name}/x/{x}", 200)
    assert ask(app, "/two/2/three/x/1")[0] == "<unmatched>", "the router takes the first mount that fits"


def test_one_raw_application_under_several_mounts_has_the_template_of_each():
    app = plain(Mount("/one/{x}", raw), Mount("/two", routes=[Mount("/three", raw)]))
    assert ask(app, "/one/two/three/x") == ("/one/{x}/{path}", 200)
    assert ask(app, "/two/three/one") == ("/two/three/{path}", 200)


def test_one_endpoint_under_several_paths_has_the_template_of_each():
    app = plain(
        Route("/a/{x}", ok, methods=["POST"]),
        Route("/a/b", ok),
        Route("/b/{x:path}", ok),
        Mount("/b", routes=[Route("/b/c", ok)]),
        Mount("/c", routes=[Route("/c/d", ok), Route("/d", ok)]),
    )
    assert ask(app, "/a/b") == ("/a/b", 200)
    assert ask(app, "/a/b", method="POST") == ("/a/{x}", 200)
    assert ask(app, "/a/c")[0] == "/a/{x}"
    assert ask(app, "/b/b/c") == ("/b/{x:path}", 200)
    assert ask(app, "/c/c/d") == ("/c/c/d", 200)
    assert ask(app, "/c/d") == ("/c/d", 200)


def test_one_router_included_several_times_has_the_template_of_each():
    router, app = APIRouter(), FastAPI()
    router.get("/models/{model}")(one_more_endpoint())
    for prefix in ("", "/v1", "/{tenant}"):
        app.include_router(router, prefix=prefix)
    templates = RouteTemplates(app)
    assert ask(app, "/models/1", templates=templates) == ("/models/{model}", 200)
    assert ask(app, "/v1/models/1", templates=templates) == ("/v1/models/{model}", 200)
    assert ask(app, "/acme/models/1", templates=templates) == ("/{tenant}/models/{model}", 200)


def test_a_route_that_decides_by_more_than_the_path_has_its_own_template():
    class Versioned(APIRoute):
        def matches(self, scope):
            wanted = self.path.strip("/{}").encode()
            return super().matches(scope) if (b"version", wanted) in scope["headers"] else (Match.NONE, {})

    app, endpoint = FastAPI(), one_more_endpoint()
    app.router.routes += [Versioned("/{one}", endpoint), Versioned("/{two}", endpoint)]
    assert ask(app, "/x", headers=[("version", "one")]) == ("/{one}", 200)
    assert ask(app, "/x", headers=[("version", "two")]) == ("/{two}", 200)


def test_routes_of_a_host_have_the_template_of_their_path():
    app = plain(
        Host("example.org", api("/x/{x}")),
        Host("{tenant}.example.org", Router([Mount("/y", routes=[Route("/{y}", ok)])])),
        Host("raw.org", raw),
    )
    assert ask(app, "/x/1") == ("/x/{x}", 200)
    assert ask(app, "/nothing") == ("<unmatched>", 404)

    def at(host, path):
        return ask(app, path, through=with_host(app, host))

    assert at("a.example.org", "/y/1") == ("/y/{y}", 200)
    assert at("raw.org", "/1") == ("/{path}", 200)
    assert at("elsewhere.org", "/x/1") == ("<unmatched>", 404)


def with_host(app, host):
    async def through(scope, receive, send):
        scope["headers"] = [(b"host", host.encode())]
        await app(scope, receive, send)

    return through


def test_files_have_the_template_of_their_mount(tmp_path):
    (tmp_path / "logo.svg").write_text("<svg/>")
    app = api()
    app.mount("/static", StaticFiles(directory=tmp_path))
    assert ask(app, "/static/logo.svg") == ("/static/{path}", 200)
    assert ask(app, "/static/nothing.php") == ("/static/{path}", 404)


@pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="this FastAPI has no frontends")
def test_frontends_have_the_template_of_their_declaration(tmp_path):
    (tmp_path / "index.html").write_text("home")
    app, sub, router = api(), api(), APIRouter()
    router.frontend("/r", directory=tmp_path)
    app.include_router(router, prefix="/in")
    app.frontend("/front/end", directory=tmp_path)
    sub.frontend("/", directory=tmp_path)
    app.mount("/sub/{x}", sub)
    assert ask(app, "/front/end/index.html") == ("/front/end/{path}", 200)
    assert ask(app, "/in/r/index.html") == ("/in/r/{path}", 200)
    assert ask(app, "/sub/1/index.html") == ("/sub/{x}/{path}", 200)
    assert ask(app, "/elsewhere") == ("<unmatched>", 404)


@pytest.mark.parametrize("mounted", ["", "/sub"])
@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/nothing", "GET", ("<unmatched>", 404)),
        ("/items/1/", "GET", ("<unmatched>", 307)),
        ("/items/1", "DELETE", ("/items/{item}", 405)),
        ("/in/items/1/", "GET", ("<unmatched>", 307)),
        ("/in/items/1", "DELETE", ("/in/items/{item}", 405)),
    ],
)
def test_what_the_router_answers_itself_is_unmatched_but_a_wrong_method_keeps_its_route(
    mounted, path, method, expected
):
    sub, router = api("/items/{item}"), APIRouter()
    router.get("/items/{item}")(one_more_endpoint())
    sub.include_router(router, prefix="/in")
    app = api()
    app.mount("/sub", sub)
    template, status = expected
    if template != "<unmatched>":
        template = mounted + template
    assert ask(app if mounted else sub, mounted + path, method=method) == (template, status)


def test_answers_before_routing_are_unrouted():
    app = api("/items/{item}")
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")]
    assert ask(app, "/items/1", method="OPTIONS", headers=preflight) == ("<unrouted>", 200)
    assert ask(raw, "/items/1") == ("<unrouted>", 200)


def test_a_route_added_after_the_first_request_is_known_at_its_first_answer():
    app = api("/a")
    templates = RouteTemplates(app)
    assert ask(app, "/a", templates=templates) == ("/a", 200)
    app.get("/b/{b}")(one_more_endpoint())
    assert ask(app, "/b/1", templates=templates) == ("/b/{b}", 200)
    router = APIRouter()
    app.include_router(router, prefix="/in")
    router.get("/c/{c}")(one_more_endpoint())
    app.include_router(router, prefix="/again")
    assert ask(app, "/again/c/1", templates=templates) == ("/again/c/{c}", 200)


class Quick(RouteTemplates):
    """Tells only what is known at once, when everything has been collected."""

    def of(self, scope):
        super().of(scope)
        known = self.known(scope)
        return known and known.template


def test_a_route_is_known_at_once_also_where_fastapi_names_it_otherwise_than_before():
    """As it does with all routes of a router that gets one more, and of a mount within an included router."""
    router, app = APIRouter(), FastAPI()
    router.get("/a")(one_more_endpoint())
    router.mount("/sub", api("/m"))
    app.include_router(router, prefix="/in")
    templates = Quick(app)
    assert ask(app, "/in/a", templates=templates) == ("/in/a", 200)
    router.get("/b")(one_more_endpoint())
    assert ask(app, "/in/a", templates=templates) == ("/in/a", 200)
    within = ask(app, "/in/sub/m", templates=templates)
    assert within in (("/in/sub/m", 200), (None, 404))  # FastAPI's older versions include no mounts


def test_an_endpoint_that_gets_a_second_path_later_has_the_template_of_each():
    app = plain(Route("/a/{x}", ok))
    templates = RouteTemplates(app)
    assert ask(app, "/a/1", templates=templates) == ("/a/{x}", 200)
    app.router.routes.append(Route("/b/{x}", ok))
    assert ask(app, "/b/1", templates=templates) == ("/b/{x}", 200)
    assert ask(app, "/a/1", templates=templates) == ("/a/{x}", 200)


def test_routes_that_come_and_go_leave_nothing_behind_and_never_mix():
    """A route's memory may be another route's a moment later."""
    app = plain()
    templates = RouteTemplates(app)
    for number in range(300):
        app.router.routes[:] = [Route(f"/{number}/{{x}}", one_more())]
        assert ask(app, f"/{number}/1", templates=templates) == (f"/{number}/{{x}}", 200)
    assert len(templates._table.entries) == 2, "the route and its endpoint"


class OneOff(BaseRoute):
    """A route of somebody's own making, with a new endpoint for each request."""

    def matches(self, scope):
        return (Match.FULL, {"endpoint": one_more()}) if scope["path"].endswith("/one-off") else (Match.NONE, {})

    async def handle(self, scope, receive, send):
        await raw(scope, receive, send)


def test_endpoints_that_no_walk_finds_do_not_cause_one_per_request(monkeypatch):
    walks = []
    monkeypatch.setattr(module, "_collect", lambda app, collect=module._collect: walks.append(app) or collect(app))
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    clock = [100.0]
    app = plain(OneOff(), Route("/a", ok))
    templates = RouteTemplates(app)
    for _ in range(50):
        assert ask(app, "/one-off", templates=templates) == ("<unmatched>", 200)
    assert ask(app, "/a", templates=templates) == ("/a", 200)
    assert len(walks) == 1
    clock[0] += 1.0
    assert ask(app, "/one-off", templates=templates) == ("<unmatched>", 200)
    assert len(walks) == 2


def test_templates_collected_at_start_up_spare_the_requests_the_walk(monkeypatch):
    app = api("/a")
    templates = RouteTemplates(app)
    templates.collect()
    monkeypatch.setattr(module, "_collect", None)
    assert ask(app, "/a", templates=templates) == ("/a", 200)


def test_what_hides_behind_a_mount_has_the_mounts_template():
    hidden = api("/x/{x}")

    async def dispatch(scope, receive, send):
        await hidden(scope, receive, send)

    app = plain(Mount("/a/{a}", routes=[Mount("/b", dispatch)]))
    assert ask(app, "/a/1/b/x/2") == ("/a/{a}/b/{path}", 200)


@pytest.mark.parametrize("odd", [5, None, "/x", object(), types.SimpleNamespace(path="/from/the/client"), FastAPI()])
def test_an_odd_scope_neither_raises_nor_brings_its_own_template(odd):
    app = plain(Route("/a", ok))
    templates = RouteTemplates(app)
    for key in ("route", "endpoint", "fastapi", "router", "root_path", "app_root_path"):
        scope = {"type": "http", "path": "/a", "router": app.router, "endpoint": ok, key: odd}
        if key in ("root_path", "app_root_path") and not isinstance(odd, str | None):
            continue
        assert templates.of(scope) in ("/a", "<unmatched>")


@pytest.mark.parametrize("routes", [5, "abc", {"a": 1}, lambda: None, [5, None, types.SimpleNamespace(app=7, path=8)]])
def test_an_odd_application_does_not_raise(routes):
    app = types.SimpleNamespace(routes=routes)
    assert RouteTemplates(app).of({"type": "http", "path": "/a", "router": app, "endpoint": ok}) == "<unmatched>"


def test_an_application_mounted_in_itself_is_walked_once():
    app = api("/a")
    app.mount("/self", app)
    assert ask(app, "/self/self/a") == ("/a", 200)


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/metrics", "", "/metrics"),
        ("/metrics", "/api", "/metrics"),
        ("/api/metrics", "/api", "/metrics"),
        ("/api/metrics", "/api/", "/metrics"),
        ("/apiary/metrics", "/api", "/apiary/metrics"),
        ("/api", "/api", "/"),
        ("/api/", "/api", "/"),
        ("/metrics", "/", "/metrics"),
        ("/metrics", None, "/metrics"),
    ],
)
def test_the_relative_path_leaves_out_the_root_path_where_it_is_there(path, root_path, expected):
    assert relative_path({"path": path, "root_path": root_path}) == expected
    assert relative_path({"path": path}) == path


@pytest.mark.parametrize("root_path", ["", "/proxy", "/proxy/two"])
def test_a_root_path_is_no_part_of_a_template(root_path):
    sub = api("/x/{x}")
    app = api("/items/{item}")
    app.mount("/one", sub)
    app.mount("/two", sub)
    path = root_path if PATHS_HOLD_ROOT else ""
    assert ask(app, path + "/items/1", root_path=root_path) == ("/items/{item}", 200)
    assert ask(app, path + "/one/x/1", root_path=root_path) == ("/one/x/{x}", 200)
    assert ask(app, path + "/two/x/1", root_path=root_path) == ("/two/x/{x}", 200)


segments = st.sampled_from(["/a", "/b", "/{p}", "/a/{q:int}"])


@st.composite
def trees(draw, depth=3):
    """(routes, templates in the order of the router) of a random application; endpoints and inner routers are shared."""
    shared = [one_more() for _ in range(2)]
    pool = []

    def grow(left):
        routes = []
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["route", "mount", "again", "raw"] if left else ["route", "raw"]))
            path = draw(segments)
            if kind == "route":
                routes.append(
                    Route(path, draw(st.sampled_from(shared)), methods=draw(st.sampled_from([["GET"], ["POST"]])))
                )
            elif kind == "raw":
                routes.append(Mount(path, raw))
            elif kind == "again" and pool:
                routes.append(Mount(path, draw(st.sampled_from(pool))))
            else:
                router = Router(grow(left - 1))
                pool.append(router)
                routes.append(Mount(path, router))
        return routes

    return grow(depth)


def expected(routes, path, method, prefix=""):
    """What a reader of Starlette's documentation would say: the first route that fits, or else one of another method."""
    partial = None
    for route in routes:
        match = route.path_regex.match(path)
        if match is None:
            continue
        if isinstance(route, Mount):
            rest = "/" + match.groupdict()["path"]
            if route.app is raw:
                return prefix + route.path + "/{path}"
            return expected(route.app.routes, rest, method, prefix + route.path)
        if method in route.methods:
            return prefix + route.path
        partial = partial or prefix + route.path
    return partial or "<unmatched>"


@given(
    trees(),
    st.lists(st.sampled_from(["/a", "/b", "/1", "/a/"]), max_size=6).map("".join),
    st.sampled_from(["GET", "POST"]),
)
def test_the_template_is_that_of_the_route_the_router_took(routes, path, method):
    path = (path or "/").replace("//", "/")
    template, _status = ask(plain(*routes), path, method=method)
    assert template == expected(routes, path, method)
