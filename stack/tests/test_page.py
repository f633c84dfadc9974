"""The reference page and .env.example say what the package says."""

from pathlib import Path

import pytest

from gwz_stack import cli
from gwz_stack.page import page, rendered
from gwz_stack.variables import VARIABLES
from gwz_stack.versions import pin


def test_what_is_committed_has_not_drifted() -> None:
    assert cli.main(["generate", "--check"]) == 0


def test_every_variable_and_every_service_is_on_the_page() -> None:
    text = page()
    assert not [variable.name for variable in VARIABLES if f"| `{variable.name}` |" not in text]
    assert f"| grafana, public | `{pin('grafana').image}` | `472` | 3000 (http) | `/var/lib/grafana` |" in text
    assert "\n### gate\n\n- config file: `/stack/gate/railway.toml`\n- public domain: to port 14318\n" in text
    assert "\nGATE_LOKI_TARGET=${{loki.RAILWAY_PRIVATE_DOMAIN}}:3100\n" in text


def test_what_has_drifted_is_named_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.md"
    path.write_text("old")
    monkeypatch.setattr(cli, "rendered", lambda: {path: "new"})
    assert cli.main(["generate", "--check"]) == 1
    assert capsys.readouterr().err.startswith(f"drifted: {path}\n")
    assert path.read_text() == "old"
    assert cli.main(["generate"]) == 0
    assert path.read_text() == "new"
    assert {target.name for target in rendered()} == {"stack.md", ".env.example"}
