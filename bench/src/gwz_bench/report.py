"""The report of a run: report.json, and the same table in the terminal."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gwz_bench.figures import Figure, Reach

SCHEMA = 1
HEADINGS = ("variant", "median", "IQR", "CPU µs", "ratio", "reach", "holds", "what was seen")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table. Times are microseconds; anything else is a `value` with its `unit`."""

    quantity: str
    variant: str
    median_us: float | None = None
    iqr: float | None = None
    cpu_us: float | None = None
    """CPU time of all threads of the process, per request."""
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    reach: str | None = None
    holds: bool | None = None
    far: bool = False
    """Whether the reach is missed by more than noise can explain."""
    exact: bool | None = None
    """Whether everything that was caused has been counted; None where nothing is to be counted."""
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether this row makes the run fail: a wrong count, or a reach that is far away."""
        return self.far or self.exact is False


def timed(quantity: str, variant: str, figure: Figure, **more: Any) -> Row:
    """The row of a figure in microseconds."""
    return Row(quantity=quantity, variant=variant, median_us=figure.median, iqr=figure.iqr, **more)


def compared(
    quantity: str,
    variant: str,
    figure: Figure,
    peer: Figure,
    reach: Reach | None = None,
    **more: Any,
) -> Row:
    """The row of a figure beside that of a peer, held against a reach of their ratio."""
    ratio = figure.median / peer.median
    judged = {} if reach is None else {"reach": str(reach), "holds": reach.holds(ratio), "far": reach.far(ratio)}
    return timed(quantity, variant, figure, ratio=ratio, **judged, **more)


@dataclass
class Report:
    """What a run found, collected while it goes on."""

    command: str
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    """Names of the rows' functions that have run, as `--only` takes them."""
    rows: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> list[Row]:
        """The rows for which the run must not be green."""
        return [row for row in self.rows if row.failed]

    def as_json(self) -> dict[str, Any]:
        """The report in the form of report.json."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "machine": self.machine,
            "versions": self.versions,
            "ran": self.ran,
            "rows": [asdict(row) for row in self.rows],
        }

    def write(self, folder: Path) -> Path:
        """Write report.json, whole or not at all, and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path, draft = folder / "report.json", folder / "report.draft"
        draft.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> "Report":
        """The report that `write` has written."""
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("schema") != SCHEMA:
            raise ValueError(f"{path} is of another version: run `nox -s bench` again")
        return cls(**{**found, "rows": [Row(**row) for row in found["rows"]]})


def cells(row: Row) -> tuple[str, ...]:
    """A row under `HEADINGS`."""
    return (
        row.variant,
        _value(row),
        "" if row.iqr is None else _number(row.iqr),
        "" if row.cpu_us is None else _number(row.cpu_us),
        "" if row.ratio is None else _number(row.ratio),
        row.reach or "",
        {True: "yes", False: "no", None: ""}[row.holds],
        row.note if row.exact is not False else f"WRONG: {row.note}",
    )


def quantities(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows by quantity, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.quantity, []).append(row)
    return found


def table(rows: Sequence[Row]) -> str:
    """The rows as text, a block per quantity."""
    grouped = {quantity: [cells(row) for row in group] for quantity, group in quantities(rows).items()}
    widths = [max(map(len, column)) for column in zip(HEADINGS, *(c for g in grouped.values() for c in g), strict=True)]

    def line(texts: Sequence[str]) -> str:
        numbers = [
            t.rjust(w) if 1 <= i <= 4 else t.ljust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True))
        ]
        return "  ".join(numbers).rstrip()

    blocks = [line(HEADINGS)]
    for quantity, group in grouped.items():
        blocks += ["", quantity, *map(line, group)]
    return "\n".join(blocks)


def _value(row: Row) -> str:
    texts = [] if row.median_us is None else [f"{_number(row.median_us)} µs"]
    texts += [] if row.value is None else [f"{_number(row.value)} {row.unit}".rstrip()]
    return " = ".join(texts)


def _number(value: float) -> str:
    """Three digits are more than a clock knows."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
