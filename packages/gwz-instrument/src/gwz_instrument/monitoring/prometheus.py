"""The store behind which stands Prometheus, or Mimir or Thanos: all workers and replicas agree, and answers survive restarts."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from math import ceil, isfinite
from typing import Any, Final

from gwz_instrument.semconv import Metric, health, http, inference, logs, providers
from gwz_instrument.settings import PROMETHEUS

from .fetch import Server
from .lives import Instance, Readings, Samples, increases, interval, lives_of, longest_gap, times_to_read
from .scores import FAILURE_STATUSES
from .store import Ask, Breakers, Failed, Failures, Sums, Unavailable, Window

DEADLINE_S: Final = 1.7
"""What the questions of one answer may take together."""
_STEPS: Final = 500
"""As many points as a heartbeat is first looked at."""
_LEAST_STEP_S: Final = 5.0
_MOST_LIVES: Final = 100
_GAP_S: Final = 120.0
"""Longer without any scrape, and a window is not covered."""
_REMEMBERED_S: Final = 7 * 86400.0
_ERRORS_S: Final = 86400.0
_BEAT: Final = health.ITEMS.name
_LOKI_LINES: Final = 1000


class PrometheusStore:
    """Asks Prometheus for what the applications of this name have counted, and Loki for their failures."""

    source = PROMETHEUS

    def __init__(
        self,
        prometheus: Server,
        *,
        app_name: str,
        selector: str | None = None,
        declared: Iterable[str] = (),
        loki: Server | None = None,
        stream: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._prometheus = prometheus
        self._app_name = app_name
        self._selector = selector
        self._declared = frozenset(declared)
        self._loki = loki
        self._stream = dict(stream or {})

    def look(self, seconds: float, *, before_s: float = 0.0) -> "PrometheusView":
        """A look at the last so many seconds up to the last scrape, or at as many before the last `before_s`."""
        return PrometheusView(self._asking(), seconds, before_s)

    def knows(self, provider: str, model: str | None = None) -> bool:
        """Whether the last seven days have a call to such a provider, or model at it, or the settings declare the provider."""
        if model is None and provider in self._declared:
            return True
        asking = self._asking()
        where = {"provider": provider, **({} if model is None else {"model": model})}
        entry = providers.ATTEMPTS if model is None else inference.REQUESTS
        found = asking.series(f"{entry.name}{{{asking.matchers(where)}}}", _REMEMBERED_S)
        return any(_instance(labels) in asking.instances for labels in found)

    def breakers(self) -> Breakers:
        """The worst state that a process reports of each provider."""
        asking = self._asking()
        name = providers.BREAKER_STATE.name
        ours = asking.only_ours(f"{name}{{{asking.matchers({})}}}")
        rows = asking.vector(f"max by (provider, state) ({ours}) == 1")
        order = providers.BREAKER_STATES  # from the best to the worst
        states: dict[str, str] = {}
        for labels, _ in rows:
            provider, state = labels["provider"], labels["state"]
            worst = max(states.get(provider, state), state, key=order.index)
            states[provider] = worst
        return Breakers(states, asking.now)

    def failures(self, provider: str, limit: int) -> Failures:
        """The newest calls that failed at a provider within a day, from the lines of their requests."""
        if self._loki is None:
            raise Unavailable(
                "error samples come from Loki, and there is none: set GWZ_LOKI_QUERY_URL, or GWZ_LOKI_URL, to its address"
            )
        now = self._clock()
        window = Window(now - _ERRORS_S, now, complete=True, exact=True)
        parameters = {
            "query": self._log_query(provider),
            "start": f"{int(window.start * 1e9)}",
            "end": f"{int(now * 1e9)}",
            "limit": str(min(limit, _LOKI_LINES)),
            "direction": "backward",
        }
        answer = self._loki.ask("/loki/api/v1/query_range", parameters, time.monotonic() + DEADLINE_S)
        streams = _json(answer.body, self._loki)["data"]["result"]
        lines = [(int(at), json.loads(text)) for stream in streams for at, text, *_ in stream["values"]]
        found = [_failed(at, line) for at, line in sorted(lines, key=lambda pair: -pair[0])]
        return Failures(found[:limit], window)

    def _asking(self) -> "Asking":
        return Asking(self._prometheus, self._app_name, self._selector, self._clock())

    def _log_query(self, provider: str) -> str:
        labels = ", ".join(f"{name}={_quoted(value)}" for name, value in self._stream.items())
        outcomes = " or ".join(f"{logs.CALL_OUTCOME.name}={_quoted(one)}" for one in sorted(FAILURE_STATUSES))
        fields = (logs.PROVIDER, logs.MODEL, logs.ERROR_TYPE, logs.CALL_OUTCOME, logs.CALL_MS)
        parsed = ", ".join(f"{field.name}={_quoted(field.name)}" for field in fields)
        contains = f"|= {_quoted(logs.CALL_OUTCOME.name)}"
        return f"{{{labels}}} {contains} | json {parsed} | {logs.PROVIDER.name}={_quoted(provider)} | {outcomes}"


class Asking:
    """The questions of one answer, all within one deadline."""

    def __init__(self, server: Server, app_name: str, selector: str | None, now: float) -> None:
        self._server = server
        self._app_name = app_name
        self._selector = selector
        self._until = time.monotonic() + DEADLINE_S
        self.now = now

    @cached_property
    def instances(self) -> frozenset[Instance]:
        """The processes of applications of this name, of the last week."""
        selector = f"{http.APP_INFO.name}{{{self._own({'app_name': self._app_name})}}}"
        return frozenset(map(_instance, self.series(selector, _REMEMBERED_S)))

    @cached_property
    def _jobs(self) -> tuple[str, ...]:
        """The jobs that scrape them; another application's processes may be in the same."""
        found = tuple(sorted({job for job, _ in self.instances}))
        if len(found) > 1 and not self._selector:
            raise Unavailable(
                f"the jobs {', '.join(found)} all scrape applications named {self._app_name!r}, and their numbers would be "
                'added up: set GWZ_PROMETHEUS_SELECTOR to what tells this deployment, such as job="gatewayz_production"'
            )
        return found

    def matchers(self, where: Mapping[str, str]) -> str:
        """The inside of a selector of the series of the jobs that scrape this application."""
        job = f"job=~{_quoted('|'.join(map(_literally, self._jobs)))}"
        return ", ".join(filter(None, (job, self._own(where))))

    def heartbeat(self, where: Mapping[str, str]) -> str:
        """A selector of how often each process was scraped."""
        return f"{_BEAT}{{{self.matchers({'signal': 'metrics', 'outcome': health.DELIVERED, **where})}}}"

    def heartbeats(self, function: str = "") -> str:
        """The heartbeats of this application's processes alone, or a function of them."""
        beat = f"{function}({self.heartbeat({})})" if function else self.heartbeat({})
        return self.only_ours(beat)

    def only_ours(self, expression: str) -> str:
        """Those of an expression's series that are of processes of this application."""
        info = f"{http.APP_INFO.name}{{{self.matchers({'app_name': self._app_name})}}}"
        return f"{expression} and on (job, instance) {info}"

    def restarts(self, seconds: int) -> str:
        """How often each process began anew within so many seconds: every one that was scraped meanwhile."""
        info = f"last_over_time({http.APP_INFO.name}{{{self.matchers({'app_name': self._app_name})}}}[{seconds}s])"
        return f"resets({self.heartbeat({})}[{seconds}s]) and on (job, instance) {info}"

    def vector(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """An instant query: labels and values."""
        parameters = {"query": expression, "time": _time(self.now if at is None else at)}
        return [(row["metric"], float(row["value"][1])) for row in self._result("query", parameters)]

    def matrix(self, expression: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], Samples]]:
        """A range query: labels, and times with values."""
        parameters = {"query": expression, "start": _time(start), "end": _time(end), "step": _time(step)}
        return [(row["metric"], _samples(row)) for row in self._result("query_range", parameters)]

    def raw(self, selector: str, start: float, end: float) -> list[tuple[dict[str, str], Samples]]:
        """The samples as they were scraped."""
        span = f"{max(1, ceil((end - start) * 1000))}ms"
        rows = self._result("query", {"query": f"{selector}[{span}]", "time": _time(end)})
        return [(row["metric"], _samples(row)) for row in rows]

    def series(self, selector: str, seconds: float) -> list[dict[str, str]]:
        """The series that there were within so many seconds."""
        parameters = {"match[]": selector, "start": _time(self.now - seconds), "end": _time(self.now)}
        return list(self._get("series", parameters))

    def _own(self, where: Mapping[str, str]) -> str:
        wanted = (f"{name}={_quoted(value)}" for name, value in where.items())
        return ", ".join(filter(None, (self._selector, *wanted)))

    def _result(self, endpoint: str, parameters: Mapping[str, str]) -> list[Any]:
        return list(self._get(endpoint, parameters)["result"])

    def _get(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        answer = self._server.ask(f"/api/v1/{endpoint}", parameters, self._until)
        return _json(answer.body, self._server)["data"]


class PrometheusView:
    """A look at one window in Prometheus."""

    def __init__(self, asking: Asking, seconds: float, before_s: float) -> None:
        self._asking = asking
        scraped = {_instance(labels): at for labels, at in asking.vector(asking.heartbeats("timestamp"))}
        end = round(max(scraped.values(), default=asking.now) - before_s, 3)
        start = round(end - seconds, 3)
        alive = (
            {_instance(labels) for labels, _ in asking.vector(asking.heartbeats(), end)} if before_s else set(scraped)
        )
        step = max(_LEAST_STEP_S, ceil(seconds / _STEPS))
        beats = self._heartbeats(start, end, step, alive)
        self._pace = interval(list(beats.values()))
        self._lives = [life for instance, samples in beats.items() for life in lives_of(instance, samples)]
        self._lives = [
            life._replace(last=end) if life.instance in alive and life.last == beats[life.instance][-1][0] else life
            for life in self._lives
        ]
        gap = longest_gap(list(beats.values()), start, end)
        complete = gap <= max(_GAP_S, 3 * self._pace, 2 * step) and all(
            life.born or life.first <= start for life in self._lives
        )
        self.window = Window(start, end, complete=complete, exact=self._is_exact(start, end))

    def increases(self, asks: Sequence[Ask], edges: Sequence[float]) -> list[list[Sums]]:
        """For each ask, for each time between two edges, by how much it grew."""
        return [increases(self._lives, edges, self._readings(ask, edges)) for ask in asks]

    def _heartbeats(
        self, start: float, end: float, step: float, alive: Collection[Instance]
    ) -> dict[Instance, Samples]:
        """Every process's heartbeat, coarsely; as it was scraped, for those that began, ended or restarted meanwhile."""
        asking, seconds = self._asking, ceil(end - start)
        coarse = {
            _instance(labels): samples for labels, samples in asking.matrix(asking.heartbeats(), start, end, step)
        }
        resets = {_instance(labels): number for labels, number in asking.vector(asking.restarts(seconds), end)}
        odd = {one for one, number in resets.items() if number or one not in coarse or one not in alive}
        odd |= {one for one, samples in coarse.items() if samples[0][0] > start}
        for one in sorted(odd)[:_MOST_LIVES]:
            job, instance = one
            at_start = [sample for sample in coarse.get(one, ()) if sample[0] == start]
            for _, samples in asking.raw(asking.heartbeat({"job": job, "instance": instance}), start, end):
                coarse[one] = [*at_start, *samples]
        return coarse

    def _is_exact(self, start: float, end: float) -> bool:
        """Whether no process ended in the window, and no call did within a scrape interval of its edges."""
        if len(self._lives) > _MOST_LIVES or any(life.last < end for life in self._lives):
            return False
        return all(self._is_quiet(at - 2 * self._pace, min(at + 2 * self._pace, end)) for at in (start, end))

    def _is_quiet(self, start: float, end: float) -> bool:
        """Whether no call ended between two times."""
        calls = f"sum({inference.REQUESTS.name}{{{self._of_lives()}}})"
        start, end = round(start, 3), round(end, 3)
        values = {
            at: value for _, samples in self._asking.matrix(calls, start, end, end - start) for at, value in samples
        }
        return values.get(start, 0.0) == values.get(end, 0.0)

    def _readings(self, ask: Ask, edges: Sequence[float]) -> Readings:
        read: dict[float, dict[Instance, Sums]] = {}
        expression = self._expression(ask, self._of_lives())
        for start, end, step in _runs(edges):
            self._note(read, ask, self._asking.matrix(expression, start, end, step))
        for life in self._lives:
            one = self._expression(ask, f"job={_quoted(life.instance[0])}, instance={_quoted(life.instance[1])}")
            for at in times_to_read(life, edges):
                self._note(read, ask, self._asking.matrix(one, at, at, 1.0))
        return Readings(read)

    def _note(
        self, read: dict[float, dict[Instance, Sums]], ask: Ask, rows: Iterable[tuple[dict[str, str], Samples]]
    ) -> None:
        for labels, samples in rows:
            names = (*ask.by, "le") if ask.part == "bucket" else ask.by
            key = tuple(_bound(labels[name]) if name == "le" else labels.get(name, "") for name in names)
            for at, value in samples:
                sums = read.setdefault(at, {}).setdefault(_instance(labels), {})
                sums[key] = sums.get(key, 0.0) + value

    def _of_lives(self) -> str:
        instances = sorted({life.instance for life in self._lives})
        alternatives = "|".join(sorted({_literally(instance) for _, instance in instances}))
        return f"{self._asking.matchers({})}, instance=~{_quoted(alternatives)}"

    def _expression(self, ask: Ask, which: str) -> str:
        name = _series_name(ask.entry, ask.part)
        by = ("job", "instance", *ask.by, *(("le",) if ask.part == "bucket" else ()))
        where = "".join(f", {label}={_quoted(value)}" for label, value in ask.where)
        return f"sum by ({', '.join(by)}) ({name}{{{which}{where}}})"


def _runs(edges: Sequence[float]) -> list[tuple[float, float, float]]:
    """The edges as range queries: the first and the last, and the evenly spaced ones between them."""
    first, *inner, last = edges
    runs = [(first, last, last - first)] if last > first else [(first, last, 1.0)]
    if inner:
        runs.append((inner[0], inner[-1], inner[1] - inner[0] if len(inner) > 1 else 1.0))
    return runs


def _series_name(entry: Metric, part: str) -> str:
    return entry.name if part == "value" else f"{entry.name}_{part}"


def _instance(labels: Mapping[str, str]) -> Instance:
    return labels.get("job", ""), labels.get("instance", "")


def _samples(row: Mapping[str, Any]) -> Samples:
    return [(float(at), float(value)) for at, value in row.get("values", ()) if isfinite(float(value))]


def _bound(le: str) -> str:
    return le if le == "+Inf" else f"{float(le):g}"


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _quoted(text: str) -> str:
    """A string of PromQL and LogQL."""
    return json.dumps(text, ensure_ascii=False)


def _literally(text: str) -> str:
    """A regular expression that matches only `text`."""
    return "".join(f"\\{one}" if one in r"\.+*?()|[]{}^$" else one for one in text)


def _failed(nanoseconds: int, line: Mapping[str, Any]) -> Failed:
    ms = line.get(logs.CALL_MS.name)
    return Failed(
        nanoseconds / 1e9,
        str(line.get(logs.MODEL.name, "")),
        str(line.get(logs.ERROR_TYPE.name, line.get(logs.CALL_OUTCOME.name, ""))),
        ms / 1e3 if isinstance(ms, int | float) else None,
    )


def _json(body: bytes, server: Server) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unavailable(
            f"{server.name} answered with something that is no JSON: check {server.variable}, another server is there"
        ) from error
