"""Whether what the instrumentation endpoints say agrees with itself, and with telemetry arriving."""

import re
from collections.abc import Iterator
from typing import Any, Final

from gwz_instrument.monitoring import models

from .cases import Call
from .report import Finding

_CURE: Final = "The hops in the answer say more; see docs/guides of the library, or the settings of the application"
_REPORT: Final = "Report it with the output of --json: it is a fault of the endpoint"
_IDS: Final = {"trace_id": re.compile("[0-9a-f]{32}"), "span_id": re.compile("[0-9a-f]{16}")}
_READERS: Final = "with the reader's token"


def findings(call: Call, body: Any, http_status: int) -> Iterator[Finding]:
    """What is wrong with the far ends, or with what is said of them."""
    if isinstance(body, models.TelemetryHealth):
        yield from _agreed(body.status, http_status)
        yield from _far_end("loki", body.loki, call)
        yield from _far_end("tempo", body.tempo, call)
        if (body.status == "failed") != ("failed" in (body.loki.status, body.tempo.status)):
            sentence = (
                f"status is {body.status!r}, that of loki {body.loki.status!r} and that of tempo {body.tempo.status!r}"
            )
            yield Finding("agreement", "status", sentence, _REPORT)
    elif isinstance(body, models.FarEnd):
        yield from _agreed(body.status, http_status)
        yield from _far_end("", body, call)
    elif isinstance(body, models.Proof):
        yield from _agreed(body.status, http_status)
        yield from _hops("", body)
        yield from _ids(body)


def note(body: Any) -> str:
    """What should be seen though it is no finding."""
    if isinstance(body, models.TelemetryHealth):
        off = [name for name, one in (("loki", body.loki), ("tempo", body.tempo)) if one.status == "disabled"]
        return f"{' and '.join(off)} disabled" if off else ""
    return "disabled" if isinstance(body, models.FarEnd | models.Proof) and body.status == "disabled" else ""


def _agreed(status: str, http_status: int) -> Iterator[Finding]:
    if (status == "failed") != (http_status == 503):
        yield Finding("agreement", "status", f"status is {status!r} in an answer of {http_status}", _REPORT)


def _far_end(name: str, far: models.FarEnd, call: Call) -> Iterator[Finding]:
    yield from _hops(name, far)
    if call.how == _READERS and (far.push_url or far.query_url):
        yield Finding(
            "secret", f"{name}.push_url", "a reader without the administrator's token is told addresses", _REPORT
        )


def _hops(name: str, one: models.FarEnd | models.Proof) -> Iterator[Finding]:
    whose = f"{name} " if name else ""
    if one.status == "failed":
        cure = next((hop.cure for hop in one.hops if hop.hop == one.failed_hop and hop.cure), _CURE)
        yield Finding("failed", name or "status", f"{whose}failed at the hop {one.failed_hop}: {one.reason}", cure)
    bad = [hop.hop for hop in one.hops if not hop.ok]
    if (one.failed_hop or None) != (bad[0] if bad else None) or (one.status == "failed") != bool(bad):
        sentence = f"{whose}status is {one.status!r}, failed_hop {one.failed_hop!r}, and the hops that failed are {bad}"
        yield Finding("agreement", "failed_hop", sentence, _REPORT)


def _ids(proof: models.Proof) -> Iterator[Finding]:
    for name, shape in _IDS.items():
        text = getattr(proof, name)
        if text is not None and not shape.fullmatch(text):
            yield Finding("shape", name, f"{name} is {text!r}, and {shape.pattern} is its form", _REPORT)
    if proof.status == "ok" and proof.duration_ms is None:
        yield Finding("shape", "duration_ms", "what was sent was found, and duration_ms is null", _REPORT)
