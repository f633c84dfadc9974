"""What the rules' data sources answered while the faults came and went, so that other rules can be tried on it afterwards.

Prometheus and Loki remember by themselves what they had to say; when they, or the JSON endpoints, did not answer, and what
the endpoints said, is noted meanwhile.
"""

import json
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from gwz_dashboards.json_queries import API_UID
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID
from gwz_e2e.alerting.evaluation import Evaluation, Question, Values, body_of, question, told
from gwz_e2e.alerting.notices import Notice
from gwz_e2e.case import Engines
from gwz_e2e.engines import Loki, Prometheus
from gwz_e2e.reading import Reader
from gwz_e2e.repeated import repeated

STEP_S = 0.5
"""Twice as often as Grafana: so that what it saw is not missed."""
_EVALUATED = ("data", "condition", "for", "noDataState", "execErrState", "isPaused")
"""What of a rule decides when it fires; many that were made wrong are the same in that."""


@dataclass(frozen=True)
class Moment:
    """Who did not answer, and what the endpoints did."""

    at: float
    silent: frozenset[str] = frozenset()
    bodies: Mapping[Question, Any] = field(default_factory=dict, repr=False)


class Past:
    """Notes while `noting`; afterwards it tells how a rule would have behaved. Thread-safe then."""

    def __init__(self, engines: Engines, api: Reader, questions: Iterable[Question]) -> None:
        self._engines: Mapping[str, Prometheus | Loki] = {PROMETHEUS_UID: engines.prometheus, LOKI_UID: engines.loki}
        self._api = api
        self._questions = tuple(questions)
        self._moments: list[Moment] = []
        self._end: Callable[[], None] = lambda: None
        self._ranges = cache(self._range)
        self._told = cache(self._evaluate)

    @contextmanager
    def noting(self) -> Iterator["Past"]:
        """Note twice a second while the context lasts."""
        with repeated(self._note, STEP_S, "past") as self._end:
            yield self

    def has(self, moment: float) -> bool:
        """Whether it was noted what was answered at that time."""
        return bool(self._moments) and self._moments[-1].at >= moment

    def end(self) -> None:
        """Note no more; idempotent."""
        self._end()

    def notices(self, uid: str, rule: Mapping[str, Any]) -> Sequence[Notice]:
        """What the rule would have told, had it been the one of this uid."""
        return self._told(uid, json.dumps({name: rule[name] for name in _EVALUATED}, sort_keys=True))

    def _evaluate(self, uid: str, rule: str) -> Sequence[Notice]:
        evaluated = json.loads(rule)
        asked = self._asked(evaluated["data"][0])
        step = 0
        evaluation = Evaluation({uid: evaluated}, lambda _: asked(step))
        for step in range(int((self._moments[-1].at - self._start) / STEP_S) + 1):  # the evaluation asks for it
            evaluation.step(self._start + step * STEP_S)
        return evaluation.notices()

    @property
    def _start(self) -> float:
        return self._moments[0].at

    def _asked(self, query: Mapping[str, Any]) -> Callable[[int], Values]:
        """The answers to a query, by the number of the step."""
        source, model = query["datasourceUid"], query["model"]
        ago = int(query["relativeTimeRange"]["to"] / STEP_S)
        times = [moment.at for moment in self._moments]

        def answer(step: int) -> Values:
            when = step - ago
            if when < 0:
                return {}
            moment = self._moments[bisect(times, self._start + when * STEP_S) - 1]
            if source in moment.silent:
                raise ValueError(f"{source} did not answer")
            if source == API_UID:
                body = moment.bodies[question(model)]
                if body is None:
                    raise ValueError(f"{model['url']} did not answer")
                return told(model, body)
            return self._ranges(source, model["expr"])(when)

        return answer

    def _range(self, source: str, expression: str) -> Callable[[int], Values]:
        """What Prometheus or Loki says of each step now."""
        answers: dict[int, dict[frozenset[tuple[str, str]], float]] = {}
        try:
            found = self._engines[source].query_range(expression, self._start, self._moments[-1].at, STEP_S)
        except httpx.HTTPStatusError as error:
            refusal = str(error)

            def refused(_: int) -> Values:
                raise ValueError(refusal)

            return refused
        for one in found:
            for at, value in one.samples:
                answers.setdefault(round((at - self._start) / STEP_S), {})[frozenset(one.labels.items())] = value
        return lambda step: answers.get(step, {})

    def _note(self) -> None:
        at = time.time()
        silent = {uid for uid, engine in self._engines.items() if not _answers(engine.ready)}
        bodies = {asked: self._body(asked) for asked in self._questions}
        self._moments.append(Moment(at, frozenset(silent), bodies))

    def _body(self, asked: Question) -> Any:
        try:
            return body_of(self._api, *asked)
        except (httpx.HTTPError, ValueError):
            return None


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except (httpx.HTTPError, ValueError):
        return False
