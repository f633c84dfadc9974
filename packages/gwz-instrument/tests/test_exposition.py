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
    "given", [b"", b"Bearer", b"Bearer s3cre", b"Bearer s3cret2", b"bearer s3cret", b"Basic s3cret", b"\xff"]
)
def test_without_the_token_nothing_is_shown(exposition, given):
    answer = exposition.refusal("GET", {b"authorization": given})
    assert answer.status == 401
    assert (b"www-authenticate", b"Bearer") in answer.headers
    assert b"GWZ_METRICS_TOKEN" in answer.body
    assert b"s3cret" not in answer.body


def test_with_the_token_there_is_no_refusal(exposition):
    assert exposition.refusal("GET", {b"authorization": b"Bearer s3cret"}) is None
    assert exposition.refusal("HEAD", {b"authorization": b"Bearer s3cret"}) is None


def test_it_is_read_and_not_written(exposition):
    answer = exposition.refusal("POST", {b"authorization": b"Bearer s3cret"})
    assert (answer.status, dict(answer.headers)[b"allow"]) == (405, b"GET, HEAD")


def test_a_compressed_answer_unpacks_to_the_plain_one(exposition):
    plain, packed = exposition.render({}), exposition.render({b"accept-encoding": b"gzip"})
    assert gzip.decompress(packed.body) == plain.body
    assert dict(packed.headers)[b"content-encoding"] == b"gzip"
    assert dict(packed.headers)[b"content-length"] == str(len(packed.body)).encode()
