"""The commands that reconcile: plan, apply, destroy, status, export. Each is registered by one function and run by one."""

import argparse
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwz_provision import access, bundle
from gwz_provision.connecting import connected, require, seconds
from gwz_provision.console import Console
from gwz_provision.environment import Environment
from gwz_provision.errors import (
    EXIT_CANCELLED,
    EXIT_CHANGES,
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_PARTIAL,
    Braked,
    Interrupted,
    ProvisionError,
)

if TYPE_CHECKING:  # a command that only shows its help waits for none of these
    from gwz_provision.apply import Outcome
    from gwz_provision.grafana import Grafana
    from gwz_provision.manifest import Manifest
    from gwz_provision.plan import Options, Plan
    from gwz_provision.reconcile import Patience
    from gwz_provision.resources import Key

Commands = Any  # argparse keeps the type of add_subparsers() to itself


def add_plan(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Register `plan`."""
    parser = commands.add_parser(
        "plan",
        parents=[shared, _connection("120s"), _changes()],
        help="show what apply would do, field by field; writes nothing",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="save the plan for `apply --plan`")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit with 7 when there are changes")
    parser.set_defaults(run=_guarded(_plan))


def add_apply(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Register `apply`."""
    parser = commands.add_parser(
        "apply",
        parents=[shared, _connection("120s"), _changes()],
        help="bring Grafana to what the bundle says; a second run writes nothing",
    )
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="do this plan, or nothing (exit 9) if Grafana or the bundle has moved since",
    )
    parser.set_defaults(run=_guarded(_apply))


def add_destroy(commands: Commands) -> None:
    """Register `destroy`, which needs no bundle: what is ours carries our mark."""
    parser = commands.add_parser(
        "destroy", parents=[_connection("120s")], help="remove what carries our mark, and nothing else"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=_guarded(_destroy))


def add_status(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Register `status`."""
    parser = commands.add_parser(
        "status", parents=[shared, _connection("0s")], help="list what is there, and whose it is"
    )
    parser.set_defaults(run=_guarded(_status))


def add_export(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Register `export`."""
    parser = commands.add_parser("export", parents=[shared, _connection("0s")], help="write what is ours as a bundle")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or an empty folder")
    parser.set_defaults(run=_guarded(_export))


def _connection(wait: str) -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--wait",
        type=seconds,
        default=wait,
        metavar="TIME",
        help=f"wait so long for a Grafana that starts (default: {wait})",
    )
    parent.add_argument("--debug", action="store_true", help="tell every call on standard error")
    return parent


def _changes() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--prune",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="delete what is ours and no longer in the bundle (default: yes)",
    )
    parent.add_argument(
        "--adopt", action="store_true", help="take over objects that have a uid of the bundle and no mark of ours"
    )
    parent.add_argument("--yes", action="store_true", help="do not ask, however much is deleted")
    return parent


def _guarded(
    run: Callable[[argparse.Namespace, Environment], int],
) -> Callable[[argparse.Namespace, Mapping[str, str]], int]:
    """Let a command that prints JSON do so after an early failure too, Ctrl-C among them."""

    def guarded(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
        try:
            return _uninterrupted(run, options, Environment(environ))
        except ProvisionError as error:
            if options.output == "json":
                options.console.out(_failure(error))
            raise

    return guarded


def _uninterrupted(
    run: Callable[[argparse.Namespace, Environment], int], options: argparse.Namespace, environ: Environment
) -> int:
    try:
        return run(options, environ)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted before the first write.", "Run it again: nothing has changed.") from None


def _failure(error: ProvisionError) -> str:
    from gwz_provision import output  # noqa: PLC0415 - loaded when a command runs

    said = {"cause": error.cause, "cure": error.cure}
    return output.text(
        {"schema": 1, "actions": [], "summary": output.outcome_summary([]), "warnings": [], "error": said}
    )


def _plan(options: argparse.Namespace, environ: Environment) -> int:
    from gwz_provision import output, planfile, reconcile  # noqa: PLC0415 - loaded when a command runs

    wanted = _manifest(options, environ)
    chosen = _chosen(options)
    with connected(options, environ) as grafana:
        observed, plan = reconcile.look_and_plan(grafana.reader, wanted, chosen, _patience(options))
        plan = replace(plan, warnings=(*plan.warnings, *_about_rules(options, grafana, observed.keys)))
        url = grafana.reader.url
    if options.out:
        planfile.save(options.out, planfile.document(plan, chosen, url))
    if options.output == "json":
        options.console.out(output.text(output.plan_document(plan)))
    else:
        _warn(options.console, plan)
        for line in output.plan_lines(plan):
            options.console.out(line)
    if plan.blocked:
        return EXIT_FAILURE
    return EXIT_CHANGES if options.detailed_exitcode and plan.pending else EXIT_OK


def _apply(options: argparse.Namespace, environ: Environment) -> int:
    from gwz_provision import planfile, reconcile  # noqa: PLC0415 - loaded when a command runs

    saved = planfile.load(options.plan) if options.plan else None
    chosen = planfile.options(saved) if saved else _chosen(options)
    wanted = _manifest(options, environ)
    with connected(options, environ) as grafana:
        observed, plan = reconcile.look_and_plan(grafana.reader, wanted, chosen, _patience(options))
        if saved:
            planfile.require_current(saved, plan, grafana.reader.url)
        told = _about_rules(options, grafana, observed.keys)
        code = _carry_out(options, grafana, wanted, replace(plan, warnings=(*plan.warnings, *told)), chosen)
        if code == EXIT_OK and not any(key.kind == "datasource" for key in observed.keys):
            # Only now is there a data source through which Prometheus can be asked; all else is done and told.
            with suppress(KeyboardInterrupt):
                for warning in _about_rules(options, grafana, wanted.keys):
                    options.console.say(f"warning: {warning}")
        return code


def _about_rules(options: argparse.Namespace, grafana: "Grafana", there: "Iterable[Key]") -> list[str]:
    """Warn of recording rules that are not loaded, with one call at most: none unless panels read some and the data source is there."""
    from gwz_provision import recording  # noqa: PLC0415 - loaded when a command runs

    uids = [key.uid for key in there if key.kind == "datasource"]
    said = recording.warning(_bundle(options), grafana.reader, uids) if uids else ""
    return [said] if said else []


def _destroy(options: argparse.Namespace, environ: Environment) -> int:
    from gwz_provision import reconcile  # noqa: PLC0415 - loaded when a command runs
    from gwz_provision.manifest import Manifest  # noqa: PLC0415
    from gwz_provision.plan import Options  # noqa: PLC0415

    require(access.problems(environ))
    with connected(options, environ) as grafana:
        _, plan = reconcile.look_and_plan(grafana.reader, Manifest(), Options(), _patience(options))
        return _carry_out(options, grafana, Manifest(), plan, Options(), always_ask=True)


def _carry_out(
    options: argparse.Namespace,
    grafana: "Grafana",
    wanted: "Manifest",
    plan: "Plan",
    chosen: "Options",
    *,
    always_ask: bool = False,
) -> int:
    from gwz_provision import output, reconcile  # noqa: PLC0415 - loaded when a command runs

    console: Console = options.console
    reconcile.require_clear(plan)
    _require_yes(options, plan, always_ask=always_ask)
    if options.output == "text":
        _warn(console, plan)
    done: list[Outcome] = []
    error: ProvisionError | None = None
    with _interruptible() as stopped:
        try:
            for outcome in reconcile.do(plan, grafana, stopped):
                done.append(outcome)
                if options.output == "text" and (outcome.action.writes or outcome.reason):
                    written = sum(one.action.writes for one in done)
                    so_far = f"{written}/{len(plan.pending)} " if console.is_watched and outcome.action.writes else ""
                    console.out(f"{so_far}{output.outcome_line(outcome)}")
            reconcile.require_faithful(grafana.reader, wanted, chosen, done)
        except ProvisionError as failure:
            error = failure
        if options.debug:
            console.say(f"{grafana.calls.reads} reads, {grafana.calls.writes} writes")
        if options.output == "json":
            document = output.outcome_document(done, plan.warnings)
            console.out(
                output.text({**document, "error": {"cause": error.cause, "cure": error.cure}} if error else document)
            )
        elif done:
            console.out(output.sentence(output.outcome_summary(done)))
        if error:
            console.say(f"gwz-provision: {error}")
    return _exit_code(done, error, interrupted=stopped())


def _exit_code(done: "list[Outcome]", error: ProvisionError | None, *, interrupted: bool) -> int:
    failures = [outcome for outcome in done if outcome.result == "failed"]
    written = any(outcome.result == "done" and outcome.action.writes for outcome in done)
    if interrupted and any(outcome.result == "skipped" for outcome in done):
        return EXIT_CANCELLED
    if failures:
        reason = failures[0].error
        return EXIT_PARTIAL if written or reason is None else reason.exit_code
    return error.exit_code if error else EXIT_OK


def _status(options: argparse.Namespace, environ: Environment) -> int:
    from gwz_provision import output, reconcile, status  # noqa: PLC0415 - loaded when a command runs

    known = _bundle(options)
    require(access.problems(environ))
    with connected(options, environ) as grafana:
        observed = reconcile.look(grafana.reader, status.declared(known), _patience(options))
    listed = status.entries(known, observed)
    if options.output == "json":
        options.console.out(output.text(status.document(observed.version, listed)))
        return EXIT_OK
    for entry in listed:
        options.console.out(f"{entry.state:24} {entry.key}{f' {entry.title!r}' if entry.title else ''}")
    counted = ", ".join(f"{count} {state}" for state, count in status.summary(listed).items())
    options.console.out(f"Grafana {observed.version}: {counted or 'nothing of ours'}")
    return EXIT_OK


def _export(options: argparse.Namespace, environ: Environment) -> int:
    from gwz_provision import export, output, reconcile  # noqa: PLC0415 - loaded when a command runs

    known = _bundle(options)
    require(access.problems(environ))
    with connected(options, environ) as grafana:
        first = reconcile.look(grafana.reader, (), _patience(options))
        ours = [key for key, live in first.objects.items() if live.owned]
        observed = reconcile.look(grafana.reader, ours)
    exported = export.export(observed, known)
    export.save(options.folder, exported)
    files = sorted(exported.files)
    if options.output == "json":
        options.console.out(output.text({"schema": 1, "files": files, "variables": exported.variables}))
        return EXIT_OK
    options.console.out(f"{len(files)} files in {options.folder}")
    if exported.variables:
        options.console.say(
            f"What is secret stands there as variables; set them before you apply: {', '.join(exported.variables)}"
        )
    return EXIT_OK


def _chosen(options: argparse.Namespace) -> "Options":
    from gwz_provision.plan import Options  # noqa: PLC0415 - loaded when a command runs

    return Options(prune=options.prune, adopt=options.adopt)


def _bundle(options: argparse.Namespace) -> bundle.Bundle:
    return bundle.load(options.bundle or bundle.shipped())


def _manifest(options: argparse.Namespace, environ: Environment) -> "Manifest":
    """Read the bundle with the environment; everything that is wrong with either is one error."""
    from gwz_provision import manifest  # noqa: PLC0415 - loaded when a command runs
    from gwz_provision.redaction import passwords  # noqa: PLC0415

    source = _bundle(options)
    require([*access.problems(environ), *manifest.problems(source, environ)])
    built = manifest.build(source, environ)
    options.console.redactor.learn(built.secrets)
    options.console.redactor.learn(passwords(environ.get(name) or "" for name in manifest.all_variables(source)))
    return built


def _patience(options: argparse.Namespace) -> "Patience":
    from gwz_provision.reconcile import Patience  # noqa: PLC0415 - loaded when a command runs

    return Patience(options.wait, options.console.say)


def _warn(console: Console, plan: "Plan") -> None:
    for warning in plan.warnings:
        console.say(f"warning: {warning}")


def _require_yes(options: argparse.Namespace, plan: "Plan", *, always_ask: bool) -> None:
    deletes = [action for action in plan.actions if action.verb == "delete"]
    if options.yes or not deletes or not (always_ask or plan.needs_yes):
        return
    listed = ", ".join(str(action.key) for action in deletes)
    question = f"{len(deletes)} of {plan.owned} objects of ours will be deleted: {listed}."
    if not options.console.confirmed(question):
        raise Braked(f"{question} Nothing was written.", "If that is meant, add --yes; --no-prune keeps them.")


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a question that is answered yes, so that the current write can end."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
