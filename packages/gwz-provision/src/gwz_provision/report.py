"""What the doctor found: the checks in the order of the hops, and the answer to each query."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from gwz_provision.bundle import Json
from gwz_provision.errors import EXIT_FINDINGS, EXIT_OK, NotAllowed, ProvisionError, Unreachable
from gwz_provision.frames import Value


@dataclass(frozen=True)
class Check:
    """One hop or one query, and what to do when it is not well."""

    id: str
    ok: bool
    cause: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Answer:
    """What one query returned; `error` stays empty when it succeeded, even with no data."""

    dashboard: str
    panel: int
    ref: str
    datasource: str
    frames: int
    points: int
    values: tuple[Value, ...]
    error: str


@dataclass
class Report:
    """Grows while the doctor works."""

    version: str = ""
    checks: list[Check] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Record the block as a check: one of our errors in it becomes a finding, and the doctor goes on."""
        try:
            yield
        except ProvisionError as error:
            self.checks.append(Check(name, ok=False, cause=error.cause, cure=error.cure))
        else:
            self.checks.append(Check(name, ok=True))

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
            case "login":
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
        }
