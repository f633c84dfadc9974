"""Where Grafana is, how to log in and whom to trust, read from the environment."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_TRUE, _FALSE = frozenset({"1", "t", "true", "yes"}), frozenset({"0", "f", "false", "no"})
_FILES = ("GRAFANA_CA_CERT", "GRAFANA_TLS_CERT", "GRAFANA_TLS_KEY")
"""The names are those of Grafana's Terraform provider. A certificate is the path of a PEM file, or what stands in one."""
_VISIBLE = re.compile(r"[!-~]+")
_LONGEST_PATH = 255


@dataclass(frozen=True)
class Access:
    """The address of a Grafana, with a service account's token or a user and a password."""

    url: str
    auth: str | tuple[str, str] = field(repr=False)
    organization: int | None = None
    """The organisation that a user works in; a token belongs to one."""
    ca: str = ""
    """Whose certificates are trusted; those of the system when it is empty."""
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    """Our own certificate, and its key."""
    insecure: bool = False
    """Whether any certificate is taken."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read an environment in which `problems` found none."""
        auth = environ.get("GRAFANA_TOKEN") or (environ.get("GRAFANA_USER", ""), environ.get("GRAFANA_PASSWORD", ""))
        own = (environ.get("GRAFANA_TLS_CERT", ""), environ.get("GRAFANA_TLS_KEY", ""))
        return cls(
            environ["GRAFANA_URL"],
            auth,
            int(environ.get("GRAFANA_ORG_ID") or 0) or None,
            environ.get("GRAFANA_CA_CERT", ""),
            own if all(own) else None,
            _is_insecure(environ),
        )

    @property
    def secrets(self) -> list[str]:
        """What nobody may read: the token or the password, also as the header has it, and the key if it stands in the environment."""
        login = [self.auth] if isinstance(self.auth, str) else [self.auth[1], ":".join(self.auth)]
        key = self.certificate[1] if self.certificate and _is_pem(self.certificate[1]) else ""
        return [*login, *(line for line in key.splitlines() if not _is_pem(line) and "-----END" not in line)]

    @property
    def warnings(self) -> list[str]:
        """What a person should know before the first call."""
        said = "GRAFANA_INSECURE_SKIP_VERIFY is set: whoever stands between here and Grafana can read the login"
        return [said] if self.insecure else []


def problems(environ: Mapping[str, str]) -> list[str]:
    """Name all that keeps the environment from describing one access; an empty variable counts as unset."""
    return [
        *_url_problems(environ.get("GRAFANA_URL", "")),
        *_login_problems(environ),
        *_organization_problems(environ),
        *_tls_problems(environ),
    ]


def _url_problems(url: str) -> list[str]:
    if not url:
        return ["GRAFANA_URL is not set: export GRAFANA_URL=https://grafana.example.com"]
    if "@" in url:
        return ["GRAFANA_URL contains a user or a password: move them to GRAFANA_USER and GRAFANA_PASSWORD"]
    address = re.split(r"[?#]", url)[0]
    if not is_address(address):
        return [
            f"GRAFANA_URL is {address!r}, not an http:// or https:// address with a host and a port that exist: correct it"
        ]
    if address != url:
        return [f"GRAFANA_URL is {address!r} and more, which no Grafana needs: leave out what begins with ? or #"]
    return []


def is_address(url: str) -> bool:
    """Tell whether a text is an http:// or https:// address with a host, and with a port that exists if it names one."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and port != 0 and url.isprintable() and " " not in url


def _login_problems(environ: Mapping[str, str]) -> list[str]:
    pair = [name for name in ("GRAFANA_USER", "GRAFANA_PASSWORD") if environ.get(name)]
    token = environ.get("GRAFANA_TOKEN")
    if token and pair:
        return [f"GRAFANA_TOKEN is set, and so is {' and '.join(pair)}: unset the one that is not meant"]
    if token and not _VISIBLE.fullmatch(token):
        return ["GRAFANA_TOKEN holds a space, a line break or a letter that no token has: copy it once more"]
    if token:
        return []
    if len(pair) == 2:
        return []
    missing = " and ".join(name for name in ("GRAFANA_USER", "GRAFANA_PASSWORD") if name not in pair)
    return [f"neither GRAFANA_TOKEN nor {missing} is set: export a service account's token, or user and password"]


def _organization_problems(environ: Mapping[str, str]) -> Iterator[str]:
    number = environ.get("GRAFANA_ORG_ID", "")
    if number and not re.fullmatch(r"[1-9][0-9]{0,17}", number):
        yield f"GRAFANA_ORG_ID is {number[:20]!r}, not a number from 1: Grafana shows it under Administration, Organizations"
    if number and environ.get("GRAFANA_TOKEN"):
        yield "GRAFANA_ORG_ID is set, and so is GRAFANA_TOKEN, which belongs to one organisation: unset GRAFANA_ORG_ID"


def _tls_problems(environ: Mapping[str, str]) -> Iterator[str]:
    found = [name for name in _FILES if environ.get(name)]
    meant = [*found, *(["GRAFANA_INSECURE_SKIP_VERIFY"] if _is_insecure(environ) else [])]
    skip = environ.get("GRAFANA_INSECURE_SKIP_VERIFY", "").lower()
    if skip and skip not in _TRUE | _FALSE:
        yield f"GRAFANA_INSECURE_SKIP_VERIFY is {skip!r}: write true or false"
    if meant and environ.get("GRAFANA_URL", "").lower().startswith("http://"):
        yield f"{' and '.join(meant)} is set, and GRAFANA_URL begins with http://: write https://, or unset it"
    if _is_insecure(environ) and "GRAFANA_CA_CERT" in found:
        yield "GRAFANA_CA_CERT is set, and so is GRAFANA_INSECURE_SKIP_VERIFY, which trusts anybody: unset one"
    pair = [name for name in ("GRAFANA_TLS_CERT", "GRAFANA_TLS_KEY") if name in found]
    if len(pair) == 1:
        other = "GRAFANA_TLS_KEY" if pair == ["GRAFANA_TLS_CERT"] else "GRAFANA_TLS_CERT"
        yield f"{pair[0]} is set, and {other} is not: a client's certificate needs both"
    faults = [problem for name in _FILES if name in found for problem in _file_problems(name, environ[name])]
    yield from faults or _unusable(environ)


def _file_problems(name: str, value: str) -> Iterator[str]:
    """Look into the file that a certificate or a key is to be read from."""
    try:
        text = (value.encode("ascii") if _is_pem(value) else Path(value).read_bytes()).decode("ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        # It may be a key without its header, and a certificate may have its key beside it.
        is_path = name != "GRAFANA_TLS_KEY" and len(value) <= _LONGEST_PATH and not _is_pem(value)
        yield f"{name}{f' is {value!r}, which' if is_path else ''} cannot be read: {reason}"
        return
    kind = "PRIVATE KEY-----" if name.endswith("KEY") else "CERTIFICATE-----"
    if kind not in text:
        yield f"{name} holds no {kind.rstrip('-').lower()} in PEM form: it begins with -----BEGIN"


def _unusable(environ: Mapping[str, str]) -> Iterator[str]:
    """Try what the files hold, so that a key of another certificate is told before the first call."""
    import ssl  # noqa: PLC0415 - --help does not wait for it

    authority, own, key = (environ.get(name, "") for name in _FILES)
    try:
        if authority:
            is_text = _is_pem(authority)
            ssl.create_default_context(cafile=None if is_text else authority, cadata=authority if is_text else None)
    except (OSError, ValueError) as error:  # what `ssl` raises is an OSError
        yield f"GRAFANA_CA_CERT cannot be used: {error}"
    if not (own and key) or _is_pem(own) or _is_pem(key):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(own, key, password=lambda: "")
    except (OSError, ValueError) as error:
        yield f"GRAFANA_TLS_CERT and GRAFANA_TLS_KEY cannot be used together: {error}; the key must be the certificate's, and not encrypted"


def _is_pem(value: str) -> bool:
    return "-----BEGIN" in value


def _is_insecure(environ: Mapping[str, str]) -> bool:
    return environ.get("GRAFANA_INSECURE_SKIP_VERIFY", "").lower() in _TRUE
