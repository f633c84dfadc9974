"""Holds what an application emitted against the contract, in all three signals.

A test does so with what it captured in memory, the end-to-end run with what the servers were sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gwz_instrument import semconv
from gwz_instrument.faults import Finding
from gwz_instrument.semconv import Field, Metric, Span
from gwz_instrument.semconv import logs as log_entries
from gwz_instrument.semconv import spans as span_entries

from .lines import EmittedLine, judge_lines
from .metrics import NAMESPACES, is_ours, judge_metrics
from .spans import EmittedSpan, judge_spans

__all__ = ["ALL", "CORE", "NAMESPACES", "Emitted", "EmittedLine", "EmittedSpan", "Signals", "is_ours", "judge"]


@dataclass(frozen=True, slots=True)
class Signals:
    """A part of the contract."""

    metrics: tuple[Metric, ...]
    metadata: tuple[Field, ...]
    fields: tuple[Field, ...]
    spans: tuple[Span, ...]


CORE = Signals(semconv.CORE, log_entries.STRUCTURED_METADATA, log_entries.LINE_FIELDS, span_entries.CORE)
"""What `instrument(app)` alone emits."""
ALL = Signals(
    semconv.METRICS,
    log_entries.STRUCTURED_METADATA,
    (*log_entries.LINE_FIELDS, *log_entries.DOMAIN_FIELDS),
    span_entries.SPANS,
)


@dataclass(frozen=True, slots=True)
class Emitted:
    """What an application emitted; a signal that is None was not looked at, and nothing is said of it."""

    exposition: str | None = None
    """An answer of `/metrics`, in the text format or in OpenMetrics."""
    lines: Iterable[EmittedLine] | None = None
    spans: Iterable[EmittedSpan] | None = None


def judge(emitted: Emitted, *, of: Signals = CORE) -> tuple[Finding, ...]:
    """Every fault of what was emitted, each once, sorted; an empty tuple is what one wants.

    Mutes are those of `of`; everything else is held against the whole contract. What an application emits
    under names of its own is not judged. ValueError for an exposition that cannot be parsed.
    """
    found: set[Finding] = set()
    if emitted.exposition is not None:
        found.update(judge_metrics(emitted.exposition, of.metrics))
    if emitted.lines is not None:
        found.update(judge_lines(emitted.lines, of.metadata, of.fields))
    if emitted.spans is not None:
        found.update(judge_spans(emitted.spans, of.spans))
    return tuple(sorted(found, key=lambda finding: (finding.signal, finding.fault, finding.name, finding.sentence)))
