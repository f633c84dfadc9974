"""The application and the load: it answers, it exposes what is declared, and the ledger is complete."""

import subprocess
import sysconfig
from collections import Counter
from pathlib import Path

import httpx

from gwz_e2e.case import Case
from gwz_e2e.checks.contract import metric_faults
from gwz_e2e.compare import differences, shorten
from gwz_e2e.hops import Finding
from gwz_e2e.scene import neutral_environment
from gwz_instrument import semconv

_COMMAND_S = 60
_SAID = 800


def answers(case: Case) -> Finding:
    """The application answers, and /metrics does so with 200 and no redirect, to who shows the token only."""
    token = {"Authorization": f"Bearer {case.metrics_token}"}
    try:
        health = _status(f"{case.app_url}/health")
        metrics, secret = _status(f"{case.app_url}/metrics", token), _status(f"{case.app_url}/metrics")
    except httpx.HTTPError as error:
        return Finding(ok=False, sentence=f"the application at {case.app_url} does not answer: {error}")
    return Finding(
        (health, metrics, secret) == (200, 200, 401),
        f"/health answers {health}, /metrics answers {metrics} with its token and {secret} without",
    )


def _status(url: str, headers: dict[str, str] | None = None) -> int:
    return httpx.get(url, headers=headers, timeout=5, trust_env=False, follow_redirects=False).status_code


def exposes(case: Case) -> Finding:
    """/metrics has a sample of every declared metric, as it is declared, and no other of our names."""
    faults = metric_faults(case)
    return Finding(not faults, shorten(faults) or f"/metrics has the {len(semconv.METRICS)} declared metrics, no other")


def checked_by_command(case: Case) -> Finding:
    """`gwz-instrument check --full`, as a user runs it, finds nothing to say."""
    return _command(case, "check", "--full", "--json", f"{case.app_url}/metrics")


def endpoints_by_command(case: Case, readers: str) -> Finding:
    """`gwz-instrument endpoints`, as a user runs it, finds nothing to say: of the application, of who answers for it."""
    own = _command(case, "endpoints", "--json", "--instrumentation", case.app_url)
    theirs = _command(case, "endpoints", "--json", readers)
    return Finding(own.ok and theirs.ok, f"{own.sentence}; {theirs.sentence}")


def _command(case: Case, *arguments: str) -> Finding:
    """Run `gwz-instrument` with the tokens in its environment; whatever it says when it does not exit with 0."""
    tokens = {
        "GWZ_METRICS_TOKEN": case.metrics_token,
        "GWZ_API_TOKEN": case.tokens.api,
        "GWZ_ADMIN_TOKEN": case.tokens.admin,
    }
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "gwz-instrument"), *arguments],
        env={**neutral_environment(), **tokens},
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    said = (done.stdout if done.returncode else "").strip() or done.stderr.strip()
    name = " ".join(arguments[:-1])
    return Finding(
        done.returncode == 0, f"gwz-instrument {name} exits with {done.returncode}{said and f': {said[:_SAID]}'}"
    )


def load_as_planned(case: Case) -> Finding:
    """Every client saw what was planned for it."""
    mismatches = case.summary["mismatches"]
    return Finding(
        not mismatches,
        shorten([str(mismatch) for mismatch in mismatches])
        or f"{case.summary['requests']} requests ended as they were planned",
    )


def ledger_complete(case: Case) -> Finding:
    """The ledger has a line of its own for each request that was counted on the wire."""
    repeated = [key for key, number in Counter(entry.id for entry in case.ledger).items() if number > 1]
    by_method = Counter[str]()
    for key, number in case.summary["wire"].items():
        by_method[key.split()[0]] += number
    phrases = differences(by_method, Counter(entry.method for entry in case.ledger))
    phrases += [f"id {key} stands twice" for key in repeated]
    return Finding(
        not phrases,
        f"the ledger disagrees with the wire: {shorten(phrases)}"
        if phrases
        else f"{len(case.ledger)} lines in the ledger, as many requests on the wire",
    )
