"""The shapes of the contract's entries: frozen, typed, standard library only."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
ValueType = Literal["string", "string[]", "int", "double", "boolean"]
"""OpenTelemetry's words; a double may be written as an integer."""
SpanKind = Literal["server", "client", "internal"]


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric or stream, with a word on what bounds its values; `values` are all there are."""

    name: str
    bound: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Prometheus sees it: the name is the sample's, `_total` included."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[Label, ...]
    brief: str
    emitted_by: str
    buckets: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name on the exposition's TYPE line: a counter's without `_total`."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label names, in the order in which values are given."""
        return tuple(label.name for label in self.labels)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a log line, or a key of its structured metadata; `values` are all there are."""

    name: str
    brief: str
    type: ValueType = "string"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A span or resource attribute; names are OpenTelemetry's where it has one. `values` are all there are."""

    name: str
    brief: str
    type: ValueType = "string"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A span: the pattern of its name, its kind, the attributes that each has and those that it may have."""

    name: str
    kind: SpanKind
    required: tuple[Attribute, ...]
    optional: tuple[Attribute, ...]
    brief: str
    emitted_by: str

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Every attribute that it can have."""
        return self.required + self.optional


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an endpoint's query: a whole number in a range, or a text, of which `values` are all there are."""

    name: str
    default: int | str
    maximum: int | None = None
    """Of a number; the least is 1."""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A JSON endpoint: `answer` names the model in `monitoring.models` that its body is, or is a list of if it is `many`."""

    method: Literal["GET", "POST"]
    path: str
    brief: str
    answer: str
    many: bool = False
    parameters: tuple[Parameter, ...] = ()
