"""Asks Grafana, a few questions at once; an error of ours is an answer, all others are faults."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gwz_provision.bundle import Json
from gwz_provision.errors import ProvisionError, Unanswered
from gwz_provision.frames import Content
from gwz_provision.queries import Query
from gwz_provision.report import Hop

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Reader

AT_ONCE = 4
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Empty:
    """A query that was answered with no data."""

    query: Query
    content: Content


Verdict = Hop | str
"""Why a query has no data: a broken hop, or the words that say why that is an answer."""


class Asker:
    """Asks over one connection, at most `AT_ONCE` questions at a time."""

    def __init__(self, reader: "Reader") -> None:
        """Ask through this reader."""
        self.reader = reader
        self._silent: dict[str, Unanswered] = {}

    def all(self, calls: Mapping[_K, Callable[[], _V]]) -> dict[_K, _V | ProvisionError]:
        """Carry out all calls and return their answers, or the errors in their places."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pending = {key: pool.submit(_caught, call) for key, call in calls.items()}
            return {key: future.result() for key, future in pending.items()}

    def of(self, uid: str, call: Callable[[], _V]) -> _V:
        """Ask something of a data source; one that did not answer once is not waited for again."""
        if uid in self._silent:
            raise self._silent[uid]
        try:
            return call()
        except Unanswered as error:
            self._silent[uid] = error
            raise

    def proxied(self, uid: str, address: str, **params: Any) -> Any:
        """Return what a data source's own API answers under `data`; its empty answers have none."""
        given = {_PARAMETERS.get(name, name): str(value) for name, value in params.items() if value is not None}
        answer = self.of(uid, lambda: self.reader.proxied(uid, address, given))
        return answer.get("data") if isinstance(answer, dict) else None

    def results(self, targets: Mapping[str, Json], since: str) -> dict[str, Json]:
        """Run targets of one data source in one call; the result of each by its key."""
        keys = dict(enumerate(targets))
        named = [{**targets[key], "refId": f"q{number}"} for number, key in keys.items()]
        uid = named[0]["datasource"]["uid"]
        answer = self.of(uid, lambda: self.reader.query(named, since)).get("results") or {}
        return {key: answer.get(f"q{number}") or {} for number, key in keys.items()}


_PARAMETERS = {"match": "match[]"}


def _caught(call: Callable[[], _V]) -> _V | ProvisionError:
    try:
        return call()
    except ProvisionError as error:
        return error
