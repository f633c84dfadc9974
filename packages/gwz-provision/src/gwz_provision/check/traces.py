"""TraceQL held against the contract: the attributes of spans and resources, and their closed values."""

from collections.abc import Mapping

from gwz_provision.check import units
from gwz_provision.check.contract import Contract, Field
from gwz_provision.check.findings import Problem, suggestion
from gwz_provision.check.metrics import impossible
from gwz_provision.check.substitution import STAND_IN
from gwz_provision.check.traceql import Attribute, Query
from gwz_provision.check.units import Unit

# The OpenTelemetry SDK sets these on every resource and every recorded exception.
_RESOURCE = ("telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version")
_EVENT = ("exception.type", "exception.message", "exception.stacktrace", "exception.escaped")
_DURATIONS = frozenset({"duration", "span:duration", "traceDuration", "trace:duration", "event:timeSinceStart"})


def examined(query: Query, contract: Contract) -> list[Problem]:
    """Hold a query against the contract; the problems' columns are those of the text that was parsed."""
    wrong = [
        problem
        for attribute in dict.fromkeys(query.attributes)
        if (problem := _declared(attribute, _known(attribute.scope, contract)))
    ]
    for comparison in query.comparisons:
        known = _known(comparison.attribute.scope, contract) or {}
        values = known[comparison.attribute.name].values if comparison.attribute.name in known else ()
        if value := impossible(comparison.operator, comparison.value, values):
            cure = suggestion(value, values, f"It is one of {', '.join(values)}.")
            sentence = f"{comparison.attribute.name} is never {value!r}."
            wrong.append(Problem("traceql/value", sentence, cure, comparison.start + 1))
    return wrong


def unit(query: Query) -> Unit | None:
    """Return what the query's series are measured in; None when that is not known, or it finds traces."""
    match query.function:
        case "rate":
            return units.COUNT.by(units.SECOND, -1)
        case "count_over_time":
            return units.COUNT
        case "min_over_time" | "max_over_time" | "avg_over_time" | "sum_over_time" | "quantile_over_time" if query.of:
            return units.SECOND if query.of.name in _DURATIONS else units.of_field(query.of.name)
        case _:
            return None


def _known(scope: str, contract: Contract) -> Mapping[str, Field] | None:
    match scope:
        case "span":
            return contract.span
        case "resource":
            return {**{name: Field(name) for name in _RESOURCE}, **contract.resource}
        case ".":
            return {**{name: Field(name) for name in _RESOURCE}, **contract.resource, **contract.span}
        case "event":
            return {name: Field(name) for name in _EVENT}
        case _:
            return None


def _declared(attribute: Attribute, known: Mapping[str, Field] | None) -> Problem | None:
    if known is None or attribute.name in known or STAND_IN in attribute.name:
        return None
    owner = {"span": "no span", "resource": "no resource", "event": "no event"}.get(
        attribute.scope, "no span and no resource"
    )
    cure = suggestion(attribute.name, known, "Take an attribute of the contract.")
    return Problem("traceql/attribute", f"{owner} has the attribute {attribute.name}.", cure, attribute.start + 1)
