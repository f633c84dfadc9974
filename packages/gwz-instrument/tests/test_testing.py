"""The fixture `telemetry`, as a user's own tests have it: in a project of their own, by a pytest of its own."""

import asyncio
import importlib
import importlib.metadata
import logging
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from gwz_instrument import inference, instrument, recording
from gwz_instrument.testing.capture import capture

SHOP = """
    import asyncio, logging
    import httpx
    from fastapi import FastAPI
    from opentelemetry import trace
    from prometheus_client import Counter
    from gwz_instrument import inference, instrument

    app = FastAPI()
    instrument(app)
    sold = Counter("shop_sold", "Sold.", ["what"])
    tracer = trace.get_tracer("shop")

    @app.get("/buy/{what}")
    def buy(what: str):
        sold.labels(what).inc()
        with tracer.start_as_current_span("pay"):
            logging.getLogger("shop").warning("sold %s", what)
        with inference(provider="groq", model="m") as call:
            call.usage(input_tokens=3, output_tokens=4)
        return {}

    def get(path):
        async def ask():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
                return await client.get(path)
        return asyncio.run(ask())
"""


def project(folder, **files):
    """Write a user's project and run its tests; what pytest said."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "gwz_instrument.testing", "-p", "no:cacheprovider", "-q", "-W", "error", "-W", "ignore::DeprecationWarning", "--rootdir", str(folder), str(folder)],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def get(app, path):
    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.get(path)

    return asyncio.run(ask())


def make_app():
    app = FastAPI()

    @app.get("/hello/{name}")
    def hello(name: str):
        logging.getLogger("shop").warning("hello %s", name)
        with trace.get_tracer("shop").start_as_current_span("greet", attributes={"shop.name": name}):
            return {"hello": name}

    return app


def test_a_users_project_reads_numbers_spans_and_lines(tmp_path):
    """Of an application that is instrumented where it is defined, without any endpoint, test after test."""
    said = project(
        tmp_path,
        shop=SHOP,
        test_shop="""
            import pytest
            import shop

            @pytest.mark.parametrize("_", [1, 2])
            def test_sale(telemetry, _):
                assert shop.get("/buy/tea").status_code == 200
                assert telemetry.increase("fastapi_requests_total", path="/buy/{what}") == 1
                assert telemetry.increase("shop_sold_total", what="tea") == 1
                assert telemetry.increase("tokens_used_total", token_type="input") == 3
                server = telemetry.span("GET /buy/{what}")
                paid = telemetry.span("pay")
                assert paid.context.trace_id == server.context.trace_id
                assert len(telemetry.spans()) == 3
                line = telemetry.line(level="warning", logger="shop", message="sold tea")
                assert line.metadata["trace_id"] == format(server.context.trace_id, "032x")
                telemetry.assert_clean()

            def test_total(telemetry):
                assert telemetry.value("fastapi_requests_total", path="/buy/{what}", status_code=200) == 2
                assert telemetry.spans() == [] and telemetry.lines() == []

            def test_wrong(telemetry):
                shop.get("/buy/tea")
                telemetry.span("GET /buy/coffee")
        """,
    )
    assert "3 passed" in said, said
    assert "1 failed" in said
    assert "AssertionError: no span matches name='GET /buy/coffee'; there are:" in said
    assert "server GET /buy/{what}{" in said


def test_the_example_of_the_guide_runs(tmp_path):
    guide = Path(__file__).resolve().parents[3] / "docs/guides/testing.md"
    snippet = re.search(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)[1]
    client = "class TestClient:\n    __test__ = False\n    def __init__(self, app): pass\n    def get(self, path):\n        import shop\n        return shop.get(path)\n"
    snippet = snippet.replace("from fastapi.testclient import TestClient\n", client)  # its httpx is not always there
    said = project(tmp_path, shop=SHOP, test_guide=snippet)
    assert "1 passed" in said, said


def test_a_provider_of_the_applications_is_tapped_once_and_stays(tmp_path):
    said = project(
        tmp_path,
        shop="""
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider

            provider = TracerProvider()
            trace.set_tracer_provider(provider)
        """,
        test_shop="""
            import pytest
            from opentelemetry import trace
            import shop

            @pytest.mark.parametrize("_", [1, 2, 3])
            def test_span(telemetry, _):
                with trace.get_tracer("shop").start_as_current_span("pay"):
                    pass
                assert telemetry.span("pay").name == "pay"
                assert trace.get_tracer_provider() is shop.provider
                assert len(shop.provider._active_span_processor._span_processors) == 1

            def test_after():
                assert trace.get_tracer_provider() is shop.provider
        """,
    )
    assert "4 passed" in said, said


def test_requests_have_their_line():
    with capture() as telemetry:
        app = make_app()
        telemetry.instrument(app)
        get(app, "/hello/ada?key=s3cret")
        line = telemetry.line(logger="gwz_instrument.request")
        assert line.level == "info"
        assert line.metadata["trace_id"] == format(telemetry.span("GET /hello/{name}").context.trace_id, "032x")
        assert "s3cret" not in str(line.fields)


def test_spans_are_as_they_would_leave():
    with capture() as telemetry:
        telemetry.instrument(make_app())
        with trace.get_tracer("shop").start_as_current_span("pay") as span:
            span.set_attribute("asked", "Authorization: Bearer sk-0123456789abcdef0123456789abcdef")
        assert "sk-0123" not in telemetry.span("pay").to_json()


def test_the_plugin_loads_neither_the_sdk_nor_prometheus_nor_httpx(tmp_path):
    said = project(
        tmp_path,
        test_bare="""
            import sys

            def test_nothing_is_loaded():
                heavy = {"opentelemetry", "prometheus_client", "fastapi", "httpx", "redis", "sqlalchemy", "gwz_instrument.testing.capture"}
                assert not heavy & sys.modules.keys()
        """,
    )
    assert "1 passed" in said, said


def test_the_plugin_does_without_pytest_asyncio_and_takes_its_tests_where_it_is(tmp_path):
    test = "def test_it(telemetry):\n    assert telemetry.spans() == []\n"
    (tmp_path / "test_it.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "gwz_instrument.testing", "-p", "no:asyncio", "-p", "no:cacheprovider", "-q", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_instrument_leaves_no_trace_after_the_test():
    app = make_app()
    before = (dict(vars(app)), list(app.router.routes), list(app.user_middleware), list(logging.getLogger().handlers))
    installed, provider = list(recording._installed), trace.get_tracer_provider()
    held = set(REGISTRY._collector_to_names)
    with capture() as telemetry:
        telemetry.instrument(app)
        get(app, "/hello/ada")
        assert telemetry.value("fastapi_requests_total", path="/hello/{name}", status_code=200) == 1
        assert [span.name for span in telemetry.spans()] == ["greet", "GET /hello/{name}"]
        assert telemetry.span(shop_name="ada").name == "greet"
    assert {name: vars(app).get(name) for name in before[0] if name != "middleware_stack"} == {
        name: value for name, value in before[0].items() if name != "middleware_stack"
    }
    assert "build_middleware_stack" not in vars(app)
    assert app.middleware_stack is None
    assert (app.router.routes, app.user_middleware, logging.getLogger().handlers) == before[1:]
    assert list(recording._installed) == installed
    assert trace.get_tracer_provider() is provider
    assert set(REGISTRY._collector_to_names) == held
    assert get(app, "/metrics").status_code == 404


def test_an_application_may_be_captured_again_and_again():
    """Also by a tracer of the application's that has met the first test's provider."""
    app = make_app()
    for _ in range(3):
        with capture() as telemetry:
            telemetry.instrument(app)
            get(app, "/hello/ada")
            assert telemetry.value("fastapi_requests_total", path="/hello/{name}") == 1
            assert len(telemetry.spans("greet")) == 1


def test_a_gauge_that_a_module_feeds_is_asked_in_each_test_and_not_in_between(monkeypatch, tmp_path):
    for name in ("_installed", "_waiting", "_of_modules"):
        monkeypatch.setattr(recording, name, [])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gwz_queue.py").write_text(
        "from gwz_instrument import gauge\nasked = []\n"
        "gauge('queue_size', lambda: asked.append(1) or {'mail': 2}, every_s=0.01)\n",
        "utf-8",
    )
    asked = importlib.import_module("gwz_queue").asked
    sys.modules.pop("gwz_queue")
    for _ in range(2):
        before = len(asked)
        with capture() as telemetry:
            handle, until = telemetry.instrument(make_app()), time.monotonic() + 10
            while "mail" not in generate_latest(handle.registry).decode():
                assert time.monotonic() < until, "within ten seconds"
            assert telemetry.value("queue_size", queue_name="mail") == 2
        assert len(asked) > before
        time.sleep(0.03)  # what was under way
        before = len(asked)
        time.sleep(0.1)
        assert len(asked) == before


def test_requests_after_the_test_reach_the_applications_own_telemetry():
    app, registry = make_app(), CollectorRegistry()
    instrument(app, registry=registry)
    with capture() as telemetry:
        telemetry.instrument(app)
        get(app, "/hello/ada")
    get(app, "/hello/ada")
    assert len(telemetry.spans("GET /hello/{name}")) == 1
    with capture() as telemetry:
        telemetry.instrument(app)
        assert telemetry.value("fastapi_requests_total", path="/hello/{name}", method="GET") == 2
        assert telemetry.increase("fastapi_requests_total", path="/hello/{name}", method="GET") == 0


def test_lines_do_not_leave_the_process_while_they_are_captured(loki):
    app = make_app()
    handle = instrument(app, registry=CollectorRegistry(), loki_url=loki.url)
    try:
        with capture() as telemetry:
            get(app, "/hello/ada")
            assert telemetry.line(logger="shop").message == "hello ada"
        assert handle.force_flush(2)
        assert loki.lines == []
        get(app, "/hello/bob")
        assert handle.force_flush(2)
        assert any("hello bob" in line for _, _, line, _ in loki.lines)
    finally:
        handle.shutdown(0)


def test_a_recorder_outside_of_a_request_is_captured_of_an_application_instrumented_before():
    before = list(recording._installed)
    app = make_app()
    instrument(app, registry=CollectorRegistry())
    try:
        with capture() as telemetry:
            with inference(provider="groq", model="m"):
                pass
            assert telemetry.span(gen_ai_provider_name="groq").name == "chat m"
        with capture() as telemetry:
            assert telemetry.spans() == []
    finally:
        recording._installed[:] = before


def test_a_recorder_outside_of_a_request_is_captured_too():
    with capture() as telemetry:
        telemetry.instrument(make_app())
        with inference(provider="groq", model="m") as call:
            call.usage(input_tokens=3, output_tokens=4)
        assert telemetry.value("tokens_used_total", token_type="output") == 4
        assert telemetry.span(gen_ai_provider_name="groq").name


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.value("fastapi_request_total"), "no metric is called fastapi_request_total; the nearest names are fastapi_requests_total"),
        (lambda t: t.increase("fastapi_request_total"), "the nearest names are fastapi_requests_total"),
        (lambda t: t.value("fastapi_requests_total", route="/x"), "fastapi_requests_total has no label route: its labels are app_name, method, path, status_code"),
        (lambda t: t.value("fastapi_requests_total", path="/x"), 'no series matches fastapi_requests_total{path="/x"}; of fastapi_requests_total there are:'),
        (lambda t: t.span(), "2 spans match anything; there are:"),
        (lambda t: t.line(level="error"), "no line matches level='error'; there are:\n  warning shop: hello ada"),
    ],
)  # fmt: skip
def test_an_assertion_says_what_was_looked_for_and_what_there_is(ask, message):
    with capture() as telemetry:
        app = make_app()
        telemetry.instrument(app)
        get(app, "/hello/ada")
        with pytest.raises(AssertionError) as raised:
            ask(telemetry)
    assert message in str(raised.value)


def test_nothing_counted_is_an_increase_of_zero():
    with capture() as telemetry:
        telemetry.instrument(make_app())
        assert telemetry.increase("fastapi_requests_total", path="/x") == 0


def test_assert_clean_names_the_stranger():
    from prometheus_client import Counter  # noqa: PLC0415

    registry = CollectorRegistry()
    with capture() as telemetry:
        telemetry.instrument(make_app(), registry=registry)
        telemetry.assert_clean()
        Counter("fastapi_requets", "A slip of the pen.", registry=registry).inc()
        with pytest.raises(AssertionError) as raised:
            telemetry.assert_clean()
    assert "stranger: the metric fastapi_requets" in str(raised.value)
    assert "the nearest declared name is fastapi_requests_total" in str(raised.value)


def test_pytest_finds_the_plugin_by_itself():
    """Under its module's name, so that `-p gwz_instrument.testing` beside it loads it once."""
    (found,) = (entry for entry in importlib.metadata.entry_points(group="pytest11") if entry.value.startswith("gwz"))
    assert (found.name, found.value) == ("gwz_instrument.testing", "gwz_instrument.testing")
