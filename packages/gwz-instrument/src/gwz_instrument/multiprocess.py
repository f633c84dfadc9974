"""Several workers behind one address: their numbers meet in prometheus_client's files, dead workers' are folded."""

import contextlib
import os
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import prometheus_client
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import CollectorRegistry

from .cells import Cell, Refusing
from .semconv import Metric, http

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_SUMMED = ("counter", "histogram", "summary")
_FOLDED = 0  # no process has this pid
_LOCK_FILE = "gwz.lock"


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
    """Histograms that are observed together."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells

    def observe(self, values: Sequence[float], trace_id: int = 0) -> None:
        """Add an observation to each."""
        for cell, value in zip(self._cells, values, strict=True):
            cell.observe(value, trace_id)


def _metric(entry: Metric) -> prometheus_client.metrics.MetricWrapperBase:
    if entry.kind == "counter":
        return prometheus_client.Counter(entry.name, entry.brief, entry.label_names, registry=None)
    if entry.kind == "histogram":
        return prometheus_client.Histogram(
            entry.name, entry.brief, entry.label_names, registry=None, buckets=entry.buckets
        )
    # Requests in progress add up; of the others the worst worker's is the one to know.
    mode: Literal["livesum", "livemax"] = "livesum" if entry is http.IN_PROGRESS else "livemax"
    return prometheus_client.Gauge(entry.name, entry.brief, entry.label_names, registry=None, multiprocess_mode=mode)


@contextlib.contextmanager
def merged_registry() -> Iterator[CollectorRegistry]:
    """A registry of all workers' numbers, for the time of one scrape; dead workers are cleaned up first."""
    import fcntl  # noqa: PLC0415  # absent on Windows, where nothing else of this package needs it

    folder = Path(os.environ[DIRECTORY])
    with (folder / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clean(folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        yield registry


def clean(folder: Path) -> None:
    """Remove the live gauges of dead workers and fold their counters and histograms into one file each.

    The caller holds the folder's lock. Without this a folder grows by a file per worker that ever ran.
    """
    for file in folder.glob("gauge_live*_*.db"):
        if not _alive(_pid(file)):
            file.unlink(missing_ok=True)
    for kind in _SUMMED:
        dead = [file for file in folder.glob(f"{kind}_*.db") if _pid(file) != _FOLDED and not _alive(_pid(file))]
        if dead:
            _fold(folder / f"{kind}_{_FOLDED}.db", dead)


def _fold(target: Path, dead: list[Path]) -> None:
    totals: defaultdict[str, float] = defaultdict(float)
    for file in (target, *dead):
        if file.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                totals[key] += value
    draft = target.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    written = MmapedDict(str(draft))  # type: ignore[no-untyped-call]
    for key, value in totals.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    for file in dead:
        file.unlink()
    draft.replace(target)


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
