"""How votes become a decision, and which policy is recorded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tailring_sampler.doors import Decision
from tailring_sampler.judge import VOTES, Judge, NamedPolicy, Verdict, combine
from tailring_sampler.policies import (
    AlwaysSample,
    Policy,
    Probabilistic,
    Trace,
    Vote,
)
from tailring_sampler.record import TraceRecord

S = Vote.SAMPLED
N = Vote.NOT_SAMPLED
D = Vote.DROPPED
INV_S = Vote.INVERT_SAMPLED
INV_N = Vote.INVERT_NOT_SAMPLED


class Fixed:
    """A policy that always says the same, and counts how often it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.goes_first = False
        self.asked = 0

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """The fixed vote, or the error."""
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # as a plug-in may


def judged(
    policies: Sequence[Policy], *, first_match: bool = False
) -> tuple[Verdict, Judge]:
    """The verdict of policies called p0, p1, ... on one trace."""
    named = [NamedPolicy(f"p{n}", policy) for n, policy in enumerate(policies)]
    judge = Judge(named, first_match=first_match)
    return judge.judge([TraceRecord(bytes(16), 0)], 0)[0], judge


@pytest.mark.parametrize(
    ("votes", "decision"),
    [
        ([S, S], Decision.SAMPLED),
        ([N], Decision.NOT_SAMPLED),
        ([], Decision.NOT_SAMPLED),
        ([INV_S], Decision.SAMPLED),
        ([INV_N, S], Decision.NOT_SAMPLED),
        ([INV_S, N], Decision.NOT_SAMPLED),
        ([INV_S, S, N], Decision.SAMPLED),
        ([N, S], Decision.SAMPLED),
        ([D], Decision.DROPPED),
        ([S, D], Decision.DROPPED),
        ([D, INV_N], Decision.DROPPED),
    ],
)
def test_votes_combine_by_precedence(votes: list[Vote], decision: Decision) -> None:
    """Dropped beats inverted-not, which beats sampled, which beats inverted."""
    assert combine(votes) is decision
    assert judged([Fixed(vote) for vote in votes])[0].decision is decision


@pytest.mark.parametrize(
    ("answers", "decision"),
    [
        ([ValueError("x"), S], Decision.SAMPLED),
        ([ValueError("x")], Decision.NOT_SAMPLED),
    ],
)
def test_a_policy_that_fails_is_passed_over(
    answers: list[Vote | Exception], decision: Decision
) -> None:
    """An error is counted, is no vote, and does not stop the others."""
    verdict, judge = judged([Fixed(answer) for answer in answers])
    assert verdict.decision is decision
    tally = judge.tallies[0]
    assert (tally.executions, tally.errors, tally.sampled) == (1, 1, 0)
    assert isinstance(tally.error, ValueError)


@pytest.mark.parametrize("answer", [None, True, "sampled", Decision.SAMPLED])
def test_what_is_no_vote_is_an_error(answer: object) -> None:
    """A plug-in that returns anything but a Vote is counted, and vetoes nothing."""
    verdict, judge = judged([Fixed(answer), Fixed(S)])
    assert (verdict.decision, verdict.policy) == (Decision.SAMPLED, "p1")
    tally = judge.tallies[0]
    assert (tally.executions, tally.errors, tally.not_sampled) == (1, 1, 0)
    assert isinstance(tally.error, TypeError)
    assert type(answer).__name__ in str(tally.error)


def test_a_drop_ends_the_questions() -> None:
    """Policies after the first that drops are not asked."""
    after = Fixed(S)
    verdict, _ = judged([Fixed(N), Fixed(D), after])
    assert after.asked == 0
    assert verdict.policy == "p1"


def test_all_policies_are_asked_although_one_keeps() -> None:
    """A later policy sees traces that an earlier one keeps."""
    after = Fixed(N)
    judged([Fixed(S), after])
    assert after.asked == 1


def test_first_match_ends_the_questions() -> None:
    """With sample_on_first_match nothing is asked after the first sampled vote."""
    after = Fixed(INV_N)
    verdict, judge = judged([Fixed(N), Fixed(S), after], first_match=True)
    assert after.asked == 0
    assert (verdict.decision, verdict.policy) == (Decision.SAMPLED, "p1")
    assert judge.tallies[2].executions == 0


@pytest.mark.parametrize(
    ("policies", "recorded"),
    [
        ([AlwaysSample(), AlwaysSample()], "p0"),
        ([Fixed(N), AlwaysSample()], "p1"),
        ([Probabilistic(100), AlwaysSample()], "p0"),
        ([Fixed(INV_S)], None),
        ([Fixed(N)], None),
    ],
)
def test_the_first_sampled_vote_is_recorded(
    policies: list[Policy], recorded: str | None
) -> None:
    """As in release 0.161: the first that voted to sample, in configured order."""
    assert judged(policies)[0].policy == recorded


def test_each_trace_gets_its_own_verdict() -> None:
    """Verdicts come in the order of the traces, whatever the policies say between."""

    class ById:
        def evaluate(self, trace: Trace, now_ns: int) -> Vote:
            return S if trace.trace_id[0] % 2 else N

    records = [TraceRecord(bytes([n]) * 16, 0) for n in range(6)]
    judge = Judge([NamedPolicy("odd", ById()), NamedPolicy("no", Fixed(N))])
    kept = [verdict.decision is Decision.SAMPLED for verdict in judge.judge(records, 0)]
    assert kept == [False, True] * 3
    assert (judge.tallies[0].sampled, judge.tallies[0].not_sampled) == (3, 3)


def test_time_is_measured_per_policy_and_slice() -> None:
    """The stopwatch is read twice for each policy, however many traces there are."""
    readings = iter(range(0, 1000, 10))
    policies = [NamedPolicy("a", Fixed(S)), NamedPolicy("b", Fixed(N))]
    judge = Judge(policies, stopwatch_ns=lambda: next(readings))
    judge.judge([TraceRecord(bytes(16), 0)] * 5, 0)
    assert [tally.time_ns for tally in judge.tallies] == [10, 10]
    assert next(readings) == 40


def test_policies_that_drop_are_asked_before_all_others() -> None:
    """One that goes first ends it even with a first match before it in the file."""
    first = Fixed(D)
    first.goes_first = True
    kept = Fixed(S)
    verdict, judge = judged([kept, first], first_match=True)
    assert verdict.decision is Decision.DROPPED
    assert verdict.policy == "p1"
    assert kept.asked == 0
    assert [tally.executions for tally in judge.tallies] == [0, 1]


def test_a_verdict_says_what_each_policy_voted() -> None:
    """One byte a policy in the order of the file: vote, error, or not asked."""
    verdict, _ = judged([Fixed(N), Fixed(OSError()), Fixed(S), Fixed(N)])
    said = [VOTES[byte] for byte in verdict.votes]
    assert said == ["not_sampled", "error", "sampled", "not_sampled"]
    stopped, _ = judged([Fixed(S), Fixed(N)], first_match=True)
    assert [VOTES[byte] for byte in stopped.votes] == ["sampled", "not asked"]
