"""What can be asked of Grafana, and what can be told it: `Reader` has no method that writes, `Writer` only such."""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from grafana_client.client import GrafanaException

from gwz_provision import shapes
from gwz_provision.access import Access
from gwz_provision.bundle import Json
from gwz_provision.errors import (
    Conflict,
    Distrusted,
    Forbidden,
    ForeignServer,
    NotFound,
    NotGrafana,
    Redirected,
    Refused,
    Unanswered,
    Unclear,
    Unreachable,
    UnsupportedVersion,
)
from gwz_provision.shapes import Shape, misfit
from gwz_provision.transport import TIMEOUT_SECONDS, Calls, Transport, path

_T = TypeVar("_T")
_OLDEST, _NEWEST = (11, 0), (11, 6)
_VERSION = re.compile(r"([0-9]{1,99})(?:\.([0-9]{1,99})?.*)?")
_PAGE = 5000
_LONGEST_PAUSE = 0.7
"""Seconds between two looks at a Grafana that starts."""
_READS_ALERTING = frozenset(
    {"alert.notifications:read", "alert.notifications.provisioning:read", "alert.provisioning:read"}
)
_RULES = "/v1/provisioning/alert-rules"
_CONTACTS = "/v1/provisioning/contact-points"
_POLICIES = "/v1/provisioning/policies"
_TIMINGS = "/v1/provisioning/mute-timings"
_TEMPLATES = "/v1/provisioning/templates"
# Tested for its presence: even "false" switches it on.
_KEEP_EDITABLE = {"X-Disable-Provenance": "true"}


class Grafana:
    """A connection to one Grafana; use it in a `with` block, which closes it."""

    def __init__(self, access: Access, *, trace: Callable[[str], None] | None = None) -> None:
        """Connect to nothing yet; `trace` is told of every call."""
        self._transport = Transport(access, trace=trace)
        self.reader = Reader(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    @property
    def calls(self) -> Calls:
        """What was sent so far."""
        return self.reader.calls

    def writer(self) -> "Writer":
        """Return what may change Grafana; planning never asks for it."""
        return Writer(self._transport)


class Reader:
    """Asks Grafana; nothing here changes it."""

    def __init__(self, transport: Transport) -> None:
        """Ask over this connection."""
        self._transport = transport
        self.url = transport.url

    def within(self, seconds: float, each: float = TIMEOUT_SECONDS) -> AbstractContextManager[None]:
        """Let the calls of the block take so long together, and each so long: what comes later raises `OutOfTime`."""
        return self._transport.within(seconds, each)

    @property
    def calls(self) -> Calls:
        """What was sent so far."""
        return self._transport.calls

    def wait(self, seconds: float, say: Callable[[str], None]) -> str:
        """Return the version as soon as Grafana is ready; raises the last `Unreachable` after so many seconds."""
        try:
            return self._patiently(self.version, seconds, say)
        except Refused as error:
            raise Unreachable(error.cause, error.cure) from error

    def _patiently(self, ask: Callable[[], _T], seconds: float, say: Callable[[str], None]) -> _T:
        """Ask until there is an answer, for so many seconds at the most, telling why there is none every five."""
        began, told = time.monotonic(), 0.0
        while True:
            try:
                return ask()
            except (Unreachable, Refused, Forbidden) as error:
                waited = time.monotonic() - began
                if waited + _LONGEST_PAUSE > seconds or self._is_final(error):
                    raise
                if waited >= told:
                    say(f"waiting for Grafana at {self.url}, {waited:.0f} of {seconds:.0f} s: {error.cause}")
                    told += 5.0
            time.sleep(random.uniform(0.3, _LONGEST_PAUSE))  # noqa: S311 - so that many do not ask in step

    def _is_final(self, error: Exception) -> bool:
        """Tell whether waiting changes nothing; until alerting has started, Grafana forbids it to those who may use it too."""
        if isinstance(error, Forbidden):
            return not _READS_ALERTING.intersection(self.permissions() or ())
        return isinstance(error, Distrusted | Redirected)

    def version(self) -> str:
        """Ask for the version, without a login; raises `Unreachable` unless its database is ready too."""
        health = self._object("/health", "/api/health", shapes.HEALTH, tries=1)
        if health.get("database") != "ok":
            raise Unreachable(
                f"Grafana at {self.url} is not ready: database {health.get('database')!r}.",
                "Wait until it has migrated its database; its log says what it does.",
            )
        return str(health.get("version") or "unknown")

    def login(self) -> None:
        """Raise `NotAllowed` unless Grafana accepts the credentials."""
        # A Grafana that is open to viewers answers most other calls whatever the password, and locks the user after five.
        # A token is told 403 here, because a service account is no user: so it was accepted.
        with suppress(Forbidden):
            self._object("/user", "/api/user", dict)

    def permissions(self) -> frozenset[str] | None:
        """List what the login may do; None when this Grafana does not say."""
        found = self._found("/access-control/user/permissions", "its permissions", dict)
        return None if found is None else frozenset(found)

    def search(self) -> list[Json]:
        """List all folders and dashboards, without the folder that Grafana invents for what was shared."""
        hits: list[Json] = []
        for page in range(1, 1000):
            found = self._list(
                "/search", "its folders and dashboards", shapes.HITS, {"limit": str(_PAGE), "page": str(page)}
            )
            hits += [hit for hit in found if hit["uid"] != "sharedwithme"]
            if len(found) < _PAGE:
                break
        return hits

    def folder(self, uid: str) -> Json | None:
        """Read a folder; None when there is none."""
        return self._found(path("folders", uid), f"folder {uid}", shapes.FOLDER)

    def folder_counts(self, uid: str) -> Mapping[str, int]:
        """Count what lies in a folder and below it, by kind."""
        return self._object(path("folders", uid, "counts"), f"what is in folder {uid}", shapes.COUNTS)

    def datasources(self) -> list[Json]:
        """List the data sources, without their versions and without which secrets they have."""
        return self._list("/datasources", "its data sources", [shapes.DATASOURCE])

    def datasource(self, uid: str) -> Json | None:
        """Read a data source; None when there is none."""
        return self._found(path("datasources", "uid", uid), f"data source {uid}", shapes.DATASOURCE)

    def dashboard(self, uid: str) -> Json | None:
        """Read a dashboard with its `meta`; None when there is none."""
        return self._found(path("dashboards", "uid", uid), f"dashboard {uid}", shapes.DASHBOARD)

    def dashboard_versions(self, uid: str) -> list[Json]:
        """List a dashboard's newest versions with what each of them held."""
        what = f"the versions of dashboard {uid}"
        answer = self._transport.json("GET", path("dashboards", "uid", uid, "versions"), what, params={"limit": "20"})
        # A bare list in 11.0, an object later.
        listed = answer.get("versions") if isinstance(answer, dict) else answer
        return list(self._fitting(listed, shapes.VERSIONS, what))

    def rules(self) -> list[Json]:
        """List the alert rules with their provenance, without the interval of their groups."""
        return self._list(_RULES, "its alert rules", shapes.RULES)

    def rule_groups(self) -> list[Json]:
        """List the groups with their intervals; empty when there are none, which Grafana answers with 404."""
        found = self._found(f"{_RULES}/export", "its rule groups", shapes.RULE_GROUPS, params={"format": "json"})
        return list(found.get("groups") or []) if found else []

    def rule_group(self, folder: str, group: str) -> Json:
        """Read a rule group with its interval in seconds."""
        address = f"/v1/provisioning{path('folder', folder, 'rule-groups', group)}"
        return self._object(address, f"rule group {group}", dict)

    def contact_points(self) -> list[Json]:
        """List the integrations of all contact points with their provenance, secrets hidden."""
        return self._list(_CONTACTS, "its contact points", shapes.CONTACT_POINTS)

    def contact_points_in_clear(self) -> list[Json]:
        """List the contact points with their secrets; raises `Forbidden` unless the login is an Admin's."""
        what, params = "its contact points with their secrets", {"decrypt": "true", "format": "json"}
        found = self._found(f"{_CONTACTS}/export", what, shapes.CONTACT_POINTS_IN_CLEAR, params=params)
        return list(found.get("contactPoints") or []) if found else []

    def policies(self, seconds: float = 0.0, say: Callable[[str], None] = lambda _: None) -> Json:
        """Read the notification policies; alerting starts after the rest, so errors are borne for some seconds."""
        what = "its notification policies"
        return self._patiently(lambda: self._object(_POLICIES, what, shapes.POLICIES, tries=1), seconds, say)

    def mute_timings(self) -> list[Json]:
        """List the times in which nobody is notified."""
        return self._list(_TIMINGS, "its mute timings", shapes.TIMINGS)

    def templates(self) -> list[Json]:
        """List the message templates."""
        return self._list(_TEMPLATES, "its message templates", shapes.TEMPLATES)

    def check_health(self, uid: str, kind: str) -> None:
        """Let Grafana ask the data source's server whether it is well; raises `Refused` with its answer if not."""
        if kind == "tempo":
            # Grafana 11.0 answers 404 for Tempo's health, whether it is up or down.
            self.proxied(uid, "api/echo")
        else:
            self._object(path("datasources", "uid", uid, "health"), f"the health of data source {uid}", dict, tries=1)

    def query(self, targets: Sequence[Json], since: str) -> dict[str, Json]:
        """Run targets in one call, from `since` until now; the results by `refId`, with errors in them for the caller to read."""
        what = f"the queries to data source {targets[0]['datasource']['uid']}"
        body = {"from": since, "to": "now", "queries": list(targets)}
        try:
            answer = self._transport.json("POST", "/ds/query", what, body=body, tries=1)
        except Unclear as error:
            raise Unanswered(error.cause, "Look whether the data source's server is overloaded.") from error
        except Refused as error:
            # The call as a whole fails as soon as one query does; the reason stands with the query.
            answer = _answer_with(error)
            if not answer.get("results"):
                raise
        return dict(self._fitting(answer, shapes.RESULTS, what).get("results") or {})

    def proxied(self, uid: str, address: str, params: Mapping[str, str] | None = None, shape: Shape = object) -> Any:
        """Ask a data source's own API through Grafana; raises `ForeignServer` for an answer of another shape."""
        url = f"{path('datasources', 'proxy', 'uid', uid)}/{address}"
        try:
            answer = self._transport.send("GET", url, f"data source {uid}, {address}", params=params, tries=1)
        except (Forbidden, Redirected) as error:
            # Grafana passes on what the server behind it says: it is the data source that gets no further, not we.
            said = f"{error.cause.rstrip('.')} (403 Forbidden)." if isinstance(error, Forbidden) else error.cause
            raise Refused(
                said, "Give the data source the address and the credentials that its server wants."
            ) from error
        except NotGrafana as error:
            raise _foreign_server(uid, address, "it is not JSON") from error
        if wrong := misfit(answer, shape):
            raise _foreign_server(uid, address, wrong)
        return answer

    def _found(self, address: str, what: str, shape: Shape, **options: Any) -> Json | None:
        try:
            return self._object(address, what, shape, **options)
        except NotFound:
            return None

    def _object(self, address: str, what: str, shape: Shape, **options: Any) -> Json:
        return dict(self._fitting(self._transport.json("GET", address, what, **options), shape, what))

    def _list(self, address: str, what: str, shape: Shape, params: Mapping[str, str] | None = None) -> list[Json]:
        answer = self._transport.json("GET", address, what, params=params)
        # null is how 11.0 writes the empty list of templates
        return list(self._fitting([] if answer is None else answer, shape, what))

    def _fitting(self, answer: Any, shape: Shape, what: str) -> Any:
        """Return what was answered, if Grafana answers so."""
        if wrong := misfit(answer, shape):
            raise NotGrafana(
                f"{self.url} answered with JSON other than Grafana's when asked for {what}: {wrong}.",
                "Another server, or a proxy in front of it? Point GRAFANA_URL at Grafana itself.",
            )
        return answer


class Writer:
    """Changes Grafana, one object a call."""

    def __init__(self, transport: Transport) -> None:
        """Write over this connection."""
        self._transport = transport

    def create_folder(self, uid: str, title: str, parent: str = "") -> None:
        """Create a folder; raises `Conflict` when another one has its title."""
        body = {"uid": uid, "title": title, **({"parentUid": parent} if parent else {})}
        self._send("POST", "/folders", f"folder {uid}", body)

    def rename_folder(self, uid: str, title: str) -> None:
        """Give a folder its title."""
        self._send("PUT", path("folders", uid), f"folder {uid}", {"title": title, "overwrite": True})

    def move_folder(self, uid: str, parent: str) -> None:
        """Put a folder into another one, or to the root."""
        self._send("POST", path("folders", uid, "move"), f"folder {uid}", {"parentUid": parent})

    def delete_folder(self, uid: str) -> None:
        """Delete a folder and everything in it: look first."""
        self._delete(path("folders", uid), f"folder {uid}")

    def create_datasource(self, source: Json) -> None:
        """Create a data source; raises `Conflict` when another one has its name."""
        self._send("POST", "/datasources", f"data source {source['uid']}", source)

    def update_datasource(self, source: Json) -> None:
        """Replace a data source; raises `Conflict` when its `version` is not the newest."""
        self._send("PUT", path("datasources", "uid", source["uid"]), f"data source {source['uid']}", source)

    def delete_datasource(self, uid: str) -> None:
        """Delete a data source."""
        self._delete(path("datasources", "uid", uid), f"data source {uid}")

    def save_dashboard(self, model: Json, folder: str, message: str) -> None:
        """Create a dashboard, or replace the `version` named in the model; raises `Conflict` when another one is in its place."""
        what = f"dashboard {model['uid']}"
        body = {"dashboard": model, "folderUid": folder, "overwrite": False, "message": message}
        answer = self._send("POST", "/dashboards/db", what, body)
        stored = answer.get("uid") if isinstance(answer, dict) else None
        if stored != model["uid"]:
            raise Conflict(
                f"Grafana stored {what} as {stored!r}, which has its title in folder {folder}.",
                "Rename one of the two, restore the other from its version history, and apply again.",
            )

    def delete_dashboard(self, uid: str) -> None:
        """Delete a dashboard."""
        self._delete(path("dashboards", "uid", uid), f"dashboard {uid}")

    def create_rule(self, rule: Json) -> None:
        """Create an alert rule; a new group gets an interval of one minute, whatever the rule says."""
        self._send("POST", _RULES, f"alert rule {rule['uid']}", rule)

    def update_rule(self, rule: Json) -> None:
        """Replace an alert rule, moving it to the folder and group that it names."""
        self._send("PUT", f"{_RULES}{path(rule['uid'])}", f"alert rule {rule['uid']}", rule)

    def set_interval(self, folder: str, group: str, seconds: int) -> None:
        """Set how often a group is evaluated; a body without rules keeps those, but locks every one against the browser."""
        address = f"/v1/provisioning{path('folder', folder, 'rule-groups', group)}"
        body = {"title": group, "folderUid": folder, "interval": seconds}
        self._send("PUT", address, f"rule group {group}", body)

    def delete_rule(self, uid: str) -> None:
        """Delete an alert rule."""
        self._delete(f"{_RULES}{path(uid)}", f"alert rule {uid}")

    def create_contact_point(self, contact: Json) -> None:
        """Create an integration; Grafana answers 500 when its uid exists."""
        self._send("POST", _CONTACTS, f"contact point {contact['uid']}", contact)

    def update_contact_point(self, contact: Json) -> None:
        """Replace an integration."""
        self._send("PUT", f"{_CONTACTS}{path(contact['uid'])}", f"contact point {contact['uid']}", contact)

    def delete_contact_point(self, uid: str) -> None:
        """Delete an integration."""
        self._delete(f"{_CONTACTS}{path(uid)}", f"contact point {uid}")

    def replace_policies(self, tree: Json) -> None:
        """Replace the whole tree: the last writer wins. It stays as editable in the browser as it was."""
        headers = None if tree.get("provenance") else _KEEP_EDITABLE
        body = {key: value for key, value in tree.items() if key != "provenance"}
        self._send("PUT", _POLICIES, "the notification policies", body, headers)

    def save_template(self, name: str, text: str) -> None:
        """Create or replace a message template."""
        self._send("PUT", f"{_TEMPLATES}{path(name)}", f"message template {name}", {"template": text})

    def delete_template(self, name: str) -> None:
        """Delete a message template."""
        self._delete(f"{_TEMPLATES}{path(name)}", f"message template {name}")

    def _send(self, method: str, address: str, what: str, body: Json, headers: Mapping[str, str] | None = None) -> Any:
        return self._transport.json(method, address, what, body=body, headers=headers)

    def _delete(self, address: str, what: str) -> None:
        with suppress(NotFound):
            self._transport.json("DELETE", address, what)


def require_supported(version: str) -> None:
    """Raise `UnsupportedVersion` unless it is 11.0 to 11.6; a Grafana that hides its version is taken as it is."""
    found = _VERSION.fullmatch(version)
    if found and not _OLDEST <= (int(found[1]), int(found[2] or 0)) <= _NEWEST:
        raise UnsupportedVersion(
            f"This is Grafana {version}; gwz-provision knows 11.0 to 11.6.", "Run a Grafana of these, such as 11.5.2."
        )


def _foreign_server(uid: str, address: str, wrong: str) -> ForeignServer:
    return ForeignServer(
        f"What data source {uid} answers for {address} is of another server, or of another version: {wrong}.",
        "Correct the host, the port or the path of its URL.",
    )


def _answer_with(error: Refused) -> Json:
    """Return the object that came with a refusal; an empty one when none did."""
    cause = error.__cause__
    cause = cause.__cause__ if cause is not None and not isinstance(cause, GrafanaException) else cause
    response = cause.response if isinstance(cause, GrafanaException) else None
    return response if isinstance(response, dict) else {}
