"""What the caller's thread makes of a record: a tuple of values that nothing changes later."""

import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

from .values import SCALARS, snapshot, text_of

Metadata = Mapping[str, str]
Fields = Mapping[str, Any]
"""Names and scalars, or `Json` made of anything else."""
Entry = tuple[float, int, str, str, str | None, str | None, Fields | None, Metadata | None, int]
"""Time in seconds, level, logger, message, exception, stack, fields, metadata, bytes in memory.

A plain tuple, because it is made on the thread of whoever logs: a class costs up to a microsecond more.
"""

_TAGS: Final = "tags"  # python-logging-loki's way to say labels of one record
_STRUCTLOG: Final = frozenset({"_logger", "_name", "_record", "_from_structlog"})
_OF_ANY_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOT_FIELDS: Final = _OF_ANY_RECORD | _STRUCTLOG | {_TAGS}
PLAIN: Final = len(vars(logging.makeLogRecord({})))
"""Attributes of a record without extras."""

_ENTRY_BYTES: Final = 350  # tuple, numbers, place in the queue, the allocator's rounding
_DICT_BYTES: Final = 250
_ITEM_BYTES: Final = 100  # of metadata: an id
_SCALAR_BYTES: Final = 32
_LATEST_S: Final = 2**63 / 1e9 - 1  # an int64 of nanoseconds is Loki's time
_EARLIEST_S: Final = -_LATEST_S


def of_record(record: logging.LogRecord, message: str, fields: Fields | None, metadata: Metadata | None) -> Entry:
    """The entry of a record; the record itself, with its frames, is not kept."""
    exception = _exception(record) if record.exc_info or record.exc_text else None
    return make(record.created, record.levelno, record.name, message, exception, record.stack_info, fields, metadata)


def extras(record: logging.LogRecord) -> Fields:
    """What `extra` has added to a record."""
    return {
        name if type(name) is str else text_of(name): value if type(value) in SCALARS else snapshot(value)
        for name, value in vars(record).items()
        if name not in _NOT_FIELDS
    }


def is_structlog(record: logging.LogRecord) -> bool:
    """Whether structlog's `wrap_for_formatter` has made a record."""
    return type(record.msg) is dict and "_logger" in vars(record)


def of_structlog(record: logging.LogRecord, metadata: Metadata | None) -> Entry:
    """The entry of a record whose message is an event of structlog: its fields are fields."""
    given: Any = record.msg  # logging says str, and takes anything
    event = {text_of(name): value for name, value in given.items()}
    exception = _exc_info(event.pop("exc_info", None))
    if type(event.get("exception")) is str:
        exception = event.pop("exception")
    message = text_of(event.pop("event", ""))
    fields = {name: scalar(value) for name, value in event.items() if name not in _STRUCTLOG}
    return make(record.created, record.levelno, record.name, message, exception, None, fields, metadata)


def make(  # noqa: PLR0917  # in the order of an Entry; keywords cost the caller's thread
    created: float,
    levelno: int,
    logger: str,
    message: str,
    exception: str | None,
    stack: str | None,
    fields: Fields | None,
    metadata: Metadata | None,
) -> Entry:
    """An entry and what it takes in memory; what an application has set to no time or no text becomes one."""
    if type(created) is not float or not _EARLIEST_S < created < _LATEST_S:
        created = _time_of(created)
    if type(logger) is not str:
        logger = text_of(logger)
    size = _ENTRY_BYTES + message.__sizeof__()
    if exception is not None:
        exception = text_of(exception)
        size += exception.__sizeof__()
    if stack is not None:
        stack = text_of(stack)
        size += stack.__sizeof__()
    if fields:
        size += _DICT_BYTES
        for value in fields.values():
            size += value.__sizeof__() if isinstance(value, str) else _SCALAR_BYTES
    if metadata:
        size += _DICT_BYTES + _ITEM_BYTES * len(metadata)
    return (created, levelno, logger, message, exception, stack, fields, metadata, size)


def _time_of(created: Any) -> float:
    """`created` in seconds, or the time now: milliseconds, NaN and None are no time that Loki could take."""
    if isinstance(created, (int, float)) and _EARLIEST_S < created < _LATEST_S:
        return float(created)
    return time.time()


def message_of(record: logging.LogRecord) -> str:
    """The message as logging would format it; one that it could not is the parts it was to be made of."""
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001  # an argument's __str__ may raise anything
        return f"{text_of(record.msg)} {text_of(record.args)} (not formatted: {type(error).__name__})"
    return message if type(message) is str else text_of(message)


def scalar(value: Any) -> Any:
    """`value` if it cannot change, else JSON of what it is now."""
    return value if type(value) in SCALARS else snapshot(value)


def tags_of(record: logging.LogRecord) -> Mapping[Any, Any]:
    """`extra={"tags": …}` of a record; python-logging-loki made labels of them."""
    tags = vars(record).get(_TAGS)
    return tags if isinstance(tags, dict) else {}


def _exception(record: logging.LogRecord) -> str | None:
    """The traceback as text: as another handler's formatter has left it, else our own, which no other handler gets."""
    return record.exc_text or _exc_info(record.exc_info)


def _exc_info(info: Any) -> str | None:
    """The traceback that `exc_info` of a logging call means, as text."""
    if not info:
        return None
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    elif not isinstance(info, tuple):
        info = sys.exc_info()
    if info[0] is None:
        return None
    try:
        return "".join(traceback.format_exception(*info)).rstrip("\n")
    except Exception:  # noqa: BLE001  # an exception's __str__ may raise; traceback itself survives most of it
        return text_of(info[1])
