"""Policy `composite`: several policies that share a number of spans a second.

Sub-policies are asked in order. The first that keeps a trace owns it: the trace is kept
if the spans that this sub-policy kept in the running second stay, with it, within its
own allocation and within the total; else it is not, and nobody else is asked. A trace
that does not fit is not charged, so that a smaller one may. The total is no total: it
bounds each sub-policy alone, as upstream.

An allocation is a percentage of the total; without one, or with 0, a sub-policy has an
equal share. Seconds are those of the clock that is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import Field

from tailring_runtime.config import ConfigModel, Int, Text, TextList
from tailring_sampler.policies.policy import (
    NOT_SAMPLED,
    SAMPLED,
    Failures,
    Policy,
    Trace,
    Vote,
    failures_of,
    measures,
    use_tracestate,
)
from tailring_sampler.policies.registry import PolicyType
from tailring_sampler.policies.sub_policies import most_needed, sub_policies

__all__ = ["COMPOSITE", "Composite", "CompositeConfig", "RateAllocationConfig"]

_SECOND_NS: Final = 1_000_000_000
_INVERT_SAMPLED: Final = Vote.INVERT_SAMPLED
_SubPolicy: Any = sub_policies("and")


class RateAllocationConfig(ConfigModel):
    """The share of one sub-policy."""

    policy: Text = Field(default="", description="Name of the sub-policy.")
    percent: Int = Field(
        default=0, description="Of the total; 0 and less: an equal share."
    )


class CompositeConfig(ConfigModel):
    """Keeps a bounded number of spans a second, shared by several policies."""

    max_total_spans_per_second: Int = Field(
        default=0, description="The most spans a second of each sub-policy."
    )
    policy_order: TextList = Field(
        default=(),
        description="Not used, as upstream: the order is that of the sub-policies.",
    )
    composite_sub_policy: tuple[_SubPolicy, ...] = Field(
        default=(), description="Policies; of those that hold others only `and`."
    )
    rate_allocation: tuple[RateAllocationConfig, ...] = Field(
        default=(), description="Shares by name; of two with one name the last counts."
    )

    def allocations(self) -> list[int]:
        """Spans a second of each sub-policy, in their order."""
        total = float(self.max_total_spans_per_second)
        percents = {one.policy: one.percent for one in self.rate_allocation}
        # By name: two sub-policies of one name have one allocation.
        return [
            int(percents[block.name] / 100 * total)
            if percents.get(block.name, 0) > 0
            else int(total / len(self.composite_sub_policy))
            for block in self.composite_sub_policy
        ]

    def advice(self) -> Iterable[str]:
        """What is written and has no effect."""
        names = {block.name for block in self.composite_sub_policy}
        if not names:
            yield "composite_sub_policy is empty: no trace is kept"
        for one in self.rate_allocation:
            if one.policy not in names:
                yield f"rate_allocation: there is no sub-policy {one.policy!r}"


class _Part:
    """A sub-policy and what it has kept in the running second."""

    def __init__(self, name: str, policy: Policy, spans_max: int) -> None:
        self.name = name
        self.policy = policy
        self.spans_max = spans_max
        self.spans = 0


class Composite:
    """Votes by the first sub-policy that keeps the trace, and by its budget."""

    def __init__(self, config: CompositeConfig) -> None:
        allocations = config.allocations()
        self._parts = [
            _Part(block.name, block.build(), allocations[at])
            for at, block in enumerate(config.composite_sub_policy)
        ]
        self.needs = most_needed([part.policy for part in self._parts])
        self.measures = any(measures(part.policy) for part in self._parts)
        self._total = config.max_total_spans_per_second
        self._second = 0
        # The sub-policy that the last trace was kept by.
        self.chosen = ""

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Ask in order; see the module's rules."""
        second = now_ns // _SECOND_NS
        if second != self._second:
            self._second = second
            for part in self._parts:
                part.spans = 0
        for part in self._parts:
            vote = part.policy.evaluate(trace, now_ns)
            if vote is SAMPLED or vote is _INVERT_SAMPLED:
                return self._charge(part, trace.summary.span_count)
        return NOT_SAMPLED

    def take_failures(self) -> Failures:
        """What failed inside."""
        return failures_of(part.policy for part in self._parts)

    def use_tracestate(self, *, always: bool) -> None:
        """Let the sub-policies do it."""
        use_tracestate([part.policy for part in self._parts], always=always)

    def _charge(self, part: _Part, spans: int) -> Vote:
        together = part.spans + spans
        if together > part.spans_max or together > self._total:
            return NOT_SAMPLED
        part.spans = together
        self.chosen = part.name
        return SAMPLED


COMPOSITE = PolicyType("composite", CompositeConfig, Composite)
