"""What the sampler's numbers say, carried from the cores into the metrics."""

from __future__ import annotations

from tailring_runtime.metrics import Metrics
from tailring_sampler.decisions import DecisionMemory
from tailring_sampler.doors import Decision
from tailring_sampler.judge import Judge
from tailring_sampler.sampler import Sampler
from tailring_sampler.telemetry import SamplerTelemetry
from tailring_sampler.tracebuffer import TraceBuffer
from tailring_testkit import otlp

UPSTREAM = "otelcol_processor_tail_sampling_"
OWN = "tailring_sampler_"
RESOURCE = {"service.name": "checkout"}


class Rig:
    """A sampler with decision caches and no policies, and its metrics."""

    def __init__(self) -> None:
        buffer = TraceBuffer(traces_max=99, wait_ns=1, from_last=False)
        memory = DecisionMemory(sampled_max=9, not_sampled_max=9)
        self.sampler = Sampler(buffer, Judge([]), memory)
        self.metrics = Metrics()
        self.telemetry = SamplerTelemetry(
            self.metrics, self.sampler, processor="tail_sampling"
        )

    def value(self, name: str, **labels: str) -> float:
        """A metric after the next tick."""
        self.telemetry.tick(0)
        return self.metrics.value(name, **labels)


def request(number: int) -> bytes:
    """One span of the trace of that number."""
    return otlp.request(otlp.span(number.to_bytes(16, "big"), bytes(8)))


def test_late_spans_of_dropped_traces_are_early_releases_too() -> None:
    """A decision cache's answer 'dropped' counts as not sampled, as upstream's does."""
    rig = Rig()
    for number, decision in enumerate(
        (Decision.SAMPLED, Decision.NOT_SAMPLED, Decision.DROPPED, Decision.DROPPED)
    ):
        rig.sampler.learn(number.to_bytes(16, "big"), decision, now_ns=0)
        rig.sampler.ingest(request(number), 1)
    released = UPSTREAM + "early_releases_from_cache_decision"
    assert rig.value(released, sampled="true") == 1
    assert rig.value(released, sampled="false") == 3


def test_headers_that_traces_share_are_measured() -> None:
    """The gauge shows the bytes of distinct headers, however many traces have them."""
    rig = Rig()
    span = otlp.span((1).to_bytes(16, "big"), bytes(8))
    rig.sampler.ingest(otlp.request(span, resource=RESOURCE), 0)
    once = rig.value(OWN + "headers_held_bytes", processor="tail_sampling")
    assert once > len("service.namecheckout")
    other = otlp.span((2).to_bytes(16, "big"), bytes(8))
    rig.sampler.ingest(otlp.request(other, resource=RESOURCE), 0)
    assert rig.value(OWN + "headers_held_bytes") == once


def test_ages_of_a_million_traces_are_carried_at_once() -> None:
    """Ages are carried by how often they were met, not one by one."""
    rig = Rig()
    rig.sampler.removal_ages_s[7] = 10**12
    assert rig.value(UPSTREAM + "sampling_trace_removal_age") == 10**12
    assert rig.sampler.removal_ages_s == {}


def test_the_lag_counts_from_the_deadline() -> None:
    """A decision half a second after the end of the wait is a lag of that."""
    rig = Rig()
    rig.sampler.ingest(request(1), 0)
    rig.sampler.judge_due(500_000_001, traces_max=9)
    assert rig.sampler.lags_ms == {500: 1}
    assert rig.value(OWN + "decision_lag", processor="tail_sampling") == 1
    assert rig.sampler.lags_ms == {}
