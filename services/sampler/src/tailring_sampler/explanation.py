"""What became of a trace, put together from what the sampler still knows.

The newest knowledge wins: what is held, then the record of its end, then the memory
that answers for late spans, which knows the decision and no more. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tailring_sampler.decision_log import NO_AGE, Entry, PolicyAnswer
from tailring_sampler.doors import JUDGED, Decision, Door
from tailring_sampler.sampler import Sampler

__all__ = ["Explanation", "explain", "state_of"]

# Late spans of one trace that are added up; one trace may have very many.
_LATE_RECORDS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one trace; None is what is not known.

    ``state`` is held, kept, dropped, late, evicted, handed_off, discarded, abandoned or
    unknown: late is a trace of which only late spans or the bare decision are known.
    """

    state: str
    decision: Decision | None = None
    policy: str | None = None
    at_ns: int | None = None
    age_ns: int | None = None
    spans: int | None = None
    size_bytes: int | None = None
    late_spans: int = 0
    note: str = ""
    answers: tuple[PolicyAnswer, ...] = ()


def state_of(entry: Entry) -> str:
    """The word for how a trace left."""
    if entry.door in JUDGED:
        return "kept" if entry.decision is Decision.SAMPLED else "dropped"
    if entry.door is Door.EVICTED_PRESSURE:
        return "evicted"
    return str(entry.door.value)


def explain(sampler: Sampler, trace_id: bytes, now_ns: int) -> Explanation:
    """The answer of this moment."""
    record = sampler.buffer.get(trace_id)
    if record is not None and record.decision is Decision.PENDING:
        left_ns: int = max(0, record.due_ns - now_ns)
        return Explanation(
            "held",
            age_ns=now_ns - record.first_ns,
            spans=record.summary.span_count,
            size_bytes=record.summary.byte_count,
            note=f"judged in {left_ns / 1e9:.1f} s",
        )
    late = _late_spans(sampler, trace_id)
    entry = sampler.log.find(trace_id)
    if entry is not None:
        return _ended(entry, late)
    known = sampler.memory.peek(trace_id)
    if known is None and record is not None:
        known = record.decision
    if known is not None or late:
        return _remembered(sampler, trace_id, known=known, late=late)
    return Explanation("unknown", note="not seen here, or longer ago than is recorded")


def _ended(entry: Entry, late: int) -> Explanation:
    notes = {
        Door.DECIDED_EARLY_SHUTDOWN: "judged early: the process stops",
        Door.DECIDED_EARLY_PRESSURE: "judged early: memory.max_bytes was reached",
        Door.EVICTED_PRESSURE: "pushed out by memory.max_bytes before it was judged",
        Door.EVICTED: "pushed out by num_traces before it was judged",
        Door.DISCARDED: "thrown away: drop_pending_traces_on_shutdown",
        Door.ABANDONED: "still held when the time to drain was over",
    }
    note = notes.get(entry.door, "")
    if late:
        note = "; ".join(filter(None, (note, "late spans followed the decision")))
    return Explanation(
        state_of(entry),
        decision=None if entry.decision is Decision.PENDING else entry.decision,
        policy=entry.recorded,
        at_ns=entry.at_ns,
        age_ns=entry.age_ns,
        spans=entry.spans,
        size_bytes=entry.size_bytes,
        late_spans=late,
        note=note,
        answers=entry.answers,
    )


def _remembered(
    sampler: Sampler, trace_id: bytes, *, known: Decision | None, late: int
) -> Explanation:
    newest = next(sampler.log.late_of(trace_id), None)
    if newest is None:
        return Explanation("late", known, note="decided; why is no longer recorded")
    return Explanation(
        "late",
        known if known is not None else newest.decision,
        at_ns=newest.at_ns,
        age_ns=None if newest.age_ns == NO_AGE else newest.age_ns,
        late_spans=late,
        note="late spans followed a decision whose record is gone",
    )


def _late_spans(sampler: Sampler, trace_id: bytes) -> int:
    late = sampler.log.late_of(trace_id)
    return sum(it.spans for it, _ in zip(late, range(_LATE_RECORDS_MAX), strict=False))
