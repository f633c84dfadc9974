"""A fork's child finds every lock free, whoever held it."""

import os
import threading

import pytest

from gwz_instrument.locks import renewed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def test_a_child_takes_a_lock_that_another_thread_held_at_the_fork(exit_status):
    lock, held, over = renewed(), threading.Event(), threading.Event()

    def hold():
        with lock():
            held.set()
            over.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    if (child := os.fork()) == 0:
        with lock():
            os._exit(0)
    status = exit_status(child)
    over.set()
    holder.join(10)
    assert status == 0


def test_whoever_forks_within_it_leaves_it_in_both_processes(exit_status):
    lock = renewed()
    with lock():
        child = os.fork()
        if child == 0:
            with lock():
                pass
    if child == 0:
        os._exit(0 if lock().acquire(blocking=False) else 1)
    assert exit_status(child) == 0
    assert lock() is lock()
