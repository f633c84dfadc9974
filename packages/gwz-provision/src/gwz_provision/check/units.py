"""What a value is measured in, and which of Grafana's units say so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

Dimensions = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """Powers of second, byte, dollar and count (`n`), and how many times the base unit the value is."""

    dimensions: Dimensions = ()
    scale: float = 1
    ratio: bool = False
    """Whether a value without dimension is known to be a share, which a state or a score is not."""

    def times(self, factor: float) -> "Unit":
        """The unit of the value multiplied by a number."""
        return replace(self, scale=self.scale * factor)

    def by(self, other: "Unit", sign: int = 1) -> "Unit":
        """The unit of the product, or with -1 of the quotient."""
        powers = dict(self.dimensions)
        for name, power in other.dimensions:
            powers[name] = powers.get(name, 0) + sign * power
        dimensions = tuple(sorted((name, power) for name, power in powers.items() if power))
        same = sign < 0 and bool(self.dimensions) and self.dimensions == other.dimensions
        kept = not dimensions and not same and (self.ratio or other.ratio)
        return Unit(dimensions, self.scale * other.scale**sign, ratio=same or kept)

    def settled(self) -> "Unit":
        """Forget what something is counted by: seconds per request are seconds."""
        powers = dict(self.dimensions)
        if powers.get("n", 0) < 0 and any(power > 0 for power in powers.values()):
            del powers["n"]
        return replace(self, dimensions=tuple(sorted(powers.items())))


ONE = Unit()
RATIO = Unit(ratio=True)
COUNT = Unit((("n", 1),))
SECOND = Unit((("s", 1),))
BYTE = Unit((("By", 1),))
DOLLAR = Unit((("USD", 1),))


def of_contract(unit: str, *, ratio: bool = False) -> Unit | None:  # noqa: PLR0911 - one line for each unit
    """Read a unit as the contract writes it (UCUM); None when it says nothing."""
    match unit:
        case "":
            return None
        case "s":
            return SECOND
        case "ms":
            return SECOND.times(1000)
        case "By":
            return BYTE
        case "{USD}" | "USD":
            return DOLLAR
        case "1":
            return RATIO if ratio else ONE
        case _:
            return COUNT if unit.startswith("{") else None


_GENERIC = frozenset(["", "none", "short", "sishort", "locale", "string", "sci", "hex", "hex0x"])
_BOOLEAN = frozenset({"bool", "bool_yes_no", "bool_on_off"})

_SECOND: Mapping[str, float] = {
    "ns": 1e9, "µs": 1e6, "ms": 1e3, "s": 1, "m": 1 / 60, "h": 1 / 3600, "d": 1 / 86400,
    "dtdurationms": 1e3, "dtdurations": 1, "dthms": 1, "dtdhms": 1, "timeticks": 100, "clockms": 1e3, "clocks": 1,
    "dateTimeAsIso": 1e3, "dateTimeAsIsoNoDateIfToday": 1e3, "dateTimeAsUS": 1e3, "dateTimeAsUSNoDateIfToday": 1e3,
    "dateTimeAsLocal": 1e3, "dateTimeAsLocalNoDateIfToday": 1e3, "dateTimeAsSystem": 1e3, "dateTimeFromNow": 1e3,
}  # fmt: skip
_BYTE: Mapping[str, float] = {
    "bytes": 1, "kbytes": 2**-10, "mbytes": 2**-20, "gbytes": 2**-30, "tbytes": 2**-40, "pbytes": 2**-50, "bits": 8,
    "decbytes": 1, "deckbytes": 1e-3, "decmbytes": 1e-6, "decgbytes": 1e-9, "dectbytes": 1e-12, "decpbytes": 1e-15, "decbits": 8,
}  # fmt: skip
_BYTE_RATE: Mapping[str, float] = {
    "Bps": 1, "binBps": 1, "bps": 8, "binbps": 8,
    "KBs": 1e-3, "MBs": 1e-6, "GBs": 1e-9, "TBs": 1e-12, "PBs": 1e-15,
    "KiBs": 2**-10, "MiBs": 2**-20, "GiBs": 2**-30, "TiBs": 2**-40, "PiBs": 2**-50,
    "Kbits": 8e-3, "Mbits": 8e-6, "Gbits": 8e-9, "Tbits": 8e-12, "Pbits": 8e-15,
    "Kibits": 8 * 2**-10, "Mibits": 8 * 2**-20, "Gibits": 8 * 2**-30, "Tibits": 8 * 2**-40, "Pibits": 8 * 2**-50,
}  # fmt: skip
_RATE: Mapping[str, float] = {
    **dict.fromkeys(("cps", "ops", "reqps", "rps", "wps", "iops", "eps", "mps", "recps", "rowsps", "pps", "hertz"), 1),
    **dict.fromkeys(("cpm", "opm", "reqpm", "rpm", "wpm", "epm", "mpm"), 60),
}
_RATIO: Mapping[str, float] = {"percentunit": 1, "percent": 100}
_FAMILIES: Mapping[Dimensions, Mapping[str, float]] = {
    SECOND.dimensions: _SECOND,
    BYTE.dimensions: _BYTE,
    (("By", 1), ("s", -1)): _BYTE_RATE,
    (("n", 1), ("s", -1)): _RATE,
    (): _RATIO,
}
_NAMES: Mapping[Dimensions, str] = {
    SECOND.dimensions: "seconds",
    BYTE.dimensions: "bytes",
    DOLLAR.dimensions: "US dollars",
    COUNT.dimensions: "a count",
    (("USD", 1), ("s", -1)): "US dollars per second",
    (("By", 1), ("s", -1)): "bytes per second",
    (("n", 1), ("s", -1)): "events per second",
}
_BARE_IS_WRONG = frozenset({SECOND.dimensions, BYTE.dimensions, DOLLAR.dimensions, (("By", 1), ("s", -1))})
"""Values of these dimensions mislead without their unit."""
_KNOWN = frozenset().union(_SECOND, _BYTE, _BYTE_RATE, _RATE, _RATIO)


def contradiction(value: Unit, shown: str) -> tuple[str, str] | None:
    """Say what is wrong with a value in a panel's unit, and which unit is right; None when nothing certainly is."""
    value = value.settled()
    if _fits(value, shown):
        return None
    right = _right(value)
    if right is None:
        return None
    return f"the value is {_described(value)}, and the panel shows it as {shown or 'a bare number'}", right


def _fits(value: Unit, shown: str) -> bool:  # noqa: PLR0911 - one line for each family
    if shown.startswith(("suffix:", "prefix:", "si:", "count:", "time:")):
        return True
    dimensions = value.dimensions
    if dimensions in {DOLLAR.dimensions, (("USD", 1), ("s", -1))}:
        return (shown.startswith("currency") and shown[8:] in {"USD", ":USD", ":$"}) or (
            shown in _GENERIC and value.scale != 1
        )
    if shown in _GENERIC:
        return not (dimensions in _BARE_IS_WRONG and _close(value.scale, 1))
    if shown in _BOOLEAN:
        return not dimensions
    if dimensions == COUNT.dimensions:
        return not _is_other_family(shown, frozenset({"cpm", "opm", "reqpm", "rpm", "wpm"}))
    if dimensions not in _FAMILIES:
        return True
    factor = _FAMILIES[dimensions].get(shown)
    if not dimensions and not value.ratio:
        # A state: shown as a share it may be, if 1 then means 100 %.
        return _close(value.scale, factor) if factor else not _is_other_family(shown, frozenset())
    if factor is None:
        # A text of one's own after the number is as good as any, where no unit is expected.
        return dimensions not in _BARE_IS_WRONG and not _is_other_family(shown, frozenset())
    return _close(value.scale, factor)


def _is_other_family(shown: str, but: frozenset[str]) -> bool:
    return (shown in _KNOWN or shown.startswith("currency")) and shown not in but


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 * abs(other)


def _described(value: Unit) -> str:
    if not value.dimensions:
        named = "a ratio from 0 to 1" if value.ratio else "a plain number"
        return "a percentage from 0 to 100" if value.ratio and _close(value.scale, 100) else named
    if value.dimensions == SECOND.dimensions and _close(value.scale, 1000):
        return "milliseconds"
    named = _NAMES.get(value.dimensions, "of another kind")
    return named if _close(value.scale, 1) else f"{named} times {value.scale:g}"


def _right(value: Unit) -> str | None:
    """Name Grafana's unit of a value."""
    if value.dimensions in {DOLLAR.dimensions, (("USD", 1), ("s", -1))}:
        return "currencyUSD"
    if value.dimensions == COUNT.dimensions:
        return "short"
    if not value.dimensions and not value.ratio:
        return "none"
    family = _FAMILIES.get(value.dimensions, {})
    first = {"Bps": "binBps"}
    best = [name for name, factor in family.items() if _close(value.scale, factor)]
    preferred = [name for name in ("s", "ms", "bytes", "reqps", "percentunit", "percent") if name in best]
    found = (preferred or best or [None])[0]
    return first.get(found, found) if found else "none"


_FIELD_ENDINGS = {"_ms": SECOND.times(1000), "_s": SECOND, "_seconds": SECOND, "_bytes": BYTE, "_usd": DOLLAR}
_SHARES = frozenset({"error_rate", "success_rate", "availability"})
_OF_NAME: Mapping[str, Unit] = {
    **dict.fromkeys(_SHARES, RATIO),
    **dict.fromkeys(("health_score", "avg_health_score"), RATIO.times(100)),
    **dict.fromkeys(("total_cost", "cost_per_request", "cost_per_token"), DOLLAR),
    **dict.fromkeys(("p50_latency", "p95_latency", "p99_latency"), SECOND.times(1000)),
    # Of an anomaly: dollars, a share, milliseconds or a count, so that any one unit is wrong.
    **dict.fromkeys(("value", "expected"), ONE),
}
_PERIOD = re.compile(r"hour|day|minute|second")


def of_field(name: str, unit: str = "", *, counts: bool = False) -> Unit | None:
    """Read the unit of a field, which the contract declares or the name tells; None when neither does.

    `counts` says that the field is a whole number, which counts something unless it is named for a time.
    """
    if unit:
        return of_contract(unit, ratio=name in _SHARES)
    if name in _OF_NAME:
        return _OF_NAME[name]
    named = next((found for ending, found in _FIELD_ENDINGS.items() if name.endswith(ending)), None)
    return COUNT if named is None and counts and not _PERIOD.search(name) else named
