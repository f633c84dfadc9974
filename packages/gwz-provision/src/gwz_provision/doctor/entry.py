"""The hops up to the data sources: Grafana, the login, its permissions, and whether each data source is there and well."""

from collections.abc import Collection, Mapping
from functools import partial

from gwz_provision import frames
from gwz_provision.bundle import Json
from gwz_provision.doctor import sources
from gwz_provision.doctor.asking import Asker
from gwz_provision.doctor.hops import VIEWER, hop_of
from gwz_provision.errors import ProvisionError, Refused
from gwz_provision.report import Hop, Report

_NEEDED = ("datasources:read", "datasources:query")
# The question that shows how the way to a server breaks, in words that its health leaves out.
_PROBES: Mapping[str, Json] = {
    "prometheus": {"expr": "vector(1)", "instant": True},
    "loki": {"expr": "vector(1)", "queryType": "instant"},
    "tempo": {"query": "1".zfill(32), "queryType": "traceId"},
}
# Beside an expression the whole error of a query comes through; alone, Grafana 11.0 hides that of Tempo.
_COMPANION = {"refId": "B", "datasource": {"uid": "__expr__", "type": "__expr__"}, "type": "math", "expression": "1"}
_NO_HEALTH = "method not implemented"


def enter(asker: Asker, report: Report) -> bool:
    """Check Grafana, the login and its permissions, one after the other; tell whether all are well."""
    from gwz_provision.grafana import require_supported  # noqa: PLC0415 - its HTTP stack takes 0.3 s to import

    try:
        report.version = asker.reader.version()
        require_supported(report.version)
        report.well("grafana")
        asker.reader.login()
        report.well("login")
        permissions = asker.reader.permissions()
    except ProvisionError as error:
        report.fail(hop_of(error, "grafana", ""))
        return False
    if missing := [one for one in _NEEDED if permissions is not None and one not in permissions]:
        cause = f"The login may not ask Grafana's data sources: it lacks {' and '.join(missing)}."
        report.fail(Hop("permission", "", cause, VIEWER))
        return False
    report.well("permission")
    return True


def failing(
    asker: Asker, wanted: Mapping[str, str], live: Mapping[str, Json], ours: Collection[str], report: Report
) -> dict[str, Hop]:
    """Check each data source, and return for those that are not well the hop that broke; `ours` are what `apply` brings."""
    hops = {uid: _before_asking(uid, kind, live.get(uid), ours=uid in ours) for uid, kind in wanted.items()}
    asked = asker.all(
        {uid: partial(asker.of, uid, partial(_health, asker, live[uid])) for uid, hop in hops.items() if hop is None}
    )
    for uid, answer in asked.items():
        hops[uid] = hop_of(answer, "health", uid, live[uid]) if isinstance(answer, ProvisionError) else answer
    for uid, hop in hops.items():
        if hop is None or hop.kind != "datasource":
            report.well(f"datasource:{uid}")
        if hop is None:
            report.well(f"health:{uid}")
        else:
            report.fail(hop)
    return {uid: hop for uid, hop in hops.items() if hop}


def _before_asking(uid: str, kind: str, live: Json | None, *, ours: bool) -> Hop | None:
    if live is None:
        return sources.absent(uid, ours=ours)
    return sources.mistyped(kind, live, ours=ours) or sources.address(live, ours=ours)


def _health(asker: Asker, live: Json) -> Hop | None:
    uid, kind = live["uid"], live["type"]
    try:
        asker.reader.check_health(uid, kind)
    except Refused as error:
        if _NO_HEALTH in error.cause.lower():
            return None
        return sources.unwell(live, _reason(asker, uid, kind) or error.cause)
    return None


def _reason(asker: Asker, uid: str, kind: str) -> str:
    """Ask once more in a way that tells why; empty when that succeeds or tells nothing."""
    if kind not in _PROBES:
        return ""
    target = {**_PROBES[kind], "refId": "A", "datasource": {"uid": uid, "type": kind}}
    try:
        return frames.error_of(asker.reader.query([target, _COMPANION], "now-5m").get("A", {}))
    except Refused as error:
        return error.cause
