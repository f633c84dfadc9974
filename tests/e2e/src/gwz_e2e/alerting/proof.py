"""Runs the faults, phase after phase, and judges what was told of them."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gwz_e2e.alerting.divided import seconds
from gwz_e2e.alerting.faults import Fault, Sign, Trial
from gwz_e2e.alerting.notices import Key, Notice, Observer, firing
from gwz_e2e.report import AlertProof

DELIVERED_S = 5.0
"""A message may come so long after its alert was due: `for` after it became pending."""
FIRING_S = 200.0
"""Some three times as long as the slowest alert takes to fire."""
RESOLVING_S = 200.0
"""Some three times as long as the slowest alert takes to resolve."""

_HOLES = re.compile(r"\[no value\]|<no value>|NaN|%!\w?\(")
"""What a template leaves in a text where it had nothing to put in."""
_LABEL = re.compile(r"\$labels\.(\w+)")


LATER_S = 2.0
"""By so much an evaluation may be behind the one that was observed."""


@dataclass
class Running:
    """A fault on its way; unix seconds."""

    name: str
    trial: Trial
    fault: Fault
    began_at: float
    ended_at: float | None = None
    over_at: float | None = None

    def all_fired(self, told: Sequence[Notice]) -> bool:
        """Whether every alert that the fault is there for has fired."""
        return all(first_firing(told, sign, self.began_at) for sign in self.trial.shows)

    def is_quiet(self, told: Sequence[Notice]) -> bool:
        """Whether none of its alerts fires any more."""
        return not any(self.explains(key) for key in firing(told))

    def explains(self, key: Key) -> Sign | None:
        """The sign of the fault that an alert is."""
        signs = (*self.trial.shows, *self.trial.also)
        return next((sign for sign in signs if sign.is_shown_by(key)), None)


@dataclass
class Proof:
    """Judges by what the observer was told; `pause` waits a little, and raises if there is nothing to wait for any more."""

    observer: Observer
    rules: Mapping[str, Mapping[str, Any]]
    """The rules that are on trial, by uid."""
    pause: Callable[[], None]
    shows_texts: bool
    """Whether the messages are those that a person would get."""
    now: Callable[[], float] = time.time
    tell: Callable[[str], None] = lambda _: None
    strangers: list[str] = field(default_factory=list)
    """Alerts that fired, and no fault explains them."""
    calm: tuple[float, float] = (0.0, 0.0)
    """From when to when nothing went wrong."""
    phases: list[list[Running]] = field(default_factory=list)
    """The faults that were, together."""

    def quiet(self, lasting_s: float) -> list[str]:
        """Wait so long, once nothing fires any more from before, and return the alerts that fired.

        Of an alert that the rules as they are shipped have raised, from what the run did before, the first message may
        come only now: that it is over in the end is enough.
        """
        deadline = self.now() + RESOLVING_S
        while firing(self.observer.notices()) and self.now() < deadline:
            self.pause()
        before = len(self.observer.notices())
        self.calm = (self.now(), self.now() + lasting_s)
        while self.now() < self.calm[1]:
            self.pause()
        told = self.observer.notices()
        fired = [one for one in told[before:] if one.firing and one.since >= self.calm[0]]
        left = firing(told) - {one.key for one in fired}
        return sorted({str(key) for key in left} | {_said(one) for one in fired})

    def together(self, faults: Mapping[str, tuple[Trial, Fault]]) -> list[AlertProof]:
        """Let the faults go wrong at once, each until its alerts fired, and wait until they are over."""
        before = len(self.observer.notices())
        running = [self._begin(name, trial, fault) for name, (trial, fault) in faults.items()]
        while any(one.over_at is None for one in running):
            self.pause()
            for one in running:
                self._advance(one)
        told = self.observer.notices()[before:]
        self.phases.append(running)
        self.strangers += sorted({_said(one) for one in strangers(told, running)})
        return [self._judged(one, sign, told) for one in running for sign in one.trial.shows]

    def problems(self, uid: str, told: Sequence[Notice]) -> Iterator[str]:
        """What is wrong with a rule that would have told this while the faults came and went."""
        if any(one.firing and self.calm[0] <= one.at <= self.calm[1] for one in told):
            yield "it fires without a fault"
        for phase in self.phases:
            over = max(one.over_at or one.began_at for one in phase) + LATER_S
            within = [one for one in told if phase[0].began_at <= one.at <= over]
            yield from (f"it fires for {one.key}, and no fault explains it" for one in strangers(within, phase))
            for one in phase:
                for sign in (sign for sign in one.trial.shows if sign.uid == uid):
                    first = first_firing(within, sign, one.began_at)
                    if first is None:
                        yield f"it is silent when {one.trial.does}"
                    elif not sign.is_right(first.value):
                        yield _misleading(sign, first)
                    elif unknown := self._unknown(first):
                        yield f"its text names {unknown}, which it does not have"
                    elif last_resolved(within, sign, one.began_at) is None:
                        yield f"it does not resolve after {one.trial.does}"

    def _unknown(self, notice: Notice) -> str:
        """The labels that its text tells and that it does not have; what has no data has none."""
        told = set(_LABEL.findall(self.rules[notice.key.uid]["annotations"]["summary"]))
        return ", ".join(sorted(told - dict(notice.key.labels).keys())) if notice.value is not None else ""

    def _begin(self, name: str, trial: Trial, fault: Fault) -> Running:
        self.tell(f"{name}: {trial.does}")
        began_at = self.now()
        fault.begin()
        return Running(name, trial, fault, began_at)

    def _advance(self, one: Running) -> None:
        told, now = self.observer.notices(), self.now()
        if one.ended_at is None:
            if one.all_fired(told) or now > one.began_at + FIRING_S:
                one.ended_at = now
                one.fault.end()
        elif one.over_at is None and (one.is_quiet(told) or now > one.ended_at + RESOLVING_S):
            one.over_at = now
            self.tell(f"{one.name}: over {now - one.began_at:.0f} s after it began")

    def _judged(self, one: Running, sign: Sign, told: Sequence[Notice]) -> AlertProof:
        first = first_firing(told, sign, one.began_at)
        for_s = seconds(self.rules[sign.uid]["for"])
        due_at = self._due_at(first, for_s, one.began_at) if first else None
        last = last_resolved(told, sign, one.began_at) if first else None
        return AlertProof(
            uid=sign.uid,
            fault=one.trial.does,
            for_s=for_s,
            pending_after_s=_rounded(due_at - for_s - one.began_at) if due_at else None,
            fired_after_s=_rounded(first.at - one.began_at) if first else None,
            delivered_after_s=_rounded(first.at - due_at) if first and due_at else None,
            resolved_after_s=_rounded(last.at - one.ended_at) if last and one.ended_at else None,
            also=tuple(sorted({f"{other.uid}: {other.why}" for other in _followers(one, told)})),
            text=first.texts.get("summary", "") if first else "",
            problem="; ".join(self._problems(sign, first, due_at)),
        )

    def _due_at(self, first: Notice, for_s: float, began_at: float) -> float:
        """When the alert had waited long enough; what does not wait is due when it began to fire."""
        pending_at = self.observer.pending_at(first.key, first.at)
        if for_s and pending_at is not None and pending_at >= began_at:
            return pending_at + for_s
        return first.since

    def _problems(self, sign: Sign, first: Notice | None, due_at: float | None) -> Iterator[str]:
        if first is None or due_at is None:
            yield "no message came"
            return
        if not sign.is_right(first.value):
            yield _misleading(sign, first)
        late_s = first.at - due_at
        if late_s > DELIVERED_S:
            yield f"the message came {late_s:.1f} s after its `for`, {DELIVERED_S:g} s are allowed"
        if late_s < 0:
            yield f"the message came {-late_s:.1f} s before its `for` was over"
        if self.shows_texts:
            yield from unreadable(first)


def strangers(told: Sequence[Notice], running: Sequence[Running]) -> list[Notice]:
    """The alerts that none of these faults explains."""
    return [one for one in told if one.firing and not any(fault.explains(one.key) for fault in running)]


def first_firing(told: Sequence[Notice], sign: Sign, since: float) -> Notice | None:
    """The first message that an alert of the sign fires."""
    return next((one for one in told if one.firing and one.at >= since and sign.is_shown_by(one.key)), None)


def last_resolved(told: Sequence[Notice], sign: Sign, since: float) -> Notice | None:
    """The message that the last alert of the sign fires no more; None while one does."""
    own = [one for one in told if one.at >= since and sign.is_shown_by(one.key)]
    return None if firing(own) or not own else own[-1]


def unreadable(notice: Notice) -> Iterator[str]:
    """What a person who is woken by the message would miss in it."""
    summary = notice.texts["summary"]
    if not summary or _HOLES.search(summary):
        yield f"its text reads {summary!r}"
    if not notice.texts["runbook_url"].endswith(f"/{notice.key.uid}.md"):
        yield f"its runbook is {notice.texts['runbook_url']!r}"
    yield from (f"it has no {name}" for name in ("dashboardURL", "panelURL") if not notice.texts[name])


def _misleading(sign: Sign, notice: Notice) -> str:
    told = "no number" if notice.value is None else f"{notice.value:g}"
    return f"it tells of {told}, and the fault makes it {sign.says}"


def _followers(one: Running, told: Sequence[Notice]) -> Iterator[Sign]:
    return (sign for sign in one.trial.also if first_firing(told, sign, one.began_at))


def _said(notice: Notice) -> str:
    text = notice.texts.get("summary", "")
    return f"{notice.key}: {text}" if text else str(notice.key)


def _rounded(number: float) -> float:
    return round(number, 1)
