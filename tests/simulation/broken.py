"""A scenario in which nothing goes wrong by itself.

What fails in it was broken on purpose: so tests can tell that the verdict sees it.
"""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.scenario import Events, Faults, Scenario, calmed, draw

__all__ = ["unbroken"]


def unbroken() -> Scenario:
    """Two routers before three samplers, and traces in many requests over seconds."""
    scenario = calmed(draw(0))
    traffic = replace(
        scenario.traffic,
        clients=4,
        traces=20,
        spans_per_trace_max=8,
        spans_per_request_max=8,
        spread_s=2.0,
        attempts_max=20,
        error_share=1.0,
        poison_router=0.0,
        poison_backend=0.0,
    )
    router = replace(
        scenario.router,
        batch=False,
        acknowledges_early=False,
        level1_queue=0,
        queue_max=1000,
        sends_max=10,
        request_bytes_max=2 << 20,
        retry_interval_s=0.05,
    )
    sampler = replace(
        scenario.sampler,
        samplers=3,
        backends=1,
        decision_wait_s=10.0,
        from_last=False,
        num_traces=1000,
        decision_cache=0,
        drop_pending=False,
        kept_percent=0.0,
        held_bytes_max=64 << 20,
        batch_spans_max=8192,
        exporter="queue",
    )
    return replace(
        scenario,
        orderly=False,
        traffic=traffic,
        router=router,
        sampler=sampler,
        to_sampler=Faults(),
        to_backend=Faults(),
        events=Events(),
    )
