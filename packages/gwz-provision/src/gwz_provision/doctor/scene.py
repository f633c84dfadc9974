"""What an examination has found so far, and where each query's fate is recorded."""

from dataclasses import dataclass, field

from gwz_provision import frames
from gwz_provision.bundle import Bundle, Json
from gwz_provision.doctor import chain, sources
from gwz_provision.doctor.asking import Asker, Verdict
from gwz_provision.doctor.prometheus import Prometheus
from gwz_provision.doctor.question import Question
from gwz_provision.normalise import EXPRESSIONS
from gwz_provision.queries import Query
from gwz_provision.report import Answer, Hop, Report, State


@dataclass
class Scene:
    """One run over a bundle."""

    bundle: Bundle
    asker: Asker
    question: Question
    report: Report
    live: dict[str, Json] = field(default_factory=dict)
    """The data sources that Grafana has, by their uids."""
    broken: dict[str, Hop] = field(default_factory=dict)
    """The hop that broke before each data source that is not well."""
    scraped: dict[str, Prometheus] = field(default_factory=dict)
    """Those that are well and of Prometheus, with what is known of them."""

    @property
    def ours(self) -> frozenset[str]:
        """The data sources that `apply` brings."""
        return frozenset(str(item["uid"]) for item in self.bundle.datasources)

    def hindrance(self, query: Query) -> Hop | None:
        """Return the hop before a query's data source that keeps it from being asked."""
        uid = query.datasource
        if uid in EXPRESSIONS or uid in self.broken:
            return self.broken.get(uid)
        if uid not in self.live:
            return sources.absent(uid, ours=uid in self.ours)
        return sources.mistyped(query.kind, self.live[uid], ours=uid in self.ours)

    def judged(self, query: Query, content: frames.Content, verdict: Verdict | None) -> None:
        """Record an answer, with why it is empty if it is."""
        excused = isinstance(verdict, Hop) and verdict.kind in chain.EXCUSED and query.may_be_empty
        if isinstance(verdict, Hop) and not excused:
            self.report.fail(verdict, query.id)
            self._answered(query, content, "empty", hop=verdict.id)
            return
        if verdict is None:
            self.report.well(query.id)
        else:
            words = f"{chain.ANSWER}{verdict.cause}" if isinstance(verdict, Hop) else verdict
            self.report.note(query.id, words)
        self._answered(query, content, "ok")

    def failed(self, query: Query, hop: Hop) -> None:
        """Record that a query was answered with an error."""
        self.report.fail(hop, query.id)
        self._answered(query, frames.Content(), "error", hop=hop.id, error=hop.cause)

    def waits(self, query: Query, hop: Hop) -> None:
        """Record that a query was not asked, because a hop before it is broken."""
        self.report.fail(hop, query.id)
        self._answered(query, frames.Content(), "waiting", hop=hop.id, error=f"Not asked: {hop.id} is broken.")

    def _answered(self, query: Query, content: frames.Content, state: State, *, hop: str = "", error: str = "") -> None:
        self.report.answers.append(
            Answer(
                query.dashboard,
                query.panel,
                query.ref,
                query.datasource,
                content.frames,
                content.points,
                content.values,
                error,
                state,
                hop,
            )
        )
