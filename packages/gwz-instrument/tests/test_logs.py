import datetime as dt
import gc
import io
import json
import logging
import logging.config
import re
import socket
import sys
import threading
import time
import tracemalloc

import logging_loki
import pytest

from gwz_instrument.logs import PUSH_PATH, LokiHandler, level_of
from gwz_instrument.logs.sender import Sender


class Counts(dict):
    """Sums by word, from any thread."""

    def __call__(self, signal, word, number):
        assert signal == "logs"
        self[word] = self.get(word, 0) + number


@pytest.fixture
def counts():
    return Counts()


@pytest.fixture
def make(loki, counts):
    """Makes handlers that push to the fixture's Loki, and drains them at the end."""
    made = []

    def make_handler(url=None, tags=None, **options):
        options.setdefault("count", counts)
        handler = LokiHandler((url or loki.url) + PUSH_PATH, tags or {"app": "gw"}, **options)
        made.append(handler)
        return handler

    yield make_handler
    for handler in made:
        handler.drain(0)


@pytest.fixture
def nowhere():
    """The address of a port where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


def logger_with(handler):
    logger = logging.Logger("app.module")  # noqa: LOG001  # one per test, unknown to the others
    logger.addHandler(handler)
    return logger


def record(**values):
    return logging.makeLogRecord({"name": "app.module", "levelno": logging.INFO, **values})


def lines(loki):
    return [json.loads(line) for _, _, line, _ in loki.lines]


def messages(loki):
    return [line["message"] for line in lines(loki)]


def test_is_the_handler_of_python_logging_loki(make):
    assert isinstance(make(), logging_loki.LokiHandler)


def test_a_line_arrives_with_labels_fields_metadata_and_the_records_own_time(make, loki, counts):
    handler = make(metadata=lambda: {"trace_id": "ab"})
    made = record(levelno=logging.WARNING, msg="late by %d", args=(3,), tokens=7)
    made.created = time.time() - 60
    handler.handle(made)
    assert handler.force_flush(5)
    ((labels, nanoseconds, line, metadata),) = loki.lines
    assert labels == {"app": "gw", "level": "warning"}
    assert nanoseconds == round(made.created * 1e6) * 1000
    assert metadata == {"trace_id": "ab"}
    line = json.loads(line)
    assert line.pop("timestamp") == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(made.created)) + (
        f".{round(made.created * 1e6) % 1_000_000:06d}Z"
    )
    assert line == {"level": "warning", "logger": "app.module", "message": "late by 3", "tokens": 7}
    assert counts == {"delivered": 1}


def test_a_line_without_a_record_is_written_the_same_way(make, loki):
    handler = make(metadata=lambda: {"trace_id": "of the handler"})
    now = time.time()
    handler.write(
        level=logging.ERROR, logger="gw.request", message="GET / 500", fields={"status_code": 500, "seen": {1, 2}},
        metadata={"trace_id": "ab"}, exception="Traceback: no", created=now,
    )  # fmt: skip
    handler.write(level=5, logger="x", message="bare")
    assert handler.force_flush(5)
    (first, second) = sorted(loki.lines, key=lambda line: line[0]["level"], reverse=True)
    assert (first[0]["level"], first[1], first[3]) == ("error", round(now * 1e6) * 1000, {"trace_id": "ab"})
    line = json.loads(first[2])
    del line["timestamp"]
    assert line == {
        "level": "error", "logger": "gw.request", "message": "GET / 500", "exception": "Traceback: no",
        "status_code": 500, "seen": [1, 2],
    }  # fmt: skip
    assert (second[0]["level"], second[3]) == ("debug", {"trace_id": "of the handler"})


def test_a_traceback_and_a_stack_are_part_of_the_line(make, loki):
    handler = make()
    try:
        raise ValueError("broken")  # noqa: TRY301
    except ValueError:
        logger_with(handler).exception("failed", stack_info=True)
    assert handler.force_flush(5)
    (line,) = lines(loki)
    assert line["exception"].endswith("ValueError: broken")
    assert "test_a_traceback_and_a_stack" in line["stack"]


def test_what_changes_after_the_call_does_not_change_the_line(make, loki):
    handler = make()
    logger, argument, extra = logger_with(handler), ["before"], {"list": ["before"]}
    logger.info("%s", argument, extra=extra)
    argument[0] = extra["list"][0] = "after"
    assert handler.force_flush(5)
    assert [(line["message"], line["list"]) for line in lines(loki)] == [("['before']", ["before"])]


def test_frames_of_an_exception_do_not_live_in_the_queue(make, nowhere):
    handler = make(nowhere)

    class Big:
        pass

    import weakref  # noqa: PLC0415

    def fail():
        big = Big()
        seen.append(weakref.ref(big))
        raise ValueError

    seen = []
    try:
        fail()
    except ValueError:
        logger_with(handler).exception("failed")
    assert seen[0]() is None


def test_equal_lines_of_one_moment_stay_apart_because_loki_drops_repeats(make, loki):
    handler, now = make(), float(int(time.time()))
    for _ in range(3):
        made = record(msg="same")
        made.created = now
        handler.handle(made)
    assert handler.force_flush(5)
    assert [nanoseconds - int(now) * 10**9 for _, nanoseconds, _, _ in loki.lines] == [0, 1, 2]


def test_lines_go_out_in_batches_and_in_order(make, loki):
    handler = make()
    logger = logger_with(handler)
    for number in range(1000):
        logger.info("%d", number)
    assert handler.force_flush(10)
    assert messages(loki) == [str(number) for number in range(1000)]
    assert loki.requests < 20
    assert len(loki._connections) == 1, "over one kept connection"


def test_a_request_has_one_stream_because_loki_answers_for_the_last_one_only(make, loki, monkeypatch):
    seen = []
    take = loki.take
    monkeypatch.setattr(loki, "take", lambda push: seen.append(len(push["streams"])) or take(push))
    handler = make()
    for level in (10, 20, 30, 40, 50, 20):
        logger_with(handler).log(level, "x")
    assert handler.force_flush(5)
    assert seen == [1] * 5
    assert sorted(labels["level"] for labels, *_ in loki.lines) == (
        ["critical", "debug", "error", "info", "info", "warning"]
    )


def test_labels_are_what_loki_takes(make, loki):
    handler = make(tags={"my-app.x": 7, "1st": True, "bad'\"": "v", "§": "dropped", "level": "mine"})
    logger_with(handler).info("x")
    assert handler.force_flush(5)
    assert loki.lines[0][0] == {"my_app_x": "7", "_1st": "True", "bad": "v", "level": "info"}


def test_tags_of_one_record_become_metadata_never_labels(make, loki):
    handler = make(metadata=lambda: {"request_id": "r"})
    logger_with(handler).info("x", extra={"tags": {"user-id": 7, "mail": "bob@example.com"}, "n": 1})
    assert handler.force_flush(5)
    ((labels, _, line, metadata),) = loki.lines
    assert labels == {"app": "gw", "level": "info"}
    assert metadata == {"request_id": "r", "user_id": "7", "mail": "[redacted]"}
    assert "tags" not in json.loads(line)


def test_secrets_do_not_leave_the_process(make, loki):
    handler = make()
    logger = logger_with(handler)
    logger.info(
        "Authorization: Bearer %s", "abc.def", extra={"password": "hunter2", "usage": {"api_key": "k1"}, "pin": 1}
    )
    try:
        raise ValueError("postgres://user:pw@host/db")  # noqa: TRY301
    except ValueError:
        logger.exception("no database for bob@example.com")
    assert handler.force_flush(5)
    text = "".join(line for _, _, line, _ in loki.lines)
    for secret in ("abc.def", "hunter2", "k1", ":pw@", "bob@"):
        assert secret not in text
    first = next(line for line in lines(loki) if "password" in line)
    assert (first["message"], first["password"]) == ("Authorization: Bearer [redacted]", "[redacted]")
    assert (first["usage"], first["pin"]) == ({"api_key": "[redacted]"}, 1)


def test_secrets_that_only_their_names_tell_do_not_leave_the_process(make, loki):
    handler = make(metadata=lambda: {"x-api-key": "hush1", "request_id": "r"})
    extra = {
        "tags": {"api_key": "hush2", "db.password": "hush3", "max_tokens": 5, "sk-abcdef123456": "v"},
        "sk-0123456789abcdef": "as a name",
        "headers": [("authorization", "hush4"), ("x-api-key", b"hush5"), ["Set-Cookie", "hush6"], ("accept", "*/*")],
        "asgi": {"headers": [(b"authorization", b"hush7"), (b"host", b"h")], "cookie": "hush8"},
        "cookie": "hush9",
    }
    logger_with(handler).info("%s", [("accept", "*/*"), (b"x-api-key", b"hush10")], extra=extra)
    assert handler.force_flush(5)
    ((_, _, line, metadata),) = loki.lines
    assert metadata == {
        "x_api_key": "[redacted]", "request_id": "r", "api_key": "[redacted]", "db_password": "[redacted]",
        "max_tokens": "5", "redacted": "v",
    }  # fmt: skip
    assert "hush" not in line
    assert "sk-" not in line
    line = json.loads(line)
    assert line["message"] == "[('accept', '*/*'), (b'x-api-key', b'[redacted]')]"
    assert line["[redacted]"] == "as a name"
    assert line["headers"] == [
        ["authorization", "[redacted]"], ["x-api-key", "[redacted]"], ["Set-Cookie", "[redacted]"], ["accept", "*/*"],
    ]  # fmt: skip
    assert line["asgi"] == {"headers": [["authorization", "[redacted]"], ["host", "h"]], "cookie": "[redacted]"}
    assert line["cookie"] == "[redacted]"


def test_extras_do_not_change_what_a_field_of_ours_says(make, loki):
    handler = make()
    logger_with(handler).warning(
        "real", extra={"level": "fatal", "timestamp": "never", "tokens": 1, "exception": "kept"}
    )
    assert handler.force_flush(5)
    (line,) = lines(loki)
    assert (line["level"], line["tokens"], line["exception"]) == ("warning", 1, "kept")
    assert line["timestamp"] != "never"


class Hostile:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


def test_no_argument_costs_a_line_or_a_traceback(make, loki, counts, capsys):
    handler = make()
    logger = logger_with(handler)
    logger.info("%d", "not a number")
    logger.info(Hostile())
    logger.info("%s", Hostile(), extra={"bad": Hostile(), 5: "number", "fine": 1})
    logger.info("%s %s", "one")  # noqa: PLE1206  # as an application may
    logger.info("fifth", extra={"huge": 10**6000, "nan": float("nan"), "cut": "mine"})
    assert handler.force_flush(5)
    assert counts == {"delivered": 5}
    assert capsys.readouterr().err == ""
    first, second, third, fourth, fifth = lines(loki)
    assert (fifth["huge"], fifth["nan"], fifth["cut"]) == ("<int of 19932 bits>", "nan", "mine")
    assert first["message"] == "%d ('not a number',) (not formatted: TypeError)"
    assert "cannot be shown" in second["message"]
    assert (third["fine"], third["5"]) == (1, "number")
    assert "cannot be shown" in third["bad"]
    assert fourth["message"].startswith("%s %s ('one',)")


def test_metadata_or_count_that_raise_do_not_surface(make, loki):
    def broken(*_):
        raise RuntimeError

    handler = make(metadata=broken, count=broken, max_queue_bytes=2000)
    for _ in range(20):
        logger_with(handler).info("x")
    assert handler.force_flush(5)
    assert 0 < len(loki.lines) < 20
    assert loki.lines[0][3] == {}


@pytest.mark.parametrize(
    ("returned", "sent"),
    [({"a": 1, 2: None}, {"a": "1", "key_2": "None"}), (None, {}), (["x"], {}), ({"a": Hostile()}, None)],
)
def test_metadata_may_be_anything(make, loki, returned, sent):
    handler = make(metadata=lambda: returned)
    logger_with(handler).info("x")
    assert handler.force_flush(5)
    metadata = loki.lines[0][3]
    assert metadata == sent if sent is not None else "cannot be shown" in metadata["a"]


def test_filters_and_a_formatter_of_the_application_are_asked(make, loki):
    handler = make()
    handler.addFilter(lambda made: made.getMessage() != "unwanted")
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    logger = logger_with(handler)
    logger.info("unwanted")
    logger.info("wanted")
    assert handler.force_flush(5)
    assert messages(loki) == ["[INFO] wanted"]


@pytest.mark.parametrize("created", [1e18, 4e11, -1e300, float("nan"), float("inf"), None, "yesterday", 10**400])
def test_a_record_whose_time_is_none_has_the_time_now_and_costs_no_other_line(make, loki, counts, created):
    """Milliseconds for seconds are a time that no int64 of nanoseconds holds."""
    handler = make()
    logger_with(handler).info("before")
    made = record(msg="odd")
    made.created = created
    handler.handle(made)
    logger_with(handler).info("after")
    assert handler.force_flush(5)
    assert (messages(loki), counts) == (["before", "odd", "after"], {"delivered": 3})
    assert abs(loki.lines[1][1] / 1e9 - time.time()) < 60
    moment = dt.datetime.fromisoformat(lines(loki)[1]["timestamp"]).timestamp()
    assert moment == pytest.approx(loki.lines[1][1] / 1e9, abs=0.001)


def test_a_line_written_without_a_time_that_is_one_has_the_time_now(make, loki):
    handler = make()
    handler.write(level=20, logger="x", message="m", created=time.time() * 1000)
    assert handler.force_flush(5)
    assert abs(loki.lines[0][1] / 1e9 - time.time()) < 60


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": None}, ("info", "None")),
        ({"name": 7}, ("info", "7")),
        ({"levelno": None}, ("debug", "app.module")),
        ({"levelno": "WARNING"}, ("debug", "app.module")),
        ({"levelno": 40.0}, ("error", "app.module")),
        ({"levelno": float("nan")}, ("debug", "app.module")),
    ],
)
def test_a_record_whose_logger_or_level_is_odd_is_a_line_like_any_other(make, loki, counts, values, said):
    handler = make()
    logger_with(handler).info("before")
    handler.handle(record(msg="odd", **values))
    assert handler.force_flush(5)
    (odd,) = (line for line in lines(loki) if line["message"] == "odd")
    assert (odd["level"], odd["logger"]) == said
    assert counts == {"delivered": 2}


def test_a_record_whose_traceback_or_stack_is_no_text_is_a_line_like_any_other(make, loki, counts):
    handler = make()
    handler.handle(record(msg="odd", exc_text=("Traceback",), stack_info=7))
    assert handler.force_flush(5)
    (line,) = lines(loki)
    assert (line["exception"], line["stack"], counts) == ("('Traceback',)", "7", {"delivered": 1})


def test_a_failing_loki_is_asked_again_until_every_line_is_there_once(make, loki, counts, capsys):
    loki.answers = [503, 429, 500, 404, 260, 200, 302]
    handler = make()
    logger_with(handler).info("kept")
    assert handler.force_flush(20)
    assert (len(loki.lines), counts) == (1, {"delivered": 1})
    said = capsys.readouterr().err
    assert said.count("\n") == 1, "one line per outage"
    assert "answers 503" in said


def test_an_outage_that_cost_lines_is_told_when_it_is_over(make, loki, counts, capsys):
    loki.stop()
    handler = make(max_queue_bytes=20_000)
    logger = logger_with(handler)
    for number in range(500):
        logger.info("%d", number)
    assert not handler.force_flush(0.3)
    for number in range(500):
        logger.info("%d", number)
    loki.start()
    assert handler.force_flush(20)
    began, over = capsys.readouterr().err.splitlines()
    assert "cannot be reached (ConnectionRefusedError" in began
    assert "check GWZ_LOKI_URL; lines are kept, up to 0.0191 MiB" in began
    assert re.search(rf"answers again after \d s; {counts['queue_full']} lines were lost meanwhile$", over)


def test_lines_lost_to_a_slow_loki_are_told_without_an_outage(make, loki, counts, monkeypatch, capsys):
    """It answers every push, later than the lines come."""
    taking, go, take = threading.Event(), threading.Event(), loki.take

    def slowly(push):
        taking.set()
        assert go.wait(20)
        return take(push)

    monkeypatch.setattr(loki, "take", slowly)
    handler = make(max_queue_bytes=20_000)
    logger = logger_with(handler)
    logger.info("on its way")
    assert taking.wait(10)
    for number in range(500):
        logger.info("%d", number)
    go.set()
    handler.force_flush(20)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith(f"is slower than the lines come; {counts['queue_full']} lines were lost: the queue was full")


def test_lines_lost_before_an_end_without_loki_are_told_with_those_given_up(make, counts, nowhere, capsys):
    handler = make(nowhere, max_queue_bytes=20_000)
    logger = logger_with(handler)
    for number in range(500):
        logger.info("%d", number)
    handler.drain(0.3)
    assert counts["queue_full"] + counts["shutdown"] == 500
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{counts['shutdown']} log lines were given up" in last
    assert last.endswith(f"; {counts['queue_full']} more were lost before: the queue was full")


def test_a_handler_that_has_ended_counts_every_line_that_still_comes(make, loki, counts, capsys):
    handler = make()
    logger = logger_with(handler)
    logger.info("in time")
    handler.drain(5)
    logger.info("between")
    handler.end()
    for text in ("late", "later"):
        logger.info(text)
    handler.drain(5)
    handler.write(level=20, logger="x", message="latest")
    assert (messages(loki), counts) == (["in time"], {"delivered": 1, "shutdown": 4})
    said = capsys.readouterr().err
    assert said.count("came after the last delivery") == 1


def test_access_refused_names_the_token_and_is_tried_slowly(make, loki, capsys):
    loki.answers = [401] * 50
    handler = make(token="old")
    logger_with(handler).info("x")
    assert not handler.force_flush(0.6)
    assert loki.requests < 6
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "refuses access (401): check GWZ_LOKI_TOKEN" in said


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, None),
        ({"token": "t0"}, "Bearer t0"),
        ({"auth": ("user", "pass")}, "Basic dXNlcjpwYXNz"),
        ({"auth": ("user", "pass"), "token": "t0"}, "Bearer t0"),
    ],
)
def test_credentials_are_sent_as_they_were_given(make, loki, options, header):
    handler = make(**options)
    logger_with(handler).info("x")
    assert handler.force_flush(5)
    assert loki.heads[0]["Authorization"] == header


def test_credentials_in_the_address_are_sent_and_not_printed(make, loki, nowhere, capsys):
    handler = make(loki.url.replace("//", "//user:pass@"))
    logger_with(handler).info("x")
    assert handler.force_flush(5)
    assert loki.heads[0]["Authorization"] == "Basic dXNlcjpwYXNz"
    lost = make(nowhere.replace("//", "//user:s3cret@"))
    logger_with(lost).info("x")
    lost.drain(0.3)
    said = capsys.readouterr().err
    assert nowhere in said
    assert "s3cret" not in said


@pytest.mark.parametrize("url", ["loki:3100", "ftp://loki/x", "http://", "http://loki:port/x", ""])
def test_an_address_that_is_none_is_an_error_at_once(url):
    with pytest.raises(ValueError, match="must be the full push address, http://loki:3100/loki/api/v1/push"):
        LokiHandler(url)


def test_another_version_and_a_token_of_two_lines_are_errors_at_once(loki):
    with pytest.raises(ValueError, match="only the push API"):
        LokiHandler(loki.url, version="0")
    with pytest.raises(ValueError, match="check GWZ_LOKI_TOKEN for a line break"):
        LokiHandler(loki.url, token="a\nb")


def test_a_refused_batch_is_counted_and_not_repeated(make, loki, counts, capsys):
    loki.answers = [(400, "couldn't parse labels: of bob@example.com")]
    handler = make()
    logger_with(handler).info("bad")
    assert not handler.force_flush(5), "lines were lost"
    assert (loki.requests, counts) == (1, {"rejected": 1})
    said = capsys.readouterr().err
    assert "refused 1 lines (400): couldn't parse labels: of [redacted]" in said


def test_what_is_too_large_for_the_far_end_is_sent_in_halves_once(make, loki, counts):
    loki.answers = [413, 413, 204, 413, 413, 204, 413, 413]
    handler = make()
    logger = logger_with(handler)
    for number in range(6):
        logger.info("%d", number)
    assert not handler.force_flush(10), "lines were lost"
    # 6 → 3 (→ 1 taken, 2 → 1 refused, 1 taken), 3 (→ 1 refused, 2 taken)
    assert messages(loki) == ["0", "2", "4", "5"]
    assert counts == {"delivered": 4, "rejected": 2}


def test_loki_is_given_the_time_it_asks_for(make, loki):
    loki.answers = [(429, "later", {"Retry-After": "1"})]
    handler = make()
    logger_with(handler).info("x")
    start = time.monotonic()
    assert handler.force_flush(10)
    assert time.monotonic() - start > 0.9


def test_new_lines_do_not_shorten_a_wait(make, loki):
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


def test_a_full_queue_loses_the_oldest_and_counts_them(make, counts, nowhere):
    handler = make(nowhere, max_queue_bytes=20_000)
    logger = logger_with(handler)
    for number in range(500):
        logger.info("%d", number)
    backlog = handler._backlog
    assert counts["queue_full"] > 300
    assert counts["queue_full"] + len(backlog) + backlog.sending == 500
    assert backlog.bytes <= 20_000
    assert backlog._entries[-1][3] == "499"


@pytest.mark.parametrize(
    ("extra", "ids"),
    [
        (lambda _number: None, 0),
        (lambda number: {"tokens": number, "model": f"model-{number}"}, 3),
        (lambda number: {"usage": {"prompt": number, "completion": [1, 2, 3]}}, 0),
    ],
)
def test_the_queue_is_bounded_in_truth(make, nowhere, monkeypatch, extra, ids):
    """The interpreter takes no more for a full queue than the bound, and not much less, whatever a line consists of.

    Nothing sends meanwhile: what compressing takes, a quarter of a megabyte, comes and goes as it likes.
    """
    monkeypatch.setattr(Sender, "start", lambda _self: -1)
    handler = make(
        nowhere, max_queue_bytes=4_000_000, metadata=lambda: {f"k{n}": "v" * 20 + str(n) for n in range(ids)}
    )
    logger = logger_with(handler)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(12_000):
            logger.info("message number %d", number, extra=extra(number))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert handler._backlog.bytes > 3_990_000, "it is full"
    assert 2_800_000 < taken < 4_000_000


def test_draining_gives_up_in_time_and_counts_what_it_lost(make, counts, nowhere, capsys):
    handler = make(nowhere)
    logger_with(handler).info("lost")
    start = time.monotonic()
    handler.drain()
    assert time.monotonic() - start < 2.3
    assert counts == {"shutdown": 1}
    assert "1 log lines were given up" in capsys.readouterr().err
    start = time.monotonic()
    logger_with(handler).info("lost too")
    handler.drain()
    assert time.monotonic() - start < 1, "a second time there is no hope to wait for"


def test_draining_goes_on_as_long_as_loki_takes_lines(make, loki, counts, monkeypatch):
    take = loki.take
    monkeypatch.setattr(loki, "take", lambda push: time.sleep(0.2) or take(push))
    handler = make()
    logger = logger_with(handler)
    for number in range(12):
        logger.info("%d %s", number, "x" * 600_000)
    handler.drain()
    assert counts == {"delivered": 12}


def test_a_handler_goes_on_after_it_was_drained(make, loki, counts):
    handler = make()
    for text in ("before", "after"):
        logger_with(handler).info(text)
        handler.drain()
    assert (messages(loki), counts) == (["before", "after"], {"delivered": 2})


def test_draining_while_others_log_counts_each_line_once(make, loki, counts):
    handler = make()
    logger, stop = logger_with(handler), threading.Event()

    def work(name):
        for number in range(100_000):
            if stop.is_set():
                written[name] = number
                return
            logger.info("%s %d", name, number)
            time.sleep(0.0005)

    written = {}
    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for _ in range(20):
        handler.drain(5)
    stop.set()
    for thread in threads:
        thread.join()
    handler.drain(10)
    assert sum(counts.values()) == sum(written.values())
    assert len(set(messages(loki))) == len(loki.lines) == counts["delivered"]
    assert set(counts) <= {"delivered", "shutdown"}


def test_flushing_does_not_wait_for_lines_that_come_later(make):
    handler = make()
    logger, stop = logger_with(handler), threading.Event()
    thread = threading.Thread(target=lambda: [logger.info("x") for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        start = time.monotonic()
        assert handler.force_flush(20)
        assert time.monotonic() - start < 10
    finally:
        stop.set()
        thread.join()


def test_the_caller_never_waits_for_a_loki_that_hangs(make):
    with socket.create_server(("127.0.0.1", 0)) as server:
        handler = make(f"http://127.0.0.1:{server.getsockname()[1]}")
        logger = logger_with(handler)
        start = time.monotonic()
        for _ in range(1000):
            logger.info("x")
        assert not handler.force_flush(0.3)
        assert time.monotonic() - start < 3


def test_a_handler_closed_by_dictconfig_goes_on(make, loki, counts):
    """uvicorn configures logging after the application was made, which closes every handler there is."""
    handler = make()
    logger = logger_with(handler)
    logger.info("before")
    start = time.monotonic()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    assert time.monotonic() - start < 1, "it holds logging's lock, which delivery may need"
    logger.info("after")
    assert handler.force_flush(5)
    assert (messages(loki), counts) == (["before", "after"], {"delivered": 2})


def test_dictconfig_can_make_the_handler(loki):
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "loki": {"class": "gwz_instrument.logs.LokiHandler", "url": loki.url + PUSH_PATH, "tags": {"app": "x"}}
            },
            "loggers": {"made.by.config": {"handlers": ["loki"], "level": "INFO", "propagate": False}},
        }
    )
    logger = logging.getLogger("made.by.config")
    (handler,) = logger.handlers
    try:
        logger.info("hello")
        assert handler.force_flush(5)
        assert loki.lines[0][0] == {"app": "x", "level": "info"}
    finally:
        logger.removeHandler(handler)


def test_root_at_debug_gets_nothing_from_the_sender(make, loki):
    root, handler, console = logging.getLogger(), make(), logging.StreamHandler(io.StringIO())
    level = root.level
    for added in (handler, console):
        root.addHandler(added)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("app").info("one")
        assert handler.force_flush(5)
        time.sleep(0.3)
        assert handler.force_flush(5)
    finally:
        for added in (handler, console):
            root.removeHandler(added)
        root.setLevel(level)
    assert messages(loki) == ["one"]
    assert console.stream.getvalue() == "one\n"


def test_what_counting_logs_does_not_come_back_as_a_line(make, loki):
    handler = make(count=lambda *_: logger.warning("counted"))
    logger = logger_with(handler)
    logger.info("one")
    assert handler.force_flush(5)
    time.sleep(0.3)
    assert handler.force_flush(5)
    assert messages(loki) == ["one"]


@pytest.mark.parametrize(
    ("levelno", "level"),
    [
        (0, "debug"),
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


def test_the_sender_survives_whatever_the_connection_raises(make, counts, monkeypatch):
    from gwz_instrument.logs.connection import Connection  # noqa: PLC0415

    post, broken = Connection.post, [UnicodeError("x"), OSError("no such certificate"), ValueError("y")]
    monkeypatch.setattr(
        Connection, "post", lambda self, body: (_ for _ in ()).throw(broken.pop()) if broken else post(self, body)
    )
    handler = make()
    logger_with(handler).info("kept")
    assert handler.force_flush(10)
    assert counts == {"delivered": 1}


def test_a_fault_of_ours_is_counted_and_told_and_the_next_line_arrives(make, loki, counts, monkeypatch, capsys):
    from gwz_instrument.logs import push  # noqa: PLC0415

    def broken(_metadata):
        raise ZeroDivisionError

    handler = make()
    with monkeypatch.context() as patch:
        patch.setattr(push, "metadata_json", broken)
        logger_with(handler).info("lost")
        assert not handler.force_flush(5), "lines were lost"
    logger_with(handler).info("kept")
    assert handler.force_flush(5)
    assert (messages(loki), counts) == (["kept"], {"fault": 1, "delivered": 1})
    assert capsys.readouterr().err.count("please report it") == 1


def test_a_connection_that_the_server_dropped_while_idle_is_no_outage(make, loki, counts, capsys):
    handler = make()
    logger = logger_with(handler)
    logger.info("one")
    assert handler.force_flush(5)
    loki.stop()
    loki.start()
    logger.info("two")
    assert handler.force_flush(5)
    assert (messages(loki), counts) == (["one", "two"], {"delivered": 2})
    assert capsys.readouterr().err == ""


def test_a_proxy_of_the_environment_is_used_unless_it_is_told_not_to(loki, monkeypatch, counts):
    monkeypatch.setenv("http_proxy", loki.url.replace("//", "//u:p@"))
    monkeypatch.setenv("no_proxy", "direct.invalid")
    handler = LokiHandler("http://loki.invalid:3100" + PUSH_PATH, count=counts)
    logger_with(handler).info("x")
    assert handler.force_flush(5)
    assert loki.heads[0]["Host"] == "loki.invalid:3100"
    assert loki.heads[0]["Proxy-Authorization"] == "Basic dTpw"
    direct = LokiHandler("http://direct.invalid:3100" + PUSH_PATH)
    logger_with(direct).info("x")
    assert not direct.force_flush(0.3)
    assert loki.requests == 1
    for made in (handler, direct):
        made.drain(0)


def test_a_record_that_comes_by_two_loggers_is_one_line_and_the_access_log_none(make, loki):
    handler = make()
    parent, child = logging.Logger("uvicorn"), logging.Logger("uvicorn.error")  # noqa: LOG001
    child.parent = parent
    seen = []
    for logger in (parent, child):
        logger.addHandler(handler)
    parent.addFilter(lambda made: seen.append(vars(made)) or True)
    child.error("once")
    child.error("once")
    handler.handle(record(name="uvicorn.access", msg="GET /?key=secret"))
    assert handler.force_flush(5)
    assert messages(loki) == ["once", "once"]


def test_a_record_is_left_as_it_was_for_the_handlers_after(make):
    try:
        raise ValueError  # noqa: TRY301
    except ValueError:
        made = record(msg="%s", args=("x",), tokens=1, exc_info=sys.exc_info())
    before = dict(vars(made))
    make().handle(made)
    assert vars(made) == before


@pytest.mark.slow
def test_an_outage_of_seconds_costs_nothing_and_nobody(make, loki, counts):
    """2,000 lines per second for 3.5 s without a Loki: all of them arrive, once, and whoever logs does not notice."""

    def log_for(seconds):
        took, start, written = [], time.perf_counter(), 0
        while (now := time.perf_counter()) - start < seconds:
            for _ in range(int((now - start) * 2000) - written):
                before = time.perf_counter()
                logger.info("line %d", len(took))
                took.append(time.perf_counter() - before)
                written += 1
            time.sleep(0.002)
        return sorted(took)

    handler = make()
    logger = logger_with(handler)
    healthy = log_for(1.0)
    assert handler.force_flush(10)
    loki.stop()
    away = log_for(3.5)
    loki.start()
    assert handler.force_flush(20)
    assert len(loki.lines) == len(healthy) + len(away)
    assert len({nanoseconds for _, nanoseconds, _, _ in loki.lines}) == len(loki.lines)
    assert counts == {"delivered": len(loki.lines)}
    p99 = [times[len(times) * 99 // 100] for times in (healthy, away)]
    assert p99[1] < max(3 * p99[0], p99[0] + 0.0005), "no worse than a busy machine makes it"
