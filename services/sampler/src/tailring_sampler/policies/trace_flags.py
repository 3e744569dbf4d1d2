"""Policy `trace_flags`: a trace is kept when a span has the W3C flag `sampled`."""

from __future__ import annotations

from typing import Final

from tailring_otlpwire import any_sampled_flag
from tailring_runtime.config import ConfigModel
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["TRACE_FLAGS", "TraceFlags", "TraceFlagsConfig"]


class TraceFlagsConfig(ConfigModel):
    """Keeps a trace with a span whose flags say `sampled`; the block may be absent."""


class TraceFlags:
    """Votes by the lowest bit of the spans' flags."""

    needs: Final = Needs.SPANS

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when any span has the bit."""
        kept = any(any_sampled_flag(piece.spans) for piece in trace.pieces)
        return SAMPLED if kept else NOT_SAMPLED


TRACE_FLAGS = PolicyType("trace_flags", TraceFlagsConfig, lambda _config: TraceFlags())
