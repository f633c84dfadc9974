"""Reading the environment."""

import argparse
from pathlib import Path

import pytest

from gwz_provision.access import Access, problems
from gwz_provision.connecting import connected
from gwz_provision.console import Console
from gwz_provision.environment import Environment
from gwz_provision.errors import Misconfigured
from gwz_provision.redaction import Redactor

URL = {"GRAFANA_URL": "https://grafana.example.com/sub"}


def test_a_token_is_enough() -> None:
    environ = {**URL, "GRAFANA_TOKEN": "glsa_x"}
    assert problems(environ) == []
    assert Access.from_environment(environ) == Access("https://grafana.example.com/sub", "glsa_x")


def test_user_and_password_are_enough() -> None:
    environ = {**URL, "GRAFANA_USER": "admin", "GRAFANA_PASSWORD": "p@ss:w%rd"}
    assert problems(environ) == []
    assert Access.from_environment(environ).auth == ("admin", "p@ss:w%rd")


def test_an_empty_environment_names_everything_at_once() -> None:
    found = problems({})
    assert len(found) == 2
    assert "GRAFANA_URL is not set" in found[0]
    assert "neither GRAFANA_TOKEN nor GRAFANA_USER and GRAFANA_PASSWORD is set" in found[1]


def test_a_user_without_password_is_told_which_one_is_missing() -> None:
    assert problems({**URL, "GRAFANA_USER": "admin"}) == [
        "neither GRAFANA_TOKEN nor GRAFANA_PASSWORD is set: export a service account's token, or user and password"
    ]


def test_token_and_password_together_are_refused() -> None:
    """Guessing which one is meant would let a forgotten variable decide the rights."""
    (problem,) = problems({**URL, "GRAFANA_TOKEN": "t", "GRAFANA_PASSWORD": "p"})
    assert problem == "GRAFANA_TOKEN is set, and so is GRAFANA_PASSWORD: unset the one that is not meant"


@pytest.mark.parametrize(
    "url",
    [
        "grafana:3000",
        "ftp://grafana",
        "http://",
        "localhost",
        "http://grafana:abc",
        "http://grafana:99999",
        "http://grafana:99999999",
        "http://grafana:0",
        "http://[::1",
        "http://a b/",
        "http://.",
        f"http://{'a' * 64}.com",
        "http://grafana\n",
    ],
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    (problem,) = problems({"GRAFANA_URL": url, "GRAFANA_TOKEN": "t"})
    assert f"GRAFANA_URL is {url!r}, not an http:// or https:// address" in problem


@pytest.mark.parametrize(
    "url", ["HTTP://grafana:1", "http://[::1]:3000/sub", "https://grafana.日本", "http://my_grafana."]
)
def test_an_address_of_an_odd_form_is_one(url: str) -> None:
    assert problems({"GRAFANA_URL": url, "GRAFANA_TOKEN": "t"}) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://admin:s3cret@grafana", "move them to GRAFANA_USER and GRAFANA_PASSWORD"),
        ("http://admin:s3?cret@grafana", "move them to GRAFANA_USER and GRAFANA_PASSWORD"),
        ("admin:s3cret@grafana:3000", "move them to GRAFANA_USER and GRAFANA_PASSWORD"),
        ("http://grafana/?t=s3cret", "'http://grafana/' and more"),
        ("http://grafana#s3cret", "'http://grafana' and more"),
        ("ftp://grafana/?t=s3cret", "'ftp://grafana/', not an http"),
    ],
)
def test_credentials_in_the_address_are_refused_without_repeating_them(url: str, words: str) -> None:
    (problem,) = problems({"GRAFANA_URL": url, "GRAFANA_TOKEN": "t"})
    assert words in problem
    assert "cret" not in problem


@pytest.mark.parametrize("token", ["t0k\nen", "t0ken ", "t0k\x00en", "t0k\r\nX-A: b", "\ufefft0ken", "t0ken\u65e5"])
def test_a_token_that_no_header_can_carry_is_refused_without_repeating_it(token: str) -> None:
    (problem,) = problems({**URL, "GRAFANA_TOKEN": token})
    assert problem.startswith("GRAFANA_TOKEN holds a space, a line break or a letter that no token has")
    assert "t0k" not in problem


def test_what_is_no_text_is_told() -> None:
    with pytest.raises(Misconfigured, match="GRAFANA_PASSWORD is not UTF-8 text"):
        problems(Environment({**URL, "GRAFANA_USER": "u", "GRAFANA_PASSWORD": "caf\udce9"}))


def test_the_credentials_stay_out_of_the_representation() -> None:
    assert "s3cret" not in repr(Access("http://grafana", ("admin", "s3cret")))


def test_the_login_is_hidden_as_its_header_has_it_too() -> None:
    found = Redactor(Access("http://grafana", ("admin", "s3cret")).secrets)
    assert found("Authorization: Basic YWRtaW46czNjcmV0") == "Authorization: Basic ***"


def test_a_secret_that_nobody_asks_for_may_be_out_of_reach() -> None:
    """It may be the application's, whose files are not ours to read."""
    environ = Environment({**URL, "GRAFANA_TOKEN": "glsa_x", "GWZ_METRICS_TOKEN_FILE": "/nowhere"})
    options = argparse.Namespace(console=Console(Redactor()), debug=False)
    with connected(options, environ) as grafana:
        assert grafana.calls.total == 0


def test_a_token_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_x\n")
    environ = Environment({**URL, "GRAFANA_TOKEN_FILE": str(file)})
    assert problems(environ) == []
    assert Access.from_environment(environ).auth == "glsa_x"


def test_a_token_s_file_beside_a_password_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_x\n")
    (problem,) = problems(Environment({**URL, "GRAFANA_TOKEN_FILE": str(file), "GRAFANA_PASSWORD": "p"}))
    assert problem.startswith("GRAFANA_TOKEN is set, and so is GRAFANA_PASSWORD")


def test_a_user_works_in_the_organisation_that_is_named() -> None:
    environ = {**URL, "GRAFANA_USER": "admin", "GRAFANA_PASSWORD": "p", "GRAFANA_ORG_ID": "2"}
    assert problems(environ) == []
    assert Access.from_environment(environ).organization == 2
    assert Access.from_environment({**environ, "GRAFANA_ORG_ID": ""}).organization is None


@pytest.mark.parametrize(
    ("login", "number", "words"),
    [
        ({"GRAFANA_USER": "u", "GRAFANA_PASSWORD": "p"}, "main", "GRAFANA_ORG_ID is 'main', not a number from 1"),
        ({"GRAFANA_USER": "u", "GRAFANA_PASSWORD": "p"}, "0", "GRAFANA_ORG_ID is '0', not a number from 1"),
        ({"GRAFANA_USER": "u", "GRAFANA_PASSWORD": "p"}, "\u0663", "GRAFANA_ORG_ID is '\u0663', not a number from 1"),
        ({"GRAFANA_USER": "u", "GRAFANA_PASSWORD": "p"}, "9" * 5000, "GRAFANA_ORG_ID is '99999999999999999999', not a number from 1"),
        ({"GRAFANA_TOKEN": "t"}, "2", "GRAFANA_ORG_ID is set, and so is GRAFANA_TOKEN, which belongs to one organisation"),
    ],
)  # fmt: skip
def test_an_organisation_that_cannot_be_meant_is_refused(login: dict[str, str], number: str, words: str) -> None:
    (problem,) = problems({**URL, **login, "GRAFANA_ORG_ID": number})
    assert words in problem
