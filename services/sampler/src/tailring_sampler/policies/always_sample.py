"""Policy `always_sample`: every trace is kept."""

from __future__ import annotations

from typing import Final

from tailring_runtime.config import ConfigModel
from tailring_sampler.policies.policy import SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["ALWAYS_SAMPLE", "AlwaysSample", "AlwaysSampleConfig"]


class AlwaysSampleConfig(ConfigModel):
    """Keeps every trace; the block may be absent or empty."""


class AlwaysSample:
    """Votes for every trace."""

    needs: Final = Needs.SUMMARY

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep."""
        return SAMPLED

    def why(self, trace_id: bytes, fact: int) -> str:
        """There is nothing to compare."""
        return "keeps every trace"


ALWAYS_SAMPLE = PolicyType(
    "always_sample", AlwaysSampleConfig, lambda _config: AlwaysSample()
)
