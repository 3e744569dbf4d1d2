"""The traces that wait for their decision, and the decisions that still answer.

What it is: the live map of the sampler. It takes the slices of each request with a
clock reading, says which traces are due, and gives a trace's spans out exactly once.

Rules:

* A trace is pending until `decide`, `give_up` or eviction; its spans are held just so
  long. A decided record stays, without spans, and answers for late ones.
* At most ``traces_max`` records, pending and decided together (upstream's
  ``num_traces``). A new trace pushes out the oldest by arrival, whatever its state.
* spans received = spans held + spans left by each door, after every call.

How it works: a dict from trace id to record; a FIFO of records in order of arrival for
eviction; a time wheel (slot number -> records) for deadlines, its slot numbers in a
heap. Nothing is searched for in FIFO or wheel: a record that died or moved leaves its
entry behind, the entry is recognised when it comes up, and both structures are rebuilt
when more than half of them is stale. A deadline that moves later is only noted in the
record; the wheel learns of it when the old slot comes up. One that moves earlier gets a
second entry.

A trace scattered over many requests must cost little more than a gathered one. So a
record keeps its pieces as a flat list of bytes and makes `Piece` objects when somebody
asks, and pieces of the same resource and scope that follow each other become one.

Acyclic: no object here can reach itself, so the garbage collector need not walk them.

What it does not know: policies, clocks, who sends and who receives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire import Piece, TraceSlice, TraceSummary, join
from tailring_sampler.doors import Decision, Door

__all__ = ["Arrivals", "HandedTrace", "TraceBuffer", "TraceRecord"]

# Width of a wheel slot: how late a due trace can be noticed.
SLOT_NS: Final = 100_000_000
# Pieces are joined while the first is smaller than this; more would copy too much.
JOIN_BYTES_MAX: Final = 4096
# Stale entries that are tolerated beside the live ones before a rebuild.
STALE_MAX: Final = 1024

# Values of `TraceRecord.slot` that are no slot number.
_READY: Final = -1  # in the queue of due records
_NOWHERE: Final = -2  # neither in the wheel nor due: held, or no longer pending

_PENDING: Final = Decision.PENDING
_SAMPLED: Final = Decision.SAMPLED


@mypyc_attr(acyclic=True)
class TraceRecord:
    """One trace of the live map: what came and when, and what was decided."""

    __slots__ = (
        "decided_ns",
        "decision",
        "due_ns",
        "first_ns",
        "held",
        "last_ns",
        "live",
        "parts",
        "slot",
        "summary",
        "trace_id",
    )

    def __init__(self, trace_id: bytes, first_ns: i64) -> None:
        self.trace_id: bytes = trace_id
        # Resource, scope and spans of each piece in turn; see the module.
        self.parts: list[bytes] = []
        self.summary: TraceSummary = TraceSummary()
        self.first_ns: i64 = first_ns
        self.last_ns: i64 = first_ns
        self.due_ns: i64 = 0
        self.slot: i64 = _NOWHERE
        self.decided_ns: i64 = 0
        self.decision: Decision = _PENDING
        # Kept past its deadline until it is let go.
        self.held: bool = False
        # Still in the live map.
        self.live: bool = True

    @property
    def pieces(self) -> list[Piece]:
        """The encoded spans under their headers, in order of arrival; made anew."""
        parts = self.parts
        return [
            Piece(parts[at], parts[at + 1], parts[at + 2])
            for at in range(0, len(parts), 3)
        ]

    def append(self, piece: Piece) -> None:
        """Take one more piece, the newest."""
        parts = self.parts
        resource = piece.resource
        scope = piece.scope
        size = len(parts)
        if (
            size > 0
            and len(parts[size - 1]) < JOIN_BYTES_MAX
            and parts[size - 3] == resource
            and parts[size - 2] == scope
        ):
            parts[size - 1] += piece.spans
        else:
            parts.append(resource)
            parts.append(scope)
            parts.append(piece.spans)


# Shared by all decided records, so that they cost no summary of their own.
_NO_SUMMARY: Final = TraceSummary()


class Arrivals:
    """What `TraceBuffer.add` leaves to its caller."""

    def __init__(self) -> None:
        # Slices of traces that were decided before, with their record.
        self.late: list[tuple[TraceSlice, TraceRecord]] = []
        # Age of each record that was pushed out, arrival to removal.
        self.removal_ages_ns: list[int] = []


class HandedTrace:
    """A pending trace on its way to another sampler: encoded, with its age."""

    def __init__(self, trace_id: bytes, payload: bytes, age_ns: int) -> None:
        self.trace_id: bytes = trace_id
        self.payload: bytes = payload
        self.age_ns: int = age_ns


class TraceBuffer:
    """The live map; see the module's rules. One owner, never awaited."""

    def __init__(self, *, traces_max: int, wait_ns: int, from_last: bool) -> None:
        self.traces_max: int = max(1, traces_max)
        self.wait_ns: i64 = wait_ns
        # The wait counts from the last span instead of the first.
        self.from_last: bool = from_last
        self.traces_received: int = 0
        self.traces_pending: int = 0
        self.spans_received: int = 0
        self.spans_held: int = 0
        self.bytes_held: int = 0
        self.spans_left: dict[tuple[Door, Decision], int] = {}
        self.traces_left: dict[tuple[Door, Decision], int] = {}
        self._live: dict[bytes, TraceRecord] = {}
        self._fifo: deque[TraceRecord] = deque()
        self._ready: deque[TraceRecord] = deque()
        self._slots: dict[int, list[TraceRecord]] = {}
        self._slot_heap: list[int] = []
        self._entries: int = 0

    @property
    def traces_live(self) -> int:
        """Records in the live map, pending and decided."""
        return len(self._live)

    def statistics(self) -> dict[str, int]:
        """Sizes of the inner structures, stale entries included."""
        return {"fifo_entries": len(self._fifo), "wheel_entries": self._entries}

    def get(self, trace_id: bytes) -> TraceRecord | None:
        """The record of a trace, pending or decided."""
        return self._live.get(trace_id)

    def records(self) -> Iterator[TraceRecord]:
        """Every record, oldest arrival first. The map must not change meanwhile."""
        return iter(self._live.values())

    def add(
        self, slices: list[TraceSlice], now_ns: int, *, age_ns: int = 0
    ) -> Arrivals:
        """Take the slices of one request; the buffer owns their pieces afterwards.

        ``age_ns`` is how long ago the first span arrived at the sampler that held the
        trace before; 0 for slices from a receiver.
        """
        arrivals = Arrivals()
        now: i64 = now_ns
        first: i64 = now_ns - age_ns
        for part in slices:
            record = self._live.get(part.trace_id)
            if record is None:
                record = self._open(part.trace_id, first, now_ns, arrivals)
            if record.decision is _PENDING:
                self._append(record, part)
                record.last_ns = now
                record.first_ns = min(record.first_ns, first)
                self._schedule(record)
            else:
                self.pass_by(part, record.decision)
                arrivals.late.append((part, record))
        return arrivals

    def pass_by(self, part: TraceSlice, decision: Decision) -> None:
        """Count a slice whose trace was decided before it came."""
        spans = part.span_count
        self.spans_received += spans
        key = (Door.LATE, decision)
        self.spans_left[key] = self.spans_left.get(key, 0) + spans

    def take_due(self, now_ns: int, traces_max: int) -> list[TraceRecord]:
        """At most ``traces_max`` records whose time has come, longest due first.

        They are still pending: the caller decides or gives up each one before it calls
        anything else.
        """
        self._collect_due(now_ns)
        now: i64 = now_ns
        taken: list[TraceRecord] = []
        while len(taken) < traces_max and len(self._ready) > 0:
            record = self._ready.popleft()
            self._entries -= 1
            if record.slot != _READY or record.decision is not _PENDING:
                continue
            record.slot = _NOWHERE
            if record.held:
                continue
            if record.due_ns > now:
                self._schedule(record)
            else:
                taken.append(record)
        return taken

    def expire_all(self, now_ns: int) -> None:
        """Make every pending record due now, held or not, oldest first."""
        self._slots = {}
        self._slot_heap = []
        self._ready = deque()
        for record in self._live.values():
            if record.decision is _PENDING:
                record.held = False
                record.due_ns = now_ns
                record.slot = _READY
                self._ready.append(record)
        self._entries = len(self._ready)

    def decide(
        self, record: TraceRecord, decision: Decision, door: Door, *, now_ns: int
    ) -> list[Piece]:
        """Close a pending record; returns its pieces when it is sampled, else none."""
        assert record.live
        assert record.decision is _PENDING
        assert decision is not _PENDING
        self._count_left(record, door, decision)
        pieces = record.pieces if decision is _SAMPLED else []
        record.parts = []
        record.summary = _NO_SUMMARY
        record.decision = decision
        record.decided_ns = now_ns
        record.slot = _NOWHERE
        return pieces

    def forget(self, record: TraceRecord) -> None:
        """Drop a decided record: another memory answers for the trace from now on."""
        assert record.live
        assert record.decision is not _PENDING
        record.live = False
        del self._live[record.trace_id]
        self._tidy_fifo()

    def remember(self, trace_id: bytes, decision: Decision, *, now_ns: int) -> None:
        """Take in the decision of a trace that is unknown here."""
        assert trace_id not in self._live
        assert decision is not _PENDING
        record = self._open(trace_id, now_ns, now_ns, Arrivals())
        self.traces_pending -= 1
        record.decision = decision
        record.decided_ns = now_ns
        record.summary = _NO_SUMMARY

    def discard(self, record: TraceRecord, door: Door) -> None:
        """Let go of a pending record and its spans without a decision."""
        assert record.live
        assert record.decision is _PENDING
        self._count_left(record, door, _PENDING)
        record.live = False
        record.parts = []
        record.summary = _NO_SUMMARY
        record.slot = _NOWHERE
        del self._live[record.trace_id]
        self._tidy_fifo()

    def give_up(self, trace_id: bytes, now_ns: int) -> HandedTrace | None:
        """Hand a pending trace out, encoded; None when it is not pending here."""
        record = self._live.get(trace_id)
        if record is None or record.decision is not _PENDING:
            return None
        age_ns: int = now_ns - record.first_ns
        handed = HandedTrace(trace_id, join(record.pieces), age_ns)
        self.discard(record, Door.HANDED_OFF)
        return handed

    def set_held(self, record: TraceRecord, *, held: bool) -> None:
        """Keep a pending record past its deadline, or let it go."""
        assert record.decision is _PENDING
        record.held = held
        if not held and record.slot == _NOWHERE:
            self._schedule(record)

    def check_invariants(self) -> None:
        """Assert every rule of the module. Slow: for tests and simulation."""
        pending = [r for r in self._live.values() if r.decision is _PENDING]
        assert len(pending) == self.traces_pending
        assert len(self._live) <= self.traces_max
        assert self.spans_held == sum(r.summary.span_count for r in pending)
        assert self.bytes_held == sum(r.summary.byte_count for r in pending)
        assert self.spans_held == sum(
            piece.span_count for r in pending for piece in r.pieces
        )
        assert self.spans_received == self.spans_held + sum(self.spans_left.values())
        assert self._entries == self._count_entries()
        assert self._entries <= 2 * self.traces_pending + STALE_MAX + 1
        assert len(self._fifo) <= 2 * len(self._live) + STALE_MAX + 1
        for record in self._live.values():
            self._check_record(record)

    def _check_record(self, record: TraceRecord) -> None:
        assert record.live
        if record.decision is not _PENDING:
            assert len(record.parts) == 0
            assert record.slot == _NOWHERE
            return
        assert record.held or record.slot != _NOWHERE
        if record.slot >= 0:
            assert record in self._slots[record.slot]
            # Noticed in time: moving earlier makes a new entry. A deadline from before
            # the clock began is due in slot 0.
            assert record.slot == 0 or record.due_ns > (record.slot - 1) * SLOT_NS

    def _count_entries(self) -> int:
        return len(self._ready) + sum(len(s) for s in self._slots.values())

    def _open(
        self, trace_id: bytes, first_ns: i64, now_ns: int, arrivals: Arrivals
    ) -> TraceRecord:
        while len(self._live) >= self.traces_max:
            self._evict_oldest(now_ns, arrivals)
        record = TraceRecord(trace_id, first_ns)
        self._live[trace_id] = record
        self._fifo.append(record)
        self.traces_received += 1
        self.traces_pending += 1
        return record

    def _evict_oldest(self, now_ns: int, arrivals: Arrivals) -> None:
        record = self._fifo.popleft()
        if not record.live:
            return
        arrivals.removal_ages_ns.append(now_ns - record.first_ns)
        if record.decision is _PENDING:
            self.discard(record, Door.EVICTED)
        else:
            self.forget(record)

    def _append(self, record: TraceRecord, part: TraceSlice) -> None:
        self.spans_received += part.span_count
        self.spans_held += part.span_count
        self.bytes_held += part.byte_count
        record.summary.add(part)
        for piece in part.pieces:
            record.append(piece)

    def _schedule(self, record: TraceRecord) -> None:
        since = record.last_ns if self.from_last else record.first_ns
        record.due_ns = since + self.wait_ns
        slot: i64 = -(-record.due_ns // SLOT_NS)
        slot = max(slot, 0)
        if record.slot == _READY or (record.slot >= 0 and record.slot <= slot):
            return
        if record.slot == _NOWHERE and record.held:
            return
        record.slot = slot
        entries = self._slots.get(slot)
        if entries is None:
            self._slots[slot] = [record]
            heappush(self._slot_heap, slot)
        else:
            entries.append(record)
        self._entries += 1
        if self._entries > 2 * self.traces_pending + STALE_MAX:
            self._rebuild_wheel()

    def _collect_due(self, now_ns: int) -> None:
        now_slot = now_ns // SLOT_NS
        while len(self._slot_heap) > 0 and self._slot_heap[0] <= now_slot:
            slot = heappop(self._slot_heap)
            for record in self._slots.pop(slot):
                if record.slot == slot and record.decision is _PENDING:
                    record.slot = _READY
                    self._ready.append(record)
                else:
                    self._entries -= 1

    def _rebuild_wheel(self) -> None:
        kept: dict[int, list[TraceRecord]] = {}
        for slot, entries in self._slots.items():
            fresh = list(dict.fromkeys(r for r in entries if r.slot == slot))
            if len(fresh) > 0:
                kept[slot] = fresh
        self._slots = kept
        self._slot_heap = sorted(kept)
        self._ready = deque(r for r in self._ready if r.slot == _READY)
        self._entries = self._count_entries()

    def _tidy_fifo(self) -> None:
        if len(self._fifo) > 2 * len(self._live) + STALE_MAX:
            self._fifo = deque(record for record in self._fifo if record.live)

    def _count_left(self, record: TraceRecord, door: Door, decision: Decision) -> None:
        spans = record.summary.span_count
        self.spans_held -= spans
        self.bytes_held -= record.summary.byte_count
        self.traces_pending -= 1
        key = (door, decision)
        self.spans_left[key] = self.spans_left.get(key, 0) + spans
        self.traces_left[key] = self.traces_left.get(key, 0) + 1
