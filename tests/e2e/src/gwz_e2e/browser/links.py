"""The links of the dashboards, followed: the dashboard is there and knows the choice, the query finds something."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from gwz_e2e.browser.site import Site, has_anything
from gwz_e2e.browser.variables import options
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.panels.answers import Shown
from gwz_e2e.panels.boards import Json

_FIELD = re.compile(r"\$\{__field\.labels\.(\w+)\}")
_RANGE = "${__url_time_range}"
_VALUE = "${__value.raw}"

Finds = Callable[[Json], bool]
"""Whether a query is answered with anything."""


@dataclass(frozen=True)
class Lead:
    """A link, and the panel and the column that it is on."""

    dashboard: str
    link: Json
    panel: int
    column: str = ""


def followed(site: Site) -> Finding:
    """Every link of every dashboard leads somewhere, with each value that it can be clicked on."""
    wrong, urls = [], {}
    for document in site.documents.values():
        for lead in leads(document):
            found = list(filled(site, lead))
            name = f"{document['title']}: {lead.link['title']}"
            if not found and lead.panel not in site.empty(lead.dashboard):
                wrong.append(f"{name} is on nothing that could be clicked on")
            urls.update(dict.fromkeys(found, name))
    wrong += [
        f"{name} {what}"
        for url, name in urls.items()
        for what in dead(url, site.documents, partial(options, site), _finds(site))
    ]
    wrong += [] if site.siblings == set(site.documents) else [f"the list of dashboards has {sorted(site.siblings)}"]
    return Finding(bool(urls) and not wrong, shorten(wrong) or f"{len(urls)} addresses of links lead where they should")


def leads(document: Json) -> Iterator[Lead]:
    """The links of a dashboard's panels and of their columns."""
    for panel in document["panels"]:
        config = panel.get("fieldConfig", {})
        for link in config.get("defaults", {}).get("links") or []:
            yield Lead(document["uid"], link, panel["id"])
        for one in config.get("overrides", []):
            for link in (link for item in one["properties"] if item["id"] == "links" for link in item["value"]):
                yield Lead(document["uid"], link, panel["id"], one["matcher"]["options"])


def filled(site: Site, lead: Lead) -> Iterator[str]:
    """The addresses of a link, one for each value that its panel was answered."""
    window = site.facts.window
    url = lead.link["url"].replace(_RANGE, site.times)
    url = url.replace("${__from}", f"{window.start * 1e3:.0f}").replace("${__to}", f"{window.end * 1e3:.0f}")
    label = _FIELD.search(url)
    if not label and _VALUE not in url:
        yield url
        return
    for shown in site.shown(lead.dashboard, lead.panel):
        for value in _values(shown, label[1] if label else None, lead.column):
            yield url.replace(label[0] if label else _VALUE, value)


def _values(shown: Shown, label: str | None, column: str) -> set[str]:
    if label:
        return {curve.labels[label] for curve in shown.curves}
    return {str(row[column]) for row in shown.rows if column in row}


def dead(url: str, documents: Mapping[str, Json], offers: Callable[[Json], set[str]], finds: Finds) -> Iterator[str]:
    """A phrase for each reason why an address leads nowhere."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    if parts.path == "/explore":
        queries = [query for pane in json.loads(asked["panes"]).values() for query in pane["queries"]]
        yield from (f"finds nothing by {query['query']}" for query in queries if not finds(query))
        return
    uid = parts.path.removeprefix("/d/")
    if uid not in documents:
        yield f"leads to {parts.path}, which is not there"
        return
    known = {variable["name"]: variable for variable in documents[uid]["templating"]["list"]}
    for name, value in ((key.removeprefix("var-"), value) for key, value in asked.items() if key.startswith("var-")):
        if name not in known:
            yield f"chooses {name}, which {uid} does not know"
        elif known[name]["type"] != "textbox" and value not in offers(known[name]):
            yield f"chooses {name}={value}, which {uid} does not offer"


def _finds(site: Site) -> Finds:
    return lambda query: has_anything(site.ask(query))
