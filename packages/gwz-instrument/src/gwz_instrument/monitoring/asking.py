"""What is asked of Prometheus for one answer: all of it within one deadline, in as few questions as will do."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from math import ceil
from typing import Any, Final, TypeVar

from gwz_instrument.semconv import health, http

from .fetch import Server
from .lives import Address, Samples, Target, address
from .promql import at_most, duration, literally, quoted, samples_of, seconds_of, target_of, union
from .store import HOUR_S, Unavailable, until

DEADLINE_S: Final = 1.7
"""What the questions of one answer may take together, if nobody says."""
LOOKBACK_S: Final = 300.0
"""Prometheus shows a value for so long after its scrape, unless it has seen the series end."""
_RECENT_S: Final = 600.0
_APART: Final = ("job", "namespace", "cluster", "env", "environment")
"""Labels that tell deployments of one name apart, which nobody wants added up."""
_MARK: Final = "gwz_part"
_BEAT_LABELS: Final = {health.SIGNAL.name: "metrics", health.OUTCOME.name: health.DELIVERED}

Row = tuple[dict[str, str], float]
T = TypeVar("T")


class Asking:
    """The questions of one answer."""

    def __init__(self, server: Server, app_name: str, selector: str | None, clock: Callable[[], float] | None) -> None:
        self._server = server
        self._app_name = app_name
        self._selector = selector
        self._clock = clock
        self._until = until(DEADLINE_S)
        self._infos: dict[int, list[dict[str, str]]] = {}
        self.is_partial = False
        """Whether an answer said that it is not all there is."""

    @cached_property
    def now(self) -> float:
        """The present, by the clock of Prometheus: the application's may be wrong."""
        if self._clock is not None:
            return self._clock()
        return self._read(lambda: self.vector("vector(time())")[0][1])

    def recent_beats(self, addresses: Iterable[Address]) -> list[Samples]:
        """When these processes were scraped in the last ten minutes."""
        return [samples for _, samples in self.raw_beats(addresses, self.now - _RECENT_S, self.now)]

    def addresses(self, seconds: float) -> frozenset[Address]:
        """Job and instance of the processes of this application that there were within so many seconds."""
        return frozenset(address(target_of(labels)) for labels in self._infos_of(seconds))

    def refuse_mixture(self, seconds: float) -> None:
        """Unavailable if within so many seconds there were several deployments of this name and nothing tells which one."""
        if self._selector or _mixture(self._infos_of(seconds)) is None:
            return
        info = f"last_over_time({self._info()}[{duration(seconds)}])"  # those were chunks, which reach further back
        if found := _mixture([labels for labels, _ in self.vector(info, self.now)]):
            label, values = found
            raise Unavailable(
                f"the {label}s {', '.join(values)} all have applications named {self._app_name!r}, and their numbers "
                "would be added up: set GWZ_PROMETHEUS_SELECTOR to what tells this deployment, such as "
                f"{label}={quoted(values[0])}"
            )

    def matchers(self, addresses: Iterable[Address], where: Mapping[str, str]) -> str:
        """The inside of a selector of the series of these processes."""
        jobs, instances = ({one[place] for one in addresses} for place in (0, 1))
        return ", ".join(filter(None, (f"job=~{_any_of(jobs)}", f"instance=~{_any_of(instances)}", self._own(where))))

    def beat(self, addresses: Iterable[Address]) -> str:
        """A selector of how often each of these processes was scraped."""
        return f"{health.ITEMS.name}{{{self.matchers(addresses, _BEAT_LABELS)}}}"

    def vector(self, expression: str, at: float | None = None) -> list[Row]:
        """An instant query: labels and values; of now, as Prometheus sees it, without `at`."""
        rows = self._result("query", {"query": expression, **_when(at)})
        return self._read(lambda: [(dict(row["metric"]), float(row["value"][1])) for row in rows])

    def parts(self, expressions: Mapping[str, str], at: float) -> dict[str, list[Row]]:
        """Several instant queries as one."""
        found: dict[str, list[Row]] = {name: [] for name in expressions}
        for some in at_most(60, list(expressions.items())):
            marked = [f'label_replace({one}, "{_MARK}", "{name}", "", "")' for name, one in some]
            for labels, value in self.vector(union(marked), at):
                found[self._read(partial(labels.pop, _MARK))].append((labels, value))
        return found

    def matrix(self, expression: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], Samples]]:
        """A range query: labels, and times with values."""
        parameters = {"query": expression, "start": seconds_of(start), "end": seconds_of(end), "step": seconds_of(step)}
        rows = self._result("query_range", parameters)
        return self._read(lambda: [(dict(row["metric"]), samples_of(row)) for row in rows])

    def raw_beats(self, addresses: Iterable[Address], start: float, end: float) -> list[tuple[Target, Samples]]:
        """The heartbeats of these processes as they were scraped."""
        wanted = frozenset(addresses)
        rows = self._result("query", {"query": f"{self.beat(wanted)}[{duration(end - start)}]", **_when(end)})
        found = self._read(lambda: [(target_of(row["metric"], _BEAT_LABELS), samples_of(row)) for row in rows])
        return [(target, samples) for target, samples in found if samples and address(target) in wanted]

    def series(self, selector: str, seconds: float) -> list[dict[str, str]]:
        """The series that there were within so many seconds, or a little longer ago."""
        parameters = {"match[]": selector, "start": seconds_of(self.now - seconds), "end": seconds_of(self.now)}
        rows = self._get("series", parameters)
        return self._read(lambda: [dict(row) for row in _list(rows)])

    def _info(self) -> str:
        return f"{http.APP_INFO.name}{{{self._own({http.APP_NAME.name: self._app_name})}}}"

    def _infos_of(self, seconds: float) -> list[dict[str, str]]:
        reach = ceil(max(seconds, HOUR_S))
        if reach not in self._infos:
            self._infos[reach] = self.series(self._info(), reach)
        return self._infos[reach]

    def _own(self, where: Mapping[str, str]) -> str:
        wanted = (f"{name}={quoted(value)}" for name, value in where.items())
        return ", ".join(filter(None, (self._selector, *wanted)))

    def _result(self, endpoint: str, parameters: Mapping[str, str]) -> list[Any]:
        data = self._get(endpoint, parameters)
        return self._read(lambda: _list(data["result"]))

    def _get(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        # Thanos would leave out what does not answer; others do not know the parameter.
        asked = {**parameters, "partial_response": "false"}
        answer = self._server.ask(f"/api/v1/{endpoint}", asked, self._until)
        said = self._read(lambda: json.loads(answer.body))
        data = self._read(lambda: said["data"])
        self.is_partial |= bool(said.get("warnings")) or "partial" in f"{said.get('infos') or ''}".lower()
        return data

    def _read(self, read: Callable[[], T]) -> T:
        """What is read from an answer; Unavailable if it has another shape."""
        return well_formed(read, self._server)


def well_formed(read: Callable[[], T], server: Server) -> T:
    """What `read` finds in an answer of a server; Unavailable if the answer has another shape."""
    try:
        return read()
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unavailable(
            f"{server.name} answered with something that it never says: check {server.variable}, another server is there"
        ) from error


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _when(at: float | None) -> dict[str, str]:
    return {} if at is None else {"time": seconds_of(at)}


def _any_of(texts: Iterable[str]) -> str:
    return quoted("|".join(map(literally, sorted(texts))))


def _mixture(infos: Sequence[Mapping[str, str]]) -> tuple[str, list[str]] | None:
    """The first label that tells several deployments apart, and its values; one that was added later tells nothing."""
    for label in _APART:
        values = sorted({labels[label] for labels in infos if labels.get(label)})
        if len(values) > 1:
            return label, values
    return None
