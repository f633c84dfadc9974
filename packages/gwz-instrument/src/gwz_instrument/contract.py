"""The contract as a document: contract.json for programs, a reference page for people."""

import json
from importlib.resources import files
from typing import Any

from . import semconv
from .semconv import Attribute, Endpoint, Field, Label, Metric, Parameter, Span, endpoints, logs, spans

SCHEMA = 1
"""Raised when a reader of the document would have to change."""
_CORE, _DOMAIN = "core", "domain"


def contract() -> dict[str, Any]:
    """The whole contract as plain data, in the order of declaration; needs pydantic, which knows the fields of the endpoints."""
    return {
        "schema": SCHEMA,
        "metrics": [_metric(entry) for entry in semconv.METRICS],
        "logs": {
            "labels": [_label(label) for label in logs.STREAM_LABELS],
            "metadata": [_field(field) for field in logs.STRUCTURED_METADATA],
            "fields": [
                {**_field(field), "group": group}
                for group, fields in ((_CORE, (*logs.LINE_FIELDS, *logs.RARE)), (_DOMAIN, logs.DOMAIN_FIELDS))
                for field in fields
            ],
        },
        "spans": [_span(entry) for entry in spans.SPANS],
        "resource": [_field(attribute) for attribute in spans.RESOURCE],
        "endpoints": [_endpoint(entry) for entry in endpoints.ENDPOINTS],
    }


def contract_json() -> str:
    """The text of contract.json; the same contract gives the same text."""
    return json.dumps(contract(), indent=2, ensure_ascii=False) + "\n"


def _metric(entry: Metric) -> dict[str, Any]:
    return {
        "name": entry.name,
        "type": entry.kind,
        "unit": entry.unit,
        "labels": [_label(label) for label in entry.labels],
        "buckets": list(entry.buckets),
        "emitted_by": entry.emitted_by,
        "group": _CORE if entry in semconv.CORE else _DOMAIN,
        "brief": entry.brief,
    }


def _label(label: Label) -> dict[str, Any]:
    return {"name": label.name, "bound": label.bound, **_values(label)}


def _field(field: Field | Attribute) -> dict[str, Any]:
    return {"name": field.name, "type": field.type, **_values(field), "brief": field.brief}


def _span(entry: Span) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "attributes": [
            {**_field(attribute), "required": attribute in entry.required} for attribute in entry.attributes
        ],
        "emitted_by": entry.emitted_by,
        "group": _CORE if entry in spans.CORE else _DOMAIN,
        "brief": entry.brief,
    }


def _endpoint(entry: Endpoint) -> dict[str, Any]:
    from .monitoring.fields import fields_of  # noqa: PLC0415  # pydantic

    return {
        "method": entry.method,
        "path": entry.path,
        "many": entry.many,
        "parameters": [_parameter(one) for one in entry.parameters],
        "fields": [
            {
                "name": one.path,
                "type": one.type,
                "nullable": one.nullable,
                **({"brief": one.brief} if one.brief else {}),
            }
            for one in fields_of(entry)
        ],
        "brief": entry.brief,
    }


def _parameter(one: Parameter) -> dict[str, Any]:
    number = isinstance(one.default, int)
    return {
        "name": one.name,
        "type": "integer" if number else "string",
        "default": one.default,
        **({"minimum": 1, "maximum": one.maximum} if number else {}),
        **({"values": list(one.values)} if one.values else {}),
    }


def committed() -> str:
    """The text of contract.json as it lies in the package."""
    return files(__package__).joinpath("contract.json").read_text(encoding="utf-8")


def _values(entry: Label | Field | Attribute) -> dict[str, list[str]]:
    return {"values": list(entry.values)} if entry.values else {}
