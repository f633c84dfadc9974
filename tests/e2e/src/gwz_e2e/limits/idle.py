"""What the servers hold in memory together while nobody wants anything of them."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gwz_e2e.hops import Finding
from gwz_e2e.limits.lanes import Patience
from gwz_stack import Found, NativeStack, Supervisor

ID = "idle_memory"
_QUIET_S = 60.0
_MOST_MIB = 600


def prove(run_dir: Path, servers: Mapping[str, Found], stop: threading.Event) -> Finding:
    """Start the stack as it is shipped, leave it alone for a minute, and look all the while at what it holds."""
    held: list[Mapping[str, int]] = []
    with Supervisor() as supervisor:
        stack = NativeStack(run_dir, servers=servers, supervisor=supervisor)

        def seen_enough() -> bool:
            held.append(stack.resident_bytes())
            return False

        stack.start()
        Patience(supervisor, stop).until(seen_enough, _QUIET_S)
    return finding(held)


def finding(held: Sequence[Mapping[str, int]]) -> Finding:
    """It holds if the resident memory of all servers together was never more than is wanted."""
    most = max(held, key=lambda bytes_of: sum(bytes_of.values()))
    mib = {server: number // 2**20 for server, number in most.items()}
    together = sum(most.values()) // 2**20
    share = ", ".join(f"{server} {number}" for server, number in mib.items())
    return Finding(
        ok=together <= _MOST_MIB,
        sentence=f"in {_QUIET_S:.0f} s without work never more than {together} MiB resident ({share}), "
        f"of {_MOST_MIB} that they may hold",
        figures={"together_mib": together, "most_mib": _MOST_MIB, **{f"{name}_mib": n for name, n in mib.items()}},
    )
