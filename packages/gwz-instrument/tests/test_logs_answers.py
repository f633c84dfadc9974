import time
from email.utils import formatdate

import pytest

from gwz_instrument.logs.answers import Answer, Verdict, judge, refused, wait_of

OLD = "entry for stream '{app=\"a\"}' has timestamp too old: 2026-11-03T13:52:50Z, oldest acceptable timestamp is: …"
BEHIND = "entry with timestamp 2026-11-24 10:52:50 +0000 UTC ignored, reason: 'entry too far behind, …',\n"


@pytest.mark.parametrize(
    ("status", "judgement"),
    [(204, "taken"), (413, "too_large"), (401, "unauthorized"), (403, "unauthorized"), (200, "again"), (260, "again"),
     (302, "again"), (404, "again"), (429, "again"), (500, "again"), (503, "again")],
)  # fmt: skip
def test_only_204_is_a_delivery_and_only_a_refusal_is_final(status, judgement):
    assert judge(Answer(status, ""), 3) == Verdict(judgement)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (OLD, 1),
        (f"3 errors like: {OLD}", 3),
        (f"2 errors like: {OLD}; 1 errors like: Max entry size '262144' bytes exceeded for stream", 3),
        ("Max entry size '262144' bytes exceeded for stream '{app=\"a\"}'", 1),
        ("stream '{app=\"a\"}' has too many structured metadata labels: '129', limit: '128'", 1),
        (f"{BEHIND}user 'fake', total ignored: 1 out of 10 for stream: {{app=\"a\"}}", 1),
        # Two more had been refused before: the ingester tells only of the eight that it was given.
        (f"{BEHIND}user 'fake', total ignored: 1 out of 8 for stream: {{app=\"a\"}}", 3),
        ("couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'", 10),
        ("loghttp.PushRequest.Streams: unmarshalerDecoder: Value looks like Number", 10),
        ("", 10),
        ("99 errors like: nonsense", 10),
    ],
)
def test_a_400_says_how_many_of_ten_lines_loki_did_not_keep(text, number):
    assert refused(text, 10) == number
    assert judge(Answer(400, text), 10) == Verdict("taken", refused=number)


def test_retry_after_is_read_in_both_forms_and_bounded():
    assert wait_of("7") == 7
    assert wait_of("99999999999999999") == 60
    assert 4 < wait_of(formatdate(time.time() + 6, usegmt=True)) <= 6
    assert wait_of(formatdate(time.time() - 60, usegmt=True)) == 0
    assert wait_of(formatdate(time.time() + 9999, usegmt=True)) == 60
    assert [wait_of(text) for text in ("", "soon", "-1", "²")] == [None] * 4
