"""The three languages: what parses, what does not, and how the error names the place and the cure."""

import pytest

from gwz_provision.check import logql, promql, traceql
from gwz_provision.check.findings import Problem, Unparsable
from gwz_provision.check.substitution import substituted, undefined


def refused(module: object, query: str) -> Problem:
    with pytest.raises(Unparsable) as caught:
        module.parse(query)
    return caught.value.problem


@pytest.mark.parametrize(
    ("query", "column", "sentence", "cure"),
    [
        ("rate(x[5m]) by (y)", 13, "`rate(x[5m]) by (y)`: by needs an aggregator.", "Write sum by (y) (rate(x[5m]))."),
        ("up by (job)", 4, "by needs an aggregator", "Write sum by (job) (up)."),
        ('sum(a) / rate(b{c="d"}[5m]) by (e)', 29, "by needs an aggregator", 'sum by (e) (rate(b{c="d"}[5m]))'),
        ("holt_winters(x[5m], 0.1, 0.2)", 1, "no function holt_winters", "double_exponential_smoothing"),
        ("1 + hist_quantile(0.9, x)", 5, "no function hist_quantile", "Did you mean histogram_quantile?"),
        ("sum(rate(x))", 5, "got vector", "rate(…[$__rate_interval])"),
        ("sum(x", 4, "( is never closed", ")"),
        ("sum(x))", 7, ") closes nothing", "Remove it"),
        ('x{a="b}', 5, "the string has no end", "quotes"),
        ("x > $y", 5, "'$' has no meaning", "Remove it"),
        ("sum(x) y", 8, "y follows ) without an operator", "between them"),
        ("sum(x) /", 8, "the query ends after /", "operand"),
        ('x{a=~"*"}', 6, "illegal regex", "RE2"),
        ('x{a="b" or c="d"}', None, "VictoriaMetrics", 'x{a=~"1|2"}'),
        ("a + fill(0) b", None, "no fill()", "vector(0)"),
        ("", 1, "no expression", "remove the target"),
    ],
)
def test_wrong_promql_is_refused_with_its_column_and_a_hint(
    query: str, column: int | None, sentence: str, cure: str
) -> None:
    problem = refused(promql, query)
    assert (problem.id, problem.column) == ("promql/syntax", column)
    assert sentence in problem.sentence
    assert cure in problem.cure


@pytest.mark.parametrize("query", ["(" * 20_000 + "x" + ")" * 20_000, "+".join(["x"] * 20_000), "x" * 70_000])
def test_what_would_kill_the_parser_is_refused_before(query: str) -> None:
    """promql-parser ends the process at 10,000 parentheses and at 5,000 operators."""
    assert refused(promql, query).id == "promql/size"


def test_the_caps_leave_room() -> None:
    promql.parse("(" * 190 + "x" + ")" * 190)
    promql.parse("+".join(["x"] * 250))


@pytest.mark.parametrize(
    "query",
    [
        'sum by (a) (rate({app="a"} |= "x" or "y" != "z" | json | b="c" and (d > 5ms or e=~"f") [5m] offset 1h))',
        'quantile_over_time(0.9, {app=~".+"} | logfmt --strict a="b" | unwrap duration(a) | __error__="" [1h30m]) by (c)',
        'topk(3, sum(count_over_time({app="a"} | pattern "<a> <_> <b>" | b >= 20KiB [1d])) by (a)) > bool 2',
        '{app="a"} |> "<_>x" !> "y" !~ `z` | regexp "(?P<q>.+)" | line_format "{{.q}}" | label_format r=q, s="{{.t}}"',
        '{app="a"} | json a="b.c[0]" | drop level, x="y" | keep a | decolorize | addr = ip("10.0.0.0/8")',
        "vector(0x1f)",
        'sum(rate({app="a"}[1m] |= "x")) / on(a) group_left(b) sum(rate(({app="b"} | unpack)[1m])) or vector(0)',
        'label_replace(rate({app="a"}[5m]), "a", "$1", "b", "(.*)") ^ 2 % 3 # why',
        "-5 + 2",
    ],
)
def test_logql_as_its_documentation_shows_it_parses(query: str) -> None:
    logql.parse(query)


@pytest.mark.parametrize(
    ("query", "column", "sentence", "cure"),
    [
        ('clamp_min(sum(rate({a="b"}[5m])), 1)', 1, "no function clamp_min", "is PromQL's"),
        ('rate({a="b"}[5m]) by (x)', 19, "rate takes no by", "sum by"),
        ('rate({a="b"})', 13, "the range is missing", "$__auto"),
        ('sum({a="b"})', 5, "sum wants series, not log lines", "rate("),
        ('{a="b"} | jsn', 11, "`jsn` is no stage", "Did you mean json?"),
        ('{a="b"} | unwrap x', 19, "log lines take no", "avg_over_time"),
        ('sum_over_time({a="b"}[5m])', 1, "sum_over_time needs `| unwrap`", "unwrap duration_ms"),
        ('count_over_time({a="b"} | unwrap c [5m])', 1, "takes no `| unwrap`", "sum_over_time"),
        ('{a=~".*"}', 1, "match every stream", ".+"),
        ("{}", 1, "match every stream", ".+"),
        ('{a="b",}', 8, "a comma stands before }", "Remove"),
        ("{a=b}", 4, "a string in double quotes", ""),
        ('{a="b"} |~ "c("', 12, "the regular expression is wrong", "RE2"),
        ('{a="b"} |~ ip("1.2.3.4")', 12, "ip() goes with |=", ""),
        ('{a="b"} | c > "5"', 13, "cannot be compared with >", "without quotes"),
        ('{a="b"} | regexp "(c)"', 18, "extracts nothing", "(?P<name>"),
        ('{a="b"} | pattern "<c><d>"', 19, "two captures", "literal"),
        ('{a="b"} | line_format "{{.c"', 23, "does not close", "}}"),
        ('{a="b"} | label_format c=d, c=e', 29, "made twice", "two stages"),
        (f'rate({{a="b"}}[5m]) > 0x{"f" * 400}', 21, "too large", "smaller"),
        ('rate({a="b"}[5m]) or 0', 19, "not a number", "vector(0)"),
        ('rate({a="b"}[5m]) | json', 19, "cannot follow a metric query", "into the range"),
        ('{a="b', 4, "a string has no end", ""),
        ("", 1, "there is no query", ""),
    ],
)  # fmt: skip
def test_wrong_logql_is_refused_with_its_column_and_a_hint(query: str, column: int, sentence: str, cure: str) -> None:
    problem = refused(logql, query)
    assert (problem.id, problem.column) == ("logql/syntax", column)
    assert sentence in problem.sentence
    assert cure in problem.cure


@pytest.mark.parametrize(
    "query",
    [
        "{}",
        '{ resource.service.name = "a" && (span.http.response.status_code >= 500 || status = error) && duration > 1.5s }',
        '{ span."a b" = `c` } && { trace:rootName =~ "x.*" } >> { kind = server && .d != nil } !~ { event:name = "e" }',
        "{ -span.a + 2 * span.b ^ 2 > 5 && !(.c = true) } | by(.d) | avg(duration) > 1s | select(span.e, trace:id)",
        "({ .a } | count() > 1) && ({ .b } | max(span.c) >= -5)",
        "{ status = error } | rate() by (resource.service.name, name) | topk(5) with (exemplars=true)",
        "{ } | quantile_over_time(span:duration, .5, 0.99) by (span.a)",
        "{ } | compare({ status = error }, 10)",
        "{ } | histogram_over_time(duration) by (.a) // why",
    ],
)
def test_traceql_as_its_documentation_shows_it_parses(query: str) -> None:
    traceql.parse(query)


@pytest.mark.parametrize(
    ("query", "column", "sentence", "cure"),
    [
        ('{ span.a = "x" } | select(span.b, traceid)', 35, "traceid is no intrinsic", "Did you mean trace:id?"),
        ("{ } | sum(span.a) by (span.b)", 19, "sum takes no by", "| by(…)"),
        ("{ } | sum(span.a)", 18, "compared with nothing", "sum_over_time"),
        ('{ status = "error" }', 12, "`status` is a status", "Write error without quotes."),
        ("{ status = erorr }", 12, "erorr is no intrinsic", "Did you mean error?"),
        ("{ kind = ok }", 10, "`kind` is a kind", "server"),
        ("{ service.name = 5 }", 3, "service is no intrinsic", "resource.service.name"),
        ("{ foo = 5 }", 3, "foo is no intrinsic", "span.foo"),
        ("span.a = 5", 1, "stands where a spanset is wanted", "braces"),
        ("{ span.a = 5", 13, "} is missing", ""),
        ('{ duration > "5s" }', 14, "`duration` is a number", ""),
        ("{ 5 }", 3, "not a condition", ""),
        ("{ .a = nil }", 6, "nil goes with !=", "!= nil"),
        ("{ parent.a = 5 }", 3, "no attributes of the parent", ">"),
        ("{ } | rat()", 7, "is no stage", "Did you mean rate?"),
        ("{ } | rate() | count() > 1", 16, "cannot follow rate", "topk"),
        ("{ } | quantile_over_time(duration, 95)", 36, "between 0 and 1", ".95"),
        ("{ } | count() + 1 > 2", 15, "does not calculate", ""),
        ('{ name =~ "(" }', 11, "the regular expression is wrong", ""),
        ("rate()", 1, "rate wants spans before it", "{ } | rate"),
        ("({ .a } | count() > 1) && { .b }", 24, "joins a spanset and a pipeline", ""),
        ("", 1, "there is no query", ""),
    ],
)
def test_wrong_traceql_is_refused_with_its_column_and_a_hint(query: str, column: int, sentence: str, cure: str) -> None:
    problem = refused(traceql, query)
    assert (problem.id, problem.column) == ("traceql/syntax", column)
    assert sentence in problem.sentence
    assert cure in problem.cure


@pytest.mark.parametrize("module", [logql, traceql])
def test_our_parsers_stop_at_200_levels_and_64_kib(module: object) -> None:
    language = module.__name__.rpartition(".")[2]
    assert "200 levels" in refused(module, ("{ " if language == "traceql" else "") + "(" * 5000).sentence
    assert refused(module, " " * 70_000).id == f"{language}/size"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rate(x[$__rate_interval])", "rate(x[5m])"),
        ("rate(x[${window}])", "rate(x[5m])"),
        ("rate(x[[[window]]])", "rate(x[5m])"),
        ("rate(x[${n}m])", "rate(x[5m])"),
        ("x offset $shift", "x offset 5m"),
        ("x * $__range_s", "x * 300"),
        ("x[${__range_s}s]", "x[5s]"),
        ('x{a="$v", b=~"${v:regex}", c="pre-[[v]]"}', 'x{a="gwzvar", b=~"gwzvar", c="pre-gwzvar"}'),
        ("topk($n, x)", "topk(1, x)"),
        ("sum by ($label) (x)", "sum by (gwzvar) (x)"),
        ("sum(x) by (a, ${label})", "sum(x) by (a, gwzvar)"),
        ("${prefix}_total + x_$suffix", "gwzvar_total + x_gwzvar"),
        ("$metric{a='b'}", "gwzvar{a='b'}"),
        ("x{$label='b'}", "x{gwzvar='b'}"),
        ("x{$filter}", 'x{gwzvar="x"}'),
        ('x{a="b", $filter}', 'x{a="b", gwzvar="x"}'),
        ('label_replace(x, "a", "$1-${2}", "b", "(.*)$")', 'label_replace(x, "a", "$1-${2}", "b", "(.*)$")'),
        ("{ span.$attribute = 5 }", "{ span.gwzvar = 5 }"),
        ("x # $comment", "x # $comment"),
    ],
)
def test_a_variable_becomes_what_its_position_allows(query: str, expected: str) -> None:
    assert substituted(query).text == expected


def test_where_a_number_and_a_name_would_both_do_the_caller_guesses() -> None:
    text = substituted("sum($metric)", "name")
    assert (text.text, text.guessed) == ("sum(gwzvar)", True)
    assert substituted("sum($n)", "name", {"n"}).text == "sum(1)"


def test_columns_are_those_of_the_query_as_it_was_written() -> None:
    text = substituted('x{a="$application"} > $limit + oops(')
    assert text.text == 'x{a="gwzvar"} > 1 + oops('
    assert text.column(text.text.index("oops")) == 'x{a="$application"} > $limit + oops('.index("oops") + 1
    assert text.column(text.text.index("gwzvar") + 3) == 6
    assert text.column(0) == 1


def test_variables_that_nobody_replaces_are_named_once() -> None:
    (problem,) = undefined('x{a="$ap", b="${ap}"}', {"app"})
    assert (problem.id, problem.column) == ("variable/undefined", 15)
    assert problem.cure == "Did you mean app?"
