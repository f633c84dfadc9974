"""`gwz-instrument check`: an exposition, live or from a file, held against the contract."""

import json
import os
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from . import semconv
from .deadlines import within
from .faults import Fault, Finding

DEADLINE_S: Final = 10.0
"""What the whole fetch may take, name resolution and redirects included."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of an exposition, after decompression."""
STDIN: Final = "-"
TOKEN_VARIABLE: Final = "GWZ_METRICS_TOKEN"  # noqa: S105  # its name
_ACCEPT: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
_GZIP: Final = 16 + zlib.MAX_WBITS
_CHUNK: Final = 64 * 1024
_T = TypeVar("_T")


class CheckError(Exception):
    """What keeps `check` from judging, with its cure, and the exit code for it."""

    exit_code: int


class WrongArgumentError(CheckError):
    """The arguments name nothing that could be read."""

    exit_code = 2


class UnreachableError(CheckError):
    """There is no exposition: nobody answered, or with something else."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order of the judge, and the declared metrics that have no sample."""

    source: str
    findings: tuple[Finding, ...]
    not_seen: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if there are no findings, else 8."""
        return 8 if self.findings else 0

    def as_json(self) -> str:
        """The report for programs."""
        document = {
            "source": self.source,
            "clean": not self.findings,
            "findings": [asdict(finding) for finding in self.findings],
            "not_seen": list(self.not_seen),
        }
        return json.dumps(document, indent=2) + "\n"

    def as_text(self) -> str:
        """The report for people; nothing in it can steer a terminal."""
        declared = len(semconv.METRICS)
        head = (
            f"{self.source}: {number_of(len(self.findings), 'finding')}, "
            f"{declared - len(self.not_seen)} of {declared} declared metrics seen"
        )
        blocks = [head, *map(str, self.findings)]
        if unfound := sorted(set(self.not_seen) - {one.name for one in self.findings if one.fault is Fault.MUTE}):
            blocks.append("not seen, a finding only with --full: " + ", ".join(unfound))
        return "".join(f"{printable(block)}\n" for block in blocks)


def check(source: str, *, token: str | None = None, full: bool = False) -> Report:
    """Hold the exposition at `source`, a URL, a file or `-` for stdin, against the contract.

    Declared metrics without a sample are findings if `full`. What the application emits under names of its own is
    not judged. Raises WrongArgumentError or UnreachableError.
    """
    place = _place(source)
    if isinstance(place, SplitResult):
        shown, text = shown_url(place), _text(fetch(place, token), shown_url(place))
    else:
        shown = "stdin" if place is None else str(place)
        text = _text(_read(place, shown), shown)
    return examine(text, shown, full=full)


def examine(exposition: str, source: str, *, full: bool = False) -> Report:
    """Judge an exposition; UnreachableError if it is none, or has no sample at all."""
    from .judge import Emitted, Signals, judge  # noqa: PLC0415  # prometheus_client: not for `contract`

    if not any(line.strip() and not line.startswith("#") for line in exposition.splitlines()):
        raise UnreachableError(f"{source} has no sample at all. {_WRONG_PLACE}")
    try:
        found = judge(Emitted(exposition), of=Signals(semconv.METRICS, (), (), ()))
    except ValueError as error:
        raise UnreachableError(f"{source}: {error}") from error
    except Exception as error:  # the parser's, on what nobody has foreseen
        raise UnreachableError(
            f"{source} is no exposition ({type(error).__name__}: {error}). {_WRONG_PLACE}"
        ) from error
    mutes = tuple(finding.name for finding in found if finding.fault is Fault.MUTE)
    return Report(source, tuple(one for one in found if full or one.fault is not Fault.MUTE), mutes)


def run(arguments: Any) -> int:
    """The command: the report goes to stdout, what kept us from making it to stderr; returns the exit code."""
    try:
        token = token_of(arguments.token, os.environ, option="--token", variable=TOKEN_VARIABLE)
        report = check(arguments.source, token=token, full=arguments.full)
    except CheckError as error:
        sys.stderr.write(f"gwz-instrument check: {printable(str(error))}\n")
        return error.exit_code
    sys.stdout.write(report.as_json() if arguments.json else report.as_text())
    sys.stdout.flush()
    return report.exit_code


def fetch(url: SplitResult, token: str | None = None) -> bytes:
    """The body of the answer of `url`, decompressed; UnreachableError unless it is 200, whole, and here in time."""
    headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": "gwz-instrument-check"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = Request(urlunsplit(url), headers=headers)  # noqa: S310  # `_place` has seen to its scheme
    try:
        return reach(url, lambda: _answer(request), DEADLINE_S)
    except HTTPError as error:
        with error:
            raise UnreachableError(
                f"{shown_url(url)} answered {error.code} {error.reason}. {_cure(error.code)}"
            ) from error


def reach(url: SplitResult, work: Callable[[], _T], deadline_s: float) -> _T:
    """What `work`, which asks `url`, returns; UnreachableError if that does not come, whole and in time. Lets HTTPError pass."""
    try:
        return within(deadline_s, work, name="gwz-check")
    except HTTPError:
        raise
    except TimeoutError as error:
        raise UnreachableError(
            f"{shown_url(url)} has not answered in full within {deadline_s:g} s: the application is blocked, or a "
            "firewall drops the packets. Look at its log, or try curl on the same machine"
        ) from error
    except (URLError, HTTPException, EOFError, OSError, ValueError, zlib.error) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"{shown_url(url)} cannot be read ({type(reason).__name__}: {reason}). Start the application, or correct the address"
        ) from error


class _SameHost(HTTPRedirectHandler):
    """Follows no redirect that would show the token, or us, to somebody else."""

    def redirect_request(  # noqa: PLR0917  # the base class's
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
        safer = old.hostname == new.hostname and (old.scheme, new.scheme) == ("http", "https")
        if same or safer:
            return super().redirect_request(req, fp, code, msg, headers, newurl)
        fp.close()
        raise UnreachableError(
            f"{shown_url(old)} redirects to {shown_url(new)}, another server, which is not followed. "
            "Check that address itself if it is the application's"
        )


def _answer(request: Request) -> bytes:
    with build_opener(_SameHost).open(request, timeout=DEADLINE_S) as response:
        if response.status != 200:
            raise UnreachableError(f"the answer has status {response.status}, not 200. {_WRONG_PLACE}")
        return body_of(response)


def body_of(response: Any) -> bytes:
    """The whole body of a response of urllib's, decompressed; it is an error that some of it is missing, or that it is too long."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _DECODERS:
        raise UnreachableError(
            f"the answer is encoded as {encoding!r}, and gzip was asked for. Switch that off in the proxy before it"
        )
    body = _collect(response, _DECODERS[encoding]())
    if response.length:  # http.client raises for a chunked body alone
        raise EOFError(f"{response.length} bytes of it are missing")
    return body


def _collect(stream: IO[bytes], decode: Callable[[bytes], bytes]) -> bytes:
    """All of a stream, as far as it is not too much."""
    whole = bytearray()
    while piece := stream.read(_CHUNK):
        whole += decode(piece)
        if len(whole) > MAX_BYTES:
            raise UnreachableError(
                f"the answer is longer than {MAX_BYTES // 1024**2} MiB, which is too much. "
                "Check the address, or look for a label without bounds"
            )
    decode(b"")
    return bytes(whole)


def _gunzip() -> Callable[[bytes], bytes]:
    """Decompresses piece by piece, never more than can be told to be too much; the empty piece is the end."""
    stream = zlib.decompressobj(_GZIP)

    def decode(piece: bytes) -> bytes:
        if not piece and not stream.eof:
            raise EOFError("its gzip ends in the middle")
        return stream.decompress(piece, MAX_BYTES + 1) if piece else b""

    return decode


def _place(source: str) -> SplitResult | Path | None:
    """The URL or the file that is meant; None for stdin."""
    if source == STDIN:
        return None
    if "://" not in source:
        return Path(source)
    url = address(
        source, "a /metrics: give one like http://localhost:8000/metrics, a file, or - for stdin", TOKEN_VARIABLE
    )
    return url._replace(path=url.path if url.path not in ("", "/") else "/metrics", fragment="")


def address(source: str, wanted: str, variable: str) -> SplitResult:
    """An address of HTTP, with no user in it; WrongArgumentError says what is `wanted`, or which `variable` takes a token."""
    try:
        url = urlsplit(source)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and source.isascii()
    except ValueError:
        valid = False
    if not valid or any(character <= " " for character in source):
        raise WrongArgumentError(f"{source!r} is no address of {wanted}")
    if "@" in url.netloc:
        raise WrongArgumentError(
            f"the address of {url.hostname} has a user or a password in it, which shows in the list of processes: "
            f"give a token in {variable}"
        )
    return url


def _read(file: Path | None, shown: str) -> bytes:
    try:
        if file is None:
            return _collect(sys.stdin.buffer, lambda piece: piece)
        with file.open("rb") as stream:
            return _collect(stream, lambda piece: piece)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreachableError(
            f"{shown} cannot be read ({reason}). Correct the name; an address begins with http:// or https://"
        ) from error


def _text(body: bytes, shown: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UnreachableError(f"{shown} is no exposition: it is not UTF-8 ({error}). {_WRONG_PLACE}") from error


def token_of(given: str | None, environ: Mapping[str, str], *, option: str, variable: str) -> str | None:
    """The token, argument before environment; its text is in no message."""
    token = environ.get(variable, "").strip() if given is None else given
    if not (token.isascii() and token.isprintable()):
        raise WrongArgumentError(
            f"the token of {option if given is not None else variable} has characters that no header can "
            "carry: look for a line break"
        )
    return token or None


def _cure(status: int) -> str:
    if status in (401, 403):
        return f"Give the token that the application has: {TOKEN_VARIABLE} in the environment, or --token"
    if 300 <= status < 400:  # urllib's word for one that leads nowhere
        return "Check the address that it redirects to"
    if status >= 500:
        return "Look at the application's log"
    return _WRONG_PLACE


def shown_url(url: SplitResult) -> str:
    """An address without what may be secret in it."""
    return urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment=""))


def printable(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def number_of(number: int, noun: str) -> str:
    """`2 findings`, `no findings`."""
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"


_DECODERS: Final[dict[str, Callable[[], Callable[[bytes], bytes]]]] = {
    "identity": lambda: lambda piece: piece,
    "": lambda: lambda piece: piece,
    "gzip": _gunzip,
}
_WRONG_PLACE: Final = "Give the address of an instrumented application's /metrics, or what it answered"
