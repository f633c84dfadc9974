"""`attach` finds out what it is given, loads nothing for it, and says what can be given instead."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gwz_instrument import attach as attaching
from gwz_instrument import instrument
from gwz_instrument import recording as recordings
from gwz_instrument.attach import attach
from gwz_instrument.metrics import Collectors


@pytest.fixture
def collectors():
    return Collectors()


def test_none_is_let_pass_with_one_warning(collectors, monkeypatch, caplog):
    monkeypatch.setattr(attaching, "_warned", [])
    attach(None, collectors)
    attach(None, collectors)
    assert len(caplog.messages) == 1
    assert "attach(None) records nothing" in caplog.text


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        ("redis://localhost", "an object of builtins.str"),
        (object(), "an object of builtins.object"),
        (subprocess, "the module subprocess"),
        (dict, "the class builtins.dict"),
        (httpx.Timeout(1), "an object of httpx.Timeout"),
    ],
)
def test_what_cannot_be_attached_is_refused_with_what_can_be(collectors, thing, named):
    with pytest.raises(TypeError) as refused:
        attach(thing, collectors)
    assert str(refused.value).startswith(named)
    assert "a redis-py client" in str(refused.value)
    assert "an httpx.Client or httpx.AsyncClient" in str(refused.value)


def test_a_database_that_is_not_known_is_refused(collectors):
    with httpx.Client() as client, pytest.raises(ValueError, match=r"database='mysql' is none .*: 'postgrest'"):
        attach(client, collectors, database="mysql")


@pytest.mark.parametrize("thing", [httpx, httpx.Client])
def test_all_of_httpx_is_no_database(collectors, thing):
    with pytest.raises(ValueError, match="is for an httpx client that asks nothing else"):
        attach(thing, collectors, database="postgrest")


def test_what_is_not_attached_is_not_loaded():
    """The package that an application does not use may not be installed."""
    code = (
        "import sys; from gwz_instrument.attach import attach; from gwz_instrument.metrics import Collectors\n"
        "try: attach(object(), Collectors())\n"
        "except TypeError: print([name for name in ('httpx', 'redis', 'sqlalchemy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"


class Lookalike:
    """Of a package that has the name of one that can be attached, and a class of another name."""


Lookalike.__module__ = "redis.client"


def test_the_name_of_the_class_counts_too(collectors):
    with pytest.raises(TypeError, match=r"an object of redis\.client\.Lookalike"):
        attach(Lookalike(), collectors)


def test_the_guide_runs_as_it_stands_and_is_recorded(monkeypatch):
    redis = pytest.importorskip("redis")
    monkeypatch.setattr(recordings, "_installed", [])
    text = (Path(__file__).resolve().parents[3] / "docs/guides/data.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    registry, far_end = CollectorRegistry(), httpx.MockTransport(lambda _request: httpx.Response(200, json=[]))
    with httpx.Client(transport=far_end) as http_client, httpx.Client(transport=far_end) as supabase_client:
        names = {
            "app": FastAPI(),
            "redis_client": redis.Redis(port=9, retry=None),
            "supabase_client": supabase_client,
            "http_client": http_client,
            "store": SimpleNamespace(find=str.upper, add=lambda *_given: None),
        }
        instrument(names["app"], registry=registry)  # the guide's own call returns the same handle
        exec(compile("\n".join(snippets), "data.md", "exec"), names)  # noqa: S102  # that is the point
        assert (names["cached_user"]("a"), names["cached_user"]("a")) == ("A", "A")
        names["add_credits"]("a", 1)
        supabase_client.get("https://db.test/rest/v1/plans")
        http_client.get("https://api.test/")
        with pytest.raises(redis.ConnectionError):
            names["redis_client"].ping()
    counted = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value
        and sample.name.startswith(("database_queries", "cache_hits", "cache_misses", "gatewayz_redis_op"))
        and sample.name.endswith("_total")
    }
    assert counted == {
        ("database_queries_total", "users", "select"): 1,
        ("database_queries_total", "credits", "update"): 1,
        ("database_queries_total", "plans", "select"): 1,
        ("cache_hits_total", "users"): 1,
        ("cache_misses_total", "users"): 1,
        ("gatewayz_redis_operations_total", "ping", "error"): 1,
    }
