"""Policy `latency`: a trace is kept by its duration.

The duration is the latest end minus the earliest start of the spans *so far*, tested
after each span in order of arrival, in whole milliseconds truncated toward zero. A
start or end of 0 is unset and is replaced by the next span's.

Without an upper bound the largest duration of any prefix decides, which the summary
carries. With one, a trace is kept as soon as some prefix falls into the window, so the
order of arrival matters, as it does upstream; then the times of all spans are read.
"""

from __future__ import annotations

from tailring_otlpwire import span_times
from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["LATENCY", "Latency", "LatencyConfig", "LatencyWindow"]

_MS_NS = 1_000_000
_INT64_MIN = -(1 << 63)
_INT64_MAX = (1 << 63) - 1


class LatencyConfig(ConfigModel):
    """The ``latency`` block. Both in milliseconds; an upper bound of 0 means none."""

    threshold_ms: Int = 0
    upper_threshold_ms: Int = 0


def milliseconds(duration_ns: int) -> int:
    """Whole milliseconds, truncated toward zero."""
    if duration_ns >= 0:
        return duration_ns // _MS_NS
    return -(-duration_ns // _MS_NS)


def difference_ns(end_ns: int, start_ns: int) -> int:
    """What upstream makes of two unsigned times: signed, saturating at 64 bits."""
    difference = _signed(end_ns) - _signed(start_ns)
    return max(_INT64_MIN, min(difference, _INT64_MAX))


def _signed(time_ns: int) -> int:
    return time_ns - (1 << 64) if time_ns > _INT64_MAX else time_ns


class Latency:
    """Votes for traces that last longer than ``threshold_ms``."""

    needs = Needs.SUMMARY

    def __init__(self, threshold_ms: int) -> None:
        self._threshold_ms = threshold_ms

    def evaluate(self, trace: Trace) -> Vote:
        """Keep when the longest duration of a prefix is above the threshold."""
        if milliseconds(trace.summary.longest_ns) > self._threshold_ms:
            return SAMPLED
        return NOT_SAMPLED


class LatencyWindow:
    """Votes for traces with a prefix in ``(threshold_ms, upper_ms]``."""

    needs = Needs.SPANS

    def __init__(self, threshold_ms: int, upper_ms: int) -> None:
        self._threshold_ms = threshold_ms
        self._upper_ms = upper_ms

    def evaluate(self, trace: Trace) -> Vote:
        """Keep as soon as the duration so far falls into the window."""
        earliest = 0
        latest = 0
        for piece in trace.pieces:
            for start_ns, end_ns in span_times(piece.spans):
                if earliest == 0 or start_ns < earliest:
                    earliest = start_ns
                latest = max(latest, end_ns)
                duration_ms = milliseconds(difference_ns(latest, earliest))
                if self._threshold_ms < duration_ms <= self._upper_ms:
                    return SAMPLED
        return NOT_SAMPLED


def _build(config: LatencyConfig) -> Latency | LatencyWindow:
    if config.upper_threshold_ms == 0:
        return Latency(config.threshold_ms)
    return LatencyWindow(config.threshold_ms, config.upper_threshold_ms)


LATENCY = PolicyType("latency", LatencyConfig, _build)
