"""What is done again and again beside everything else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(do: Callable[[], object], every_s: float, name: str) -> Iterator[Callable[[], None]]:
    """Do something every so many seconds on a thread of its own while the context lasts; what it yields ends that before."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(every_s):
            do()

    thread = threading.Thread(target=work, name=name, daemon=True)

    def end() -> None:
        over.set()
        thread.join()

    thread.start()
    try:
        yield end
    finally:
        end()
