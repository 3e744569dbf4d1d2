"""The sampler's metrics: upstream's names and labels, and own ones beside them.

The cores count in plain integers. Once a tick the processor lets `SamplerTelemetry`
carry over what was added since, so that nothing is looked up on the hot path and each
series exists from the first tick.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tailring_runtime.metrics import Counter, Gauge, Histogram, Metrics, MetricSpec
from tailring_sampler.doors import JUDGED, Decision, Door
from tailring_sampler.judge import PolicyTally
from tailring_sampler.sampler import Sampler

__all__ = ["SPECS", "SamplerTelemetry"]

_UPSTREAM = "otelcol_processor_tail_sampling_"
_OWN = "tailring_sampler_"

VOTES = MetricSpec(
    _UPSTREAM + "count_traces_sampled",
    "counter",
    "Votes of each policy on whole traces; errors and skipped policies do not count.",
    unit="{traces}",
    labels=("policy", "sampled", "decision"),
)
VOTES_IN_SPANS = MetricSpec(
    _UPSTREAM + "count_spans_sampled",
    "counter",
    "Votes of each policy in spans; only with the gate metricstatcountspanssampled.",
    unit="{spans}",
    labels=("policy", "sampled", "decision"),
)
DECISIONS = MetricSpec(
    _UPSTREAM + "global_count_traces_sampled",
    "counter",
    "Final decisions on traces; late spans do not count.",
    unit="{traces}",
    labels=("sampled", "decision"),
)
CACHE_ANSWERS = MetricSpec(
    _UPSTREAM + "early_releases_from_cache_decision",
    "counter",
    "Late spans that a decision cache answered for.",
    unit="{spans}",
    labels=("sampled",),
)
NEW_TRACES = MetricSpec(
    _UPSTREAM + "new_trace_id_received",
    "counter",
    "Traces that began: first span of an id that is neither held nor remembered.",
    unit="{traces}",
)
TICK_DURATION = MetricSpec(
    _UPSTREAM + "sampling_decision_timer_latency",
    "histogram",
    "Time that the decisions of one tick took; above 100 ms decisions fall behind.",
    unit="ms",
    buckets=(
        1, 2, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000,
        4000, 5000, 10000, 20000, 30000, 50000,
    ),
)  # fmt: skip
LATE_AGE = MetricSpec(
    _UPSTREAM + "sampling_late_span_age",
    "histogram",
    "From the decision to the arrival of late spans; large: raise decision_wait.",
    unit="s",
)
REMOVAL_AGE = MetricSpec(
    _UPSTREAM + "sampling_trace_removal_age",
    "histogram",
    "From the first span to leaving the live map; short: raise num_traces.",
    unit="s",
)
EVALUATION_ERRORS = MetricSpec(
    _UPSTREAM + "sampling_policy_evaluation_error",
    "counter",
    "Policies that failed on a trace and were passed over.",
    unit="{errors}",
)
EXECUTIONS = MetricSpec(
    _UPSTREAM + "sampling_policy_execution_count",
    "counter",
    "Traces that each policy was asked about.",
    unit="{executions}",
    labels=("policy",),
)
EXECUTION_TIME = MetricSpec(
    _UPSTREAM + "sampling_policy_execution_time_sum",
    "counter",
    "Time spent in each policy.",
    unit="us",
    labels=("policy",),
)
DROPPED_TOO_EARLY = MetricSpec(
    _UPSTREAM + "sampling_trace_dropped_too_early",
    "counter",
    "Traces pushed out undecided, by num_traces (any growth: raise it) or, with"
    " memory.eviction: drop, by memory.max_bytes.",
    unit="{traces}",
)
UNPARSEABLE = MetricSpec(
    _UPSTREAM + "count_spans_with_unparseable_tracestate",
    "counter",
    "Spans that got no threshold because their tracestate cannot be read.",
    unit="{spans}",
)
LIVE_TRACES = MetricSpec(
    _UPSTREAM + "sampling_traces_on_memory",
    "gauge",
    "Trace ids in the live map, decided ones included: it climbs to num_traces.",
    unit="{traces}",
)

SPANS_RECEIVED = MetricSpec(
    _OWN + "spans_received",
    "counter",
    "Spans taken in; equal to spans held and spans left by each door.",
    unit="{spans}",
    labels=("processor",),
)
SPANS_LEFT = MetricSpec(
    _OWN + "spans_left",
    "counter",
    "Spans that left the trace buffer, by door and decision.",
    unit="{spans}",
    labels=("processor", "door", "decision"),
)
TRACES_LEFT = MetricSpec(
    _OWN + "traces_left",
    "counter",
    "Traces that left the trace buffer, by door and decision.",
    unit="{traces}",
    labels=("processor", "door", "decision"),
)
SPANS_HELD = MetricSpec(
    _OWN + "spans_held",
    "gauge",
    "Spans of pending traces.",
    unit="{spans}",
    labels=("processor",),
)
TRACES_PENDING = MetricSpec(
    _OWN + "traces_pending",
    "gauge",
    "Traces that wait for their decision.",
    unit="{traces}",
    labels=("processor",),
)
BYTES_HELD = MetricSpec(
    _OWN + "held_bytes",
    "gauge",
    "Encoded bytes of pending traces; a header that traces share counts once.",
    unit="By",
    labels=("processor",),
)
HEADERS_HELD = MetricSpec(
    _OWN + "headers_held_bytes",
    "gauge",
    "Resource and scope headers that are kept to be shared by traces.",
    unit="By",
    labels=("processor",),
)
DECISION_LAG = MetricSpec(
    _OWN + "decision_lag",
    "histogram",
    "From the end of a trace's wait to its decision; 200 ms are usual, more: the"
    " sampler falls behind, or the release is full.",
    unit="s",
    labels=("processor",),
    buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
MEMORY_USED = MetricSpec(
    _OWN + "memory_used_bytes",
    "gauge",
    "Memory of pending traces, decisions and headers, with what keeping them costs.",
    unit="By",
    labels=("processor",),
)
MEMORY_BUDGET = MetricSpec(
    _OWN + "memory_budget_bytes",
    "gauge",
    "What memory_used_bytes may reach before the heaviest traces have to go.",
    unit="By",
    labels=("processor",),
)

SPECS = (
    VOTES, VOTES_IN_SPANS, DECISIONS, CACHE_ANSWERS, NEW_TRACES, TICK_DURATION,
    LATE_AGE, REMOVAL_AGE, UNPARSEABLE,
    EVALUATION_ERRORS, EXECUTIONS, EXECUTION_TIME, DROPPED_TOO_EARLY, LIVE_TRACES,
    SPANS_RECEIVED, SPANS_LEFT, TRACES_LEFT, SPANS_HELD, TRACES_PENDING, BYTES_HELD,
    HEADERS_HELD, MEMORY_USED, MEMORY_BUDGET, DECISION_LAG,
)  # fmt: skip

_DECISIONS = (Decision.SAMPLED, Decision.NOT_SAMPLED, Decision.DROPPED)


class _Carried:
    """A counter or gauge that moves as an integer does; several may share it."""

    def __init__(self, series: Counter | Gauge, read: Callable[[], int]) -> None:
        self._series = series
        self._read = read
        self._last = 0

    def carry(self) -> None:
        """Add what the integer grew by, or fell."""
        value = self._read()
        self._series.add(value - self._last)
        self._last = value


class SamplerTelemetry:
    """Carries the numbers of one `Sampler` into the metrics of the process.

    ``processor`` is the component's id. Upstream's series have no such label. Samplers
    that share a series, as one component in two pipelines does, add up in it.
    """

    def __init__(self, metrics: Metrics, sampler: Sampler, *, processor: str) -> None:
        self._metrics = metrics
        self._sampler = sampler
        self._processor = processor
        self._tick_duration = metrics.histogram(TICK_DURATION)
        self._late_age = metrics.histogram(LATE_AGE)
        self._removal_age = metrics.histogram(REMOVAL_AGE)
        self._lag = metrics.histogram(DECISION_LAG, processor=processor)
        self._carried: list[_Carried] = []
        self._follow_sampler()
        for tally in sampler.judge.tallies:
            self._follow_policy(tally)
        self._follow_doors()
        self._follow_holdings()

    def tick(self, duration_ns: int) -> None:
        """Carry over what happened since the last tick, whose work took so long."""
        self._tick_duration.observe(duration_ns / 1e6)
        for carried in self._carried:
            carried.carry()
        _observe(self._late_age, self._sampler.late_ages_s)
        _observe(self._removal_age, self._sampler.removal_ages_s)
        _observe(self._lag, self._sampler.lags_ms, per_unit=1000)

    def _follow(self, spec: MetricSpec, read: Callable[[], int], **labels: str) -> None:
        self._carried.append(_Carried(self._metrics.counter(spec, **labels), read))

    def _follow_sampler(self) -> None:
        sampler = self._sampler
        for decision in _DECISIONS:
            self._follow(
                DECISIONS,
                partial(sampler.decisions.__getitem__, decision),
                sampled=_sampled(decision),
                decision=decision.value,
            )
        for decision in _DECISIONS:
            # Upstream has one label: what is dropped adds to what is not sampled.
            self._follow(
                CACHE_ANSWERS,
                partial(sampler.cache_answers.__getitem__, decision),
                sampled=_sampled(decision),
            )
        self._follow(NEW_TRACES, lambda: sampler.buffer.traces_received)
        self._follow(DROPPED_TOO_EARLY, lambda: _evicted(sampler))
        thresholds = sampler.thresholds
        if thresholds is not None:
            self._follow(UNPARSEABLE, lambda: thresholds.unparseable_spans)
        self._follow(EVALUATION_ERRORS, lambda: _errors(sampler))

    def _follow_policy(self, tally: PolicyTally) -> None:
        traces: tuple[Callable[[], int], ...] = (
            lambda: tally.sampled,
            lambda: tally.not_sampled,
            lambda: tally.dropped,
        )
        self._follow_votes(VOTES, tally.name, traces)
        if self._sampler.judge.counts_spans:
            self._follow_spans(tally)
        self._follow(EXECUTIONS, lambda: tally.executions, policy=tally.name)
        self._follow(EXECUTION_TIME, lambda: tally.time_ns // 1000, policy=tally.name)

    def _follow_spans(self, tally: PolicyTally) -> None:
        spans: tuple[Callable[[], int], ...] = (
            lambda: tally.spans_sampled,
            lambda: tally.spans_not_sampled,
            lambda: tally.spans_dropped,
        )
        self._follow_votes(VOTES_IN_SPANS, tally.name, spans)

    def _follow_votes(
        self, spec: MetricSpec, policy: str, counts: tuple[Callable[[], int], ...]
    ) -> None:
        for decision, read in zip(_DECISIONS, counts, strict=True):
            self._follow(
                spec,
                read,
                policy=policy,
                sampled=_sampled(decision),
                decision=decision.value,
            )

    def _follow_doors(self) -> None:
        buffer = self._sampler.buffer
        processor = self._processor
        self._follow(SPANS_RECEIVED, lambda: buffer.spans_received, processor=processor)
        for door in Door:
            for decision in Decision:
                if not _possible(door, decision):
                    continue
                key = (door, decision)
                labels = {"door": door.value, "decision": decision.value}
                labels["processor"] = processor
                self._follow(SPANS_LEFT, partial(_at, buffer.spans_left, key), **labels)
                traces_left = partial(_at, buffer.traces_left, key)
                self._follow(TRACES_LEFT, traces_left, **labels)

    def _follow_holdings(self) -> None:
        sampler = self._sampler
        buffer, headers = sampler.buffer, sampler.headers
        holdings: tuple[tuple[MetricSpec, Callable[[], int]], ...] = (
            (SPANS_HELD, lambda: buffer.spans_held),
            (TRACES_PENDING, lambda: buffer.traces_pending),
            (BYTES_HELD, lambda: buffer.bytes_held),
            (HEADERS_HELD, lambda: headers.size_bytes),
            (MEMORY_USED, lambda: sampler.memory_bytes),
            (MEMORY_BUDGET, lambda: sampler.budget.max_bytes),
        )
        for spec, read in holdings:
            gauge = self._metrics.gauge(spec, processor=self._processor)
            self._carried.append(_Carried(gauge, read))
        live = self._metrics.gauge(LIVE_TRACES)
        self._carried.append(_Carried(live, lambda: buffer.traces_live))


def _at(counts: dict[tuple[Door, Decision], int], key: tuple[Door, Decision]) -> int:
    return counts.get(key, 0)


def _possible(door: Door, decision: Decision) -> bool:
    judged = door in JUDGED or door is Door.LATE
    return judged == (decision is not Decision.PENDING)


def _sampled(decision: Decision) -> str:
    return "true" if decision is Decision.SAMPLED else "false"


def _evicted(sampler: Sampler) -> int:
    left = sampler.buffer.traces_left
    doors = (Door.EVICTED, Door.EVICTED_PRESSURE)
    return sum(left.get((door, Decision.PENDING), 0) for door in doors)


def _errors(sampler: Sampler) -> int:
    return sum(tally.errors for tally in sampler.judge.tallies)


def _observe(histogram: Histogram, ages: dict[int, int], *, per_unit: int = 1) -> None:
    for age, times in ages.items():
        histogram.observe(age / per_unit, times)
    ages.clear()
