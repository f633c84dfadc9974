"""The answer of a source that cannot offer a binary; find() collects these and goes on to the next source."""

from __future__ import annotations


class Miss(Exception):  # noqa: N818 - not an error of its own: the next source may have what this one has not
    """Says in one clause why this source has nothing."""


class Absent(Miss):
    """Says so because the source was asked, and has no such version."""
