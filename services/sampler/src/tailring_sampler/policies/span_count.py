"""Policy `span_count`: a trace is kept by its number of spans, bounds included."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from tailring_runtime.config import ConfigModel, Int
from tailring_sampler.policies.policy import NOT_SAMPLED, SAMPLED, Needs, Trace, Vote
from tailring_sampler.policies.registry import PolicyType

__all__ = ["SPAN_COUNT", "SpanCount", "SpanCountConfig"]

_Int32 = Annotated[Int, Field(ge=-(1 << 31), le=(1 << 31) - 1)]


class SpanCountConfig(ConfigModel):
    """Keeps a trace with so many spans."""

    min_spans: _Int32 = Field(default=0, description="The fewest spans.")
    max_spans: _Int32 = Field(
        default=0, description="The most spans; 0: no bound, negative: none fits."
    )


class SpanCount:
    """Votes by the number of spans that have arrived."""

    needs: Final = Needs.SUMMARY

    def __init__(self, config: SpanCountConfig) -> None:
        self._least = config.min_spans
        self._most = config.max_spans

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Keep when the number lies within the bounds."""
        spans = trace.summary.span_count
        kept = spans >= self._least and (self._most == 0 or spans <= self._most)
        return SAMPLED if kept else NOT_SAMPLED

    def fact(self, trace: Trace) -> int:
        """The number of spans."""
        spans: int = trace.summary.span_count
        return spans

    def why(self, trace_id: bytes, fact: int) -> str:
        """The number against the bounds."""
        end = f" to {self._most}" if self._most else " on"
        return f"{fact} spans, kept from {self._least}{end}"


SPAN_COUNT = PolicyType("span_count", SpanCountConfig, SpanCount)
