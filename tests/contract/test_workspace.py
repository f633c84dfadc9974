"""What holds between the packages: who may import whom, what is pinned, what must never be committed."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "gwz_instrument": ROOT / "packages/gwz-instrument",
    "gwz_provision": ROOT / "packages/gwz-provision",
    "gwz_dashboards": ROOT / "dashboards",
    "fastapi_app": ROOT / "examples/fastapi_app",
    "gwz_stack": ROOT / "stack",
    "gwz_e2e": ROOT / "tests/e2e",
    "gwz_bench": ROOT / "bench",
}
MAY_IMPORT = {
    "gwz_instrument": set(),
    "gwz_provision": set(),
    "gwz_stack": set(),
    "gwz_dashboards": {"gwz_instrument"},
    "fastapi_app": {"gwz_instrument"},
    "gwz_e2e": {"fastapi_app", "gwz_dashboards", "gwz_instrument", "gwz_stack"},
    "gwz_bench": {"fastapi_app", "gwz_dashboards", "gwz_e2e", "gwz_instrument", "gwz_stack"},
}
pytestmark = pytest.mark.contract


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def imports(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_point_toward_the_names(package):
    files = list((PACKAGES[package] / "src").rglob("*.py"))
    assert files
    ours = {name for file in files for name in imports(file)} & set(PACKAGES)
    assert ours - {package} <= MAY_IMPORT[package]


def test_the_contract_needs_the_standard_library_only():
    files = list((PACKAGES["gwz_instrument"] / "src/gwz_instrument/semconv").glob("*.py"))
    names = {name for file in files for name in imports(file)}
    assert names <= set(sys.stdlib_module_names)


def test_the_foundations_are_dependencies_by_name():
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [*root["dependency-groups"]["tests"]]
    for folder in PACKAGES.values():
        declared += tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~ \[]", entry)[0] for entry in declared}
    assert names >= {
        "nox", "opentelemetry-sdk", "opentelemetry-exporter-otlp", "prometheus-client",
        "python-logging-loki", "grafana-client", "pytest",
    }  # fmt: skip


def test_every_package_is_a_member_of_the_workspace():
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {ROOT / member for member in root["tool"]["uv"]["workspace"]["members"]} == set(PACKAGES.values())


@pytest.mark.parametrize("name", ["bench", "docs", "lint", "pins", "provision", "tests"])
def test_a_lock_has_a_hash_for_everything_and_no_address(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pins = re.findall(r"^[a-z0-9].*==.*$", text, re.MULTILINE)
    assert pins
    assert all(pin.endswith("\\") for pin in pins), "a hash follows each pin"
    assert "://" not in text
    assert "--index" not in text


def test_the_two_http_stacks_are_never_locked_together():
    """grafana-client's replaces the urllib3 that python-logging-loki needs."""
    assert "urllib3-future==" not in (ROOT / "requirements/tests.txt").read_text()
    assert "\nurllib3==" not in (ROOT / "requirements/provision.txt").read_text()


def test_no_lock_with_addresses_and_no_secret_file_is_committed():
    names = {file.name for file in tracked()}
    assert not names & {"uv.lock", ".env"}


SECRETS = re.compile(
    r"gw_(?:live|staging)_\w{8,}|glsa_\w{8,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|yourpassword123|bearer_token:\s*\S+"
)


def test_no_file_holds_a_credential():
    found = [
        f"{file.relative_to(ROOT)}: {match[0][:12]}…"
        for file in tracked()
        if file != Path(__file__) and file.suffix not in {".sum", ".png"}
        for match in SECRETS.finditer(file.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not found


def test_the_readmes_commands_are_sessions():
    sessions = set(re.findall(r"^def (\w+)\(session: nox\.Session\)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    named = set(re.findall(r"nox -s (\w+)", (ROOT / "README.md").read_text()))
    assert {"e2e", "tests", "stack"} <= named <= sessions


def anchors(text):
    """The anchors of a page's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [file for file in tracked() if file.suffix == ".md"], ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_link_between_pages_leads_somewhere(page):
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target


def test_every_session_says_what_it_is_for():
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    assert sessions
    assert all(len((ast.get_docstring(node) or "").splitlines()) == 1 for node in sessions)
