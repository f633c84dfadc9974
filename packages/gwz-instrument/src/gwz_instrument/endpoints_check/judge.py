"""Holds an answer against its call: status, message, shape, and whether it makes sense."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gwz_instrument.monitoring import models
from gwz_instrument.semconv import Endpoint

from . import far_end, sense
from .asking import Answer
from .cases import Call
from .report import Finding

_SAID: Final = 200
_LOG: Final = "Look at the application's log"
_VERSIONS: Final = (
    "Compare the version of gwz-instrument there with the one here, and look for what rewrites answers on the way"
)
_NO_JSON: Final = (
    "Something else answers there, such as a proxy or a page of the application: ask the application itself"
)
_CURES: Final = {
    401: "Give the token that the application has: GWZ_API_TOKEN, for --instrumentation GWZ_ADMIN_TOKEN",
    403: "The administrator's endpoints are closed until the application has GWZ_ADMIN_TOKEN; or its own dependency refuses",
    404: "The application is older than this command, or a proxy does not let this path through",
    405: "The application or a proxy has another route at this path",
    429: "Raise GWZ_MONITORING_RATE there, or try when fewer ask with this token",
    500: _LOG,
    503: "See to what the message names, then try again",
}
_OPEN: Final = "Set GWZ_API_TOKEN there, or have its monitoring_auth refuse who sends none"


def judge(call: Call, answer: Answer, url: str) -> Iterator[Finding]:
    """What is wrong with an answer."""
    if answer.status not in call.wants:
        yield _wrong_status(call, answer, url)
    elif not answer.is_json:
        kind = answer.headers.get("Content-Type") or "nothing"
        yield Finding("json", "Content-Type", f"the answer calls itself {kind!r} and not application/json", _NO_JSON)
    elif call.is_good:
        yield from _content(call, answer)
    else:
        yield from _refusal(call, answer)


def body_of(call: Call, answer: Answer) -> Any:
    """The models that an answer is; ValidationError or ValueError if it is something else."""
    json.loads(answer.body, parse_constant=_no_number)
    return _adapter(call.endpoint).validate_json(answer.body, strict=True)


def _content(call: Call, answer: Answer) -> Iterator[Finding]:
    try:
        body = body_of(call, answer)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            where = ".".join(map(str, one["loc"])) or "the body"
            yield Finding("shape", where, f"{where} is {_short(repr(one['input']))}: {one['msg']}", _VERSIONS)
    except ValueError as error:
        yield Finding("json", "the body", f"the body is no JSON ({error}): {_short(_text(answer))!r}", _NO_JSON)
    else:
        yield from sense.findings(call, body, answer.headers)
        yield from far_end.findings(call, body, answer.status)


def _wrong_status(call: Call, answer: Answer, url: str) -> Finding:
    wanted = " or ".join(map(str, call.wants))
    sentence = f"it answered {answer.status} and not {wanted}"
    if whither := answer.redirects_to(url):
        return Finding(
            "status", "status", f"{sentence}: it redirects to {whither}", "Give the address that it redirects to"
        )
    if said := message_of(answer):
        sentence += f": {_short(said)}"
    if answer.status < 300 and 401 in call.wants:
        return Finding("status", "status", sentence, _OPEN)
    return Finding("status", "status", sentence, _CURES.get(answer.status, _LOG if answer.status >= 500 else _VERSIONS))


def _refusal(call: Call, answer: Answer) -> Iterator[Finding]:
    message = message_of(answer)
    if not message:
        yield Finding(
            "message", "detail", f"the refusal has no message in detail: {_short(_text(answer))!r}", _VERSIONS
        )
    elif missing := [word for word in call.words if word not in message]:
        sentence = f"the message does not name {', '.join(missing)}: {_short(message)!r}"
        yield Finding("message", "detail", sentence, _VERSIONS)


def message_of(answer: Answer) -> str:
    """What an answer of FastAPI's says in its detail; empty if it says nothing."""
    try:
        detail = json.loads(answer.body)["detail"]
    except (ValueError, LookupError, TypeError):
        return ""
    each = detail if isinstance(detail, list) else [detail]
    return "; ".join(str(one.get("msg", "")) if isinstance(one, dict) else str(one) for one in each)


@cache
def _adapter(endpoint: Endpoint) -> TypeAdapter[Any]:
    model: Any = getattr(models, endpoint.answer)
    return TypeAdapter(list[model] if endpoint.many else model)


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON's")


def _text(answer: Answer) -> str:
    return answer.body[:_SAID].decode("utf-8", "replace")


def _short(text: str) -> str:
    return text if len(text) <= _SAID else f"{text[:_SAID]}..."
