"""TLS: whom we trust, what we show of ourselves, and what is told when one side does not accept the other."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import generated
import pytest
from authority import Authority, made, secured
from fake_grafana import FakeGrafana

from gwz_provision.access import Access, problems
from gwz_provision.cli import main
from gwz_provision.environment import Environment
from gwz_provision.errors import Distrusted, Unreachable
from gwz_provision.grafana import Grafana

LOGIN = ("admin", "admin")
ENVIRON = {"GRAFANA_USER": "admin", "GRAFANA_PASSWORD": "admin", "GRAFANA_URL": "https://grafana.example.com"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which makes the certificates")
    return made(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    with secured(authority, FakeGrafana(), asks=False) as address:
        yield address


@pytest.fixture
def strict(authority: Authority) -> Iterator[str]:
    with secured(authority, FakeGrafana(), asks=True) as address:
        yield address


def version(url: str, **options: object) -> str:
    with Grafana(Access(url, LOGIN, **options)) as grafana:
        return grafana.reader.version()


@pytest.mark.parametrize("spelling", ["file", "text"])
def test_an_authority_of_one_s_own_is_trusted(authority: Authority, url: str, spelling: str) -> None:
    assert version(url, ca=getattr(authority, spelling)("ca.pem")) == FakeGrafana().version


def test_a_certificate_that_nobody_signed_is_refused_at_once_with_the_cure(url: str) -> None:
    """Without a wait: nothing that starts later makes it good."""
    began = time.monotonic()
    with Grafana(Access(url, LOGIN)) as grafana, pytest.raises(Distrusted, match="CERTIFICATE_VERIFY_FAILED") as caught:
        grafana.reader.wait(60, lambda _: None)
    assert time.monotonic() - began < 20
    assert "GRAFANA_CA_CERT" in caught.value.cure


def test_a_certificate_of_another_host_is_refused(authority: Authority, url: str) -> None:
    with pytest.raises(Distrusted) as caught:
        version(url.replace("127.0.0.1", "localhost"), ca=authority.file("ca.pem"))
    assert "localhost" in caught.value.cause
    assert "GRAFANA_URL" in caught.value.cure


@pytest.mark.parametrize("spelling", ["file", "text"])
def test_a_certificate_of_ours_is_shown(authority: Authority, strict: str, spelling: str) -> None:
    find = getattr(authority, spelling)
    own = (find("client.pem"), find("client.key"))
    assert version(strict, ca=find("ca.pem"), certificate=own) == FakeGrafana().version


def test_without_a_certificate_of_ours_the_cure_names_it(authority: Authority, strict: str) -> None:
    """The server tells it, or closes the connection: whichever is seen first."""
    with pytest.raises(Unreachable) as caught:
        version(strict, ca=authority.file("ca.pem"))
    assert "GRAFANA_TLS_CERT" in caught.value.cure


def test_plain_http_behind_https_is_told_as_that(authority: Authority) -> None:
    from fake_grafana import served  # noqa: PLC0415

    with served(FakeGrafana()) as plain, pytest.raises(Distrusted) as caught:
        version(plain.replace("http:", "https:"), ca=authority.file("ca.pem"))
    assert "write http:// in GRAFANA_URL" in caught.value.cure


def test_apply_without_verification_works_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, tiny: Path
) -> None:
    environ = {**generated.VARIABLES, **ENVIRON, "GRAFANA_URL": url, "GRAFANA_INSECURE_SKIP_VERIFY": "true"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["apply", "--bundle", str(tiny)]) == 0
    err = capsys.readouterr().err
    assert err.count("warning: GRAFANA_INSECURE_SKIP_VERIFY is set") == 1
    assert "Unverified" not in err


def test_the_variables_are_read(authority: Authority) -> None:
    files = {"GRAFANA_CA_CERT": authority.file("ca.pem"), "GRAFANA_TLS_CERT": authority.file("client.pem"), "GRAFANA_TLS_KEY": authority.file("client.key")}  # fmt: skip
    assert problems({**ENVIRON, **files}) == []
    found = Access.from_environment({**ENVIRON, **files})
    assert (found.ca, found.certificate, found.insecure) == (files["GRAFANA_CA_CERT"], (files["GRAFANA_TLS_CERT"], files["GRAFANA_TLS_KEY"]), False)  # fmt: skip


def test_what_stands_in_the_environment_or_in_a_named_file_is_as_good_as_a_path(authority: Authority) -> None:
    named = Environment(
        {
            **ENVIRON,
            "GRAFANA_CA_CERT": authority.text("ca.pem"),
            "GRAFANA_TLS_CERT_FILE": authority.file("client.pem"),
            "GRAFANA_TLS_KEY_FILE": authority.file("client.key"),
        }
    )
    assert problems(named) == []
    found = Access.from_environment(named)
    assert found.certificate == (authority.text("client.pem").rstrip(), authority.text("client.key").rstrip())
    assert authority.text("client.key").splitlines()[1] in found.secrets
    assert authority.text("client.key").splitlines()[1] not in repr(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GRAFANA_TLS_CERT": "client.pem"}, "GRAFANA_TLS_CERT is set, and GRAFANA_TLS_KEY is not"),
        ({"GRAFANA_TLS_KEY": "client.key"}, "GRAFANA_TLS_KEY is set, and GRAFANA_TLS_CERT is not"),
        ({"GRAFANA_TLS_CERT": "client.pem", "GRAFANA_TLS_KEY": "server.key"}, "cannot be used together"),
        ({"GRAFANA_TLS_CERT": "client.key", "GRAFANA_TLS_KEY": "client.key"}, "GRAFANA_TLS_CERT holds no certificate in PEM form"),
        ({"GRAFANA_TLS_CERT": "client.pem", "GRAFANA_TLS_KEY": "client.pem"}, "GRAFANA_TLS_KEY holds no private key in PEM form"),
        ({"GRAFANA_CA_CERT": "nowhere.pem"}, "which cannot be read: No such file"),
        ({"GRAFANA_CA_CERT": "broken.pem"}, "GRAFANA_CA_CERT cannot be used"),
        ({"GRAFANA_CA_CERT": "ca.pem", "GRAFANA_INSECURE_SKIP_VERIFY": "1"}, "GRAFANA_CA_CERT is set, and so is GRAFANA_INSECURE_SKIP_VERIFY"),
        ({"GRAFANA_CA_CERT": "ca.pem", "GRAFANA_URL": "http://grafana"}, "GRAFANA_CA_CERT is set, and GRAFANA_URL begins with http://"),
        ({"GRAFANA_INSECURE_SKIP_VERIFY": "maybe"}, "GRAFANA_INSECURE_SKIP_VERIFY is 'maybe': write true or false"),
        ({"GRAFANA_INSECURE_SKIP_VERIFY": "yes", "GRAFANA_URL": "HTTP://grafana"}, "GRAFANA_INSECURE_SKIP_VERIFY is set, and GRAFANA_URL begins with http://"),
        ({"GRAFANA_CA_CERT": "-----BEGIN CERTIFICATE-----\nä"}, "GRAFANA_CA_CERT cannot be read: it is not ASCII text"),
        ({"GRAFANA_CA_CERT": "x" * 5000}, "GRAFANA_CA_CERT cannot be read: File name too long"),
        ({"GRAFANA_CA_CERT": "a\x00b"}, "GRAFANA_CA_CERT is 'a\\x00b', which cannot be read"),
        ({"GRAFANA_CA_CERT": "/dev"}, "GRAFANA_CA_CERT is '/dev', which cannot be read: Is a directory"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_told_before_the_first_call(
    authority: Authority, changes: dict[str, str], words: str
) -> None:
    (authority.folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    placed = {
        name: authority.file(value) if value.endswith(("pem", "key")) else value for name, value in changes.items()
    }
    (problem,) = problems({**ENVIRON, **placed})
    assert words in problem


def test_a_key_without_its_header_is_not_repeated(authority: Authority) -> None:
    bare = "".join(authority.text("client.key").splitlines()[1:-1])
    (problem,) = problems({**ENVIRON, "GRAFANA_TLS_CERT": authority.file("client.pem"), "GRAFANA_TLS_KEY": bare})
    assert problem.startswith("GRAFANA_TLS_KEY cannot be read: ")
    assert bare[:20] not in problem


@pytest.mark.parametrize("value", ["false", "0", "F"])
@pytest.mark.parametrize("url", ["https://grafana", "http://grafana"])
def test_a_no_is_a_no(url: str, value: str) -> None:
    environ = {**ENVIRON, "GRAFANA_URL": url, "GRAFANA_INSECURE_SKIP_VERIFY": value}
    assert problems(environ) == []
    assert not Access.from_environment(environ).insecure
