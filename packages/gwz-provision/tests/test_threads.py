"""Threads that nobody waits for."""

import signal
import sys
import threading
import time
from contextlib import suppress

import pytest

from gwz_provision.threads import Pool, started


def test_what_a_call_returns_or_raises_is_the_future_s() -> None:
    assert started(lambda: 7).result() == 7
    with pytest.raises(ZeroDivisionError):
        started(lambda: 1 // 0).result()


def test_ctrl_c_is_heard_when_it_does_not_wake_who_waits() -> None:
    """As when it comes just before the wait begins: here, because the system gives it to another thread."""
    end = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def call() -> None:
        looks = 0
        while looks < 3:  # in a row that see it wait
            time.sleep(0.03)
            waits = (
                sys._current_frames()[threading.main_thread().ident or 0].f_code is threading.Condition.wait.__code__
            )
            looks = looks + 1 if waits else 0
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        end.wait(60)

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            started(call).result()
    finally:
        end.set()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 20


def test_who_waits_for_a_time_is_told_when_it_is_over() -> None:
    end = threading.Event()
    call = started(end.wait)
    assert not call.is_over_within(0.01)
    with pytest.raises(TimeoutError):
        call.result(0.01)
    end.set()
    assert call.is_over_within(60)


def test_so_many_calls_run_at_once() -> None:
    together = threading.Barrier(3)
    with Pool(3) as pool:
        waits = [pool.submit(together.wait, timeout=30) for _ in range(3)]
        assert sorted(one.result() for one in waits) == [0, 1, 2]


def test_an_error_leaves_at_once_and_what_has_not_begun_never_does() -> None:
    begun, end = threading.Event(), threading.Event()
    later: list[int] = []

    def long() -> None:
        begun.set()
        end.wait()

    with suppress(KeyboardInterrupt), Pool(1) as pool:
        first, second = pool.submit(long), pool.submit(later.append, 1)
        begun.wait()
        raise KeyboardInterrupt
    assert (first.running(), second.cancelled()) == (True, True)
    end.set()
    assert first.result() is None
    assert later == []
