"""Callbacks are asked beside the application; one that hangs or raises delays nobody, and its answer grows old."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from gwz_instrument import polling
from gwz_instrument.polling import Poll, Polls


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.005)


@pytest.fixture
def poll(monkeypatch):
    """Makes polls that nobody asks any more when the test is over."""
    made = []

    def make(callback, every_s=0.01, **options):
        made.append(Poll("the gauge g", callback, every_s, read=options.pop("read", lambda answer: answer), **options))
        return made[-1]

    yield make
    monkeypatch.setattr(Poll, "ask", lambda *_: None)
    for each in made:  # a traceback that pytest keeps may keep a poll
        each.every_s = 60


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "gwz_instrument"]


def test_the_callback_is_asked_again_and_again_on_a_thread_beside(poll):
    threads = []
    asked = poll(lambda: threads.append(threading.current_thread()) or len(threads))
    assert threads == []
    wait_for(lambda: (asked.answer() or 0) >= 3)
    assert len(set(threads)) == 1
    assert threads[0].name == "gwz-poll"
    assert threads[0].daemon


def test_a_poll_that_is_stopped_asks_no_more_and_has_no_answer(poll):
    threads = []
    asked = poll(lambda: threads.append(threading.current_thread()) or 1, every_s=30)
    wait_for(lambda: asked.answer() == 1)
    asked.stop()
    assert asked.answer() is None
    wait_for(lambda: not threads[0].is_alive())
    asked.begin()
    time.sleep(0.02)
    assert len(threads) == 1


def test_polls_stop_when_the_last_who_wants_to_know_leaves(poll):
    class Owner:
        pass

    polls, owners, asked = Polls(), [Owner(), Owner(), Owner()], poll(lambda: 1)
    for owner in owners:
        polls.open(owner)
    polls.add(asked)
    polls.close(owners[0])
    polls.close(owners[0])
    assert not asked.stopped
    del owners[1], owner
    polls.close(owners[-1])
    assert asked.stopped
    late = poll(lambda: 1)
    polls.add(late)
    assert late.stopped
    polls.open(owners[0])
    assert not polls.closed


def test_a_coroutine_function_runs_on_the_same_loop_each_time(poll):
    loops = []

    async def answer():
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return len(loops)

    asked = poll(answer)
    wait_for(lambda: (asked.answer() or 0) >= 3)
    assert len(set(loops)) == 1


def test_one_that_hangs_delays_no_reader_and_no_other_and_is_told_once(poll, caplog, monkeypatch):
    monkeypatch.setattr(polling, "DEADLINE_S", 0.1)
    gate, failures, answers = threading.Event(), [], [1]

    def hang():
        if len(answers) == 1:
            answers.append(2)
            return 1
        assert gate.wait(10)
        return 2

    hanging = poll(hang, 0.05, failed=lambda: failures.append(1))
    other = poll(lambda: 7)
    try:
        wait_for(lambda: hanging.answer() == 1)
        wait_for(lambda: failures)
        began = time.monotonic()
        wait_for(lambda: hanging.answer() is None)
        assert time.monotonic() - began < 1
        wait_for(lambda: other.answer() == 7)
        assert [line.partition(".")[0] for line in warnings_of(caplog)] == [
            "gwz-instrument: the callback of the gauge g has not answered within 0 s"
        ]
        assert "disappear when their values are 0.15 s old" in warnings_of(caplog)[0]
    finally:
        gate.set()
    wait_for(lambda: hanging.answer() == 2)
    assert failures == [1]
    assert len(warnings_of(caplog)) == 2
    assert "the callback of the gauge g answers again after 0 s" in warnings_of(caplog)[1]


def test_an_answer_that_comes_after_the_deadline_does_not_count(poll, monkeypatch):
    monkeypatch.setattr(polling, "DEADLINE_S", 0.05)
    asked, gate = [], threading.Event()

    def slow():
        asked.append(1)
        assert gate.wait(10)
        return 5

    late = poll(slow, 1, failed=gate.set)
    assert late.answer() is None
    wait_for(gate.is_set)
    time.sleep(0.05)
    assert late.answer() is None
    assert asked == [1]  # a second time comes after a second


def test_a_coroutine_that_hangs_is_cancelled_at_the_deadline_and_asked_again(poll, caplog, monkeypatch):
    monkeypatch.setattr(polling, "DEADLINE_S", 0.05)
    cancelled = []

    async def hang():
        if len(cancelled) >= 2:
            return 3
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    asked = poll(hang)
    wait_for(lambda: asked.answer() == 3)
    assert cancelled == [1, 1]
    assert len(warnings_of(caplog)) == 2  # one outage: its beginning and its end


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), SystemExit(), asyncio.CancelledError()])
def test_what_raises_is_told_once_with_its_traceback_and_asked_again(poll, caplog, error):
    answers = iter([error, error, error, 4])

    async def raising():
        answer = next(answers, 4)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    asked = poll(raising)
    wait_for(lambda: asked.answer() == 4)
    wait_for(lambda: len(warnings_of(caplog)) == 2)
    assert f"raised {type(error).__name__}" in warnings_of(caplog)[0]
    assert caplog.records[0].exc_info[1] is error


def test_the_last_answer_holds_for_three_intervals(poll):
    answers = iter([1])
    asked = poll(lambda: next(answers), 0.1)
    wait_for(lambda: asked.answer() == 1)
    began = time.monotonic()
    wait_for(lambda: asked.answer() is None)
    assert 0.2 < time.monotonic() - began < 1


def test_the_thread_ends_when_nobody_wants_to_know_any_more():
    threads = []

    def answer():
        threads[:] = [threading.current_thread()]
        return 1

    found = [Poll("the gauge g", answer, 0.01, read=lambda answer: answer)]
    wait_for(lambda: found[0].answer() == 1)
    found.clear()
    gc.collect()
    threads[0].join(5)
    assert not threads[0].is_alive()


def run(program):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, time.monotonic() - began


def test_one_that_hangs_holds_up_no_exit():
    out, seconds = run("""
        import asyncio, threading, time
        from gwz_instrument.polling import Poll
        begun = threading.Event()
        def hang():
            begun.set()
            time.sleep(60)
        async def hang_too():
            await asyncio.sleep(60)
        polls = [Poll("g", each, 30, read=lambda answer: answer) for each in (hang, hang_too)]
        for poll in polls:
            poll.begin()
        begun.wait(10)
        print("over")
    """)
    assert out == "over\n"
    assert seconds < 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forks_child_asks_on_a_thread_of_its_own_and_forgets_what_the_parent_knew():
    out, _ = run("""
        import os, time, warnings
        from gwz_instrument.polling import Poll
        warnings.simplefilter("ignore")
        def wait():
            while poll.answer() != os.getpid():
                time.sleep(0.01)
        poll = Poll("g", os.getpid, 0.01, read=lambda answer: answer)
        wait()
        if (child := os.fork()) == 0:
            assert poll.answer() in (None, os.getpid())
            wait()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert out == "7\n"
