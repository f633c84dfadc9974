"""Expressions of other engines: which of them Python may apply."""

import re
import time

import pytest

from gwz_provision import patterns


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("openai|groq", "groq", True),
        ("(openai|groq)", "groq", True),
        ("5..", "503", True),
        (r"/v1/models/\{id\}", "/v1/models/{id}", True),
        ("(.*a.*)", "bab", True),
        (".*error.*timeout.*", "an error, a timeout", True),
        (".*a.*|.*b.*|.*c.*|.*d.*", "xdx", True),
        ("^(?:[a-z]+-)?prod$", "eu-prod", True),
        (r"[(*+?{]+\(\*\+\?\{", "(((*+?{", True),
    ],
)
def test_what_people_write_is_applied(expression: str, text: str, expected: object) -> None:
    pattern = patterns.compiled(expression)
    assert pattern is not None
    assert (pattern.fullmatch(text) is not None) is expected


@pytest.mark.parametrize(
    "expression",
    ["(a+)+$", "(a|a)*b", "(?:a*)*", "(a|a)(a|a)(a|a)(a|a)", ".*.*.*.*x", "((a*){2,}){2,}", r"\pL+", "((", "a{9999999999999}"],
)  # fmt: skip
def test_what_python_could_try_for_ever_or_does_not_take_is_left_to_its_own_engine(expression: str) -> None:
    assert patterns.compiled(expression) is None


def test_the_worst_that_is_applied_ends() -> None:
    """The fullest use of the choices that are allowed, over a value longer than any label's."""
    began = time.process_time()
    for expression in (".*a.*a.*b", "(?:.*a|.*b)c", "(a|aa)(a|aa)b", "(?:a|aa|a.*)b"):
        assert (patterns.compiled(expression) or pytest.fail(expression)).fullmatch("a" * 1_000) is None
    assert time.process_time() - began < 10


def test_groups_are_called_as_in_the_browser() -> None:
    pattern = patterns.of_browser(r"(?<text>\w+)=(?<value>\w+)(?<!x)(?<=y)", re.IGNORECASE)
    assert pattern is not None
    assert pattern.fullmatch("a=By") is not None
