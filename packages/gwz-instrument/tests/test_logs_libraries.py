"""What the guide says of structlog and loguru, with the real ones: its code is what runs here."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.logs.structlog import add_ids

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "logging.md"
IDS = {"trace_id": "ab", "span_id": "cd", "request_id": "r-1"}


def run_guide(heading):
    section = GUIDE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    exec(compile(code, f"{GUIDE.name}: {heading}", "exec"), {})  # noqa: S102  # our own guide


@pytest.fixture
def handler(loki):
    """On the root logger, as `instrument()` puts it."""
    root, made = logging.getLogger(), LokiHandler(loki.url + PUSH_PATH, metadata=lambda: IDS)
    level = root.level
    root.addHandler(made)
    root.setLevel(logging.INFO)
    yield made
    root.removeHandler(made)
    root.setLevel(level)
    made.drain(0)


def one_line(handler, loki):
    assert handler.force_flush(5)
    ((labels, nanoseconds, text, metadata),) = loki.lines
    line = json.loads(text)
    del line["timestamp"]
    return labels, nanoseconds, line, metadata


def fail():
    raise ValueError("broken")


@pytest.fixture
def structlog():
    library = pytest.importorskip("structlog")
    yield library
    library.reset_defaults()
    library.contextvars.clear_contextvars()


def test_an_event_of_structlog_arrives_with_its_fields_as_fields(handler, loki, structlog):
    run_guide("structlog")
    structlog.contextvars.bind_contextvars(user_plan="pro")
    structlog.get_logger("app").bind(model="m").warning("late", tokens=7, usage={"in": 1})
    labels, _, line, metadata = one_line(handler, loki)
    assert (labels, metadata) == ({"level": "warning"}, IDS)
    assert line == {
        "level": "warning", "logger": "app", "message": "late", "model": "m", "tokens": 7, "usage": {"in": 1},
        "user_plan": "pro",
    }  # fmt: skip


def test_an_exception_of_structlog_is_the_exception_of_the_line(handler, loki, structlog):
    run_guide("structlog")
    try:
        fail()
    except ValueError:
        structlog.get_logger("app").exception("failed", n=1)
    _, _, line, _ = one_line(handler, loki)
    assert (line["level"], line["message"], line["n"]) == ("error", "failed", 1)
    assert line["exception"].endswith("ValueError: broken")
    assert "exc_info" not in line


@pytest.mark.parametrize("last", ["render_to_log_kwargs", "wrap_for_formatter"])
@pytest.mark.parametrize("exc_info", [True, ValueError("x"), None])
def test_either_way_of_structlog_to_logging_works(handler, loki, structlog, last, exc_info):
    stdlib = structlog.stdlib
    processor = getattr(stdlib, last, None) or getattr(stdlib.ProcessorFormatter, last)
    structlog.configure(processors=[processor], logger_factory=stdlib.LoggerFactory(), wrapper_class=stdlib.BoundLogger)
    try:
        fail()
    except ValueError:
        structlog.get_logger("app").info("hello", n=1, exc_info=exc_info)
    _, _, line, _ = one_line(handler, loki)
    assert ("ValueError" in line.pop("exception", "")) == (exc_info is not None)
    assert line == {"level": "info", "logger": "app", "message": "hello", "n": 1}


def test_the_processor_adds_the_ids_and_changes_nothing_else():
    assert add_ids(lambda: IDS)(None, "info", {"event": "x", "span_id": "own"}) == {
        **IDS,
        "event": "x",
        "span_id": "own",
    }
    assert add_ids(lambda: 1 / 0)(None, "info", {"event": "x"}) == {"event": "x"}
    assert add_ids()(None, "info", {"event": "outside any request"}) == {"event": "outside any request"}


def test_the_processor_does_not_import_structlog():
    code = "import sys, gwz_instrument.logs.structlog; sys.exit('structlog' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_record_of_loguru_arrives_with_its_fields_as_fields(handler, loki):
    loguru = pytest.importorskip("loguru")
    loguru.logger.remove()
    try:
        run_guide("loguru")
        loguru.logger.debug("below the sink's level")
        loguru.logger.bind(model="m", name="taken", usage={"in": 1}).success("late by {}", 3)
        labels, _, line, metadata = one_line(handler, loki)
    finally:
        loguru.logger.remove()
    assert (labels, metadata) == ({"level": "info"}, IDS)
    assert line == {
        "level": "info", "logger": __name__, "message": "late by 3", "model": "m", "usage": {"in": 1},
    }  # fmt: skip


def test_an_exception_of_loguru_is_the_exception_of_the_line(handler, loki):
    loguru = pytest.importorskip("loguru")
    loguru.logger.remove()
    try:
        run_guide("loguru")
        try:
            fail()
        except ValueError:
            loguru.logger.exception("failed")
        _, _, line, _ = one_line(handler, loki)
    finally:
        loguru.logger.remove()
    assert (line["level"], line["message"]) == ("error", "failed")
    assert line["exception"].endswith("ValueError: broken")
