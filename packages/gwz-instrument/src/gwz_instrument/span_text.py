"""What a span says, made fit to leave: secrets hidden, and nothing that its encoding cannot carry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from .redact import hidden, is_secret, redact

_T = TypeVar("_T")
_INT64: Final = range(-(2**63), 2**63)  # protobuf has no larger numbers
_UNFIT: Final = "\ud800"  # stands for what cannot leave as it is


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """The span with its texts redacted; the same object when there is nothing to change."""
    together = "\n".join(_texts(span))
    if together.isascii() and redact(together) is together:  # one search instead of one for each text
        return span
    before = (span.name, span.attributes or {}, span.events, span.links, span.status)
    name, attributes, events, links, status = before
    after = (_text(name), _attributes(attributes), _each(events, _event), _each(links, _link), _status(status))
    if all(new is old for new, old in zip(after, before, strict=True)):
        return span
    name, attributes, events, links, status = after
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _texts(span: ReadableSpan) -> Iterator[str]:
    """Every text that the span carries."""
    yield span.name
    yield span.status.description or ""
    yield from _texts_of(span.attributes or {})
    for event in span.events:
        yield event.name
        yield from _texts_of(event.attributes or {})
    for link in span.links:
        yield from _texts_of(link.attributes or {})


def _texts_of(attributes: Mapping[str, Any]) -> Iterator[str]:
    for key, value in attributes.items():
        if not _is_plain(key):
            yield _UNFIT
        if type(value) is str:  # nearly every one, and the quickest question
            yield value
        else:
            yield from _texts_in(value)


@lru_cache(1024)  # an application's names are few, and each comes with every span
def _is_plain(key: str) -> bool:
    return key.isascii() and not is_secret(key) and redact(key) is key


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int):
        if value not in _INT64:
            yield _UNFIT
    elif isinstance(value, Mapping):
        yield from _texts_of(value)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for one in value:
            yield from _texts_in(one)


def encodable(text: str) -> str:
    """The text with `?` for half characters: a single one, as JSON may bring it, makes protobuf refuse the batch."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _text(text: str) -> str:
    return encodable(redact(text))


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    if isinstance(value, Mapping):
        return _attributes(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _each(value, _value)
    return value


def _attributes(found: Mapping[str, Any]) -> Mapping[str, Any]:
    clean = {_text(key): _value(hidden(key, value)) for key, value in found.items()}
    return found if all(clean.get(key) is value for key, value in found.items()) else clean


def _each(found: Sequence[_T], clean: Callable[[_T], _T]) -> Sequence[_T]:
    made = tuple(clean(one) for one in found)
    return found if all(new is old for new, old in zip(made, found, strict=True)) else made


def _event(event: Event) -> Event:
    found = event.attributes or {}
    name, attributes = _text(event.name), _attributes(found)
    if name is event.name and attributes is found:
        return event
    return Event(name, attributes, event.timestamp)


def _link(link: Link) -> Link:
    found = link.attributes or {}
    attributes = _attributes(found)
    return link if attributes is found else Link(link.context, attributes)


def _status(status: Status) -> Status:
    if not status.description:
        return status
    description = _text(status.description)
    return status if description is status.description else Status(status.status_code, description)
