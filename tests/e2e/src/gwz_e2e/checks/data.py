"""Databases, caches and the numbers of the business: each equals what the ledger says was caused."""

from collections import Counter, defaultdict

from fastapi_app.accounts import ACCOUNTS, BROKE, PAUSED, PAYING
from fastapi_app.catalog import MODELS
from fastapi_app.load.ledger import Entry
from gwz_e2e.case import Case
from gwz_e2e.checks.metrics import Selector
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import business, cache, database, stages

_AT_THE_START = 1 + len(MODELS)
"""Look-ups of the catalog while it is empty: the list, and each model."""
_CENSUS = ("census", "select")
"""What the gauges ask, as often as it is time."""
_KNOWN = {account.api_key: account for account in ACCOUNTS}
_CHAT = "/v1/chat/completions"


def data_equal(case: Case) -> Finding:
    """Queries by table and operation, look-ups by cache, operations of Redis: none more and none less than was caused."""
    looked_up, missing = _catalog(case.ledger)
    misses = _AT_THE_START + missing
    keys = [entry.api_key for entry in case.ledger if entry.api_key]
    unknown = sum(key not in _KNOWN for key in keys)
    charged = sum(entry.cost_usd is not None for entry in case.ledger)
    queries = {
        ("models", "select"): misses,
        ("completions", "insert"): charged,
        ("completions", "select"): sum(entry.route == "/v1/usage" for entry in case.ledger),
        ("accounts", "select"): 1 + unknown,
        ("deduct_credits", "rpc"): charged,
        ("activity", "insert"): keys.count(PAUSED.api_key),
    }
    by_table = Counter[tuple[str]]()
    for (table, _), number in queries.items():
        by_table[(table,)] += number
    operations = redis_operations(case.ledger)
    of = Selector(case, instance=case.address)
    counted = of.totals(database.QUERIES.name, "table", "operation")
    census = counted.get(_CENSUS, 0)
    phrases = [
        *([] if census else ["the gauges have asked nothing"]),
        *of.differences(database.QUERIES.name, {**queries, _CENSUS: census}, "table", "operation"),
        *of.differences(f"{database.QUERY_DURATION.name}_count", {**by_table, ("census",): census}, "table"),
        *of.differences(
            cache.HITS.name, {("catalog",): looked_up - missing, ("api_keys",): len(keys) - unknown}, "cache_name"
        ),
        *of.differences(cache.MISSES.name, {("catalog",): misses, ("api_keys",): unknown}, "cache_name"),
        *of.differences(cache.REDIS_OPERATIONS.name, operations, "operation", "status"),
    ]
    return Finding(
        not phrases,
        shorten(phrases)
        or f"{sum(queries.values())} queries, {looked_up + len(keys) + _AT_THE_START} look-ups and "
        f"{sum(operations.values())} operations of Redis equal the ledger",
    )


def redis_operations(ledger: list[Entry]) -> dict[tuple[str, str], int]:
    """What Redis was asked by the start and the load of an application, by command and how it ended."""
    looked_up, _ = _catalog(ledger)
    return {
        ("get", "success"): looked_up + _AT_THE_START,
        ("pipeline", "success"): _AT_THE_START,
        ("evalsha", "success"): 1 + sum(_passes(entry) for entry in ledger),
        ("evalsha", "error"): 1,  # the script was not there yet
        ("script", "success"): 1,
    }


def business_equal(case: Case) -> Finding:
    """Keys, subscriptions, trials and limits are those of the accounts, and what they have left is what was not charged."""
    left: defaultdict[tuple[str], float] = defaultdict(float)
    for account in ACCOUNTS:
        left[(account.plan,)] += account.credits_usd
    for entry in case.ledger:
        if entry.cost_usd is not None and entry.api_key not in (None, BROKE.api_key):
            left[(_KNOWN[str(entry.api_key)].plan,)] -= entry.cost_usd
    asked = [entry for entry in case.ledger if entry.api_key]
    known = [entry for entry in asked if _status(entry) == "active"]
    of = Selector(case, instance=case.address)
    phrases = [
        *of.differences(business.ACTIVE_API_KEYS.name, Counter((a.status,) for a in ACCOUNTS), "status"),
        *of.differences(
            business.SUBSCRIPTIONS.name,
            Counter((a.plan, a.billing_cycle) for a in ACCOUNTS),
            "plan_type",
            "billing_cycle",
        ),
        *of.differences(business.TRIALS.name, Counter((a.trial,) for a in ACCOUNTS if a.trial != "none"), "status"),
        *of.money(business.CREDIT_BALANCE.name, left, "plan_type"),
        *of.differences(business.QUEUE_SIZE.name, {("charges",): 0}, "queue_name"),
        *of.differences(business.CONNECTIONS.name, {("stream",): 0}, "connection_type"),
        *of.differences(
            business.RATE_LIMIT.name, {("requests_per_minute",): PAYING[0].requests_per_minute}, "limit_type"
        ),
        *of.differences(business.API_KEY_USAGE.name, Counter((_status(entry),) for entry in asked), "status"),
        *of.differences(
            business.RATE_LIMITED.name,
            {("requests_per_minute",): sum(entry.api_key == PAUSED.api_key for entry in asked)},
            "limit_type",
        ),
        *of.differences(
            f"{stages.STAGE_DURATION.name}_count",
            {
                ("authentication", _CHAT): len(asked),
                ("rate_limit", _CHAT): len(known),
                ("routing", _CHAT): sum(_passes(entry) for entry in asked),
            },
            "stage",
            "endpoint",
        ),
    ]
    return Finding(
        not phrases,
        shorten(phrases)
        or f"{len(ACCOUNTS)} accounts with {sum(left.values()):.6f} dollars left, {len(asked)} uses of keys equal the ledger",
    )


def _catalog(ledger: list[Entry]) -> tuple[int, int]:
    """How often the load had the catalog looked up, and how often for what it does not have."""
    models = [entry for entry in ledger if entry.route.startswith("/v1/models") and entry.method == "GET"]
    chats = sum(_passes(entry) for entry in ledger)
    return len(models) + chats, sum(entry.status == 404 for entry in models)


def _passes(entry: Entry) -> bool:
    """Whether the request of a chat came as far as the model."""
    return entry.provider is not None


def _status(entry: Entry) -> str:
    account = _KNOWN.get(str(entry.api_key))
    return "unknown" if account is None else account.status
