"""The outcome as text, as JSON and as JUnit's XML."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from gwz_provision.check.findings import Finding, Place
from gwz_provision.check.run import Outcome
from gwz_provision.errors import ProvisionError

SCHEMA = 1


def text(outcome: Outcome, *, orphans: bool = False) -> str:
    """Return a block for each finding, if so asked the orphans, and a last line that counts."""
    blocks = [f"{_where(one)}: {one.sentence} [{one.id}]\n    {one.cure}\n" for one in outcome.findings]
    if orphans:
        blocks += [f"orphan {name}: nothing shows it.\n" for name in outcome.orphans]
    return "".join(blocks) + f"{len(outcome.queries)} queries, {len(outcome.findings)} findings"


def _where(one: Finding) -> str:
    column = "" if one.column is None else f", column {one.column}"
    return f"{Place(one.file, one.panel, one.title, one.ref)}{column}"


def document(outcome: Outcome) -> str:
    """Return the JSON document."""
    return json.dumps(_document(outcome), indent=2, ensure_ascii=False)


def failure(error: ProvisionError) -> str:
    """Return the JSON document of a check that could not be made."""
    said = {"cause": error.cause, "cure": error.cure}
    return json.dumps({**_document(Outcome(0, (), ())), "error": said}, indent=2, ensure_ascii=False)


def _document(outcome: Outcome) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "files": outcome.files,
        "queries": len(outcome.queries),
        "findings": [asdict(one) for one in outcome.findings],
        "orphans": list(outcome.orphans),
    }


def junit(outcome: Outcome) -> str:
    """Return JUnit's XML: a suite for each file, a test for each query, and one for each finding that is of no query."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - only this output needs it

    root = ET.Element("testsuites", name="gwz-provision validate")
    for file, places in _by_file(outcome):
        suite = ET.SubElement(root, "testsuite", name=file, tests=str(len(places)))
        failed = 0
        for place in places:
            found = [one for one in outcome.findings if _place(one) == place]
            case = ET.SubElement(suite, "testcase", classname=file, name=str(place))
            for one in found:
                failure = ET.SubElement(case, "failure", type=one.id, message=_legal(one.sentence))
                failure.text = _legal(f"{_where(one)}: {one.sentence}\n{one.cure}")
            failed += bool(found)
        suite.set("failures", str(failed))
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _by_file(outcome: Outcome) -> Iterator[tuple[str, list[Place]]]:
    places = dict.fromkeys((*outcome.queries, *map(_place, outcome.findings)))
    for file in dict.fromkeys(place.file for place in places):
        yield file, [place for place in places if place.file == file]


def _place(one: Finding) -> Place:
    return Place(one.file, one.panel, one.title, one.ref)


def _legal(text_: str) -> str:
    """XML has no control characters."""
    return "".join(letter if letter >= " " or letter in "\n\t" else "?" for letter in text_)
