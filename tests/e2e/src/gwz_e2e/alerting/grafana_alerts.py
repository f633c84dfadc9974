"""The alerts as Grafana tells of them: what its webhook delivers, and since when an alert waits for its `for`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import httpx

from gwz_e2e.alerting.notices import Key, Notice, PendingTimes, Webhook
from gwz_e2e.repeated import repeated

_RULES = "/api/prometheus/grafana/api/v1/rules"
_POLL_S = 0.3
_TIMEOUT_S = 10.0


class GrafanaAlerts:
    """Observes through the webhook, and asks for the states of the rules a few times a second."""

    def __init__(self, webhook: Webhook, url: str, password: str) -> None:
        self._webhook = webhook
        self._client = httpx.Client(base_url=url, auth=("admin", password), timeout=_TIMEOUT_S, trust_env=False)
        self._pending = PendingTimes()

    @contextmanager
    def observing(self) -> Iterator["GrafanaAlerts"]:
        """Watch while the context lasts."""
        with self._webhook, repeated(self._poll, _POLL_S, "alert states"):
            yield self

    def notices(self) -> list[Notice]:
        """What the webhook received."""
        return self._webhook.notices()

    def pending_at(self, key: Key, before: float) -> float | None:
        """When Grafana says that the alert became pending."""
        return self._pending.last(key, before)

    def _poll(self) -> None:
        with suppress(httpx.HTTPError):  # whether Grafana lives is the supervisor's to say
            for alert in _alerts(self._client.get(_RULES).raise_for_status().json()):
                self._note(alert)

    def _note(self, alert: Mapping[str, Any]) -> None:
        if alert["state"] == "Pending":
            self._pending.note(Key.of(alert["labels"]), datetime.fromisoformat(alert["activeAt"]).timestamp())


def _alerts(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in answer["data"]["groups"]:
        for rule in group["rules"]:
            yield from rule.get("alerts") or ()
