"""The vocabulary of expectations: what a query has to return, said of the load that was caused and not of the query.

The end-to-end run keeps a ledger of the load; it turns each of these into numbers and holds what the panel shows against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gwz_dashboards.queries import Match
from gwz_instrument.semconv import Attribute, Endpoint, Field, Label, Metric


@dataclass(frozen=True)
class Quantity:
    """What a number says, and the units of Grafana that say it, each with how much of the quantity its one is."""

    name: str
    units: Mapping[str, float]
    full: float | None = None
    """All that there can be, where a scale ends."""


COUNT = Quantity("a count", {"locale": 1.0, "short": 1.0})
SECONDS = Quantity("seconds", {"s": 1.0, "ms": 1e-3})
SHARE = Quantity("a share", {"percentunit": 1.0, "percent": 1e-2}, full=1.0)
SCORE = Quantity("a score from 0 to 100", {"none": 1.0}, full=100.0)
DOLLARS = Quantity("US dollars", {"currencyUSD": 1.0})
REQUESTS_PER_SECOND = Quantity("requests per second", {"reqps": 1.0, "reqpm": 1 / 60})
LINES_PER_SECOND = Quantity("lines per second", {"cps": 1.0, "cpm": 1 / 60})
COMMANDS_PER_SECOND = Quantity("commands per second", {"ops": 1.0, "opm": 1 / 60})
TOKENS_PER_SECOND = Quantity("tokens per second", {"short": 1.0})
BYTES = Quantity("bytes", {"decbytes": 1.0})
WORD = Quantity("a word", {"": 1.0, "none": 1.0})
MOMENT = Quantity("a moment", {"": 1.0, "dateTimeFromNow": 1.0})
BY_ITS_KIND = Quantity("a number whose unit another column says", {"short": 1.0})


@dataclass(frozen=True)
class Total:
    """Numbers of the ledger as they stand when all is over, exactly: counters, gauges, and what rules make of them."""

    quantity: Quantity
    metric: Metric
    where: tuple[Match, ...] = ()
    chosen: tuple[Label, ...] = ()
    """Narrowed to the values of the dashboard's variables of these names."""
    by: tuple[Label, ...] = ()
    fold: Literal["sum", "mean", "max"] = "sum"
    times: float = 1.0


@dataclass(frozen=True)
class Rate:
    """Events per second over a window that holds the whole load: the ledger's count, within one scrape at either edge."""

    quantity: Quantity
    metric: Metric
    where: tuple[Match, ...] = ()
    chosen: tuple[Label, ...] = ()
    by: tuple[Label, ...] = ()
    window_s: float | None = None
    """Where a recording rule has its own; None for the panel's."""
    times: float = 1.0


@dataclass(frozen=True)
class Ratio:
    """One of the ledger's numbers as a share of another."""

    part: Total | Rate
    whole: Total | Rate
    quantity: Quantity = SHARE


@dataclass(frozen=True)
class Quantile:
    """What a share of the calls did not exceed: in the bucket that the ledger's delays fall into, or a slower one.

    How much slower is Prometheus's to say: it is the quantile of the counts that it scraped, whose sums are the ledger's.
    """

    share: float
    metric: Metric
    chosen: tuple[Label, ...] = ()
    by: tuple[Label, ...] = ()
    quantity: Quantity = SECONDS
    window_s: float | None = None
    exemplars: bool = False
    """Dots that lead to traces of the ledger are shown as well."""


@dataclass(frozen=True)
class Cell:
    """A field of an endpoint's answer, and what one of it is in the quantity that it says."""

    field: str
    quantity: Quantity
    each: float = 1.0


@dataclass(frozen=True)
class Told:
    """What a JSON endpoint has to answer by the ledger: the cells of each row, by the name of their column."""

    endpoint: Endpoint
    cells: Mapping[str, Cell]
    rows: str = ""
    """The place of the rows in the answer, as the contract writes it: `providers.*`, `data[]`; empty for the answer itself."""
    asked: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class LineRate:
    """Log lines per second, counted from the ledger."""

    by: tuple[Label, ...]
    quantity: Quantity = LINES_PER_SECOND


@dataclass(frozen=True)
class LineCount:
    """Log lines of the range, counted from the ledger."""

    by: tuple[Label | Field, ...] = ()
    levels: tuple[str, ...] = ()
    """Only of these levels."""
    of_chosen_level: bool = False
    quantity: Quantity = COUNT


@dataclass(frozen=True)
class Lines:
    """Log lines themselves, the newest of those that the ledger's requests wrote."""

    levels: tuple[str, ...] = ()
    of_chosen_level: bool = False
    searched: bool = False
    """Narrowed to the chosen path and the searched word."""
    readable: bool = False
    """Written for people: the message first, then whom and what was asked."""


@dataclass(frozen=True)
class Traces:
    """Traces of requests of the ledger, found by this attribute of their resource."""

    attribute: Attribute


OriginName = Literal[
    "cpu",
    "memory",
    "loop_lag",
    "in_progress",
    "redis_memory",
    "redis_keys",
    "redis_hit_rate",
    "redis_commands",
    "redis_hits",
    "redis_misses",
    "redis_call_seconds",
]


@dataclass(frozen=True)
class Origin:
    """What the load does not decide: as its origin says at the same moment, within a tolerance.

    The run moves each once and sees the panel follow.
    """

    of: OriginName
    quantity: Quantity
    absolute: float = 0.0
    relative: float = 0.0
    upward: float = 0.0
    """What other work may add to it, beside the tolerance."""
    by: tuple[Label, ...] = ()


@dataclass(frozen=True)
class State:
    """A state that is known because everything runs."""

    quantity: Quantity
    value: float


Curves = Total | Rate | Ratio | Quantile | LineRate | LineCount | Origin | State
"""What numbers are expected of, by the values of labels."""
Kind = Curves | Told | Lines | Traces


@dataclass(frozen=True)
class Look:
    """How a known value is shown: its text, its colour; of the column, or of the panel's only number."""

    value: float | str
    colour: str
    text: str = ""
    column: str = ""


@dataclass(frozen=True)
class Expect:
    """What one query of one panel has to return, and how known values of it look."""

    kind: Kind
    looks: tuple[Look, ...] = ()


Key = tuple[str, int, str]
"""The uid of the dashboard, the id of the panel, the letter of the query."""
