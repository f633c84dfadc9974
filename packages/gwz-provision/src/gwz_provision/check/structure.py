"""A dashboard's frame: uids, ids, data sources, variables, refresh, grid."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gwz_provision.check.asked import BUILT_IN, Json, Sources, panels, referred, variables
from gwz_provision.check.documents import Document
from gwz_provision.check.findings import Finding, Place, Problem, suggestion
from gwz_provision.check.substitution import used

_RANDOM = Problem(
    "datasource/random",
    "the query draws random numbers: Grafana makes them up, nothing measures them.",
    "Ask a data source, by its uid.",
)
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_REFRESH = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_REFRESH = 5
_GRID = 24
_WITH_UNIT = frozenset({"stat", "gauge", "bargauge", "timeseries", "barchart", "piechart"})
_LINK = re.compile(r"/d/(?P<uid>[A-Za-z0-9_-]+)")


def among(documents: Sequence[Document]) -> Iterator[Finding]:
    """Report what only all dashboards together show: uids and titles that occur twice, and an index that is wrong."""
    dashboards = [one for one in documents if one.kind == "dashboard"]
    uids = Counter(str(one.content.get("uid") or "") for one in dashboards)
    titles = Counter((one.folder, str(one.content.get("title") or "")) for one in dashboards)
    for one in dashboards:
        uid, title = str(one.content.get("uid") or ""), str(one.content.get("title") or "")
        if uid and uids[uid] > 1:
            sentence = f"the uid {uid} occurs {uids[uid]} times: each would overwrite the other."
            yield Place(one.file).finding(Problem("dashboard/uid", sentence, "Give each dashboard a uid of its own."))
        if title and titles[one.folder, title] > 1:
            sentence = f"the folder has {titles[one.folder, title]} dashboards {title!r}."
            yield Place(one.file).finding(Problem("dashboard/title", sentence, "Give each a title of its own."))
    for index in (one for one in documents if one.kind == "index"):
        yield from _indexed(index, dashboards)


def _indexed(index: Document, dashboards: Sequence[Document]) -> Iterator[Finding]:
    there = {str(one.content.get("uid") or "") for one in dashboards}
    listed = [entry["uid"] for entry in index.content["dashboards"] if "uid" in entry]
    for uid in listed:
        if uid not in there:
            cure = suggestion(uid, there, "Generate the bundle anew: nox -s generate.")
            yield Place(index.file).finding(Problem("dashboard/index", f"no dashboard has the uid {uid}.", cure))


def dashboard(document: Document, sources: Sources, uids: frozenset[str], *, ours: bool) -> Iterator[Finding]:
    """Report what is wrong with one dashboard; `ours` also asks for what only our own promise."""
    model, place = document.content, Place(document.file)
    for problem in (*_top(model), *_ids(model), *_grid(model), *_used_variables(model)):
        yield place.finding(problem)
    known = variables(model)
    for panel in panels(model):
        where = Place(document.file, panel.get("id"), str(panel.get("title") or ""))
        for problem in _panel(panel, ours=ours):
            yield where.finding(problem)
        yield from _references(where, panel, sources, known)
    for name, entry in (*known.items(), *_annotations(model)):
        if wrong := _source(entry.get("datasource"), sources, known):
            yield Place(document.file, title=f"variable {name}").finding(wrong)
    if ours:
        yield from _links(place, model, uids)


def _annotations(model: Json) -> list[tuple[str, Json]]:
    return [(f"of annotation {one.get('name')}", one) for one in model.get("annotations", {}).get("list", ())]


def _top(model: Json) -> Iterator[Problem]:
    uid = str(model.get("uid") or "")
    if not _UID.fullmatch(uid):
        sentence = (
            f"the uid {uid!r} is not 1 to 40 of [A-Za-z0-9_-]."
            if uid
            else "the dashboard has no uid: each import makes another."
        )
        yield Problem("dashboard/uid", sentence, "Give it one of at most 40 letters, digits, - and _.")
    if not str(model.get("title") or "").strip():
        yield Problem("dashboard/title", "the dashboard has no title, and Grafana refuses it.", "Give it one.")
    refresh = _REFRESH.fullmatch(str(model.get("refresh") or ""))
    if refresh and int(refresh["count"]) * _SECONDS[refresh["unit"]] < _SHORTEST_REFRESH:
        yield Problem(
            "dashboard/refresh", f"refresh is {refresh[0]}, and Grafana's shortest is 5s.", "Set it to 5s or more."
        )
    for entry in model.get("__inputs", ()):
        sentence = f"the input {entry.get('name')} is left from an export: nobody fills it in."
        yield Problem("dashboard/input", sentence, "Write the data source's uid in its place, and remove __inputs.")


def _ids(model: Json) -> Iterator[Problem]:
    for id_, count in Counter(panel.get("id") for panel in panels(model)).items():
        if id_ is not None and count > 1:
            yield Problem("panel/id", f"{count} panels have the id {id_}.", "Give each a number of its own.")


def _grid(model: Json) -> Iterator[Problem]:
    placed = [
        (panel, panel["gridPos"]) for panel in model.get("panels", ()) if set("xywh") <= panel.get("gridPos", {}).keys()
    ]
    for panel, at in placed:
        if at["x"] < 0 or at["x"] + at["w"] > _GRID:
            sentence = f"panel {panel.get('id')} {panel.get('title', '')!r} reaches from {at['x']} to {at['x'] + at['w']}, and the grid has {_GRID}."
            yield Problem("dashboard/grid", sentence, "Narrow or move it.")
    above: list[tuple[Json, Mapping[str, int]]] = []
    for other, second in sorted(placed, key=lambda each: each[1]["y"]):
        above = [(one, first) for one, first in above if first["y"] + first["h"] > second["y"]]
        for one, first in above:
            if _side_by_side(first, second):
                sentence = f"panel {one.get('id')} {one.get('title', '')!r} and panel {other.get('id')} {other.get('title', '')!r} overlap."
                yield Problem("dashboard/grid", sentence, "Move one of them.")
        above.append((other, second))


def _side_by_side(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Tell whether two panels, of which the second begins in a row of the first, share a column of it."""
    return one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"] and other["h"] > 0


def _panel(panel: Json, *, ours: bool) -> Iterator[Problem]:
    if panel.get("id") is None:
        yield Problem("panel/id", "the panel has no id.", "Give it a number that no other panel has.")
    refs = Counter(target.get("refId", "") for target in panel.get("targets", ()))
    for ref, count in refs.items():
        if not ref:
            yield Problem("panel/ref", f"{count} of its queries have no refId.", "Name them A, B, C.")
        elif count > 1:
            yield Problem(
                "panel/ref",
                f"{count} of its queries have the refId {ref}, and Grafana asks none then.",
                "Name them A, B, C.",
            )
    if ours:
        yield from _described(panel)


def _described(panel: Json) -> Iterator[Problem]:
    kind = panel.get("type")
    if kind in {"row", "text"}:
        return
    for key in ("title", "description"):
        if not str(panel.get(key) or "").strip():
            yield Problem(f"panel/{key}", f"the panel has no {key}.", "Give it one that says what a value means.")
    config = panel.get("fieldConfig", {})
    overridden = any(
        item.get("id") == "unit" for one in config.get("overrides", ()) for item in one.get("properties", ())
    )
    if kind in _WITH_UNIT and not config.get("defaults", {}).get("unit") and not overridden:
        yield Problem(
            "panel/unit", "the panel has no unit.", "Set fieldConfig.defaults.unit, short for a plain number."
        )


def _references(place: Place, panel: Json, sources: Sources, known: Mapping[str, Json]) -> Iterator[Finding]:
    own = panel.get("datasource")
    if problem := _source(own, sources, known):
        yield place.finding(problem)
    for target in panel.get("targets", ()):
        at = Place(place.file, place.panel, place.title, str(target.get("refId") or ""))
        wrong = _source(target.get("datasource"), sources, known)
        if wrong and target.get("datasource") != own:
            yield at.finding(wrong)
        if _is_random(target, target.get("datasource") or own):
            yield at.finding(_RANDOM)


def _is_random(target: Json, source: object) -> bool:
    """Tell whether a query asks Grafana itself to make numbers up, which is what its own source does unless told otherwise."""
    uid, kind = referred(source).get("uid"), referred(source).get("type")
    if kind == "grafana-testdata-datasource":
        return True
    is_own = kind == "grafana" or uid in {"grafana", "-- Grafana --"}
    return is_own and target.get("queryType") in {None, "", "randomWalk"}


def _source(source: object, sources: Sources, known: Mapping[str, Json]) -> Problem | None:
    """Ask of a reference to a data source that there is one, and that it is of the type that is written beside it."""
    written, named = referred(source).get("type"), referred(source).get("uid", "")
    uid = sources.names.get(named, named)
    if not uid or uid in BUILT_IN or written == "grafana":
        return None
    variable = re.fullmatch(r"\$\{?(\w+)(?::\w+)?\}?|\[\[(\w+)\]\]", str(uid))
    if variable:
        name = variable[1] or variable[2]
        if name in known:
            return None
        return Problem(
            "datasource/uid", f"the data source is {uid}, and the dashboard has no variable {name}.", "Write the uid."
        )
    if uid not in sources.types:
        cure = suggestion(str(uid), sources.types, f"There are {', '.join(sorted(sources.types)) or 'none'}.")
        return Problem("datasource/uid", f"there is no data source {uid}.", cure)
    if written and written != sources.types[str(uid)]:
        sentence = f"the data source {uid} is a {sources.types[str(uid)]}, and the panel says {written}."
        return Problem("datasource/type", sentence, "Correct the uid or the type.")
    return None


def _used_variables(model: Json) -> Iterator[Problem]:
    known = variables(model)
    users = Counter(name for part in ({**model, "templating": {}}, *known.values()) for name in _used(part))
    repeated = {panel.get("repeat") for panel in panels(model)}
    for name, variable in known.items():
        # The browser adds these two to queries by itself.
        if variable.get("type") in {"adhoc", "groupby"} or variable.get("hide") == 2 or name in repeated:
            continue
        if users[name] == (name in _used(variable)):
            yield Problem("variable/unused", f"nothing uses the variable {name}.", "Use it, or remove it.")


def _used(part: Json) -> set[str]:
    return {name for name, _ in used(json.dumps(part))}


def _links(place: Place, model: Json, uids: frozenset[str]) -> Iterator[Finding]:
    for found in _LINK.finditer(json.dumps(model)):
        if found["uid"] not in uids:
            sentence = f"a link leads to the dashboard {found['uid']}, which is not there."
            yield place.finding(
                Problem("dashboard/link", sentence, suggestion(found["uid"], uids, "Correct the link."))
            )
