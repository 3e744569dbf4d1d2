"""The limits of the release."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailring_pipeline import RetryConfig

__all__ = ["ReleaseSettings"]

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """Limits of the release."""

    # A batch may exceed it by one trace: it bounds work, not a message.
    batch_spans_max: int = 8192
    # Of a request; half of what a gRPC server takes by default. Only a single span
    # may exceed it.
    batch_bytes_max: int = 2 << 20
    # How long the first trace of a batch waits for others.
    linger_s: float = 0.2
    # Many, for a `batch` processor behind us answers only when its batch has gone; what
    # is held is bounded in bytes, and an exporter bounds its own deliveries.
    in_flight_max: int = 1024
    # At least a few batches, or deliveries never overlap.
    held_bytes_max: int = 64 << 20
    retry: RetryConfig = field(
        default_factory=lambda: RetryConfig(
            initial_interval=SECOND_NS // 2,
            max_interval=10 * SECOND_NS,
            max_elapsed_time=0,
        )
    )
