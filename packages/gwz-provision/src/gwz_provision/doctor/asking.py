"""Asks Grafana, a few questions at once; an error of ours is an answer, all others are faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gwz_provision.bundle import Json
from gwz_provision.errors import ProvisionError, QueryFailed, Unanswered
from gwz_provision.frames import Content
from gwz_provision.queries import Query
from gwz_provision.report import Hop
from gwz_provision.shapes import Maybe, Shape
from gwz_provision.threads import Pool

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
        with Pool(AT_ONCE) as pool:
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

    def proxied(self, uid: str, address: str, shape: Shape, **params: Any) -> Any:
        """Return what a data source's own API answers under `data`, of this shape; its empty answers have none."""
        given = {_PARAMETERS.get(name, name): str(value) for name, value in params.items() if value is not None}
        return self.of(uid, lambda: self.reader.proxied(uid, address, given, {"data": Maybe(shape)})).get("data")

    def answers(self, targets: Mapping[str, Json], since: str) -> dict[str, Json | QueryFailed]:
        """Run targets of one data source in one call; the result of each by its key, an error in the place of what is missing."""
        keys = dict(enumerate(targets))
        named = [{**targets[key], "refId": f"q{number}"} for number, key in keys.items()]
        uid = named[0]["datasource"]["uid"]
        answer = self.of(uid, lambda: self.reader.query(named, since))
        return {key: answer.get(f"q{number}", unanswered(uid)) for number, key in keys.items()}

    def results(self, targets: Mapping[str, Json], since: str) -> dict[str, Json]:
        """Run targets of one data source in one call; the result of each by its key, raising an error when one is missing."""
        found: dict[str, Json] = {}
        for key, answer in self.answers(targets, since).items():
            if isinstance(answer, QueryFailed):
                raise answer
            found[key] = answer
        return found


def unanswered(uid: str) -> QueryFailed:
    """Say that an answer of Grafana's leaves a query out."""
    return QueryFailed(
        f"Grafana did not answer each query to data source {uid}: its answer has fewer results than queries.",
        "Ask in Grafana itself (Explore); its log says what the data source's plugin does.",
    )


_PARAMETERS = {"match": "match[]"}


def _caught(call: Callable[[], _V]) -> _V | ProvisionError:
    try:
        return call()
    except ProvisionError as error:
        return error
