"""Calls everything, in an order in which what was learned tells what to ask next."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import SplitResult

from gwz_instrument.check import UnreachableError
from gwz_instrument.monitoring import models

from . import cases, far_end
from .asking import Answer, Asking
from .cases import Access, Call, NotTried, Seen
from .judge import body_of, judge, message_of
from .report import Finding, Report, Result

_PATIENCE: Final = 3
"""After so many calls in a row that nobody answers, the others are not tried."""
_GAVE_UP: Final = f"{_PATIENCE} calls in a row had no answer"


def examine(base: SplitResult, access: Access, *, instrumentation: bool = False) -> Report:
    """Call every endpoint; UnreachableError if nobody answers, or somebody else does."""
    asking = Asking(base)
    first = [(call, asking.ask(call)) for call in cases.first_calls(access)]
    _see_that_they_are_ours(first, asking.base)
    results = [_result(call, answer, asking.base) for call, answer in first]
    planned = [*cases.calls(_seen(first), access), *(cases.instrumentation_calls(access) if instrumentation else ())]
    not_tried = [one for one in planned if isinstance(one, NotTried)]
    silent = 0
    for call in (one for one in planned if isinstance(one, Call)):
        if silent >= _PATIENCE:
            not_tried.append(NotTried(call.method, call.path, _GAVE_UP))
            continue
        try:
            results.append(_result(call, asking.ask(call), asking.base))
            silent = 0
        except UnreachableError as error:
            results.append(Result(call, None, None, (Finding("answer", "the answer", str(error)),)))
            silent += 1
    return Report(asking.base, tuple(results), tuple(not_tried))


def _result(call: Call, answer: Answer, base: str) -> Result:
    found = tuple(judge(call, answer, base + call.path))
    return Result(call, answer.status, answer.ms, found, far_end.note(_body(call, answer)))


def _see_that_they_are_ours(first: Sequence[tuple[Call, Answer]], base: str) -> None:
    """UnreachableError unless one of the first answers can be that of our endpoints."""
    if any(answer.is_json and (answer.status == 200 or answer.status >= 405) for _, answer in first):
        return
    call, answer = first[0]
    url = base + call.path
    if whither := answer.redirects_to(url):
        raise UnreachableError(
            f"{url} redirects to {whither}, which is not followed. Give the address that it redirects to, if it is the application's"
        )
    if any(one.status in (401, 403) for _, one in first):
        raise UnreachableError(
            f"{url} answered {answer.status} {message_of(answer)}".rstrip()
            + ". Give the token that the application has: GWZ_API_TOKEN in the environment, or --token"
        )
    what = f"{answer.status}" if answer.status != 200 else f"with {answer.headers.get_content_type()} and not with JSON"
    raise UnreachableError(
        f"{url} answered {what}, and so it is with the other endpoints: the JSON endpoints are not there. Give the address of an "
        "instrumented application, without a path; if it is one, see in its log whether GWZ_MONITORING is off"
    )


def _seen(first: Iterable[tuple[Call, Answer]]) -> Seen:
    """Whom the first answers name, the busiest first, as far as they can be understood."""
    busy: dict[str, int] = {}
    pairs: dict[tuple[str, str], int] = {}
    for call, answer in first:
        match _body(call, answer):
            case models.Realtime() as body:
                busy |= {name: one.total_requests or 0 for name, one in body.providers.items()}
            case models.Trending() as body:
                pairs = {(row.provider, row.model): row.requests or 0 for row in body.data}
            case list() as rows:
                busy |= {row.provider: busy.get(row.provider, 0) for row in rows}
    for (provider, _), requests in pairs.items():
        busy[provider] = max(busy.get(provider, 0), requests)
    names = [name for name in sorted(busy, key=lambda name: -busy[name]) if _fits(name)]
    return Seen(tuple(names), tuple(one for one in sorted(pairs, key=lambda pair: -pairs[pair]) if _fits(one[0])))


def _fits(provider: str) -> bool:
    """Whether a path can name it."""
    return bool(provider) and "/" not in provider


def _body(call: Call, answer: Answer) -> Any:
    if not (call.is_good and answer.is_json and answer.status in call.wants):
        return None
    try:
        return body_of(call, answer)
    except ValueError:  # pydantic's too
        return None
