"""What a policy is.

A policy looks at one trace and votes. Rules:

* ``evaluate`` is pure: no I/O, no clock, nothing kept but what the policy itself
  counts, nothing changed in the trace. What it raises is counted as an evaluation
  error, and the policy is passed over for this trace.
* A trace is decoded no further than a policy asks. Id and summary are there; pieces are
  made when they are read, and their bytes are the policy's to look into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, Protocol

from tailring_otlpwire import Piece, TraceSummary

__all__ = [
    "NOT_SAMPLED",
    "SAMPLED",
    "Failures",
    "Needs",
    "Policy",
    "Trace",
    "Vote",
    "failures_of",
    "measures",
    "needs_of",
    "threshold_by",
    "use_tracestate",
]


class Vote(Enum):
    """What a policy says of a trace. Built-in ones cast no inverted votes."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"
    INVERT_SAMPLED = "invert_sampled"
    INVERT_NOT_SAMPLED = "invert_not_sampled"


# Reading a member through its class costs more than a policy's own work.
SAMPLED = Vote.SAMPLED
NOT_SAMPLED = Vote.NOT_SAMPLED


class Trace(Protocol):
    """What a policy sees of a trace; `TraceRecord` is one."""

    @property
    def trace_id(self) -> bytes:
        """The 16 bytes of the id."""

    @property
    def summary(self) -> TraceSummary:
        """Counts, times and status of all spans so far."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """The encoded spans under their headers, in order of arrival."""


class Needs(Enum):
    """How far a trace is read for a policy, the cheapest first."""

    SUMMARY = "summary"
    RESOURCES = "resources"
    SPANS = "spans"


def measures(policy: object) -> bool:
    """Whether a policy asks for the sizes in the summary."""
    return bool(getattr(policy, "measures", False))


Failures = tuple[int, str]
NO_FAILURES: Final[Failures] = (0, "")


def failures_of(policies: Iterable[object]) -> Failures:
    """What failed inside these policies and is to be logged, though they voted: how
    often since the last call, and the newest text. A policy tells by a method
    ``take_failures``."""
    count, newest = NO_FAILURES
    for policy in policies:
        take = getattr(policy, "take_failures", None)
        if take is not None:
            failed, text = take()
            count += failed
            newest = text or newest
    return count, newest


def needs_of(policy: Policy) -> Needs:
    """What a policy says it needs; one that says nothing may read the spans."""
    return getattr(policy, "needs", Needs.SPANS)


def threshold_by(policy: Policy) -> int:
    """With which threshold the last trace was kept; 0, all, unless it says so."""
    return int(getattr(policy, "threshold", 0))


def use_tracestate(policies: Iterable[Policy], *, always: bool) -> None:
    """Let those that keep shares decide by randomness.

    Such a policy has ``threshold``, the 56-bit threshold of its last vote "sampled",
    and ``use_tracestate(always=..)``: from now on it decides by the randomness of
    traces whose tracestates speak of it, or of all.
    """
    for policy in policies:
        use = getattr(policy, "use_tracestate", None)
        if use is not None:
            use(always=always)


class Policy(Protocol):
    """One configured policy; see the module's rules.

    It may say more by class attributes: ``needs``, a `Needs`; ``goes_first``, True for
    one that is asked before the others because it drops; ``measures``, True for one
    that asks for ``data_bytes`` or ``resource_spans_bytes`` of the summary. One that
    lets a sub-policy choose has ``chosen``, the name of that one after a vote
    "sampled".

    And two methods for those who ask why: ``fact(trace) -> int``, a 64-bit number that
    it compared, taken once for each judged trace, so it must be cheap;
    ``why(trace_id, fact) -> str``, that number (0 without ``fact``) beside what it was
    compared with, called when somebody asks.
    """

    def evaluate(self, trace: Trace, now_ns: int) -> Vote:
        """The vote for one trace. May raise: counted, and the policy is passed over.

        ``now_ns`` is a monotonic clock's, the same for all traces of a slice.
        """
