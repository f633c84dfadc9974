"""A fork's child finds every lock free, whoever held it."""

import os
import threading
import time

import pytest

from gwz_instrument.locks import renewed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def ended(child):
    """The exit status of a child; None, and it is ended, if it is not done in ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def test_a_child_takes_a_lock_that_another_thread_held_at_the_fork():
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
    status = ended(child)
    over.set()
    holder.join(10)
    assert status == 0


def test_whoever_forks_within_it_leaves_it_in_both_processes():
    lock = renewed()
    with lock():
        child = os.fork()
        if child == 0:
            with lock():
                pass
    if child == 0:
        os._exit(0 if lock().acquire(blocking=False) else 1)
    assert ended(child) == 0
    assert lock() is lock()
