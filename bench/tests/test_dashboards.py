import json
import threading
import time
from functools import cache
from itertools import groupby

import httpx
import pytest

from gwz_bench import page
from gwz_bench.dashboards import page as keeping
from gwz_bench.dashboards.blocks import exposition, import_rules, import_samples, levels, windows
from gwz_bench.dashboards.boards import LEFT_OUT, Times, every_board
from gwz_bench.dashboards.day import Day, Series, Size, every_series
from gwz_bench.dashboards.lines import day_of_lines, streams
from gwz_bench.dashboards.load import Answered, Loaded, load
from gwz_bench.dashboards.options import parse
from gwz_bench.dashboards.report import OWN_RANGE, Watched, loading_row, touched_row
from gwz_bench.dashboards.touched import SETTING, Logged, QueryLog, selectors
from gwz_bench.dashboards.touched import Series as Touched
from gwz_bench.dashboards.ways import Question, Refused, ThroughGrafana, ToEngines
from gwz_bench.report import Report
from gwz_dashboards import names, recording, tempo_metrics
from gwz_dashboards.common import MOST_POINTS
from gwz_dashboards.panels import PROMETHEUS_UID
from gwz_e2e.limits.alone import Alone, client
from gwz_e2e.limits.lanes import Patience
from gwz_instrument.semconv import Label, Metric, inference, logs
from gwz_stack import SERVERS, ServerUnavailable, Supervisor, Urls, find

WHOLE = Size()
SMALL = Size(WHOLE.providers[:2], WHOLE.models[:2], span_s=600)
NOON = 1_800_000_000 - 1_800_000_000 % 86_400 + 43_200
TARGET = {"job", "instance"}
URLS = Urls(
    prometheus="http://prometheus", loki="http://loki", tempo="http://tempo", grafana=None, redis="redis://r",
    redis_exporter="http://e", otlp_http="http://o", otlp_grpc="http://g",
)  # fmt: skip


@cache
def by_name(size=SMALL):
    found = sorted(every_series(size), key=lambda one: one.name)
    return {name: list(series) for name, series in groupby(found, lambda one: one.name)}


@pytest.mark.parametrize(
    "metric", set(names.DECLARED.values()) - set(recording.METRICS), ids=lambda metric: metric.name
)
def test_the_day_has_each_metric_as_it_is_declared(metric):
    """With its labels and buckets, and those of a target where one is scraped; recording rules are computed of these."""
    added = set() if metric in tempo_metrics.METRICS else TARGET
    found = by_name()
    suffixes = {"_bucket": {"le"}, "_count": set(), "_sum": set()} if metric.kind == "histogram" else {"": set()}
    for suffix, more in suffixes.items():
        series = found[f"{metric.name}{suffix}"]
        assert {frozenset(one.labels) for one in series} == {frozenset({*metric.label_names, *added, *more})}
    bounds = {float(one.labels["le"]) for one in found.get(f"{metric.name}_bucket", [])}
    assert bounds == ({*metric.buckets, float("inf")} if metric.kind == "histogram" else set())


def test_no_series_is_there_twice():
    texts = [one.text for one in every_series(WHOLE)]
    assert len(set(texts)) == len(texts)


def test_every_provider_serves_every_model():
    pairs = {(one.labels["provider"], one.labels["model"]) for one in by_name(WHOLE)[inference.REQUESTS.name]}
    assert len(pairs) == 17 * 6


def test_a_label_that_is_new_in_the_contract_is_told(monkeypatch):
    new = Metric("new_total", "counter", "1", (Label("flavour", "whatever is sold"),), "Sold.", "somebody")
    monkeypatch.setattr("gwz_bench.dashboards.day.METRICS", (new,))
    with pytest.raises(LookupError, match=r"no values for the label flavour \(whatever is sold\): add some to"):
        list(every_series(SMALL))


def test_counters_never_fall_and_wider_buckets_hold_more():
    day = Day(SMALL, NOON)
    everywhere = range(len(day.times))
    buckets = [one for one in by_name()[f"{inference.DURATION.name}_bucket"] if one.labels["model"] == SMALL.models[0]]
    for _, series in groupby(buckets, lambda one: one.labels["provider"]):
        values = [[int(value) for value in day.values(one, everywhere)] for one in series]
        assert all(counts == sorted(counts) and counts[-1] > counts[0] for counts in values)
        assert all(list(at) == sorted(at) for at in zip(*values, strict=True))


def test_a_heartbeat_counts_the_scrapes():
    """By it the JSON endpoints see which processes there were."""
    beats = [one for one in every_series(SMALL) if one.moves == "beats"]
    assert [(one.labels["signal"], one.labels["outcome"]) for one in beats] == [("metrics", "delivered")]
    assert Day(SMALL, NOON).values(beats[0], range(3)) == ["1", "2", "3"]


def test_noon_is_busier_than_midnight():
    requests = Day(WHOLE, NOON).requests  # from noon on, each minute
    noon, midnight = (requests[hour * 60 + 60] - requests[hour * 60] for hour in (0, 12))
    assert noon > 2.5 * midnight > 0


def test_blocks_are_of_two_hours_and_lose_nothing():
    day = Day(WHOLE, NOON)
    parts = list(windows(day))
    assert [place for part in parts for place in part] == list(range(len(day.times)))
    assert all(len({day.times[place] // 7200 for place in part}) == 1 for part in parts)


def test_samples_are_written_with_their_times():
    day = Day(SMALL, NOON)
    text = "".join(exposition(day, [Series("up", {"job": "a"}, "stands", 1.0)], range(2)))
    assert text == f'up{{job="a"}} 1 {day.times[0]}\nup{{job="a"}} 1 {day.times[1]}\n# EOF\n'


def test_rules_are_computed_after_those_that_they_read():
    done = set()
    for rules in levels():
        read = {name for rule in rules for name in names.metric_names(rule.expression) if ":" in name}
        assert read <= done
        done |= {rule.metric.name for rule in rules}
    assert done == {metric.name for metric in recording.METRICS}


def test_lines_have_the_labels_and_fields_of_the_contract():
    lines = list(day_of_lines(SMALL, float(NOON)))
    assert len(lines) == 600
    assert [line.at_ns for line in lines] == sorted(line.at_ns for line in lines)
    known = {field.name for field in (*logs.LINE_FIELDS, *logs.DOMAIN_FIELDS)}
    assert all(json.loads(line.text).keys() <= known for line in lines)
    for stream in streams(lines):
        assert set(stream["stream"]) == {label.name for label in logs.STREAM_LABELS}
        assert {json.loads(text)["level"] for _, text, _ in stream["values"]} == {stream["stream"]["level"]}


@pytest.mark.parametrize(
    ("range_s", "points", "interval_s", "distances"),
    [
        (86_400, 2560, 15, (30, 60)),
        (86_400, 2560, 60, (60, 240)),
        (86_400, 853, 60, (120, 240)),
        (900, 2560, 15, (15, 60)),
    ],
)
def test_points_are_as_far_apart_as_grafana_puts_them(range_s, points, interval_s, distances):
    window = Times(float(NOON), range_s, interval_s).window(points)
    assert (window.start, window.end) == (NOON - range_s, NOON)
    assert (window.step_s, window.rate_s) == distances


def test_a_panel_has_as_many_points_as_it_allows_or_is_wide():
    chosen = {"environment": ".*", "path": ".*"}
    panels = {one.title: one for one in board_of("The Four Golden Signals").panels(chosen, Times(float(NOON), 900, 60))}
    assert panels["Latency of model calls"].points == MOST_POINTS
    assert panels["Latency p50 (1 h)"].points == 640


def test_no_scrape_interval_keeps_the_points_of_lines_apart():
    assert Times(float(NOON), 86_400, 60).window(2560, scraped=False).step_s == 30


@pytest.mark.parametrize("board", every_board(), ids=lambda board: board.title)
def test_everything_of_a_dashboard_is_asked_but_for_traces(board):
    chosen = dict(board.settled) | {one.name: one.everything or "gateway" for one in board.variables}
    panels = list(board.panels(chosen, Times(float(NOON), board.range_s, 60)))
    asked = [query for panel in panels for query in panel.queries]
    shipped = [target for panel in board.document["panels"] for target in panel.get("targets", ())]
    assert len(asked) == len([target for target in shipped if target["datasource"]["type"] != LEFT_OUT])
    assert not [query.text for query in asked if "$" in query.text.replace("$__", "").replace('=~"$"', "")]


def board_of(title):
    return next(board for board in every_board() if board.title == title)


def panel_of(title, panel):
    board = board_of(title)
    chosen = dict(board.settled) | {one.name: one.everything for one in board.variables}
    return next(one for one in board.panels(chosen, Times(float(NOON), 86_400, 60)) if one.title == panel)


def test_grafana_is_asked_once_for_each_data_source_of_a_panel():
    questions = ThroughGrafana("http://grafana").of_panel(
        panel_of("Gateway & Provider Comparison", "Comparison (24 h)")
    )
    assert [[query["refId"] for query in one.body["queries"]] for one in questions] == [["A", "B"], ["C"]]
    assert [(one.body["from"], one.body["to"]) for one in questions] == [(f"{NOON - 86_400}000", f"{NOON}000")] * 2


def test_an_answer_of_grafana_is_rows_for_each_query_or_a_refusal():
    (asked,) = ThroughGrafana("http://grafana").of_panel(panel_of("Executive Overview", "Request volume"))
    frames = [{"data": {"values": [[1, 2], [3, 4]]}}, {"data": {"values": []}}, {}]
    assert asked.rows({"results": {"A": {"frames": frames}, "B": {}}}) == {"A": 2, "B": 0}
    with pytest.raises(Refused, match=r"^Request volume: B says parse error$"):
        asked.rows({"results": {"A": {"frames": frames}, "B": {"error": "parse error"}}})


def test_an_engine_is_asked_for_each_query_with_what_grafana_would_put_in():
    way = ToEngines(URLS, "http://app", "secret")
    questions = way.of_panel(panel_of("Gateway & Provider Comparison", "Comparison (24 h)"))
    assert [one.url.partition("?")[0] for one in questions] == [
        "http://app/api/monitoring/stats/realtime",
        "http://app/api/monitoring/providers/availability",
        "http://prometheus/api/v1/query",
    ]
    assert [one.headers for one in questions] == [{"authorization": "Bearer secret"}] * 2 + [{}]
    ranged = way.of_panel(panel_of("Executive Overview", "Request volume"))[0]
    assert "[360s]" in ranged.params["query"]
    assert ranged.params["step"] == 300


def question(rows):
    return Question("Panel", "http://somewhere", lambda _: rows)


def answered(rows, *, seconds=0.1, status=200):
    return Answered(question(rows), seconds, status, b"{}")


def test_what_is_refused_is_told_apart_from_what_is_empty():
    def refuse(_):
        raise Refused("A: no such metric")

    refused = Answered(Question("Other", "http://x", refuse), 0.1, 200, b"{}")
    loaded = Loaded(1.0, [answered({"A": 0, "B": 3}), answered({}, status=503), refused])
    wrong, empty = loaded.judged()
    assert wrong == ["Panel is answered with 503: b'{}'", "A: no such metric"]
    assert empty == ["Panel (A)"]


def test_variables_are_asked_for_before_the_panels_and_those_that_read_others_last():
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(200, json={"data": ["first"]} if "/label/" in request.url.path else {"results": {}})

    with httpx.Client(transport=httpx.MockTransport(answer)) as browser:
        load(board_of("Logs & Diagnostics"), ThroughGrafana("http://g"), browser, Times(float(NOON), 3600, 60))
        load(board_of("Request Flow"), ThroughGrafana("http://g"), browser, Times(float(NOON), 900, 60))
    paths = [request.url.path for request in asked]
    variables = [path.split("/label/")[1] for path in paths[:4]]
    assert sorted(variables[:3]) == ["env/values", "job/values", "service/values"]
    assert variables[3] == "path/values"
    assert 'job=~".*"' in asked[3].url.params["match[]"]
    flow = [request for request in asked[len(asked) - 12 :] if request.method == "POST"]
    assert any(b'app_name=\\"first\\"' in request.content for request in flow)  # no value for all: the first one


def test_a_variable_without_a_value_to_choose_is_told():
    nothing = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": []}))
    with httpx.Client(transport=nothing) as browser, pytest.raises(Refused, match="variable app has no value that"):
        load(board_of("Request Flow"), ThroughGrafana("http://g"), browser, Times(float(NOON), 900, 60))


def test_the_selectors_of_an_expression_are_found_beside_texts():
    expression = (
        'label_replace(sum by (le) (rate(a_bucket{job=~"x{2}", path="}"}[5m])), "b", "up{}", "", "") or job:c:rate5m{}'
    )
    assert list(selectors(expression)) == ['a_bucket{job=~"x{2}", path="}"}', "job:c:rate5m{}"]


def test_series_of_several_selectors_are_counted_once_and_asked_for_once():
    asked = []

    def answer(request):
        asked.append(request.content.decode())
        return httpx.Response(200, json={"data": [{"__name__": "a"}, {"__name__": "b"}]})

    with httpx.Client(base_url="http://p", transport=httpx.MockTransport(answer)) as prometheus:
        touched = Touched(prometheus)
        assert touched.touched("a{} / b{} + a{}", 1.0, 2.0) == 2
        assert touched.touched("b{} - a{}", 1.0, 2.0) == 2
        assert touched.touched("vector(1)", 1.0, 2.0) == 0
    assert asked == ["match%5B%5D=a%7B%7D&match%5B%5D=b%7B%7D&start=1.0&end=2.0"]


def test_the_log_tells_what_was_asked_since_the_last_time_without_the_rules(tmp_path):
    def line(query, **more):
        stats = {"timings": {"evalTotalTime": 0.5}, "samples": {"totalQueryableSamples": 7}}
        return json.dumps({"params": {"query": query}, "stats": stats, **more})

    file = tmp_path / "queries.log"
    log = QueryLog(file)
    file.write_text(f"{line('a{}', httpRequest={})}\n{line('b{}', ruleGroup={})}\n{line('c{}', httpRequest={})[:9]}")
    assert log.news() == [Logged("a{}", 0.5, 7)]
    with file.open("a") as more:
        more.write(f"{line('c{}', httpRequest={})[9:]}\n")
    assert log.news() == [Logged("c{}", 0.5, 7)]


@pytest.mark.parametrize(
    ("seconds", "status", "holds", "failed"),
    [(0.2, 200, True, False), (9.0, 200, False, False), (0.2, 503, True, True)],
)
def test_a_slow_dashboard_fails_no_run_and_an_unanswered_question_does(seconds, status, holds, failed):
    watched = Watched("Board", [Loaded(seconds, [answered({"A": 1}, status=status)])] * 3, [0.5] * 3)
    row = loading_row(OWN_RANGE, watched, 0.01)
    assert (row.value, row.cpu_us, row.ratio) == (seconds, 500_000, seconds / 0.01)
    assert (row.holds, row.failed) == (holds, failed)


@pytest.mark.parametrize(("number", "failed"), [(5000, False), (5001, True)])
def test_a_query_that_touches_too_many_series_fails_the_run(number, failed):
    row = touched_row(Watched("Board"), [(Logged("few{}", 0.1, 1), 3), (Logged("sum(many{}) / few{}", 0.1, 1), number)])
    assert (row.value, row.note, row.failed) == (number, "few, many", failed)


def test_the_section_of_the_dashboards_is_kept_and_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    whole = Report("nox -s bench", ran=list(page.ROWS))
    assert page.main(["--report", str(whole.write(tmp_path)), "--to", str(page.PAGE)]) == 0
    alone = page.PAGE.read_text()
    watched = Watched("Board", [Loaded(0.5, [answered({"A": 1})])], [0.25])
    for command in ("the first", "the second"):
        report = Report(command, rows=[loading_row(OWN_RANGE, watched, 0.01)])
        assert keeping.main(["--report", str(report.write(tmp_path / "dashboards"))]) == 0
    text = page.PAGE.read_text()
    assert text.startswith(alone.rstrip("\n"))
    assert text.count("## Dashboards on a day of data") == 1
    assert "by `the second`" in text
    assert "| Board | 0.5 s |" in text
    assert page.main(["--report", str(tmp_path / "report.json"), "--to", str(page.PAGE)]) == 0
    assert page.PAGE.read_text() == text


def test_no_section_is_written_of_a_run_that_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    watched = Watched("Board", [Loaded(0.5, [answered({}, status=503)])], [0.25])
    report = Report("a run", rows=[loading_row(OWN_RANGE, watched, 0.01)])
    assert keeping.main(["--report", str(report.write(tmp_path))]) == 2
    assert "is of a run that failed: Board (Panel is answered with 503" in capsys.readouterr().err
    assert keeping.main(["--report", str(tmp_path / "none.json")]) == 2
    assert "does not exist: run `nox -s bench -- dashboards` first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "size", "rounds", "merge"),
    [([], WHOLE, 5, True), (["--interval", "15"], Size(interval_s=15), 5, True), (["--quick"], SMALL, 1, False)],
)
def test_options(arguments, size, rounds, merge):
    options = parse(arguments)
    assert (options.size, options.rounds, options.merge) == (size, rounds, merge)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Prometheus and promtool, if all servers are here, on ten minutes of data with the recording rules' own."""
    try:
        found = {server: find(server, here=True) for server in (*SERVERS, "promtool") if server != "grafana"}
    except ServerUnavailable as missing:
        pytest.skip(str(missing))
    out, day = tmp_path_factory.mktemp("prometheus"), Day(SMALL, int(time.time()))
    with Supervisor() as supervisor:
        server = Alone("prometheus", out, found, supervisor, Patience(supervisor, threading.Event()))
        import_samples(found["promtool"].path, day, list(every_series(SMALL)), server.data)
        server.start({})
        for rules in levels():
            import_rules(found["promtool"].path, rules, day, server.data, server.url)
            server.start({SETTING: str(out / "queries.log")})
        yield server


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query_from_the_imported_day(prometheus):
    """A question that the data say nothing about would be a cheap one."""
    way, log = ToEngines(prometheus.urls, "http://none", ""), QueryLog(prometheus.data.parents[1] / "queries.log")
    log.news()  # what promtool asked for the rules
    asked = 0
    with client(prometheus.url) as browser:
        for board in every_board():
            chosen = dict(board.settled) | {one.name: one.everything or "gateway" for one in board.variables}
            for panel in board.panels(chosen, Times(time.time(), 600, 60)):
                for put, query in zip(way.of_panel(panel), panel.queries, strict=True):
                    if query.target["datasource"]["uid"] == PROMETHEUS_UID:
                        response = put.put(browser)
                        assert not Answered(put, 0.0, response.status_code, response.content).empty
                        asked += 1
        logged = log.news()
        assert len(logged) == asked > 40
        counted = [Touched(browser).touched(one.expression, time.time() - 600, time.time()) for one in logged]
    assert all(0 < number <= 5000 for number in counted)
    assert all(one.samples for one in logged)
