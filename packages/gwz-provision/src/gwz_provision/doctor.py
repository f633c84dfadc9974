"""Asks Grafana every query of every panel, hop by hop, so that the first broken one has a name."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gwz_provision import frames
from gwz_provision.bundle import Bundle, Dashboard, Json
from gwz_provision.errors import Misconfigured, NoData, NotFound, ProvisionError, QueryFailed, Refused
from gwz_provision.queries import Query, Variable, period, queries, substituted, variables
from gwz_provision.report import Answer, Report

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import, which the pure part of this module does not need
    from gwz_provision.grafana import Reader


@dataclass(frozen=True)
class Question:
    """The time range that every query is asked for, and the variables' values that somebody chose."""

    since: str
    values: Mapping[str, str]

    def check(self, bundle: Bundle) -> None:
        """Raise `Misconfigured` for a range that cannot be read, or a value of a variable that no dashboard has."""
        period(self.since)
        known = sorted({variable.name for dashboard in bundle.dashboards for variable in variables(dashboard)})
        if unknown := [name for name in self.values if name not in known]:
            raise Misconfigured(
                [f"--var {name}: no dashboard has a variable of that name" for name in unknown],
                f"The dashboards' variables are: {', '.join(known) or 'none'}.",
            )

    def seconds(self) -> dict[str, int]:
        """Return the range's edges in seconds since the epoch."""
        now = int(time.time())
        return {"start": now - int(period(self.since).total_seconds()), "end": now}


def examine(bundle: Bundle, grafana: "Reader", question: Question) -> Report:
    """Check Grafana, the login, the data sources and every query; what lies behind a broken hop is not asked."""
    question.check(bundle)
    return _Examination(bundle, grafana, question).run()


class _Examination:
    """One run of the doctor over a bundle."""

    def __init__(self, bundle: Bundle, grafana: "Reader", question: Question) -> None:
        self._bundle = bundle
        self._grafana = grafana
        self._question = question
        self._report = Report()
        self._well: set[str] = set()

    def run(self) -> Report:
        with self._report.check("grafana"):
            self._report.version = self._grafana.version()
        if self._report.first_broken_hop is None:
            with self._report.check("login"):
                self._grafana.login()
        if self._report.first_broken_hop is None:
            self._examine_bundle()
        return self._report

    def _examine_bundle(self) -> None:
        for source in self._bundle.datasources:
            self._examine_datasource(source)
        for dashboard in self._bundle.dashboards:
            self._examine_dashboard(dashboard)

    def _examine_datasource(self, source: Json) -> None:
        uid = source["uid"]
        with self._report.check(f"datasource:{uid}"):
            live = self._grafana.datasource(uid)
            if live is None:
                raise NotFound(f"Grafana has no data source {uid}.", "Run `gwz-provision apply`.")
            self._require_health(live)
            self._well.add(uid)

    def _require_health(self, live: Json) -> None:
        try:
            self._grafana.check_health(live["uid"], live["type"])
        except Refused as error:
            address = urlsplit(live["url"]).netloc.rpartition("@")[2]  # a password in it stays in Grafana
            raise Refused(
                f"Data source {live['uid']} at {address} is not well: {error.cause}",
                "Start its server, or apply again with the address at which Grafana itself reaches it.",
            ) from error

    def _examine_dashboard(self, dashboard: Dashboard) -> None:
        with self._report.check(f"dashboard:{dashboard.uid}"):
            if self._grafana.dashboard(dashboard.uid) is None:
                raise NotFound(f"Grafana has no dashboard {dashboard.uid}.", "Run `gwz-provision apply`.")
        values = {**self._edges(), **self._question.values}
        for variable in variables(dashboard):
            if variable.name not in values:
                with self._report.check(variable.id):
                    values[variable.name] = self._first_value(variable)
        for query in queries(dashboard):
            self._examine_query(query, values)

    def _edges(self) -> dict[str, str]:
        seconds = self._question.seconds()
        return {"__from": f"{seconds['start']}000", "__to": f"{seconds['end']}000"}

    def _first_value(self, variable: Variable) -> str:
        """Resolve a variable as the browser does when nobody chose: to the first of its values."""
        self._require_well(variable.datasource)
        if variable.label_values is None:
            raise QueryFailed(
                f"Variable {variable.name} comes from {variable.query!r}, which only the browser resolves.",
                f"Pass --var {variable.name}=value.",
            )
        metric, label = variable.label_values
        params = {"match[]": metric, **self._range()}
        answer = self._grafana.proxied(variable.datasource, f"api/v1/label/{label}/values", params)
        if not answer["data"]:
            raise NoData(
                f"Variable {variable.name} has no values: no {metric} with {label} since {self._question.since}.",
                "Check that the application runs and that Prometheus scrapes it: /targets of Prometheus shows the error.",
            )
        return str(min(answer["data"]))

    def _examine_query(self, query: Query, values: Mapping[str, str]) -> None:
        content, failure = frames.Content(), ""
        with self._report.check(query.id):
            try:
                content = self._ask(query, values)
            except ProvisionError as error:
                failure = error.cause
                raise
            if not content.points:
                raise NoData(
                    f"No data since {self._question.since}: {substituted(query, values).text}",
                    "Check that something emits it, that the variables' values exist, and that the range is long enough.",
                )
        self._report.answers.append(
            Answer(
                query.dashboard,
                query.panel,
                query.ref,
                query.datasource,
                content.frames,
                content.points,
                content.values,
                failure,
            )
        )

    def _ask(self, query: Query, values: Mapping[str, str]) -> frames.Content:
        self._require_well(query.datasource)
        filled = substituted(query, values)
        if query.kind == "tempo":
            # Through /api/ds/query Tempo's plugin answers trace ids only; the browser runs searches itself in 11.0.
            params = {"q": filled.text, "limit": str(filled.target.get("limit", 20)), **self._range()}
            return frames.content_of_search(self._grafana.proxied(query.datasource, "api/search", params))
        result = self._grafana.query(filled.target, self._question.since)["results"][query.ref]
        if error := frames.error_of(result):
            raise QueryFailed(
                f"{query.datasource} refused {filled.text}: {error}", "Correct the query in the dashboard."
            )
        return frames.content_of(result)

    def _require_well(self, uid: str) -> None:
        if uid not in self._well:
            raise QueryFailed(f"Not asked: data source {uid} is not well.", f"Cure the check datasource:{uid} first.")

    def _range(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._question.seconds().items()}
