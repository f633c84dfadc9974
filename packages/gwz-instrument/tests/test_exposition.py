import gzip

import pytest
from prometheus_client import CollectorRegistry

from gwz_instrument.exposition import Exposition, accepts_gzip
from gwz_instrument.metrics import Collectors


@pytest.fixture
def exposition():
    registry, collectors = CollectorRegistry(), Collectors()
    registry.register(collectors)
    return Exposition(registry, collectors, "s3cret")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True), ("gzip, deflate", True), ("GZIP", True), ("*", True), ("gzip;q=0.5", True), ("", False),
        ("gzip;q=0", False), ("gzip; q=0.0", False), ("identity", False), ("*;q=0", False), ("gzip;q=x", False),
        ("gzip;q=nan", False), ("notgzip", False), ("gzip;q=0, *", False),
    ],
)  # fmt: skip
def test_gzip_is_sent_to_who_accepts_it(header, expected):
    assert accepts_gzip(header) is expected


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer s3cre",
        b"Bearer s3cret2",
        b"Bearers3cret",
        b"s3cret",
        b"Bearer s3cret s3cret",
        b"Basic s3cret",
        b"\xff",
    ],
)
def test_without_the_token_nothing_is_shown(exposition, given):
    answer = exposition.refusal("GET", {b"authorization": given})
    assert answer.status == 401
    assert (b"www-authenticate", b"Bearer") in answer.headers
    assert b"GWZ_METRICS_TOKEN" in answer.body
    assert b"s3cret" not in answer.body


def test_with_the_token_there_is_no_refusal(exposition):
    assert exposition.refusal("GET", {b"authorization": b"Bearer s3cret"}) is None
    assert exposition.refusal("GET", {b"authorization": b"bearer s3cret"}) is None, "a scheme has no case"
    assert exposition.refusal("GET", {b"authorization": b"BEARER  s3cret"}) is None, "and spaces after it"
    assert exposition.refusal("HEAD", {b"authorization": b"Bearer s3cret"}) is None


def test_it_is_read_and_not_written(exposition):
    answer = exposition.refusal("POST", {b"authorization": b"Bearer s3cret"})
    assert (answer.status, dict(answer.headers)[b"allow"]) == (405, b"GET, HEAD")


def test_a_compressed_answer_unpacks_to_the_plain_one(exposition):
    plain, packed = exposition.render({}), exposition.render({b"accept-encoding": b"gzip"})
    assert gzip.decompress(packed.body) == plain.body
    assert dict(packed.headers)[b"content-encoding"] == b"gzip"
    assert dict(packed.headers)[b"content-length"] == str(len(packed.body)).encode()


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["abc", "1.0.0-rc", "9" * 5000, '"1.0.0"', "\xb2"])
def test_a_version_that_is_none_is_answered_with_the_plain_text(exposition, kind, version):
    """Or as if none had been asked for, which an older prometheus_client never looks at."""
    answer = exposition.render({b"accept": f"{kind};version={version}".encode("latin-1")})
    assert answer.status == 200
    assert b"\n# TYPE gwz_telemetry_items_total counter\n" in answer.body or answer.body.endswith(b"# EOF\n")
    assert version.encode() not in dict(answer.headers)[b"content-type"]


def test_openmetrics_is_sent_to_who_asks_for_it(exposition):
    answer = exposition.render({b"accept": b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert dict(answer.headers)[b"content-type"].startswith(b"application/openmetrics-text; version=1.0.0; ")
    assert answer.body.endswith(b"# EOF\n")
