"""One backend as an operator sees it: a snapshot, made when somebody looks.

Counts and latencies are since the backend was added (its latency: also what other
connections of the same exporter to that address saw); for those of a while ago and of
now there are the metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailring_router.forwarder import Forwarder
from tailring_router.metrics import BackendMetrics
from tailring_runtime.metrics import Histogram

__all__ = ["BackendState", "quantile_ms", "state_of"]


@dataclass(frozen=True, slots=True)
class BackendState:
    """What the router knows of one backend now; see the fields' names for units."""

    address: str
    ring_names: Sequence[str]
    ring_share: float
    state: str
    queue_size: int
    queue_capacity: int
    requests_in_flight: int
    items_held: int
    items_sent: int
    items_send_failed: int
    items_enqueue_failed: int
    latency_p50_ms_since_start: float
    latency_p99_ms_since_start: float
    last_failure: str
    last_failure_age_s: float | None


def state_of(
    forwarder: Forwarder,
    metrics: BackendMetrics,
    *,
    ring_names: Sequence[str],
    ring_share: float,
    now_s: float,
) -> BackendState:
    """The snapshot of one backend; ``now_s`` is the event loop's time."""
    failed = forwarder.last_failure
    counted = metrics.exporter
    return BackendState(
        address=forwarder.address,
        ring_names=ring_names,
        ring_share=ring_share,
        state=forwarder.state,
        queue_size=forwarder.queue_size,
        queue_capacity=forwarder.queue_capacity,
        requests_in_flight=forwarder.sends,
        items_held=forwarder.held_items,
        items_sent=counted.sent.value,
        items_send_failed=counted.send_failed.value,
        items_enqueue_failed=counted.enqueue_failed.value,
        latency_p50_ms_since_start=quantile_ms(metrics.latency, 0.5),
        latency_p99_ms_since_start=quantile_ms(metrics.latency, 0.99),
        last_failure=f"{failed[0].reason}: {failed[0].detail}" if failed else "",
        last_failure_age_s=now_s - failed[1] if failed else None,
    )


def quantile_ms(latency: Histogram, share: float) -> float:
    """The bound of the bucket in which that share of the answers had come; the last
    finite bound when it was later than that, 0 without answers."""
    wanted = share * latency.count
    seen = 0
    for bound, count in zip(latency.bounds, latency.counts, strict=False):
        seen += count
        if seen >= wanted:
            return bound if latency.count else 0.0
    return latency.bounds[-1]
