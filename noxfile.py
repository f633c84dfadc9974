"""The manual: one session per thing that a person does here. `nox -l` lists them, plain `nox` runs the checks."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

REQUIREMENTS = Path("requirements")
PACKAGES = ("packages/gwz-instrument", "dashboards", "examples/fastapi_app", "stack", "tests/e2e", "bench")
SITE = Path("build/docs")
DOCS_S = 60
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint"
INSTRUMENT = "packages/gwz-instrument"
PROVISION = "packages/gwz-provision"
TYPED = (*(f"{package}/src" for package in (*PACKAGES, PROVISION)), "noxfile.py")
OURS = ("gwz-instrument", "gwz-dashboards", "gwz-example-fastapi", "gwz-stack", "gwz-e2e")
"""Packages of the workspace that others of it need: never locked, always from this checkout."""
LOCKS = {
    "tests": (("build", "tests"), PACKAGES),
    "lint": (("build", "tests", "lint"), PACKAGES),
    "provision": (("build", "provision"), (PROVISION,)),
    "bench": (("build", "bench"), ("packages/gwz-instrument", "bench")),
    "pins": (("build", "tests"), (INSTRUMENT,)),
    "docs": (("docs",), ()),
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
    _run_on_servers(session, "gwz_e2e", "run")


@nox.session
def stack(session: nox.Session) -> None:
    """Keep stack, example and load running for a person, and print where they are."""
    _install(session, "tests")
    _run_on_servers(session, "gwz_e2e", "stack")


@nox.session
def limits(session: nox.Session) -> None:
    """Prove on real servers what the stack keeps and takes; `-- page` writes the figures into docs/guides/sizing.md."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_e2e", "limits", *session.posargs, interrupt_timeout=40, terminate_timeout=20)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the dashboards' pictures of the last `nox -s e2e` into docs/images; `-- --run DIR` names another run."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_e2e", "pictures", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure gwz-instrument beside its peers, or `-- dashboards` on a day of data; `-- page` writes docs/benchmark.md."""
    _install(session, "bench")
    if session.posargs[:1] == ["dashboards"]:
        _run_on_servers(session, "gwz_bench")
    else:
        session.run("python", "-m", "gwz_bench", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, types and workflows."""
    _install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy", *TYPED)
    _lint_workflows(session)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages into build/docs: without a warning, and with nothing that a browser would fetch elsewhere."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / "docs.txt"))
    began = time.monotonic()
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})
    if (seconds := time.monotonic() - began) > DOCS_S:
        session.error(f"The pages took {seconds:.0f} s to build, and may take {DOCS_S}: see what mkdocs was busy with.")
    elsewhere = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    for page in sorted(SITE.rglob("*.html")):
        if found := elsewhere.search(page.read_text(encoding="utf-8")):
            session.error(f"{page} is not whole without another server: {found[0]}")


@nox.session
def generate(session: nox.Session) -> None:
    """Write everything that is generated: contract, dashboards, bundle, the stack's page; `-- --check` tells what drifted."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_instrument._generate", *session.posargs)
    session.run("python", "-m", "gwz_dashboards.generate", *session.posargs)
    session.run("python", "-m", "gwz_stack", "generate", *session.posargs)


@nox.session
def env(session: nox.Session) -> None:
    """Write stack/.env for Docker Compose, with passwords of its own."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_stack", "env", *session.posargs)


@nox.session
def railway(session: nox.Session) -> None:
    """Check what can be checked of the deployment without Railway: `-- verify`."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_stack", "railway", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Prove on a running stack who may do what, and scan tree and history for secrets; the report is in build/audit."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_stack", "audit", *session.posargs)


@nox.session
def bump(session: nox.Session) -> None:
    """Pin a server to another version and check its configuration with it: `-- SERVER VERSION`."""
    _install(session, "tests")
    session.run("python", "-m", "gwz_stack", "bump", *session.posargs)
    # The server that was moved is checked by that version, or the session fails; the others by what is here.
    for command in (("generate",), ("check", "--pinned", *session.posargs[:1]), ("check",), ("railway", "verify")):
        session.run("python", "-m", "gwz_stack", *command)


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


def _lint_workflows(session: nox.Session) -> None:
    """Check .github/workflows by actionlint, which Go builds from its module in seconds."""
    if not shutil.which("go"):
        session.warn("The workflows were not checked: actionlint is built by Go, which is not here.")
        return
    binary = Path(session.bin) / "actionlint"
    build = ("go", "build", "-C", str(REQUIREMENTS / "actionlint"), "-o", str(binary.resolve()), ACTIONLINT)
    session.run(*build, external=True)
    # Neither is locked: with them the answer would depend on what else the machine has.
    session.run("actionlint", "-shellcheck=", "-pyflakes=")


def _run_on_servers(session: nox.Session, *command: str) -> None:
    """Run a package's command that provisions Grafana; after Ctrl-C it has the time to stop its servers and write its report."""
    session.run(
        *("python", "-m", *command, *session.posargs),
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
