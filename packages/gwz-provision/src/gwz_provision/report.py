"""What the doctor found: the hops in their order, what waits behind a broken one, and the answer to each query."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

from gwz_provision.bundle import Json
from gwz_provision.errors import EXIT_FINDINGS, EXIT_OK, NotAllowed, Unreachable
from gwz_provision.frames import Value

State = Literal["ok", "empty", "error", "waiting"]
HOPS = (
    "grafana",
    "login",
    "permission",
    "datasource",
    "plugin",
    "host",
    "tenant",
    "token",
    "health",
    "dashboards",
    "target",
    "rule",
    "metric",
    "stream",
    "trace",
    "label",
    "value",
    "range",
    "samples",
    "endpoint",
    "column",
    "rows",
    "variable",
    "query",
    "alert-rules",
    "alert-rule",
    "receiver",
    "retention",
    "deadline",
)
"""The hops between the reader and the data, in the order in which they can break."""


@dataclass(frozen=True)
class Hop:
    """A broken hop: its kind, what it is about, why it is broken, and what mends it."""

    kind: str
    subject: str
    cause: str
    cure: str

    @property
    def id(self) -> str:
        """The name of its check."""
        return f"{self.kind}:{self.subject}" if self.subject else self.kind


@dataclass(frozen=True)
class Check:
    """One hop or one query, and what to do when it is not well; one that is well may have something to say too."""

    id: str
    ok: bool
    cause: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Answer:
    """What one query returned; `hop` is the check that says why it has no data, `error` why it failed or was not asked."""

    dashboard: str
    panel: int
    ref: str
    datasource: str
    frames: int
    points: int
    values: tuple[Value, ...]
    error: str
    state: State = "ok"
    hop: str = ""


@dataclass
class Report:
    """Grows while the doctor works."""

    version: str = ""
    passed: list[Check] = field(default_factory=list)
    broken: dict[str, Hop] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)
    """The queries and variables without an answer, by the hop that they wait for."""
    answers: list[Answer] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0

    def well(self, *ids: str) -> None:
        """Record checks that found nothing wrong."""
        self.passed += [Check(one, ok=True) for one in ids]

    def note(self, id_: str, words: str) -> None:
        """Record a check that found nothing wrong, and something to say."""
        self.passed.append(Check(id_, ok=True, cause=words))

    def fail(self, hop: Hop, *waiting: str) -> None:
        """Record a broken hop, once however many wait for it."""
        self.broken.setdefault(hop.id, hop)
        self.waits.setdefault(hop.id, []).extend(waiting)

    @property
    def checks(self) -> list[Check]:
        """All checks, in the order of the hops."""
        broken = [Check(hop.id, ok=False, cause=self._cause(hop), cure=hop.cure) for hop in self.broken.values()]
        passed = [check for check in self.passed if check.id not in self.broken]
        return sorted([*passed, *broken], key=lambda check: HOPS.index(check.id.partition(":")[0]))

    @property
    def first_broken_hop(self) -> str | None:
        """The id of the first check that failed."""
        return next((check.id for check in self.checks if not check.ok), None)

    @property
    def exit_code(self) -> int:
        """Tell an unreachable Grafana and a refused login from findings."""
        match self.first_broken_hop:
            case None:
                return EXIT_OK
            case "grafana":
                return Unreachable.exit_code
            case "login" | "permission":
                return NotAllowed.exit_code
            case _:
                return EXIT_FINDINGS

    def document(self) -> Json:
        """Return the report as the JSON document that is printed."""
        return {
            "schema": 1,
            "grafana": {"version": self.version},
            "first_broken_hop": self.first_broken_hop,
            "checks": [asdict(check) for check in self.checks],
            "queries": [asdict(answer) for answer in self.answers],
            "requests": self.requests,
            "seconds": round(self.seconds, 2),
        }

    def lines(self) -> list[str]:
        """Write the report for people: one line for each broken check, what else there is to say, and a summary."""
        broken = [f"BROKEN  {check.id}: {check.cause} {check.cure}" for check in self.checks if not check.ok]
        told = [check for check in self.passed if check.cause and not check.id.startswith("query:")]
        return [*broken, *(f"note    {check.id}: {check.cause}" for check in told), self._summary()]

    def _cause(self, hop: Hop) -> str:
        words = " ".join(hop.cause.split())
        waiting = self.waits.get(hop.id, [])
        return f"{words} {_counted(waiting)} wait{'s' if len(waiting) == 1 else ''} for this." if waiting else words

    def _summary(self) -> str:
        states = [answer.state for answer in self.answers]
        legitimate = sum(answer.state == "ok" and not answer.points for answer in self.answers)
        counted = [
            f"{states.count('ok') - legitimate} of {len(states)} queries answered with data",
            *([f"{legitimate} empty, which is an answer"] if legitimate else []),
            *(f"{states.count(state)} {state}" for state in ("empty", "error", "waiting") if state in states),
        ]
        verdict = f"the first broken hop is {self.first_broken_hop}" if self.broken else "every hop is whole"
        spent = f"{self.requests} {'request' if self.requests == 1 else 'requests'} in {self.seconds:.1f} s"
        return f"Grafana {self.version or 'unknown'}: {', '.join(counted)}; {verdict}. {spent}."


def _counted(waiting: Iterable[str]) -> str:
    kinds = [name.partition(":")[0] for name in waiting]
    words = {"query": ("query", "queries"), "variable": ("variable", "variables"), "alert-rule": ("rule", "rules")}
    parts = [
        f"{kinds.count(kind)} {one if kinds.count(kind) == 1 else many}"
        for kind, (one, many) in words.items()
        if kind in kinds
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
