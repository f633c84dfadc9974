"""Faults of panels that this load cannot show, each with the reason."""

from collections.abc import Mapping, Sequence

from gwz_dashboards import links
from gwz_dashboards.expectations import Key
from gwz_e2e.panels.boards import Query

EXECUTIVE_UID = "executive-overview-v1"
_FEW = "so few calls of a model are in so few buckets that counting them otherwise leads to the same place"
_BY_FEW: tuple[Key, ...] = (
    (links.MODELS_UID, 6, "A"),
    (links.MODELS_UID, 7, "A"),
    (links.GATEWAY_UID, 3, "C"),
    (links.FLOW_UID, 6, "A"),
)
_ONE_SERIES: tuple[Key, ...] = (
    (links.BACKEND_UID, 12, "A"),
    (links.BACKEND_UID, 12, "B"),
    (links.BACKEND_UID, 12, "C"),
    (links.FLOW_UID, 2, "A"),
    (links.FLOW_UID, 5, "A"),
    (links.FLOW_UID, 7, "A"),
    (links.FLOW_UID, 13, "A"),
    (links.GATEWAY_UID, 8, "A"),
)
_BUSIEST: tuple[Key, ...] = (
    (EXECUTIVE_UID, 9, "A"),
    (EXECUTIVE_UID, 9, "B"),
    (links.SIGNALS_UID, 14, "A"),
    (links.SIGNALS_UID, 15, "A"),
    (links.SIGNALS_UID, 17, "A"),
    (links.SIGNALS_UID, 17, "B"),
    (links.BACKEND_UID, 6, "A"),
    (links.BACKEND_UID, 6, "B"),
)
_WIDE: tuple[Key, ...] = (
    *(key for key in _BUSIEST if key[2] == "A"),
    (links.BACKEND_UID, 7, "A"),
    (links.BACKEND_UID, 9, "A"),
    (links.BACKEND_UID, 11, "A"),
    (links.SIGNALS_UID, 16, "A"),
    (links.SIGNALS_UID, 17, "C"),
)
_IN_PROGRESS: tuple[Key, ...] = ((EXECUTIVE_UID, 1, "A"), (links.SIGNALS_UID, 8, "A"))
_ANOMALIES: tuple[Key, ...] = ((EXECUTIVE_UID, 10, "A"), (links.BACKEND_UID, 5, "A"))
_HIT_RATE, _COMMAND = (links.BACKEND_UID, 11, "A"), (links.BACKEND_UID, 13, "B")
_STATUS, _LOST = (links.BACKEND_UID, 8, "A"), (links.FLOW_UID, 13, "A")

_REASONS: tuple[tuple[Sequence[str], Sequence[Key], str], ...] = (
    (("every environment",), _BUSIEST, "the highest of all processes is that of the one that was made busy"),
    (
        ("every environment",),
        ((links.BACKEND_UID, 3, "A"),),
        "the worst of all environments may be the one that was chosen",
    ),
    (("a random number",), _WIDE, "one random share in several lies within what an origin may differ by"),
    (("every environment",), _IN_PROGRESS, "the only request in progress is the one that is held at the application"),
    (("every path",), _IN_PROGRESS[1:], "the only request in progress is on the chosen path"),
    (("every application",), ((links.FLOW_UID, 5, "A"),), "the only request in progress is held at the application"),
    (("the mean instead of the sum",), _ONE_SERIES, "one process, or one Redis: each sum is of a single series"),
    (("five more",), _ONE_SERIES[:3], "among a thousand a second, five are within the tolerance"),
    (
        ("a window of fifteen seconds", "no window: the counter itself"),
        (_HIT_RATE, _COMMAND),
        "what Redis was asked to move it outweighs everything before, in every window the same",
    ),
    (
        ("thresholds ten times as high", "thresholds in reverse colours"),
        (_STATUS,),
        "the words of its two values bring their own colours",
    ),
    (
        ("a number as a text", "another parser"),
        _ANOMALIES,
        "no provider departs from a day that it does not have: there is no row to be wrong",
    ),
    (
        ("every application", "another application", "a hundred times as much", "a thousandth", "nothing of it"),
        (_LOST,),
        "nothing is lost, of any application: zero stays zero",
    ),
    (("another unit",), ((links.GATEWAY_UID, 1, "A"),), "what it shows are words"),
    (("a month of days",), ((links.GATEWAY_UID, 6, "A"),), "a process remembers seven days of itself and no more"),
    (("counted instead of summed", "no window: the counter itself"), _BY_FEW, _FEW),
    (
        ("every environment",),
        ((links.MODELS_UID, 6, "A"), (links.MODELS_UID, 7, "A")),
        "the few calls of a model in the other environment may lie in the same buckets",
    ),
)

SURVIVORS: Mapping[tuple[str, Key], str] = {
    (name, key): reason for names, keys, reason in _REASONS for name in names for key in keys
}
"""Why a fault changes nothing that is shown, by its name and the query."""


def explained(name: str, query: Query) -> str:
    """The reason; empty for a fault that has to be seen."""
    return SURVIVORS.get((name, query.key), "")
