"""One server of the stack by itself: natively, with the shipped configuration and stated overrides."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gwz_e2e.limits.lanes import Patience
from gwz_stack import Found, NativeStack, Supervisor, Urls
from gwz_stack.render import get, shipped

Overrides = Mapping[str, object]

DAY_S = 86_400.0
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
_TIMEOUT_S = 20.0


class Alone:
    """A server whose data nobody else touches; `patience` waits for what it will do."""

    def __init__(
        self, server: str, run_dir: Path, found: Mapping[str, Found], supervisor: Supervisor, patience: Patience
    ) -> None:
        self._server = server
        self._stack = NativeStack(run_dir, servers=found, supervisor=supervisor)
        self.data = run_dir.resolve() / "data" / server
        self.until: Callable[[Callable[[], bool], float], bool] = patience.until

    @property
    def urls(self) -> Urls:
        """Where it listens; the other servers of the stack are not there."""
        return self._stack.urls

    @property
    def url(self) -> str:
        """Where it answers queries."""
        return str(getattr(self.urls, self._server))

    def start(self, overrides: Overrides) -> None:
        """Start it, or start it again on the same data, and wait until it answers."""
        self._stack.restart(self._server, overrides=overrides)


def client(url: str) -> httpx.Client:
    """A client of a server on loopback."""
    return httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)


def metric(url: str, name: str, **labels: str) -> float:
    """The sum of a server's own samples of that name with these labels; 0 where there are none."""
    with client(url) as asked:
        page = asked.get("/metrics").raise_for_status().text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def differences(proof: str, server: str, overrides: Overrides) -> list[str]:
    """A printable line for each setting in which a proof's server differs from the shipped configuration."""
    config = shipped(server)
    return [
        f"{proof}: {server} {path}: {'default' if before is None else before} → {value}"
        for path, value in overrides.items()
        for before in [get(server, config, path)]
    ]


def seconds(duration: str) -> float:
    """A duration as the servers write it, such as `15d`, `720h` or `1h30m`; ValueError for anything else."""
    parts = re.findall(r"(\d+)([smhd])", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration such as 15d or 720h: correct it where the server is configured")
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)
