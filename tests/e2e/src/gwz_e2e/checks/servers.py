"""The servers themselves: each answers a query, Redis keeps a value, its exporter tells what it did."""

import secrets

import redis

from gwz_e2e.case import Case, Engines
from gwz_e2e.hops import Finding


def prometheus(engines: Engines) -> Finding:
    """Prometheus evaluates an expression."""
    return Finding(engines.prometheus.ready(), "Prometheus answers a query")


def loki(engines: Engines) -> Finding:
    """Loki evaluates an expression."""
    return Finding(engines.loki.ready(), "Loki answers a query")


def tempo(engines: Engines) -> Finding:
    """Tempo runs a search."""
    return Finding(engines.tempo.ready(), "Tempo answers a search")


def redis_answers(engines: Engines) -> Finding:
    """Redis gives back what it was given."""
    key, value = f"gwz-e2e:{secrets.token_hex(8)}", secrets.token_hex(8)
    try:
        with redis.Redis.from_url(engines.redis_url, socket_timeout=2, decode_responses=True) as client:
            client.set(key, value, ex=60)
            same = client.get(key) == value
    except redis.RedisError as error:
        return Finding(ok=False, sentence=f"Redis does not answer: {error}")
    return Finding(same, "Redis gives back a value it was given")


def cache_used(case: Case) -> Finding:
    """The application looked things up in Redis while it was under load."""
    with redis.Redis.from_url(case.engines.redis_url, socket_timeout=2, decode_responses=True) as client:
        stats = client.info("stats")
    lookups = int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])
    wanted = sum(entry.provider is not None for entry in case.ledger)
    return Finding(
        lookups >= wanted > 0, f"Redis counts {lookups} look-ups, the load's chat requests caused at least {wanted}"
    )


def exporter(engines: Engines) -> Finding:
    """What Prometheus knows of Redis through its exporter is what Redis says of itself."""
    with redis.Redis.from_url(engines.redis_url, socket_timeout=2, decode_responses=True) as client:
        stats = client.info("stats")
    wanted = int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])
    up = [sample.value for sample in engines.prometheus.query("redis_up")]
    found = sum(
        sample.value for sample in engines.prometheus.query("redis_keyspace_hits_total + redis_keyspace_misses_total")
    )
    return Finding(
        up == [1.0] and found == wanted,
        f"redis_up is {up}; the exporter's hits and misses are {found:g}, Redis itself counts {wanted}",
    )
