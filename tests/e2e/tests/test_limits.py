import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gwz_e2e.hops import Aborted, Finding, Result
from gwz_e2e.limits import alone, burst, counted, idle, lanes, page, throughput, writer
from gwz_e2e.limits.bytes_per_request import Scrape, finding
from gwz_e2e.limits.lanes import Patience, Proof
from gwz_e2e.limits.prometheus_retention import retention_s
from gwz_e2e.limits.report import Report
from gwz_instrument.logs import entry
from gwz_instrument.logs.backlog import BATCH_BYTES
from gwz_instrument.logs.lines import LineFormatter
from gwz_instrument.semconv.logs import MAX_LINE_BYTES
from gwz_stack import ServerDied, StackError
from gwz_stack.dockerfile import dockerfile

ROOT = Path(__file__).resolve().parents[3]


class Living:
    """A supervisor none of whose processes ends."""

    def check(self):
        pass


def holds():
    return Finding(ok=True, sentence="so it is")


def plan(**changes):
    return writer.Plan("http://loki", "app", **{"lines": 3, "line_bytes": 1024, **changes})


def of_loki(numbers, *, lines=None):
    numbers = Counter(numbers)
    return counted.Counted(numbers.total() if lines is None else lines, 0, numbers, 0.0)


@pytest.mark.parametrize(("text", "value"), [("15d", 1_296_000), ("720h", 2_592_000), ("1h30m", 5400), ("0s", 0)])
def test_durations_are_read_as_the_servers_write_them(text, value):
    assert alone.seconds(text) == value


@pytest.mark.parametrize("text", ["", "15", "1.5h", "15 d", "2w"])
def test_what_is_no_duration_is_told_with_its_value(text):
    with pytest.raises(ValueError, match=f"^{text!r} is no duration"):
        alone.seconds(text)


def test_a_difference_names_the_shipped_value():
    changed = {"compactor.compaction_interval": "5s", "compactor.retention_delete_delay": "0s"}
    assert alone.differences("aged", "loki", changed) == [
        "aged: loki compactor.compaction_interval: 10m → 5s",
        "aged: loki compactor.retention_delete_delay: default → 0s",
    ]


def test_the_shipped_prometheus_says_how_long_it_keeps():
    assert retention_s(dockerfile("prometheus").command) >= 86_400
    with pytest.raises(StackError, match="started without a retention"):
        retention_s(("prometheus", "--web.enable-lifecycle"))


def test_lines_that_are_there_once_are_no_fault():
    assert counted.faults(of_loki([(0, 0), (0, 1), (0, 2)]), [plan()]) == []


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([(0, 0), (0, 2)], "1 lost"),
        ([(0, 0), (0, 1), (0, 1), (0, 2)], "1 there more than once"),
        ([(0, 0), (0, 1), (0, 2), (1, 0)], "1 of nobody"),
    ],
)
def test_a_line_that_is_not_there_once_is_told(numbers, told):
    assert counted.faults(of_loki(numbers), [plan()]) == [told]


def test_a_count_that_differs_from_what_was_read_is_told():
    assert counted.faults(of_loki([(0, 0), (0, 1), (0, 2)], lines=4), [plan()]) == ["1 read, but not counted"]


def test_each_handler_of_each_plan_has_numbers_of_its_own():
    found = of_loki((who, number) for who in range(3) for number in range(3))
    assert counted.faults(found, [plan(handlers=2), plan(first=2)]) == []


def lokis(lines):
    """A Loki that has these lines, nanosecond and text, and answers in pages as the real one does."""

    def answer(request):
        asked = request.url.params
        found = [line for line in sorted(lines) if int(asked["start"]) <= line[0] < int(asked["end"])]
        values = [[str(at), text] for at, text in found[: int(asked["limit"])]]
        return httpx.Response(200, json={"data": {"result": [{"stream": {}, "values": values}]}})

    return httpx.Client(base_url="http://loki", transport=httpx.MockTransport(answer))


def test_lines_of_one_nanosecond_on_both_sides_of_a_page_are_read_once(monkeypatch):
    monkeypatch.setattr(counted, "_PAGE", 3)
    lines = [(1_000, "0 0"), (1_000, "0 1"), (2_000, "1 0"), (2_000, "1 1"), (3_000, "0 2"), (4_000, "0 3")]
    with lokis(lines) as ask:
        numbers, span_s = counted._numbers(ask, "app", 0.0, 1.0)
    assert numbers == Counter([(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)])
    assert span_s == pytest.approx(3e-6)


def lengths(of):
    """Bytes of lines as the handler makes them of a plan's messages, and what each takes in its queue."""
    for text in writer.texts_of(of):
        one = entry.make(time.time(), 20, "gwz_e2e.limits.0", text, None, None, {"writer": 0, "number": 0}, None)
        yield len(LineFormatter().line(one).encode()), one[8]


@pytest.mark.parametrize("size", [1024, 20_000])
def test_a_line_is_as_long_as_planned_and_never_cut(size):
    for length, _ in lengths(plan(line_bytes=size)):
        assert size <= length < min(size + 64, MAX_LINE_BYTES)


def test_the_first_push_of_a_handler_holds_all_that_come_at_once():
    of = plan(lines=burst._LINES, line_bytes=burst._LINE_BYTES)
    assert sum(held for _, held in list(lengths(of))[: of.lines]) <= BATCH_BYTES
    assert of.lines * of.line_bytes * burst._HANDLERS[0] >= burst.AT_LEAST


def test_connections_with_something_unread_are_counted_by_their_port():
    table = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0C1C 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0        0 1 1
   1: 0100007F:0C1C 0100007F:A001 01 00000000:00004E20 00:00000000 00000000     0        0 2 1
   2: 0100007F:0C1C 0100007F:A002 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0100007F:A001 0100007F:0C1C 01 00000000:00000000 00:00000000 00000000     0        0 4 1
   4: 0100007F:0C1D 0100007F:A003 01 00000000:00000001 00:00000000 00000000     0        0 5 1
"""
    assert burst.waiting(table, 0x0C1C) == 1


def test_a_proof_that_fails_costs_neither_the_next_one_nor_another_lane():
    def fails():
        raise httpx.ReadTimeout("no answer")

    def dies():
        raise ServerDied("loki", exit_code=1, log=Path("loki.log"), log_tail="out of luck")

    results = lanes.run(
        [[Proof("first", fails), Proof("second", holds)], [Proof("third", dies)]], threading.Event(), lambda _: None
    )
    assert [(one.id, one.ok) for one in results] == [("first", False), ("second", True), ("third", False)]
    assert results[0].sentence == "the proof itself failed: ReadTimeout: no answer"
    assert results[2].sentence.startswith("loki ended with exit code 1. Its last words: out of luck.")


def test_a_wait_ends_with_the_run():
    stop = threading.Event()
    waits = Patience(Living(), stop)
    assert waits.until(lambda: True, 0.0)
    assert not waits.until(lambda: False, 0.0)
    stop.set()
    with pytest.raises(Aborted):
        waits.until(lambda: True, 60.0)


def test_an_answer_that_does_not_come_is_asked_for_again():
    answers = iter([httpx.ConnectError("refused"), True])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Patience(Living(), threading.Event()).until(ask, 30.0)


CAME = {"lines": 110, "line_bytes": 50_000, "push_bytes": 10_000, "spans": 300, "span_bytes": 90_000}
SUMMARY = {"requests": 100, "started_at": 1000.0, "ended_at": 1010.0}


def test_bytes_are_divided_by_requests_and_a_scrape_by_those_of_its_interval():
    found = finding(Scrape(samples=3000, wire_bytes=45_000, page_bytes=400_000), CAME, SUMMARY)
    assert found.ok
    assert found.figures["log_line_bytes"] == 500
    assert found.figures["span_bytes"] == 900
    assert found.figures["metrics_wire_bytes"] == 45_000 / found.figures["scrape_interval_s"] / 10


@pytest.mark.parametrize(
    ("scrape", "came", "told"),
    [
        (Scrape(1, 1, 1), {**CAME, "lines": 99}, "too few lines"),
        (Scrape(1, 1, 1), {**CAME, "spans": 0}, "too few spans"),
        (Scrape(0, 0, 0), CAME, "too few samples"),
    ],
)
def test_a_signal_that_did_not_arrive_breaks_the_proof(scrape, came, told):
    found = finding(scrape, came, SUMMARY)
    assert not found.ok
    assert told in found.sentence


def test_what_is_held_is_told_at_its_worst_and_by_server():
    calm, worst = {"loki": 90 * 2**20, "tempo": 80 * 2**20}, {"loki": 120 * 2**20, "tempo": 81 * 2**20}
    found = idle.finding([calm, worst, calm])
    assert found.ok
    assert "more than 201 MiB resident (loki 120, tempo 81), of 600" in found.sentence
    assert found.figures == {"together_mib": 201, "most_mib": 600, "loki_mib": 120, "tempo_mib": 81}
    assert not idle.finding([calm, {"loki": 601 * 2**20}]).ok


def ground(monkeypatch, module, *, numbers, lost=0, refused=(0, 0), size=2 * throughput.RATE + 1, span_s=2.0):
    """A ground on which this is written and counted."""
    plans = []

    def read(_loki, app, _since):
        of = [one for one in plans if one.app == app]
        return counted.Counted(len(numbers(of)), size, Counter(numbers(of)), span_s)

    class Workers:
        def wait(self, _within_s):
            return [writer.Written(0, lost, 1.0, 1.0)]

    class Ground:
        class stage:  # noqa: N801  # the attribute's name
            class place:  # noqa: N801
                class urls:  # noqa: N801
                    loki = "http://127.0.0.1:1"

            supervisor = {"loki": type("Loki", (), {"pid": 0})}  # noqa: RUF012

        class patience:  # noqa: N801
            until = staticmethod(lambda *_: True)

        tell = staticmethod(lambda _: None)

        @contextmanager
        def workers(self, of):
            plans.extend(of)
            yield Workers()

        def write(self, of, _within_s):
            plans.extend(of)
            return [writer.Written(0, lost, 1.0, 1.0) for _ in of]

    monkeypatch.setattr(throughput, "SECONDS", 2)
    monkeypatch.setattr(burst, "AT_LEAST", throughput.RATE)
    monkeypatch.setattr(module, "count", read)
    if module is burst:
        answers = iter(refused)
        monkeypatch.setattr(burst, "_refused", lambda _: next(answers))
        monkeypatch.setattr(burst.os, "killpg", lambda *_: None)
    return Ground()


def every(plans):
    return [(p.first + who, number) for p in plans for who in range(p.handlers) for number in range(p.lines)]


def test_a_burst_that_is_refused_and_arrives_holds(monkeypatch):
    found = burst.prove(ground(monkeypatch, burst, numbers=every, refused=(2, 7)))
    assert found.ok, found.sentence
    assert (found.figures["refused_pushes"], found.figures["tries"]) == (5, 1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"numbers": every, "refused": (0, 0, 0, 0)}, "no push was answered 429"),
        ({"numbers": lambda plans: every(plans)[1:], "refused": (0, 1)}, "1 lost"),
        ({"numbers": every, "refused": (0, 1), "lost": 4}, "4 given up by the handlers"),
        ({"numbers": every, "refused": (0, 1), "size": throughput.RATE - 1}, "these are less than 8 MB"),
    ],
)
def test_a_burst_that_is_taken_lost_or_small_does_not(monkeypatch, given, told):
    found = burst.prove(ground(monkeypatch, burst, **given))
    assert not found.ok
    assert told in found.sentence


def test_a_minute_of_lines_that_all_arrive_holds(monkeypatch):
    found = throughput.prove(ground(monkeypatch, throughput, numbers=every))
    assert found.ok, found.sentence


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"numbers": lambda plans: every(plans)[1:]}, "1 lost"),
        ({"numbers": lambda plans: [*every(plans), (0, 0)]}, "1 there more than once"),
        ({"numbers": every, "lost": 1}, "given up by the handlers"),
        ({"numbers": every, "size": 2 * throughput.RATE - 1}, "less than 8 MB/s"),
        ({"numbers": every, "span_s": 0.9}, "less than 2 s"),
    ],
)
def test_a_minute_that_loses_doubles_or_dawdles_does_not(monkeypatch, given, told):
    found = throughput.prove(ground(monkeypatch, throughput, **given))
    assert not found.ok
    assert told in found.sentence


def result(*, ok=True):
    return Result("loki_retention", ok, "so it is", 0.0, {"retention_days": 30.0})


def test_a_report_is_green_only_with_every_proof():
    assert Report(wanted=1, proofs=[result()]).ok
    assert not Report(wanted=2, proofs=[result()]).ok
    assert not Report(wanted=1, proofs=[result(ok=False)]).ok
    assert not Report(wanted=1, proofs=[result()], fault="interrupted").ok


def test_the_sizing_page_says_what_the_kept_report_says():
    report = json.loads((ROOT / page.KEPT).read_text(encoding="utf-8"))
    assert report["ok"]
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert page.with_table(text, report) == text, "run `nox -s limits -- page`"


def test_a_report_that_is_not_green_does_not_reach_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(Report(wanted=1).as_json()))
    assert page.main(["--report", "report.json"]) == 2
    assert "does not hold" in capsys.readouterr().err
    assert page.main(["--report", "none.json"]) == 2
    assert "run `nox -s limits` first" in capsys.readouterr().err


def test_a_page_without_a_place_for_the_table_is_told():
    report = json.loads((ROOT / page.KEPT).read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="no place for the table"):
        page.with_table("# Sizing\n", report)
