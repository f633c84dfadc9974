import gzip
import http.client
import json

import pytest

from gwz_bench.child import ChildError, child
from gwz_bench.turns import Checked, Turn, Work, seen_of


@pytest.mark.parametrize(
    ("count", "driven", "each", "exact"),
    [
        (30, 30, 1, True),
        (29, 30, 1, False),
        (31, 30, 1, False),
        (90, 30, None, True),
        (89, 30, None, False),
        (0, 30, None, False),
    ],
)
def test_what_was_seen_is_held_against_what_was_driven(count, driven, each, exact):
    assert seen_of("spans", count, driven, each=each).exact is exact


@pytest.mark.parametrize(("count", "each"), [(None, 1), (5, 0)])
def test_what_a_variant_does_not_make_is_not_missed(count, each):
    found = seen_of("spans", count, 30, each=each)
    assert (found.exact, found.sentence) == (True, "")


@pytest.fixture
def sink():
    with child("sink") as started:
        yield started


def push(port, *lines):
    body = json.dumps({"streams": [{"stream": {}, "values": [["1", line] for line in lines]}]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/loki/api/v1/push", gzip.compress(body), {"Content-Encoding": "gzip"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_sink_tells_a_line_that_came_twice(sink):
    port = sink.ask("open")["port"]
    assert push(port, "line 1 of it", "line 2 of it") == 204
    assert push(port, '{"message": "line 2 of it"}') == 204
    found = sink.ask("counts")
    assert (found["lines"], found["distinct"], found["doubled"]) == (3, 2, 1)
    assert sink.ask("counts")["lines"] == 0


def test_a_sink_that_is_away_refuses_and_comes_back_where_it_was(sink):
    port = sink.ask("open")["port"]
    sink.ask("close")
    with pytest.raises(ConnectionRefusedError):
        push(port, "line 1")
    assert sink.ask("open")["port"] == port
    assert push(port, "line 1") == 204


def test_a_sink_that_hangs_takes_and_keeps_nothing(sink):
    port = sink.ask("open", mode="hang")["port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.2)
    connection.request("POST", "/loki/api/v1/push", b"{}")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert sink.ask("counts")["requests"] == 0


def test_a_wrong_order_is_an_error_of_the_one_who_gave_it(sink):
    with pytest.raises(ChildError, match="a sink knows no order 'dance'"):
        sink.ask("dance")


def test_a_process_that_is_gone_is_named():
    with child("leave", "no port", "0", "0") as ended, pytest.raises(ChildError, match="leave no port 0 0 has ended"):
        ended.ask("anything", timeout_s=30)


def test_what_was_seen_of_several_processes_holds_if_it_does_of_each():
    turns = [Turn(None, None, Work(1, 1), answered=[cost], checked=[checked]) for cost, checked in SEEN]
    first, *others = turns
    for other in others:
        first.join(other)
    assert first.answered == [1.0, 2.0, 3.0]
    assert first.seen == Checked(False, "5 of 5 / 4 of 5, in each of 3 processes")
    assert others[0].seen == Checked(True, "5 of 5")


SEEN = [(1.0, Checked(True, "5 of 5")), (2.0, Checked(True, "5 of 5")), (3.0, Checked(False, "4 of 5"))]
