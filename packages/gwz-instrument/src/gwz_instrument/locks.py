"""Locks that do not stay held for ever in the child of a fork."""

import os
import threading
from collections.abc import Callable


def renewed() -> Callable[[], threading.RLock]:
    """What returns a re-entrant lock: the same one for all, and in a fork's child a new one.

    A fork copies a lock as it is, held perhaps by a thread that the child does not have. It is re-entrant because the
    collector may end a request while this thread holds it.
    """
    lock = threading.RLock()

    def renew() -> None:
        nonlocal lock
        lock = threading.RLock()

    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew)
    return lambda: lock
