"""Push requests: the lines of one stream as gzipped JSON, made in slices that leave the interpreter to others."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gwz_instrument.semconv import logs

from .entry import Entry
from .lines import LineFormatter, level_of, metadata_json
from .values import quote

_SLICE: Final = 64  # lines; compressing them lets go of the interpreter's lock, which nobody should wait 5 ms for
_CLOCK_STEP_NS: Final = 1_000_000_000
_GZIP: Final = zlib.MAX_WBITS | 16
_FAST: Final = 1

Stamped = tuple[int, Entry]
"""An entry with the nanosecond that is its own, however often it is sent."""


@dataclass(frozen=True, slots=True)
class Push:
    """One request: `entries` are kept to make smaller ones of it."""

    level: str
    entries: Sequence[Stamped]
    body: bytes
    faults: int
    """Entries of which no line could be made; they are not in the body."""


class Pusher:
    """Makes pushes of batches, for one thread."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._formatter = LineFormatter()
        self._last_ns = 0

    def pushes(self, batch: Iterable[Entry]) -> Iterator[Push]:
        """The pushes of a batch, one per level that is in it."""
        streams: dict[str, list[Stamped]] = {}
        for entry in batch:
            streams.setdefault(level_of(entry[1]), []).append((self._nanoseconds(entry[0]), entry))
        for level, entries in streams.items():
            yield self._push(level, entries)

    def halves(self, push: Push) -> Iterator[Push]:
        """Two pushes with the entries of one."""
        middle = len(push.entries) // 2
        for entries in (push.entries[:middle], push.entries[middle:]):
            yield self._push(push.level, entries)

    def _push(self, level: str, entries: Sequence[Stamped]) -> Push:
        gzip = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
        labels = {**self._labels, logs.LEVEL.name: level}
        written = ",".join(f"{quote(name)}:{quote(value)}" for name, value in labels.items())
        parts = [gzip.compress(f'{{"streams":[{{"stream":{{{written}}},"values":['.encode("utf-8", "replace"))]
        faults, comma = 0, ""
        for start in range(0, len(entries), _SLICE):
            values = list(filter(None, map(self._value, entries[start : start + _SLICE])))
            faults += len(entries[start : start + _SLICE]) - len(values)
            if values:
                parts.append(gzip.compress((comma + ",".join(values)).encode("utf-8", "replace")))
                comma = ","
        parts += (gzip.compress(b"]}]}"), gzip.flush())
        return Push(level, entries, b"".join(parts), faults)

    def _value(self, stamped: Stamped) -> str | None:
        nanoseconds, entry = stamped
        try:
            return f'["{nanoseconds}",{quote(self._formatter.line(entry))},{metadata_json(entry[7])}]'
        except Exception:  # noqa: BLE001  # a bug of ours costs this line, and is counted
            return None

    def _nanoseconds(self, created: float) -> int:
        """A nanosecond for this line alone, as Loki drops an equal line of the same one; a clock set back is believed.

        A float holds the time to the microsecond; the digits below it are noise.
        """
        nanoseconds = round(created * 1e6) * 1000
        if 0 <= self._last_ns - nanoseconds < _CLOCK_STEP_NS:
            nanoseconds = self._last_ns + 1
        self._last_ns = nanoseconds
        return nanoseconds
