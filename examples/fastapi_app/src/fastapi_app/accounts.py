"""The customers: what their keys are, what they pay for, and what they have left."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """One customer, as the accounts' database has it at the start."""

    id: int
    api_key: str
    status: str
    """Of the key: active or revoked."""
    plan: str
    billing_cycle: str
    trial: str
    """active, expired or none."""
    credits_usd: float
    requests_per_minute: int


_PLENTY = 100_000

ACCOUNTS = (
    Account(1, "gw-free-1", "active", "free", "none", "active", 250.0, _PLENTY),
    Account(2, "gw-free-2", "active", "free", "none", "expired", 0.0, _PLENTY),
    Account(3, "gw-pro-1", "active", "pro", "monthly", "none", 500.0, _PLENTY),
    Account(4, "gw-pro-2", "active", "pro", "monthly", "none", 750.0, _PLENTY),
    Account(5, "gw-pro-3", "active", "pro", "yearly", "none", 1_000.0, _PLENTY),
    Account(6, "gw-team-1", "active", "team", "yearly", "none", 5_000.0, _PLENTY),
    Account(7, "gw-paused", "active", "pro", "yearly", "none", 20.0, 0),
    Account(8, "gw-revoked", "revoked", "free", "none", "expired", 10.0, _PLENTY),
)
PAYING = tuple(a for a in ACCOUNTS if a.status == "active" and a.credits_usd > 0 and a.requests_per_minute > 0)
"""Who can ask for anything at any time."""
BROKE = next(account for account in ACCOUNTS if account.credits_usd == 0)
"""Who can still ask, and cannot be charged."""
PAUSED = next(account for account in ACCOUNTS if account.requests_per_minute == 0)
"""Whose every request is one too many."""
REVOKED = next(account for account in ACCOUNTS if account.status == "revoked")
