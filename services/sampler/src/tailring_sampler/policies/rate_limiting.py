"""Policy `rate_limiting`: so many spans a second, out of a bucket of tokens.

The bucket is full at the start and is filled by ``spans_per_second``. A trace costs its
spans; it is kept when the bucket has them, else nothing is taken. A trace that costs
more than the whole bucket is never kept. The arithmetic is that of Go's
``golang.org/x/time/rate`` in 64-bit floating numbers, so that the same traces at the
same times are kept.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["RATE_LIMITING", "RateLimiting", "RateLimitingConfig", "TokenBucket"]

_SECOND_NS: Final = 1_000_000_000


class RateLimitingConfig(ConfigModel):
    """Keeps so many spans a second, and traces whole."""

    spans_per_second: Int = Field(
        default=0,
        description="What is kept in the long run; 0: no more than the burst.",
    )
    burst_capacity: Int = Field(
        default=0,
        description="The most spans at once; 0 and less: twice `spans_per_second`."
        " A trace with more spans is never kept.",
    )


class TokenBucket:
    """Tokens that come by the time; full at the start."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.burst = burst
        self._per_second = float(per_second)
        self._tokens = float(burst)
        self._last_ns: int | None = None

    def take(self, cost: int, now_ns: int) -> bool:
        """Take that many tokens if they are there. Time that runs backwards stands."""
        if cost > self.burst:
            return False
        tokens = self._at(now_ns) - cost
        if tokens < 0 and not self._is_dust(-tokens):
            return False
        self._tokens = tokens
        self._last_ns = now_ns
        return True

    def _at(self, now_ns: int) -> float:
        tokens = self._tokens
        if self._last_ns is not None and self._per_second > 0:
            seconds, rest_ns = divmod(max(0, now_ns - self._last_ns), _SECOND_NS)
            tokens += (seconds + rest_ns / 1e9) * self._per_second
        return min(tokens, float(self.burst))

    def _is_dust(self, missing: float) -> bool:
        # What comes within the running nanosecond is there.
        return self._per_second > 0 and missing / self._per_second * 1e9 < 1


class RateLimiting:
    """Votes while the bucket has tokens."""

    needs: Final = Needs.SUMMARY

    def __init__(self, config: RateLimitingConfig) -> None:
        rate = config.spans_per_second
        burst = config.burst_capacity if config.burst_capacity > 0 else 2 * rate
        self._bucket = TokenBucket(rate, burst)

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep what the bucket pays for."""
        kept = self._bucket.take(trace.summary.span_count, now_ns)
        return SAMPLED if kept else NOT_SAMPLED


RATE_LIMITING = PolicyType("rate_limiting", RateLimitingConfig, RateLimiting)
