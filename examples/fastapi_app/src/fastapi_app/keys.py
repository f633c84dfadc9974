"""Who asks: API keys and what they may do."""

import logging
from contextlib import suppress

import httpx
from fastapi import HTTPException, Request

from fastapi_app.accounts import Account
from fastapi_app.customers import Customers
from fastapi_app.limits import Limits
from gwz_instrument import cache, count, stage

_logger = logging.getLogger(__name__)

_LONGEST_KEY = 200
_BYTES_EACH = 512  # an account and its key, roughly


class Keys:
    """Admits requests by their keys, most of which are remembered from the start."""

    def __init__(self, customers: Customers, limits: Limits) -> None:
        self._customers = customers
        self._limits = limits
        self._accounts: dict[str, Account] = {}

    async def open(self) -> None:
        """Read the accounts; without a database they are read when they are asked for."""
        cache("api_keys").size(lambda: _BYTES_EACH * len(self._accounts))
        try:
            self._accounts = {account.api_key: account for account in await self._customers.all()}
        except httpx.HTTPError as error:
            _logger.warning("The accounts cannot be read (%s): each key is looked up when it comes", error)

    async def admit(self, request: Request, request_id: str) -> Account:
        """Return whose request it is; 401 for a key that is not valid, 429 for one that has asked enough."""
        with stage("authentication"):
            account = await self._account(request)
        with stage("rate_limit"):
            if await self._limits.allow(account):
                return account
        count("rate_limited_requests_total", limit_type="requests_per_minute")
        with suppress(httpx.HTTPError):  # it is refused whether that can be written down or not
            await self._customers.note(account, request_id, "rate_limited")
        raise HTTPException(429, f"This key may ask {account.requests_per_minute} times a minute; come back later")

    async def _account(self, request: Request) -> Account:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        account = await self._look_up(key) if 0 < len(key) <= _LONGEST_KEY else None
        count("api_key_usage_total", status="unknown" if account is None else account.status)
        if account is None:
            raise HTTPException(401, "The API key is missing or unknown; send it as `Authorization: Bearer KEY`")
        if account.status != "active":
            raise HTTPException(401, f"The API key is {account.status}; ask for a new one")
        return account

    async def _look_up(self, key: str) -> Account | None:
        known = cache("api_keys")
        if key in self._accounts:
            known.hit()
            return self._accounts[key]
        known.miss()
        try:
            account = await self._customers.find(key)
        except httpx.HTTPError as error:
            raise HTTPException(503, "Keys cannot be looked up at the moment; try again later") from error
        if account is not None:
            self._accounts[key] = account
        return account
