"""Backend Health & Service Status: the health score and its course, what fails, breakers and anomalies, then Redis."""

from gwz_dashboards import filters, links, recording
from gwz_dashboards import redis_metrics as redis
from gwz_dashboards.common import BACKEND, Heading, Page, Row
from gwz_dashboards.filters import IN_ENVIRONMENT
from gwz_dashboards.json_queries import Column, json_query
from gwz_dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    Panel,
    Shown,
    bad_from,
    coloured,
    dial,
    good_from,
    number,
    over_time,
    promql,
    promql_now,
    rows,
)
from gwz_dashboards.queries import highest, legend, lowest, mean, quantile, rate, share, total
from gwz_dashboards.scrape_metrics import INSTANCE
from gwz_dashboards.shared_panels import HEALTH, anomalies, overall_health
from gwz_instrument.semconv import cache, endpoints, health

_BREAKERS = {"CLOSED": ("CLOSED", GREEN), "HALF_OPEN": ("HALF OPEN", ORANGE), "OPEN": ("OPEN", RED)}
_LETS_THROUGH = {"true": ("yes", GREEN), "false": ("no", RED)}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid=links.BACKEND_UID,
        title="Backend Health & Service Status",
        description="Health of the providers as a whole, of the processes, and of Redis.",
        folder=BACKEND,
        variables=(filters.environment(),),
        refresh="10s",
        since="now-6h",
        rows=(
            Row(8, ((6, overall_health(1)), (18, _health_trend()))),
            Row(8, ((24, _error_trend()),)),
            Row(8, ((12, _breakers()), (12, anomalies(5, "Active anomalies")))),
            Row(7, ((12, _processes()), (12, _loop_lag()))),
            Heading("Redis"),
            Row(6, ((6, _status()), (6, _memory()), (6, _keys()), (6, _hit_rate()))),
            Row(9, ((12, _operations()), (12, _latency()))),
        ),
    )


def _health_trend() -> Panel:
    panel = over_time(
        2,
        "Health score",
        "Mean health score of the providers over five minutes, 0 to 100; below 30 it alerts. No line: nobody asked.",
        "none",
        promql(f"100 * {mean(recording.OVERALL_HEALTH.metric, IN_ENVIRONMENT)}", "health score"),
        steps=HEALTH,
        highest=100,
        links=(links.to_dashboard("Which providers", links.GATEWAY_UID),),
    )
    return coloured(panel, {"health score": "blue"})


def _error_trend() -> Panel:
    panel = over_time(
        3,
        "Errors",
        "Share of the requests that were answered with 5xx, and of the attempts at providers that failed, over five minutes. "
        "Fallbacks keep the first below the second.",
        "percentunit",
        promql(highest(recording.REQUESTS_FAILED.metric, IN_ENVIRONMENT), "requests"),
        promql(_attempts_failed(), "attempts at providers"),
        steps=bad_from(0.05, 0.1),
        links=(links.to_lines(level="error|critical"), links.to_failed_traces()),
    )
    return coloured(panel, {"requests": "red", "attempts at providers": "orange"})


def _attempts_failed() -> str:
    return share(total(recording.FAILED.metric, IN_ENVIRONMENT), total(recording.JUDGED.metric, IN_ENVIRONMENT))


def _breakers() -> Panel:
    return rows(
        4,
        "Circuit breakers",
        "The breaker of each provider that was asked in the last five minutes: OPEN lets no call through, HALF OPEN tries.",
        json_query(
            endpoints.BREAKERS,
            Column("[].provider", "Provider"),
            Column("[].state", "State"),
            Column("[].failure_count", "Failures"),
            Column("[].is_available", "Lets through"),
            Column("[].last_updated", "As of", "timestamp_epoch_s"),
        ),
        shown={
            "Provider": Shown(links=(links.to_dashboard("Compare", links.GATEWAY_UID, provider="${__value.raw}"),)),
            "State": Shown(values=_BREAKERS, width=105),
            "Failures": Shown(unit="locale", width=95),
            "Lets through": Shown(values=_LETS_THROUGH, width=110),
            "As of": Shown(unit="dateTimeFromNow", width=155),
        },
        order=("Provider", "State", "Failures", "Lets through", "As of"),
        sorted_by="Failures",
        nothing="No traffic in five minutes: no breaker has anything to say",
    )


def _processes() -> Panel:
    return over_time(
        6,
        "Processor and memory",
        "Of the busiest process and the fullest container, as a share of what they may use.",
        "percentunit",
        promql(highest(health.CPU, IN_ENVIRONMENT), "CPU"),
        promql(highest(health.MEMORY, IN_ENVIRONMENT), "memory"),
        steps=bad_from(0.8, 0.9),
        highest=1,
    )


def _loop_lag() -> Panel:
    return over_time(
        7,
        "Event-loop lag",
        "Longest delay of each process's event loop in 60 seconds: something blocks when it climbs, and all requests wait.",
        "s",
        promql(highest(health.LOOP_LAG, IN_ENVIRONMENT, by=(INSTANCE,)), legend(INSTANCE)),
        steps=bad_from(0.1, 0.5),
        links=(links.to_lines(),),
    )


def _status() -> Panel:
    return number(
        8,
        "Redis",
        "Whether Redis answers its exporter.",
        "none",
        promql_now(lowest(redis.UP), "Redis"),
        steps=good_from(1, 1),
        values={"1": ("UP", GREEN), "0": ("DOWN", RED)},
        nothing="Exporter not scraped",
    )


def _memory() -> Panel:
    return dial(
        9,
        "Memory",
        "Memory that Redis holds, as a share of its limit; without a limit there is no share. "
        "A cache that may evict every key is full by and by, and well while its hit rate stays.",
        "percentunit",
        promql_now(share(highest(redis.MEMORY_USED), highest(redis.MEMORY_MAX)), "memory"),
        steps=bad_from(0.8, 0.9),
        highest=1,
        nothing="No limit",
    )


def _keys() -> Panel:
    return number(
        10,
        "Keyspace",
        "Keys that Redis holds.",
        "locale",
        promql(total(redis.KEYS), "keys"),
        trend=True,
    )


def _hit_rate() -> Panel:
    hits = rate(redis.HITS)
    return dial(
        11,
        "Hit rate",
        "Share of the look-ups that found their key; without look-ups there is none.",
        "percentunit",
        promql_now(share(hits, f"{hits} + {rate(redis.MISSES)}"), "hits"),
        steps=good_from(0.5, 0.8),
        highest=1,
        nothing="No look-ups",
    )


def _operations() -> Panel:
    panel = over_time(
        12,
        "Operations",
        "Commands that Redis carries out per second, and the look-ups among them that hit and missed.",
        "ops",
        promql(rate(redis.COMMANDS), "commands"),
        promql(rate(redis.HITS), "hits"),
        promql(rate(redis.MISSES), "misses"),
    )
    return coloured(panel, {"commands": "blue", "hits": "green", "misses": "orange"})


def _latency() -> Panel:
    return over_time(
        13,
        "Latency",
        "A command as the application waits for it, and what Redis itself spends on it. Far apart: the way between them is slow.",
        "s",
        promql(quantile(0.95, cache.REDIS_DURATION, IN_ENVIRONMENT), "application, p95"),
        promql(share(rate(redis.CALL_SECONDS), rate(redis.CALLS)), "Redis, mean"),
    )
