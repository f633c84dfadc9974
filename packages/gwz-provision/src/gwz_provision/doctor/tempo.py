"""Finds out what a Tempo knows of the traces that a query asks for."""

import re
import time
from collections.abc import Mapping, Sequence
from functools import partial

from gwz_provision import frames, shapes
from gwz_provision.bundle import Json
from gwz_provision.check import traceql
from gwz_provision.check.findings import Unparsable
from gwz_provision.check.promql import Matcher, Selector
from gwz_provision.check.substitution import substituted
from gwz_provision.doctor import chain, trees
from gwz_provision.doctor.asking import Asker, Empty, Verdict
from gwz_provision.doctor.chain import Facts
from gwz_provision.doctor.hops import hop_of
from gwz_provision.doctor.question import edges
from gwz_provision.errors import ProvisionError
from gwz_provision.queries import Query
from gwz_provision.report import Hop
from gwz_provision.shapes import Shape

# Tempo searches seven days at most.
_LONGEST = "now-167h"
# What is no number, the browser replaces by its default.
_LIMIT, _DEFAULT_LIMIT = re.compile(r"[0-9]{1,9}"), 20
_SCOPES = frozenset({"resource", "span"})
_OPERATORS = frozenset({"=", "!=", "=~", "!~"})


class Tempo:
    """One data source of Tempo. Grafana 11.0 lets only the browser search through it, so its own API is asked."""

    def __init__(self, asker: Asker, live: Json) -> None:
        """Ask nothing yet."""
        self._asker = asker
        self._live = live
        self._uid = live["uid"]

    def search(self, query: Query) -> frames.Content:
        """Search as the browser does."""
        limit = str(query.target.get("limit") or "")
        found = self._search(query.text, query.since, int(limit) if _LIMIT.fullmatch(limit) else _DEFAULT_LIMIT)
        return frames.content_of_search(found)

    def diagnose(self, empties: Sequence[Empty]) -> dict[str, Verdict]:
        """Say why each search finds nothing."""
        found = self._asker.all({one.query.id: partial(self._explain, one.query) for one in empties})
        return {
            id_: hop_of(result, "trace", self._uid, self._live) if isinstance(result, ProvisionError) else result
            for id_, result in found.items()
        }

    def _explain(self, query: Query) -> Hop:
        if not self._search("{}", _LONGEST, 1).get("traces"):
            return Hop(
                "trace",
                self._uid,
                f"No trace has reached the Tempo of {self._uid} in seven days.",
                "Set OTEL_EXPORTER_OTLP_ENDPOINT where the application runs, and look at its log for what it could not deliver.",
            )
        selector = Selector("", _conditions(query.text))
        values = {one.label: tuple(self._values(one.label)) for one in selector.matchers}
        if hop := chain.labels(selector, Facts(values=values), "span"):
            return hop
        starts = [
            int(one.get("startTimeUnixNano") or 0) / 1e9
            for one in self._search(query.text, _LONGEST, 1).get("traces") or []
        ]
        if not starts:
            cause = f"Traces have come, and none of seven days meets {query.text}."
            return Hop("value", query.text, cause, "Choose values that go together (--var name=value).")
        since = chain.ago(time.time() - max(starts))
        cause = f"Only the range is empty: a trace that {query.text} finds began {since} ago."
        return Hop("range", query.text, cause, "Look why no more spans come, or choose a longer range.")

    def _values(self, attribute: str) -> list[str]:
        params = {name: str(at) for name, at in edges(_LONGEST).items()}
        answer = self._asked(f"api/v2/search/tag/{attribute}/values", params, shapes.TAG_VALUES)
        return [str(one.get("value")) for one in answer.get("tagValues") or []]

    def _search(self, text: str, since: str, limit: int) -> Json:
        params = {"q": text, "limit": str(limit), **{name: str(at) for name, at in edges(since).items()}}
        return self._asked("api/search", params, shapes.TRACES)

    def _asked(self, address: str, params: Mapping[str, str], shape: Shape) -> Json:
        return dict(self._asker.of(self._uid, lambda: self._asker.reader.proxied(self._uid, address, params, shape)))


def _conditions(text: str) -> tuple[Matcher, ...]:
    """List the conditions on attributes whose values Tempo can list."""
    try:
        found = traceql.parse(substituted(text).text)
    except Unparsable:
        return ()
    return tuple(
        Matcher(f"{one.attribute.scope}.{one.attribute.name}", trees.match_of(one.operator), one.value)
        for one in found.comparisons
        if one.attribute.scope in _SCOPES and one.operator in _OPERATORS
    )
