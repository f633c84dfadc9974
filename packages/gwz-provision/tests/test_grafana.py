"""The gateway: what the server's and the network's faults become."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from gwz_provision.access import Access
from gwz_provision.errors import (
    Conflict,
    Forbidden,
    NotAllowed,
    NotFound,
    NotGrafana,
    PreconditionFailed,
    ProvisionError,
    ReadOnly,
    Redirected,
    Refused,
    ServerFault,
    Unauthorized,
    Unclear,
    Unreachable,
)
from gwz_provision.grafana import Grafana, Reader, Writer
from gwz_provision.transport import path

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

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server looks for

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
        assert grafana.reader.version() == "11.5.2"
        assert [(method, path) for method, path, _ in seen] == [("GET", "/sub/api/health")]


def test_a_grafana_that_still_migrates_is_not_ready() -> None:
    with answering(body='{"database": "failing"}') as (grafana, _), pytest.raises(Unreachable, match="'failing'"):
        grafana.reader.version()


def test_a_port_where_nothing_listens_is_unreachable() -> None:
    with Grafana(Access("http://127.0.0.1:9", "t")) as grafana, pytest.raises(Unreachable) as caught:
        grafana.reader.version()
    assert "http://127.0.0.1:9 cannot be reached" in caught.value.cause
    assert "Connection refused" in caught.value.cause
    assert "GRAFANA_URL" in caught.value.cure


@pytest.mark.parametrize(
    ("body", "content_type"), [("<html>", "text/html"), ("<html>", "application/json"), ("[]", "application/json")]
)
def test_a_login_page_is_not_taken_for_grafana(body: str, content_type: str) -> None:
    with (
        answering(body=body, content_type=content_type) as (grafana, _),
        pytest.raises(NotGrafana, match="other than") as caught,
    ):
        grafana.reader.login()
    assert "Point GRAFANA_URL at Grafana itself" in caught.value.cure


def test_a_redirect_is_not_followed() -> None:
    """A redirected POST would be sent again as a GET, and the credentials with it."""
    with (
        answering(301, Location="/elsewhere") as (grafana, seen),
        pytest.raises(Redirected, match="redirects to /elsewhere") as caught,
    ):
        grafana.writer().create_folder("f1", "Backend")
    assert "Point GRAFANA_URL at Grafana itself" in caught.value.cure
    assert [(method, path) for method, path, _ in seen] == [("POST", "/sub/api/folders")]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Unauthorized, "refused the login: because"),
        (403, Forbidden, "forbids folder f1: because"),
        (409, Conflict, "in the place of folder f1: because"),
        (412, PreconditionFailed, "in the place of folder f1: because"),
        (404, NotFound, "does not know folder f1: because"),
        (400, Refused, "answered 400 for folder f1: because"),
        (500, ServerFault, "answered 500 for folder f1: because"),
    ],
)
def test_each_answer_becomes_its_own_error_with_the_server_s_words(
    status: int, kind: type[ProvisionError], words: str
) -> None:
    with error(status) as (grafana, _), pytest.raises(kind, match=words) as caught:
        grafana.writer().create_folder("f1", "Backend")
    assert type(caught.value) is kind
    assert caught.value.cure


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"message": "because"}', "because"),
        ('{"detail": "Redis is away"}', "Redis is away"),
        ('{"message": null}', "it gave no reason"),
        ("", "it gave no reason"),
    ],
)
def test_the_words_of_a_refusal_are_those_that_there_are(body: str, words: str) -> None:
    with answering(400, body) as (grafana, _), pytest.raises(Refused, match=words):
        grafana.writer().create_folder("f1", "Backend")


def test_a_service_account_is_no_user_and_yet_logged_in() -> None:
    with error(403, "Endpoint only available for users") as (grafana, seen):
        grafana.reader.login()
    assert seen[0][1] == "/sub/api/user"


def test_a_refused_login_is_told_with_its_variables() -> None:
    with error(401, "Invalid username or password") as (grafana, _), pytest.raises(NotAllowed) as caught:
        grafana.reader.login()
    assert "Invalid username or password" in caught.value.cause
    assert "GRAFANA_PASSWORD" in caught.value.cure


def test_what_is_not_there_is_none() -> None:
    with error(404) as (grafana, _):
        assert all(
            read("x") is None for read in (grafana.reader.folder, grafana.reader.datasource, grafana.reader.dashboard)
        )


def test_a_dashboard_stored_under_another_uid_is_a_conflict() -> None:
    """Grafana 11.0 overwrites the dashboard that holds the title, and answers 200."""
    with answering(body='{"uid": "other"}') as (grafana, _), pytest.raises(Conflict, match="as 'other'"):
        grafana.writer().save_dashboard({"uid": "mine", "title": "T"}, "f1", "m")


def test_a_dashboard_is_never_saved_over_another_version() -> None:
    with answering(body='{"uid": "mine"}') as (grafana, seen):
        grafana.writer().save_dashboard({"uid": "mine", "version": 3}, "f1", "m")
    sent = json.loads(seen[0][2])
    assert (sent["overwrite"], sent["folderUid"], sent["dashboard"]["version"]) == (False, "f1", 3)


def test_a_failed_query_s_answer_is_returned_for_its_reason() -> None:
    body = {"results": {"A": {"status": 400, "error": "parse error"}}}
    with answering(400, json.dumps(body)) as (grafana, seen):
        target = {"refId": "A", "expr": "(", "datasource": {"uid": "p"}}
        assert grafana.reader.query([target], "now-15m") == body["results"]
    sent = json.loads(seen[0][2])
    assert (sent["from"], sent["to"], sent["queries"][0]["expr"]) == ("now-15m", "now", "(")


def test_a_failed_call_is_not_an_answer() -> None:
    target = {"refId": "A", "datasource": {"uid": "p"}}
    with error(404, "Data source not found") as (grafana, _), pytest.raises(NotFound, match="Data source not found"):
        grafana.reader.query([target], "now-15m")


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        ("rules", [{"uid": "r", "title": "R", "folderUID": "f", "for": "soon"}]),
        ("rules", [{"uid": "r", "title": "R", "folderUID": "f", "data": [{"model": "up"}]}]),
        ("rules", [{"uid": "r", "title": "R", "folderUID": "f", "data": [{"relativeTimeRange": [600, 0]}]}]),
        ("rule_groups", {"groups": [{"interval": 60, "rules": []}]}),
        ("policies", {"routes": [{"group_wait": "a while"}]}),
        ("policies", {"routes": [{"routes": [{"object_matchers": [5]}]}]}),
        ("datasources", [{"uid": "p", "name": "P", "type": "prometheus", "secureJsonFields": 5}]),
    ],
)
def test_what_no_plan_can_be_made_of_is_not_grafana_s(read: str, answer: object) -> None:
    with (
        answering(body=json.dumps(answer)) as (grafana, _),
        pytest.raises(NotGrafana, match="JSON other than Grafana's"),
    ):
        getattr(grafana.reader, read)()


def test_tempo_is_asked_by_its_echo() -> None:
    """Grafana 11.0 answers 404 for Tempo's health, whether it is up or down."""
    with answering(body="echo", content_type="text/plain") as (grafana, seen):
        grafana.reader.check_health("grafana_tempo", "tempo")
    assert seen[0][1] == "/sub/api/datasources/proxy/uid/grafana_tempo/api/echo"


def test_a_reader_has_no_method_that_writes() -> None:
    names = {name for name in vars(Reader) if not name.startswith("_")}
    writing = {name for name in vars(Writer) if not name.startswith("_")}
    assert not names & writing
    assert not {
        name
        for name in names
        if name.startswith(("create", "update", "delete", "save", "rename", "move", "set", "replace"))
    }


WRITES: dict[str, Callable[[Writer], None]] = {
    "POST /sub/api/folders": lambda to: to.create_folder("a", "A"),
    "PUT /sub/api/folders/a%2Fb": lambda to: to.rename_folder("a/b", "A"),
    "POST /sub/api/folders/a/move": lambda to: to.move_folder("a", ""),
    "DELETE /sub/api/folders/a": lambda to: to.delete_folder("a"),
    "POST /sub/api/datasources": lambda to: to.create_datasource({"uid": "a"}),
    "PUT /sub/api/datasources/uid/a": lambda to: to.update_datasource({"uid": "a"}),
    "DELETE /sub/api/datasources/uid/a": lambda to: to.delete_datasource("a"),
    "POST /sub/api/dashboards/db": lambda to: to.save_dashboard({"uid": None}, "f", "m"),
    "DELETE /sub/api/dashboards/uid/a%3Fb": lambda to: to.delete_dashboard("a?b"),
    "POST /sub/api/v1/provisioning/alert-rules": lambda to: to.create_rule({"uid": "a"}),
    "PUT /sub/api/v1/provisioning/alert-rules/a": lambda to: to.update_rule({"uid": "a"}),
    "PUT /sub/api/v1/provisioning/folder/f/rule-groups/a%20b%2Fc%23d": lambda to: to.set_interval("f", "a b/c#d", 60),
    "DELETE /sub/api/v1/provisioning/alert-rules/a": lambda to: to.delete_rule("a"),
    "POST /sub/api/v1/provisioning/contact-points": lambda to: to.create_contact_point({"uid": "a"}),
    "PUT /sub/api/v1/provisioning/contact-points/a": lambda to: to.update_contact_point({"uid": "a"}),
    "DELETE /sub/api/v1/provisioning/contact-points/a": lambda to: to.delete_contact_point("a"),
    "PUT /sub/api/v1/provisioning/policies": lambda to: to.replace_policies({"receiver": "r"}),
    "PUT /sub/api/v1/provisioning/templates/a": lambda to: to.save_template("a", "t"),
    "DELETE /sub/api/v1/provisioning/templates/a": lambda to: to.delete_template("a"),
}


@pytest.mark.parametrize("sent", WRITES)
def test_each_write_goes_to_its_address_with_its_parts_quoted(sent: str) -> None:
    with answering() as (grafana, seen):
        WRITES[sent](grafana.writer())
        assert [f"{method} {target}" for method, target, _ in seen] == [sent]
        assert (grafana.calls.reads, grafana.calls.writes) == (0, 1)


def test_every_method_that_writes_is_among_them() -> None:
    assert len(WRITES) == len([name for name in vars(Writer) if not name.startswith("_")])


def test_parts_of_a_path_are_quoted_as_a_whole() -> None:
    assert path("folder", "a/b?c#d é") == "/folder/a%2Fb%3Fc%23d%20%C3%A9"


@pytest.mark.parametrize(
    "message", ["Cannot save provisioned dashboard", "cannot change provenance from 'file' to 'api'"]
)
def test_what_a_file_holds_is_read_only(message: str) -> None:
    with error(400, message) as (grafana, _), pytest.raises(ReadOnly) as caught:
        grafana.writer().create_folder("f1", "Backend")
    assert "GF_PATHS_PROVISIONING" in caught.value.cure


def test_a_gateway_that_answers_for_grafana_leaves_a_post_unclear() -> None:
    with error(502) as (grafana, seen), pytest.raises(Unclear):
        grafana.writer().create_folder("f1", "Backend")
    assert len(seen) == 1


def test_reads_and_idempotent_writes_are_tried_five_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gwz_provision.transport.time.sleep", lambda _: None)
    with error(503) as (grafana, seen):
        with pytest.raises(Refused):
            grafana.reader.search()
        assert len(seen) == 5
        with pytest.raises(Refused):
            grafana.writer().delete_rule("a")
        assert len(seen) == 10


def test_a_redirect_to_another_scheme_names_the_address_to_set() -> None:
    with (
        answering(301, Location="https://h.example/sub/api/health") as (grafana, _),
        pytest.raises(Redirected) as caught,
    ):
        grafana.reader.version()
    assert caught.value.cure == "Set GRAFANA_URL=https://h.example/sub."
