"""Metrics: scraped, equal to the ledger, and their exemplars lead to the ledger's traces."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from fastapi_app.load.ledger import Entry, Outcome
from gwz_e2e.case import Case
from gwz_e2e.compare import differences, shorten
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import health, http, inference, providers, stages

_ROUTE = ("method", "path")
_MONEY = 1e-9


def scraped(case: Case) -> Finding:
    """Prometheus scrapes the application."""
    targets = [target for target in case.engines.prometheus.targets() if target["labels"]["instance"] == case.address]
    if not targets:
        return Finding(ok=False, sentence=f"Prometheus does not know the target {case.address}")
    target = targets[0]
    problem = target["lastError"] or target["health"]
    return Finding(target["health"] == "up", f"Prometheus scrapes {target['scrapeUrl']}: {problem}")


def requests_equal(case: Case) -> Finding:
    """Counters, histograms and gauges say of every route what the ledger says."""
    by_status = Counter((e.method, e.route, str(e.status)) for e in case.ledger)
    by_route = Counter((e.method, e.route) for e in case.ledger)
    failed = sum(entry.status == 500 or entry.outcome == "stream_error" for entry in case.ledger)
    of = Selector(case, app_name=case.service)
    of_scrapes = Selector(case, instance=case.address, signal="metrics")  # the others' losses are their hops' to tell
    phrases = [
        *of.differences(http.REQUESTS.name, by_status, *_ROUTE, "status_code"),
        *of.differences(f"{http.DURATION.name}_count", by_route, *_ROUTE),
        *of.differences(f"{http.REQUEST_SIZE.name}_count", by_route, *_ROUTE),
        *of.differences(f"{http.RESPONSE_SIZE.name}_count", by_route, *_ROUTE),
        *of.differences(http.IN_PROGRESS.name, dict.fromkeys(by_route, 0), *_ROUTE),
        *of.differences(http.EXCEPTIONS.name, {(): failed}),
        *of.differences(http.APP_INFO.name, {(): 1}),
        *of_scrapes.differences(health.DROPPED.name, {(): 0}),
    ]
    return Finding(
        not phrases,
        shorten(phrases)
        or f"{len(case.ledger)} requests over {len(by_status)} series of {http.REQUESTS.name} equal the ledger",
    )


def calls_equal(case: Case) -> Finding:
    """Of every provider and model: the calls by how they ended, the tokens, and the money to a billionth of a dollar."""
    calls = [entry for entry in case.ledger if entry.provider is not None]
    paid = [entry for entry in calls if entry.cost_usd is not None]
    tokens: Counter[tuple[str | None, ...]] = Counter()
    money: defaultdict[tuple[str | None, ...], float] = defaultdict(float)
    for entry in paid:
        kind = "_estimated" if entry.estimated else ""
        tokens[entry.provider, entry.model, f"input{kind}"] += entry.input_tokens or 0
        tokens[entry.provider, entry.model, f"output{kind}"] += entry.output_tokens or 0
        money[entry.provider, entry.model] += entry.cost_usd or 0.0
    by_provider: defaultdict[tuple[str | None], float] = defaultdict(float)
    for (provider, _), amount in money.items():
        by_provider[(provider,)] += amount
    streams = Counter((e.provider, e.model) for e in calls if e.stream and e.status == 200)
    of = Selector(case, instance=case.address)
    names = ("provider", "model")
    phrases = [
        *of.differences(
            inference.REQUESTS.name, Counter((e.provider, e.model, str(e.outcome)) for e in calls), *names, "status"
        ),
        *of.differences(f"{inference.DURATION.name}_count", Counter((e.provider, e.model) for e in calls), *names),
        *of.differences(
            f"{inference.PROVIDER_RESPONSE_TIME.name}_count",
            Counter((provider,) for e in calls for provider in (e.provider, e.failed_first) if provider),
            "provider",
        ),
        *of.differences(f"{stages.FRONTEND.name}_count", Counter((e.route,) for e in calls), "endpoint"),
        *of.differences(f"{inference.FIRST_CHUNK.name}_count", streams, *names),
        *of.differences(f"{inference.STREAMING_DURATION.name}_count", streams, *names),
        *of.differences(inference.TOKENS.name, tokens, *names, "token_type"),
        *of.money(inference.CREDITS.name, money, *names),
        *of.money(inference.COST.name, by_provider, "provider"),
        *_attempts(of, calls),
    ]
    return Finding(
        bool(paid) and not phrases,
        shorten(phrases)
        or f"{len(calls)} calls, {sum(tokens.values())} tokens and {sum(money.values()):.6f} dollars equal the ledger",
        {"tokens": sum(tokens.values()), "dollars": sum(money.values())},
    )


def _attempts(of: "Selector", calls: list[Entry]) -> list[str]:
    """Who was asked, and what came of it; every answer is fast enough to be worth a whole one."""
    by_status = Counter((str(e.provider), str(e.outcome)) for e in calls)
    by_status.update((e.failed_first, str(Outcome.ERROR)) for e in calls if e.failed_first)
    answered = {(provider,): number for (provider, status), number in by_status.items() if status == Outcome.SUCCESS}
    least: defaultdict[tuple[str], float] = defaultdict(float)
    for entry in calls:
        if entry.outcome is Outcome.SUCCESS:
            least[(str(entry.provider),)] += entry.planned_delay_s
    took = of.totals(providers.ANSWER_SECONDS.name, "provider")
    return [
        *of.differences(providers.ATTEMPTS.name, by_status, "provider", "status"),
        *of.money(providers.ANSWER_WORTH.name, answered, "provider"),
        *(
            f"{providers.ANSWER_SECONDS.name} {key[0]}: {took.get(key, 0.0):.3f}, planned were {planned:.3f}"
            for key, planned in least.items()
            if took.get(key, 0.0) < planned
        ),
    ]


def durations_hold(case: Case) -> Finding:
    """No bucket holds a request that was told to take longer, and the sum is at least what was planned."""
    planned = [entry.planned_delay_s for entry in case.ledger]
    of = Selector(case, app_name=case.service)
    buckets = of.totals(f"{http.DURATION.name}_bucket", "le")
    too_fast = [
        f"{found:g} requests within {le} s, at most {possible} could be"
        for (le,), found in buckets.items()
        if found > (possible := sum(delay < float(le) for delay in planned))
    ]
    total = sum(of.totals(f"{http.DURATION.name}_sum").values())
    if total < sum(planned):
        too_fast.append(f"the durations add up to {total:.1f} s, the planned delays alone to {sum(planned):.1f} s")
    return Finding(
        bool(buckets) and not too_fast,
        shorten(too_fast) or f"{len(buckets)} buckets hold no request that was planned slower",
    )


def exemplars_lead_to_traces(case: Case) -> Finding:
    """Exemplars of the duration histogram name traces of the ledger, of the same route."""
    exemplars = case.engines.prometheus.exemplars(
        f'{http.DURATION.name}_bucket{{app_name="{case.service}"}}', *case.window
    )
    wrong = [
        f"{exemplar.trace_id or '(no trace id)'} on {exemplar.series.get('path')}"
        for exemplar in exemplars
        if (entry := case.by_trace.get(exemplar.trace_id)) is None
        or (entry.method, entry.route) != (exemplar.series.get("method"), exemplar.series.get("path"))
    ]
    if not exemplars:
        return Finding(ok=False, sentence=f"no exemplar on {http.DURATION.name}_bucket")
    return Finding(
        not wrong,
        f"exemplars that are not the ledger's: {shorten(wrong)}"
        if wrong
        else f"{len(exemplars)} exemplars, each with a trace of the ledger and its route",
        {"exemplars": len(exemplars)},
    )


class Selector:
    """Sums of the series that have these labels: an application's by its name, its process's by its address."""

    def __init__(self, case: Case, **labels: str) -> None:
        self._case = case
        self._labels = ", ".join(f'{name}="{value}"' for name, value in labels.items())

    def totals(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        expression = f"sum by ({', '.join(by)}) ({name}{{{self._labels}}})"
        return self._case.engines.prometheus.totals(expression, *by)

    def quantiles(self, share: float, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Quantiles of histograms, as Prometheus itself interpolates them; `name` is that of the buckets."""
        expression = f"histogram_quantile({share}, sum by ({', '.join((*by, 'le'))}) ({name}{{{self._labels}}}))"
        return self._case.engines.prometheus.totals(expression, *by)

    def differences(self, name: str, wanted: Mapping[Any, float], *by: str) -> list[str]:
        return [f"{name} {phrase}" for phrase in differences(wanted, self.totals(name, *by))]

    def money(self, name: str, wanted: Mapping[Any, float], *by: str) -> list[str]:
        """The differences between amounts that are more than the order of the additions makes."""
        found = self.totals(name, *by)
        return [
            f"{name} {' '.join(map(str, key))}: {found.get(key, 0.0):.12f} instead of {wanted.get(key, 0.0):.12f}"
            for key in sorted(wanted.keys() | found.keys())
            if abs(found.get(key, 0.0) - wanted.get(key, 0.0)) > _MONEY
        ]
