"""`nox -s e2e`: stack up, application up, load, checks, report, stack down."""

import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from rich.console import Console

from gwz_e2e import grafana
from gwz_e2e import options as arguments
from gwz_e2e.alerting.run import HOPS as ALERT_HOPS
from gwz_e2e.alerting.run import prove
from gwz_e2e.blackout import HOP as BLACKOUT
from gwz_e2e.blackout import blackout
from gwz_e2e.breaks import BREAKS
from gwz_e2e.browser.proof import Gallery
from gwz_e2e.browser.run import HOPS as BROWSER_HOPS
from gwz_e2e.browser.run import leads, why_blind
from gwz_e2e.browser.site import Site
from gwz_e2e.chain import SIGNALS, again_hops, case_hops, reader_hops, sampler_hop, server_hops
from gwz_e2e.hops import Finding, Hop, Result, descendants, first_broken, walk
from gwz_e2e.options import BREAK_REQUESTS, Options
from gwz_e2e.outage import Outage
from gwz_e2e.panels.answers import Asker
from gwz_e2e.panels.boards import JOB
from gwz_e2e.panels.directly import Directly
from gwz_e2e.panels.facts import TooLong, load_window
from gwz_e2e.panels.origins import Origins
from gwz_e2e.panels.proof import HOPS as PANEL_HOPS
from gwz_e2e.panels.proof import PANELS, Proof
from gwz_e2e.panels.proof import hops as panel_hops
from gwz_e2e.panels.through_grafana import ThroughGrafana
from gwz_e2e.readers import Readers
from gwz_e2e.report import BreakResult, NotProved, Report, ServerUsed, checked_out
from gwz_e2e.scene import LoadFailed, Scene, run_loads, wait_scraped
from gwz_e2e.stage import Cast, Stage, drop_data, find_all, output_folder, set_stage
from gwz_stack import NativeStack, ServerDied, StackError, differences

SERVICE = "gateway"
_SAMPLED_SHARE = 0.25
_SAMPLED_REQUESTS = 100
_AGAIN_REQUESTS = 100
_SABOTAGED_S = 45.0
"""Patience with what a sabotage may have broken for good."""
_WAVE = 5
"""Sabotaged applications that run at once: more would make each other slow on two cores."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run and report; 0 only if everything required was proved, 130 after Ctrl-C."""
    options = arguments.parse([] if argv is None else argv, program="nox -s e2e --", out="build/e2e")
    console = Console(stderr=True)
    run = Run(options, console)
    try:
        with output_folder(options.out, tuple(BREAKS)):
            code = _run(run, options, console)
    except StackError as error:  # the folder is not ours, or the disk too full for a report
        console.print(str(error), style="bold red", highlight=False, markup=False)
        return 1
    console.print(f"report: {options.out}/report.html", highlight=False, markup=False)
    return code


def _run(run: "Run", options: Options, console: Console) -> int:
    """Run, and write the report whatever happened."""
    code = 1
    try:
        run.all()
    except StackError as error:
        run.ended_by(error)
    except (KeyboardInterrupt, SystemExit):
        run.report.fault = "Interrupted; everything that ran has been stopped."
        code = 130
    except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the report
        log = options.out / "logs" / "run.log"
        with suppress(OSError):
            log.write_text(traceback.format_exc(), encoding="utf-8")
        run.report.fault = (
            f"The run itself failed ({type(error).__name__}: {error}): a fault of this project, see {log}."
        )
    drop_data(options.out)
    run.report.write(options.out)
    run.report.print(Console() if code == 1 else console)
    return 0 if run.report.verdict == "proved" else code


class Run:
    """One run and its report."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.report = Report(required=options.require, commit=checked_out())
        self._console = console
        self._start = time.monotonic()
        self._chain: list[Hop] = []

    def all(self) -> None:
        """Do everything that the options ask for."""
        options = self.options
        cast = find_all(self._tell) if options.mode == "native" else Cast()
        self._note_servers(cast)
        self.report.differences = differences()
        with set_stage(options, cast, self._tell, e2e=True) as stage:
            if options.only:
                self._alone(stage)
            elif not options.sabotage or options.every_break:
                self._sound(stage)
            for wave in _waves(options.sabotage):
                self._sabotaged(stage, wave)
            if isinstance(stage.stack, NativeStack):
                self._note_memory(stage.stack)
        self.report.figures["run_s"] = round(time.monotonic() - self._start, 1)

    def ended_by(self, error: StackError) -> None:
        """Note why the run ended early; a process that died is a broken hop, and what needs it is not reached."""
        self.report.fault = str(error)
        broken = _hop_of(error)
        if broken is None:
            return
        decided = {result.id: result for result in self.report.hops if result.id != broken}
        behind = descendants(self._chain, broken)
        self.report.hops = [
            Result(broken, ok=False, sentence=str(error), decided_at=time.time()),
            *(
                decided.get(hop.id)
                or Result(
                    hop.id, None, f"not reached: {broken} does not hold" if hop.id in behind else "not reached", 0.0
                )
                for hop in self._chain
                if hop.id != broken
            ),
        ]

    def _sound(self, stage: Stage) -> None:
        """The application as it is: every hop must hold."""
        ports = stage.ports("main", "sampled", "readers", "alone", "nowhere")
        main = Scene(stage.place, SERVICE, ports["main"], job=JOB)
        sampled = Scene(
            stage.place, f"{SERVICE}-sampled", ports["sampled"], name="sampled", sampled_share=_SAMPLED_SHARE
        )
        outage = Outage(stage)
        readers = Readers(stage.place, main.case, ports["readers"])
        nowhere = {"GWZ_PROMETHEUS_URL": f"http://127.0.0.1:{ports['nowhere']}"}
        alone = Readers(stage.place, main.case, ports["alone"], name="reader-alone", workers=1, settings=nowhere)
        first = [
            *server_hops(stage.place.engines),
            *case_hops(main.case),
            outage.hop,
            sampler_hop(sampled.case),
            *reader_hops(main.case, readers, alone, ports["nowhere"]),
            *self._grafana_hops(stage, main),
        ]
        again = main.case.again("again")
        second = again_hops(main.case, again, readers)
        shown = [Hop(name, _later) for name in (*PANEL_HOPS, *(BROWSER_HOPS if stage.place.urls.grafana else ()))]
        self._chain = [
            *first,
            *shown,
            *second,
            *([Hop(name, _later) for name in (BLACKOUT, *ALERT_HOPS)] if isinstance(stage.stack, NativeStack) else []),
        ]
        stage.supervisor.wait_ready(
            {**outage.providers.launch(), **outage.reader.launch(), **readers.launch(), **alone.launch()}
        )
        self._up(stage, [main, sampled, outage.scene])
        options = self.options
        began = time.monotonic()
        run_loads(
            [
                (main, self._load(main, options.seed, options.requests)),
                (sampled, self._load(sampled, options.seed + 1, _SAMPLED_REQUESTS)),
            ],
            watch=stage.watch,
            tell=self._tell,
        )
        self.report.figures["load_s"] = round(time.monotonic() - began, 1)
        self.report.figures["requests"] = len(main.case.ledger)
        self._walk(first, outage)
        self._note_freshness(main)
        stage.supervisor.stop(alone.name, *outage.processes)
        self._panels(stage, main, outage)
        command = main.load_command(seed=options.seed + 2, requests=_AGAIN_REQUESTS, speed=options.speed, case=again)
        run_loads([(main, command)], watch=stage.watch, tell=self._tell)
        self._walk(second, outage)
        readers.stop()
        if isinstance(stage.stack, NativeStack):
            self._tell_result(blackout(stage.stack, main.case))
        else:
            self.report.not_proved.append(NotProved(BLACKOUT, "a container is not stopped during a run"))
        self._note_figures()
        for scene in (main, sampled):
            scene.stop()
        self._alerts(stage)

    def _alone(self, stage: Stage) -> None:
        """The alerts' trial by itself."""
        self.report.not_proved.append(NotProved("everything else", f"--only {self.options.only} was asked for"))
        self._chain = [Hop(name, _later) for name in ALERT_HOPS]
        self._alerts(stage)

    def _alerts(self, stage: Stage) -> None:
        """Give every alert its fault, after all else: servers die of it."""
        if not isinstance(stage.stack, NativeStack):
            self.report.not_proved.append(NotProved("alerts", "a container is not stopped during a run"))
            return
        if self._is_broken_before(ALERT_HOPS):
            return
        proved = prove(stage, stage.stack, self._tell)
        self.report.alerts = proved.alerts
        self.report.not_proved += proved.not_proved
        for result in proved.hops:
            self._tell_result(result)
        self._note_figures()

    def _panels(self, stage: Stage, main: Scene, outage: Outage) -> None:
        """Hold every panel against the ledger, once all signals that it is made of hold."""
        try:
            load_window(main.case)
        except TooLong as long:
            self.report.not_proved.append(NotProved(PANELS, str(long)))
            return
        if self._is_broken_before(PANEL_HOPS):
            return
        origins = Origins(main.case, stage.supervisor[main.process].pid)
        proof = Proof(main.case, self._asker(stage, main), origins)
        self._walk(panel_hops(proof), outage)
        self.report.panels = [seen.reported() for seen in proof.seen]
        self._looks(stage, proof, outage)

    def _looks(self, stage: Stage, proof: Proof, outage: Outage) -> None:
        """Follow what leads on from the dashboards, and look at them in a browser."""
        url, absent = stage.place.urls.grafana, grafana.absent(stage.place.urls)
        if not url or absent:
            self.report.not_proved += [NotProved(name, absent) for name in ("links", "browser")]
            return
        if self._is_broken_before(BROWSER_HOPS):
            return
        site = Site(url, stage.stack.grafana_password, proof.facts, tuple(proof.seen))
        self._walk(leads(site), outage)
        if blind := why_blind(url):
            self.report.not_proved.append(NotProved("browser", blind))
            return
        gallery = Gallery(site, self.options.out, outage.watch, self._tell)
        self.report.browser = gallery.pages
        for result in gallery.results():
            self._tell_result(result)

    def _is_broken_before(self, names: Sequence[str]) -> bool:
        """Whether a hop does not hold; these are then not reached."""
        broken = first_broken(self.report.hops)
        if broken is not None:
            why = f"not reached: {broken.id} does not hold"
            self.report.hops += [Result(name, None, why, time.time()) for name in names]
        return broken is not None

    def _asker(self, stage: Stage, main: Scene) -> Asker:
        urls = stage.place.urls
        absent = grafana.absent(urls)
        if urls.grafana and not absent:
            return ThroughGrafana(urls.grafana, stage.stack.grafana_password)
        self.report.not_proved.append(NotProved("panels through Grafana", f"{absent}: asked {Directly.way}"))
        return Directly(urls, main.case.app_url, main.case.tokens.api)

    def _walk(self, hops: Sequence[Hop], outage: Outage) -> None:
        before = list(self.report.hops)
        found = walk(hops, watch=outage.watch, tell=self._tell_result, stop=outage.given_up)
        self.report.hops = before + found

    def _sabotaged(self, stage: Stage, names: Sequence[str]) -> None:
        """Applications, or servers, with one fault each: the report must name the hop."""
        numbers = {name: list(BREAKS).index(name) for name in names}
        ports = stage.ports(*names)
        scenes = [
            Scene(stage.place, f"{SERVICE}-{name}", ports[name], name=name, sabotage=BREAKS[name]) for name in names
        ]
        self._tell(f"breaking {', '.join(names)}")
        _break_servers(stage, scenes)
        self._up(stage, scenes)
        run_loads(
            [(s, self._load(s, self.options.seed + 100 + numbers[s.name], BREAK_REQUESTS)) for s in scenes if s.plays],
            watch=stage.watch,
            tell=self._tell,
        )
        chains = {
            scene.name: [*server_hops(stage.place.engines), *case_hops(scene.case, derived_s=_SABOTAGED_S)]
            for scene in scenes
        }
        together = [_prefixed(hop, name) for name, chain in chains.items() for hop in chain]
        results = walk(together, watch=stage.watch)
        for name, chain in chains.items():
            own = [_unprefixed(result, name) for result in results if result.id.startswith(f"{name}/")]
            self._judge(name, chain, own)
        for scene in scenes:
            scene.stop()
        _mend_servers(stage, scenes)

    def _judge(self, name: str, chain: Sequence[Hop], results: list[Result]) -> None:
        if not self.options.every_break:
            self.report.hops = results
            if first_broken(results) is None:
                self.report.fault = f"The sabotage {name} was not noticed: no hop is broken."
            return
        self.report.breaks.append(judge(name, chain, results))
        self._tell(f"{name}: {self.report.breaks[-1].sentence}")

    def _up(self, stage: Stage, scenes: Sequence[Scene]) -> None:
        """Start the applications and let Prometheus find them."""
        stage.stack.set_targets([scene.target for scene in scenes])
        probes = {name: probe for scene in scenes for name, probe in scene.launch().items()}
        stage.supervisor.wait_ready(probes)
        wait_scraped(scenes, stage.place.engines, stage.watch)
        self._tell(f"{len(probes)} applications ready")

    def _load(self, scene: Scene, seed: int, requests: int) -> list[str]:
        # A CSV is for the main load; the others need arrivals that fit into their few seconds.
        csv = self.options.csv if scene.case.service == SERVICE else None
        return scene.load_command(seed=seed, requests=requests, speed=self.options.speed, csv=csv)

    def _grafana_hops(self, stage: Stage, main: Scene) -> list[Hop]:
        urls, command = stage.place.urls, grafana.command()
        if not urls.grafana:
            return []
        if command is None:
            self.report.not_proved.append(NotProved("grafana", grafana.absent(urls)))
            return []
        return grafana.hops(grafana.provision_for(command, urls, stage.stack.grafana_password, main.case), main.case)

    def _note_servers(self, cast: Cast) -> None:
        self.report.servers = [
            ServerUsed(found.server, found.version, found.pinned, found.source) for found in cast.servers.values()
        ]
        self.report.not_proved = [NotProved(server, str(error)) for server, error in cast.missing.items()]
        if self.options.mode == "native":
            self.report.not_proved.append(
                NotProved("compose", "this run used native processes, no container was started")
            )

    def _note_freshness(self, main: Scene) -> None:
        ended = main.case.summary["ended_at"]
        by_id = {result.id: result for result in self.report.hops}
        self.report.freshness_s = {
            signal: round(by_id[hop].decided_at - ended, 2) for signal, hop in SIGNALS.items() if by_id[hop].ok
        }

    def _note_figures(self) -> None:
        for result in self.report.hops:
            self.report.figures.update(result.figures)

    def _note_memory(self, stack: NativeStack) -> None:
        resident = {server: number // 2**20 for server, number in stack.resident_bytes().items()}
        self.report.figures["ready_s"] = {server: round(seconds, 2) for server, seconds in stack.ready_s.items()}
        self.report.figures["resident_mib"] = resident
        self.report.figures["resident_mib_together"] = sum(resident.values())

    def _tell(self, line: str) -> None:
        self._console.print(f"[{time.monotonic() - self._start:6.1f} s] {line}", highlight=False, markup=False)

    def _tell_result(self, result: Result) -> None:
        self.report.hops.append(result)  # what is decided counts even if the run ends early
        self._tell(
            f"{result.id}: {({True: 'holds', False: 'BROKEN', None: 'not reached'})[result.ok]} - {result.sentence}"
        )


def _later() -> Finding:
    """For a hop that is no part of a walk."""
    raise NotImplementedError


def _hop_of(error: StackError) -> str | None:
    """The hop that a dead process breaks; None for a fault of another kind."""
    if isinstance(error, LoadFailed):
        return "load"
    if not isinstance(error, ServerDied):
        return None
    return "app" if error.server.startswith("app ") else error.server


def judge(name: str, chain: Sequence[Hop], results: Sequence[Result]) -> BreakResult:
    """Whether a sabotaged run's report is right: its hop broken, what needs it not reached, everything else true."""
    broken_ones = {BREAKS[name].hop, *BREAKS[name].also}
    behind = set().union(*(descendants(chain, hop) for hop in broken_ones))
    wanted = {
        result.id: False if result.id in broken_ones else None if result.id in behind else True for result in results
    }
    wrong = [f"{r.id} is {r.ok} instead of {wanted[r.id]}: {r.sentence}" for r in results if r.ok is not wanted[r.id]]
    broken = first_broken(results)
    said = f"{broken.id}: {broken.sentence}" if broken else "no hop is broken"
    return BreakResult(name, not wrong, "; ".join(wrong) or said, tuple(results))


def _waves(names: Sequence[str]) -> list[list[str]]:
    """Breaks of the applications in groups, then each break of a server for itself."""
    beside = [name for name in names if not BREAKS[name].touches_servers]
    waves = [beside[index : index + _WAVE] for index in range(0, len(beside), _WAVE)]
    return waves + [[name] for name in names if BREAKS[name].touches_servers]


def _break_servers(stage: Stage, scenes: Sequence[Scene]) -> None:
    for scene in scenes:
        sabotage = scene.sabotage
        if sabotage and sabotage.touches_servers:
            stack = _native(stage)
            if sabotage.tempo:
                prometheus = stage.place.urls.prometheus
                stack.restart(
                    "tempo", overrides={k: str(v).format(prometheus=prometheus) for k, v in sabotage.tempo.items()}
                )
            elif sabotage.stops:
                stack.stop_server(sabotage.stops)


def _mend_servers(stage: Stage, scenes: Sequence[Scene]) -> None:
    for scene in scenes:
        sabotage = scene.sabotage
        if sabotage and sabotage.touches_servers:
            _native(stage).restart("tempo" if sabotage.tempo else str(sabotage.stops))


def _native(stage: Stage) -> NativeStack:
    if not isinstance(stage.stack, NativeStack):
        raise StackError(
            "A server cannot be broken in containers.", cause="--break restarts it.", cure="Use --mode native."
        )
    return stage.stack


def _prefixed(hop: Hop, name: str) -> Hop:
    return replace(hop, id=f"{name}/{hop.id}", needs=tuple(f"{name}/{need}" for need in hop.needs))


def _unprefixed(result: Result, name: str) -> Result:
    return replace(result, id=result.id.removeprefix(f"{name}/"))
