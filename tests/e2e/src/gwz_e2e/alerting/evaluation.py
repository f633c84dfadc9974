"""The rules evaluated against the engines themselves, where there is no Grafana: query, threshold, `for`, missing data."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from gwz_dashboards.json_queries import API_UID
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID
from gwz_e2e.alerting.divided import seconds
from gwz_e2e.alerting.notices import Key, Notice, PendingTimes
from gwz_stack import Urls

Labels = frozenset[tuple[str, str]]
Values = Mapping[Labels, float]
"""What a query answered, by labels; nothing means no data."""
Ask = Callable[[Mapping[str, Any]], Values]
"""Asks the query of a rule; raises httpx.HTTPError or ValueError where Grafana would have an error."""

_INTERVAL_S = 1.0
_TIMEOUT_S = 5.0
_ALARM = "Alerting"
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
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._evaluate, name="evaluation", daemon=True)

    @contextmanager
    def observing(self) -> Iterator["Evaluation"]:
        """Evaluate every second while the context lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()

    def notices(self) -> list[Notice]:
        """Every change that was seen."""
        return list(self._notices)

    def pending_at(self, key: Key, before: float) -> float | None:
        """When the alert last became due."""
        return self._pending.last(key, before)

    def step(self, now: float) -> None:
        """Evaluate every rule once."""
        for uid, rule in self._rules.items():
            due = {Key(uid, labels) for labels in self._due(rule)}
            for key in due:
                if key not in self._since:
                    self._since[key] = now
                    self._pending.note(key, now)
                if key not in self._firing and now - self._since[key] >= seconds(rule["for"]):
                    self._tell(key, now, firing=True)
            for key in [key for key in self._since if key.uid == uid and key not in due]:
                del self._since[key]
                if key in self._firing:
                    self._tell(key, now, firing=False)

    def _due(self, rule: Mapping[str, Any]) -> set[Labels]:
        try:
            values = self._ask(rule["data"][0])
        except (httpx.HTTPError, ValueError):
            return {frozenset()} if rule["execErrState"] == _ALARM else set()
        if not values:
            return {frozenset()} if rule["noDataState"] == _ALARM else set()
        (condition,) = rule["data"][-1]["model"]["conditions"]
        evaluator = condition["evaluator"]
        within, (limit,) = _WITHIN[evaluator["type"]], evaluator["params"]
        return {labels for labels, value in values.items() if not within(value, limit)}

    def _tell(self, key: Key, now: float, *, firing: bool) -> None:
        (self._firing.add if firing else self._firing.discard)(key)
        self._notices.append(Notice(key, firing, now, now))

    def _evaluate(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            self.step(time.time())


class Engines:
    """Asks the data source that a query names."""

    def __init__(self, urls: Urls, api_url: str, api_token: str) -> None:
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
        self._urls = urls
        self._api_url = api_url
        self._headers = {"authorization": f"Bearer {api_token}"}

    def ask(self, query: Mapping[str, Any]) -> Values:
        """What the query answers now."""
        asked = {PROMETHEUS_UID: self._prometheus, LOKI_UID: self._loki, API_UID: self._api}
        return asked[query["datasourceUid"]](query["model"])

    def _prometheus(self, model: Mapping[str, Any]) -> Values:
        return self._vector(f"{self._urls.prometheus}/api/v1/query", model)

    def _loki(self, model: Mapping[str, Any]) -> Values:
        return self._vector(f"{self._urls.loki}/loki/api/v1/query", model)

    def _vector(self, url: str, model: Mapping[str, Any]) -> Values:
        answer = self._client.get(url, params={"query": model["expr"]}).raise_for_status().json()
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in answer["data"]["result"]}

    def _api(self, model: Mapping[str, Any]) -> Values:
        asked = {parameter["key"]: parameter["value"] for parameter in model["url_options"]["params"]}
        answer = self._client.get(f"{self._api_url}{model['url']}", params=asked, headers=self._headers)
        value = answer.raise_for_status().json()[model["columns"][0]["selector"]]
        return {} if value is None else {frozenset(): float(value)}
