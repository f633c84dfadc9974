"""Threads beside the application do what they are given, and hold up nobody."""

import gc
import os
import threading
import time

import pytest

from gwz_instrument import background
from gwz_instrument.background import Deadlines, Workers


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "within ten seconds"
        time.sleep(0.01)


class Due:
    """Notes that its time is up."""

    def __init__(self, done):
        self.done = done

    def overdue(self):
        self.done.append(threading.current_thread().name)


def test_work_is_done_on_a_thread_beside_and_in_spite_of_what_failed(caplog):
    workers, done = Workers(), []
    workers.do(lambda: 1 / 0)
    workers.do(lambda: done.append(threading.current_thread().name))
    wait_for(lambda: done)
    assert done == ["gwz-worker"]
    wait_for(lambda: "(worker)" in caplog.text)


def test_what_hangs_does_not_hold_up_the_rest():
    workers, done, gate = Workers(), [], threading.Event()
    try:
        workers.do(lambda: gate.wait(20))
        workers.do(lambda: done.append(1))
        wait_for(lambda: done)
    finally:
        gate.set()


def test_beyond_what_may_wait_work_is_refused(monkeypatch):
    monkeypatch.setattr(background, "_MOST_WAITING", 2)
    workers, gate = Workers(), threading.Event()
    try:
        for _ in range(2):
            started = threading.Event()
            assert workers.do(lambda started=started: (started.set(), gate.wait(20)))
            assert started.wait(10)
        assert [workers.do(lambda: None) for _ in range(3)] == [True, True, False]
    finally:
        gate.set()


def test_workers_go_when_there_is_nothing_to_do(monkeypatch):
    monkeypatch.setattr(background, "_IDLE_S", 0.05)
    before, workers, done = threading.active_count(), Workers(), []
    for _ in range(2):
        workers.do(lambda: done.append(1))
        wait_for(lambda: threading.active_count() <= before)
    assert done == [1, 1]


def test_what_is_due_is_told_so_in_order_of_its_time():
    deadlines, done = Deadlines(), []
    late, soon = Due(done), Due(done)
    late.done = done2 = []
    deadlines.add(0.3, late)
    deadlines.add(0.05, soon)
    wait_for(lambda: done)
    assert done2 == []
    wait_for(lambda: done2)
    assert done == ["gwz-deadlines"]


def test_what_is_gone_is_not_kept():
    deadlines, done = Deadlines(), []
    thing = Due(done)
    deadlines.add(0.05, thing)
    del thing
    gc.collect()
    other = Due([])
    deadlines.add(0.1, other)
    wait_for(lambda: other.done)
    assert done == []


def test_many_things_that_are_gone_leave_no_trace(monkeypatch):
    monkeypatch.setattr(background, "_FEW", 10)
    deadlines = Deadlines()
    for _ in range(1000):
        deadlines.add(3600, Due([]))
    wait_for(deadlines._added.empty)
    wait_for(lambda: 0 < len(deadlines._due) <= 20)


@pytest.fixture
def traced(monkeypatch, interruption):
    """An interruption of `background`, on whichever thread; of those that are there, on this one."""
    monkeypatch.setattr(background, "_SOON_S", 0.0)
    made, before = interruption(background.__file__.__eq__), threading.gettrace()
    threading.settrace(made.look)
    with made.here():
        yield made
    threading.settrace(before)


def test_a_finalizer_may_add_and_drop_within_any_line(traced):
    deadlines, finalized = Deadlines(), []
    for line in range(1, 30):
        told, things = [], []

        def finalizer(line=line, told=told, things=things):
            things.append(Due(told))
            deadlines.add(0.0, things[-1])
            deadlines.drop(Due(told))
            finalized.append(line)

        traced.at(line, finalizer)
        things.append(Due(told))
        deadlines.add(0.0, things[-1])
        wait_for(lambda told=told, things=things: len(told) == 2 * len(things) - 1)
    assert len(finalized) > 10


def test_what_fails_when_its_time_is_up_does_not_hold_up_the_rest(caplog):
    class Broken:
        def overdue(self):
            raise ValueError

    deadlines, told = Deadlines(), []
    broken, fine = Broken(), Due(told)
    deadlines.add(0.0, broken)
    deadlines.add(0.01, fine)
    wait_for(lambda: told)
    assert "(deadline)" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside threads is the point
def test_a_child_has_threads_of_its_own():
    background.workers.do(lambda: None)
    kept = Due([])
    background.deadlines.add(3600, kept)
    child = os.fork()
    if child == 0:
        done = []
        due = Due(done)
        background.workers.do(lambda: done.append("worker"))
        background.deadlines.add(0.05, due)
        until = time.monotonic() + 5
        while len(done) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        os._exit(0 if sorted(done) == ["gwz-deadlines", "worker"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
