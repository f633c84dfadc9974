"""What is told of alerts: the messages that a webhook receives, and what can be concluded from them."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol, Self

from gwz_dashboards.alerts import ALERTS_SHIPPED

PATH = "/alerts"
_UIDS = {alert.title: alert.uid for alert in ALERTS_SHIPPED}
_NUMBER = "B"
"""The expression whose value the messages tell."""
_OF_GRAFANA = ("alertname", "grafana_folder")


class Key(NamedTuple):
    """One alert among those of its rule."""

    uid: str
    labels: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Self:
        """The key of labels as Grafana writes them, its private ones left out; a rule that is not ours goes by its title."""
        title = labels.get("alertname", "")
        own = {item for item in labels.items() if not item[0].startswith("__") and item[0] not in _OF_GRAFANA}
        return cls(_UIDS.get(title, title), frozenset(own))

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in sorted(self.labels) if name in _TELLING)
        return f"{self.uid} ({told})" if told else self.uid


_TELLING = ("instance", "job", "provider", "reason", "signal")


@dataclass(frozen=True)
class Notice:
    """That an alert fires, or fires no more; times in unix seconds."""

    key: Key
    firing: bool
    at: float
    """When this was told."""
    since: float
    """When it began to fire."""
    value: float | None = None
    """The number that its message tells, if there is one."""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a person is shown: `summary`, `runbook_url`, `dashboardURL`, `panelURL`."""


class PendingTimes:
    """When alerts began to wait for their `for`, unix seconds; one thread notes while another one reads."""

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[float, ...]] = {}

    def note(self, key: Key, at: float) -> None:
        """Remember that the alert waits since then; to be told again changes nothing."""
        seen = self._seen.get(key, ())
        if at not in seen:
            self._seen[key] = (*seen, at)

    def last(self, key: Key, before: float) -> float | None:
        """The last such time up to `before`; None if there was none."""
        return max((at for at in self._seen.get(key, ()) if at <= before), default=None)


class Observer(Protocol):
    """Whoever watches the alerts while faults come and go."""

    def notices(self) -> list[Notice]:
        """Everything that was told so far, oldest first."""

    def pending_at(self, key: Key, before: float) -> float | None:
        """When the alert last began to wait for its `for`, unix seconds; None if that was not seen."""


class Webhook:
    """Receives what Grafana sends to a contact point, on a port of its own, while the context lasts."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self._received: list[Notice] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._take))
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def notices(self) -> list[Notice]:
        """What was received, as changes: that an alert still fires is no news."""
        with self._lock:
            return list(self._received)

    def _take(self, message: Mapping[str, Any]) -> None:
        now = time.time()
        with self._lock:
            for alert in message["alerts"]:
                notice = _notice(alert, now)
                if (notice.key in firing(self._received)) is not notice.firing:
                    self._received.append(notice)


def firing(notices: Iterable[Notice]) -> set[Key]:
    """The alerts that fire after these notices."""
    now: set[Key] = set()
    for notice in notices:
        (now.add if notice.firing else now.discard)(notice.key)
    return now


def _notice(alert: Mapping[str, Any], now: float) -> Notice:
    annotations = alert.get("annotations", {})
    texts = {name: str(annotations.get(name, "")) for name in ("summary", "runbook_url")}
    texts |= {name: str(alert.get(name, "")) for name in ("dashboardURL", "panelURL")}
    since = datetime.fromisoformat(alert["startsAt"]).timestamp()
    value = (alert.get("values") or {}).get(_NUMBER)
    return Notice(Key.of(alert["labels"]), alert["status"] == "firing", now, since, value, texts)


def _handler(take: Callable[[Mapping[str, Any]], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == PATH:
                take(json.loads(body))
            self.send_response(200 if self.path == PATH else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: what was received is told by the report."""

    return Handler
