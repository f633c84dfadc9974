"""Compares a resource as it is wanted with the one that is there, field by field, and shows no secret."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gwz_provision.resources import Live, Wanted, canonical

CHANGED = "(changed)"
SET = "(set)"


@dataclass(frozen=True)
class Field:
    """One difference; a value that is not there is None, and null counts as not there."""

    path: str
    before: Any
    after: Any


def compare(wanted: Wanted, live: Live) -> list[Field]:
    """List the differences, the values of secrets left out."""
    if live.form is None:
        return [Field("", None, None)]
    fields = [item for item in _differences("", live.form, wanted.form) if not _is_borne(item)]
    unseen = {f"settings.{name}" for name in live.secret_names} if wanted.key.kind == "contact-point" else set()
    shown = [_covered(item) if item.path in wanted.hidden else item for item in fields if item.path not in unseen]
    return [*shown, *_secret_differences(wanted, live)]


def _is_borne(item: Field) -> bool:
    """Grafana makes the first data source the default, whatever is sent; only another one can take that from it."""
    return item.path == "isDefault" and not item.after


def secret_fingerprint(wanted: Wanted) -> str | None:
    """Return what a data source's secrets are recognised by: slow to compute, as every viewer can read it."""
    if not wanted.secrets:
        return None
    text = canonical(wanted.secrets).encode()
    return hashlib.scrypt(text, salt=f"gwz:{wanted.key.uid}".encode(), n=2**14, r=8, p=1, dklen=12).hex()


def _differences(path: str, before: Any, after: Any) -> Iterator[Field]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _differences(f"{path}.{key}" if path else str(key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif not _same(before, after):
        yield Field(path, before, after)


def _same(before: Any, after: Any) -> bool:
    """Compare as JSON does: 1 and 1.0 are one number, and neither is true."""
    return before == after and isinstance(before, bool) == isinstance(after, bool)


def _covered(item: Field) -> Field:
    return Field(item.path, None if item.before is None else SET, None if item.after is None else CHANGED)


def _secret_differences(wanted: Wanted, live: Live) -> Iterator[Field]:
    if wanted.key.kind != "datasource":
        return
    there, ours = live.secret_names, frozenset(wanted.secrets)
    yield from (Field(f"secureJsonData.{name}", None, CHANGED) for name in sorted(ours - there))
    yield from (Field(f"secureJsonData.{name}", SET, None) for name in sorted(there - ours))
    if ours and ours <= there and live.secret != secret_fingerprint(wanted):
        yield from (Field(f"secureJsonData.{name}", SET, CHANGED) for name in sorted(ours & there))
