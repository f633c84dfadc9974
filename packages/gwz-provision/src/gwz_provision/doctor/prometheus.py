"""Finds out what a Prometheus knows: its targets, its rules, and what became of the series that a query asks for."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gwz_provision import frames, normalise, recording, shapes
from gwz_provision.bundle import Json
from gwz_provision.check.contract import Contract
from gwz_provision.check.promql import Matcher, Node, Selector
from gwz_provision.doctor import chain, trees
from gwz_provision.doctor.asking import Asker, Empty, Verdict
from gwz_provision.doctor.chain import Facts, Scrapes, Target
from gwz_provision.doctor.hops import hop_of, subject_of
from gwz_provision.doctor.question import seconds_of
from gwz_provision.errors import ProvisionError, QueryFailed, Refused
from gwz_provision.report import Hop

_DEFAULT_RETENTION = "15d"
# Of an instant query: how far back Prometheus takes a sample for the present one.
_NOW = 0
_COARSE_STEPS, _FINE_STEPS = 500, 200
_SHORTEST_STEP = 15


@dataclass(frozen=True)
class Probe:
    """A question whether a selector has samples in a window of so many seconds, or now."""

    selector: Selector
    window: int

    @property
    def expr(self) -> str:
        """The question in PromQL."""
        shown = trees.written(self.selector)
        return f"count(last_over_time({shown}[{self.window}s]))" if self.window else f"count({shown})"


class Prometheus:
    """One data source of Prometheus, or of what answers as one."""

    def __init__(
        self,
        asker: Asker,
        live: Json,
        contract: Contract,
        *,
        declared: Mapping[str, str],
        watched: Sequence[tuple[Matcher, ...]],
    ) -> None:
        """Learn with three calls what it scrapes, which recording rules it has loaded, and how long it keeps samples.

        Who answers as Prometheus may refuse them, and have its targets and rules elsewhere: nothing can be said of those.
        Raises the error of a call that failed in any other way.
        """
        self._asker = asker
        self._live = live
        self._uid = uid = str(live["uid"])
        self._contract = contract
        found = asker.all(
            {
                "targets": partial(asker.proxied, uid, "api/v1/targets", shapes.TARGETS, state="active"),
                "rules": partial(asker.of, uid, partial(recording.loaded, asker.reader, uid)),
                "runtime": partial(asker.proxied, uid, "api/v1/status/runtimeinfo", shapes.RUNTIME),
            }
        )
        targets, rules, runtime = (_told(found[name]) for name in ("targets", "rules", "runtime"))
        self.scrapes = Scrapes(
            uid, _retention(runtime), _targets(targets), tuple(watched), rules or {}, {} if rules is None else declared
        )
        self._rules = {
            name: tree
            for name, expr in declared.items()
            if name in self.scrapes.rules and (tree := trees.of_promql(expr))
        }

    @property
    def seconds(self) -> int:
        """How long it keeps samples."""
        return normalise.milliseconds(self.scrapes.retention) // 1000

    def unscraped(self) -> Iterator[Hop]:
        """Name each target that the bundle watches, and that is down or not there."""
        for matchers in self.scrapes.watched if self.scrapes.targets is not None else ():
            found = [one for one in self.scrapes.targets or () if chain.selected(one, matchers)]
            if not found:
                yield chain.unconfigured(matchers)
            yield from (chain.down(one) for one in found if not one.up)

    def unrecorded(self, needed: Iterable[str]) -> Iterator[Hop]:
        """Name each recording rule that is needed, and that is not loaded or fails, whether or not its last samples still show."""
        for name in needed:
            if hop := chain.rule(Selector(name, ()), self.scrapes, ever=True):
                yield hop

    def diagnose(self, empties: Sequence[Empty]) -> dict[str, Verdict]:
        """Say why each query is empty; the questions for all of them go together."""
        known = {one.query.id: tree for one in empties if (tree := trees.of_promql(one.query.text))}
        windows = {one.query.id: _window(one) for one in empties}
        absent = self._absent(known, windows)
        suspects = {
            id_: suspected[0] if (suspected := trees.blamed(tree, absent[windows[id_]], self._rules)) else None
            for id_, tree in known.items()
        }
        hops = self.explained([one for one in suspects.values() if one])
        return {one.query.id: self._verdict(one, known.get(one.query.id), suspects, hops) for one in empties}

    def explained(self, selectors: Sequence[Selector]) -> dict[Selector, Hop]:
        """Name the first broken hop before each selector."""
        found = self._asker.all({one: partial(self._explain, one) for one in selectors})
        return {
            one: hop_of(result, "metric", trees.written(one), self._live)
            if isinstance(result, ProvisionError)
            else result
            for one, result in found.items()
        }

    def options(self, label: str, selector: str, start: int) -> list[str]:
        """List the values of a label."""
        found = self._asker.proxied(
            self._uid,
            f"api/v1/label/{label}/values",
            shapes.LABEL_VALUES,
            match=selector or None,
            start=start,
            end=int(time.time()),
        )
        return list(found or [])

    def _verdict(
        self,
        empty: Empty,
        tree: Node | None,
        suspects: Mapping[str, Selector | None],
        hops: Mapping[Selector, Hop],
    ) -> Verdict:
        query = empty.query
        if tree is None:
            return Hop("query", subject_of(query.id), f"Empty: {query.text}", "Correct the query.")
        if suspect := suspects[query.id]:
            return hops[suspect]
        return chain.calculated(tree, empty.content.unknown, self._rules) or chain.incalculable(subject_of(query.id))

    def _absent(self, known: Mapping[str, Node], windows: Mapping[str, int]) -> dict[int, set[Selector]]:
        """Ask in one call which selectors have no samples in the windows of their queries."""
        probes = {
            Probe(leaf, windows[id_]): None for id_, tree in known.items() for leaf in trees.leaves(tree, self._rules)
        }
        if not probes:
            return {window: set() for window in windows.values()}
        targets: dict[str, Json] = {
            probe.expr: {
                "datasource": {"uid": self._uid, "type": "prometheus"},
                "expr": probe.expr,
                "instant": True,
                "range": False,
            }
            for probe in probes
        }
        results = self._asker.results(targets, "now-5m")
        for expr, result in results.items():
            if error := frames.error_of(result):
                raise QueryFailed(f"Prometheus could not count {expr}: {error}", "Look into Prometheus' log.")
        empty = {expr for expr, result in results.items() if not frames.content_of(result).points}
        return {
            window: {probe.selector for probe in probes if probe.window == window and probe.expr in empty}
            for window in set(windows.values())
        }

    def _explain(self, selector: Selector) -> Hop:
        return chain.metric(selector, self._facts(selector), self.scrapes, self._contract)

    def _facts(self, selector: Selector) -> Facts:
        """Ask for one fact after the other, until one settles the case."""
        if chain.rule(selector, self.scrapes, ever=True):
            return Facts()
        facts = Facts()
        if selector.name:
            jobs = self._values("job", selector.name)
            facts = Facts(ever=bool(jobs or selector.name in self._values("__name__", selector.name)), jobs=tuple(jobs))
        if not facts.ever or chain.unscraped(selector, facts, self.scrapes):
            return facts
        values: dict[str, tuple[str, ...]] = {}
        for matcher in selector.matchers:
            values[matcher.label] = tuple(self._values(matcher.label, selector.name))
            if chain.unmet(selector, values):
                return replace(facts, values=values)
        shown = trees.written(selector)
        since = int(time.time()) - self.seconds
        series = self._asker.proxied(self._uid, "api/v1/series", shapes.SERIES, match=shown, limit=1, start=since)
        together = bool(series)
        last = self._last(shown) if together else None
        return replace(facts, values=values, together=together, last=last)

    def _values(self, label: str, name: str) -> list[str]:
        return self.options(label, name, int(time.time()) - self.seconds)

    def _last(self, shown: str) -> float | None:
        """Return when the last sample was: first to a step of the whole retention, then to some seconds."""
        now = int(time.time())
        step = max(_SHORTEST_STEP, self.seconds // _COARSE_STEPS)
        coarse = self._last_step(shown, now - self.seconds, now, step)
        if coarse is None:
            return None
        fine = self._last_step(shown, int(coarse) - step, int(coarse), max(1, step // _FINE_STEPS))
        return fine if fine is not None else coarse

    def _last_step(self, shown: str, start: int, end: int, step: int) -> float | None:
        expr = f"count(last_over_time({shown}[{step}s]))"
        data = self._asker.proxied(
            self._uid, "api/v1/query_range", shapes.MATRIX, query=expr, start=start, end=end, step=step
        )
        times = [at for series in (data or {}).get("result") or [] for at, *_ in series["values"] if start <= at <= end]
        return max(times, default=None)


def _told(answer: Any) -> Any:
    """Return what was answered, None when the server refused to; raises every other error."""
    if isinstance(answer, Refused):
        return None
    if isinstance(answer, ProvisionError):
        raise answer
    return answer


def _window(empty: Empty) -> int:
    target = empty.query.target
    only_now = target.get("instant") and not target.get("range")
    return _NOW if only_now else max(seconds_of(empty.query.since), 300)


def _retention(runtime: Json | None) -> str:
    """Read how long samples are kept; a limit by size alone says nothing."""
    told = (runtime or {}).get("storageRetention") or ""
    found = re.match(r"(?:[0-9]{1,9}(?:ms|[smhdwy]))+", told)
    return found[0] if found else _DEFAULT_RETENTION


def _targets(data: Json | None) -> tuple[Target, ...] | None:
    return None if data is None else tuple(map(_target, data.get("activeTargets") or ()))


def _target(told: Json) -> Target:
    labels = told.get("labels") or {}
    return Target(
        labels.get("job") or "",
        labels.get("instance") or "",
        told.get("scrapeUrl") or "",
        # Not scraped yet is not down.
        told.get("health") != "down",
        told.get("lastError") or "",
    )
