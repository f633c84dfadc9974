"""`nox -s bench -- dashboards`: a day of data is made once, then each dashboard is loaded in turn, round after round."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gwz_bench.dashboards import page
from gwz_bench.dashboards.blocks import import_samples
from gwz_bench.dashboards.boards import Board, Times, every_board
from gwz_bench.dashboards.day import Day, every_series
from gwz_bench.dashboards.ground import Ground, data_of_prometheus, ground
from gwz_bench.dashboards.load import load
from gwz_bench.dashboards.options import Options, parse
from gwz_bench.dashboards.report import ONE_DAY, OWN_RANGE, Watched, cheap_row, day_words, loading_row, touched_row
from gwz_bench.dashboards.touched import Logged, Series
from gwz_bench.dashboards.ways import Refused
from gwz_bench.figures import Figure
from gwz_bench.machine import machine
from gwz_bench.report import Report, Row, table
from gwz_e2e.limits.alone import DAY_S, metric
from gwz_e2e.stage import Tell, find_all, output_folder
from gwz_instrument.monitoring.desk import FRESH_S
from gwz_stack import StackError, find

_CHEAP = "sum(up{})"
_CHEAP_TIMES = 5


def main(arguments: Sequence[str]) -> int:
    """Measure: 0 when every question was answered and none touches too many series, 1 otherwise; 130 after Ctrl-C.

    `page` keeps the last report and writes its figures into the page instead.
    """
    if arguments and arguments[0] == "page":
        return page.main(arguments[1:])
    options = parse(arguments)
    report = Report(" ".join(("nox -s bench -- dashboards", *arguments)), machine())
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:6.1f} s] {line}\n")

    try:
        with output_folder(options.out):
            _measure(options, report, tell)
            written = report.write(options.out)
    except (Refused, StackError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{table(report.rows)}\n\n{written}\n")
    for row in report.failed:
        sys.stdout.write(f"failed: {row.quantity}, {row.variant}: {row.note}\n")
    return 1 if report.failed else 0


def _measure(options: Options, report: Report, tell: Tell) -> None:
    cast, promtool = find_all(tell), find("promtool", progress=tell)
    report.versions = {name: str(server.version) for name, server in cast.servers.items()}
    size, day = options.size, Day(options.size, int(time.time()))
    series = list(every_series(size))
    samples = import_samples(promtool.path, day, series, data_of_prometheus(options.out))
    tell(f"{len(series):,} series with {samples:,} samples are in blocks")
    with ground(options.out, size, day, cast, promtool, merge=options.merge, tell=tell) as place:
        report.machine |= day_words(place, size, len(series), samples)
        report.rows += Rounds(place, size.interval_s).run(options.rounds, tell)
    if time.time() > day.times[-1]:
        raise StackError(
            "The measurement came to its end after the data did.",
            cause=f"It took more than {(day.times[-1] - day.now) / 60:.0f} minutes.",
            cure="Run it again when nothing else does, or with fewer --rounds.",
        )
    report.ran.append("dashboards")


@dataclass
class Rounds:
    """The dashboards over their own ranges and over a day, each loaded once in a round."""

    place: Ground
    interval_s: int
    cheap_s: list[float] = field(default_factory=list)

    def run(self, rounds: int, tell: Tell) -> list[Row]:
        """Measure, and make the rows of it."""
        boards = every_board()
        own, day = ({board.title: Watched(board.title) for board in boards} for _ in range(2))
        for number in range(rounds):
            for board in boards:
                self._cheap()
                self._watch(board, own[board.title], board.range_s)
                self._watch(board, day[board.title], DAY_S)
            tell(f"round {number + 1} of {rounds}")
        cheap = Figure.of(self.cheap_s).median
        rows = [cheap_row(self.cheap_s, _CHEAP)]
        rows += [loading_row(OWN_RANGE, one, cheap) for one in own.values()]
        rows += [loading_row(ONE_DAY, one, cheap) for one in day.values()]
        series = Series(self.place.prometheus)
        return rows + [touched_row(one, self._touched(one, series)) for one in day.values()]

    def _watch(self, board: Board, watched: Watched, range_s: float) -> None:
        time.sleep(FRESH_S)  # so long a JSON endpoint gives an answer again
        self.place.log.news()
        times, before_s = Times(float(int(time.time())), range_s, self.interval_s), self._cpu_s()
        watched.rounds.append(load(board, self.place.way, self.place.browser, times))
        watched.cpu_s.append(self._cpu_s() - before_s)
        watched.asked = self.place.log.news()

    def _cpu_s(self) -> float:
        return metric(str(self.place.prometheus.base_url), "process_cpu_seconds_total")

    def _cheap(self) -> None:
        end = int(time.time())
        asked: dict[str, str | float] = {"query": _CHEAP, "start": end - DAY_S, "end": end, "step": self.interval_s}
        for _ in range(_CHEAP_TIMES):
            began = time.perf_counter()
            self.place.prometheus.get("/api/v1/query_range", params=asked).raise_for_status()
            self.cheap_s.append(time.perf_counter() - began)

    @staticmethod
    def _touched(watched: Watched, series: Series) -> list[tuple[Logged, int]]:
        end = time.time()
        return [(query, series.touched(query.expression, end - DAY_S, end)) for query in watched.asked]
