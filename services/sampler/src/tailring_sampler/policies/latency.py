"""Policy `latency`: a trace is kept by its duration.

The duration is the latest end minus the earliest start of the spans *so far*, tested
after each span in order of arrival, in whole milliseconds truncated toward zero. A
start or end of 0 is unset and is replaced by the next span's.

Without an upper bound the largest duration of any prefix decides, which the summary
carries. With one, a trace is kept as soon as some prefix falls into the window, so the
order of arrival matters, as it does upstream; then the times of the spans are read, as
far as that one.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from tailring_otlpwire import lasts_within
from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["LATENCY", "Latency", "LatencyConfig", "LatencyWindow"]

_MS_NS = 1_000_000
_INT64_MIN = -(1 << 63)
_INT64_MAX = (1 << 63) - 1


class LatencyConfig(ConfigModel):
    """Keeps a trace that lasts longer than ``threshold_ms``."""

    threshold_ms: Int = Field(
        default=0, description="A trace is kept when it lasts longer."
    )
    upper_threshold_ms: Int = Field(
        default=0, description="And at most so long, after any of its spans; 0: no end."
    )


def milliseconds(duration_ns: int) -> int:
    """Whole milliseconds, truncated toward zero."""
    if duration_ns >= 0:
        return duration_ns // _MS_NS
    return -(-duration_ns // _MS_NS)


def shortest_above(bound_ms: int) -> int:
    """The least duration in ns that is more than ``bound_ms`` whole milliseconds."""
    return (bound_ms + 1) * _MS_NS if bound_ms >= 0 else bound_ms * _MS_NS + 1


class Latency:
    """Votes for traces that last longer than ``threshold_ms``."""

    needs: Final = Needs.SUMMARY

    def __init__(self, threshold_ms: int) -> None:
        self._threshold_ms = threshold_ms

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when the longest duration of a prefix is above the threshold."""
        if milliseconds(trace.summary.longest_ns) > self._threshold_ms:
            return SAMPLED
        return NOT_SAMPLED

    def fact(self, trace: Trace) -> int:
        """The longest duration of a prefix, in ns."""
        longest_ns: int = trace.summary.longest_ns
        return longest_ns

    def why(self, trace_id: bytes, fact: int) -> str:
        """The duration against the threshold."""
        return f"{milliseconds(fact)} ms, kept above {self._threshold_ms} ms"


class LatencyWindow:
    """Votes for traces with a prefix in ``(threshold_ms, upper_ms]``."""

    needs: Final = Needs.SPANS

    def __init__(self, threshold_ms: int, upper_ms: int) -> None:
        self._bounds_ms = (threshold_ms, upper_ms)
        self._least_ns = max(shortest_above(threshold_ms), _INT64_MIN)
        self._most_ns = min(shortest_above(upper_ms) - 1, _INT64_MAX)
        # Beyond what 64 bits can say, which no duration reaches.
        self._empty = self._least_ns > _INT64_MAX or self._most_ns < _INT64_MIN

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep as soon as the duration so far falls into the window."""
        if self._empty:
            return NOT_SAMPLED
        if lasts_within(trace.pieces, self._least_ns, self._most_ns):
            return SAMPLED
        return NOT_SAMPLED

    def fact(self, trace: Trace) -> int:
        """The longest duration of a prefix, in ns; a shorter prefix may decide."""
        longest_ns: int = trace.summary.longest_ns
        return longest_ns

    def why(self, trace_id: bytes, fact: int) -> str:
        """The duration against both thresholds."""
        above_ms, upper_ms = self._bounds_ms
        return (
            f"{milliseconds(fact)} ms at the longest, kept above {above_ms} ms and up"
            f" to {upper_ms} ms after any span"
        )


def _build(config: LatencyConfig) -> Latency | LatencyWindow:
    if config.upper_threshold_ms == 0:
        return Latency(config.threshold_ms)
    return LatencyWindow(config.threshold_ms, config.upper_threshold_ms)


LATENCY = PolicyType("latency", LatencyConfig, _build)
