"""`nox -s stack`: keeps the stack, the application and the load running for a person."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from gwz_e2e import grafana
from gwz_e2e import options as arguments
from gwz_e2e.options import Options
from gwz_e2e.scene import Scene, run_loads
from gwz_e2e.stage import Stage, Tell, find_all, output_folder, set_stage
from gwz_stack import StackError
from gwz_stack.errors import writing

SERVICE = "gateway"


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; 1 when something ended by itself."""
    options = arguments.parse([] if argv is None else argv, program="nox -s stack --", out="build/stack")
    console = Console()

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    try:
        with output_folder(options.out):
            cast = find_all(tell)
            with set_stage(options, cast, tell, e2e=False) as stage:
                _keep(stage, options, tell)
    except (KeyboardInterrupt, SystemExit):
        tell("stopped")
        return 0
    except StackError as error:
        console.print(str(error), style="bold red", highlight=False, markup=False)
    return 1


def _keep(stage: Stage, options: Options, tell: Tell) -> None:
    port = stage.ports("app")["app"]
    scene = Scene(stage.place, SERVICE, port)
    stage.stack.set_targets([scene.target])
    stage.supervisor.wait_ready(scene.launch())
    _provision(stage, scene, tell)
    _publish(stage, scene, options, tell)
    seed = options.seed
    while True:
        started = time.monotonic()
        command = scene.load_command(
            seed=seed, requests=options.requests, speed=options.speed, csv=options.csv, traced=False
        )
        run_loads([(scene, command)], watch=stage.watch, tell=tell)
        tell(f"load with seed {seed} ended after {time.monotonic() - started:.0f} s, the next begins; Ctrl-C ends all")
        seed += 1


def _provision(stage: Stage, scene: Scene, tell: Tell) -> None:
    command = grafana.command()
    if not stage.place.urls.grafana or command is None:
        return
    provision = grafana.provision_for(command, stage.place.urls, stage.stack.grafana_password, scene.case)
    code, answer, complaint = provision.run("apply")
    tell(complaint if code else f"Grafana provisioned: {answer.get('summary')}")


def _publish(stage: Stage, scene: Scene, options: Options, tell: Tell) -> None:
    urls = {"app": scene.case.app_url, **asdict(stage.place.urls)}
    urls.pop("redis_exporter")
    with writing(options.out):
        (options.out / "urls.json").write_text(json.dumps(urls, indent=2) + "\n", encoding="utf-8")
    for name, url in urls.items():
        tell(f"{name:10} {url or 'not running'}")
    tell(f"{'':10} Authorization: Bearer {scene.case.tokens.api} opens the app's JSON endpoints")
    tell(f"{'':10} Authorization: Bearer {scene.case.tokens.admin} opens /api/instrumentation as well")
    if urls["grafana"]:
        tell(f"{'':10} user admin, password {stage.stack.grafana_password}")
