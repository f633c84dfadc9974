"""The answer to a scrape: OpenMetrics or text, compressed if asked for, and only to whom may see it."""

import gzip
import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from . import multiprocess
from .metrics import Collectors

Headers = list[tuple[bytes, bytes]]
PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of a response."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Exposition:
    """What is exposed, and the token that a scraper must show; without one, everybody may scrape."""

    registry: CollectorRegistry
    collectors: Collectors
    token: str | None = None

    def refusal(self, method: str, headers: dict[bytes, bytes]) -> Answer | None:
        """The answer to who asks in a wrong way or without the token."""
        if method not in ("GET", "HEAD"):
            return plain(405, "/metrics is read with GET", (b"allow", b"GET, HEAD"))
        if self.token and not hmac.compare_digest(self.token.encode(), _bearer(headers.get(b"authorization", b""))):
            return plain(
                401, "/metrics wants Authorization: Bearer <GWZ_METRICS_TOKEN>", (b"www-authenticate", b"Bearer")
            )
        return None

    def render(self, headers: dict[bytes, bytes]) -> Answer:
        """Everything that is registered now; of all workers, in multi-process mode."""
        encode, content_type = _encoder(headers.get(b"accept", b"").decode("latin-1"))
        if multiprocess.enabled():
            self.collectors.publish()
            with multiprocess.merged_registry() as merged:
                body = encode(merged)
        else:
            body = encode(self.registry)
        found = [(b"content-type", content_type.encode()), (b"vary", b"accept, accept-encoding")]
        if accepts_gzip(headers.get(b"accept-encoding", b"").decode("latin-1")):
            body = gzip.compress(body, compresslevel=1)
            found.append((b"content-encoding", b"gzip"))
        return Answer(200, [*found, _length(body)], body)


def _bearer(header: bytes) -> bytes:
    """The token of an Authorization header; none of another scheme. A scheme's name has no case (RFC 9110, 11.1)."""
    scheme, _, token = header.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The format that is asked for; the plain one for a version that prometheus_client cannot read."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip: by its name or by `*`, with a weight above zero."""
    weights = dict(map(_weighted, header.lower().split(",")))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weighted(part: str) -> tuple[str, float]:
    name, _, parameter = part.partition(";")
    try:
        weight = float(parameter.partition("=")[2]) if parameter.strip() else 1.0
    except ValueError:
        weight = 0.0
    return name.strip(), 0.0 if math.isnan(weight) else weight


def plain(status: int, sentence: str, *headers: tuple[bytes, bytes]) -> Answer:
    """A sentence for whoever asks in vain."""
    body = f"{sentence}\n".encode()
    return Answer(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers, _length(body)], body)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()
