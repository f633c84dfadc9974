"""A search over a whole day is answered at once, however often: no worker of Loki's that a search stops is missed."""

import time

import httpx

from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import DAY_S, Alone, Overrides, client
from gwz_e2e.limits.counted import answered
from gwz_instrument.logs import PUSH_PATH, LokiHandler

ID = "wide_searches"
_AS_SHIPPED: Overrides = {}
_APP = "searched"
_QUERY = f'{{app="{_APP}"}} |~ `(?i)LINE`'
"""A filter is what makes Loki run the hours of a search at once."""
_LINES = 24_000
_WANTED = 200
"""So many lines are in the last hour: the search needs no other."""
_SEARCHES = 30
_BETWEEN_S = 0.2
_SLOWEST_S = 1.0
"""One takes some hundredths of a second; where all workers pause, up to 5 s."""


def prove(loki: Alone, overrides: Overrides = _AS_SHIPPED) -> Finding:
    """Write a day of lines, then search for the newest ones again and again."""
    loki.start(overrides)
    now = time.time()
    _write(loki, now)
    loki.start(overrides)  # as it stops it stores the lines: of those that it holds only the last hours are searched
    with client(loki.url) as ask:
        found, took = zip(*(_search(ask, now) for _ in range(_SEARCHES)), strict=True)
    return Finding(
        ok=max(took) <= _SLOWEST_S and set(found) == {_WANTED},
        sentence=f"{_SEARCHES} searches over a day with {_LINES} lines, each for the newest {_WANTED}, found "
        f"{min(found)} to {max(found)} and took {min(took):.2f} to {max(took):.2f} s, the last one {took[-1]:.2f} s, "
        f"of {_SLOWEST_S:.0f} s that one may take",
        figures={"searches": _SEARCHES, "lines": _LINES, "slowest_s": round(max(took), 3)},
    )


def _write(loki: Alone, now: float) -> None:
    handler = LokiHandler(f"{loki.url}{PUSH_PATH}", tags={"app": _APP})
    for number in range(_LINES):
        age_s = DAY_S * (_LINES - number) / _LINES
        handler.write(level=20, logger=__name__, message=f"line {number}", created=now - age_s)
    handler.drain()


def _search(ask: httpx.Client, now: float) -> tuple[int, float]:
    """How many lines were found, and in which time."""
    time.sleep(_BETWEEN_S)
    began = time.perf_counter()
    found = answered(ask, "query_range", query=_QUERY, limit=_WANTED, start=f"{now - DAY_S:.0f}", end=f"{now:.0f}")
    took = time.perf_counter() - began
    return sum(len(stream["values"]) for stream in found), took
