"""Reads the answer to a JSON query: which hop between Grafana and the field broke, if one did."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gwz_provision import frames
from gwz_provision.bundle import Json
from gwz_provision.check import infinity as checked
from gwz_provision.check.contract import Contract
from gwz_provision.doctor import sources
from gwz_provision.doctor.asking import Verdict
from gwz_provision.doctor.chain import ANSWER
from gwz_provision.errors import ProvisionError
from gwz_provision.queries import Query
from gwz_provision.report import Hop

_STATUS = re.compile(r"unsuccessful HTTP response\. (?P<code>\d{3})(?P<words>[^\n]*)")
_PATH = re.compile(r"[\w.]*")
_LONGEST = 200


def path_of(query: Query) -> str:
    """Return the endpoint's path, without the query."""
    return query.text.partition("?")[0]


def status_of(result: Json) -> int | None:
    """Return the status with which the endpoint refused; None when it did not answer, or well."""
    found = _STATUS.search(frames.error_of(result))
    return int(found["code"]) if found else None


def said(error: ProvisionError) -> str:
    """Return the words of an endpoint that failed, when Grafana asked it without its token; empty when it wants one."""
    words = error.cause.partition(": ")[2]
    return "" if "uthenti" in words else words.rstrip(".")


def refused(query: Query, live: Json, result: Json, said: str = "") -> Hop:
    """Name the hop behind an error; `said` is the body of the endpoint's answer, if it could be read."""
    error, path = frames.error_of(result), path_of(query)
    found = _STATUS.search(error)
    if found is None:
        return sources.unreachable(live, error) or _unreadable(query, error)
    status = f"{path} answers {found['code']}{found['words'].rstrip('.')}"
    subject = f"{live['uid']}{path}"
    match int(found["code"]):
        case 401 | 403:
            return sources.unwell(live, status)
        case 404:
            return Hop(
                "endpoint",
                subject,
                f"{status}: the application of {live['uid']} has no such path.",
                "Mount the JSON endpoints in the application (docs/guides/monitoring.md), or correct the path in GWZ_API_URL, which goes before it.",
            )
        case _:
            words = _shortened(said) if said else f"its words did not come through; ask it yourself: curl {path}"
            return Hop(
                "endpoint", subject, f"{status}: {words}.", "Mend what it names: the application's log says more."
            )


def unmounted(uid: str, asked: int, hops: Sequence[Hop]) -> Hop | None:
    """Make one hop of many when the application has none of the paths that it was asked for."""
    missing = [hop for hop in hops if hop.kind == "endpoint" and " answers 404 " in hop.cause]
    if not missing or len(missing) < asked:
        return None
    paths = len({hop.subject for hop in missing})
    cause = f"The application of {uid} has none of the {paths} paths that it was asked for: {missing[0].cause}"
    return Hop("endpoint", uid, cause, missing[0].cure)


def judged(query: Query, live: Json, result: Json, known: Contract) -> Verdict | None:
    """Tell what is missing in an answer that came well; None when nothing is."""
    body = _body(result)
    rows = _rows(body, str(query.target.get("root_selector") or ""))
    subject = f"{live['uid']}{path_of(query)}"
    if missing := _missing(query, rows):
        cause = f"The answer of {path_of(query)} has no {', '.join(missing)}: there {'are' if rows else 'is'} {_fields(rows)}."
        cure = "Correct the column's path, or run the version of the application that the dashboards are for."
        return Hop("column", f"{subject}#{','.join(missing)}", cause, cure)
    content = frames.content_of(result)
    if content.points:
        return None
    if not content.unknown:
        cause = f"{path_of(query)} answered, and its list is empty."
        return Hop("rows", subject, cause, "Let something happen that it lists, or choose a longer range.")
    wrong = _never_null(query, _all_null(result), known)
    if not wrong:
        return f"{ANSWER}{path_of(query)} says null, which it may: nothing is known yet."
    names = ", ".join(wrong)
    cause = f"{path_of(query)} answers null for {names}, which the contract does not allow."
    return Hop(
        "column", f"{subject}#{names}", cause, "Look into the application's log: it could not work the number out."
    )


def _unreadable(query: Query, error: str) -> Hop:
    """Name the hop behind an answer that came and could not be used."""
    path = path_of(query)
    subject = f"{query.datasource}{path}"
    if "no results found" in error:
        root = query.target.get("root_selector")
        cause = f"The answer of {path} has nothing at {root}."
        cure = "Correct the root selector, or run the version of the application that the dashboards are for."
        return Hop("column", f"{subject}#{root}", cause, cure)
    if "parse response body as json" in error.lower():
        cause = f"{path} answers something other than JSON: a login page, or another server?"
        return Hop("endpoint", subject, cause, "Point GWZ_API_URL at the application itself, and apply again.")
    return Hop("endpoint", subject, f"{path} failed: {_shortened(error)}.", "Correct the query in the dashboard.")


def _body(result: Json) -> Any:
    found = next(iter(result.get("frames") or ()), None)
    for name in ("schema", "meta", "custom", "data"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _rows(body: Any, root: str) -> list[Json] | None:
    """Return the rows that a plain root selector reaches; None for one that is calculated."""
    if not _PATH.fullmatch(root):
        return None
    for key in filter(None, root.split(".")):
        body = body.get(key) if isinstance(body, Mapping) else None
    listed = body if isinstance(body, list) else [body]
    return [row for row in listed if isinstance(row, dict)]


def _missing(query: Query, rows: Sequence[Json] | None) -> list[str]:
    """Name the columns that no row has, not even as null."""
    selectors = [str(one.get("selector") or "") for one in query.target.get("columns") or []]
    plain = [one for one in selectors if one and _PATH.fullmatch(one)]
    return [one for one in plain if rows and not any(_has(row, one) for row in rows)]


def _all_null(result: Json) -> list[str]:
    """Name the fields of numbers that hold nothing but null."""
    return [
        str(field.get("name"))
        for frame in result.get("frames") or []
        for field, column in zip(frame["schema"]["fields"], frame["data"]["values"], strict=False)
        if field.get("type") == "number" and column and column.count(None) == len(column)
    ]


def _never_null(query: Query, names: Sequence[str], known: Contract) -> list[str]:
    """Name those of a query's columns that the contract does not let be null."""
    columns, _ = checked.examined(query.target, known)
    allowed = {one.name for one in columns if one.field.nullable}
    return [name for name in names if name not in allowed]


def _has(row: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(row, Mapping) or key not in row:
            return False
        row = row[key]
    return True


def _fields(rows: Sequence[Json] | None) -> str:
    return ", ".join(sorted({key for row in rows or [] for key in row})) or "nothing"


def _shortened(words: str) -> str:
    line = " ".join(words.split()).rstrip(".")
    return f"{line[:_LONGEST]}…" if line[_LONGEST:] else line
