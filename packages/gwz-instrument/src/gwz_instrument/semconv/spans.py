"""Spans and their attributes, in OpenTelemetry's names where it has them."""

from . import http, inference
from .model import Attribute, Span

SCOPE = "gwz_instrument"
"""The instrumentation scope of every span of ours: by it they are told from the application's own."""
OUTCOMES = ("success", "error", "timeout", "cancelled", "client_disconnected", "stream_error")
"""How a request can end; `success` is the only good one."""

SERVICE_NAME = Attribute("service.name", "OTEL_SERVICE_NAME")
SERVICE_NAMESPACE = Attribute("service.namespace", "RAILWAY_PROJECT_NAME")
SERVICE_VERSION = Attribute("service.version", "RAILWAY_GIT_COMMIT_SHA")
SERVICE_INSTANCE_ID = Attribute("service.instance.id", "RAILWAY_REPLICA_ID")
DEPLOYMENT_ENVIRONMENT = Attribute("deployment.environment.name", "GWZ_ENVIRONMENT")
DEPLOYMENT_ID = Attribute("deployment.id", "RAILWAY_DEPLOYMENT_ID")
CLOUD_REGION = Attribute("cloud.region", "RAILWAY_REPLICA_REGION")

RESOURCE = (
    SERVICE_NAME,
    SERVICE_NAMESPACE,
    SERVICE_VERSION,
    SERVICE_INSTANCE_ID,
    DEPLOYMENT_ENVIRONMENT,
    DEPLOYMENT_ID,
    CLOUD_REGION,
)
"""What every span says of its process; OTEL_RESOURCE_ATTRIBUTES comes before the variables named here, except for service.name."""

HTTP_METHOD = Attribute("http.request.method", "method of the request, _OTHER if unknown", values=http.METHOD.values)
HTTP_ROUTE = Attribute("http.route", "route template; absent when no route matched")
HTTP_STATUS = Attribute("http.response.status_code", "status of the response", "int")
URL_PATH = Attribute("url.path", "path of the URL, without the query")
URL_SCHEME = Attribute("url.scheme", "http or https")
SERVER_ADDRESS = Attribute("server.address", "host that listens")
SERVER_PORT = Attribute("server.port", "port that the host listens on", "int")
PEER_SERVICE = Attribute(
    "peer.service",
    "provider that was called, as the service graph shall name it; on the innermost of the spans that tell of the call",
)
ERROR_TYPE = Attribute("error.type", "class name of the exception, or the status code of a failure")
OUTCOME = Attribute("gwz.outcome", "how the request ended", values=OUTCOMES)
REQUEST_ID = Attribute("gwz.request_id", "the request's X-Request-ID, or one made for it")
CHUNKS = Attribute("gwz.response.chunks", "parts of a response that came in more than one", "int")
FIRST_BYTE = Attribute("gwz.response.time_to_first_byte", "seconds from arrival to the first of these parts", "double")
LONGEST_GAP = Attribute("gwz.response.longest_gap", "seconds of the longest pause between two of these parts", "double")
KEPT = Attribute(
    "gwz.kept",
    "true: the trace was not sampled, this span alone was written afterwards because its request failed or was slow",
    "boolean",
)

OPERATION = Attribute("gen_ai.operation.name", "chat, text_completion, embeddings and the like")
PROVIDER = Attribute("gen_ai.provider.name", "provider that was asked")
MODEL = Attribute("gen_ai.request.model", "model that was asked for")
STREAM = Attribute("gen_ai.request.stream", "whether the answer was asked for as a stream", "boolean")
RESPONSE_MODEL = Attribute("gen_ai.response.model", "model that answered, by the provider's own name")
FINISH_REASONS = Attribute("gen_ai.response.finish_reasons", "why the model stopped, one for each choice", "string[]")
FIRST_CHUNK = Attribute("gen_ai.response.time_to_first_chunk", "seconds from the call to its first chunk", "double")
INPUT_TOKENS = Attribute("gen_ai.usage.input_tokens", "tokens that the model was given", "int")
OUTPUT_TOKENS = Attribute("gen_ai.usage.output_tokens", "tokens that the model produced", "int")
ESTIMATED = Attribute("gwz.usage.estimated", "whether the tokens are the application's estimate", "boolean")
COST = Attribute("gwz.cost_usd", "cost of the call in US dollars", "double")
CALL_OUTCOME = Attribute("gwz.outcome", "how the call ended", values=inference.STATUSES)
ATTEMPTS = Attribute("gwz.attempts", "how many attempts the call took", "int")
ATTEMPT_NUMBER = Attribute("gwz.attempt", "which attempt of its call this is, from 1", "int")

DB_SYSTEM = Attribute("db.system.name", "postgresql, sqlite and the like")
REDIS_SYSTEM = Attribute("db.system.name", "always the same", values=("redis",))
DB_OPERATION = Attribute("db.operation.name", "verb of the query, or the command")
DB_COLLECTION = Attribute("db.collection.name", "table that was asked")
DB_PROCEDURE = Attribute("db.stored_procedure.name", "stored function that was called")
DB_NAMESPACE = Attribute("db.namespace", "database of the server; of PostgREST the schema")
DB_STATUS = Attribute("db.response.status_code", "error code of the database; of PostgREST the status")
DB_BATCH_SIZE = Attribute("db.operation.batch.size", "how many commands a pipeline held", "int")

TASK_NAME = Attribute("gwz.task", "name of the background task")

SERVER = Span(
    "{method} {route}",
    "server",
    (HTTP_METHOD, HTTP_STATUS, URL_PATH, URL_SCHEME, OUTCOME, REQUEST_ID),
    (HTTP_ROUTE, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE, CHUNKS, FIRST_BYTE, LONGEST_GAP, KEPT, PROVIDER, MODEL),
    "One per request, from its arrival to the last byte of its response.",
    "gwz_instrument.server_span",
)
ATTEMPT = Span(
    "{operation} {model} at {provider}",
    "client",
    (OPERATION, PROVIDER, MODEL, ATTEMPT_NUMBER, CALL_OUTCOME),
    (RESPONSE_MODEL, PEER_SERVICE, ERROR_TYPE),
    "One per attempt of a call to a model, retries and fallbacks included.",
    "gwz_instrument.inference",
)
INFERENCE = Span(
    "{operation} {model}",
    "client",
    (OPERATION, MODEL, CALL_OUTCOME),
    (
        PROVIDER,
        STREAM,
        RESPONSE_MODEL,
        FINISH_REASONS,
        FIRST_CHUNK,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        ESTIMATED,
        COST,
        ATTEMPTS,
        PEER_SERVICE,
        ERROR_TYPE,
    ),
    "One per call to a model, from its start to the end of its stream.",
    "gwz_instrument.inference",
)
REDIS_CLIENT = Span(
    "{operation}",
    "client",
    (REDIS_SYSTEM, DB_OPERATION),
    (DB_NAMESPACE, DB_BATCH_SIZE, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE),
    "One per command, or per pipeline, without its keys: they may hold what is secret.",
    "gwz_instrument.redis",
)
DATABASE_CLIENT = Span(
    "{operation} {table}",
    "client",
    (DB_SYSTEM, DB_OPERATION),
    (DB_COLLECTION, DB_PROCEDURE, DB_NAMESPACE, DB_STATUS, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE),
    "One per query, without its text and its values.",
    "gwz_instrument.database",
)
HTTP_CLIENT = Span(
    "{method}",
    "client",
    (HTTP_METHOD, SERVER_ADDRESS, SERVER_PORT),
    (HTTP_STATUS, PEER_SERVICE, ERROR_TYPE),
    # OpenTelemetry asks for url.full too; keys and addresses stand in the queries of the URLs that are called here.
    "One per request that the application makes, without its URL.",
    "gwz_instrument.client",
)
TASK = Span(
    "task {name}",
    "internal",
    (TASK_NAME,),
    (ERROR_TYPE,),
    "One per background task; it does not lengthen the request that started it.",
    "gwz_instrument.tasks",
)

CORE = (SERVER,)
"""What `instrument(app)` alone emits."""
DOMAIN = (ATTEMPT, INFERENCE, REDIS_CLIENT, DATABASE_CLIENT, HTTP_CLIENT, TASK)
"""What the recorders emit; one that others could be taken for stands after them."""
SPANS = (*CORE, *DOMAIN)
