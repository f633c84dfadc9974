"""Holds the project against what Railway is known to do: each rule names one way in which a deployment went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gwz_stack.railway import images, references, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gwz_stack.findings import Finding
    from gwz_stack.railway.project import Project, Service

    Rule = Callable[[Service, Project], Iterable[Finding]]

RULES: tuple[Rule, ...] = (*settings.RULES, *references.RULES, *images.RULES)


def verify(project: Project) -> list[Finding]:
    """Return everything that is wrong, by service; an empty list is a deployment that can start."""
    return [
        *(finding for service in project.services.values() for rule in RULES for finding in rule(service, project)),
        *settings.one_shot(project),
    ]
