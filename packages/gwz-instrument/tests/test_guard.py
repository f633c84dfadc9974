import contextlib
import logging
import logging.config
import threading

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gwz_instrument import instrument, semconv
from gwz_instrument.guard import Guard
from gwz_instrument.semconv import http

SERVER = "a_server"


class Ours(Collector):
    def collect(self):
        return self.describe()

    def describe(self):
        return [Family(http.APP_INFO.family, "", "gauge"), Family(http.REQUESTS.family, "", "counter")]


class Kept(logging.Handler):
    """Keeps the warnings of gwz-instrument."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def told():
    """What gwz-instrument says."""
    kept, logger = Kept(), logging.getLogger("gwz_instrument")
    logger.addHandler(kept)
    yield kept.messages
    logger.removeHandler(kept)


@pytest.fixture
def loggers():
    """The root logger and a server's, which have their own handlers again afterwards."""
    found = [logging.getLogger(), logging.getLogger(SERVER)]
    before = [list(logger.handlers) for logger in found]
    yield found
    for logger, handlers in zip(found, before, strict=True):
        logger.handlers[:] = handlers


@pytest.fixture
def guard(loggers):  # noqa: ARG001  # as they were, afterwards
    """A guard of what has just been put in place."""
    guard = Guard(
        registry=CollectorRegistry(),
        collectors=Ours(),
        entries=semconv.METRICS,
        replace=False,
        handler=logging.NullHandler(),
        loggers=("", SERVER),
    )
    guard.put_back()
    guard._told.clear()
    return guard


def wipe(registry):
    """What the predecessor does when its metrics module is first imported."""
    for collector in list(registry._collector_to_names):
        registry.unregister(collector)


def names(registry):
    return {family.name for family in registry.collect()}


def test_nothing_is_said_while_nothing_is_missing(guard, told):
    before = dict(guard.registry._collector_to_names)
    guard.put_back()
    assert (told, guard.registry._collector_to_names) == ([], before)


def test_an_unchanged_registry_is_not_asked_for_samples(guard):
    """The standard collectors read files of the kernel, which is the scrape's own business."""
    asked = []

    class Watched(ProcessCollector):
        def collect(self):
            asked.append(1)
            return super().collect()

    wipe(guard.registry)
    Watched(registry=guard.registry)
    guard.put_back()
    asked.clear()
    guard.put_back()
    assert asked == []


def test_what_was_unregistered_is_back_and_told_in_one_line(guard, told):
    wipe(guard.registry)
    guard.put_back()
    wipe(guard.registry)
    guard.put_back()
    assert {"fastapi_app_info", "process_resident_memory_bytes", "python_info"} <= names(guard.registry)
    (line,) = told
    assert line.startswith("removed since instrument() and put back: our metrics, process_* and python_*. ")
    assert "call instrument(app) after the code that resets the registry or the logging" in line


def test_the_log_handler_is_back_on_each_logger_and_told_once(guard, loggers, told):
    for _ in range(2):
        for logger in loggers:
            logger.handlers.clear()
        guard.put_back()
        assert [logger.handlers.count(guard.handler) for logger in loggers] == [1, 1]
    assert [line.partition(". ")[0] for line in told] == [
        "removed since instrument() and put back: the log handler of the root logger"
    ]


def test_a_server_that_sets_up_its_own_logger_is_no_news(guard, loggers, told):
    loggers[1].handlers.clear()
    guard.put_back()
    assert (loggers[1].handlers, told) == ([guard.handler], [])


def test_without_logs_no_handler_is_put_anywhere(guard, loggers):
    guard.handler = None
    loggers[1].handlers.clear()
    guard.put_back()
    assert loggers[1].handlers == []


def test_names_that_the_application_has_taken_since_are_told_with_the_cure(guard, told):
    wipe(guard.registry)
    theirs = Counter("fastapi_requests", "", registry=guard.registry)
    guard.put_back()
    guard.put_back()
    assert theirs in guard.registry._collector_to_names
    lost, back = told
    assert lost.startswith("our metrics are gone from the registry: ")
    assert "- metric fastapi_requests_total (counter) in an unknown module\n" in lost
    assert "Settings(replace_existing=True)" in lost
    assert "our metrics" not in back
    assert "python_info" in names(guard.registry)


def test_names_that_the_application_has_taken_since_are_replaced_if_they_may_be(guard, told):
    guard.replace = True
    wipe(guard.registry)
    theirs = Counter("fastapi_requests", "", registry=guard.registry)
    Gauge("stage_percentage", "", registry=guard.registry).set(7)
    guard.put_back()
    theirs.inc()
    assert theirs not in guard.registry._collector_to_names
    assert guard.collectors in guard.registry._collector_to_names
    assert guard.registry.get_sample_value("stage_percentage") == 7
    assert len(told) == 1


def test_a_fault_of_ours_is_told_once_and_never_raised(guard, told):
    guard.registry = None
    guard.put_back()
    guard.put_back()
    assert told == ["gwz-instrument could not put back what the application has removed"]


def test_scrapes_at_the_same_time_put_back_once(guard, told):
    wipe(guard.registry)
    scrapes = [threading.Thread(target=guard.put_back) for _ in range(8)]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join()
    assert len(told) == 1
    assert guard.collectors in guard.registry._collector_to_names


OFF = "gwz_instrument.off"
OURS = ("gwz_instrument", "opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp")
OTHERS = ("opentelemetry.instrumentation", "gwz_instruments", "an_application")


@pytest.fixture
def every_logger(told):  # noqa: ARG001  # its handler is put where dictConfig leaves it
    """Loggers of every kind; what dictConfig changes is as it was, afterwards."""
    for name in (*OURS, *OTHERS, OFF):
        logging.getLogger(name)
    known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, logger.disabled) for logger in known]
    root = logging.root.level, list(logging.root.handlers)
    logging.getLogger(OFF).disabled = True
    yield
    for logger, disabled in before:
        logger.disabled = disabled
    logging.root.level, logging.root.handlers[:] = root


def test_loggers_that_a_configuration_disabled_speak_again(every_logger, guard, told):  # noqa: ARG001  # before the guard
    """Ours and the exporters', and only those that had not been disabled before; told in the one line."""
    guard = Guard(**{name: getattr(guard, name) for name in KEPT})
    guard.put_back()
    told.clear()
    for _ in range(2):
        logging.config.dictConfig({"version": 1})
        assert all(logging.getLogger(name).disabled for name in (*OURS, *OTHERS, OFF))
        guard.put_back()
    assert [name for name in OURS if logging.getLogger(name).disabled] == []
    assert [name for name in (*OTHERS, OFF) if logging.getLogger(name).disabled] == [*OTHERS, OFF]
    (line,) = told
    assert "the loggers of gwz-instrument and the exporters" in line
    assert "disable_existing_loggers" in line


KEPT = ("registry", "collectors", "entries", "replace", "handler", "loggers")


@pytest.fixture
def app(loggers, every_logger, loki):  # noqa: ARG001  # as they were, afterwards
    """(application that clears everything when it starts or is asked to, its registry, its telemetry)."""
    registry = CollectorRegistry()

    def clear():
        wipe(registry)
        logging.config.dictConfig({"version": 1})
        logging.getLogger().handlers.clear()

    @contextlib.asynccontextmanager
    async def lifespan(_):
        clear()
        yield

    app = FastAPI(lifespan=lifespan)
    app.get("/clear")(clear)
    telemetry = instrument(app, registry=registry, loki_url=loki.url)
    yield app, registry, telemetry
    telemetry.shutdown(0)


async def start(app):
    """Start and stop it, as a server does."""
    asked, told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive():
        return asked.pop(0)

    async def send(message):
        told.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def in_place(registry, telemetry):
    """Whether our metrics, the process's, the log handler and our logger are all there."""
    return (
        {"fastapi_app_info", "python_info"} <= names(registry),
        telemetry._guard.handler in logging.getLogger().handlers,
        not logging.getLogger("gwz_instrument").disabled,
    )


async def test_what_an_application_clears_while_it_starts_is_back_once_it_has_started(app, told):
    app, registry, telemetry = app
    await start(app)
    assert in_place(registry, telemetry) == (True, True, True)
    (line,) = told
    assert line.startswith("removed since instrument() and put back: ")
    for what in ("our metrics", "process_* and python_*", "the log handler of the root logger", "the loggers of"):
        assert what in line


async def test_what_an_application_clears_while_it_runs_is_back_with_each_scrape(app, told):
    app, registry, telemetry = app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://application") as client:
        for _ in range(2):
            await client.get("/clear")
            assert in_place(registry, telemetry) == (False, False, False)
            assert 'fastapi_app_info{app_name="' in (await client.get("/metrics")).text
            assert in_place(registry, telemetry) == (True, True, True)
    assert len(told) == 1


class LokiHandler(logging.NullHandler):
    """As python-logging-loki's, and others' of that name."""


def test_a_second_loki_handler_is_told_once(guard, loggers, told):
    loggers[0].addHandler(LokiHandler())
    guard.put_back()
    guard.put_back()
    (line,) = told
    assert line.startswith("every log line will be in Loki twice: the root logger also has a ")
    assert f"{LokiHandler.__module__}.LokiHandler" in line


def test_our_own_loki_handler_is_not_a_second_one(guard, told):
    guard.handler = LokiHandler()
    guard.put_back()
    guard._told.clear()
    told.clear()
    guard.put_back()
    assert told == []


def test_a_loki_handler_is_no_matter_when_ours_is_off(guard, loggers, told):
    guard.handler = None
    loggers[0].addHandler(LokiHandler())
    guard.put_back()
    assert told == []
