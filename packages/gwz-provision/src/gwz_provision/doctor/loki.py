"""Finds out what a Loki knows of the streams that a query asks for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from gwz_provision import frames, shapes
from gwz_provision.bundle import Json
from gwz_provision.check.promql import Node, Selector
from gwz_provision.doctor import chain, trees
from gwz_provision.doctor.asking import Asker, Empty, Verdict
from gwz_provision.doctor.chain import Facts
from gwz_provision.doctor.hops import hop_of, subject_of
from gwz_provision.doctor.question import seconds_of
from gwz_provision.errors import ProvisionError, QueryFailed
from gwz_provision.report import Hop

# Loki refuses ranges from 30 days and one hour on.
_LONGEST_SECONDS = 29 * 86_400
_TENANT = "x-scope-orgid"


class Loki:
    """One data source of Loki."""

    def __init__(self, asker: Asker, live: Json) -> None:
        """Ask nothing yet."""
        self._asker = asker
        self._live = live
        self._uid = live["uid"]
        headers = live.get("jsonData") or {}
        self._tenant = any(
            str(value).lower() == _TENANT for name, value in headers.items() if name.startswith("httpHeaderName")
        )

    def diagnose(self, empties: Sequence[Empty]) -> dict[str, Verdict]:
        """Say why each query is empty; the questions for all of them go together."""
        known = {one.query.id: tree for one in empties if (tree := trees.of_logql(one.query.text))}
        since = {one.query.id: one.query.since for one in empties}
        absent = self._absent(known, since)
        suspects = {
            id_: suspected[0] if (suspected := trees.blamed(tree, absent[since[id_]], {})) else None
            for id_, tree in known.items()
        }
        hops = self.explained([one for one in suspects.values() if one])
        return {one.query.id: _verdict(one, known.get(one.query.id), suspects, hops) for one in empties}

    def explained(self, selectors: Sequence[Selector]) -> dict[Selector, Hop]:
        """Name the first broken hop before each selector of streams."""
        found = self._asker.all({one: partial(self._explain, one) for one in selectors})
        return {
            one: hop_of(result, "stream", self._uid, self._live) if isinstance(result, ProvisionError) else result
            for one, result in found.items()
        }

    def options(self, label: str, selector: str, start: int) -> list[str]:
        """List the values of a label."""
        found = self._asker.proxied(
            self._uid, f"loki/api/v1/label/{label}/values", shapes.LABEL_VALUES, query=selector or None, start=start
        )
        return list(found or [])

    def _absent(self, known: Mapping[str, Node], since: Mapping[str, str]) -> dict[str, set[Selector]]:
        """Ask in one call for each range which selectors have no lines in it."""
        absent: dict[str, set[Selector]] = {}
        for range_ in set(since.values()):
            asked = {
                trees.written(leaf): leaf
                for id_, tree in known.items()
                if since[id_] == range_
                for leaf in trees.leaves(tree, {})
            }
            targets: dict[str, Json] = {
                shown: {
                    "datasource": {"uid": self._uid, "type": "loki"},
                    "expr": f"sum(count_over_time({shown}[{seconds_of(range_)}s]))",
                    "queryType": "instant",
                }
                for shown in asked
            }
            results = self._asker.results(targets, range_) if targets else {}
            for shown, result in results.items():
                if error := frames.error_of(result):
                    raise QueryFailed(f"Loki could not count {shown}: {error}", "Look into Loki's log.")
            absent[range_] = {asked[shown] for shown, one in results.items() if not frames.content_of(one).points}
        return absent

    def _explain(self, selector: Selector) -> Hop:
        return chain.stream(selector, self._facts(selector), self._uid, tenant=self._tenant)

    def _facts(self, selector: Selector) -> Facts:
        """Ask for one fact after the other, until one settles the case."""
        start = int(time.time()) - _LONGEST_SECONDS
        if not self._asker.proxied(self._uid, "loki/api/v1/labels", shapes.LABEL_VALUES, start=start):
            return Facts(ever=False)
        values: dict[str, tuple[str, ...]] = {}
        for matcher in selector.matchers:
            values[matcher.label] = tuple(self.options(matcher.label, "", start))
            if chain.unmet(selector, values):
                return Facts(values=values)
        facts = Facts(values=values)
        shown = trees.written(selector)
        newest = self._asker.proxied(
            self._uid,
            "loki/api/v1/query_range",
            shapes.STREAMS,
            query=shown,
            limit=1,
            direction="backward",
            start=start,
        )
        times = [int(at) / 1e9 for one in (newest or {}).get("result") or [] for at, *_ in one["values"]]
        return replace(facts, together=bool(times), last=max(times, default=None))


def _verdict(
    empty: Empty, tree: Node | None, suspects: Mapping[str, Selector | None], hops: Mapping[Selector, Hop]
) -> Verdict:
    query = empty.query
    subject = subject_of(query.id)
    if tree is None:
        return Hop("query", subject, f"Empty: {query.text}", "Correct the query.")
    if suspect := suspects[query.id]:
        return hops[suspect]
    return chain.calculated(tree, empty.content.unknown, {}) or chain.incalculable(subject)
