"""Work that is given up when its time is over, whatever it waits for."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], *, name: str) -> T:
    """What `work` returns or raises; TimeoutError if that takes longer.

    It is done on a thread of this name that can be left behind: a socket's own timeout is one for each byte, and the
    look-up of a host name heeds none.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    thread = threading.Thread(target=attempt, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
