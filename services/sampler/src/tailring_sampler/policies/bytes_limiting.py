"""Policy `bytes_limiting`: so many bytes a second, out of a bucket of tokens.

As `rate_limiting`, but a trace costs its size: that of its OTLP TracesData as the
Collector would encode it, whatever form the spans came in.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.rate_limiting import TokenBucket
from tailring_sampler.policies.registry import PolicyType

__all__ = ["BYTES_LIMITING", "BytesLimiting", "BytesLimitingConfig"]


class BytesLimitingConfig(ConfigModel):
    """Keeps so many bytes a second, and traces whole."""

    bytes_per_second: Int = Field(
        default=0, description="What is kept in the long run; 0: the burst, no more."
    )
    burst_capacity: Int = Field(
        default=0,
        description="The most bytes at once; 0 and less: twice `bytes_per_second`."
        " A larger trace is never kept.",
    )


class BytesLimiting:
    """Votes while the bucket has tokens."""

    needs: Final = Needs.SUMMARY
    measures: Final = True

    def __init__(self, config: BytesLimitingConfig) -> None:
        rate = config.bytes_per_second
        burst = config.burst_capacity if config.burst_capacity > 0 else 2 * rate
        self._bucket = TokenBucket(rate, burst)

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep what the bucket pays for."""
        kept = self._bucket.take(trace.summary.data_bytes, now_ns)
        return SAMPLED if kept else NOT_SAMPLED


BYTES_LIMITING = PolicyType("bytes_limiting", BytesLimitingConfig, BytesLimiting)
