"""Gives the variables of each dashboard their values, asking data sources where the browser would, and puts them into the queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from gwz_provision import frames
from gwz_provision.bundle import Json
from gwz_provision.check.promql import Selector
from gwz_provision.doctor import sources, trees
from gwz_provision.doctor.hops import hop_of, subject_of
from gwz_provision.doctor.loki import Loki
from gwz_provision.doctor.prometheus import Prometheus
from gwz_provision.doctor.question import builtins, edges
from gwz_provision.doctor.scene import Scene
from gwz_provision.errors import ProvisionError, QueryFailed
from gwz_provision.queries import DEFAULT_SINCE, INFINITY, Query, filled, named, substituted
from gwz_provision.recording import selectors
from gwz_provision.report import Hop
from gwz_provision.variables import Choice, LabelValues, Variable, variables


@dataclass(frozen=True)
class _Asking:
    """A variable whose data source has to be asked, with the values of those before it."""

    variable: Variable
    uid: str
    kind: str
    values: Mapping[str, Choice]
    since: str


def chosen(scene: Scene, asked: Sequence[Query]) -> list[Query]:
    """Put the variables' values into all queries; those that lack one are recorded and left out."""
    done = []
    for board in scene.bundle.dashboards:
        mine = [one for one in asked if one.dashboard == board.uid]
        values, unresolved = _values(scene, variables(board), mine[0].since if mine else DEFAULT_SINCE)
        for query in mine:
            if blockers := [unresolved[name] for name in sorted(named(query.target)) if name in unresolved]:
                scene.waits(query, blockers[0])
                continue
            try:
                done.append(substituted(query, {**builtins(query.since), **values}))
            except QueryFailed as error:
                scene.failed(query, hop_of(error, "variable", subject_of(query.id)))
    return done


def _values(scene: Scene, listed: Sequence[Variable], since: str) -> tuple[dict[str, Choice], dict[str, Hop]]:
    values: dict[str, Choice] = builtins(since)
    unresolved: dict[str, Hop] = {}
    for variable in listed:
        try:
            found = _choice(scene, variable, values, since)
        except ProvisionError as error:
            live = scene.live.get(_source(scene, variable, values).get("uid", ""))
            found = hop_of(error, "variable", subject_of(variable.id), live)
        if isinstance(found, Choice):
            values[variable.name] = found
            scene.report.well(variable.id)
        else:
            unresolved[variable.name] = found
            scene.report.fail(found, variable.id)
    return values, unresolved


def _choice(scene: Scene, variable: Variable, values: Mapping[str, Choice], since: str) -> Choice | Hop:
    """Resolve a variable to what the browser would choose, or name the hop that keeps it without values."""
    if not is_asked(scene, variable):
        return at_once(scene, variable) or _valueless(variable)
    source = _source(scene, variable, values)
    asking = _Asking(variable, str(source.get("uid", "")), str(source.get("type", "")), values, since)
    if asking.uid in scene.broken:
        return scene.broken[asking.uid]
    return variable.chosen(variable.offered(_options(scene, asking))) or _why_none(scene, asking)


def is_asked(scene: Scene, variable: Variable) -> bool:
    """Tell whether a data source has to be asked for a variable's values."""
    return variable.needs_options and variable.name not in scene.question.values


def at_once(scene: Scene, variable: Variable) -> Choice | None:
    """Choose a variable's value without asking a data source; None when it has none."""
    return variable.chosen(_own_options(scene, variable), scene.question.values.get(variable.name))


def _source(scene: Scene, variable: Variable, values: Mapping[str, Choice]) -> Json:
    return sources.found(scene.live, filled(variable.datasource, values))


def _valueless(variable: Variable) -> Hop:
    cure = f"Pass --var {variable.name}=value, or give it one in the dashboard."
    return Hop("variable", subject_of(variable.id), f"Variable {variable.name} has no value.", cure)


def _own_options(scene: Scene, variable: Variable) -> list[str]:
    if variable.kind != "datasource":
        return variable.options()
    fitting = sorted((item for item in scene.live.values() if item["type"] == variable.query), key=itemgetter("uid"))
    uids = [item["uid"] for item in fitting]
    if variable.entry.get("includeAll"):
        return uids
    # A dashboard of long ago remembers a name; one that nobody has changed since its import, the default.
    return [*uids, *(item["name"] for item in fitting), *("default" for item in fitting if item.get("isDefault"))]


def _options(scene: Scene, asking: _Asking) -> list[str]:
    if asking.kind == INFINITY and isinstance(asking.variable.query, dict):
        return _column(scene, asking)
    server, question = _server(scene, asking), _question(asking)
    if server is None or question is None:
        name = asking.variable.name
        raise QueryFailed(
            f"Variable {name} comes from {asking.variable.query!r}, which only the browser resolves.",
            f"Pass --var {name}=value.",
        )
    return server.options(question.label, question.selector, edges(asking.since)["start"])


def _server(scene: Scene, asking: _Asking) -> Prometheus | Loki | None:
    if asking.kind == "loki" and asking.uid in scene.live:
        return Loki(scene.asker, scene.live[asking.uid])
    return scene.scraped.get(asking.uid)


def _question(asking: _Asking) -> LabelValues | None:
    found = asking.variable.label_values
    return LabelValues(found.label, filled(found.selector, asking.values, asking.kind)) if found else None


def _column(scene: Scene, asking: _Asking) -> list[str]:
    """List the column of a JSON query's answer that is called __value, else the first."""
    query = asking.variable.query
    target = filled(query.get("infinityQuery") or query, asking.values, INFINITY)
    source = {"uid": asking.uid, "type": INFINITY}
    result = scene.asker.results({"it": {**target, "datasource": source}}, asking.since)["it"]
    if error := frames.error_of(result):
        raise QueryFailed(f"Variable {asking.variable.name} could not be asked for: {error}", "Correct its query.")
    for frame in result.get("frames") or []:
        columns = [field["name"] for field in frame["schema"].get("fields") or []]
        if columns:
            found = frame["data"]["values"][columns.index("__value") if "__value" in columns else 0]
            return [str(one) for one in found if one is not None]
    return []


def _why_none(scene: Scene, asking: _Asking) -> Hop:
    """Walk the chain for what a variable's values are made of."""
    server, selector = _server(scene, asking), _selector(asking)
    if server is not None and selector is not None:
        return server.explained([selector])[selector]
    name = asking.variable.name
    cause = f"Variable {name} has no values in the range {asking.since}: {asking.variable.query!r} finds nothing."
    return Hop("variable", subject_of(asking.variable.id), cause, f"Pass --var {name}=value.")


def _selector(asking: _Asking) -> Selector | None:
    question = _question(asking)
    if question is None or not question.selector:
        return None
    parse = trees.of_logql if asking.kind == "loki" else trees.of_promql
    tree = parse(question.selector)
    return next(map(trees.plain, selectors(tree)), None) if tree else None
