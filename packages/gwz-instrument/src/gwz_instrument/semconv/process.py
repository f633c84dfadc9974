"""Metrics of the process and its interpreter, as prometheus_client's own collectors name them."""

from .model import Label, Metric

GENERATION = Label("generation", "the generations of Python's garbage collector", ("0", "1", "2"))
_ONE_INTERPRETER = "one value per process: the interpreter that runs it"
IMPLEMENTATION = Label("implementation", _ONE_INTERPRETER)
MAJOR = Label("major", _ONE_INTERPRETER)
MINOR = Label("minor", _ONE_INTERPRETER)
PATCHLEVEL = Label("patchlevel", _ONE_INTERPRETER)
VERSION = Label("version", _ONE_INTERPRETER)

_PROCESS = "prometheus_client.process_collector"
_PLATFORM = "prometheus_client.platform_collector"
_COLLECTOR = "prometheus_client.gc_collector"

VIRTUAL_MEMORY = Metric("process_virtual_memory_bytes", "gauge", "By", (), "Size of the address space.", _PROCESS)
RESIDENT_MEMORY = Metric("process_resident_memory_bytes", "gauge", "By", (), "Memory that is held in RAM.", _PROCESS)
START_TIME = Metric(
    "process_start_time_seconds", "gauge", "s", (), "When the process started, in seconds since 1970.", _PROCESS
)
CPU_SECONDS = Metric("process_cpu_seconds_total", "counter", "s", (), "Processor time that was used.", _PROCESS)
OPEN_FDS = Metric("process_open_fds", "gauge", "{descriptor}", (), "File descriptors that are open.", _PROCESS)
MAX_FDS = Metric("process_max_fds", "gauge", "{descriptor}", (), "File descriptors that may be open.", _PROCESS)

PYTHON_INFO = Metric(
    "python_info",
    "gauge",
    "1",
    (VERSION, IMPLEMENTATION, MAJOR, MINOR, PATCHLEVEL),
    "One; its labels name the interpreter.",
    _PLATFORM,
)
GC_COLLECTED = Metric(
    "python_gc_objects_collected_total",
    "counter",
    "{object}",
    (GENERATION,),
    "Objects that the garbage collector freed.",
    _COLLECTOR,
)
GC_UNCOLLECTABLE = Metric(
    "python_gc_objects_uncollectable_total",
    "counter",
    "{object}",
    (GENERATION,),
    "Objects that the garbage collector found and could not free.",
    _COLLECTOR,
)
GC_COLLECTIONS = Metric(
    "python_gc_collections_total",
    "counter",
    "{collection}",
    (GENERATION,),
    "Runs of the garbage collector.",
    _COLLECTOR,
)

METRICS = (
    VIRTUAL_MEMORY,
    RESIDENT_MEMORY,
    START_TIME,
    CPU_SECONDS,
    OPEN_FDS,
    MAX_FDS,
    PYTHON_INFO,
    GC_COLLECTED,
    GC_UNCOLLECTABLE,
    GC_COLLECTIONS,
)
"""There on Linux; prometheus_client has no `process_*` elsewhere."""
