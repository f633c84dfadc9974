"""The only module that talks to Grafana; grafana-client's raw calls and exceptions end here."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError

from gwz_provision.access import Access
from gwz_provision.bundle import Json
from gwz_provision.errors import Conflict, Forbidden, NotAllowed, NotFound, Refused, Unreachable

TIMEOUT_SECONDS = 30.0


class Grafana:
    """A logged-in Grafana; use it in a `with` block, which closes its connections."""

    def __init__(self, access: Access) -> None:
        self._url = access.url
        parts = urlsplit(access.url)
        path = parts.path.strip("/")
        self._api = GrafanaApi(
            access.auth,
            host=parts.netloc,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            timeout=TIMEOUT_SECONDS,
        )
        # A redirected POST would be sent again as a GET, with the token, to wherever it points.
        self._api.client.s.max_redirects = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._api.client.s.close()

    def version(self) -> str:
        """Ask for the version, without a login; raises `Unreachable` unless its database is ready too."""
        health = self._object("/api/health", lambda: self._api.client.GET("/health"))
        if health.get("database") != "ok":
            raise Unreachable(
                f"Grafana at {self._url} is not ready: database {health.get('database')!r}.",
                "Wait until it has migrated its database; its log says what it does.",
            )
        return str(health.get("version") or "unknown")

    def login(self) -> None:
        """Raise `NotAllowed` unless Grafana accepts the credentials."""
        # A Grafana that is open to viewers answers most other calls whatever the password, and locks the user after five.
        # A token is told 403 here, because a service account is no user: so it was accepted.
        with suppress(Forbidden):
            self._object("/api/user", lambda: self._api.client.GET("/user"))

    def folder(self, uid: str) -> Json | None:
        """Read a folder; None when there is none."""
        return self._found(f"folder {uid}", lambda: self._api.folder.get_folder(uid))

    def create_folder(self, uid: str, title: str) -> None:
        """Create a folder; raises `Conflict` when another one has its title."""
        self._object(f"folder {uid}", lambda: self._api.folder.create_folder(title, uid=uid))

    def rename_folder(self, uid: str, title: str) -> None:
        """Give a folder its title."""
        self._object(f"folder {uid}", lambda: self._api.folder.update_folder(uid, title=title, overwrite=True))

    def datasource(self, uid: str) -> Json | None:
        """Read a data source; None when there is none."""
        return self._found(f"data source {uid}", lambda: self._api.datasource.get_datasource_by_uid(uid))

    def create_datasource(self, source: Json) -> None:
        """Create a data source; raises `Conflict` when another one has its name."""
        self._object(f"data source {source['uid']}", lambda: self._api.datasource.create_datasource(source))

    def update_datasource(self, source: Json) -> None:
        """Replace a data source; raises `Conflict` when its `version` is not the newest."""
        uid = source["uid"]
        self._object(f"data source {uid}", lambda: self._api.datasource.update_datasource_by_uid(uid, source))

    def dashboard(self, uid: str) -> Json | None:
        """Read a dashboard with its `meta`; None when there is none."""
        return self._found(f"dashboard {uid}", lambda: self._api.dashboard.get_dashboard(uid))

    def save_dashboard(self, model: Json, folder_uid: str) -> None:
        """Create a dashboard, or replace the `version` named in the model; raises `Conflict` when another one is in its place."""
        what = f"dashboard {model['uid']}"
        body = {"dashboard": model, "folderUid": folder_uid, "overwrite": False, "message": "gwz-provision apply"}
        answer = self._object(what, lambda: self._api.dashboard.update_dashboard(body))
        if answer.get("uid") != model["uid"]:
            raise Conflict(
                f"Grafana stored {what} as {answer.get('uid')!r}, which has its title in folder {folder_uid}.",
                "Rename one of the two, restore the other from its version history, and apply again.",
            )

    def check_health(self, uid: str, kind: str) -> None:
        """Let Grafana ask the data source's server whether it is well; raises `Refused` with its answer if not."""
        if kind == "tempo":
            # Grafana 11.0 answers 404 for Tempo's health, whether it is up or down.
            self.proxied(uid, "api/echo")
        else:
            self._object(f"the health of data source {uid}", lambda: self._api.datasource.health(uid))

    def query(self, target: Json, since: str) -> Json:
        """Run one panel target from `since` until now; the answer's errors are the caller's to read."""
        what = f"a query to data source {target['datasource']['uid']}"
        body = {"from": since, "to": "now", "queries": [{**target, "intervalMs": 15_000, "maxDataPoints": 100}]}
        return self._object(what, lambda: self._run(body))

    def proxied(self, uid: str, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Ask a data source's own API through Grafana."""
        url = f"/datasources/proxy/uid/{uid}/{path}"
        return self._call(f"data source {uid}, {path}", lambda: self._api.client.GET(url, params=params))

    def _run(self, body: Json) -> Any:
        try:
            return self._api.client.POST("/ds/query", json=body)
        except GrafanaException as error:
            # The call as a whole fails as soon as one query does; the reason stands with the query.
            if isinstance(error.response, dict) and "results" in error.response:
                return error.response
            raise

    def _found(self, what: str, call: Callable[[], Any]) -> Json | None:
        try:
            return self._object(what, call)
        except NotFound:
            return None

    def _object(self, what: str, call: Callable[[], Any]) -> Json:
        answer = self._call(what, call)
        if not isinstance(answer, dict):
            raise self._foreign(what)
        return answer

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except GrafanaTimeoutError as error:
            raise Unreachable(
                f"{self._url} did not answer within {TIMEOUT_SECONDS:.0f} s when asked for {what}.",
                "Look whether it, or the data source behind it, is overloaded.",
            ) from error
        except GrafanaException as error:
            raise _translated(what, error) from error
        except ValueError as error:
            raise self._foreign(what) from error
        except OSError as error:  # what the HTTP library raises derives from it
            raise Unreachable(
                f"Grafana at {self._url} cannot be reached: {_innermost(error)}.",
                "Start it, or correct GRAFANA_URL: scheme, host and port are taken as they are, redirects are not followed.",
            ) from error

    def _foreign(self, what: str) -> Unreachable:
        return Unreachable(
            f"{self._url} answered with something other than JSON when asked for {what}.",
            "This is not Grafana's API: a login page or a proxy in front of it? Point GRAFANA_URL at Grafana itself.",
        )


def _translated(what: str, error: Any) -> Refused | NotAllowed:
    status, said = error.status_code, _said(error)
    match status:
        case 401:
            return NotAllowed(
                f"Grafana refused the login: {said}.",
                "Check GRAFANA_TOKEN, or GRAFANA_USER and GRAFANA_PASSWORD; five wrong passwords lock a user for five minutes.",
            )
        case 403:
            return Forbidden(
                f"Grafana forbids {what}: {said}.",
                "Give the service account the Admin role: data sources need it; doctor is content with Viewer.",
            )
        case 404 if isinstance(error, GrafanaClientError):
            return NotFound(f"Grafana does not know {what}: {said}.", "Run `gwz-provision apply`.")
        case 409 | 412:
            return Conflict(
                f"Grafana holds something else in the place of {what}: {said}.",
                "Another object has that name, or somebody saved it meanwhile: rename or remove the other one, then apply again.",
            )
        case _:
            return Refused(
                f"Grafana answered {status} for {what}: {said}.",
                "If the words do not say enough, Grafana's log at the same second does.",
            )


def _said(error: Any) -> str:
    response = error.response
    words = response.get("message") if isinstance(response, dict) else response
    return str(words or error.message).strip().rstrip(".")[:500]


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error)
