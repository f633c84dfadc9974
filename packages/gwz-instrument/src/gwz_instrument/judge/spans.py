"""Judges spans as they were exported."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gwz_instrument.faults import Fault, Finding
from gwz_instrument.semconv import Attribute, Span, spans

from ._findings import listed, mute, stranger, wrong_content

_NAMESPACES = {attribute.name.split(".")[0] for entry in spans.SPANS for attribute in entry.attributes}


@dataclass(frozen=True, slots=True)
class EmittedSpan:
    """A span as it was exported; `kind` in lower case, `scope` the name of its instrumentation scope."""

    name: str
    kind: str
    scope: str
    attributes: Mapping[str, Any]


def judge_spans(emitted: Iterable[EmittedSpan], expected: Iterable[Span]) -> Iterator[Finding]:
    """Hold spans against the contract; of `expected` each has to be there, with each attribute on one at least.

    Spans of another instrumentation scope are not judged, nor are attributes of another namespace, which is
    the first word of an attribute's name: an application may add its own to a span of this package.
    """
    seen: dict[Span, set[str]] = {}
    for span in emitted:
        if span.scope.split(".")[0] != spans.SCOPE:
            continue
        entry = _declared(span)
        if entry is None:
            yield stranger("traces", span.name, f"{span.kind} span", [entry.name for entry in spans.SPANS])
        else:
            seen.setdefault(entry, set()).update(span.attributes)
            yield from _judge_span(entry, span)
    for entry in expected:
        yield from _mutes(entry, seen.get(entry))


def _judge_span(entry: Span, span: EmittedSpan) -> Iterator[Finding]:
    declared = {attribute.name: attribute for attribute in entry.attributes}
    for name, value in span.attributes.items():
        if name in declared:
            yield from wrong_content("traces", name, declared[name], value)
        elif name.split(".")[0] in _NAMESPACES:
            yield stranger("traces", name, f"{entry.kind} span's attribute", declared)
    if missing := [attribute.name for attribute in entry.required if attribute.name not in span.attributes]:
        yield Finding(
            "traces",
            Fault.WRONG_LABELS,
            entry.name,
            f"a {entry.kind} span {entry.name} lacks {listed(missing)}. "
            f"Set it in {entry.emitted_by}, or declare it as optional",
        )


def _mutes(entry: Span, attributes: set[str] | None) -> Iterator[Finding]:
    if attributes is None:
        yield mute("traces", entry.name, f"no {entry.kind} span of this package is one", entry.emitted_by)
        return
    for attribute in entry.attributes:
        if attribute.name not in attributes:
            yield mute("traces", attribute.name, f"no span {entry.name} has it", entry.emitted_by)


def _declared(span: EmittedSpan) -> Span | None:
    """The declared span that this is: of its kind, lacking the fewest attributes; None if it has none of any."""

    def lacks(entry: Span) -> int:
        return sum(not _has(span, attribute) for attribute in entry.required)

    candidates = [entry for entry in spans.SPANS if entry.kind == span.kind and lacks(entry) < len(entry.required)]
    return min(candidates, key=lambda entry: (lacks(entry), -len(entry.required)), default=None)


def _has(span: EmittedSpan, attribute: Attribute) -> bool:
    value = span.attributes.get(attribute.name)
    return value is not None and (not attribute.values or value in attribute.values)
