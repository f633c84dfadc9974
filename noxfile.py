"""The manual: one session per thing that a person does here. `nox -l` lists them, plain `nox` runs the checks."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

REQUIREMENTS = Path("requirements")
PACKAGES = ("packages/gwz-instrument", "dashboards", "examples/fastapi_app", "stack", "tests/e2e", "bench")
INSTRUMENT = "packages/gwz-instrument"
PROVISION = "packages/gwz-provision"
TYPED = (*(f"{package}/src" for package in (*PACKAGES, PROVISION)), "noxfile.py")
OURS = ("gwz-instrument", "gwz-example-fastapi", "gwz-stack")
"""Packages of the workspace that others of it need: never locked, always from this checkout."""
LOCKS = {
    "tests": (("build", "tests"), PACKAGES),
    "lint": (("build", "tests", "lint"), PACKAGES),
    "provision": (("build", "provision"), (PROVISION,)),
    "bench": (("build", "bench"), ("packages/gwz-instrument", "bench")),
    "pins": (("build", "tests"), (INSTRUMENT,)),
}
"""Lock file → the dependency groups and the packages whose needs it holds; a `.in` file beside it has further ones."""


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test that needs no server; arguments after -- go to pytest."""
    _install(session, "tests")
    session.run("pytest", f"--ignore={PROVISION}", *session.posargs)
    # grafana-client's HTTP stack replaces the urllib3 of python-logging-loki: it lives apart.
    python = _provision_environment(session) / "python"
    session.run(str(python), "-m", "pytest", "-c", f"{PROVISION}/pyproject.toml", PROVISION, external=True)


@nox.session
def pins(session: nox.Session) -> None:
    """Run gwz-instrument's tests on the oldest versions that it supports; arguments after -- go to pytest."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / "pins.txt"))
    session.install("--no-deps", "--no-build-isolation", "-e", INSTRUMENT)
    session.run("pytest", INSTRUMENT, *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Bring up the stack, run the example under load and prove every hop; --help after -- lists the options."""
    _install(session, "tests")
    _run_e2e(session, "run")


@nox.session
def stack(session: nox.Session) -> None:
    """Keep stack, example and load running for a person, and print where they are."""
    _install(session, "tests")
    _run_e2e(session, "stack")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure gwz-instrument beside its peers; `-- --help` lists the options, `-- page` writes docs/benchmark.md."""
    _install(session, "bench")
    session.run("python", "-m", "gwz_bench", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    _install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy", *TYPED)


@nox.session
def generate(session: nox.Session) -> None:
    """Write everything that is generated: the contract, dashboards, gwz-provision's bundle; `-- --check` tells what drifted."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_instrument._generate", *session.posargs)
    session.run("python", "-m", "gwz_dashboards.generate", *session.posargs)


@nox.session
def env(session: nox.Session) -> None:
    """Write stack/.env for Docker Compose, with passwords of its own."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_stack", "env", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Pin every dependency with its hashes in requirements/; `-- --upgrade` takes the newest."""
    session.install("uv>=0.7")
    for name, (groups, packages) in LOCKS.items():
        session.run(
            *("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-emit-index-url", "--quiet", "--custom-compile-command", "nox -s lock"),
            *(f"--group={group}" for group in groups),
            *(f"--no-emit-package={package}" for package in OURS),
            *("--output-file", str(REQUIREMENTS / f"{name}.txt")),
            *(f"{package}/pyproject.toml" for package in packages),
            *(str(file) for file in REQUIREMENTS.glob(f"{name}.in")),
            *session.posargs,
        )


def _install(session: nox.Session, name: str) -> None:
    """Install what is locked, then our packages from this checkout, without asking for anything newer."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / f"{name}.txt"))
    editable = [argument for package in PACKAGES for argument in ("-e", package)]
    session.install("--no-deps", "--no-build-isolation", *editable)


def _run_e2e(session: nox.Session, command: str) -> None:
    """Run a command of the end-to-end package; after Ctrl-C it has the time to stop its servers and write its report."""
    session.run(
        *("python", "-m", "gwz_e2e", command, *session.posargs),
        env={"GWZ_PROVISION": str(_provision_environment(session) / "gwz-provision")},
        interrupt_timeout=40,
        terminate_timeout=20,
    )


def _provision_environment(session: nox.Session) -> Path:
    """The folder of executables of the environment that gwz-provision has for itself."""
    home = Path(session.cache_dir).parent / "provision"
    python = home / "bin" / "python"
    if not python.exists():
        session.run("python", "-m", "venv", *(["--without-pip"] if shutil.which("uv") else []), str(home))
    installer = (
        ["uv", "pip", "install", "--python", str(python)]
        if shutil.which("uv")
        else [str(python), "-m", "pip", "install"]
    )
    quiet = [*installer, "--quiet"]
    session.run(*quiet, "--require-hashes", "-r", str(REQUIREMENTS / "provision.txt"), external=True)
    session.run(*quiet, "--no-deps", "--no-build-isolation", "-e", PROVISION, external=True)
    return python.parent
