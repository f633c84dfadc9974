"""The metrics that Tempo's generator makes from spans: not our code emits them, so our contract does not hold them."""

from gwz_instrument.semconv import Label, Metric

SERVICE = Label("service", "services that send spans")
SPAN_NAME = Label("span_name", "names of spans")
SPAN_KIND = Label("span_kind", "kinds of spans", ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_INTERNAL"))
STATUS_CODE = Label("status_code", "statuses of spans", ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"))
CLIENT = Label("client", "services that call")
SERVER = Label("server", "services that are called")

_EMITTER = "Tempo's metrics generator"

SPAN_CALLS = Metric(
    "traces_spanmetrics_calls_total",
    "counter",
    "{span}",
    (SERVICE, SPAN_NAME, SPAN_KIND, STATUS_CODE),
    "Spans that were received.",
    _EMITTER,
)
EDGE_CALLS = Metric(
    "traces_service_graph_request_total",
    "counter",
    "{request}",
    (CLIENT, SERVER),
    "Calls from one service to another, each matched from the spans of both.",
    _EMITTER,
)

METRICS = (SPAN_CALLS, EDGE_CALLS)
