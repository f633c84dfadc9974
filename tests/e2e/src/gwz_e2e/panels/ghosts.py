"""What is asked for and nobody has: a name that is not declared, or one that the full run of the example never emitted."""

from gwz_dashboards.names import DECLARED
from gwz_dashboards.orphans import ORPHANS, asked
from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding

_RUN_S = 3600
_OF_HISTOGRAM = "_bucket"


def none(case: Case) -> Finding:
    """Every metric that a dashboard, a rule or an alert asks for is declared, and Prometheus has samples of it."""
    names = {name: f"{name}{_OF_HISTOGRAM}" if _is_histogram(name) else name for name in asked()}
    pattern = "|".join(sorted(names.values()))
    found = case.engines.prometheus.totals(
        f'count by (__name__) (last_over_time({{__name__=~"{pattern}"}}[{_RUN_S}s]))', "__name__"
    )
    ghosts = [name for name, sample in sorted(names.items()) if name not in DECLARED or (sample,) not in found]
    return Finding(
        not ghosts,
        shorten([f"{name} is asked for, and nothing emits it" for name in ghosts])
        or f"each of the {len(names)} metrics that dashboards, rules and alerts ask for is emitted; "
        f"{len(ORPHANS)} are emitted for no panel, each for a reason that is written down",
        {"ghosts": len(ghosts), "orphans": len(ORPHANS)},
    )


def _is_histogram(name: str) -> bool:
    return name in DECLARED and DECLARED[name].kind == "histogram"
