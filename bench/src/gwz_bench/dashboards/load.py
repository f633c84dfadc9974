"""Loads a dashboard as a browser does, over six connections, and keeps how long each question took."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from gwz_bench.dashboards.boards import Board, Times
from gwz_bench.dashboards.ways import Question, Refused, Way

CONNECTIONS = 6
"""What a browser opens to one host over HTTP/1.1."""


@dataclass(frozen=True)
class Answered:
    """A question, how long its answer took, and what is in it."""

    question: Question
    seconds: float
    status: int
    text: bytes

    @property
    def body(self) -> Any:
        """The answer, read; Refused where it is none."""
        if self.status != httpx.codes.OK:
            raise Refused(f"{self.question.what} is answered with {self.status}: {self.text[:200]!r}")
        return json.loads(self.text)

    @property
    def empty(self) -> list[str]:
        """The queries that were answered with nothing; Refused where one was not answered."""
        rows = self.question.rows(self.body)
        return [f"{self.question.what} ({name})" for name, number in rows.items() if not number]


@dataclass(frozen=True)
class Loaded:
    """A dashboard that was loaded once."""

    seconds: float
    """From its first question to its last answer."""
    answers: Sequence[Answered]

    @property
    def slowest(self) -> Answered:
        """The question that took longest."""
        return max(self.answers, key=lambda one: one.seconds)

    def judged(self) -> tuple[list[str], list[str]]:
        """What was not answered, and what was answered with nothing."""
        refused, empty = [], []
        for answer in self.answers:
            try:
                empty += answer.empty
            except Refused as refusal:
                refused.append(str(refusal))
        return refused, empty


def load(board: Board, way: Way, client: httpx.Client, times: Times) -> Loaded:
    """Ask everything that the browser asks when the dashboard is opened, or refreshed with its variables."""
    chosen = dict(board.settled)
    answers: list[Answered] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for awaits in (False, True):
            variables = [one for one in board.variables if one.awaits is awaits]
            found = list(
                pool.map(partial(_put, client), [way.choices(one, chosen, times.window()) for one in variables])
            )
            for variable, answer in zip(variables, found, strict=True):
                chosen[variable.name] = variable.everything or _first(answer)
            answers += found
        panels = board.panels(chosen, times)
        questions = [question for panel in panels for question in way.of_panel(panel)]
        answers += pool.map(partial(_put, client), questions)
    return Loaded(time.perf_counter() - began, answers)


def _first(answer: Answered) -> str:
    """The value that is chosen where nobody has chosen; Refused where there is none."""
    values = answer.body["data"]
    if not values:
        raise Refused(f"{answer.question.what} has no value that could be chosen")
    return str(values[0])


def _put(client: httpx.Client, question: Question) -> Answered:
    began = time.perf_counter()
    response = question.put(client)
    return Answered(question, time.perf_counter() - began, response.status_code, response.content)
