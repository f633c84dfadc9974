"""Whatever stands at any place of a bundle's document is found or borne: no command ends with an error that is not ours."""

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwz_provision import manifest, recording
from gwz_provision.bundle import Bundle, load, shipped
from gwz_provision.check import contract
from gwz_provision.check.run import check
from gwz_provision.doctor import alerts, receivers
from gwz_provision.doctor.question import Question, builtins
from gwz_provision.errors import Misconfigured, QueryFailed
from gwz_provision.queries import named, queries, substituted
from gwz_provision.variables import Choice, variables

Json = Any
Steps = tuple[str | int, ...]

SHIPPED = Path(str(shipped()))
ENVIRONMENT = dict.fromkeys(
    ("PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL", "GWZ_API_URL", "GWZ_API_TOKEN"), "http://h:1"
)


def places(value: Json, path: Steps = ()) -> Iterator[Steps]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def kind(path: Steps) -> Steps:
    return tuple("*" if isinstance(step, int) else step for step in path)


def thinned(value: Json) -> Json:
    """Keep of each list the items that have a place which none before them has: all kinds of places, and few of each."""
    if isinstance(value, dict):
        return {key: thinned(item) for key, item in value.items()}
    if not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value):
        return value
    seen: set[Steps] = set()
    kept = []
    for item in map(thinned, value):
        if new := set(map(kind, places(item))) - seen:
            seen |= new
            kept.append(item)
    return kept


def shipped_documents() -> dict[str, Json]:
    """Take the shipped bundle as a small one: one dashboard and one file of alerts with something of each kind."""
    files = {str(file.relative_to(SHIPPED)): json.loads(file.read_text()) for file in sorted(SHIPPED.rglob("*.json"))}
    boards = [content for content in files.values() if "panels" in content]
    rules = [rule for content in files.values() for group in content.get("groups", ()) for rule in group["rules"]]
    listed = {name: [one for board in boards for one in board[name]["list"]] for name in ("templating", "annotations")}
    return thinned({
        **{name: files[name] for name in ("contact-points.json", "contract.json", "datasources.json", "policies.json")},
        "index.json": {**files["index.json"], "dashboards": [{"folder": "gwz-executive", "file": "d.json", "mayBeEmpty": [1]}]},
        "d.json": {**boards[0], "panels": [one for board in boards for one in board["panels"]], **{name: {"list": one} for name, one in listed.items()}},
        "alerts/a.json": {"groups": [{"folder": "gwz-executive", "name": "gwz-a", "interval": "1m", "rules": rules}]},
    })  # fmt: skip


DOCUMENTS = shipped_documents()


def alike() -> list[list[tuple[str, Steps]]]:
    """Group the places of all documents by their names, so that each kind of place is as likely as every other."""
    found: dict[Steps, list[tuple[str, Steps]]] = {}
    for name, document in DOCUMENTS.items():
        for path in places(document):
            found.setdefault((name, *kind(path)), []).append((name, path))
    return list(found.values())


PLACES = alike()
WORDS = ["", "x", "$x", "now-1h", "-- Mixed --", "__expr__", "(a+)+$", "((", "up{", "9" * 30, "\x00"]
SIMPLE = [None, True, 0, -1.5, 10**30, *WORDS, [], [None], ["x"], [[]], {}, {"x": 1}, {"uid": []}]
NAMES = sorted({step for each in PLACES for _, path in each for step in path if isinstance(step, str)})
VALUES = st.sampled_from(SIMPLE) | st.recursive(
    st.sampled_from(SIMPLE) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)


def changed(document: Json, path: Steps, put: list[Json]) -> Json:
    """Put a value at a place, or remove the place."""
    if not path:
        return put[0] if put else {}
    document = copy.deepcopy(document)
    parent = reduce(lambda value, step: value[step], path[:-1], document)
    if put:
        parent[path[-1]] = put[0]
    else:
        del parent[path[-1]]
    return document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    shutil.copytree(SHIPPED / "rules", folder / "rules")
    (folder / "alerts").mkdir()
    for name, document in DOCUMENTS.items():
        (folder / name).write_text(json.dumps(document))
    return folder


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES).flatmap(st.sampled_from), put=st.just([]) | VALUES.map(lambda value: [value]))
def test_anything_at_any_place_of_a_document_is_found_or_borne(folder: Path, place: tuple[str, Steps], put: list[Json]) -> None:  # fmt: skip
    """So `validate` tells it as findings, and `plan`, `apply` and `doctor` refuse the bundle or read it."""
    name, path = place
    (folder / name).write_text(json.dumps(changed(DOCUMENTS[name], path, put)))
    try:
        with suppress(Misconfigured):
            check([folder / name], contract.load(folder / "contract.json"))
        with suppress(Misconfigured):
            bundle = load(folder)
            asked(bundle)
            planned(bundle)
    finally:
        (folder / name).write_text(json.dumps(DOCUMENTS[name]))


def test_the_documents_as_they_are_make_a_bundle(folder: Path) -> None:
    """Else nothing would be proved of what is done with one."""
    assert manifest.problems(load(folder), ENVIRONMENT) == []
    assert len(PLACES) > 400


def planned(bundle: Bundle) -> None:
    """Do what `plan` and `apply` do before the first call."""
    recording.needed(bundle)
    if not manifest.problems(bundle, ENVIRONMENT):
        manifest.build(bundle, ENVIRONMENT)


def asked(bundle: Bundle) -> None:
    """Do what the doctor does with a bundle, but for asking."""
    Question().check(bundle)
    receivers.judged(bundle, [])
    alerts.queries(bundle)
    for board in bundle.dashboards:
        values = builtins("now-1h")
        for variable in variables(board):
            assert isinstance(variable.label_values, object)
            named(variable.datasource)
            with suppress(QueryFailed):
                found = ["a", "a1", "b"] if variable.needs_options else variable.options()
                values[variable.name] = variable.chosen(variable.offered(found)) or Choice(("a",))
        for query in queries(board):
            with suppress(QueryFailed):
                substituted(query, values)
