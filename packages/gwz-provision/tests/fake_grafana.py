"""A small Grafana in memory, served by HTTP: it keeps, rewrites and refuses what the real one does.

`test_fake_grafana.py` holds it against the real one, call by call, wherever there is one. A difference is corrected here.
"""

import base64
import copy
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

VERSION = "11.0.0"
"""The version whose answers are given here, and with which they were last compared."""

PASSWORD = "admin"
Json = dict[str, Any]
Answer = tuple[int, Any]

ADMIN_ONLY = ("datasources:create", "datasources:write", "datasources:delete", "alert.provisioning.secrets:read")
EDITOR = (
    "folders:create",
    "folders:write",
    "dashboards:create",
    "dashboards:write",
    "alert.rules:create",
    "alert.rules:write",
    "alert.notifications:write",
    "alert.provisioning:write",
)
SECURE = {
    "webhook": ("authorization_credentials", "password"),
    "slack": ("token", "url"),
    "pagerduty": ("integrationKey",),
    "email": (),
}
REQUIRED = {
    "webhook": (("url",), "required field 'url' is not specified"),
    "slack": (("url", "token"), "token must be specified when using the Slack chat API"),
    "pagerduty": (("integrationKey",), "could not find integration key property in settings"),
    "email": (("addresses",), "could not find addresses in settings"),
}
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
DEFAULT_TREE = {"receiver": "grafana-default-email", "group_by": ["grafana_folder", "alertname"]}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that is an error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = {"message": body} if isinstance(body, str) and body else body


class FakeGrafana:
    """The state, and one method for each call."""

    def __init__(self, version: str = VERSION) -> None:
        self.version = version
        self.password = PASSWORD
        self.tokens: dict[str, str] = {}
        self.accounts: list[str] = []
        self.unhealthy = 0
        # The answers of alerting while it starts.
        self.starting: list[int] = []
        self.lock = threading.Lock()
        self.serial = 0
        self.clock = 0
        self.folders: dict[str, Json] = {}
        self.sources: dict[str, Json] = {}
        self.dashboards: dict[str, Json] = {}
        self.rules: dict[str, Json] = {}
        self.intervals: dict[tuple[str, str], int] = {}
        self.contacts: list[Json] = [
            {
                "uid": "",
                # The integration's name; the policies call its receiver grafana-default-email.
                "name": "email receiver",
                "type": "email",
                "settings": {"addresses": "<example@email.com>"},
                "disableResolveMessage": False,
            }
        ]
        self.tree: Json = copy.deepcopy(DEFAULT_TREE)
        self.templates: dict[str, Json] = {}
        self.timings: dict[str, Json] = {}

    # How a call finds its method.

    def answer(self, method: str, target: str, body: Any, headers: Any) -> Answer:
        parts = urllib.parse.urlsplit(target)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(parts.query).items()}
        role = self._role(headers.get("Authorization", ""))
        for verb, pattern, call, needed in ROUTES:
            found = re.fullmatch(f"/api{pattern}", parts.path)
            if verb == method and found:
                if role is None and needed != "nobody":
                    return 401, {"message": "Invalid username or password"}
                if not _may(role, needed):
                    return 403, {
                        "message": f"You'll need additional permissions to perform this action. Permissions needed: {needed}",
                        "title": "Access denied",
                    }
                arguments = [urllib.parse.unquote(part) for part in found.groups()]
                with self.lock:
                    try:
                        return call(self, *arguments, body=body, query=query, headers=headers, role=role)
                    except Refusal as refusal:
                        return refusal.status, refusal.body
        return 404, {"message": "Not found"}

    def _role(self, authorization: str) -> str | None:
        kind, _, value = authorization.partition(" ")
        if kind == "Basic":
            if base64.b64decode(value).decode() == f"admin:{self.password}":
                return "Admin"
        elif kind == "Bearer":
            return self.tokens.get(value)
        return None

    def _id(self) -> int:
        self.serial += 1
        return self.serial

    def _now(self) -> str:
        self.clock += 1
        return f"2026-01-01T00:00:{self.clock:02d}Z"

    # Health and login.

    def health(self, **_: Any) -> Answer:
        if self.unhealthy > 0:
            self.unhealthy -= 1
            return 503, {"database": "failing", "version": self.version}
        return 200, {"commit": "fake", "database": "ok", "version": self.version}

    def user(self, headers: Any, **_: Any) -> Answer:
        if headers.get("Authorization", "").startswith("Bearer"):
            return 403, {"message": "Endpoint only available for users"}
        return 200, {"id": 1, "login": "admin"}

    def permissions(self, role: str, **_: Any) -> Answer:
        granted = {"Viewer": (), "Editor": EDITOR, "Admin": (*EDITOR, *ADMIN_ONLY)}[role]
        return 200, {name: [""] for name in ("dashboards:read", "alert.notifications:read", *granted)}

    def create_account(self, body: Json, **_: Any) -> Answer:
        self.accounts.append(body["role"])
        return 201, {"id": len(self.accounts), "name": body["name"], "role": body["role"]}

    def create_token(self, account: str, body: Json, **_: Any) -> Answer:
        key = f"glsa_{body['name']}"
        self.tokens[key] = self.accounts[int(account) - 1]
        return 200, {"id": 1, "name": body["name"], "key": key}

    # Folders.

    def search(self, query: Json, **_: Any) -> Answer:
        hits = [
            {
                "uid": item["uid"],
                "title": item["title"],
                "type": "dash-folder",
                "tags": [],
                **self._location(item["parentUid"]),
            }
            for item in self.folders.values()
        ]
        hits += [
            {
                "uid": uid,
                "title": item["model"]["title"],
                "type": "dash-db",
                "tags": sorted(item["model"].get("tags") or []),
                **self._location(item["folderUid"]),
            }
            for uid, item in self.dashboards.items()
        ]
        limit, page = int(query.get("limit", 1000)), int(query.get("page", 1))
        return 200, hits[limit * (page - 1) : limit * page]

    def _location(self, folder: str) -> Json:
        return {"folderUid": folder, "folderTitle": self.folders[folder]["title"]} if folder else {}

    def folder(self, uid: str, **_: Any) -> Answer:
        return 200, self._shown_folder(self._folder(uid))

    def _folder(self, uid: str) -> Json:
        if uid not in self.folders:
            raise Refusal(404, {"message": "folder not found", "status": "not-found"})
        return self.folders[uid]

    def _shown_folder(self, folder: Json) -> Json:
        shown = {"uid": folder["uid"], "title": folder["title"], "version": folder["version"]}
        return {**shown, "parentUid": folder["parentUid"]} if folder["parentUid"] else shown

    def create_folder(self, body: Json, **_: Any) -> Answer:
        parent, title = body.get("parentUid", ""), body["title"].strip()
        if not title:
            raise Refusal(400, {"message": "folder title cannot be empty", "status": "empty-name"})
        if body["uid"] in self.dashboards:
            raise Refusal(400, "Dashboard cannot be changed to a folder")
        if body["uid"] in self.folders:
            raise Refusal(412, {"message": "the folder has been changed by someone else", "status": "version-mismatch"})
        if any((item["title"], item["parentUid"]) == (title, parent) for item in self.folders.values()):
            raise Refusal(409, "a folder with the same name already exists in the current location")
        self.folders[body["uid"]] = {"uid": body["uid"], "title": title, "parentUid": parent, "version": 1}
        return 200, self._shown_folder(self.folders[body["uid"]])

    def rename_folder(self, uid: str, body: Json, **_: Any) -> Answer:
        folder = self._folder(uid)
        if not body.get("overwrite") and body.get("version") != folder["version"]:
            raise Refusal(412, {"message": "the folder has been changed by someone else", "status": "version-mismatch"})
        folder |= {"title": body["title"].strip(), "version": folder["version"] + 1}
        return 200, self._shown_folder(folder)

    def move_folder(self, uid: str, body: Json, **_: Any) -> Answer:
        folder = self._folder(uid)
        folder |= {"parentUid": body["parentUid"], "version": folder["version"] + 1}
        return 200, {key: value for key, value in self._shown_folder(folder).items() if key != "version"}

    def folder_counts(self, uid: str, **_: Any) -> Answer:
        self._folder(uid)
        inside = self._descendants(uid)
        return 200, {
            "alertrule": sum(rule["folderUID"] in inside for rule in self.rules.values()),
            "dashboard": sum(item["folderUid"] in inside for item in self.dashboards.values()),
            "folder": len(inside) - 1,
            "librarypanel": 0,
        }

    def delete_folder(self, uid: str, **_: Any) -> Answer:
        self._folder(uid)
        inside = self._descendants(uid)
        if any(rule["folderUID"] in inside for rule in self.rules.values()):
            raise Refusal(
                400,
                {
                    "message": "Folder cannot be deleted: folder is not empty",
                    "messageId": "folder.not-empty",
                    "statusCode": 400,
                },
            )
        title = self.folders[uid]["title"]
        for one in inside:
            del self.folders[one]
        self.dashboards = {key: item for key, item in self.dashboards.items() if item["folderUid"] not in inside}
        return 200, {"message": "", "title": title, "id": 1}

    def _descendants(self, uid: str) -> set[str]:
        found = {uid}
        for item in self.folders.values():
            if item["parentUid"] == uid:
                found |= self._descendants(item["uid"])
        return found

    # Data sources.

    def datasources(self, **_: Any) -> Answer:
        hidden = {"secureJsonFields", "version", "basicAuthUser", "withCredentials"}
        return 200, [
            {k: v for k, v in self._shown_source(item).items() if k not in hidden} for item in self.sources.values()
        ]

    def datasource(self, uid: str, **_: Any) -> Answer:
        return 200, self._shown_source(self._source(uid))

    def _source(self, uid: str) -> Json:
        if uid not in self.sources:
            raise Refusal(404, "Data source not found")
        return self.sources[uid]

    def _shown_source(self, source: Json) -> Json:
        shown = {key: value for key, value in source.items() if key != "secureJsonData"}
        return {**shown, "secureJsonFields": {key: True for key, value in source["secureJsonData"].items() if value}}

    def create_datasource(self, body: Json, **_: Any) -> Answer:
        if " " in body.get("url", ""):
            raise Refusal(400, "Validation error, invalid URL")
        if body["uid"] in self.sources:
            raise Refusal(409, "data source with the same uid already exists")
        self._require_free_name(body)
        self.sources[body["uid"]] = self._stored_source(
            {**body, "isDefault": bool(body.get("isDefault") or not self.sources)}, {}, 1
        )
        return 200, {
            "id": 1,
            "message": "Datasource added",
            "name": body["name"],
            "datasource": self._shown_source(self.sources[body["uid"]]),
        }

    def update_datasource(self, uid: str, body: Json, **_: Any) -> Answer:
        source = self._source(uid)
        if source["readOnly"]:
            raise Refusal(403, "Cannot update read-only data source")
        self._require_free_name({**body, "uid": uid}, "Failed to update datasource: ")
        if body.get("version") and body["version"] < source["version"]:
            raise Refusal(409, "Datasource has already been updated by someone else. Please reload and try again")
        version = body.get("version", 0) + 1
        self.sources[uid] = self._stored_source({**body, "uid": uid}, source["secureJsonData"], version)
        return 200, {
            "id": 1,
            "message": "Datasource updated",
            "name": body["name"],
            "datasource": self._shown_source(self.sources[uid]),
        }

    def _require_free_name(self, body: Json, during: str = "") -> None:
        if any(item["name"] == body["name"] and uid != body["uid"] for uid, item in self.sources.items()):
            raise Refusal(409, f"{during}data source with the same name already exists")

    def _stored_source(self, body: Json, secrets: Json, version: int) -> Json:
        plain = {
            "access": "proxy",
            "url": "",
            "user": "",
            "database": "",
            "basicAuth": False,
            "basicAuthUser": "",
            "withCredentials": False,
            "isDefault": False,
            "jsonData": {},
        }
        stored = {key: body.get(key, default) for key, default in plain.items()}
        if stored["isDefault"]:
            for item in self.sources.values():
                item["isDefault"] = False
        kept = {
            "uid": body["uid"],
            "name": body["name"],
            "type": body["type"],
            "orgId": 1,
            "version": version,
            "readOnly": False,
        }
        return {**stored, **kept, "secureJsonData": {**secrets, **body.get("secureJsonData", {})}}

    def delete_datasource(self, uid: str, **_: Any) -> Answer:
        if self._source(uid)["readOnly"]:
            raise Refusal(403, "Cannot delete read-only data source")
        del self.sources[uid]
        return 200, {"message": "Data source deleted", "id": 1}

    # Dashboards.

    def dashboard(self, uid: str, role: str, **_: Any) -> Answer:
        if uid not in self.dashboards and role != "Admin" and not self.folders:
            # Who may see some folders may see none while there is none.
            raise Refusal(
                403, "You'll need additional permissions to perform this action. Permissions needed: dashboards:read"
            )
        if uid not in self.dashboards:
            raise Refusal(404, "Dashboard not found")
        stored = self.dashboards[uid]
        meta = {
            "folderUid": stored["folderUid"],
            "provisioned": stored.get("provisioned", False),
            "version": stored["version"],
        }
        return 200, {"dashboard": {**stored["model"], "id": stored["id"], "version": stored["version"]}, "meta": meta}

    def dashboard_versions(self, uid: str, query: Json, **_: Any) -> Answer:
        if uid not in self.dashboards:
            raise Refusal(404, "Dashboard not found")
        return 200, self.dashboards[uid]["history"][::-1][: int(query.get("limit", 1000))]

    def save_dashboard(self, body: Json, **_: Any) -> Answer:
        model, folder = dict(body["dashboard"]), body.get("folderUid", "")
        model["title"] = str(model.get("title", "")).strip()
        self._require_dashboard(model, folder)
        uid = model["uid"]
        stored = self.dashboards.get(uid)
        if not body.get("overwrite"):
            if stored and model.get("version") != stored["version"]:
                raise Refusal(
                    412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
                )
            if self._same_title(model, folder):
                raise Refusal(
                    412,
                    {"message": "A dashboard with the same name in the folder already exists", "status": "name-exists"},
                )
        elif other := self._same_title(model, folder):
            uid, stored = other, self.dashboards[other]
            model["uid"] = other
        version = stored["version"] + 1 if stored else 1
        model = {key: value for key, value in model.items() if key not in {"id", "version"}}
        if isinstance(model.get("refresh"), str) and re.fullmatch(r"[1-4]s|\d+ms", model["refresh"]):
            model["refresh"] = "5s"
        message = body.get("message", "") if stored else "Initial save"
        history = [
            *(stored["history"] if stored else []),
            {"uid": uid, "version": version, "message": message, "data": {**model, "version": version}},
        ]
        self.dashboards[uid] = {
            "model": model,
            "folderUid": folder,
            "id": stored["id"] if stored else self._id(),
            "version": version,
            "history": history,
        }
        return 200, {"folderUid": folder, "status": "success", "uid": uid, "version": version}

    def _require_dashboard(self, model: Json, folder: str) -> None:
        if not model["title"]:
            raise Refusal(400, {"message": "Dashboard title cannot be empty", "status": "empty-name"})
        if len(model["uid"]) > 40:
            raise Refusal(400, "uid too long, max 40 characters")
        if folder and folder not in self.folders:
            raise Refusal(400, {"message": "folder not found", "status": "not-found"})
        if model["uid"] in self.folders:
            raise Refusal(400, "Dashboard cannot be changed to a folder")
        if self.dashboards.get(model["uid"], {}).get("provisioned"):
            raise Refusal(400, "Cannot save provisioned dashboard")

    def _same_title(self, model: Json, folder: str) -> str | None:
        found = [
            uid
            for uid, item in self.dashboards.items()
            if (item["model"]["title"], item["folderUid"]) == (model["title"], folder)
        ]
        return next((uid for uid in found if uid != model["uid"]), None)

    def delete_dashboard(self, uid: str, **_: Any) -> Answer:
        if uid not in self.dashboards:
            raise Refusal(404, "Dashboard not found")
        if self.dashboards[uid].get("provisioned"):
            raise Refusal(400, "provisioned dashboard cannot be deleted")
        title = self.dashboards.pop(uid)["model"]["title"]
        return 200, {"message": f"Dashboard {title} deleted", "title": title, "id": 1}

    # Alert rules.

    def list_rules(self, **_: Any) -> Answer:
        return 200, list(self.rules.values())

    def export_rules(self, **_: Any) -> Answer:
        if not self.rules:
            raise Refusal(404, None)
        groups: dict[tuple[str, str], list[Json]] = {}
        for rule in self.rules.values():
            groups.setdefault((rule["folderUID"], rule["ruleGroup"]), []).append(
                {"uid": rule["uid"], "title": rule["title"]}
            )
        return 200, {
            "apiVersion": 1,
            "groups": [
                {
                    "orgId": 1,
                    "name": name,
                    "folder": self.folders[folder]["title"],
                    "interval": duration(1000 * self.intervals[folder, name]),
                    "rules": rules,
                }
                for (folder, name), rules in groups.items()
            ],
        }

    def create_rule(self, body: Json, headers: Any, **_: Any) -> Answer:
        self._require_rule(body)
        if body["uid"] in self.rules or self._rule_title_taken(body):
            raise Refusal(400, self._rule_conflict(body))
        self.rules[body["uid"]] = self._stored_rule(body, "" if "X-Disable-Provenance" in headers else "api")
        self.intervals.setdefault((body["folderUID"], body["ruleGroup"]), 60)
        return 201, self.rules[body["uid"]]

    def update_rule(self, uid: str, body: Json, headers: Any, **_: Any) -> Answer:
        if uid not in self.rules:
            raise Refusal(404, None)
        stored = self.rules[uid]
        provenance = "" if "X-Disable-Provenance" in headers else "api"
        if stored.get("provenance") == "file" or (stored.get("provenance") == "api" and not provenance):
            raise Refusal(500, "Internal Server Error")
        self._require_rule({**body, "uid": uid})
        if self._rule_title_taken({**body, "uid": uid}):
            raise Refusal(400, self._rule_conflict({**body, "uid": uid}))
        old = (stored["folderUID"], stored["ruleGroup"])
        new = (body["folderUID"], body["ruleGroup"])
        self.rules[uid] = self._stored_rule({**body, "uid": uid}, provenance)
        self.intervals.setdefault(new, self.intervals[old])
        self._forget_empty_groups()
        return 200, self.rules[uid]

    def _require_rule(self, body: Json) -> None:
        if body["folderUID"] not in self.folders:
            raise Refusal(400, "invalid alert rule: folder does not exist")
        if not body.get("data"):
            raise Refusal(400, "invalid alert rule: no queries or expressions are found")
        if body.get("noDataState") not in {"NoData", "OK", "Alerting", "KeepLast"}:
            raise Refusal(500, "Internal Server Error")
        for query in body["data"]:
            window = query.get("relativeTimeRange") or {}
            if query["datasourceUid"] != "__expr__" and window.get("from", 0) <= window.get("to", 0):
                raise Refusal(500, "Internal Server Error")

    def _rule_title_taken(self, body: Json) -> bool:
        return any(
            (item["title"], item["folderUID"]) == (body["title"], body["folderUID"]) and uid != body["uid"]
            for uid, item in self.rules.items()
        )

    def _rule_conflict(self, body: Json) -> str:
        where = f"[rule_uid: '{body['uid']}', title: '{body['title']}', namespace_uid: '{body['folderUID']}']"
        return f"[alerting.alert-rule.conflict] conflicting alert rule found {where}: rule title under the same organisation and folder should be unique"

    def _stored_rule(self, body: Json, provenance: str) -> Json:
        keys = ("uid", "folderUID", "ruleGroup", "title", "condition", "noDataState", "execErrState")
        stored = {key: body[key] for key in keys}
        stored |= {
            "id": 1,
            "orgID": 1,
            "for": duration(milliseconds(body.get("for", "0s"))),
            "data": [self._stored_query(query) for query in body["data"]],
            "isPaused": bool(body.get("isPaused")),
            "updated": self._now(),
            "notification_settings": body.get("notification_settings"),
        }
        stored |= {key: body[key] for key in ("labels", "annotations") if body.get(key)}
        return {**stored, "provenance": provenance} if provenance else stored

    def _stored_query(self, query: Json) -> Json:
        model = dict(query["model"])
        model["intervalMs"] = model.get("intervalMs") or 1000
        model["maxDataPoints"] = model.get("maxDataPoints") or 43200
        window = query.get("relativeTimeRange") or {}
        return {
            "refId": query["refId"],
            "datasourceUid": query["datasourceUid"],
            "queryType": query.get("queryType") or model.get("queryType") or "",
            "relativeTimeRange": {"from": window.get("from", 0), "to": window.get("to", 0)},
            "model": model,
        }

    def delete_rule(self, uid: str, **_: Any) -> Answer:
        self.rules.pop(uid, None)
        self._forget_empty_groups()
        return 204, None

    def _forget_empty_groups(self) -> None:
        used = {(rule["folderUID"], rule["ruleGroup"]) for rule in self.rules.values()}
        self.intervals = {group: seconds for group, seconds in self.intervals.items() if group in used}

    def group(self, folder: str, name: str, **_: Any) -> Answer:
        rules = [rule for rule in self.rules.values() if (rule["folderUID"], rule["ruleGroup"]) == (folder, name)]
        if not rules:
            raise Refusal(404, {"message": "Not found", "messageId": "alerting.alert-rule.notFound"})
        shown = [{key: value for key, value in rule.items() if key != "provenance"} for rule in rules]
        return 200, {"title": name, "folderUid": folder, "interval": self.intervals[folder, name], "rules": shown}

    def set_group(self, folder: str, name: str, body: Json, headers: Any, **_: Any) -> Answer:
        if not body.get("interval"):
            raise Refusal(
                400,
                f"invalid alert rule group: interval ({body.get('interval', 0)}s) should be non-zero and divided exactly by scheduler interval: 10",
            )
        if body.get("rules"):
            raise Refusal(500, "the fake knows only bodies without rules")
        for rule in self.rules.values():
            if (rule["folderUID"], rule["ruleGroup"]) == (folder, name):
                rule["updated"] = self._now()
                rule.pop("provenance", None)
                if "X-Disable-Provenance" not in headers:
                    rule["provenance"] = "api"
        self.intervals[folder, name] = body["interval"]
        self._forget_empty_groups()
        return 200, {"title": body.get("title", ""), "folderUid": folder, "interval": body["interval"], "rules": None}

    # Contact points, policies, templates.

    def list_contacts(self, **_: Any) -> Answer:
        return 200, [self._redacted(item) for item in self.contacts]

    def _redacted(self, item: Json) -> Json:
        hidden = dict.fromkeys(SECURE[item["type"]], "[REDACTED]")
        return {**item, "settings": {**item["settings"], **hidden}}

    def export_contacts(self, query: Json, role: str, **_: Any) -> Answer:
        if query.get("decrypt") == "true" and role != "Admin":
            raise Refusal(403, "permission denied")
        points: dict[str, list[Json]] = {}
        for item in self.contacts:
            points.setdefault(item["name"], []).append(
                {key: item[key] for key in ("uid", "type", "settings", "disableResolveMessage")}
            )
        return 200, {
            "apiVersion": 1,
            "contactPoints": [{"orgId": 1, "name": name, "receivers": items} for name, items in points.items()],
        }

    def create_contact(self, body: Json, headers: Any, **_: Any) -> Answer:
        stored = self._stored_contact(body, headers)
        if any(item["uid"] == stored["uid"] for item in self.contacts):
            raise Refusal(
                500,
                f"receiver configuration with UID '{stored['uid']}' already exist in contact point '{stored['name']}'. Please use unique identifiers for receivers across all contact points",
            )
        self.contacts.append(stored)
        return 202, {key: value for key, value in self._redacted(stored).items() if key != "provenance"}

    def update_contact(self, uid: str, body: Json, headers: Any, **_: Any) -> Answer:
        for index, item in enumerate(self.contacts):
            if item["uid"] == uid:
                if item.get("provenance") == "file":
                    raise Refusal(500, "cannot change provenance from 'file' to 'api'")
                merged = {k: item["settings"].get(k) if v == "[REDACTED]" else v for k, v in body["settings"].items()}
                self.contacts[index] = self._stored_contact({**body, "uid": uid, "settings": merged}, headers)
                return 202, {"message": "contactpoint updated"}
        raise Refusal(404, f"object not found: contact point with uid '{uid}' not found")

    def _stored_contact(self, body: Json, headers: Any) -> Json:
        if said := self._refused_settings(body["type"], body["settings"]):
            where = f'integration "{body["name"]}" (UID {body["uid"]}) of type "{body["type"]}"'
            raise Refusal(400, f"invalid object specification: failed to validate {where}: {said}")
        stored = {key: body[key] for key in ("uid", "name", "type", "settings")}
        stored["disableResolveMessage"] = bool(body.get("disableResolveMessage"))
        return stored if "X-Disable-Provenance" in headers else {**stored, "provenance": "api"}

    def _refused_settings(self, kind: str, settings: Json) -> str | None:
        if kind not in SECURE:
            return f"notifier {kind} is not supported"
        needed, said = REQUIRED[kind]
        return None if any(settings.get(key) for key in needed) else said

    def delete_contact(self, uid: str, **_: Any) -> Answer:
        item = next((item for item in self.contacts if item["uid"] == uid), None)
        if item is not None:
            alone = sum(other["name"] == item["name"] for other in self.contacts) == 1
            if alone and item["name"] in set(receivers(self.tree)):
                raise Refusal(500, "failed to delete contact point")
            self.contacts.remove(item)
        return 202, {"message": "contactpoint deleted"}

    def policies(self, **_: Any) -> Answer:
        if self.starting:
            raise Refusal(self.starting.pop(0), "alerting is not ready")
        return 200, self.tree

    def set_policies(self, body: Json, headers: Any, **_: Any) -> Answer:
        names = {DEFAULT_TREE["receiver"], *(item["name"] for item in self.contacts)}
        for receiver in receivers(body):
            if receiver not in names:
                raise Refusal(400, f"invalid object specification: receiver '{receiver}' does not exist")
        for timing in timings(body):
            if timing not in self.timings:
                raise Refusal(400, f"invalid object specification: mute time interval '{timing}' does not exist")
        self.tree = cleaned(body)
        if "X-Disable-Provenance" not in headers:
            self.tree["provenance"] = "api"
        return 202, {"message": "policies updated"}

    def list_timings(self, **_: Any) -> Answer:
        return 200, list(self.timings.values())

    def create_timing(self, body: Json, headers: Any, **_: Any) -> Answer:
        kept = {key: body[key] for key in ("name", "time_intervals")}
        self.timings[body["name"]] = kept if "X-Disable-Provenance" in headers else {**kept, "provenance": "api"}
        return 201, self.timings[body["name"]]

    def delete_timing(self, name: str, **_: Any) -> Answer:
        if name in set(timings(self.tree)):
            raise Refusal(409, "Time interval is used by one or many notification policies")
        self.timings.pop(name, None)
        return 204, None

    def list_templates(self, **_: Any) -> Answer:
        return 200, list(self.templates.values()) or None

    def save_template(self, name: str, body: Json, headers: Any, **_: Any) -> Answer:
        text = body["template"].strip()
        if "define" not in text:
            text = f'{{{{ define "{name}" }}}}\n  {text}\n{{{{ end }}}}'
        self.templates[name] = {
            "name": name,
            "template": text,
            **({} if "X-Disable-Provenance" in headers else {"provenance": "api"}),
        }
        return 202, self.templates[name]

    def delete_template(self, name: str, **_: Any) -> Answer:
        self.templates.pop(name, None)
        return 204, None


def receivers(route: Json) -> Iterator[str]:
    yield route["receiver"]
    for item in route.get("routes") or []:
        yield from receivers(item)


def timings(route: Json) -> Iterator[str]:
    yield from route.get("mute_time_intervals") or []
    for item in route.get("routes") or []:
        yield from timings(item)


def cleaned(route: Json) -> Json:
    """Drop what is empty and write durations and old matchers as the Alertmanager does."""
    kept = {key: value for key, value in route.items() if value not in ([], "", False, None) and key != "provenance"}
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in kept:
            kept[key] = duration(milliseconds(kept[key]))
    if "object_matchers" in kept:
        kept["object_matchers"] = sorted(kept["object_matchers"])
    if "matchers" in kept:
        kept["matchers"] = [re.sub(r'^(\w+)(=~|!~|!=|=)"?(.*?)"?$', r'\1\2"\3"', text) for text in kept["matchers"]]
    if "routes" in kept:
        kept["routes"] = [cleaned(item) for item in kept["routes"]]
    return kept


def milliseconds(text: str) -> int:
    if not re.fullmatch(r"0|(?:\d+(?:ms|[smhdwy]))+", text):
        raise Refusal(400, "bad request data")
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def duration(left: int) -> str:
    if not left:
        return "0s"
    written = ""
    for unit in ("y", "w", "d", "h", "m", "s", "ms"):
        size = UNITS[unit]
        if left >= size and (unit not in "yw" or left % size == 0):
            written += f"{left // size}{unit}"
            left %= size
    return written


def _may(role: str | None, needed: str) -> bool:
    if needed in {"nobody", "login"}:
        return True
    granted = {"Viewer": (), "Editor": EDITOR, "Admin": (*EDITOR, *ADMIN_ONLY)}[role or "Viewer"]
    return needed in granted


_PART = "([^/]+)"
_F, _S, _D = f"/folders/{_PART}", f"/datasources/uid/{_PART}", f"/dashboards/uid/{_PART}"
_R, _C, _P, _T = (f"/v1/provisioning/{name}" for name in ("alert-rules", "contact-points", "policies", "templates"))
_M = "/v1/provisioning/mute-timings"
_G = f"/v1/provisioning/folder/{_PART}/rule-groups/{_PART}"
_RULES, _NOTIFY = "alert.provisioning:write", "alert.notifications:write"
ROUTES: list[tuple[str, str, Callable[..., Answer], str]] = [
    ("GET", "/health", FakeGrafana.health, "nobody"),
    ("GET", "/user", FakeGrafana.user, "login"),
    ("GET", "/access-control/user/permissions", FakeGrafana.permissions, "login"),
    ("POST", "/serviceaccounts", FakeGrafana.create_account, "datasources:create"),
    ("POST", f"/serviceaccounts/{_PART}/tokens", FakeGrafana.create_token, "datasources:create"),
    ("GET", "/search", FakeGrafana.search, "login"),
    ("GET", _F, FakeGrafana.folder, "login"),
    ("GET", f"{_F}/counts", FakeGrafana.folder_counts, "login"),
    ("POST", "/folders", FakeGrafana.create_folder, "folders:create"),
    ("PUT", _F, FakeGrafana.rename_folder, "folders:write"),
    ("POST", f"{_F}/move", FakeGrafana.move_folder, "folders:write"),
    ("DELETE", _F, FakeGrafana.delete_folder, "folders:write"),
    ("GET", "/datasources", FakeGrafana.datasources, "login"),
    ("GET", _S, FakeGrafana.datasource, "login"),
    ("POST", "/datasources", FakeGrafana.create_datasource, "datasources:create"),
    ("PUT", _S, FakeGrafana.update_datasource, "datasources:write"),
    ("DELETE", _S, FakeGrafana.delete_datasource, "datasources:delete"),
    ("GET", _D, FakeGrafana.dashboard, "login"),
    ("GET", f"{_D}/versions", FakeGrafana.dashboard_versions, "login"),
    ("POST", "/dashboards/db", FakeGrafana.save_dashboard, "dashboards:write"),
    ("DELETE", _D, FakeGrafana.delete_dashboard, "dashboards:write"),
    ("GET", _R, FakeGrafana.list_rules, "login"),
    ("GET", f"{_R}/export", FakeGrafana.export_rules, "login"),
    ("POST", _R, FakeGrafana.create_rule, _RULES),
    ("PUT", f"{_R}/{_PART}", FakeGrafana.update_rule, _RULES),
    ("DELETE", f"{_R}/{_PART}", FakeGrafana.delete_rule, _RULES),
    ("GET", _G, FakeGrafana.group, "login"),
    ("PUT", _G, FakeGrafana.set_group, _RULES),
    ("GET", _C, FakeGrafana.list_contacts, "login"),
    ("GET", f"{_C}/export", FakeGrafana.export_contacts, "login"),
    ("POST", _C, FakeGrafana.create_contact, _NOTIFY),
    ("PUT", f"{_C}/{_PART}", FakeGrafana.update_contact, _NOTIFY),
    ("DELETE", f"{_C}/{_PART}", FakeGrafana.delete_contact, _NOTIFY),
    ("GET", _P, FakeGrafana.policies, "login"),
    ("PUT", _P, FakeGrafana.set_policies, _NOTIFY),
    ("GET", _M, FakeGrafana.list_timings, "login"),
    ("POST", _M, FakeGrafana.create_timing, _NOTIFY),
    ("DELETE", f"{_M}/{_PART}", FakeGrafana.delete_timing, _NOTIFY),
    ("GET", _T, FakeGrafana.list_templates, "login"),
    ("PUT", f"{_T}/{_PART}", FakeGrafana.save_template, _NOTIFY),
    ("DELETE", f"{_T}/{_PART}", FakeGrafana.delete_template, _NOTIFY),
]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in two pieces; the second would wait 40 ms for the first one's receipt.
    disable_nagle_algorithm = True
    grafana: FakeGrafana

    def respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        status, answer = self.grafana.answer(
            self.command, self.path, json.loads(content) if content else None, self.headers
        )
        payload = b"" if answer is None and status in {204, 404} else json.dumps(answer).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server that neither waits for idle connections at its end nor prints what clients do to it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of loopback; the address."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def served(grafana: FakeGrafana) -> Iterator[str]:
    """Serve a fake Grafana; its address."""
    with serving(type("Handler", (_Handler,), {"grafana": grafana})) as url:
        yield url
