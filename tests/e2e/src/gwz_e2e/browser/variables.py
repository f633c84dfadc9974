"""The variables of the dashboards: what each offers is what the load was made of."""

from collections.abc import Callable, Iterator, Mapping

from gwz_e2e.browser.site import Site
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.panels.boards import JOB, Json, labelled
from gwz_e2e.panels.facts import Facts
from gwz_e2e.scene import ENVIRONMENT
from gwz_instrument.semconv import Label, Metric, http, inference


def offered(site: Site) -> Finding:
    """Each variable of each dashboard offers what the ledger has, and no more."""
    variables = [
        (document["title"], variable)
        for document in site.documents.values()
        for variable in document["templating"]["list"]
        if variable["type"] != "textbox"
    ]
    found = [(title, variable, options(site, variable)) for title, variable in variables]
    wrong = [
        f"{title}: {variable['label']} {what}"
        for title, variable, values in found
        for what in _wrong(variable, values, site.facts)
    ]
    values = sum(len(values) for _, _, values in found)
    return Finding(
        bool(found) and not wrong,
        shorten(wrong) or f"{len(found)} variables offer {values} values, which are the ledger's",
    )


def options(site: Site, variable: Json) -> set[str]:
    """What a variable offers, where another is asked for the environment the one of the load."""
    if variable["type"] == "custom":
        return {option["value"] for option in variable["options"]}
    source, window = variable["datasource"], site.facts.window
    selector, label = labelled(variable["query"])
    if source["type"] == "loki":
        nanoseconds = {"start": f"{window.start * 1e9:.0f}", "end": f"{window.end * 1e9:.0f}"}
        return set(site.resource(source["uid"], f"label/{label}/values", query=selector, **nanoseconds))
    asked = {"match[]": selector.replace("$environment", JOB), "start": window.start, "end": window.end}
    return set(site.resource(source["uid"], f"api/v1/label/{label}/values", **asked))


def _wrong(variable: Json, found: set[str], facts: Facts) -> Iterator[str]:
    wanted = _LEDGER[variable["name"]](facts)
    if missing := wanted - found:
        yield f"does not offer {', '.join(sorted(missing))}"
    if variable["name"] not in _MORE and (strange := found - wanted):
        yield f"offers {', '.join(sorted(strange))}, of which the ledger knows nothing"


def _values(metric: Metric, label: Label) -> Callable[[Facts], set[str]]:
    return lambda facts: {labels[label.name] for labels, number in facts.tallies.of(metric) if number}


_LEDGER: Mapping[str, Callable[[Facts], set[str]]] = {
    "path": _values(http.REQUESTS, http.PATH),
    "provider": _values(inference.REQUESTS, inference.PROVIDER),
    "model": _values(inference.REQUESTS, inference.MODEL),
    "env": lambda _: {ENVIRONMENT},
    "level": lambda facts: {line.level for line in facts.lines},
    "environment": lambda _: {JOB},
    "app": lambda facts: {facts.case.service},
    "service": lambda facts: {facts.case.service},
}
"""By variable: what the ledger has of it."""
_MORE = frozenset({"level", "environment", "app", "service"})
"""Variables that offer more: levels that nothing was logged at, and the applications beside the one of the ledger."""
