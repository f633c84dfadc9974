"""The gateway: what the server's and the network's faults become."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from gwz_provision.access import Access
from gwz_provision.errors import Conflict, Forbidden, NotAllowed, NotFound, ProvisionError, Refused, Unreachable
from gwz_provision.grafana import Grafana

Seen = list[tuple[str, str, bytes]]


@contextmanager
def answering(
    status: int = 200, body: str = "{}", content_type: str = "application/json", **headers: str
) -> Iterator[tuple[Grafana, Seen]]:
    """Serve one answer to whatever is asked, and keep what was asked."""
    seen: Seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            seen.append((self.command, self.path, self.rfile.read(length)))
            payload = body.encode()
            self.send_response(status)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(payload)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with Grafana(Access(f"http://127.0.0.1:{server.server_port}/sub/", ("user", "p@ss"))) as grafana:
                yield grafana, seen
        finally:
            server.shutdown()
            thread.join()


def error(status: int, message: str = "because") -> AbstractContextManager[tuple[Grafana, Seen]]:
    return answering(status, json.dumps({"message": message}))


def test_the_version_is_read_once_the_database_is_ready() -> None:
    with answering(body='{"database": "ok", "version": "11.5.2"}') as (grafana, seen):
        assert grafana.version() == "11.5.2"
        assert [(method, path) for method, path, _ in seen] == [("GET", "/sub/api/health")]


def test_a_grafana_that_still_migrates_is_not_ready() -> None:
    with answering(body='{"database": "failing"}') as (grafana, _), pytest.raises(Unreachable, match="'failing'"):
        grafana.version()


def test_a_port_where_nothing_listens_is_unreachable() -> None:
    with Grafana(Access("http://127.0.0.1:9", "t")) as grafana, pytest.raises(Unreachable) as caught:
        grafana.version()
    assert "http://127.0.0.1:9 cannot be reached" in caught.value.cause
    assert "Connection refused" in caught.value.cause
    assert "GRAFANA_URL" in caught.value.cure


@pytest.mark.parametrize(
    ("body", "content_type"), [("<html>", "text/html"), ("<html>", "application/json"), ("[]", "application/json")]
)
def test_a_login_page_is_not_taken_for_grafana(body: str, content_type: str) -> None:
    with (
        answering(body=body, content_type=content_type) as (grafana, _),
        pytest.raises(Unreachable, match="other than JSON") as caught,
    ):
        grafana.login()
    assert "login page" in caught.value.cure


def test_a_redirect_is_not_followed() -> None:
    """A redirected POST would be sent again as a GET, and the credentials with it."""
    with answering(301, Location="/elsewhere") as (grafana, seen), pytest.raises(Unreachable, match="redirect"):
        grafana.create_folder("f1", "Backend")
    assert [(method, path) for method, path, _ in seen] == [("POST", "/sub/api/folders")]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, NotAllowed, "refused the login: because"),
        (403, Forbidden, "forbids folder f1: because"),
        (409, Conflict, "in the place of folder f1: because"),
        (412, Conflict, "in the place of folder f1: because"),
        (404, NotFound, "does not know folder f1: because"),
        (400, Refused, "answered 400 for folder f1: because"),
        (500, Refused, "answered 500 for folder f1: because"),
    ],
)
def test_each_answer_becomes_its_own_error_with_the_server_s_words(
    status: int, kind: type[ProvisionError], words: str
) -> None:
    with error(status) as (grafana, _), pytest.raises(kind, match=words) as caught:
        grafana.create_folder("f1", "Backend")
    assert type(caught.value) is kind
    assert caught.value.cure


def test_a_service_account_is_no_user_and_yet_logged_in() -> None:
    with error(403, "Endpoint only available for users") as (grafana, seen):
        grafana.login()
    assert seen[0][1] == "/sub/api/user"


def test_a_refused_login_is_told_with_its_variables() -> None:
    with error(401, "Invalid username or password") as (grafana, _), pytest.raises(NotAllowed) as caught:
        grafana.login()
    assert "Invalid username or password" in caught.value.cause
    assert "GRAFANA_PASSWORD" in caught.value.cure


def test_what_is_not_there_is_none() -> None:
    with error(404) as (grafana, _):
        assert grafana.folder("f1") is grafana.datasource("d1") is grafana.dashboard("b1") is None


def test_a_dashboard_stored_under_another_uid_is_a_conflict() -> None:
    """Grafana 11.0 overwrites the dashboard that holds the title, and answers 200."""
    with answering(body='{"uid": "other"}') as (grafana, _), pytest.raises(Conflict, match="as 'other'"):
        grafana.save_dashboard({"uid": "mine", "title": "T"}, "f1")


def test_a_dashboard_is_never_saved_over_another_version() -> None:
    with answering(body='{"uid": "mine"}') as (grafana, seen):
        grafana.save_dashboard({"uid": "mine", "version": 3}, "f1")
    sent = json.loads(seen[0][2])
    assert (sent["overwrite"], sent["folderUid"], sent["dashboard"]["version"]) == (False, "f1", 3)


def test_a_failed_query_s_answer_is_returned_for_its_reason() -> None:
    body = {"results": {"A": {"status": 400, "error": "parse error"}}}
    with answering(400, json.dumps(body)) as (grafana, seen):
        target = {"refId": "A", "expr": "(", "datasource": {"uid": "p"}}
        assert grafana.query(target, "now-15m") == body
    sent = json.loads(seen[0][2])
    assert (sent["from"], sent["to"], sent["queries"][0]["expr"]) == ("now-15m", "now", "(")


def test_a_failed_call_is_not_an_answer() -> None:
    target = {"refId": "A", "datasource": {"uid": "p"}}
    with error(404, "Data source not found") as (grafana, _), pytest.raises(NotFound, match="Data source not found"):
        grafana.query(target, "now-15m")


def test_tempo_is_asked_by_its_echo() -> None:
    """Grafana 11.0 answers 404 for Tempo's health, whether it is up or down."""
    with answering(body="echo", content_type="text/plain") as (grafana, seen):
        grafana.check_health("grafana_tempo", "tempo")
    assert seen[0][1] == "/sub/api/datasources/proxy/uid/grafana_tempo/api/echo"
