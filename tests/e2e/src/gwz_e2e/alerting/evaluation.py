"""The rules evaluated as Grafana does: query, reducer, threshold, `for`, missing data; where there is no Grafana, or of the past."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from gwz_dashboards.json_queries import API_UID
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID
from gwz_e2e.alerting.divided import seconds
from gwz_e2e.alerting.notices import Key, Notice, PendingTimes
from gwz_e2e.case import Engines
from gwz_e2e.engines import Loki, Prometheus
from gwz_e2e.panels.answers import NotShown
from gwz_e2e.panels.directly import rows_of
from gwz_e2e.reading import Reader
from gwz_e2e.repeated import repeated

Labels = frozenset[tuple[str, str]]
Values = Mapping[Labels, float]
"""What a query answered, by labels; nothing means no data."""
Ask = Callable[[Mapping[str, Any]], Values]
"""Asks the query of a rule; raises one of `NO_ANSWER` where Grafana would have an error."""

NO_ANSWER = (httpx.HTTPError, ValueError, NotShown)
"""What an `Ask` raises."""

_INTERVAL_S = 1.0
_ALARM = "Alerting"
_REDUCERS: Mapping[str, Callable[[float], float]] = {
    "last": lambda value: value,
    "mean": lambda value: value,
    "count": lambda _: 1.0,
}
"""Of a series with one point, as an instant query answers it."""
_WITHIN: Mapping[str, Callable[[float, float], bool]] = {"gt": lambda a, b: a <= b, "lt": lambda a, b: a >= b}
"""Turned round, as Grafana has it: a value that is no number is over every threshold."""


class Evaluation:
    """Keeps the states of alerts as Grafana does: due, due for as long as `for` says, over."""

    def __init__(self, rules: Mapping[str, Mapping[str, Any]], ask: Ask) -> None:
        self._rules = rules
        self._ask = ask
        self._since: dict[Key, float] = {}
        self._pending = PendingTimes()
        self._firing: set[Key] = set()
        self._notices: list[Notice] = []

    @contextmanager
    def observing(self) -> Iterator["Evaluation"]:
        """Evaluate every second while the context lasts."""
        with repeated(lambda: self.step(time.time()), _INTERVAL_S, "evaluation"):
            yield self

    def notices(self) -> list[Notice]:
        """Every change that was seen."""
        return list(self._notices)

    def pending_at(self, key: Key, before: float) -> float | None:
        """When the alert last became due."""
        return self._pending.last(key, before)

    def step(self, now: float) -> None:
        """Evaluate every rule once."""
        for uid, rule in self._rules.items():
            due = {Key(uid, labels): value for labels, value in self._due(rule).items()}
            for key, value in due.items():
                if key not in self._since:
                    self._since[key] = now
                    self._pending.note(key, now)
                if key not in self._firing and now - self._since[key] >= seconds(rule["for"]):
                    self._tell(key, now, firing=True, value=value)
            for key in [key for key in self._since if key.uid == uid and key not in due]:
                del self._since[key]
                if key in self._firing:
                    self._tell(key, now, firing=False)

    def _due(self, rule: Mapping[str, Any]) -> Mapping[Labels, float | None]:
        """The series that are over the threshold, with what they are; None for what has no number."""
        if rule["isPaused"]:
            return {}
        try:
            values = self._ask(rule["data"][0])
        except NO_ANSWER:
            return {frozenset(): None} if rule["execErrState"] == _ALARM else {}
        if not values:
            return {frozenset(): None} if rule["noDataState"] == _ALARM else {}
        _, reduced, _ = rule["data"]
        reducer = _REDUCERS[reduced["model"]["reducer"]]
        numbers = {labels: reducer(value) for labels, value in values.items()}
        return {labels: number for labels, number in numbers.items() if _fires(rule, number)}

    def _tell(self, key: Key, now: float, *, firing: bool, value: float | None = None) -> None:
        (self._firing.add if firing else self._firing.discard)(key)
        self._notices.append(Notice(key, firing, now, now, value))


class Asking:
    """Asks the data source that a query names."""

    def __init__(self, engines: Engines, api: Reader) -> None:
        self._engines: Mapping[str, Prometheus | Loki] = {PROMETHEUS_UID: engines.prometheus, LOKI_UID: engines.loki}
        self._api = api

    def ask(self, query: Mapping[str, Any]) -> Values:
        """What the query answers now."""
        model = query["model"]
        if query["datasourceUid"] != API_UID:
            found = self._engines[query["datasourceUid"]].query(model["expr"])
            return {frozenset(one.labels.items()): one.value for one in found}
        return told(model, body_of(self._api, *question(model)))


Question = tuple[str, tuple[tuple[str, str], ...]]
"""A path, and the parameters behind it."""


def question(model: Mapping[str, Any]) -> Question:
    """What is asked of an endpoint."""
    return model["url"], tuple((one["key"], one["value"]) for one in model["url_options"]["params"])


def body_of(api: Reader, path: str, parameters: tuple[tuple[str, str], ...]) -> Any:
    """What an endpoint answers now."""
    return api.get(path, dict(parameters)).raise_for_status().json()


def told(model: Mapping[str, Any], body: Any) -> Values:
    """What an endpoint's answer says to a rule."""
    (column,) = model["columns"]
    found = [row[column["text"]] for row in rows_of(body, model)]
    if any(isinstance(value, str) for value in found):
        raise ValueError(f"{column['selector']} of {model['url']} is no number")
    return {frozenset(): float(value) for value in found if value is not None}


def _fires(rule: Mapping[str, Any], number: float) -> bool:
    """Whether the expression that is the condition says so: a number by itself does by not being 0."""
    _, reduced, threshold = rule["data"]
    if rule["condition"] == reduced["refId"]:
        return number != 0
    (condition,) = threshold["model"]["conditions"]
    evaluator = condition["evaluator"]
    within, (limit,) = _WITHIN[evaluator["type"]], evaluator["params"]
    return not within(number, limit)
