"""Several workers behind one address: their numbers meet in prometheus_client's files, dead workers' are folded."""

import contextlib
import json
import logging
import os
import re
import shlex
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import prometheus_client
from prometheus_client import values
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from .cells import Cell, Refusing
from .semconv import Metric, http

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_SUMMED = ("counter", "histogram", "summary")
_GONE: Final = float("-inf")
"""The least of all, so that any worker's value comes before it; where no worker has one there is no series."""
_FOLDED = 0  # no process has this pid
_LOCK_FILE = "gwz.lock"
_LOST = "gwz_lost_"
_RUINED: Final = (struct.error, RuntimeError, ValueError, TypeError)
"""What reading a file that its worker could not write to the end can raise."""
_LOG = logging.getLogger("gwz_instrument")


class LostFilesError(RuntimeError):
    """A worker that lives counts into files that nobody can read any more."""

    def __init__(self, pid: int, folder: Path) -> None:
        super().__init__(
            f"the files of worker {pid} are gone from {folder} ({DIRECTORY}): what it counts is seen by nobody, so no "
            "scrape is answered. Restart the workers, and never clear the folder while they run"
        )


def enabled() -> bool:
    """Whether prometheus_client was loaded with PROMETHEUS_MULTIPROC_DIR set, which alone decides it."""
    return bool(getattr(values.ValueClass, "_multiprocess", False))


def problems(environ: Mapping[str, str] = os.environ, arguments: Sequence[str] = ()) -> list[str]:
    """What keeps several workers from sharing their numbers, a sentence each, with the cure."""
    folder = environ.get(DIRECTORY, "")
    if enabled():
        if os.access(folder, os.W_OK | os.X_OK):
            return []
        return [f"{DIRECTORY} is {folder!r}: it must be a folder that this process may write to; create it"]
    number = _workers(environ, arguments or sys.argv)
    if number <= 1:
        return []
    problem = (
        f"{number} workers are asked for (WEB_CONCURRENCY or --workers), but {DIRECTORY} is not set: each scrape "
        f"would show another worker's numbers. Set {DIRECTORY} to an empty folder before the server starts"
    )
    return [problem]


def _workers(environ: Mapping[str, str], arguments: Sequence[str]) -> int:
    """How many workers the environment or the command line of uvicorn or gunicorn asks for."""
    words = [*shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), *arguments[1:]]
    match = re.search(r"(?:^|\0)(?:--workers|-w)[=\0]?(\d+)(?:\0|$)", "\0".join(words))
    text = match[1] if match else environ.get("WEB_CONCURRENCY", "")
    return int(text) if text.isdigit() else 1


class Shared:
    """Makes cells whose values lie in the files that the workers share."""

    def __init__(self) -> None:
        self._metrics: dict[Metric, prometheus_client.metrics.MetricWrapperBase] = {}

    def child(self, entry: Metric, labels: tuple[str, ...]) -> Cell:
        """The cell of `entry` for these label values."""
        metric = self._metrics.get(entry)
        if metric is None:
            metric = self._metrics.setdefault(entry, _metric(entry))
        child = metric.labels(*labels) if labels else metric
        return _SharedHistogram(child) if isinstance(child, prometheus_client.Histogram) else child  # type: ignore[return-value]


class _SharedHistogram(Refusing):
    """Observes without exemplars: the files have no room for them."""

    __slots__ = ("_child",)

    def __init__(self, child: prometheus_client.Histogram) -> None:
        self._child = child

    def observe(self, value: float, trace_id: int = 0) -> None:  # noqa: ARG002  # as above
        self._child.observe(value)


class Bundle:
    """A counter and histograms that change together."""

    __slots__ = ("_counter", "_histograms")

    def __init__(self, counter: Cell, histograms: Sequence[Cell]) -> None:
        self._counter = counter
        self._histograms = histograms

    def observe(self, values: Sequence[float], trace_id: int = 0) -> None:
        """Count one, and add an observation to each histogram."""
        self._counter.inc()
        for histogram, value in zip(self._histograms, values, strict=True):
            histogram.observe(value, trace_id)


def _metric(entry: Metric) -> prometheus_client.metrics.MetricWrapperBase:
    if entry.kind == "counter":
        return prometheus_client.Counter(entry.name, entry.brief, entry.label_names, registry=None)
    if entry.kind == "histogram":
        return prometheus_client.Histogram(
            entry.name, entry.brief, entry.label_names, registry=None, buckets=entry.buckets
        )
    # Requests in progress add up; of the others the worst worker's is the one to know.
    mode: Literal["livesum", "livemax"] = "livesum" if _adds_up(entry) else "livemax"
    return prometheus_client.Gauge(entry.name, entry.brief, entry.label_names, registry=None, multiprocess_mode=mode)


def gone(entry: Metric) -> float:
    """What a worker writes for a gauge's series that it no longer has: the files forget none."""
    return 0.0 if _adds_up(entry) else _GONE


def _adds_up(entry: Metric) -> bool:
    return entry is http.IN_PROGRESS


@contextlib.contextmanager
def merged_registry() -> Iterator[CollectorRegistry]:
    """A registry of all workers' numbers, for the time of one scrape; dead workers are cleaned up first."""
    import fcntl  # noqa: PLC0415  # absent on Windows, where nothing else of this package needs it

    folder = Path(os.environ[DIRECTORY])
    with (folder / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clean(folder)
        _refuse_if_files_are_lost(folder)
        registry = CollectorRegistry()
        registry.register(_Files(folder))
        yield registry


class _Files(Collector):
    """The numbers in the files of the workers; an empty file is one that its worker has only just made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Family]:
        files = [str(file) for file in self._folder.glob("*.db") if not _empty(file)]
        families: Iterable[Family] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        for family in families:
            family.samples = [sample for sample in family.samples if sample.value != _GONE]
        return families


def check_own_files() -> None:
    """Raise LostFilesError if what this process counts is no longer in the folder, which is logged once.

    A mark tells the other workers, whose own files may be there. A process that has counted nothing yet has none.
    """
    folder, pid = Path(os.environ[DIRECTORY]), os.getpid()
    mark = folder / f"{_LOST}{pid}"
    if (folder / f"counter_{pid}.db").exists():
        mark.unlink(missing_ok=True)  # of an earlier process with this identifier
        return
    with contextlib.suppress(OSError):  # without a folder there is no scrape either
        mark.touch()
    error = LostFilesError(pid, folder)
    if pid not in _told:
        _told.add(pid)
        _LOG.error("%s", error)
    raise error


def _refuse_if_files_are_lost(folder: Path) -> None:
    for mark in folder.glob(f"{_LOST}*"):
        if not _is_dead(mark):
            raise LostFilesError(_pid(mark), folder)
        mark.unlink(missing_ok=True)


def clean(folder: Path) -> None:
    """Remove what dead workers leave and nobody needs, and fold their counters and histograms into one file each.

    The caller holds the folder's lock. Without this a folder grows by a file per worker that ever ran.
    """
    for kind in _SUMMED:
        _finish(folder / f"{kind}_{_FOLDED}.db")
    kept = []
    for file in filter(_is_dead, folder.glob("*.db")):
        if file.name.startswith("gauge_live") or not _readable(file):
            file.unlink(missing_ok=True)
        else:
            kept.append(file)
    for kind in _SUMMED:
        if dead := [file for file in kept if file.name.startswith(f"{kind}_")]:
            _fold(folder / f"{kind}_{_FOLDED}.db", dead)


def _fold(target: Path, dead: Sequence[Path]) -> None:
    """Add the dead workers' sums to `target`; a crash at any step neither loses nor doubles one."""
    totals: defaultdict[str, float] = defaultdict(float)
    for file in (target, *dead):
        if file.exists():
            for key, value in _values(file):
                totals[key] += value
    written = MmapedDict(str(_draft(target)))  # type: ignore[no-untyped-call]
    for key, value in totals.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    _journal(target).write_text("\n".join(file.name for file in dead), "utf-8")
    _draft(target).replace(target)
    _finish(target)


def _finish(target: Path) -> None:
    """Remove the files whose sums are in `target`, as the journal has them; they are from when the draft is there no more."""
    draft, journal = _draft(target), _journal(target)
    if journal.exists():
        if not draft.exists():
            for name in journal.read_text("utf-8").splitlines():
                target.with_name(name).unlink(missing_ok=True)
        journal.unlink()
    draft.unlink(missing_ok=True)  # after the journal, which without it would speak of sums that `target` has


def _draft(target: Path) -> Path:
    return target.with_suffix(".draft")


def _journal(target: Path) -> Path:
    return target.with_suffix(".journal")


def _values(file: Path) -> Iterator[tuple[str, float]]:
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
        yield key, value


def _readable(file: Path) -> bool:
    """Whether a scrape can read a dead worker's file; that it cannot is logged if something was in there."""
    try:
        for key, _ in _values(file):
            json.loads(key)
    except _RUINED as error:
        if not _empty(file):
            _LOG.warning("%s cannot be read (%s): what this worker, which has ended, counted is lost", file, error)
        return False
    return True


def _empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except FileNotFoundError:  # a live gauge, taken away by prometheus_client's own way of cleaning
        return True


def _is_dead(file: Path) -> bool:
    """Whether the process that wrote `file` has ended."""
    pid = _pid(file)
    return pid != _FOLDED and not _alive(pid)


def _pid(file: Path) -> int:
    """The process that wrote `file`; a name that says none counts as this process's and is left alone."""
    text = file.stem.rpartition("_")[2]
    return int(text) if text.isdigit() else os.getpid()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's: it lives
        return True
    return True


_told: set[int] = set()
"""The processes that have said that their files are gone: this one, and those that it was forked from."""
