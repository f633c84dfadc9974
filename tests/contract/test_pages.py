"""What a page names is there: sessions, commands and their options, variables, files, metrics, dashboards."""

import ast
import contextlib
import io
import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from opentelemetry.sdk import environment_variables

from gwz_bench import options as bench_options
from gwz_e2e import options as e2e_options
from gwz_instrument import _generate
from gwz_instrument import cli as instrument
from gwz_stack import cli as stack
from gwz_stack.variables import VARIABLES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SHELLS = {"console", "sh", "shell", "bash"}
PASSED_ON = {"tests", "pins", "lock"}
"""Sessions that hand their arguments to pytest or uv."""
FOREIGN = {
    "GUNICORN_CMD_ARGS": "gunicorn's",
    "PROMETHEUS_ENABLED": "the predecessor's backend's",
    "GWZ_GRAFANA_BIN": "GWZ_<SERVER>_BIN of gwz_stack",
}
WRITTEN = {"stack/.env"}
"""What a session writes and nobody commits."""
SERVERS_OWN = ("loki_", "process_", "prometheus_", "python_", "redis_", "tempo_", "traces_")
"""How the metrics begin that the servers have of their own."""
pytestmark = pytest.mark.contract


def name_of(file):
    return str(file.relative_to(ROOT))


def is_generated(file):
    return file.read_text(encoding="utf-8").startswith("<!-- Written by ")


def without_foreign_names(file):
    """The text of a page; of the table that lists the predecessor's documents only what is said of them here."""
    text = file.read_text(encoding="utf-8")
    return re.sub(r"^\| `[^|]*\|", "|", text, flags=re.MULTILINE) if file.name == "predecessor.md" else text


def blocks(text, languages):
    """The fenced blocks in any of some languages."""
    return [
        body
        for language, body in re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
        if language in languages
    ]


def spans(text):
    """What stands between backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def typed(block):
    """The commands of a block: the lines after a prompt where there is one, else all that are no comments."""
    lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return prompted or [line for line in lines if line and not line.startswith("#")]


def fragments(file):
    """Everything that a page or a workflow would have somebody type, and what it shows as code in its sentences."""
    text = without_foreign_names(file)
    if file in WORKFLOWS:
        steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job.get("steps", ())]
        return [line for step in steps for line in step.get("run", "").splitlines()]
    return [*(line for block in blocks(text, SHELLS) for line in typed(block)), *spans(text)]


def commands(file, program):
    """The arguments of each call of a program, up to where the shell goes on with something else."""
    for fragment in fragments(file):
        for found in re.finditer(rf"(?:^|(?<=[\s(])){program}(?=\s|$)([^|;&>)#]*)", fragment):
            with contextlib.suppress(ValueError):  # a quotation that the sentence ends
                yield shlex.split(found[1])


def said_by(parse, *arguments):
    """What a command line prints for --help."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parse(*arguments)
    return said.getvalue()


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))


@cache
def sessions():
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}


def helped(session):
    """The help of what a session runs."""
    e2e = {name: lambda name=name: e2e_options.parse(["--help"], program="", out=name) for name in ("e2e", "stack")}
    asks = {
        **e2e,
        "bench": lambda: bench_options.parse(["--help"], rows=()),
        "env": lambda: stack.main(["env", "--help"]),
        "railway": lambda: stack.main(["railway", "verify", "--help"]),
        "generate": lambda: _generate.main(["--help"]),
    }
    assert session in asks, f"add to `asks` where the options of `nox -s {session}` are"
    return said_by(asks[session])


@cache
def instrument_options(command):
    return options_in(said_by(instrument.main, [command, "--help"]))


@cache
def provision_options():
    """Command → its options, from the page that is generated from the parser."""
    page = (DOCS / "reference/provision.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (\w+)$", page, flags=re.MULTILINE)[1:]
    return {name: options_in(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def given(arguments):
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--") and argument != "--"}


SOURCES = pytest.mark.parametrize("file", [*PAGES, *WORKFLOWS], ids=name_of)
EVERY_PAGE = pytest.mark.parametrize("file", PAGES, ids=name_of)


@SOURCES
def test_sessions_and_their_options_are_there(file):
    for arguments in commands(file, "nox -s"):
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        named = {word for word in ours if re.fullmatch(r"[a-z_0-9]+", word)}
        assert named <= sessions(), f"no session {named - sessions()}"
        rest = given(arguments[len(ours) :]) - {"--help"}
        for session in named - PASSED_ON if rest else ():
            assert rest <= options_in(helped(session)), f"nox -s {session} has no {rest}"


@SOURCES
def test_commands_of_gwz_instrument_are_there(file):
    for arguments in commands(file, "gwz-instrument"):
        if arguments and re.fullmatch(r"[a-z]+", arguments[0]):
            known = instrument_options(arguments[0])
            assert known, f"gwz-instrument has no command {arguments[0]}"
            assert given(arguments[1:]) <= known, f"gwz-instrument {arguments[0]} has no {given(arguments[1:]) - known}"


@SOURCES
def test_commands_of_gwz_provision_are_there(file):
    for arguments in commands(file, "gwz-provision"):
        if arguments and re.fullmatch(r"[a-z]+", arguments[0]):
            known = provision_options().get(arguments[0])
            assert known is not None, f"gwz-provision has no command {arguments[0]}"
            assert given(arguments[1:]) <= known | {"--help"}, f"gwz-provision {arguments[0]} has no {arguments[1:]}"


@SOURCES
def test_modules_that_are_run_are_there(file):
    for arguments in commands(file, "python -m"):
        package = arguments[0].split(".")[0] if arguments else ""
        if package.startswith("gwz_"):
            module = arguments[0].replace(".", "/")
            found = [*ROOT.glob(f"**/src/{module}.py"), *ROOT.glob(f"**/src/{module}/__main__.py")]
            assert found, f"python -m {arguments[0]}"


@cache
def literals():
    """Every string of our programs, and of the test that writes a proof, which a variable is read by."""
    files = [
        *(
            file
            for folder in ("packages", "stack", "tests/e2e", "bench", "examples")
            for file in (ROOT / folder).glob("**/src/**/*.py")
        ),
        ROOT / "packages/gwz-provision/tests/test_figures.py",
    ]
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@cache
def variables():
    """The variables that something reads: our programs, OpenTelemetry's, the containers, the workflows."""
    tables = "".join(
        (DOCS / "reference" / page).read_text(encoding="utf-8") for page in ("settings.md", "provision.md")
    )
    hosted = "".join(file.read_text(encoding="utf-8") for file in WORKFLOWS)
    return {
        *re.findall(r"[A-Z][A-Z0-9_]+", tables),
        *(name for name in literals() if name.isupper()),
        *(value for value in vars(environment_variables).values() if isinstance(value, str)),
        *(variable.name for variable in VARIABLES),
        *re.findall(r"(?:secrets|vars)\.([A-Z_]+)", hosted),
        *FOREIGN,
    }


@EVERY_PAGE
def test_variables_are_read_by_something(file):
    text = without_foreign_names(file)
    shown = [*blocks(text, SHELLS | {"text", "yaml", "toml"}), *spans(text)]
    named = {name for part in shown for name in re.findall(r"(?<![\w./])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w.])", part)}
    assert named <= variables(), f"nothing reads {sorted(named - variables())}"


@cache
def roots():
    """The files and folders at the top of the repository; what is built there is not part of it."""
    return {path.name for path in ROOT.iterdir()} - {"build"}


@EVERY_PAGE
def test_files_that_are_named_are_there(file):
    for part in fragments(file):
        for path in re.findall(
            r"(?<![\w./:-])(?:\./)?(\.?[\w-]+(?:/[\w.*-]+)+/?|\w+\.(?:py|md|yml|toml))(?![\w/<{])", part
        ):
            if path.split("/")[0] in roots() and path not in WRITTEN:
                assert list(ROOT.glob(path.strip("/"))), f"there is no {path}"


@cache
def contract():
    return json.loads((ROOT / "dashboards/generated/contract.json").read_text(encoding="utf-8"))


def declared():
    return {metric["name"] for metric in contract()["metrics"]}


@pytest.mark.parametrize("file", [page for page in PAGES if not is_generated(page)], ids=name_of)
def test_metrics_that_are_named_are_declared(file):
    text = without_foreign_names(file)
    for part in [*blocks(text, SHELLS | {"promql"}), *spans(text)]:
        for name in re.findall(
            r"(?<![\w:.])[a-z]+(?:_[a-z0-9]+)*_(?:total|seconds|bytes|ratio|bucket)(?![\w:(.])", part
        ):
            base = name.removesuffix("_bucket")
            assert base in declared() or base.startswith(SERVERS_OWN), f"no metric {name}"


@EVERY_PAGE
def test_endpoints_that_are_named_are_answered(file):
    known = [re.sub(r"\{\w+(:path)?\}", r"[\\w{}:.-]+", endpoint["path"]) for endpoint in contract()["endpoints"]]
    for part in fragments(file):
        for path in re.findall(r"/api/(?:monitoring|instrumentation|tokens)/[\w/{}:-]+", part):
            assert any(re.fullmatch(pattern, path) for pattern in known), f"nothing answers {path}"


def test_the_quick_start_names_what_is_on_the_dashboards():
    """Words in italics are a dashboard, a panel, a folder or a variable."""
    generated = ROOT / "dashboards/generated"
    index = json.loads((generated / "index.json").read_text(encoding="utf-8"))
    boards = [json.loads((generated / item["file"]).read_text(encoding="utf-8")) for item in index["dashboards"]]
    titles = {folder["title"] for folder in index["folders"]} | {board["title"] for board in boards}
    for board in boards:
        titles |= {panel["title"] for panel in board["panels"]} | {
            item["label"] for item in board["templating"]["list"]
        }
    named = re.findall(r"(?<!\*)\*([^*\n]+)\*", (DOCS / "quick-start.md").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= titles


def sections(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))


SYMPTOMS = sections("troubleshooting.md")


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_each_symptom_ends_in_the_command_that_proves_its_cure(symptom):
    before, _, after = SYMPTOMS[symptom].rpartition("```console\n")
    assert "- " in before or "|" in before or len(before) > 40, "no cause"
    block, _, answer = after.partition("```\n")
    assert re.search(r"gwz-provision|gwz-instrument|curl", block)
    assert 0 < len(answer.strip().splitlines()) <= 2, "the good answer, in a sentence or two"


def test_the_common_issues_of_the_predecessor_have_a_section():
    titles = " ".join(SYMPTOMS)
    assert all(
        words in titles for words in ('"No data"', "400 Bad Request", "frame too large", "ata sources do not connect")
    )


def test_each_document_of_the_predecessor_has_a_page_or_a_reason():
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (DOCS / "predecessor.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    for document, here in rows:
        assert re.search(r"\]\(|`(?:gwz|nox)|dropped: \w|dropped with ", here), document


def test_every_runbook_is_found_by_their_index():
    """All other pages have a place in mkdocs.yml, or `nox -s docs` fails."""
    linked = set(re.findall(r"\]\((gwz-[\w-]+\.md)\)", (DOCS / "runbooks/README.md").read_text(encoding="utf-8")))
    assert linked == {page.name for page in (DOCS / "runbooks").glob("gwz-*.md")}


@EVERY_PAGE
def test_code_of_a_page_is_run_by_a_test(file):
    if blocks(file.read_text(encoding="utf-8"), {"python"}):
        tests = {test for folder in ("packages", "tests") for test in (ROOT / folder).glob("**/test_*.py")}
        texts = [test.read_text(encoding="utf-8") for test in tests - {Path(__file__)}]
        assert any(name_of(file) in text or f'"{file.name}"' in text for text in texts)
