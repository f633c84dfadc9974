"""Runs one import and tells how long it took and what it loaded: `python -m gwz_bench.programs.imports STATEMENT`."""

import sys
import time

STATEMENT = compile(sys.argv[1], "<import>", "exec")
OWN = sys.argv[1].split()[1].partition(".")[0]
BEFORE = frozenset(sys.modules)
BEGIN = time.perf_counter_ns()
exec(STATEMENT)  # noqa: S102  # ours, from the table of rows
TOOK_US = (time.perf_counter_ns() - BEGIN) / 1000

import json  # noqa: E402  # after the clock has stopped: what is loaded already costs nothing

LOADED = sorted({name.partition(".")[0] for name in set(sys.modules) - BEFORE})
FOREIGN = [name for name in LOADED if name not in sys.stdlib_module_names and name != OWN]
sys.stdout.write(json.dumps({"microseconds": TOOK_US, "foreign": FOREIGN}) + "\n")
