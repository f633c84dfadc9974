"""`nox -s limits`: every proof on real servers, the report, exit code 0 only if all hold."""

import argparse
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from gwz_e2e.hops import Result
from gwz_e2e.limits import (
    burst,
    bytes_per_request,
    idle,
    lanes,
    loki_retention,
    page,
    prometheus_retention,
    tempo_retention,
    throughput,
    wide_searches,
)
from gwz_e2e.limits.alone import Alone, differences
from gwz_e2e.limits.ground import Ground
from gwz_e2e.limits.lanes import Patience, Proof
from gwz_e2e.limits.report import Report
from gwz_e2e.options import Options
from gwz_e2e.report import ServerUsed
from gwz_e2e.stage import Cast, Tell, drop_data, output_folder, set_stage
from gwz_stack import SERVERS, Found, ServerUnavailable, StackError, Supervisor, VersionRefused, find

_ALONE = (idle.ID, loki_retention.ID, tempo_retention.ID, prometheus_retention.ID, wide_searches.ID)
_ON_THE_STACK = (bytes_per_request.ID, throughput.ID, burst.ID)


def main(argv: Sequence[str]) -> int:
    """Prove and report; 130 after Ctrl-C. `page` keeps the last report and writes its figures into the page instead."""
    if argv and argv[0] == "page":
        return page.main(argv[1:])
    parser = argparse.ArgumentParser(prog="nox -s limits --", description="Prove retention and limits on real servers.")
    parser.add_argument("--out", type=Path, default=Path("build/limits"), metavar="DIR", help="default %(default)s")
    out = parser.parse_args(argv).out
    console = Console(stderr=True)
    try:
        with output_folder(out, _ALONE):
            code = _run(out, console)
    except StackError as error:  # the folder is not ours, or the disk too full for a report
        console.print(str(error), style="bold red", highlight=False, markup=False)
        return 1
    return code


def _run(out: Path, console: Console) -> int:
    """Run, and write the report whatever happened."""
    report, code, began = Report(wanted=len(_ALONE) + len(_ON_THE_STACK)), 1, time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[{time.monotonic() - began:6.1f} s] {line}", highlight=False, markup=False)

    try:
        _prove(report, out, tell)
    except StackError as error:
        report.fault = str(error)
    except (KeyboardInterrupt, SystemExit):
        report.fault, code = "Interrupted; everything that ran has been stopped.", 130
    except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the report
        log = out / "logs" / "run.log"
        with suppress(OSError):
            log.write_text(traceback.format_exc(), encoding="utf-8")
        report.fault = f"The run itself failed ({type(error).__name__}: {error}): a fault of this project, see {log}."
    for folder in (out, *(out / name for name in _ALONE)):
        drop_data(folder)
    report.seconds = round(time.monotonic() - began, 1)
    report.write(out)
    report.print(Console())
    return 0 if report.ok else code


def _prove(report: Report, out: Path, tell: Tell) -> None:
    found = {server: find(server, progress=tell) for server in (*SERVERS, "promtool") if server != "grafana"}
    grafana = _grafana(tell)
    report.versions = [
        ServerUsed(one.server, one.version, one.pinned, one.source) for one in (found | grafana).values()
    ]
    report.differences = [
        *differences(loki_retention.ID, "loki", loki_retention.OVERRIDES),
        *differences(tempo_retention.ID, "tempo", tempo_retention.OVERRIDES),
        *differences(f"{tempo_retention.ID}, second half", "tempo", tempo_retention.SHORT),
    ]

    def note(result: Result) -> None:
        report.proofs.append(result)  # what is decided counts even if the run ends early
        tell(f"{result.id}: {'holds' if result.ok else 'BROKEN'} - {result.sentence}")

    stop = threading.Event()
    with ExitStack() as servers:
        ground = _ground(out, found, servers, stop, tell)

        def alone(server: str, proof: str) -> Alone:
            supervisor = servers.enter_context(Supervisor())
            return Alone(server, out / proof, found, supervisor, Patience(supervisor, stop))

        report.proofs = lanes.run(
            [
                [Proof(idle.ID, partial(idle.prove, out / idle.ID, found | grafana, stop))],
                [Proof(loki_retention.ID, partial(loki_retention.prove, alone("loki", loki_retention.ID)))],
                [Proof(tempo_retention.ID, partial(tempo_retention.prove, alone("tempo", tempo_retention.ID)))],
                [
                    Proof(
                        prometheus_retention.ID,
                        partial(
                            prometheus_retention.prove,
                            alone("prometheus", prometheus_retention.ID),
                            found["promtool"].path,
                        ),
                    )
                ],
                [Proof(wide_searches.ID, partial(wide_searches.prove, alone("loki", wide_searches.ID)))],
                [
                    Proof(bytes_per_request.ID, partial(bytes_per_request.prove, ground)),
                    Proof(throughput.ID, partial(throughput.prove, ground)),
                    Proof(burst.ID, partial(burst.prove, ground)),
                ],
            ],
            stop,
            note,
        )


def _grafana(tell: Tell) -> dict[str, Found]:
    """Only the idle stack has it; whether it is there changes nothing of what the other servers keep and take."""
    try:
        return {"grafana": find("grafana", progress=tell)}
    except (ServerUnavailable, VersionRefused) as error:
        tell(f"the idle stack is without Grafana: {error.what}")
        return {}


def _ground(out: Path, found: dict[str, Found], servers: ExitStack, stop: threading.Event, tell: Tell) -> Ground:
    """The stack as it is shipped, without Grafana: nothing here is looked at by a person."""
    stage = servers.enter_context(set_stage(Options(out=out), Cast(found), tell, e2e=False))
    return Ground(stage, Patience(stage.supervisor, stop), tell)
