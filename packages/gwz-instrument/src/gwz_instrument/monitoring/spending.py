"""What providers cost."""

from gwz_instrument.semconv import inference

from . import models
from .pages import CALLS, Calls, Page, all_calls, calls_by, head, ratio, utc, whole
from .store import HOUR_S, Ask, Store

_PROVIDER = inference.PROVIDER.name
_DAY_S = 24 * HOUR_S


def costs(store: Store, days: int) -> Page:
    """`/api/monitoring/cost-analysis`."""
    view = store.look(days * _DAY_S)
    window, edges = view.window, view.window.edges(_DAY_S)
    (statuses,) = whole(view, Ask(CALLS, (_PROVIDER, inference.STATUS.name)))
    (by_day,) = view.increases((Ask(inference.CREDITS, (_PROVIDER,)),), edges)
    calls = {key[0]: one for key, one in calls_by(statuses).items()}
    dollars: dict[str, float] = {}
    for sums in by_day:
        for (provider,), amount in sums.items():
            dollars[provider] = dollars.get(provider, 0.0) + amount
    names = calls.keys() | {name for name, amount in dollars.items() if amount}
    total = sum(dollars.values())
    body = models.CostAnalysis(
        **head(store, window),
        period_days=days,
        start_date=utc(window.start),
        end_date=utc(window.end),
        providers={
            name: models.ProviderCost(
                total_cost=window.amount(dollars.get(name, 0.0)),
                total_requests=window.counted(calls.get(name, Calls()).total),
                cost_per_request=ratio(dollars.get(name, 0.0), calls.get(name, Calls()).total),
            )
            for name in sorted(names, key=lambda name: (-dollars.get(name, 0.0), name))
        },
        total_cost=window.amount(total),
        total_requests=window.counted(all_calls(calls.values()).total),
        cost_per_request=ratio(total, all_calls(calls.values()).total),
        series=[
            models.CostPoint(time=utc(start), provider=provider, total_cost=amount)
            for start, sums in zip(edges, by_day, strict=False)
            for (provider,), amount in sorted(sums.items())
            if amount
        ],
    )
    return Page(body, window)
