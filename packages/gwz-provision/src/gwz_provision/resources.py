"""One thing in Grafana: as the bundle wants it, and as it is there."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["folder", "datasource", "template", "contact-point", "dashboard", "alert-rule", "policy"]

ORDER: tuple[Kind, ...] = ("folder", "datasource", "template", "contact-point", "dashboard", "alert-rule", "policy")
"""Created and updated in this order, deleted in reverse: each kind refers only to those before it."""

PREFIX = "gwz-"
"""With it begin the uids of all that is ours, except data sources and dashboards: those have room for a mark of their own."""

OWNER = "gwz-provision"
"""The mark: a dashboard's tag, a rule's and a route's label value, the owner in a data source's jsonData."""

LABEL = "managed_by"
"""The label by which our routes find our alerts, and nobody else's."""


@dataclass(frozen=True)
class Key:
    """What names a resource: unique in one organisation of Grafana."""

    kind: Kind
    uid: str

    def __str__(self) -> str:
        """Read as in a sentence."""
        return f"{self.kind.replace('-', ' ').replace('datasource', 'data source')} {self.uid}"


@dataclass(frozen=True)
class Wanted:
    """A resource as the bundle wants it; `form` is what Grafana will show once it is there."""

    key: Key
    title: str
    form: Json
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    hidden: frozenset[str] = frozenset()
    """The first names of fields whose values are never shown."""

    @property
    def spec(self) -> str:
        """A fingerprint of all but the secrets, and but who is the default: that is for the organisation to say."""
        return fingerprint({name: value for name, value in self.form.items() if name != "isDefault"})


@dataclass(frozen=True)
class Live:
    """A resource as it is in Grafana."""

    key: Key
    title: str
    form: Json | None
    """None when it was only listed: nothing in the bundle is compared with it."""
    owned: bool
    """It carries our mark."""
    was_owned: bool = False
    """It carries no mark, and its history or its provenance says that it did."""
    spec: str | None = None
    """The fingerprint that was written with it last."""
    locked: str = ""
    """Why no call can change it."""
    container: str = ""
    """The folder that it is in."""
    version: int | None = None
    secret: str | None = None
    """The fingerprint of its secrets, where Grafana hides the secrets themselves."""
    secret_names: frozenset[str] = frozenset()


def canonical(value: Any) -> str:
    """Write a value so that equal ones are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return sixteen digits that change with the value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
