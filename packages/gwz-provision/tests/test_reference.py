"""The page of all commands is what the parser says."""

from gwz_provision import _reference


def test_the_page_is_up_to_date() -> None:
    assert _reference.main(["--check"]) == 0, "run `python -m gwz_provision._reference`"


def test_every_command_and_option_is_on_it() -> None:
    page = _reference.page()
    for name in ("plan", "apply", "status", "destroy", "export", "doctor"):
        assert f"## {name}\n" in page
    for option in (
        "--plan FILE",
        "--no-prune",
        "--adopt",
        "--yes",
        "--wait TIME",
        "--debug",
        "--output {text,json}",
        "--detailed-exitcode",
    ):
        assert f"`{option}`" in page
    assert "GRAFANA_TOKEN" in page


def test_a_page_that_has_drifted_is_told(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(_reference, "PAGE", tmp_path / "page.md")
    assert _reference.main(["--check"]) == 1
    assert "has drifted" in capsys.readouterr().err
    assert _reference.main([]) == 0
    assert _reference.main(["--check"]) == 0
