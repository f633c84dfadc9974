"""What the instrumentation endpoints say of Loki and Tempo: that they answer, that what is sent is found, which hop fails."""

from collections.abc import Iterator
from typing import Any

from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_e2e.reading import Reader
from gwz_instrument.semconv import endpoints

_STATUSES = (endpoints.INSTRUMENTATION, endpoints.LOKI_STATUS, endpoints.TEMPO_STATUS)
_PROOFS = (endpoints.TEST_LOG, endpoints.TEST_TRACE)


def arrive(case: Case) -> Finding:
    """Loki and Tempo are well, a line and a span come back, and no address is told to who is no administrator."""
    took: list[str] = []
    phrases = [*_well(case), *_proved(case, took), *_told(case)]
    return Finding(
        not phrases, shorten(phrases) or f"Loki and Tempo take what is sent and give it back: {', '.join(took)}"
    )


def lost(case: Case, dead: str) -> list[str]:
    """What is wrong with what the application says while Loki, or Tempo, is stopped."""
    reader = Reader(case.app_url, case.tokens.admin)
    ends = {"loki": endpoints.LOKI_STATUS, "tempo": endpoints.TEMPO_STATUS}
    phrases = []
    for name, endpoint in ends.items():
        answer = reader.send("GET", endpoint.path)
        body = answer.json()
        found = answer.status_code, body["status"], body["failed_hop"], body["reason"]
        first = "push" if name == "loki" else "export"
        wanted = (503, "failed", first, "refused") if name == dead else (200, "ok", None, None)
        if found != wanted:
            phrases.append(f"without {dead} {endpoint.path} says {found} instead of {wanted}: {answer.text[:400]}")
    whole = reader.send("GET", endpoints.INSTRUMENTATION.path)
    if (whole.status_code, whole.json()["status"], whole.json()[dead]["status"]) != (503, "failed", "failed"):
        phrases.append(f"without {dead} {endpoints.INSTRUMENTATION.path} says {whole.status_code}: {whole.text[:400]}")
    return phrases


def _well(case: Case) -> Iterator[str]:
    reader = Reader(case.app_url, case.tokens.admin)
    for endpoint in _STATUSES:
        answer = reader.get(endpoint.path)
        if answer.status_code != 200 or answer.json()["status"] != "ok" or "http://" not in answer.text:
            yield f"{endpoint.path} says {answer.status_code}: {answer.text[:400]}"


def _proved(case: Case, took: list[str]) -> Iterator[str]:
    reader = Reader(case.app_url, case.tokens.admin)
    for endpoint in _PROOFS:
        answer = reader.send("POST", endpoint.path, json={"message": "sent by the end-to-end run"})
        body: dict[str, Any] = answer.json()
        if answer.status_code != 200 or body["status"] != "ok" or not all(hop["ok"] for hop in body["hops"]):
            yield f"{endpoint.path} says {answer.status_code}: {answer.text[:400]}"
        else:
            took.append(f"{endpoint.path.rpartition('/')[2]} in {body['duration_ms']:.0f} ms")


def _told(case: Case) -> Iterator[str]:
    """What is told to a reader who is no administrator."""
    answer = Reader(case.app_url, case.tokens.api).get(endpoints.INSTRUMENTATION.path)
    if answer.status_code != 200 or "://" in answer.text:
        yield f"{endpoints.INSTRUMENTATION.path} tells a reader {answer.status_code}: {answer.text[:400]}"
