import json
import logging
import logging.config
import os
import subprocess
import sys
import textwrap
import time

import logging_loki
import pytest

from gwz_instrument.logs import PUSH_PATH, LokiHandler, level_of


@pytest.fixture
def drops():
    return []


@pytest.fixture
def make(loki, drops):
    """Makes handlers that push to the fixture's Loki, and closes them."""
    made = []

    def make_handler(url=None, **options):
        options.setdefault("on_drop", lambda reason, lines: drops.append((reason, lines)))
        handler = LokiHandler((url or loki.url) + PUSH_PATH, {"app": "gw"}, **options)
        made.append(handler)
        return handler

    yield make_handler
    for handler in made:
        handler.emitter.url = loki.url + PUSH_PATH
        handler.close()


def logger_with(handler):
    logger = logging.Logger("app.module")  # noqa: LOG001  # one per test, unknown to the others
    logger.addHandler(handler)
    return logger


def test_is_the_handler_of_python_logging_loki(make):
    assert isinstance(make(), logging_loki.LokiHandler)


def test_a_line_arrives_with_labels_fields_metadata_and_the_records_own_time(make, loki):
    handler = make(metadata=lambda: {"trace_id": "ab"})
    record = logging.makeLogRecord(
        {"name": "app.module", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "late by %d", "args": (3,)}
    )
    record.created = 1_700_000_000.25
    record.tokens = 7
    handler.handle(record)
    assert handler.force_flush(2)
    ((labels, nanoseconds, line, metadata),) = loki.lines
    assert labels == {"app": "gw", "level": "warning"}
    assert nanoseconds == 1_700_000_000_250_000_000
    assert metadata == {"trace_id": "ab"}
    assert json.loads(line) == {
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "level": "warning",
        "logger": "app.module",
        "message": "late by 3",
        "tokens": 7,
    }


def test_a_traceback_is_part_of_the_line(make, loki):
    handler = make()
    try:
        raise ValueError("broken")  # noqa: TRY301
    except ValueError:
        logger_with(handler).exception("failed")
    handler.force_flush(2)
    assert "ValueError: broken" in json.loads(loki.lines[0][2])["exception"]


def test_equal_lines_of_one_moment_stay_apart_because_loki_drops_repeats(make, loki):
    handler = make()
    for _ in range(3):
        record = logging.makeLogRecord({"msg": "same", "levelno": logging.INFO})
        record.created = 1_700_000_000.0
        handler.handle(record)
    handler.force_flush(2)
    assert [nanoseconds - 1_700_000_000_000_000_000 for _, nanoseconds, _, _ in loki.lines] == [0, 1, 2]


def test_lines_go_out_in_batches_and_in_order(make, loki):
    handler = make()
    logger = logger_with(handler)
    for number in range(1000):
        logger.info("%d", number)
    assert handler.force_flush(5)
    assert [json.loads(line)["message"] for _, _, line, _ in loki.lines] == [str(number) for number in range(1000)]
    assert loki.requests < 20


def test_a_failing_loki_is_asked_again_until_every_line_is_there_once(make, loki, capsys):
    loki.answers = [503, 429, 500]
    handler = make()
    logger_with(handler).info("kept")
    assert handler.force_flush(10)
    assert len(loki.lines) == 1
    assert capsys.readouterr().err.count("\n") == 1, "one line per outage"


def test_a_refused_batch_is_counted_and_not_repeated(make, loki, drops, capsys):
    loki.answers = [400]
    handler = make()
    logger_with(handler).info("bad")
    assert handler.force_flush(5)
    assert (loki.requests, drops) == (1, [("rejected", 1)])
    assert "refused 1 lines (400)" in capsys.readouterr().err


def test_a_full_queue_loses_the_oldest_and_counts_them(make, drops):
    handler = make("http://127.0.0.1:9", max_queue_bytes=20_000)
    logger = logger_with(handler)
    for number in range(500):
        logger.info("%d", number)
    lost = sum(lines for reason, lines in drops if reason == "queue_full")
    assert lost > 300
    assert lost + len(handler._queue) + handler._sending == 500
    assert handler._queued_bytes <= 20_000


def test_close_gives_up_after_two_seconds_and_counts_what_it_lost(make, drops, capsys):
    handler = make("http://127.0.0.1:9")
    logger_with(handler).info("lost")
    start = time.monotonic()
    handler.close()
    assert time.monotonic() - start < 6
    assert drops == [("shutdown", 1)]
    assert "1 log lines were not delivered" in capsys.readouterr().err


def test_the_caller_never_waits_for_a_loki_that_is_away(make):
    logger = logger_with(make("http://127.0.0.1:9"))
    start = time.monotonic()
    for _ in range(1000):
        logger.info("x")
    assert time.monotonic() - start < 3


def test_a_handler_closed_by_dictconfig_opens_again(make, loki):
    """uvicorn configures logging after the application was made, which closes every handler there is."""
    handler = make()
    logger = logger_with(handler)
    logger.info("before")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logger.info("after")
    assert handler.force_flush(2)
    assert [json.loads(line)["message"] for _, _, line, _ in loki.lines] == ["before", "after"]


def test_an_argument_that_cannot_be_formatted_does_not_reach_the_application(make, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger_with(make()).info("%d", "not a number")


def test_root_at_debug_does_not_ship_the_senders_own_requests(make, loki):
    root, handler = logging.getLogger(), make()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("app").info("one")
        handler.force_flush(2)
        time.sleep(0.3)
        handler.force_flush(2)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [json.loads(line)["logger"] for _, _, line, _ in loki.lines] == ["app"]


@pytest.mark.parametrize(
    ("levelno", "level"),
    [
        (5, "debug"),
        (10, "debug"),
        (20, "info"),
        (25, "info"),
        (30, "warning"),
        (40, "error"),
        (50, "critical"),
        (99, "critical"),
    ],
)
def test_custom_levels_count_as_the_next_lower_one(levelno, level):
    assert level_of(levelno) == level


def run(script, loki):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), loki.url + PUSH_PATH],
        capture_output=True, text=True, timeout=30, check=False, env={**os.environ},
    )  # fmt: skip


def test_a_plain_exit_delivers_the_queue_even_after_dictconfig(loki):
    result = run(
        """
        import logging, logging.config, sys
        from gwz_instrument.logs import LokiHandler
        handler = LokiHandler(sys.argv[1])
        logging.config.dictConfig({"version": 1})
        logger = logging.Logger("x")
        logger.addHandler(handler)
        for n in range(200): logger.info("%d", n)
        """,
        loki,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert len(loki.lines) == 200


def test_a_forked_child_sends_its_own_lines_and_not_the_parents(loki):
    result = run(
        """
        import logging, os, sys
        from gwz_instrument.logs import LokiHandler
        handler = LokiHandler(sys.argv[1])
        logger = logging.Logger("x")
        logger.addHandler(handler)
        logger.info("parent")
        pid = os.fork()
        if pid == 0:
            logger.info("child")
            os._exit(0 if handler.force_flush(5) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        loki,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(json.loads(line)["message"] for _, _, line, _ in loki.lines) == ["child", "parent"]
