"""The report of a run: report.json, report.html, junit.xml, and the same table in the terminal."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gwz_e2e.hops import Result
from gwz_stack.errors import writing

Verdict = Literal["proved", "failed", "incomplete"]
SCHEMA = 1
_GIT_S = 20
_SHOWN = 400
"""Characters of what a panel showed; report.json has the rest."""
_SIGNS = {True: "[green]holds[/]", False: "[bold red]broken[/]", None: "[yellow]not reached[/]"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may hold, and that a server's last words may."""
_VERDICTS = {"proved": "bold green", "failed": "bold red", "incomplete": "bold yellow"}


@dataclass(frozen=True)
class ServerUsed:
    """A server that ran, its version beside the pinned one, and where it came from."""

    name: str
    version: str
    pinned: str
    source: str


@dataclass(frozen=True)
class NotProved:
    """Something that this run says nothing about, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class BreakResult:
    """A sabotaged run: whether its report said what it must, and the hop that said it first."""

    name: str
    caught: bool
    sentence: str
    hops: tuple[Result, ...]


@dataclass(frozen=True)
class AlertProof:
    """One alert and one fault: what it took until the message came, and until the one that all is well; seconds."""

    uid: str
    fault: str
    for_s: float
    """The rule's `for` as it was tried."""
    pending_after_s: float | None = None
    fired_after_s: float | None = None
    """From the fault to the message."""
    delivered_after_s: float | None = None
    """From the end of its `for` to the message."""
    resolved_after_s: float | None = None
    """From the end of the fault to the message."""
    also: tuple[str, ...] = ()
    """Other alerts that fired, each with the reason why that is right."""
    text: str = ""
    """What a person reads first."""
    problem: str = ""
    """What is wrong with how it fired."""

    @property
    def ok(self) -> bool:
        """Whether it fired as it must, and resolved."""
        return not self.problem and self.resolved_after_s is not None


@dataclass(frozen=True)
class PanelProof:
    """One query of one panel: what the ledger, or its origin, has it show, and what it showed."""

    dashboard: str
    panel: int
    title: str
    ref: str
    kind: str
    expected: str
    got: str
    ok: bool
    before: str = ""
    """What it showed before its origin was moved; empty for what the load decides."""


@dataclass(frozen=True)
class PageProof:
    """One dashboard in a browser: what was looked at, what is wrong with it, and the picture of it in the report's folder."""

    uid: str
    dashboard: str
    width: int
    theme: str
    panels: int
    faults: tuple[str, ...]
    picture: str


@dataclass
class Report:
    """What a run found, collected while it goes on."""

    required: tuple[str, ...] = ()
    commit: str | None = None
    """What was run, as `checked_out` says."""
    servers: list[ServerUsed] = field(default_factory=list)
    hops: list[Result] = field(default_factory=list)
    not_proved: list[NotProved] = field(default_factory=list)
    breaks: list[BreakResult] = field(default_factory=list)
    alerts: list[AlertProof] = field(default_factory=list)
    panels: list[PanelProof] = field(default_factory=list)
    browser: list[PageProof] = field(default_factory=list)
    freshness_s: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    """Settings in which the servers ran otherwise than shipped."""
    fault: str = ""
    """Why the run ended early."""

    @property
    def verdict(self) -> Verdict:
        """`failed` for anything broken, `incomplete` if something required has not been proved."""
        if any(hop.ok is False for hop in self.hops) or not all(result.caught for result in self.breaks):
            return "failed"
        missing = {item.what for item in self.not_proved} & set(self.required)
        if self.fault or missing or not self.hops or not all(hop.ok for hop in self.hops):
            return "incomplete"
        return "proved"

    def as_json(self) -> dict[str, Any]:
        """The report in the form of report.json."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "fault": self.fault or None,
            "commit": self.commit,
            "machine": {"system": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count()},
            "servers": [vars(server) for server in self.servers],
            "proved": [hop.id for hop in self.hops if hop.ok] + [f"break {b.name}" for b in self.breaks if b.caught],
            "not_proved": [vars(item) for item in self.not_proved],
            "hops": _hops(self.hops),
            "breaks": [
                {"name": b.name, "caught": b.caught, "sentence": b.sentence, "hops": _hops(b.hops)} for b in self.breaks
            ],
            "alerts": [{**asdict(alert), "ok": alert.ok} for alert in self.alerts],
            "panels": [asdict(panel) for panel in self.panels],
            "browser": [asdict(page) for page in self.browser],
            "freshness_s": self.freshness_s,
            "figures": self.figures,
            "differences_from_shipped": self.differences,
        }

    def write(self, out: Path) -> None:
        """Write report.json, report.html and junit.xml; StackError when the disk is full."""
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            _replace(out / "report.json", json.dumps(self.as_json(), indent=2) + "\n")
            _replace(out / "junit.xml", _junit(self))
            _replace(out / "report.html", _html(self))

    def print(self, console: Console) -> None:
        """Print the servers, the hops, the breaks and the verdict."""
        if self.commit:
            console.print(f"of commit {self.commit}", highlight=False)
        if self.servers:
            console.print(_table("Servers", ("server", "version", "from"), _server_rows(self.servers)))
        if self.hops:
            rows = [(hop.id, _SIGNS[hop.ok], hop.sentence) for hop in self.hops]
            console.print(_table("Hops", ("hop", "", "what was found"), rows))
        if self.breaks:
            rows = [
                (b.name, "[green]caught[/]" if b.caught else "[bold red]missed[/]", b.sentence) for b in self.breaks
            ]
            console.print(_table("Breaks", ("break", "", "what the report said"), rows))
        if self.alerts:
            console.print(_alert_table(self.alerts))
        for name, value in {**_prefixed("fresh after s", self.freshness_s), **self.figures}.items():
            console.print(f"  {name}: {value}", highlight=False, markup=False)
        if self.differences:
            console.print(
                f"  settings that differ from the shipped ones: {'; '.join(self.differences)}", highlight=False
            )
        for item in self.not_proved:
            console.print(f"  [yellow]not proved[/] {item.what}: {escape(item.why)}", highlight=False)
        if self.fault:
            console.print(f"[bold red]{escape(self.fault)}[/]", highlight=False)
        console.print(f"[{_VERDICTS[self.verdict]}]{self.verdict}[/]")


def checked_out(folder: Path = Path(__file__).parent) -> str | None:
    """The commit that a folder is of, with `-dirty` behind it when files differ from it; None where there is no git to say."""
    command = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _hops(results: Iterable[Result]) -> list[dict[str, Any]]:
    return [{"id": result.id, "ok": result.ok, "sentence": result.sentence} for result in results]


def _server_rows(servers: Iterable[ServerUsed]) -> list[tuple[str, str, str]]:
    return [(s.name, s.version + ("" if s.version == s.pinned else f" (pinned {s.pinned})"), s.source) for s in servers]


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}, {name}": value for name, value in values.items()}


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, str, str]]) -> Table:
    table = Table(*columns, title=title, title_justify="left", expand=True)
    for name, sign, sentence in rows:
        table.add_row(escape(name), sign, escape(sentence))
    return table


def _alert_table(alerts: Iterable[AlertProof]) -> Table:
    numbers = ("pending s", "for s", "fired s", "delivered s", "resolved s")
    table = Table("alert", *numbers, "fault", "what was told", title="Alerts", title_justify="left", expand=True)
    for one in alerts:
        took = (one.pending_after_s, one.for_s, one.fired_after_s, one.delivered_after_s, one.resolved_after_s)
        cells = ("-" if seconds is None else f"{seconds:g}" for seconds in took)
        told = f"[bold red]{escape(one.problem)}[/]" if one.problem else escape(one.text)
        table.add_row(escape(one.uid), *cells, escape(one.fault), told)
    return table


def _panel_table(panels: Iterable[PanelProof]) -> Table:
    columns = ("dashboard", "panel", "query", "", "what is expected", "expected", "got")
    table = Table(*columns, title="Panels", title_justify="left", expand=True)
    for one in panels:
        numbers = (_cut(one.expected), _cut(one.got))
        table.add_row(
            escape(one.dashboard), escape(one.title), one.ref, _SIGNS[one.ok], one.kind, *map(escape, numbers)
        )
    return table


def _page_table(pages: Iterable[PageProof]) -> Table:
    columns = ("dashboard", "width", "theme", "panels", "faults", "picture")
    table = Table(*columns, title="Dashboards in a browser", title_justify="left", expand=True)
    for one in pages:
        faults = "\n".join(one.faults) or "none"
        table.add_row(escape(one.dashboard), str(one.width), one.theme, str(one.panels), escape(faults), one.picture)
    return table


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def _html(report: Report) -> str:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=160, file=nowhere)
        report.print(console)
        if report.panels:
            console.print(_panel_table(report.panels))
        if report.browser:
            console.print(_page_table(report.browser))
        return console.export_html(inline_styles=True)


def _junit(report: Report) -> str:
    cases = [("hops", hop) for hop in report.hops]
    cases += [(f"break.{b.name}", Result("caught", b.caught, b.sentence, 0.0)) for b in report.breaks]
    if report.fault:
        cases.append(("run", Result("ended early", ok=False, sentence=report.fault, decided_at=0.0)))
    suite = ET.Element(
        "testsuite",
        name="e2e",
        tests=str(len(cases) + len(report.not_proved)),
        failures=str(sum(result.ok is False for _, result in cases)),
        skipped=str(sum(result.ok is None for _, result in cases) + len(report.not_proved)),
    )
    for group, result in cases:
        case = ET.SubElement(suite, "testcase", classname=group, name=result.id)
        if result.ok is not True:
            ET.SubElement(case, "skipped" if result.ok is None else "failure", message=result.sentence)
    for item in report.not_proved:
        ET.SubElement(
            ET.SubElement(suite, "testcase", classname="not proved", name=item.what), "skipped", message=item.why
        )
    return _NOT_XML.sub("\ufffd", ET.tostring(suite, encoding="unicode", xml_declaration=True)) + "\n"
