"""What a provider's answer says of itself: usage, model, why it stopped. Shapes of OpenAI and Anthropic, objects or dicts."""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

_MAX_COUNT: Final = 2**53
"""Beyond this a float, and so a metric, no longer counts by one."""


class Report(NamedTuple):
    """What one answer, or one chunk of it, says; None for what it does not."""

    input_tokens: Any = None
    output_tokens: Any = None
    model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    error: bool = False
    """It is an error in the form of an answer."""


ReadReport = Callable[[Any], Report]

NOTHING: Final = Report()


def report_of(answer: Any) -> Report:
    """What `answer` says, whatever it is; never raises."""
    try:
        return _report_of(answer)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # an object of the application's, or of an SDK
        return NOTHING


def _report_of(answer: Any) -> Report:
    if answer is None or isinstance(answer, str | bytes | bytearray):
        return NOTHING
    message, delta = _get(answer, "message"), _get(answer, "delta")
    usage, model, choices = _get(answer, "usage"), _get(answer, "model"), _get(answer, "choices")
    error = _get(answer, "error")
    if message is not None:  # Anthropic's message_start
        usage = _get(message, "usage") if usage is None else usage
        model = _get(message, "model") if model is None else model
    reasons = _finish_reasons(choices, answer if delta is None else delta)
    if usage is None and error is None and not reasons and not isinstance(model, str):
        return NOTHING
    return Report(
        _first(usage, "prompt_tokens", "input_tokens"),
        _first(usage, "completion_tokens", "output_tokens"),
        model if isinstance(model, str) else None,
        reasons,
        bool(error),
    )


def _finish_reasons(choices: Any, stopped: Any) -> tuple[str, ...]:
    """OpenAI's, one for each choice; or Anthropic's, of the message or its last change."""
    if isinstance(choices, list | tuple):
        found = [_get(choice, "finish_reason") for choice in choices]
    else:
        found = [_get(stopped, "stop_reason")]
    return tuple(reason for reason in found if isinstance(reason, str))


def _first(holder: Any, *names: str) -> Any:
    if holder is None:
        return None
    return next((value for name in names if (value := _get(holder, name)) is not None), None)


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def as_count(value: object) -> int | None:
    """A number of tokens; None for what is none: negative, not a number, half a token, a text."""
    if type(value) is int:  # nearly always
        return value if 0 <= value <= _MAX_COUNT else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value <= _MAX_COUNT or value != int(value):
        return None
    return int(value)


def as_amount(value: object) -> float | None:
    """An amount of money; None for what is none. A Decimal is one."""
    if type(value) is float:  # nearly always
        return value if 0 <= value < math.inf else None
    if isinstance(value, bool | str | bytes):
        return None
    try:
        amount = float(value)  # type: ignore[arg-type]  # what cannot be is told so
    except (TypeError, ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None
