"""The JSON endpoints: every number of every one is the ledger's, or Prometheus's own where the ledger has none."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

from prometheus_client.parser import text_string_to_metric_families

from gwz_e2e.books import Books
from gwz_e2e.case import Case
from gwz_e2e.checks.contract import exposition
from gwz_e2e.checks.metrics import Selector
from gwz_e2e.compare import differences, shorten
from gwz_e2e.expected import Expected, Question
from gwz_e2e.hops import Finding
from gwz_e2e.leaves import Comparison
from gwz_e2e.reading import NoAnswer, Reader
from gwz_e2e.scene import HEALTH_WINDOW_S
from gwz_e2e.speeds import Speeds
from gwz_instrument.semconv import endpoints, http, providers

_AT_ONCE = 4
_CALLS = 200
_PACE_S = 0.025
"""Between two calls that are timed: no reader may put more than fifty questions a second."""
_MOST_MS = {"local": 25.0, "prometheus": 150.0}
_SLACK = 3.0
"""What a call may take is said of a machine that does nothing else; here an outage goes on beside it."""


def numbers_equal(case: Case, url: str, source: str, *more: Case) -> Finding:
    """Each field of each answer is what the ledgers of all loads say; one that nothing was expected of is a difference."""
    wanted = expected(case, source, *more)
    reader, questions = Reader(url, case.tokens.api), list(wanted.questions())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        compared = list(pool.map(lambda question: _compare(reader, question), questions))
    unasked = {one.path for one in endpoints.MONITORING} - {question.endpoint.path for question in questions}
    phrases = [f"nobody asked {path}" for path in sorted(unasked)]
    phrases += [phrase for one in compared for phrase in one.differences]
    calls = wanted.books.calls
    return Finding(
        not phrases,
        shorten(phrases)
        or f"{len(questions)} answers of {len(endpoints.MONITORING)} endpoints from {source} hold "
        f"{sum(one.leaves for one in compared)} values, each as it has to be: {calls.total} calls, {calls.bad} failed, "
        f"{calls.given + calls.produced} tokens, {calls.cost:.6f} dollars",
    )


def told_by_itself(case: Case) -> Finding:
    """What the application says of itself."""
    return numbers_equal(case, case.app_url, "local")


def quick(case: Case, readers: str) -> Finding:
    """How long an answer takes that nobody asked for before, over all endpoints, from both stores."""
    both = [_timed(case, case.app_url, "local"), _timed(case, readers, "prometheus")]
    figures = {name: number for one in both for name, number in one.figures.items()}
    return Finding(all(one.ok for one in both), "; ".join(one.sentence for one in both), figures)


def _timed(case: Case, url: str, source: str) -> Finding:
    reader, took = Reader(url, case.tokens.api), dict[str, list[float]]()
    wrong = Counter[str]()
    for number, question in enumerate(islice(cycle(_one_each(expected(case, source))), _CALLS)):
        began = time.perf_counter()
        response = reader.send("GET", question.path, params={**question.parameters, "number": number})
        seconds = time.perf_counter() - began
        took.setdefault(question.endpoint.path, []).append(seconds * 1e3)
        if not response.is_success:
            wrong[f"{question.endpoint.path} answers {response.status_code}"] += 1
        time.sleep(max(0.0, _PACE_S - seconds))
    median = statistics.median(each for one in took.values() for each in one)
    slowest = max(took, key=lambda path: statistics.median(took[path]))
    allowed = _MOST_MS[source] * _SLACK
    return Finding(
        not wrong and median <= allowed,
        shorten([f"{what} {number} times" for what, number in wrong.items()])
        or f"the median of {_CALLS} answers from {source} is {median:.1f} ms, {allowed:g} ms are allowed here; the slowest "
        f"endpoint is {slowest} with {statistics.median(took[slowest]):.1f} ms",
        {f"endpoints_{source}_ms": round(median, 1)},
    )


def counted(case: Case) -> Finding:
    """Each answer is counted once, by its endpoint and status, and by no other metric; nobody else may be asking."""
    readers = {200: Reader(case.app_url, case.tokens.api), 401: Reader(case.app_url, "")}
    asked = [(200, one.path) for one in endpoints.MONITORING if "{" not in one.path] * 2
    asked += [(401, one.path) for one in endpoints.INSTRUMENTATION_ENDPOINTS if one.method == "GET"]
    before = _requests(case)
    for status, path in asked:
        readers[status].send("GET", path)
    grown = _requests(case) - before
    wanted = Counter((endpoints.REQUESTS.name, path, str(status)) for status, path in asked)
    phrases = differences(wanted, grown)
    return Finding(not phrases, shorten(phrases) or f"{len(asked)} answers are counted as such, and as nothing else")


def _requests(case: Case) -> Counter[tuple[str, ...]]:
    """How many requests the application has counted, of its own and of ours."""
    counts = Counter[tuple[str, ...]]()
    for family in text_string_to_metric_families(exposition(case, "text/plain")):
        for sample in family.samples:
            if sample.name == endpoints.REQUESTS.name:
                counts[sample.name, sample.labels["endpoint"], sample.labels["status_code"]] += int(sample.value)
            elif sample.name == http.REQUESTS.name:
                counts[sample.name, sample.labels["path"], sample.labels["status_code"]] += int(sample.value)
    return counts


def expected(case: Case, source: str, *more: Case) -> Expected:
    """What has to be answered now."""
    of = Selector(case, instance=case.address)
    states = of.totals(providers.BREAKER_STATE.name, "provider", "state")
    return Expected(
        source,
        Books.of([case, *more]),
        Speeds.read(of),
        {provider: state for (provider, state), holds in states.items() if holds},
        HEALTH_WINDOW_S,
    )


def _compare(reader: Reader, question: Question) -> Comparison:
    found = Comparison()
    try:
        answer = reader.ask(question)
        found.compare(answer.seen, question.wanted(answer), str(question))
    except NoAnswer as error:
        found.differences.append(str(error))
    except (KeyError, TypeError, ValueError) as error:
        found.differences.append(f"{question} cannot be understood: {type(error).__name__}: {error}")
    return found


def _one_each(wanted: Expected) -> Iterator[Question]:
    """A question for each endpoint."""
    seen = set[str]()
    for question in wanted.questions():
        if question.endpoint.path not in seen:
            seen.add(question.endpoint.path)
            yield question
