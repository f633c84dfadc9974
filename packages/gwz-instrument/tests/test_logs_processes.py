"""Forks and exits, by real processes."""

import collections
import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from gwz_instrument.logs import PUSH_PATH

PREAMBLE = """
import logging, multiprocessing, os, signal, sys, threading, time
from gwz_instrument.logs import LokiHandler

counts = {}
def count(signal, word, number): counts[word] = counts.get(word, 0) + number

handler = LokiHandler(sys.argv[1], {"app": "gw"}, count=count)
logger = logging.Logger("x")
logger.addHandler(handler)
"""


def run(script, url, *, timeout=60):
    result = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), url + PUSH_PATH],
        capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result


def messages(loki):
    return [json.loads(line)["message"] for _, _, line, _ in loki.lines]


def test_a_plain_exit_delivers_the_queue_even_after_dictconfig(loki):
    result = run(
        """
        import logging.config
        logging.config.dictConfig({"version": 1})
        for n in range(200): logger.info("%d", n)
        """,
        loki.url,
    )
    assert result.stderr == ""
    assert messages(loki) == [str(number) for number in range(200)]


@pytest.mark.slow
def test_every_exit_with_a_full_queue_delivers_all_of_it(loki):
    for number in range(10):
        loki.lines.clear()
        result = run(f"for n in range(3000): logger.info('{number} %d', n)", loki.url)
        assert result.stderr == ""
        assert messages(loki) == [f"{number} {n}" for n in range(3000)]


def test_an_exception_that_ends_the_process_is_delivered(loki):
    result = subprocess.run(
        [sys.executable, "-c", PREAMBLE + "logger.info('last words')\nsys.exit(3)", loki.url + PUSH_PATH],
        timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode == 3
    assert messages(loki) == ["last words"]


def trickle(server):
    """Accept, and answer a byte per 0.1 s, for as long as somebody listens."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                client.sendall(b"x")
                time.sleep(0.1)


@pytest.fixture(params=["dead", "hung", "black hole", "trickling"])
def bad_loki(request):
    """The address of a Loki that refuses, never answers, does not even accept, or never comes to an end."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        if request.param != "dead":
            server.listen(0 if request.param == "black hole" else 50)
        if request.param == "black hole":
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(server.getsockname())
        thread = threading.Thread(target=trickle, args=(server,), daemon=True)
        if request.param == "trickling":
            thread.start()
        yield address
        for client in waiting:
            client.close()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        if thread.ident:
            thread.join(10)


def test_an_exit_takes_no_more_than_two_seconds_whatever_loki_does(bad_loki):
    result = run(
        """
        import atexit
        from gwz_instrument.logs import processes

        def drain():
            start = time.monotonic()
            processes.end_all()
            print(time.monotonic() - start, counts)

        atexit.unregister(processes.end_all)
        atexit.register(drain)
        for n in range(2000): logger.info("%d", n)
        time.sleep(0.4)
        """,
        bad_loki,
    )
    seconds, counts = result.stdout.split(maxsplit=1)
    assert float(seconds) < 2
    assert counts == "{'shutdown': 2000}\n"
    assert "2000 log lines were given up" in result.stderr


def test_what_is_logged_by_exit_hooks_older_than_the_handler_is_counted(loki):
    """Exit hooks run in reverse: those that the application has registered first come after ours."""
    result = subprocess.run(
        [
            sys.executable, "-c",
            "import atexit\n"
            "atexit.register(lambda: print(counts))\n"
            "atexit.register(lambda: [logger.info('late %d', n) for n in range(3)])\n"
            + PREAMBLE
            + "atexit.register(logger.info, 'in time')\n"
            "logger.info('first')\n",
            loki.url + PUSH_PATH,
        ],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert messages(loki) == ["first", "in time"]
    assert result.stdout == "{'delivered': 2, 'shutdown': 3}\n"
    assert result.stderr.count("\n") == 1
    assert "a log line came after the last delivery" in result.stderr


def test_a_parent_that_has_used_multiprocessing_delivers_what_its_exit_hooks_log(loki):
    """multiprocessing's own exit hook runs first, and is no end."""
    result = run(
        """
        import atexit, multiprocessing.util
        atexit.register(logger.info, "by a hook")
        atexit.unregister(multiprocessing.util._exit_function)
        atexit.register(multiprocessing.util._exit_function)
        logger.info("first")
        """,
        loki.url,
    )
    assert messages(loki) == ["first", "by a hook"]
    assert result.stderr == ""


def test_a_forked_child_sends_its_own_lines_and_not_the_parents(loki):
    result = run(
        """
        logger.info("parent")
        pid = os.fork()
        if pid == 0:
            logger.info("child")
            os._exit(0 if handler.force_flush(5) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        loki.url,
    )
    assert result.stderr == ""
    assert sorted(messages(loki)) == ["child", "parent"]


@pytest.mark.slow
def test_forks_while_the_sender_sends_lose_double_and_hang_nothing(loki):
    result = run(
        """
        stop, written = threading.Event(), []
        def load():
            while not stop.is_set():
                logger.info("parent %d", len(written))
                written.append(1)
                if len(written) % 20 == 0: time.sleep(0.002)
        threads = [threading.Thread(target=load)]
        for thread in threads: thread.start()
        children = []
        for child in range(20):
            time.sleep(0.03)
            pid = os.fork()
            if pid == 0:
                for n in range(50): logger.info("child %d %d", child, n)
                os._exit(0 if handler.force_flush(20) else 1)
            children.append(pid)
        stop.set()
        for thread in threads: thread.join()
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        assert handler.force_flush(20)
        print(len(written))
        """,
        loki.url,
        timeout=90,
    )
    numbers = collections.Counter(messages(loki))
    assert set(numbers.values()) == {1}
    parents = int(result.stdout)
    assert set(numbers) == {f"parent {n}" for n in range(parents)} | {
        f"child {child} {n}" for child in range(20) for n in range(50)
    }
    assert result.stderr == ""


def test_a_child_of_multiprocessing_delivers_at_its_end(loki):
    """It leaves by os._exit, so that no atexit runs."""
    run(
        """
        logger.info("parent")
        def work(): logger.info("child %d", os.getpid())
        children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
        for child in children: child.start()
        for child in children: child.join()
        """,
        loki.url,
    )
    assert sorted(message.split()[0] for message in messages(loki)) == ["child"] * 3 + ["parent"]


def test_a_fork_does_not_wait_for_the_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = run(
            """
            logger.info("parent")
            handler.force_flush(0.3)  # it is being sent now, and nobody answers
            start = time.monotonic()
            pid = os.fork()
            if pid == 0: os._exit(0)
            print(time.monotonic() - start)
            os.waitpid(pid, 0)
            handler.drain(0)
            """,
            f"http://127.0.0.1:{server.getsockname()[1]}",
        )
    assert float(result.stdout) < 0.2


def test_a_child_puts_no_byte_on_its_parents_connection(loki):
    """Both go on over what they think is one kept connection; a byte of the child's on the parent's would break it."""
    run(
        """
        logger.info("parent 1")
        assert handler.force_flush(5)
        pid = os.fork()
        if pid == 0:
            logger.info("child")
            os._exit(0 if handler.force_flush(5) else 1)
        logger.info("parent 2")
        assert handler.force_flush(5)
        assert os.waitpid(pid, 0)[1] == 0
        logger.info("parent 3")
        assert handler.force_flush(5)
        assert counts == {"delivered": 3}
        """,
        loki.url,
    )
    assert sorted(messages(loki)) == ["child", "parent 1", "parent 2", "parent 3"]
    assert loki.connections == 2


def test_a_signal_handler_may_log_while_its_thread_does(loki):
    result = run(
        """
        signal.signal(signal.SIGALRM, lambda *_: logger.info("signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        end = time.monotonic() + 1
        while time.monotonic() < end: logger.info("main")
        signal.setitimer(signal.ITIMER_REAL, 0)
        handler.drain(20)
        print(sum(counts.values()) == counts["delivered"] + counts.get("queue_full", 0))
        """,
        loki.url,
    )
    assert result.stdout == "True\n"
    assert all("is slower than the lines come" in line for line in result.stderr.splitlines())
    assert "signal" in messages(loki)
