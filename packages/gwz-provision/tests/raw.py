"""Calls to Grafana as anybody would send them, past the package that is tested."""

import base64
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

DEFAULT_RECEIVER = "grafana-default-email"


@dataclass(frozen=True)
class Place:
    """A Grafana, fake or real, and its admin's password."""

    url: str
    password: str
    real: bool

    def call(
        self, method: str, path: str, body: Any = None, *, headers: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        """Send a call; the status and the answer, as JSON where it is."""
        basic = base64.b64encode(f"admin:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {token}" if token else f"Basic {basic}",
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        return status, json.loads(content) if content.strip() else None

    def get(self, path: str) -> Any:
        """Read something that must be there."""
        status, answer = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a call that must succeed."""
        status, answer = self.call(method, path, body, **options)
        assert status < 300, (method, path, status, answer)
        return answer

    def token(self, role: str) -> str:
        """Make a service account of a role; its token."""
        name = f"{role}-{secrets.token_hex(4)}"
        account = self.send("POST", "/serviceaccounts", {"name": name, "role": role})
        return str(self.send("POST", f"/serviceaccounts/{account['id']}/tokens", {"name": name})["key"])

    def wipe(self) -> None:
        """Make it as empty as it was after its start."""
        self.call("DELETE", "/v1/provisioning/policies")
        for rule in self.get("/v1/provisioning/alert-rules"):
            self.send("DELETE", f"/v1/provisioning/alert-rules/{rule['uid']}")
        for contact in self.get("/v1/provisioning/contact-points"):
            if contact["name"] not in {DEFAULT_RECEIVER, "email receiver"}:
                self.call("DELETE", f"/v1/provisioning/contact-points/{contact['uid']}")
        for timing in self.get("/v1/provisioning/mute-timings"):
            self.send("DELETE", f"/v1/provisioning/mute-timings/{timing['name']}")
        for template in self.get("/v1/provisioning/templates") or []:
            self.send("DELETE", f"/v1/provisioning/templates/{template['name']}")
        for hit in sorted(self.get("/search?limit=5000"), key=lambda hit: hit["type"]):
            self.call("DELETE", f"/{'dashboards/uid' if hit['type'] == 'dash-db' else 'folders'}/{hit['uid']}")
        for source in self.get("/datasources"):
            self.send("DELETE", f"/datasources/uid/{source['uid']}")

    def snapshot(self) -> dict[str, Any]:
        """Read everything that somebody may have put there, without what the server counts."""
        hits = self.get("/search?limit=5000")
        folders = [hit["uid"] for hit in hits if hit["type"] == "dash-folder"]
        dashboards = [hit["uid"] for hit in hits if hit["type"] == "dash-db"]
        return {
            "folders": {uid: self._plain_folder(uid) for uid in sorted(folders)},
            "dashboards": {uid: self._plain_dashboard(uid) for uid in sorted(dashboards)},
            "datasources": {
                item["uid"]: self.get(f"/datasources/uid/{item['uid']}") for item in self.get("/datasources")
            },
            "rules": {item["uid"]: item for item in self.get("/v1/provisioning/alert-rules")},
            "contacts": self.get("/v1/provisioning/contact-points/export?decrypt=true&format=json"),
            "provenance": {item["uid"]: item.get("provenance") for item in self.get("/v1/provisioning/contact-points")},
            "policies": self.get("/v1/provisioning/policies"),
            "timings": self.get("/v1/provisioning/mute-timings"),
            "templates": self.get("/v1/provisioning/templates") or [],
        }

    def _plain_folder(self, uid: str) -> Any:
        folder = self.get(f"/folders/{uid}")
        return {key: folder.get(key) for key in ("title", "parentUid", "version")}

    def _plain_dashboard(self, uid: str) -> Any:
        found = self.get(f"/dashboards/uid/{uid}")
        return {"dashboard": found["dashboard"], "folderUid": found["meta"]["folderUid"]}
