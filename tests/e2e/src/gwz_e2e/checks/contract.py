"""The contract: what an application emitted, held against `gwz_instrument.semconv`, a sentence for each fault."""

from collections.abc import Iterable

import httpx

from gwz_e2e.case import Case
from gwz_e2e.engines import Span
from gwz_instrument.faults import Fault
from gwz_instrument.judge import ALL, CORE, Emitted, EmittedLine, EmittedSpan, judge
from gwz_instrument.semconv import spans as entries

_FORMATS = ("text/plain", "application/openmetrics-text")


def metric_faults(case: Case) -> list[str]:
    """The faults of /metrics, in both of its formats."""
    return sorted(
        {str(finding) for accept in _FORMATS for finding in judge(Emitted(exposition=exposition(case, accept)), of=ALL)}
    )


def line_faults(case: Case) -> list[str]:
    """The faults of everything that the application wrote to Loki, whoever in it wrote the line."""
    found = case.engines.loki.lines(f'{{app="{case.service}"}}', *case.window)
    lines = (EmittedLine(line.labels, line.metadata, line.fields) for line in found)
    return [str(finding) for finding in judge(Emitted(lines=lines), of=ALL)]


def span_faults(case: Case, found: Iterable[Span]) -> list[str]:
    """The faults of the application's spans.

    Where every trace is sampled, none needs to be kept; of the few that a sampler keeps, not every kind of span can be.
    """
    emitted = (
        EmittedSpan(span.name, span.kind.removeprefix("SPAN_KIND_").lower(), span.scope, span.attributes)
        for span in found
        if span.service == case.service
    )
    everything = case.sampled_share == 1
    silent = (entries.KEPT.name,) if everything else ()
    findings = judge(Emitted(spans=emitted), of=ALL if everything else CORE)
    return [str(finding) for finding in findings if finding.fault is not Fault.MUTE or finding.name not in silent]


def exposition(case: Case, accept: str) -> str:
    """What /metrics answers, as it is; httpx.HTTPStatusError when that is no answer."""
    headers = {"Accept": accept, "Authorization": f"Bearer {case.metrics_token}"}
    answer = httpx.get(f"{case.app_url}/metrics", headers=headers, timeout=20, trust_env=False)
    return answer.raise_for_status().text
