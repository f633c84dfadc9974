"""The bodies of the JSON endpoints. Ratios are 0 to 1, scores 0 to 100, times UTC; null says that nothing is known."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
MaybeCount = Annotated[int | None, Field(ge=0, description="null if nothing was counted and the window is not covered")]
Ratio = Annotated[float | None, Field(ge=0, le=1)]
Score = Annotated[float | None, Field(ge=0, le=100)]
Milliseconds = Annotated[float | None, Field(ge=0)]
Dollars = Annotated[float | None, Field(ge=0)]
HourKey = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}:\d{2}$", description="YYYY-MM-DD:HH, UTC")]
Status = Literal["healthy", "degraded", "unhealthy", "unknown"]
Sort = Literal["requests", "tokens", "cost", "errors", "latency"]
Range = Literal["1h", "24h", "7d", "30d"]
State = Literal["CLOSED", "HALF_OPEN", "OPEN"]
Kind = Literal["cost_spike", "error_surge", "latency_spike", "unusual_pattern"]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=())


class Body(_Body):
    """What every object says of itself."""

    timestamp: datetime = Field(description="When this was answered")
    source: Literal["local", "prometheus"] = Field(description="This process alone, or Prometheus")
    start: datetime = Field(alias="from", description="The beginning of the window that was counted")
    end: datetime = Field(alias="to", description="Its end")
    complete: bool = Field(description="Whether the window is covered: else counts are of the covered part")
    exact: bool = Field(description="Whether counts are exact: else within one scrape interval at the window's edges")


class Traffic(_Body):
    """Calls that ended. A call that the client or the application ended is neither a success nor a failure."""

    total_requests: MaybeCount
    successful_requests: MaybeCount
    failed_requests: MaybeCount
    error_rate: Ratio = Field(description="Failures among the successes and failures")
    success_rate: Ratio


class Quantiles(_Body):
    """Milliseconds of whole calls, streams included; quantiles are interpolated within a bucket of the histogram."""

    avg_latency_ms: Milliseconds
    p50_latency: Milliseconds
    p95_latency: Milliseconds
    p99_latency: Milliseconds


class ProviderHealth(_Body):
    """How a provider is doing in the health window, `Settings.health_window_s`."""

    provider: str
    health_score: Score
    status: Status = Field(description="healthy from 80, degraded from 50, unhealthy below; unknown without traffic")
    error_rate: Ratio
    availability: Ratio = Field(description="1 if at least half of the attempts were answered, else 0")
    last_updated: datetime = Field(description="The end of the window that was judged")


class OneProviderHealth(Body, ProviderHealth):
    """How one provider is doing."""


class HourOfProvider(_Body):
    """What a provider did in one hour."""

    total_requests: MaybeCount
    successful_requests: MaybeCount
    failed_requests: MaybeCount
    tokens_input: MaybeCount
    tokens_output: MaybeCount
    total_cost: Dollars


class ProviderStats(Traffic):
    """What a provider did in the window; those are here that had calls in it, or attempts in the health window."""

    total_cost: Dollars
    health_score: Score = Field(description="Of the health window, not of this one")
    hourly_breakdown: dict[HourKey, HourOfProvider]


class Point(Traffic):
    """All providers in one hour, or in the part of it that is in the window."""

    time: datetime = Field(description="The beginning of the hour")
    tokens_input: MaybeCount
    tokens_output: MaybeCount
    total_cost: Dollars


class Realtime(Body, Traffic, Quantiles):
    """Calls, tokens, money and latency of the last hours."""

    hours: int
    providers: dict[str, ProviderStats]
    total_errors: MaybeCount = Field(description="The same as failed_requests")
    tokens_input: MaybeCount
    tokens_output: MaybeCount
    total_cost: Dollars = Field(description="US dollars")
    avg_health_score: Score = Field(description="The mean of the providers' scores")
    series: list[Point] = Field(description="The same, hour by hour")


class Hourly(Body):
    """What one provider did, hour by hour."""

    provider: str
    hours: int
    data: dict[HourKey, HourOfProvider]


class ModelErrors(Traffic):
    """How often a model failed."""

    providers: list[str] = Field(description="Who was asked last for it")


class ErrorRates(Body, Traffic):
    """Models by the share of their calls that failed, the worst first."""

    hours: int
    total_errors: MaybeCount
    models: dict[str, ModelErrors]


class Anomaly(_Body):
    """A provider's departure from its own baseline, now."""

    type: Kind
    provider: str
    hour: datetime = Field(description="The beginning of the window in which it is seen")
    value: float = Field(description="Dollars, failures per attempt, milliseconds, or attempts, in that window")
    expected: float = Field(description="The same, as the baseline lets expect it")
    severity: Literal["warning", "critical"]


class Anomalies(Body):
    """Where providers depart from their own baseline."""

    window_s: float
    baseline_s: float
    anomalies: list[Anomaly]
    total_count: Count
    critical_count: Count
    warning_count: Count


class Breaker(_Body):
    """The circuit breaker of a provider: the application's own, or what one would be in after the outcomes seen."""

    provider: str
    model: str = Field(description="all: breakers are kept by provider")
    state: State
    failure_count: MaybeCount = Field(description="Attempts that failed in the health window")
    is_available: bool = Field(description="Whether calls are let through")
    last_updated: float = Field(description="Seconds since 1970")


class ProviderAvailability(_Body):
    """How much of the time a provider answered."""

    availability: Ratio = Field(
        description="Of the hours with traffic, those in which half of the attempts were answered"
    )
    success_rate: Ratio
    total_attempts: MaybeCount
    failed_attempts: MaybeCount
    hours_available: MaybeCount
    hours_with_traffic: MaybeCount


class AvailabilityPoint(_Body):
    """One provider in one hour."""

    time: datetime
    provider: str
    availability: Ratio


class Availability(Body):
    """How much of the time each provider answered."""

    days: int
    providers: dict[str, ProviderAvailability]
    series: list[AvailabilityPoint]


class TrendingModel(Traffic, Quantiles):
    """What a model did at a provider."""

    model: str
    provider: str
    gateway: str = Field(description="The same as provider")
    requests: MaybeCount = Field(description="The same as total_requests")
    total_tokens: MaybeCount
    total_cost: Dollars
    cost_per_request: Dollars
    avg_speed: Annotated[float | None, Field(ge=0)] = Field(description="Tokens produced per second of calls")


class Trending(Body):
    """The models that lead."""

    success: Literal[True]
    data: list[TrendingModel]
    count: Count
    gateway: str
    time_range: Range
    sort_by: Sort


class LatencyPoint(_Body):
    """An hour, or the part of it that is in the window."""

    hour: datetime
    count: MaybeCount
    avg_latency_ms: Milliseconds
    p50_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class LatencyTrends(Body, Quantiles):
    """A provider's latency, hour by hour."""

    provider: str
    hours: int
    count: MaybeCount
    overall_avg_latency_ms: Milliseconds
    overall_p95_latency_ms: Milliseconds
    hourly_data: list[LatencyPoint]


class Latency(Body):
    """The latency of a model at a provider, in milliseconds."""

    provider: str
    model: str
    hours: int
    count: MaybeCount
    avg: Milliseconds
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds


class Failure(_Body):
    """A call that failed."""

    model: str
    error: Annotated[str, Field(max_length=500)] = Field(
        description="Class name of the exception, or rate_limited and the like"
    )
    timestamp: float = Field(description="When it ended, seconds since 1970")
    latency_ms: Milliseconds


class ProviderCost(_Body):
    """What a provider cost."""

    total_cost: Dollars
    total_requests: MaybeCount
    cost_per_request: Dollars


class CostPoint(_Body):
    """One provider on one day, or the part of it that is in the window."""

    time: datetime
    provider: str
    total_cost: Dollars


class CostAnalysis(Body):
    """What each provider cost, the dearest first."""

    period_days: int
    start_date: datetime
    end_date: datetime
    providers: dict[str, ProviderCost]
    total_cost: Dollars
    total_requests: MaybeCount
    cost_per_request: Dollars
    series: list[CostPoint]


class TokenCounts(_Body):
    """Tokens, and what they cost."""

    tokens_input: MaybeCount
    tokens_output: MaybeCount
    tokens_total: MaybeCount
    tokens_estimated: MaybeCount = Field(description="Those of the total that the application estimated")
    total_requests: MaybeCount
    total_cost: Dollars
    output_per_input_ratio: Annotated[float | None, Field(ge=0)] = Field(
        description="Tokens produced for each that was given"
    )
    tokens_per_request: Annotated[float | None, Field(ge=0)]
    cost_per_request: Dollars
    cost_per_token: Dollars


class TokenEfficiency(Body, TokenCounts):
    """Tokens given and produced, by model."""

    hours: int
    models: dict[str, TokenCounts]


class Hop(_Body):
    """One step on the way to the far end and back."""

    hop: str
    ok: bool
    took_ms: Milliseconds = Field(description="null for a step that was not reached")
    reason: str | None = Field(
        default=None,
        description="What went wrong: refused, dns, tls, timeout, broken, a status, not_found, lost and the like",
    )
    cure: str | None = None


class FarEnd(_Body):
    """What was observed of a server."""

    status: Literal["ok", "failed", "disabled"]
    timestamp: datetime
    service_name: str
    environment: str
    hops: list[Hop]
    failed_hop: str | None
    reason: str | None
    newest: datetime | None = Field(description="The newest line or trace of this application that it gave back")
    push_url: str | None = Field(description="Only with the administrator's token")
    query_url: str | None = Field(description="Only with the administrator's token")


class TelemetryHealth(_Body):
    """Whether logs and traces arrive."""

    status: Literal["ok", "failed", "disabled"]
    timestamp: datetime
    loki: FarEnd
    tempo: FarEnd


class Proof(_Body):
    """What became of a line or a span that was sent."""

    status: Literal["ok", "failed", "disabled"]
    timestamp: datetime
    message: str
    trace_id: str | None
    span_id: str | None
    duration_ms: Milliseconds = Field(description="From sending to finding it")
    hops: list[Hop]
    failed_hop: str | None
    reason: str | None


class Refusal(BaseModel):
    """Why there is no answer."""

    detail: str
