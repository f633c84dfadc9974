"""Turns an entry into its line: one JSON object with the contract's fields, then whatever the application added."""

import functools
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from gwz_instrument.redact import hidden, is_secret, is_suspicious, redact
from gwz_instrument.semconv import logs
from gwz_instrument.semconv.logs import MAX_LINE_BYTES

from .entry import Entry, Fields, Metadata
from .values import encode, quote, text_of

"""What Loki takes by default."""
_STACK: Final = logs.STACK.name
_CUT: Final = logs.CUT.name
_LEVELS: Final = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)
_ALWAYS_OURS: Final = frozenset({logs.TIMESTAMP.name, logs.LEVEL.name, logs.LOGGER.name, logs.MESSAGE.name})
_CUT_TO: Final = (48_000, 12_000, 3_000, 700, 150)
_MAX_CUT_FIELDS: Final = 200
_MAX_METADATA: Final = 128
_MAX_METADATA_BYTES: Final = 60 * 1024  # of 64, for names that Loki adds
_CUT_METADATA_TO: Final = 50
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")


def level_of(levelno: int) -> str:
    """The value of the `level` label: one of five, whatever levels the application has made up."""
    try:
        return next((name for number, name in _LEVELS if levelno >= number), "debug")
    except Exception:  # noqa: BLE001  # an application may have set a record's level to anything
        return "debug"


class LineFormatter:
    """Formats lines for one thread; it remembers the text of the current second."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._second_text = ""

    def line(self, entry: Entry) -> str:
        """The line of `entry`, secrets hidden, no longer than Loki takes."""
        if is_suspicious(_searched(entry)):
            entry = _redacted(entry)
        text = self._json(entry)
        if len(text) * 4 <= MAX_LINE_BYTES or _bytes(text) <= MAX_LINE_BYTES:
            return text
        return self._cut(entry)

    def _json(self, entry: Entry, *, cut: bool = False) -> str:
        created, levelno, logger, message, exception, stack, fields, metadata, _ = entry
        begin = f'{{"timestamp": "{self._iso(created)}", "level": "{level_of(levelno)}"'
        parts = [begin, f'"logger": {quote(logger)}', f'"message": {quote(message)}']
        if exception is not None:
            parts.append(f'"exception": {quote(exception)}')
        if stack is not None:
            parts.append(f'"{_STACK}": {quote(stack)}')
        if fields:
            taken = {logs.EXCEPTION.name: exception, _STACK: stack, _CUT: cut or None}
            beside = metadata or {}
            parts += [
                f"{quote(name)}: {encode(value)}"
                for name, value in fields.items()
                # what a field of ours says is not for `extra` to change
                if name not in _ALWAYS_OURS and taken.get(name) is None and beside.get(name) != value
            ]
        if cut:
            parts.append(f'"{_CUT}": true')
        return ", ".join(parts) + "}"

    def _cut(self, entry: Entry) -> str:
        """The line with the middle of its long values left out; as much of them as fits."""
        created, levelno, logger, message, exception, stack, fields, metadata, size = entry
        for limit in _CUT_TO:
            shorter = (
                *(created, levelno, _shorten(logger, limit), _shorten(message, limit)),
                *(exception and _shorten(exception, limit), stack and _shorten(stack, limit)),
                *(_shorter(fields, limit), metadata, size),
            )
            line = self._json(shorter, cut=True)
            if _bytes(line) <= MAX_LINE_BYTES:
                return line
        return self._json((created, levelno, "", f"line of {size} bytes", None, None, None, metadata, size), cut=True)

    def _iso(self, created: float) -> str:
        microseconds = round(created * 1e6)
        second, fraction = divmod(microseconds, 1_000_000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{fraction:06d}Z"


def metadata_json(metadata: Any) -> str:
    """The structured metadata of a line: names that Loki can read, and no more than it takes."""
    if not metadata:
        return "{}"
    try:
        return _object(metadata)
    except (AttributeError, TypeError):  # the application's function may return anything
        pairs = dict(metadata).items() if isinstance(metadata, Mapping) else ()
        return _object({text_of(name): text_of(value) for name, value in pairs})


def _object(metadata: Metadata) -> str:
    text = _plain_object(metadata)
    if is_suspicious(text):  # a request id is the client's to choose
        metadata = {redact(name): _hidden(name, value) for name, value in metadata.items()}
        text = _plain_object(metadata)
    if len(metadata) > _MAX_METADATA or not all(map(_is_name, metadata)):
        metadata = _fit(metadata, MAX_LINE_BYTES)
        text = _plain_object(metadata)
    return text if len(text) * 4 <= _MAX_METADATA_BYTES else _plain_object(_fit(metadata, _CUT_METADATA_TO))


def _plain_object(metadata: Metadata) -> str:
    return "{" + ",".join([f"{quote(name)}:{quote(value)}" for name, value in metadata.items()]) + "}"


def _fit(metadata: Metadata, limit: int) -> Metadata:
    names = ((_NOT_IN_NAMES.sub("_", name)[:limit], _shorten(value, limit)) for name, value in metadata.items())
    return dict([(name if _is_name(name) else f"key_{name}", value) for name, value in names][:_MAX_METADATA])


@functools.lru_cache(1024)
def _is_name(name: str) -> bool:
    """Whether Loki reads a name back as it is: it stores any, renames some, and fails every query that meets an empty one."""
    return _NAME.fullmatch(name) is not None


def _searched(entry: Entry) -> str:
    """The texts of an entry in which there could be something to hide."""
    _, _, _, message, exception, stack, fields, _, _ = entry
    if exception is None and stack is None and not fields:
        return message
    named = (f"{name}={value if isinstance(value, str) else ''}" for name, value in (fields or {}).items())
    return "\n".join((message, exception or "", stack or "", *named))


def _redacted(entry: Entry) -> Entry:
    """The entry without its secrets; of a text that is far too long, only what a line could hold is looked at."""
    created, levelno, logger, message, exception, stack, fields, metadata, size = entry
    message, exception, stack = _without(message), exception and _without(exception), stack and _without(stack)
    fields = fields and {_without(name): _hidden(name, value) for name, value in fields.items()}
    return (created, levelno, logger, message, exception, stack, fields, metadata, size)


def _without(text: str) -> str:
    return redact(_shorten(text, MAX_LINE_BYTES))


def _hidden(name: str, value: Any) -> Any:
    if not isinstance(value, str) or is_secret(name):
        return hidden(name, value)
    if len(value) > MAX_LINE_BYTES:
        return _without(str(value))  # a `Json` that is cut is text from now on
    return type(value)(redact(value))


def _shorter(fields: Fields | None, limit: int) -> Fields | None:
    if fields is None:
        return None
    kept = list(fields.items())[:_MAX_CUT_FIELDS]
    return {
        _shorten(name, limit): _shorten(str(value), limit) if isinstance(value, str) and len(value) > limit else value
        for name, value in kept
    }


def _shorten(text: str, limit: int) -> str:
    """`text` within about `limit` characters: how it begins and how it ends say most."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … (cut) … {text[-half:]}"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
