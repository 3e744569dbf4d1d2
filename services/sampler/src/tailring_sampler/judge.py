"""From the votes of the policies to the decision on a trace.

Rules, the first that holds decides:

1. any `DROPPED` -> dropped, and the policies after it are not asked;
2. any `INVERT_NOT_SAMPLED` -> not sampled;
3. any `SAMPLED` -> sampled;
4. any `INVERT_SAMPLED` and no `NOT_SAMPLED` -> sampled;
5. else, also without policies or with errors only -> not sampled.

Policies with ``goes_first``, the `drop` ones, are asked before all others.

A policy that raises, or returns anything but a `Vote`, is counted and passed over. All
policies are asked although one has voted already, because a limiter spends its budget
also on traces that others keep; ``sample_on_first_match`` ends it at the first
`SAMPLED`. The policy that is recorded is the first that voted `SAMPLED` (or `DROPPED`),
in the order of the configuration.

How it works: a policy is asked about all traces of a slice before the next one is, so
that its time is measured twice a slice and not twice a trace. The order of policies for
one trace is the same all the same.

What it does not know: where traces come from and what a decision leads to. The
stopwatch measures only; no decision depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tailring_sampler.doors import Decision
from tailring_sampler.policies.policy import (
    Policy,
    Trace,
    Vote,
    failures_of,
    measures,
    threshold_by,
)
from tailring_sampler.tracestate import NEVER

__all__ = ["VOTES", "Judge", "NamedPolicy", "PolicyTally", "Verdict", "combine"]

# Bits of the votes on one trace.
_SAMPLED_BIT: Final = 1
_NOT_SAMPLED_BIT: Final = 2
_DROPPED_BIT: Final = 4
_INVERT_SAMPLED_BIT: Final = 8
_INVERT_NOT_SAMPLED_BIT: Final = 16

# In `Verdict.votes` only: the policy raised.
ERROR_BIT: Final = 32

_SAMPLED: Final = Vote.SAMPLED
_NOT_SAMPLED: Final = Vote.NOT_SAMPLED
_DROPPED: Final = Vote.DROPPED
_INVERT_SAMPLED: Final = Vote.INVERT_SAMPLED
_INVERT_NOT_SAMPLED: Final = Vote.INVERT_NOT_SAMPLED


# What the bytes of `Verdict.votes` say.
VOTES: Final = {
    0: "not asked",
    _SAMPLED_BIT: _SAMPLED.value,
    _NOT_SAMPLED_BIT: _NOT_SAMPLED.value,
    _DROPPED_BIT: _DROPPED.value,
    _INVERT_SAMPLED_BIT: _INVERT_SAMPLED.value,
    _INVERT_NOT_SAMPLED_BIT: _INVERT_NOT_SAMPLED.value,
    ERROR_BIT: "error",
}


class NamedPolicy:
    """A policy under the name that metrics show.

    ``label_prefix`` is what that name begins with besides the configured one.
    """

    def __init__(self, name: str, policy: Policy, *, label_prefix: str = "") -> None:
        self.name = label_prefix + name
        self.configured_name = name
        self.policy = policy


class Verdict:
    """The decision on a trace and the policy that is recorded for it, if any.

    ``votes`` has one byte for each policy, in the order of the configuration: `VOTES`
    names them, 0 is a policy that was not asked. ``name`` is the recorded policy's in
    the configuration, ``sub_policy`` that of the last `composite` which voted for the
    trace; "" when there is none.
    """

    def __init__(
        self, decision: Decision, policy: str | None = None, votes: bytes = b""
    ) -> None:
        self.decision = decision
        self.policy = policy
        self.votes = votes
        self.name = ""
        self.sub_policy = ""
        # The least threshold of the policies that voted for the trace.
        self.threshold: int = NEVER


class PolicyTally:
    """Running counts of one policy, plain integers that only grow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.executions: int = 0
        self.time_ns: int = 0
        self.errors: int = 0
        # What it raised last, until someone takes it to log it.
        self.error: Exception | None = None
        self.sampled: int = 0
        self.not_sampled: int = 0
        self.dropped: int = 0
        # The same votes in spans, if the judge counts them.
        self.spans_sampled: int = 0
        self.spans_not_sampled: int = 0
        self.spans_dropped: int = 0


def combine(votes: Iterable[Vote]) -> Decision:
    """The decision that follows from the votes on one trace; errors cast none."""
    mask = 0
    for vote in votes:
        mask |= _bit_of(vote)
    return _decision_of(mask)


def _bit_of(vote: object) -> int:
    """The bit of a vote; a plug-in may return anything, which raises TypeError."""
    if vote is _NOT_SAMPLED:
        return _NOT_SAMPLED_BIT
    if vote is _SAMPLED:
        return _SAMPLED_BIT
    if vote is _DROPPED:
        return _DROPPED_BIT
    if vote is _INVERT_SAMPLED:
        return _INVERT_SAMPLED_BIT
    if vote is _INVERT_NOT_SAMPLED:
        return _INVERT_NOT_SAMPLED_BIT
    raise TypeError(f"a policy returns a Vote, not {type(vote).__name__}")


def _decision_of(mask: int) -> Decision:
    if mask & _DROPPED_BIT:
        return Decision.DROPPED
    if mask & _INVERT_NOT_SAMPLED_BIT:
        return Decision.NOT_SAMPLED
    if mask & _SAMPLED_BIT:
        return Decision.SAMPLED
    if mask & _INVERT_SAMPLED_BIT and not mask & _NOT_SAMPLED_BIT:
        return Decision.SAMPLED
    return Decision.NOT_SAMPLED


def _no_stopwatch() -> int:
    return 0


class _Slice:
    """The traces of one call and what the policies said of each so far."""

    def __init__(self, traces: Sequence[Trace], now_ns: int, policies: int) -> None:
        self.traces: Sequence[Trace] = traces
        self.now_ns: int = now_ns
        # One bit for each kind of vote that was cast on the trace.
        self.masks: list[int] = [0] * len(traces)
        self.recorded: list[NamedPolicy | None] = [None] * len(traces)
        self.sub_policies: list[str] = [""] * len(traces)
        self.thresholds: list[int] = [NEVER] * len(traces)
        # One byte a policy, in the order of the configuration.
        self.votes: list[bytearray] = [bytearray(policies) for _ in traces]

    def verdicts(self) -> list[Verdict]:
        """What follows from the votes, trace by trace."""
        return [self._verdict(at) for at in range(len(self.masks))]

    def _verdict(self, at: int) -> Verdict:
        recorded = self.recorded[at]
        decision = _decision_of(self.masks[at])
        policy = None if recorded is None else recorded.name
        verdict = Verdict(decision, policy, bytes(self.votes[at]))
        if recorded is not None:
            verdict.name = recorded.configured_name
        verdict.sub_policy = self.sub_policies[at]
        verdict.threshold = self.thresholds[at]
        return verdict


class Judge:
    """Asks the policies about traces; see the module's rules."""

    def __init__(
        self,
        policies: Sequence[NamedPolicy],
        *,
        first_match: bool = False,
        counts_spans: bool = False,
        stopwatch_ns: Callable[[], int] = _no_stopwatch,
    ) -> None:
        self._policies: list[NamedPolicy] = list(policies)
        # Whether a policy asks for sizes, which cost.
        self.measures: bool = any(measures(one.policy) for one in policies)
        places = range(len(self._policies))
        self._order: list[int] = sorted(places, key=self._goes_later)
        self._stop_mask: int = _DROPPED_BIT | (_SAMPLED_BIT if first_match else 0)
        self._stopwatch_ns = stopwatch_ns
        # Whether the tallies count votes in spans as well.
        self.counts_spans = counts_spans
        # Whether verdicts tell thresholds; the sampler that writes them switches it on.
        self.tells_thresholds: bool = False
        # In the order of the configuration.
        self.tallies: list[PolicyTally] = [PolicyTally(one.name) for one in policies]

    def take_failures(self) -> list[tuple[str, int, str]]:
        """What failed inside policies that voted all the same, to be logged: the name
        of each, how often since the last call, and the newest text."""
        taken = []
        for named in self._policies:
            count, newest = failures_of([named.policy])
            if count:
                taken.append((named.name, count, newest))
        return taken

    def judge(self, traces: Sequence[Trace], now_ns: int) -> list[Verdict]:
        """The verdict on each trace, in the order of ``traces``.

        ``now_ns`` is what policies count time by; it never runs backwards.
        """
        asked = _Slice(traces, now_ns, len(self._policies))
        for place in self._order:
            started_ns = self._stopwatch_ns()
            self._ask(place, asked)
            self.tallies[place].time_ns += self._stopwatch_ns() - started_ns
        return asked.verdicts()

    def _goes_later(self, place: int) -> bool:
        return not getattr(self._policies[place].policy, "goes_first", False)

    def _ask(self, place: int, asked: _Slice) -> None:
        named = self._policies[place]
        tally = self.tallies[place]
        evaluate = named.policy.evaluate
        chooses = hasattr(named.policy, "chosen")
        for at, trace in enumerate(asked.traces):
            mask = asked.masks[at]
            if mask & self._stop_mask:
                continue
            tally.executions += 1
            try:
                bit = _bit_of(evaluate(trace, asked.now_ns))
            except Exception as error:  # noqa: BLE001 - the boundary to plug-ins
                tally.errors += 1
                tally.error = error
                asked.votes[at][place] = ERROR_BIT
                continue
            _count(tally, bit)
            if self.counts_spans:
                _count_spans(tally, bit, trace.summary.span_count)
            asked.votes[at][place] = bit
            if bit == _DROPPED_BIT or (bit == _SAMPLED_BIT and not mask & _SAMPLED_BIT):
                asked.recorded[at] = named
            if bit == _SAMPLED_BIT and chooses:
                asked.sub_policies[at] = getattr(named.policy, "chosen", "")
            if bit == _SAMPLED_BIT and self.tells_thresholds:
                threshold = threshold_by(named.policy)
                asked.thresholds[at] = min(asked.thresholds[at], threshold)
            asked.masks[at] = mask | bit


def _count(tally: PolicyTally, bit: int) -> None:
    if bit & (_SAMPLED_BIT | _INVERT_SAMPLED_BIT):
        tally.sampled += 1
    elif bit == _DROPPED_BIT:
        tally.dropped += 1
    else:
        tally.not_sampled += 1


def _count_spans(tally: PolicyTally, bit: int, spans: int) -> None:
    if bit & (_SAMPLED_BIT | _INVERT_SAMPLED_BIT):
        tally.spans_sampled += spans
    elif bit == _DROPPED_BIT:
        tally.spans_dropped += spans
    else:
        tally.spans_not_sampled += spans
