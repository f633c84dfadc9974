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
        handler.drain()


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


def test_draining_gives_up_after_two_seconds_and_counts_what_it_lost(make, drops, capsys):
    handler = make("http://127.0.0.1:9")
    logger_with(handler).info("lost")
    start = time.monotonic()
    handler.drain()
    assert time.monotonic() - start < 4
    assert drops == [("shutdown", 1)]
    assert "1 log lines were given up" in capsys.readouterr().err


def test_the_caller_never_waits_for_a_loki_that_is_away(make):
    logger = logger_with(make("http://127.0.0.1:9"))
    start = time.monotonic()
    for _ in range(1000):
        logger.info("x")
    assert time.monotonic() - start < 3


def test_a_handler_closed_by_dictconfig_goes_on(make, loki, drops):
    """uvicorn configures logging after the application was made, which closes every handler there is."""
    handler = make()
    logger = logger_with(handler)
    logger.info("before")
    start = time.monotonic()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    assert time.monotonic() - start < 1, "it holds logging's lock, which delivery may need"
    logger.info("after")
    assert handler.force_flush(2)
    assert drops == []
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


def test_a_redirect_or_a_page_is_no_delivery(make, loki, capsys):
    loki.answers = [302, 200]
    handler = make()
    logger_with(handler).info("kept")
    assert handler.force_flush(10)
    assert (len(loki.lines), loki.requests) == (1, 3)
    assert "answers 302" in capsys.readouterr().err


def test_the_sender_survives_whatever_the_http_client_raises(make, loki, monkeypatch):
    handler = make()
    post, broken = handler.emitter.session.post, [UnicodeError("x"), OSError("no such certificate"), ValueError("y")]
    monkeypatch.setattr(
        type(handler.emitter.session), "post",
        lambda _self, *args, **options: (_ for _ in ()).throw(broken.pop()) if broken else post(*args, **options),
    )  # fmt: skip
    logger_with(handler).info("kept")
    assert handler.force_flush(10)
    assert len(loki.lines) == 1


def test_new_lines_do_not_shorten_the_wait_that_loki_asked_for(make, loki):
    loki.answers = [503] * 100
    handler = make()
    logger = logger_with(handler)
    big = "x" * 100_000
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        logger.info(big)
        time.sleep(0.01)
    assert loki.requests < 12
    loki.answers = []


def test_a_signal_handler_may_log_while_its_thread_does(loki):
    result = run(
        """
        import logging, signal, sys, time
        from gwz_instrument.logs import LokiHandler
        logger = logging.Logger("x")
        logger.addHandler(LokiHandler(sys.argv[1]))
        signal.signal(signal.SIGALRM, lambda *_: logger.info("signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        end = time.monotonic() + 1
        while time.monotonic() < end: logger.info("main")
        signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        loki,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_record_that_comes_by_two_loggers_is_one_line_and_the_access_log_none(make, loki):
    handler = make()
    parent, child = logging.Logger("uvicorn"), logging.Logger("uvicorn.error")  # noqa: LOG001
    child.parent = parent
    for logger in (parent, child):
        logger.addHandler(handler)
    child.error("once")
    handler.handle(logging.makeLogRecord({"name": "uvicorn.access", "msg": "GET /?key=secret"}))
    assert handler.force_flush(2)
    assert [json.loads(line)["message"] for _, _, line, _ in loki.lines] == ["once"]


def test_extras_do_not_change_what_a_field_of_ours_says(make, loki):
    handler = make()
    logger_with(handler).warning("real", extra={"level": "fatal", "timestamp": "never", "tokens": 1})
    handler.force_flush(2)
    line = json.loads(loki.lines[0][2])
    assert (line["level"], line["tokens"]) == ("warning", 1)
    assert line["timestamp"] != "never"


def test_a_password_in_the_address_is_not_printed(capsys):
    handler = LokiHandler("http://user:s3cret@127.0.0.1:9/loki/api/v1/push")
    logger_with(handler).info("x")
    handler.drain()
    said = capsys.readouterr().err
    assert "127.0.0.1:9" in said
    assert "s3cret" not in said
