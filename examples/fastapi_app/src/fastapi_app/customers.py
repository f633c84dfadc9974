"""The customers' database, which is asked through PostgREST as Supabase offers it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from fastapi_app.accounts import Account
from gwz_instrument import Telemetry, database, gauge

_TIMEOUT_S = 5.0
_ONE = {"accept": "application/vnd.pgrst.object+json"}
_NOT_ONE = 406


class NotEnoughCredits(Exception):  # noqa: N818  # it is the customer's situation, not an error
    """An account holds less than it is to be charged."""


class Customers:
    """Accounts by their keys, and what they have left; raises httpx's errors as they are."""

    def __init__(self, url: str, schema: str) -> None:
        headers = {"apikey": "anonymous", "accept-profile": schema, "content-profile": schema}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S)
        self._census = Census(httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S))

    def attach(self, telemetry: Telemetry, every_s: float) -> None:
        """Have every query recorded, and the numbers of the business asked for from time to time."""
        telemetry.attach(self._client, database="postgrest")
        telemetry.attach(self._census.client, database="postgrest")
        gauge("active_api_keys", self._census.keys, every_s=every_s)
        gauge("subscription_count", self._census.subscriptions, every_s=every_s)
        gauge("trial_active", self._census.trials, every_s=every_s)
        gauge("user_credit_balance", self._census.credits, every_s=every_s)

    async def all(self) -> list[Account]:
        """Return every account."""
        response = await self._client.get("/accounts", params={"select": "*"})
        return [Account(**row) for row in response.raise_for_status().json()]

    async def find(self, api_key: str) -> Account | None:
        """Return the account of a key; None if there is none."""
        response = await self._client.get("/accounts", params={"api_key": f"eq.{api_key}"}, headers=_ONE)
        if response.status_code == _NOT_ONE:
            return None
        return Account(**response.raise_for_status().json())

    async def charge(self, account: Account, amount_usd: float) -> None:
        """Take an amount from an account; NotEnoughCredits if it holds less."""
        told = {"account_id": account.id, "amount_usd": amount_usd}
        response = await self._client.post("/rpc/deduct_credits", json=told)
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise NotEnoughCredits(f"account {account.id} cannot be charged {amount_usd:.6f} USD")
        response.raise_for_status()

    async def note(self, account: Account, request_id: str, event: str) -> None:
        """Write down what happened to a customer."""
        row = {"request_id": request_id, "account_id": account.id, "event": event}
        response = await self._client.post("/activity", json=row, headers={"prefer": "return=minimal"})
        response.raise_for_status()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._census.client.close()


@dataclass(frozen=True)
class Census:
    """The customers in numbers; called on a thread beside the application, with a client of its own."""

    client: httpx.Client

    def keys(self) -> Mapping[str, int]:
        """Keys by their state."""
        return Counter(row["status"] for row in self._rows())

    def subscriptions(self) -> Mapping[tuple[str, str], int]:
        """Accounts by plan and billing cycle."""
        return Counter((row["plan"], row["billing_cycle"]) for row in self._rows())

    def trials(self) -> Mapping[str, int]:
        """Trials by their state, of the accounts that have one."""
        return Counter(row["trial"] for row in self._rows() if row["trial"] != "none")

    def credits(self) -> Mapping[str, float]:
        """What the accounts of each plan have left, in US dollars."""
        left: dict[str, float] = {}
        for row in self._rows():
            left[row["plan"]] = left.get(row["plan"], 0.0) + row["credits_usd"]
        return left

    def _rows(self) -> list[dict[str, Any]]:
        with database(table="census", operation="select"):
            rows: list[dict[str, Any]] = self.client.get("/accounts").raise_for_status().json()
        return rows
