"""Proves on a running stack who may do what, and that no secret lies about."""

from gwz_stack.audit.run import Audit, audit

__all__ = ["Audit", "audit"]
