"""Workflows may little, end by themselves, are read by actionlint, and ask live deployments with keys of their own."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(".github/workflows")
WORKFLOWS = sorted((ROOT / FOLDER).glob("*.yml"))
pytestmark = pytest.mark.contract


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_may_little_and_end(file):
    """Each reads the repository and no more, runs one at a time, ends by itself, and takes actions as they were seen."""
    text = file.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow or "workflow_call" in workflow[True]  # YAML reads `on` as a boolean
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert "uses" in job or job["timeout-minutes"] <= 90
    for action in re.findall(r"uses: (.+)", text):
        assert action.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_live_deployments_are_asked_with_their_own_keys():
    production = yaml.safe_load((ROOT / FOLDER / "test-production.yml").read_text(encoding="utf-8"))
    staging = yaml.safe_load((ROOT / FOLDER / "test-staging.yml").read_text(encoding="utf-8"))
    assert production[True]["schedule"] == [{"cron": "17 */6 * * *"}]
    for workflow, kind in ((production, "PRODUCTION"), (staging, "STAGING")):
        job = workflow["jobs"]["live"]
        assert job["uses"] == "./.github/workflows/live.yml"
        assert job["secrets"]["api_key"] == f"${{{{ secrets.{kind}_API_KEY }}}}"
    asked = (ROOT / FOLDER / "live.yml").read_text(encoding="utf-8")
    for command in ("gwz-instrument endpoints", "gwz-instrument check", "gwz-provision doctor"):
        assert f"run: {command}" in asked


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("actionlint is built by Go, which is not here")
    binary = tmp_path_factory.mktemp("bin") / "actionlint"
    package = "github.com/rhysd/actionlint/cmd/actionlint"
    subprocess.run(
        ["go", "build", "-C", ROOT / "requirements/actionlint", "-o", binary, package], check=True, capture_output=True
    )
    return binary


def judged(actionlint, root):
    """What actionlint says of the workflows of a repository, as `nox -s lint` asks it."""
    return subprocess.run(
        [actionlint, "-shellcheck=", "-pyflakes="], cwd=root, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mistake", "said"),
    [
        ("validate.yml", ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24"), "ubuntu-24"),
        ("test-production.yml", ("17 */6 * * *", "17 */6 * *"), "invalid CRON"),
        ("test-staging.yml", ("api_url:", "api_uri:"), "api_uri"),
        ("live.yml", ("inputs.api_url", "inputs.api_uri"), "api_uri"),
    ],
)
def test_a_mistake_in_a_workflow_is_told(actionlint, tmp_path, file, mistake, said):
    (tmp_path / ".git").mkdir()
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    sound = judged(actionlint, tmp_path)
    assert sound.returncode == 0, sound.stdout
    text = (tmp_path / FOLDER / file).read_text(encoding="utf-8")
    assert mistake[0] in text
    (tmp_path / FOLDER / file).write_text(text.replace(*mistake, 1), encoding="utf-8")
    found = judged(actionlint, tmp_path)
    assert found.returncode == 1
    assert said in found.stdout
