"""The fields of a body, one by one, for the contract: `providers.*.total_cost`, `series[].time`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from gwz_instrument.semconv import Endpoint

from . import models

_REFERENCE: Final = "#/$defs/"


class BodyField(NamedTuple):
    """A field: where it is, JSON's name of its type, whether it may be null, what it says."""

    path: str
    type: str
    nullable: bool
    brief: str


def fields_of(endpoint: Endpoint) -> list[BodyField]:
    """Every field of an endpoint's body, in the order in which it is written."""
    model: type[BaseModel] = getattr(models, endpoint.answer)
    schema = model.model_json_schema(mode="serialization")
    return list(_fields(schema, schema.get("$defs", {}), "[]." if endpoint.many else ""))


def _fields(schema: Mapping[str, Any], named: Mapping[str, Any], prefix: str) -> Iterator[BodyField]:
    for name, of in schema.get("properties", {}).items():
        yield from _field(of, named, prefix + name, of.get("description", ""))


def _field(of: Mapping[str, Any], named: Mapping[str, Any], path: str, brief: str) -> Iterator[BodyField]:
    alternatives = [one for one in of.get("anyOf", [of]) if one.get("type") != "null"]
    nullable = len(alternatives) < len(of.get("anyOf", ()))
    (one,) = alternatives
    one = named[one["$ref"].removeprefix(_REFERENCE)] if "$ref" in one else one
    kind = one.get("type", "string")
    if kind == "object" and "properties" in one:
        yield from _fields(one, named, f"{path}.")
    elif kind == "object":
        values = one.get("additionalProperties") or next(iter(one["patternProperties"].values()))
        yield from _field(values, named, f"{path}.*", brief)
    elif kind == "array":
        yield from _field(one["items"], named, f"{path}[]", brief)
    else:
        yield BodyField(path, _kind(one, kind), nullable, brief or one.get("description", ""))


def _kind(of: Mapping[str, Any], kind: str) -> str:
    return str(of.get("format", kind))
