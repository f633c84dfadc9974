"""Several processes that answer for one application: each says the same, to the byte."""

import re
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import httpx

from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.reader_app import WORKER
from gwz_instrument.semconv import endpoints

_ASKED = {
    f"{endpoints.REALTIME.path}?hours=1": 200,
    f"{endpoints.ERROR_RATES.path}?hours=24": 40,
    f"{endpoints.TOKENS.path}?hours=24": 40,
    f"{endpoints.TRENDING.path}?limit=100": 40,
    f"{endpoints.COSTS.path}?days=7": 40,
}
_AT_ONCE = 8
_SHOWN = 40
_TIMES = re.compile(rb'"(timestamp|from|to|time|start_date|end_date)":"[^"]*"')
"""What moves with the clock and with every scrape, and is no total."""


def agree(case: Case, url: str, workers: int) -> Finding:
    """Whichever process answers, totals are the same bytes, and exact."""
    asked = [path for path, times in _ASKED.items() for _ in range(times)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda path: _answer(f"{url}{path}", case.tokens.api), asked))
    bodies: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
    by_worker = Counter[str]()
    phrases = []
    for path, (status, worker, body) in zip(asked, answers, strict=True):
        by_worker[worker] += 1
        bodies[path][_TIMES.sub(rb'"\1":""', body)] += 1
        if status != httpx.codes.OK or b'"exact":true' not in body:
            phrases.append(f"{path} of worker {worker} answers {status}: {body[:200]!r}")
    phrases += [
        f"{path} has {len(found)} different answers: {_apart(*list(found)[:2])}"
        for path, found in bodies.items()
        if len(found) > 1
    ]
    if len(by_worker) < 2:
        phrases.append(f"only the worker {', '.join(by_worker)} answered")
    return Finding(
        not phrases,
        shorten(phrases)
        or f"{len(asked)} requests, {_ASKED[next(iter(_ASKED))]} of them for the last hour, were answered by "
        f"{len(by_worker)} of {workers} workers: exact, and byte for byte the same totals",
    )


def _apart(one: bytes, other: bytes) -> str:
    """Where two answers part."""
    place = next((number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, one.rfind(b',"', 0, place))
    return f"{one[start : place + _SHOWN]!r} and {other[start : place + _SHOWN]!r}"


def _answer(url: str, token: str) -> tuple[int, str, bytes]:
    """Ask over a connection of its own."""
    answer = httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=10, trust_env=False)
    return answer.status_code, answer.headers.get(WORKER, ""), answer.content
