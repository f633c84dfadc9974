"""The contract as a page for people: docs/reference/contract.md."""

import re
from collections.abc import Iterable, Sequence
from types import ModuleType

from . import semconv
from ._markdown import code, table
from .faults import Fault
from .judge import NAMESPACES
from .semconv import Attribute, Field, Label, Metric, Parameter, Span, logs, spans

GENERATED = "<!-- Written by `nox -s generate` from gwz_instrument.semconv: change that, never this file. -->"

_MODULES: tuple[ModuleType, ...] = (
    semconv.http,
    semconv.health,
    semconv.process,
    semconv.inference,
    semconv.providers,
    semconv.database,
    semconv.cache,
    semconv.stages,
    semconv.business,
    semconv.endpoints,
)


def contract_page() -> str:
    """The whole contract in Markdown; the same contract gives the same text."""
    return "\n\n".join([GENERATED, _INTRODUCTION, *_metrics(), *_logs(), *_spans(), *_endpoints(), *_faults()]) + "\n"


def _metrics() -> Iterable[str]:
    yield "## Metrics"
    for module in _MODULES:
        yield f"### {_title(module)}"
        yield _prose(str(module.__doc__).splitlines()[0])
        yield table(("Metric", "Type", "Unit", "Labels", "What it says"), map(_metric, module.METRICS))
        if buckets := [entry for entry in module.METRICS if entry.buckets]:
            yield table(("Histogram", "Buckets"), ((code(entry.name), _buckets(entry)) for entry in buckets))
    yield "### Labels"
    yield "What bounds the values of a label, so that its series cannot grow without end."
    yield table(("Label", "Of", "Bound"), _bounds(semconv.METRICS))


def _logs() -> Iterable[str]:
    yield "## Log lines"
    yield "A stream has these labels and no other."
    yield table(("Label", "Bound"), ((code(label.name), _bound(label)) for label in logs.STREAM_LABELS))
    yield "Structured metadata holds what would open a stream per value."
    yield table(("Key", "What it says"), ((code(f.name), _prose(f.brief)) for f in logs.STRUCTURED_METADATA))
    yield "The line is a JSON object."
    fields = (*logs.LINE_FIELDS, *logs.RARE, *logs.DOMAIN_FIELDS)
    yield table(("Field", "Type", "In the line of", "What it says"), map(_field, fields))


def _spans() -> Iterable[str]:
    yield "## Spans"
    for entry in spans.SPANS:
        yield f"### {code(entry.name)}, {entry.kind}"
        yield f"{_prose(entry.brief)} Emitted by {code(entry.emitted_by)}."
        yield table(
            ("Attribute", "Type", "On", "What it says"),
            (_attribute(entry, attribute) for attribute in entry.attributes),
        )
    yield "### Resource"
    yield "What every span says of its process; `OTEL_RESOURCE_ATTRIBUTES` comes before the variables named here, except for `service.name`, which all signals share."
    yield table(("Attribute", "From"), ((code(a.name), _prose(a.brief)) for a in spans.RESOURCE))


def _endpoints() -> Iterable[str]:
    from .monitoring.fields import fields_of  # noqa: PLC0415  # pydantic, which a reader of the page does not need

    yield "## JSON endpoints"
    yield ("`*` stands for a name, `[]` for each member of a list. Where nothing is known there is `null`, never 0.")
    for entry in semconv.endpoints.ENDPOINTS:
        yield f"### {code(f'{entry.method} {entry.path}')}"
        yield _prose(entry.brief)
        if entry.parameters:
            yield table(("Parameter", "Allowed", "Without it"), map(_parameter, entry.parameters))
        yield table(
            ("Field", "Type", "May be null", "What it says"),
            ((code(one.path), one.type, "yes" if one.nullable else "", _prose(one.brief)) for one in fields_of(entry)),
        )


def _parameter(one: Parameter) -> Sequence[str]:
    allowed = (
        ", ".join(map(code, one.values))
        if one.values
        else f"1 to {one.maximum}"
        if one.maximum
        else "a provider, or all"
    )
    return code(one.name), allowed, code(str(one.default))


def _faults() -> Iterable[str]:
    yield "## Faults"
    yield "What can lie between what is declared, what is emitted and what is queried."
    yield table(("Fault", "What it means"), ((str(fault), _prose(fault.definition)) for fault in Fault))
    yield _OURS


def _metric(entry: Metric) -> Sequence[str]:
    labels = ", ".join(code(label.name) for label in entry.labels)
    return code(entry.name), entry.kind, code(entry.unit), labels, _prose(entry.brief)


def _field(field: Field) -> Sequence[str]:
    of = (
        "a call"
        if field in logs.DOMAIN_FIELDS
        else "anything"
        if field in (*logs.EVERY_LINE, *logs.RARE)
        else "a request"
    )
    return code(field.name), field.type, of, _described(field)


def _attribute(entry: Span, attribute: Attribute) -> Sequence[str]:
    on = "each" if attribute in entry.required else "some"
    return code(attribute.name), attribute.type, on, _described(attribute)


def _bounds(metrics: Iterable[Metric]) -> Iterable[Sequence[str]]:
    owners: dict[Label, list[str]] = {}
    for entry in metrics:
        for label in entry.labels:
            owners.setdefault(label, []).append(entry.name)
    for label, names in sorted(owners.items(), key=lambda item: item[0].name):
        yield code(label.name), ", ".join(map(code, names)), _bound(label)


def _bound(label: Label) -> str:
    return _prose(label.bound) + _values(label)


def _described(entry: Field | Attribute) -> str:
    return _prose(entry.brief) + _values(entry)


def _values(entry: Label | Field | Attribute) -> str:
    return f": {', '.join(map(code, entry.values))}" if entry.values else ""


def _buckets(entry: Metric) -> str:
    return ", ".join(f"{bound:g}" for bound in entry.buckets)


def _title(module: ModuleType) -> str:
    name = module.__name__.rpartition(".")[2]
    return "HTTP" if name == "http" else name.capitalize()


def _prose(text: str) -> str:
    """Text whose characters mean nothing to Markdown."""
    return re.sub(r"([*_<>|`])", r"\\\1", text)


_INTRODUCTION = """\
# The contract

Every metric, label, log field and span attribute of GatewayZ observability, declared once in `gwz_instrument.semconv`.
`gwz-instrument contract` prints the same as JSON, and the wheel holds it as `gwz_instrument/contract.json`."""

_OURS = f"""\
`gwz_instrument.judge` finds the faults between the first two, in an answer of `/metrics`, in log lines and in spans.
Only names of the contract's can be strangers:

- a metric that begins with {", ".join(map(code, NAMESPACES))}, or with the words of a metric that this package emits, all but the last of them;
- every label of a stream; in the lines of this package also every key of the metadata and every field;
- in the spans of the scope {code(spans.SCOPE)} every attribute whose first word is that of a declared one.

Whatever an application emits beside them is its own."""
