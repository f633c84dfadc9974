"""What is wrong with a data source: pure decisions from its settings, and from the words in which Grafana failed to reach it."""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from gwz_provision import redaction
from gwz_provision.bundle import Json
from gwz_provision.queries import INFINITY
from gwz_provision.report import Hop

_APPLY = "Run `gwz-provision apply`."
_ELSEWHERE = "The bundle does not bring it: correct the uid that the dashboard names, or the variable's value (--var)"
_VARIABLES = {
    "prometheus": "PROMETHEUS_INTERNAL_URL",
    "loki": "LOKI_URL",
    "tempo": "TEMPO_INTERNAL_URL",
    INFINITY: "GWZ_API_URL",
}
_RAILWAY = ".railway.internal"


def found(live: Mapping[str, Json], source: Json) -> Json:
    """Return uid and type of the data source that Grafana takes for this: of that uid, of that name, or its default."""
    named = source.get("uid") or "default"
    by_name = {item["name"]: item for item in live.values()}
    default = next((item for item in live.values() if item.get("isDefault")), None)
    item = live.get(named) or by_name.get(named) or (default if named == "default" else None)
    return {"uid": item["uid"], "type": source.get("type") or item["type"]} if item else source


def absent(uid: str, *, ours: bool) -> Hop:
    """Say that Grafana lacks a data source; `ours` are those that `apply` brings."""
    cause = (
        f"Grafana has no data source {uid}." if uid else "A query names no data source, and Grafana has no default one."
    )
    return Hop("datasource", uid, cause, _APPLY if ours else f"{_ELSEWHERE}, or create it in Grafana.")


def mistyped(kind: str, live: Json, *, ours: bool) -> Hop | None:
    """Tell whether a data source is of another type than its queries are written for."""
    if kind and live["type"] != kind:
        uid = live["uid"]
        cause = f"Data source {uid} is of type {live['type']}, and the bundle's queries are written for {kind}."
        cure = f"Remove it or give it another uid, then apply: it is not ours. {_APPLY}" if ours else f"{_ELSEWHERE}."
        return Hop("datasource", uid, cause, cure)
    return None


def address(live: Json, *, ours: bool) -> Hop | None:
    """Find the addresses that nothing can be reached at, whatever runs, of the types that need one."""
    url, uid, kind = str(live.get("url") or ""), live["uid"], live["type"]
    if kind not in _VARIABLES or (kind == INFINITY and not ours):  # whose queries may have whole addresses of their own
        return None
    parts = _parts(url)
    if parts.scheme in {"http", "https"} and parts.hostname and "$" not in url:
        return None
    cause = (
        f"Data source {uid} has the URL {redaction.address(url)!r}, not an http:// or https:// address with a host:"
        " an environment variable was empty, unknown or wrong when it was put in."
    )
    return Hop("host", uid, cause, f"Set {_VARIABLES[kind]}=http://host:port where you apply, and apply again.")


def unreachable(live: Json, words: str) -> Hop | None:
    """Read in the words of a failed call which hop between Grafana and the server broke; None when they speak of none."""
    uid, url, said = live["uid"], str(live.get("url") or ""), words.lower()
    if "notregistered" in said or "not registered" in said or "unable to find datasource plugin" in said:
        return _no_plugin(live)
    if "no org id" in said:
        return Hop(
            "tenant",
            uid,
            f"The server of {uid} keeps tenants apart, and Grafana names none: no X-Scope-OrgID.",
            "Give the data source the header X-Scope-OrgID (jsonData.httpHeaderName1, secureJsonData.httpHeaderValue1) with the tenant that the data is written as.",
        )
    if found := _broken_link(live, said):
        return Hop("host", uid, f"Data source {uid} at {redaction.address(url)}: {found[0]}", found[1])
    if re.search(r"\b40[13]\b|unauthorized|forbidden|authentication to data source failed", said):
        cause = f"The server of {uid} at {redaction.address(url)} refuses Grafana's credentials: {_short(words)}"
        return Hop("token", uid, cause, _token_cure(live["type"]))
    return None


def unwell(live: Json, words: str) -> Hop:
    """Say which hop broke when the health of a data source is bad."""
    if found := unreachable(live, words):
        return found
    uid, url = live["uid"], redaction.address(str(live.get("url") or ""))
    if re.search(r"\b404\b|not found|\b501\b|readobject", words.lower()):
        cause = f"Data source {uid}: what answers at {url} is no {live['type']}: {_short(words)}"
        return Hop("health", uid, cause, "Correct the host, the port or the path of its URL, and apply again.")
    cause = f"Data source {uid} at {url} is not well: {_short(words)}"
    return Hop("health", uid, cause, "Look into its server's log.")


def _no_plugin(live: Json) -> Hop:
    kind = live["type"]
    return Hop(
        "plugin",
        kind,
        f"Grafana has no plugin {kind}, which data source {live['uid']} is of: not installed, or not loaded because it is unsigned.",
        f"Install it where Grafana runs (GF_INSTALL_PLUGINS={kind}, or `grafana cli plugins install {kind}`), and restart Grafana.",
    )


def _broken_link(live: Json, said: str) -> tuple[str, str] | None:  # noqa: PLR0911 - one return for each cause
    url = str(live.get("url") or "")
    parts, name = _parts(url), _VARIABLES.get(live["type"], "its URL")
    again = f"Correct {name}, and apply again."
    if "no such host" in said or "name resolution" in said:
        return f"the name {parts.hostname} does not resolve where Grafana runs.", again
    if "server gave http response to https client" in said or "not look like a tls handshake" in said:
        return "the server speaks http, and the URL says https.", f"Write http:// in {name}, and apply again."
    if "http request to an https server" in said or "malformed http response" in said:
        return "the server speaks https, and the URL says http.", f"Write https:// in {name}, and apply again."
    if "certificate" in said or "x509" in said:
        return (
            "Grafana does not trust the server's certificate.",
            "Give the data source the authority's certificate (tlsAuthWithCACert), or correct the host name.",
        )
    if "connection refused" in said:
        return _refused(url), f"Start the server, or correct {name} and apply again.{_railway(parts.hostname)}"
    if "timeout" in said or "deadline exceeded" in said or "no route to host" in said:
        return "nothing answers: the host is down, or something between drops the packets.", again
    if "unsupported protocol scheme" in said or "missing protocol scheme" in said or "empty url" in said:
        return "the URL has no scheme.", f"Set {name}=http://host:port, and apply again."
    if "url is not allowed" in said:
        return (
            "the plugin is not allowed to ask there: the data source's allowed hosts do not name it.",
            f"Apply again with {name}: it sets both.",
        )
    return None


def _parts(url: str) -> SplitResult:
    """Take an address apart; one that is none has no parts."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _refused(url: str) -> str:
    parts = _parts(url)
    if parts.port is None:
        port = 443 if parts.scheme == "https" else 80
        return f"nothing listens on port {port}, which is taken because the URL names no port."
    return f"nothing listens on port {parts.port}: connection refused."


def _railway(host: str | None) -> str:
    if not (host or "").endswith(_RAILWAY):
        return ""
    return " Railway's private network is IPv6: the server has to listen on [::], not on 0.0.0.0 or 127.0.0.1."


def _token_cure(kind: str) -> str:
    if kind == INFINITY:
        return "Set GWZ_API_TOKEN to the token that the application was given, and apply again."
    return "Give the data source the user and password, or the header, that its server wants."


def _short(words: str) -> str:
    line = redaction.masked(" ".join(words.split()))
    return f"{line[:200].rstrip('.')}{'…' if line[200:] else '.'}"
