"""Judges log lines as Loki has them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gwz_instrument.faults import Fault, Finding
from gwz_instrument.semconv import Field, logs, spans

from ._findings import listed, mute, stranger, wrong_content, wrong_value

_LABELS = {label.name: label for label in logs.STREAM_LABELS}
_METADATA = {field.name: field for field in logs.STRUCTURED_METADATA}
_EVERY_LINE = {field.name: field for field in (*logs.EVERY_LINE, *logs.RARE)}
_FIELDS = {field.name: field for field in (*logs.LINE_FIELDS, *logs.RARE, *logs.DOMAIN_FIELDS)}
_EMITTER = spans.SCOPE


@dataclass(frozen=True, slots=True)
class EmittedLine:
    """A log line as it reached Loki: the labels of its stream, its structured metadata, the fields of its JSON."""

    labels: Mapping[str, str]
    metadata: Mapping[str, str]
    fields: Mapping[str, Any]


def judge_lines(lines: Iterable[EmittedLine], metadata: Iterable[Field], fields: Iterable[Field]) -> Iterator[Finding]:
    """Hold lines against the contract; of `metadata` and `fields` each has to be in some line.

    Labels are the contract's alone. Beyond them a line of this package has nothing undeclared, while in a
    line of the application's what its `extra` brought is its own.
    """
    seen_metadata, seen_fields = set[str](), set[str]()
    for line in lines:
        seen_metadata |= line.metadata.keys()
        seen_fields |= line.fields.keys()
        yield from _judge_labels(line.labels)
        if str(line.fields.get(logs.LOGGER.name)).split(".")[0] == spans.SCOPE:
            yield from _judge_own("structured metadata", line.metadata, _METADATA)
            yield from _judge_own("field", line.fields, _FIELDS)
        else:
            yield from _judge_foreign(line.fields)
    for field in metadata:
        if field.name not in seen_metadata:
            yield mute("logs", field.name, "no line has it in its structured metadata", _EMITTER)
    for field in fields:
        if field.name not in seen_fields:
            yield mute("logs", field.name, "no line has that field", _EMITTER)


def _judge_labels(labels: Mapping[str, str]) -> Iterator[Finding]:
    for name, value in labels.items():
        if name in _LABELS:
            yield from wrong_value("logs", name, _LABELS[name], value)
        else:
            yield stranger("logs", name, "stream label", _LABELS)
    if missing := sorted(_LABELS.keys() - labels.keys()):
        yield Finding(
            "logs",
            Fault.WRONG_LABELS,
            ", ".join(missing),
            f"a stream lacks {listed(missing)}: its labels are {listed(sorted(labels))}. "
            "Send its lines by the handler that instrument() makes",
        )


def _judge_own(what: str, given: Mapping[str, Any], declared: Mapping[str, Field]) -> Iterator[Finding]:
    for name, value in given.items():
        if name in declared:
            yield from wrong_content("logs", name, declared[name], value)
        elif name not in logs.ADDED_BY_LOKI:
            yield stranger("logs", name, what, declared)


def _judge_foreign(fields: Mapping[str, Any]) -> Iterator[Finding]:
    for name, field in _EVERY_LINE.items():
        if name in fields:
            yield from wrong_content("logs", name, field, fields[name])
