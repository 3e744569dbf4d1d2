"""The heart of the sampler: requests in, kept traces out. No I/O, no clock.

Binds the trace buffer, the judge and the decision memory together. Rules:

* Every call is synchronous and leaves the counters balanced; what is owed to the world
  (traces to export) is returned, never done here.
* The decision memory is asked before anything else, then the live map: a late span
  follows the decision on its trace and is never judged alone.
* Above its budget of memory the sampler is `pressed`; its owner then calls `relieve`,
  which judges or throws away the heaviest traces, as the budget says. When
  nothing is pending any more, decisions are forgotten, so that it always ends.
* A trace whose decision went into the memory leaves the live map and makes room there.

It does not know who sends, who receives, and when anything is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailring_otlpwire import HeaderCache, Piece, TraceSlice, group
from tailring_sampler.decision_log import NO_AGE, DecisionLog, Departure
from tailring_sampler.decisions import DecisionMemory
from tailring_sampler.doors import JUDGED, Decision, Door
from tailring_sampler.judge import Judge, Verdict
from tailring_sampler.record import TraceRecord
from tailring_sampler.recording import KeptWriters
from tailring_sampler.tracebuffer import HandedTrace, TraceBuffer
from tailring_sampler.tracestate import NEVER

__all__ = ["MEMORY_UNBOUNDED", "KeptTrace", "MemoryBudget", "Sampler"]

# Distinct resource and scope headers that traces share; a fleet has some thousand pods.
HEADERS_MAX: Final = 16_384
# Share of the budget that they may take: two generations of a sixteenth.
HEADERS_SHARE: Final = 16
HEADERS_BYTES_MAX: Final = 32 << 20
# A budget that nothing exceeds.
MEMORY_UNBOUNDED: Final = 1 << 62
MILLISECOND_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000

_PENDING: Final = Decision.PENDING
_SAMPLED: Final = Decision.SAMPLED


class KeptTrace:
    """Spans of one trace that are to be exported; ``policy`` is None for late ones."""

    def __init__(
        self,
        trace_id: bytes,
        pieces: list[Piece],
        *,
        spans: int,
        size_bytes: int,
        policy: str | None = None,
    ) -> None:
        self.trace_id = trace_id
        self.pieces = pieces
        self.spans = spans
        self.size_bytes = size_bytes
        self.policy = policy


class MemoryBudget:
    """What a sampler may hold, and what becomes of the heaviest traces above it.

    With ``evict_undecided`` they are thrown away, else judged on what is there.
    """

    def __init__(self, max_bytes: int, *, evict_undecided: bool = False) -> None:
        self.max_bytes = max_bytes
        self.evict_undecided = evict_undecided


class Sampler:
    """See the module's rules. One owner, never awaited."""

    def __init__(
        self,
        buffer: TraceBuffer,
        judge: Judge,
        memory: DecisionMemory,
        *,
        budget: MemoryBudget | None = None,
        writers: KeptWriters | None = None,
    ) -> None:
        # What is told of each trace that leaves; remembers nothing until it is set.
        self.log = DecisionLog(0, ())
        self.buffer = buffer
        self.judge = judge
        self.memory = memory
        # None: kept spans are not told which policy kept them.
        found = writers or KeptWriters()
        self._recorder = found.recorder
        # None: kept spans are not told their threshold.
        self.thresholds = found.thresholds
        judge.tells_thresholds = found.thresholds is not None
        # Final decisions, and spans that a decision cache answered for.
        self.decisions = dict.fromkeys(Decision, 0)
        self.cache_answers = dict.fromkeys(Decision, 0)
        # Ages in whole seconds -> how often, until the shell takes them.
        self.late_ages_s: dict[int, int] = {}
        self.removal_ages_s: dict[int, int] = {}
        # From the deadline to the decision, in milliseconds -> how often; likewise.
        self.lags_ms: dict[int, int] = {}
        self.budget = budget or MemoryBudget(MEMORY_UNBOUNDED)
        headers_bytes_max = self.budget.max_bytes // HEADERS_SHARE
        self.headers = HeaderCache(
            HEADERS_MAX, bytes_max=min(HEADERS_BYTES_MAX, headers_bytes_max)
        )
        self._due_door = Door.DECIDED

    @property
    def memory_bytes(self) -> int:
        """What is held, in about: traces, decisions, headers and bookkeeping."""
        remembered = self.memory.memory_bytes
        return self.buffer.memory_bytes + self.headers.size_bytes + remembered

    @property
    def pressed(self) -> bool:
        """Whether more is held than there is memory for."""
        return self.memory_bytes > self.budget.max_bytes

    def ingest(self, payload: bytes, now_ns: int) -> list[KeptTrace]:
        """Take one request; returns late spans of kept traces, to be exported now.

        Raises `WireError` for a malformed request, and then nothing was taken.
        """
        slices = group(payload, self.headers, measured=self.judge.measures)
        return self._take(slices, now_ns=now_ns, age_ns=0)

    def take_in(self, handed: HandedTrace, now_ns: int) -> list[KeptTrace]:
        """Take a trace that another sampler gave up; as `ingest`."""
        # Pieces that came in several requests were joined on the way: their sizes are
        # a little less than where they came from.
        slices = group(handed.payload, self.headers, measured=self.judge.measures)
        return self._take(slices, now_ns=now_ns, age_ns=handed.age_ns)

    def is_due(self, now_ns: int) -> bool:
        """Whether `judge_due` has anything to do now."""
        return self.buffer.is_due(now_ns)

    def judge_due(self, now_ns: int, *, traces_max: int) -> tuple[int, list[KeptTrace]]:
        """Judge at most ``traces_max`` due traces: how many were, and the kept ones.

        The work is bounded, also what is spent on deadlines that moved: fewer or none
        do not mean that no more are due, `is_due` says so.
        """
        records = self.buffer.take_due(now_ns, traces_max)
        for record in records:
            _count(self.lags_ms, (now_ns - record.due_ns) // MILLISECOND_NS)
        kept = self._judge(records, door=self._due_door, now_ns=now_ns)
        return len(records), kept

    def relieve(self, now_ns: int, *, traces_max: int) -> tuple[int, list[KeptTrace]]:
        """Let go of at most ``traces_max`` of the heaviest traces while `pressed`.

        Returns how many records went, 0 when nothing more can, and the kept traces.
        """
        kept: list[KeptTrace] = []
        done = 0
        while done < traces_max and self.pressed:
            record = self.buffer.take_heaviest()
            if record is None:
                if not self.buffer.forget_oldest() and not self.memory.forget_one():
                    break
            elif self.budget.evict_undecided:
                _count(self.removal_ages_s, (now_ns - record.first_ns) // SECOND_NS)
                gone = _departure(record, now_ns)
                door = Door.EVICTED_PRESSURE
                self.log.left(gone, door, decision=_PENDING, now_ns=now_ns)
                self.buffer.discard(record, door)
            else:
                door = Door.DECIDED_EARLY_PRESSURE
                kept += self._judge([record], door=door, now_ns=now_ns)
            done += 1
        return done, kept

    def expire_all(self, now_ns: int) -> None:
        """Everything held is due now: the process stops."""
        self._due_door = Door.DECIDED_EARLY_SHUTDOWN
        self.buffer.expire_all(now_ns)

    def discard_pending(self, door: Door, now_ns: int) -> int:
        """Let go of all pending traces without a decision; returns their number."""
        pending = [r for r in self.buffer.records() if r.decision is _PENDING]
        for record in pending:
            gone = _departure(record, now_ns)
            self.log.left(gone, door, decision=_PENDING, now_ns=now_ns)
            self.buffer.discard(record, door)
        return len(pending)

    def known_decisions(self) -> Iterator[tuple[bytes, Decision]]:
        """Every decision that would answer for a late span."""
        yield from self.memory.items()
        for record in self.buffer.records():
            if record.decision is not _PENDING:
                yield record.trace_id, record.decision

    def learn(
        self, trace_id: bytes, decision: Decision, *, now_ns: int
    ) -> KeptTrace | None:
        """Take in a decision that was made elsewhere.

        Spans that wait here become late ones: returned when the trace is kept. What is
        known already wins.
        """
        if self.memory.lookup(trace_id) is not None:
            return None
        record = self.buffer.get(trace_id)
        if record is None:
            if not self.memory.put(trace_id, decision):
                self.buffer.remember(trace_id, decision, now_ns=now_ns)
            return None
        if record.decision is not _PENDING:
            return None
        waited = _departure(record, now_ns)
        self.log.left(waited, Door.LATE, decision=decision, now_ns=now_ns)
        return self._finish(record, decision, door=Door.LATE, now_ns=now_ns)

    def check_invariants(self) -> None:
        """Assert that all counters balance. Slow: for tests and simulation."""
        self.buffer.check_invariants()
        left = self.buffer.traces_left
        for decision in (Decision.SAMPLED, Decision.NOT_SAMPLED, Decision.DROPPED):
            by_door = sum(left.get((door, decision), 0) for door in JUDGED)
            assert by_door == self.decisions[decision]

    def _take(
        self, slices: list[TraceSlice], *, now_ns: int, age_ns: int
    ) -> list[KeptTrace]:
        kept: list[KeptTrace] = []
        if self.memory.enabled:
            slices = self._answer_from_memory(slices, kept, now_ns=now_ns)
        arrivals = self.buffer.add(slices, now_ns, age_ns=age_ns)
        for part, record in arrivals.late:
            late_ns = now_ns - record.decided_ns
            _count(self.late_ages_s, late_ns // SECOND_NS)
            self.log.late(part, record.decision, age_ns=late_ns, now_ns=now_ns)
            if record.decision is _SAMPLED:
                kept.append(_late(part))
        for removal_age_ns in arrivals.removal_ages_ns:
            _count(self.removal_ages_s, removal_age_ns // SECOND_NS)
        for trace_id, spans, size_bytes, gone_ns in arrivals.evicted:
            gone = Departure(trace_id, spans, size_bytes, gone_ns)
            self.log.left(gone, Door.EVICTED, decision=_PENDING, now_ns=now_ns)
        return kept

    def _answer_from_memory(
        self, slices: list[TraceSlice], kept: list[KeptTrace], *, now_ns: int
    ) -> list[TraceSlice]:
        unknown: list[TraceSlice] = []
        for part in slices:
            decision = self.memory.lookup(part.trace_id)
            if decision is None:
                unknown.append(part)
                continue
            self.buffer.pass_by(part, decision)
            self.cache_answers[decision] += part.span_count
            self.log.late(part, decision, age_ns=NO_AGE, now_ns=now_ns)
            if decision is _SAMPLED:
                kept.append(self._cached(part))
        return unknown

    def _cached(self, part: TraceSlice) -> KeptTrace:
        late = _late(part)
        if self._recorder is not None:
            policy = self.memory.policy_of(part.trace_id)
            late.pieces = self._recorder.cached(late.pieces, policy)
        return late

    def _record(self, trace: KeptTrace, verdict: Verdict) -> None:
        if self._recorder is None:
            return
        name = verdict.name
        self.memory.tell_policy(trace.trace_id, name)
        pieces = self._recorder.judged(trace.pieces, name, verdict.sub_policy)
        trace.pieces = pieces

    def _judge(
        self, records: list[TraceRecord], *, door: Door, now_ns: int
    ) -> list[KeptTrace]:
        kept: list[KeptTrace] = []
        for at, verdict in enumerate(self.judge.judge(records, now_ns)):
            decision = verdict.decision
            self.decisions[decision] += 1
            record = records[at]
            left = (door, now_ns - record.first_ns)
            self.log.decided(record, verdict, left=left, now_ns=now_ns)
            trace = self._finish(record, decision, door=door, now_ns=now_ns)
            if trace is not None:
                trace.policy = verdict.policy
                self._record(trace, verdict)
                self._write_threshold(trace, verdict.threshold)
                kept.append(trace)
        return kept

    def _write_threshold(self, trace: KeptTrace, threshold: int) -> None:
        if self.thresholds is None or threshold >= NEVER:
            return
        before = sum(len(piece.spans) for piece in trace.pieces)
        pieces = self.thresholds.write(trace.pieces, threshold)
        trace.pieces = pieces
        trace.size_bytes += sum(len(piece.spans) for piece in pieces) - before

    def _finish(
        self, record: TraceRecord, decision: Decision, *, door: Door, now_ns: int
    ) -> KeptTrace | None:
        spans: int = record.summary.span_count
        size_bytes: int = record.summary.byte_count
        pieces = self.buffer.decide(record, decision, door, now_ns=now_ns)
        if self.memory.put(record.trace_id, decision):
            _count(self.removal_ages_s, (now_ns - record.first_ns) // SECOND_NS)
            self.buffer.forget(record)
        if decision is not _SAMPLED:
            return None
        return KeptTrace(record.trace_id, pieces, spans=spans, size_bytes=size_bytes)


def _late(part: TraceSlice) -> KeptTrace:
    return KeptTrace(
        part.trace_id,
        part.pieces,
        spans=part.span_count,
        size_bytes=part.byte_count,
    )


def _departure(record: TraceRecord, now_ns: int) -> Departure:
    summary = record.summary
    return Departure(
        record.trace_id,
        summary.span_count,
        summary.byte_count,
        now_ns - record.first_ns,
    )


def _count(ages: dict[int, int], age_s: int) -> None:
    ages[age_s] = ages.get(age_s, 0) + 1
