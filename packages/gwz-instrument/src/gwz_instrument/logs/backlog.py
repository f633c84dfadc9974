"""The queue between whoever logs and the sender: bounded by bytes, the oldest goes first, nobody waits for long."""

import sys
import threading
import time
from collections import deque
from typing import Final

from .entry import Entry

BATCH_BYTES: Final = 1024 * 1024
_LINGER_S: Final = 0.2  # a line waits this long for company
_NEVER: Final = sys.maxsize
CLOSED: Final = -1


class Backlog:
    """Entries on their way, and how many of them are done with. Thread-safe; holds its lock only for moments."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self.bytes = 0
        self.sending = 0
        """Lines that the sender has taken and not settled."""
        self._settled = 0
        self._done = 0
        self._wake_at = _NEVER  # the number of bytes at which the sender wants to be woken
        self._hurried = 0
        self._closed = False
        self._counted = False  # what was left at the end
        # Reentrant: a signal handler may log while its thread holds it.
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)

    def put(self, entry: Entry) -> int:
        """Add `entry`; the number of old ones that had to go for it, `CLOSED` if it was not added."""
        with self.lock:
            self._entries.append(entry)
            self.bytes += entry[8]
            if self.bytes >= self._wake_at:
                self._wake_at = _NEVER
                self._changed.notify_all()
            return self._shed() if self.bytes > self._max_bytes else 0

    def take(self) -> list[Entry]:
        """Wait for lines, then for enough of them or a moment; an empty list means that the backlog is closed."""
        with self.lock:
            while not self._entries and not self._closed:
                self._sleep(1, None)
            until = time.monotonic() + _LINGER_S
            while not self._closed and not self._hurried and self.bytes < BATCH_BYTES:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._sleep(BATCH_BYTES, left)
            return [] if self._closed else self._cut()

    def settle(self, lines: int) -> bool:
        """Say that the fate of `lines` of those taken is known; False if `close` has counted them as left before."""
        with self.lock:
            if self._counted:
                return False
            self.sending -= lines
            self._settled += lines
            return True

    def done(self, lines: int) -> None:
        """Say that the fate of settled lines has been told to whoever counts."""
        with self.lock:
            self._settled -= lines
            self._done += lines
            self._changed.notify_all()

    def wait_until_done(self, timeout_s: float) -> bool:
        """Hurry, until every line put in so far is done with; False if that takes longer than `timeout_s`."""
        until = time.monotonic() + timeout_s
        with self.lock:
            last = self._done + self._settled + self.sending + len(self._entries)
            self._hurried += 1
            self._changed.notify_all()
            try:
                while self._done < last and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                return self._done >= last
            finally:
                self._hurried -= 1

    def pause(self, seconds: float, hurried_s: float) -> None:
        """Wait as long as asked, however many lines come in; `hurried_s` is enough for who waits for the delivery."""
        start = time.monotonic()
        with self.lock:
            while not self._closed:
                left = start + (hurried_s if self._hurried else seconds) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def close(self, wait_s: float = 0.0) -> int:
        """Empty it and end the sender; the number of lines that were neither delivered nor lost before.

        What is on its way is waited for, `wait_s` at most: counted as left, it may be delivered all the same.
        """
        until = time.monotonic() + wait_s
        with self.lock:
            left = len(self._entries)
            self._entries.clear()
            self.bytes = 0
            self._closed = True
            self._max_bytes = -1  # `put` asks this only, for speed
            self._changed.notify_all()
            while self.sending > 0 and (rest := until - time.monotonic()) > 0:
                self._changed.wait(rest)
            left += self.sending
            self.sending = 0
            self._counted = True
            return left

    @property
    def closed(self) -> bool:
        """Whether the sender is to stop."""
        return self._closed

    @property
    def finished(self) -> int:
        """How many lines are delivered or lost."""
        return self._done

    def __len__(self) -> int:
        """Lines that wait to be taken."""
        return len(self._entries)

    def _sleep(self, wake_at: int, seconds: float | None) -> None:
        self._wake_at = wake_at
        self._changed.wait(seconds)
        self._wake_at = _NEVER

    def _shed(self) -> int:
        if self._closed:
            self._entries.clear()
            self.bytes = 0
            return CLOSED
        dropped = 0
        while self.bytes > self._max_bytes and len(self._entries) > 1:
            self.bytes -= self._entries.popleft()[8]
            dropped += 1
        self._done += dropped
        return dropped

    def _cut(self) -> list[Entry]:
        batch: list[Entry] = []
        entries, size = self._entries, 0
        while entries and (not batch or size + entries[0][8] <= BATCH_BYTES):
            entry = entries.popleft()
            size += entry[8]
            batch.append(entry)
        self.bytes = self.bytes - size if entries else 0  # a signal handler between two steps of `put` may skew the sum
        self.sending += len(batch)
        return batch
