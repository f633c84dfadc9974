"""The commands, as a person meets them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gwz_provision.cli import main

NAMES = ("GRAFANA_URL", "GRAFANA_TOKEN", "GRAFANA_USER", "GRAFANA_PASSWORD", "PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL")  # fmt: skip


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_apply_without_environment_names_all_five_problems_and_sends_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["apply"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for name in ("GRAFANA_URL", "GRAFANA_TOKEN", "PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL"):
        assert name in err


def test_a_missing_bundle_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--bundle", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["doctor", "--var", "app"], "'app' is not NAME=VALUE"),
        (["doctor", "--output", "xml"], "invalid choice: 'xml'"),
        *(
            ([name, f"--wait={time}"], f"{time!r} is not a time such as 60s or 2m, and at most 1d")
            for name in ("plan", "apply", "destroy", "status", "export")
            for time in ("soon", "-1s", "1e30", "inf", "2d", "9" * 18 + "d")
        ),
        (["plan", f"--wait={'9' * 400}s"], f"'{'9' * 20}…' is not a time"),
    ],
)
def test_a_wrong_option_exits_with_two(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_wrong_period_is_a_usage_error(capsys: pytest.CaptureFixture[str], bundle_dir: Path) -> None:
    assert main(["doctor", "--bundle", str(bundle_dir), "--from", "yesterday"]) == 2
    assert "'yesterday'" in capsys.readouterr().err


def test_an_unreachable_grafana_exits_with_six_and_json_is_still_valid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bundle_dir: Path, environment: dict[str, str]
) -> None:
    for name, value in {"GRAFANA_URL": "http://127.0.0.1:9", "GRAFANA_TOKEN": "t", **environment}.items():
        monkeypatch.setenv(name, value)
    assert main(["apply", "--bundle", str(bundle_dir), "--output", "json", "--wait", "0s"]) == 6
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["schema"], document["actions"], set(document["summary"].values())) == (1, [], {0})
    assert "cannot be reached" in document["error"]["cause"]
    assert "http://127.0.0.1:9 cannot be reached" in err
    assert main(["doctor", "--bundle", str(bundle_dir), "--output", "json"]) == 6
    assert json.loads(capsys.readouterr().out)["first_broken_hop"] == "grafana"


def test_help_does_not_load_the_http_stack() -> None:
    code = "import sys, gwz_provision.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: sys.exit('grafana_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
