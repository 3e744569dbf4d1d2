"""The policies `and`, `drop` and `not`: what others say, taken together.

* `and` keeps a trace that every sub-policy lets pass: one that says anything but "not
  sampled". They are asked in order and no further than the first that does not, so that
  a limiter behind others spends only on what those let pass.
* `drop` asks like `and`, and drops what passes, whatever other policies say.
* `not` swaps "sampled" and "not sampled"; other votes stay.

What a sub-policy raises is raised: the policy casts no vote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import Field

from tailring_runtime.config import ConfigModel, rule
from tailring_sampler.policies.policy import (
    NOT_SAMPLED,
    SAMPLED,
    Failures,
    Policy,
    Trace,
    Vote,
    failures_of,
    measures,
    threshold_by,
    use_tracestate,
)
from tailring_sampler.policies.registry import PolicyType
from tailring_sampler.policies.sub_policies import Block, most_needed, sub_policies

__all__ = ["AND", "DROP", "NOT", "AllOf", "AndConfig", "DropConfig", "Not", "NotConfig"]

_INVERT_NOT_SAMPLED: Final = Vote.INVERT_NOT_SAMPLED
_AndPart: Any = sub_policies("not")
_NotPart: Any = sub_policies()


class AndConfig(ConfigModel):
    """Keeps a trace that all of these keep."""

    and_sub_policy: tuple[_AndPart, ...] = Field(
        default=(), description="Policies; of those that hold others only `not`."
    )

    def advice(self) -> Iterable[str]:
        """An empty list keeps everything."""
        if not self.and_sub_policy:
            yield "and_sub_policy is empty: every trace is kept"


class DropConfig(ConfigModel):
    """Drops a trace that all of these keep, whatever other policies say."""

    drop_sub_policy: tuple[_AndPart, ...] = Field(
        default=(), description="As in `and`; at least one."
    )

    @rule
    def _some(self) -> Iterator[str]:
        if not self.drop_sub_policy:
            yield "drop_sub_policy must not be empty: every trace would be dropped"


class NotConfig(ConfigModel):
    """Keeps what another policy does not, and the other way round."""

    not_sub_policy: _NotPart = Field(
        default_factory=dict,
        validate_default=True,
        description="The policy; none that holds others.",
    )


class AllOf:
    """Votes `passed` for what every sub-policy lets pass; see the module's rules."""

    def __init__(self, blocks: Iterable[Block], passed: Vote) -> None:
        policies = [block.build() for block in blocks]
        self.needs = most_needed(policies)
        self.measures = any(map(measures, policies))
        self.goes_first = passed is Vote.DROPPED
        self._policies = policies
        self._passed = passed
        # The strictest of the last trace's sub-policies.
        self.threshold = 0

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """Ask one after the other."""
        for policy in self._policies:
            vote = policy.evaluate(trace, now_ns)
            if vote is NOT_SAMPLED or vote is _INVERT_NOT_SAMPLED:
                return NOT_SAMPLED
        self.threshold = max(map(threshold_by, self._policies), default=0)
        return self._passed

    def use_tracestate(self, *, always: bool) -> None:
        """Let the sub-policies do it."""
        use_tracestate(self._policies, always=always)

    def take_failures(self) -> Failures:
        """What failed inside."""
        return failures_of(self._policies)


class Not:
    """Votes against another policy."""

    def __init__(self, policy: Policy) -> None:
        self.needs = most_needed([policy])
        self.measures = measures(policy)
        self._policy = policy

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """The opposite."""
        vote = self._policy.evaluate(trace, now_ns)
        if vote is SAMPLED:
            return NOT_SAMPLED
        return SAMPLED if vote is NOT_SAMPLED else vote

    def use_tracestate(self, *, always: bool) -> None:
        """Let the other policy do it."""
        use_tracestate([self._policy], always=always)

    def take_failures(self) -> Failures:
        """What failed inside."""
        return failures_of([self._policy])


AND = PolicyType(
    "and", AndConfig, lambda config: AllOf(config.and_sub_policy, Vote.SAMPLED)
)
DROP = PolicyType(
    "drop", DropConfig, lambda config: AllOf(config.drop_sub_policy, Vote.DROPPED)
)
NOT = PolicyType("not", NotConfig, lambda config: Not(config.not_sub_policy.build()))
