"""Whether a receiver of OTLP lets us in: asked with an export of no spans, as the exporter that the settings choose would send it."""

import os
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.util.re import parse_env_headers

from gwz_instrument.logs.connection import tls_context
from gwz_instrument.settings import GRPC, Settings

from .address import Address
from .fetch import BROKEN, TIMEOUT, FetchError

_PREFIXES: Final = ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_")
_PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}


def address_of(url: str, settings: Settings) -> Address:
    """The receiver, with the headers and certificates that OpenTelemetry's variables give its exporters."""
    variable = _PREFIXES[0 if settings.otlp_traces_endpoint else 1] + "ENDPOINT"
    return Address(
        url,
        "the OTLP receiver",
        variable,
        credentials="OTEL_EXPORTER_OTLP_HEADERS",
        headers=_headers(),
        tls=_tls,
    )


def admission(receiver: Address, protocol: str) -> Callable[[float], None]:
    """What asks the receiver by that protocol; it raises FetchError unless spans would be taken."""
    return (
        (lambda until: _ask_grpc(receiver, until)) if protocol == GRPC else (lambda until: _ask_http(receiver, until))
    )


def _ask_http(receiver: Address, until: float) -> None:
    try:
        with closing(receiver):
            answer = receiver.post(b"", _PROTOBUF, until)
    except FetchError as error:
        if error.reason != BROKEN:
            raise
        hint = f"{error}; if it speaks gRPC, set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
        raise FetchError(BROKEN, hint) from error
    if answer.status != 200:
        raise receiver.refusal(str(answer.status))
    try:
        if not answer.body.startswith(b"{"):  # as some answer whatever they are sent
            ExportTraceServiceResponse.FromString(answer.body)
    except Exception as error:  # protobuf's own kind of error, which is not public everywhere
        raise receiver.unreadable() from error


def _ask_grpc(receiver: Address, until: float) -> None:
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415  # only where the settings want it
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub  # noqa: PLC0415

    receiver.reach(until)  # gRPC's own words for why there is no connection are for people
    if receiver.is_https:
        channel = grpc.secure_channel(receiver.place, grpc.ssl_channel_credentials(*_pem_files()))
    else:
        channel = grpc.insecure_channel(receiver.place)
    with channel:
        try:
            TraceServiceStub(channel).Export(  # type: ignore[no-untyped-call]
                ExportTraceServiceRequest(),
                timeout=max(0.01, until - time.monotonic()),
                metadata=tuple(_headers().items()),
            )
        except grpc.RpcError as error:
            raise _refusal(receiver, error.code()) from error


def _headers() -> dict[str, str]:
    return dict(parse_env_headers(_variable("HEADERS"), liberal=True))


def _tls() -> ssl.SSLContext:
    context = tls_context()
    if authority := _variable("CERTIFICATE"):
        context.load_verify_locations(authority)
    if certificate := _variable("CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, _variable("CLIENT_KEY") or None)
    return context


def _pem_files() -> tuple[bytes | None, ...]:
    """What gRPC wants to be given: authorities, our key, our certificate."""
    paths = (_variable(name) for name in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"))
    return tuple(Path(path).read_bytes() if path else None for path in paths)


def _variable(name: str) -> str:
    """A variable of OpenTelemetry's, the one for traces before the one for all."""
    return next((found for prefix in _PREFIXES if (found := os.environ.get(prefix + name, ""))), "")


def _refusal(receiver: Address, code: Any) -> FetchError:
    word = code.name.lower()
    if word == "deadline_exceeded":
        return FetchError(TIMEOUT, f"{receiver.name} ({receiver.variable}) has not answered in time: it is overloaded")
    if word == "unavailable":
        return FetchError(
            word,
            f"{receiver.name} ({receiver.variable}) is reached and gives no answer of gRPC's: if it speaks HTTP, set "
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, else look at its log",
        )
    return receiver.refusal(word)
