"""Spans and their attributes, in OpenTelemetry's names where it has them."""

from .model import Attribute, Span

OUTCOMES = ("success", "error", "timeout", "cancelled", "client_disconnected", "stream_error")
"""How a request can end; `success` is the only good one."""

SERVICE_NAME = Attribute("service.name", "OTEL_SERVICE_NAME")
DEPLOYMENT_ENVIRONMENT = Attribute("deployment.environment.name", "GWZ_ENVIRONMENT")

HTTP_METHOD = Attribute("http.request.method", "method of the request, _OTHER if unknown")
HTTP_ROUTE = Attribute("http.route", "route template; absent when no route matched")
HTTP_STATUS = Attribute("http.response.status_code", "status of the response, a number")
URL_PATH = Attribute("url.path", "path of the URL, without the query")
URL_SCHEME = Attribute("url.scheme", "http or https")
SERVER_ADDRESS = Attribute("server.address", "host the server listens on")
SERVER_PORT = Attribute("server.port", "port the server listens on")
ERROR_TYPE = Attribute("error.type", "class name of the exception, or the status code of a failure")
OUTCOME = Attribute("gwz.outcome", "how the request ended: one of OUTCOMES")
REQUEST_ID = Attribute("gwz.request_id", "the request's X-Request-ID, or one made for it")
PROVIDER = Attribute("gen_ai.provider.name", "provider that was asked")
MODEL = Attribute("gen_ai.request.model", "model that was asked for")

SERVER = Span(
    "{method} {route}",
    "server",
    (
        HTTP_METHOD,
        HTTP_ROUTE,
        HTTP_STATUS,
        URL_PATH,
        URL_SCHEME,
        SERVER_ADDRESS,
        SERVER_PORT,
        ERROR_TYPE,
        OUTCOME,
        REQUEST_ID,
        PROVIDER,
        MODEL,
    ),
    "One per request, from its arrival to the last byte of its response.",
)

SPANS = (SERVER,)
RESOURCE = (SERVICE_NAME, DEPLOYMENT_ENVIRONMENT)
