"""A blackout: Loki, then Tempo, is stopped, and the application's own status endpoints name the hop that fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gwz_e2e.case import Case
from gwz_e2e.checks import far_ends
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding, Result
from gwz_stack import NativeStack

HOP = "blackout"


def blackout(stack: NativeStack, case: Case) -> Result:
    """Stop each server and start it again; in the supervisor's thread."""
    phrases = []
    for server in ("loki", "tempo"):
        with _without(stack, server):
            try:
                phrases += far_ends.lost(case, server)
            except Exception as error:  # noqa: BLE001  # an application that answers nonsense breaks the hop, not the run
                phrases.append(f"without {server} the check itself failed: {type(error).__name__}: {error}")
    finding = Finding(
        not phrases,
        shorten(phrases)
        or "without Loki its status answers 503 and names the push, without Tempo its status names the export, each as "
        "refused, while the other is ok",
    )
    return Result(HOP, finding.ok, finding.sentence, time.time())


@contextmanager
def _without(stack: NativeStack, server: str) -> Iterator[None]:
    stack.stop_server(server)
    try:
        yield
    finally:
        stack.restart(server)
