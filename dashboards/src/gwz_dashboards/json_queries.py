"""Questions to the application's JSON endpoints, made from the models of their answers: a wrong field raises, with its name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model

from gwz_instrument.monitoring.fields import BodyField, fields_of
from gwz_instrument.semconv import Endpoint

API_UID = "gatewayz_api"
API_TYPE = "yesoreyeram-infinity-datasource"
API = model.DataSourceRef(type_val=API_TYPE, uid=API_UID)

_TYPES: Final = {"number": "number", "integer": "number", "date-time": "timestamp", "boolean": "boolean"}
_STEP: Final = re.compile(r"^(?P<root>.*?)(?P<step>\[\]|\.\*)\.(?P<name>.+)$")


@dataclass(frozen=True)
class Column:
    """A field of the answer by its path, as in the contract, and what it is called on the panel."""

    path: str
    title: str = ""
    type: str = ""
    """Another type than the contract's: `timestamp_epoch_s` for seconds that are a time."""


@dataclass
class JsonQuery(Dataquery):
    """A query of the Infinity plugin; by its backend, so that it works in alerts too."""

    url: str
    params: tuple[tuple[str, str], ...]
    root_selector: str
    columns: tuple[dict[str, str], ...]
    ref_id: str = ""
    datasource: model.DataSourceRef = field(default_factory=lambda: API)

    def to_json(self) -> dict[str, object]:
        """Describe it as the plugin does."""
        return {
            "refId": self.ref_id,
            "datasource": self.datasource,
            "type": "json",
            "source": "url",
            "parser": "backend",
            "format": "table",
            "url": self.url,
            "url_options": {"method": "GET", "params": [{"key": key, "value": value} for key, value in self.params]},
            "root_selector": self.root_selector,
            "columns": list(self.columns),
            "filters": [],
        }


@dataclass(frozen=True)
class _Ready(Builder[Dataquery]):
    query: JsonQuery

    def build(self) -> JsonQuery:
        """Return the query."""
        return self.query


def json_query(
    endpoint: Endpoint,
    *columns: Column | str,
    params: Mapping[str, object] | None = None,
    name: str = "provider",
    labelled: Iterable[str] = (),
) -> Builder[Dataquery]:
    """Ask an endpoint for fields of one place of its answer: `series[].time`, `providers.*.total_cost`, `error_rate`.

    Of a place with names, `providers.*`, each row has its name in the column `name`. `labelled` makes a
    column `label` of several fields, for charts that name a row by one. Raises ValueError for a field that the answer does
    not have.
    """
    wanted = [column if isinstance(column, Column) else Column(column) for column in columns]
    known = _fields(endpoint)
    for path in [*(column.path for column in wanted), *labelled]:
        if path not in known:
            raise ValueError(f"{endpoint.path} has no field {path}: it has {', '.join(known)}.")
    places = {_place(column.path) for column in wanted}
    if len(places) != 1:
        raise ValueError(
            f"{endpoint.path} is asked for fields of several places at once: ask for each in its own query."
        )
    ((root, step),) = places
    shown = [_shown(column, known[column.path]) for column in wanted]
    if step == ".*":
        shown.insert(0, {"selector": name, "text": name, "type": "string"})
    if names := [_name(path) for path in labelled]:
        shown.insert(0, {"selector": "label", "text": "label", "type": "string"})
    return _Ready(
        JsonQuery(
            url=endpoint.path,
            params=tuple((key, str(value)) for key, value in (params or {}).items()),
            root_selector=_selector(root, step, name, names),
            columns=tuple(shown),
        )
    )


@cache
def _fields(endpoint: Endpoint) -> dict[str, BodyField]:
    return {found.path: found for found in fields_of(endpoint)}


def _place(path: str) -> tuple[str, str]:
    found = _STEP.match(path)
    return (found["root"], found["step"]) if found else ("", "")


def _name(path: str) -> str:
    found = _STEP.match(path)
    return found["name"] if found else path


def _shown(column: Column, known: BodyField) -> dict[str, str]:
    name = _name(column.path)
    return {"selector": name, "text": column.title or name, "type": column.type or _TYPES.get(known.type, "string")}


def _selector(root: str, step: str, name: str, labelled: list[str]) -> str:
    """Write the place in JSONata where the plugin's short form does not do; `$append` keeps "none" from being an error."""
    if step == ".*":
        rows = f'$map($sort($keys({root})), function($k){{$merge([{{"{name}": $k}}, $lookup({root}, $k)])}})'
        return f"$append([], {rows})"
    if labelled:
        label = ' & " @ " & '.join(labelled)
        return f'$append([], {root}.$merge([$, {{"label": {label}}}]))'
    return root


def answer(endpoint: Endpoint) -> dict[str, Any]:
    """Return the fields of an answer by path, for those who check queries."""
    return dict(_fields(endpoint))
