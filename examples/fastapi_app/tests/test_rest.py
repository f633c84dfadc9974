"""The customers' database answers as PostgREST does, in a world of its own for every schema."""

import asyncio
from dataclasses import asdict

import httpx
import pytest

from fastapi_app.accounts import ACCOUNTS
from fastapi_app.providers.app import create_app
from fastapi_app.providers.rest import MAX_SCHEMAS

OBJECT = {"accept": "application/vnd.pgrst.object+json"}


@pytest.fixture
async def client():
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(
        transport=transport, base_url="http://rest/rest/v1", headers={"apikey": "any"}
    ) as client:
        yield client


async def deduct(client, amount_usd, *, account_id=1, **headers):
    body = {"account_id": account_id, "amount_usd": amount_usd}
    return await client.post("/rpc/deduct_credits", json=body, headers=headers)


async def balance(client, **headers):
    answer = await client.get("/accounts", params={"id": "eq.1"}, headers=OBJECT | headers)
    return answer.json()["credits_usd"]


async def test_accounts_are_the_applications_customers(client):
    answer = await client.get("/accounts", params={"select": "*"})

    assert answer.status_code == 200
    assert answer.json() == [asdict(account) for account in ACCOUNTS]


async def test_columns_and_rows_can_be_chosen(client):
    """A filter compares in the column's own type."""
    query = {"select": "id,api_key", "plan": "eq.pro", "credits_usd": "eq.750"}

    assert (await client.get("/accounts", params=query)).json() == [{"id": 4, "api_key": "gw-pro-2"}]
    assert (await client.get("/accounts", params={"id": "eq.99"})).json() == []


async def test_one_row_can_be_asked_for_as_an_object(client):
    answer = await client.get("/accounts", params={"select": "*", "api_key": "eq.gw-free-1"}, headers=OBJECT)

    assert answer.json() == asdict(ACCOUNTS[0])
    assert answer.headers["content-type"] == "application/vnd.pgrst.object+json"


@pytest.mark.parametrize(("plan", "rows"), [("gold", 0), ("pro", 4)])
async def test_no_other_number_of_rows_is_an_object(client, plan, rows):
    answer = await client.get("/accounts", params={"plan": f"eq.{plan}"}, headers=OBJECT)

    assert answer.status_code == 406
    assert answer.json() == {
        "code": "PGRST116",
        "details": f"The result contains {rows} rows",
        "hint": None,
        "message": "JSON object requested, multiple (or no) rows returned",
    }


async def test_deduction_returns_the_new_balance_to_the_last_digit(client):
    answer = await deduct(client, 0.1234567890123)

    assert (answer.status_code, answer.json()) == (200, 250.0 - 0.1234567890123)
    assert await balance(client) == answer.json()


async def test_whole_balance_can_be_spent_and_no_more(client):
    assert (await deduct(client, 250)).json() == 0
    refusal = await deduct(client, 1e-9)

    assert refusal.status_code == 400
    assert refusal.json() == {"code": "P0001", "details": None, "hint": None, "message": "insufficient credits"}
    assert await balance(client) == 0


async def test_concurrent_deductions_all_count(client):
    answers = await asyncio.gather(*(deduct(client, 1) for _ in range(100)))

    assert sorted(answer.json() for answer in answers) == list(range(150, 250))
    assert await balance(client) == 150


async def test_activity_is_kept_and_can_be_searched(client):
    row = {"request_id": "r1", "account_id": 3, "event": "completed"}
    answers = [await client.post("/activity", json=each) for each in (row, row | {"request_id": "r2"})]
    await client.post("/activity", json={"event": "started"})

    assert [(answer.status_code, answer.content) for answer in answers] == [(201, b"")] * 2
    assert (await client.get("/activity", params={"request_id": "eq.r1", "account_id": "eq.3"})).json() == [row]
    assert (await client.get("/activity", params={"event": "eq.started"})).json() == [
        {"request_id": None, "account_id": None, "event": "started"}
    ]


async def test_each_schema_is_a_world_of_its_own(client):
    """Reading names it in Accept-Profile, writing in Content-Profile; public is what nobody named."""
    await deduct(client, 50, **{"content-profile": "one", "accept-profile": "two"})

    assert await balance(client, **{"accept-profile": "one", "content-profile": "two"}) == 200
    assert await balance(client, **{"accept-profile": "two"}) == 250
    assert await balance(client) == await balance(client, **{"accept-profile": "public"}) == 250


async def test_schemas_have_an_end(client):
    """Those that exist stay."""
    for number in range(MAX_SCHEMAS):
        await client.get("/accounts", headers={"accept-profile": f"s{number}"})
    refusal = await client.get("/accounts")

    assert refusal.status_code == 503
    assert refusal.json()["message"] == "No room for schema 'public': there are 64 already"
    assert await balance(client, **{"accept-profile": "s0"}) == 250


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "message"),
    [
        ("GET", "/invoices", None, 404, "PGRST205", "Could not find the table 'public.invoices' in the schema cache"),
        ("POST", "/invoices", {}, 404, "PGRST205", "Could not find the table 'public.invoices' in the schema cache"),
        ("POST", "/rpc/refund", {"x": 1}, 404, "PGRST202", "the function public.refund(x) in the schema cache"),
        ("POST", "/rpc/deduct_credits", {"account_id": 1}, 404, "PGRST202", "public.deduct_credits(account_id)"),
        ("POST", "/rpc/deduct_credits", {"account_id": 99, "amount_usd": 1}, 400, "P0002", "there is no account 99"),
        (
            "POST",
            "/rpc/deduct_credits",
            {"account_id": 1, "amount_usd": None},
            400,
            "22P02",
            'type double precision: "None"',
        ),
        ("POST", "/rpc/deduct_credits", [1], 400, "PGRST102", "Empty or invalid json"),
        ("POST", "/activity", None, 400, "PGRST102", "Empty or invalid json"),
        ("GET", "/accounts?select=id,nope", None, 400, "42703", "column accounts.nope does not exist"),
        ("GET", "/accounts?nope=eq.1", None, 400, "42703", "column accounts.nope does not exist"),
        ("POST", "/activity", {"nope": 1}, 400, "42703", "column activity.nope does not exist"),
        ("GET", "/accounts?id=eq.x", None, 400, "22P02", 'invalid input syntax for type integer: "x"'),
        ("GET", "/accounts?id=gt.1", None, 400, "PGRST100", "only eq is simulated"),
        ("POST", "/accounts", {"id": 9}, 403, "42501", "permission denied for table accounts"),
    ],
)
async def test_what_cannot_be_done_is_explained(client, *, method, path, body, status, code, message):
    answer = await client.request(method, path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert message in answer.json()["message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/accounts"), ("POST", "/activity"), ("POST", "/rpc/refund")])
async def test_nothing_is_told_without_a_key(client, method, path):
    del client.headers["apikey"]
    answer = await client.request(method, path)

    assert answer.status_code == 401
    assert answer.json()["message"] == "No API key found in request"
