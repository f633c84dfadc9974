"""One call to Grafana through grafana-client, with the edges that cut taken off: quoting, redirects, pages, faults, retries."""

import json
import math
import random
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError, niquests  # its HTTP stack, ours to close

from gwz_provision.access import Access
from gwz_provision.errors import (
    Conflict,
    Distrusted,
    Forbidden,
    NotFound,
    NotGrafana,
    OutOfTime,
    PreconditionFailed,
    ProvisionError,
    ReadOnly,
    Redirected,
    Refused,
    ServerFault,
    Unanswered,
    Unauthorized,
    Unclear,
    Unreachable,
)
from gwz_provision.redaction import masked
from gwz_provision.threads import started

TIMEOUT_SECONDS = 30.0
_TRIES = 5
_BUDGET_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_OUR_CERTIFICATE = (
    "If it asks for a certificate of ours, set GRAFANA_TLS_CERT and GRAFANA_TLS_KEY to one that it accepts."
)
_READ_ONLY = ("provisioned dashboard", "read-only data source", "from 'file'")


def path(*parts: str) -> str:
    """Join the parts of an address, each quoted as a whole: a rule group may be called `a/b`."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


@dataclass
class Calls:
    """What was sent so far, by method; a retry counts again."""

    by_method: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many calls there were."""
        return self.by_method.total()

    @property
    def reads(self) -> int:
        """How many calls only asked."""
        return self.by_method["GET"]

    @property
    def writes(self) -> int:
        """How many calls could have changed something."""
        return self.by_method.total() - self.reads


@dataclass
class _Told:
    """What an answer says beside its body, which grafana-client does not hand over."""

    pause: float | None = None
    """The seconds after which the server wants to be asked again."""


class Transport:
    """A connection pool to one Grafana; may be used by several threads."""

    def __init__(self, access: Access, *, trace: Callable[[str], None] | None = None) -> None:
        """Connect to nothing yet; `trace` is told of each attempt: method, path, status, milliseconds."""
        self.url = access.url
        self.calls = Calls()
        self._trace = trace
        self._ends, self._each = math.inf, TIMEOUT_SECONDS
        self._base = urlsplit(access.url).path.strip("/")
        parts = urlsplit(access.url)
        self._api = GrafanaApi(
            access.auth,
            host=parts.netloc,
            url_path_prefix=f"{self._base}/" if self._base else "",
            protocol=parts.scheme,
            verify=not access.insecure and (access.ca or True),
            timeout=TIMEOUT_SECONDS,
            organization_id=access.organization,
        )
        self._api.client.s.cert = access.certificate
        if access.insecure:  # the person is told once, and not for each call
            warnings.filterwarnings("ignore", message="Unverified HTTPS request")
        # A redirected POST would be sent again as a GET, with the token, to wherever it points.
        self._api.client.s.max_redirects = 0
        self._here = threading.local()
        self._api.client.s.hooks["response"] = [self._note_retry_after]

    def close(self) -> None:
        """Close the connections; a call that is still under way is told of no more."""
        self._trace = None
        self._api.client.s.close()

    @contextmanager
    def within(self, seconds: float, each: float = TIMEOUT_SECONDS) -> Iterator[None]:
        """Let the calls of the block take so long together, and each so long: what comes later raises `OutOfTime`."""
        before = self._ends, self._each
        self._ends, self._each = time.monotonic() + seconds, each
        try:
            yield
        finally:
            self._ends, self._each = before

    def json(self, method: str, address: str, what: str, **options: Any) -> Any:
        """Send a call whose answer is an object, a list or nothing; `options` are those of `send`."""
        answer = self.send(method, address, what, **options)
        if isinstance(answer, str) and answer:
            raise self._foreign(what)
        return answer

    def send(
        self,
        method: str,
        address: str,
        what: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        tries: int = _TRIES,
    ) -> Any:
        """Send a call, again after a fault that cannot have stored anything twice; raises the error that says why not."""
        ends = min(time.monotonic() + _BUDGET_SECONDS, self._ends)
        for attempt in range(1, tries + 1):
            try:
                return self._once(method, address, what, {"json": body, "params": params, "headers": headers})
            except _Again as fault:
                pause = random.uniform(0.5, 1.0) * 0.1 * 2**attempt if fault.pause is None else fault.pause  # noqa: S311
                if attempt == tries or time.monotonic() + pause > ends:
                    raise fault.error from fault.__cause__
                time.sleep(pause)
        raise AssertionError(tries)

    def _once(self, method: str, address: str, what: str, options: Mapping[str, Any]) -> Any:
        began = time.monotonic()
        seconds = min(self._each, self._ends - began)
        if seconds <= 0:
            raise _out_of_time(what)
        self.calls.by_method[method] += 1
        told, outcome = _Told(), "no answer"
        # The HTTP library's own limit is one for each read: a server that sends a byte now and then never meets it.
        call = started(partial(self._call, told, seconds, method, address, options))
        try:
            if not call.is_over_within(seconds):
                raise self._after_timeout(method, what, seconds)
            answer = call.result()
            outcome = "ok"
        except GrafanaTimeoutError as error:
            raise self._after_timeout(method, what, seconds) from error
        except GrafanaException as error:
            outcome = str(error.status_code)
            raise self._after_answer(method, what, error, told) from error
        except niquests.exceptions.TooManyRedirects as error:
            outcome = "redirect"
            raise self._after_redirect(what, error) from error
        # The HTTP library's error for a body that is not JSON is a ValueError.
        except (ValueError, RecursionError, niquests.exceptions.ContentDecodingError) as error:
            outcome = "not JSON"
            raise self._foreign(what) from error
        except OSError as error:  # what the HTTP library raises derives from it
            raise self._after_network_fault(method, what, error) from error
        finally:
            if self._trace:
                self._trace(f"{method} {address} {outcome} {1000 * (time.monotonic() - began):.0f} ms")
        return answer

    def _call(self, told: _Told, seconds: float, method: str, address: str, options: Mapping[str, Any]) -> Any:
        self._here.told = told
        # The threads share it; it is near the same for all calls of a moment.
        self._api.client.timeout = seconds
        return getattr(self._api.client, method)(address, **options, accept_empty_json=True)

    def _note_retry_after(self, answer: Any, **_: Any) -> None:
        seconds = str(answer.headers.get("Retry-After", ""))
        if re.fullmatch("[0-9]{1,9}", seconds):
            self._here.told.pause = min(float(seconds), _LONGEST_PAUSE_SECONDS)

    def _after_timeout(self, method: str, what: str, seconds: float) -> ProvisionError:
        if seconds < self._each:
            return _out_of_time(what)
        said = f"{self.url} did not answer within {seconds:.3g} s when asked for {what}."
        cure = "Look whether it, or the data source behind it, is overloaded."
        return Unanswered(said, cure) if method == "GET" else Unclear(said, cure)

    def _after_answer(self, method: str, what: str, error: Any, told: _Told) -> Exception:
        translated = _translated(method, what, error)
        status = error.status_code
        if status == 429 or (status >= 500 and method != "POST"):
            return _Again(translated, told.pause)
        return translated

    def _after_network_fault(self, method: str, what: str, error: Exception) -> Exception:
        if isinstance(error, niquests.exceptions.SSLError):
            return _distrusted(self.url, error)
        # What was sent and not answered may have got as far as the server behind Grafana.
        unreachable = (Unreachable if _never_sent(error) else Unanswered)(
            f"Grafana at {self.url} cannot be reached: {_innermost(error)}.",
            "Start it, or correct GRAFANA_URL: scheme, host and port are taken as they are, redirects are not followed."
            # Whoever misses it may close the connection instead of saying so.
            + (f" {_OUR_CERTIFICATE}" if self.url.startswith("https:") and not self._api.client.s.cert else ""),
        )
        if _never_sent(error) or method != "POST":
            return _Again(unreachable)
        return Unclear(
            f"The answer to {what} was lost: {_innermost(error)}.", "Apply again: what was stored is found, and kept."
        )

    def _after_redirect(self, what: str, error: Any) -> Redirected:
        location = error.response.headers.get("Location", "") if error.response is not None else ""
        parts = _split(location)
        shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        return Redirected(
            f"{self.url} redirects to {shown or 'another address'} when asked for {what}; redirects are not followed.",
            f"Set GRAFANA_URL={base}."
            if (base := self._other_base(parts))
            else "Point GRAFANA_URL at Grafana itself: is this a login page, or a proxy in front of it?",
        )

    def _other_base(self, parts: SplitResult) -> str:
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return ""
        base = f"/{self._base}" if self._base else ""
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], base, "", ""))

    def _foreign(self, what: str) -> NotGrafana:
        return NotGrafana(
            f"{self.url} answered with something other than JSON when asked for {what}.",
            "This is not Grafana's API: a login page or a proxy in front of it? Point GRAFANA_URL at Grafana itself.",
        )


class _Again(Exception):  # noqa: N818 - a signal between two functions of this module
    """A fault after which the same call may be sent again; `error` is what it becomes when that does not help."""

    def __init__(self, error: ProvisionError, pause: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause = pause
        """The seconds until then, if the server has said so."""


def _out_of_time(what: str) -> OutOfTime:
    return OutOfTime(
        f"There was no time left to ask for {what}.", "Give it more time, or look what is slow: --debug tells."
    )


def _translated(method: str, what: str, error: Any) -> ProvisionError:  # noqa: PLR0911 - one return for each situation
    status, said = error.status_code, _said(error)
    if any(words in said for words in _READ_ONLY) and status in {400, 403, 500}:
        return ReadOnly(
            f"{what[:1].upper()}{what[1:]} cannot be changed: {said}.",
            "Grafana reads it from a file: remove it from its provisioning folder (GF_PATHS_PROVISIONING), restart it, and apply again.",
        )
    match status:
        case 401:
            return Unauthorized(
                f"Grafana refused the login: {said}.",
                "Check GRAFANA_TOKEN, or GRAFANA_USER and GRAFANA_PASSWORD; five wrong passwords lock a user for five minutes.",
            )
        case 403:
            return Forbidden(
                f"Grafana forbids {what}: {said}.",
                "Give the service account the Admin role: data sources need it; doctor is content with Viewer.",
            )
        case 404:
            return NotFound(f"Grafana does not know {what}: {said}.", "Run `gwz-provision apply`.")
        case 409 | 412:
            return (PreconditionFailed if status == 412 else Conflict)(
                f"Grafana holds something else in the place of {what}: {said}.",
                "Another object has that name, or somebody saved it meanwhile: rename or remove the other one, then apply again.",
            )
        case _ if status in {502, 503, 504} and method == "POST":
            return Unclear(f"Grafana answered {status} for {what}: {said}.", "Apply again when it is well.")
        case _:
            return (ServerFault if status >= 500 else Refused)(
                f"Grafana answered {status} for {what}: {said}.",
                "If the words do not say enough, Grafana's log at the same second does.",
            )


def _said(error: Any) -> str:
    words = error.response
    if isinstance(words, dict):
        told = {name: value for name, value in words.items() if value}
        # Servers behind Grafana have words of other names.
        words = told.get("message") or (json.dumps(told) if told else "")
    return masked(" ".join(str(words or "").split()))[:500].rstrip(".") or "it gave no reason"


def _distrusted(url: str, error: Exception) -> Distrusted:
    said = _innermost(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        cure = "Name the authority that signed it with GRAFANA_CA_CERT, or the host that it is made out to with GRAFANA_URL."
    elif "WRONG_VERSION_NUMBER" in said:
        cure = "What listens there does not speak TLS: write http:// in GRAFANA_URL, or name the port that does."
    else:
        cure = _OUR_CERTIFICATE
    return Distrusted(f"No secure connection to Grafana at {url} came about: {said}.", cure)


def _never_sent(error: BaseException) -> bool:
    """Tell whether the connection was never made: nothing can have arrived."""
    return isinstance(error, niquests.exceptions.ConnectTimeout) or any(
        isinstance(link, ConnectionRefusedError) or type(link).__name__ in {"NewConnectionError", "NameResolutionError"}
        for link in _chain(error)
    )


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        link = pending.pop()
        if isinstance(link, BaseException) and link not in links:
            links.append(link)
            pending += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return links


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error)


def _split(address: str) -> SplitResult:
    """Take an address apart; one that is none has no parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
