"""The traces that wait for their decision, and the decisions that still answer.

What it is: the live map of the sampler. It takes the slices of each request with a
clock reading, says which traces are due, and gives a trace's spans out exactly once.

Rules:

* A trace is pending until `decide`, `give_up` or eviction; its spans are held just so
  long. A decided record stays, without spans, and answers for late ones.
* A trace is due ``wait_ns`` after its first span, or after its last one; in that case
  at the latest ``wait_max_ns`` after the first, for some traces never fall silent.
* With a wait after the root, a trace is due so long after the first slice that brought
  a span without a parent, if that is earlier. Later roots delay nothing.
* At most ``traces_max`` records, pending and decided together (upstream's
  ``num_traces``). A new trace pushes out the oldest by arrival, whatever its state.
* `memory_bytes` is what all of it costs, bookkeeping included. `add` never lets go of
  anything for its sake: the owner takes the heaviest when it is too much.
* spans received = spans held + spans left by each door, after every call; and traces
  received = traces pending + traces left by each door.

How it works: a dict from trace id to record, a FIFO of records in order of arrival for
eviction, the time wheel for deadlines, and size classes for the heaviest. Nothing is
searched for in the FIFO: a record that left the map leaves its entry behind, which is
recognised when it comes up, and stale entries are cleared away when they outnumber the
others.

What it does not know: policies, clocks, who sends and who receives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from mypy_extensions import i64

from tailring_otlpwire import Piece, TraceSlice, join
from tailring_sampler.doors import Decision, Door
from tailring_sampler.record import NOWHERE, PART_BYTES, TraceRecord
from tailring_sampler.sizeclasses import SizeClasses
from tailring_sampler.timewheel import STALE_MAX, TimeWheel

__all__ = ["ROOT_WAIT_OFF", "WAITS_MAX", "Arrivals", "HandedTrace", "TraceBuffer"]

# Longest time from first span to decision, in waits, where each span renews the wait.
WAITS_MAX: Final = 10
# The root of a trace does not bring its decision forward.
ROOT_WAIT_OFF: Final = -1

# What a record costs beside its bytes and pieces, in the map, the FIFO, the time wheel
# and the size classes; and what a decided one costs in all. As measured.
PENDING_BYTES: Final = 640
DECIDED_BYTES: Final = 448
# What the allocator loses on pieces that grow is one part in so many of their bytes.
SCRAPS_SHARE: Final = 4

_PENDING: Final = Decision.PENDING
_SAMPLED: Final = Decision.SAMPLED


class Arrivals:
    """What `TraceBuffer.add` leaves to its caller."""

    def __init__(self) -> None:
        # Slices of traces that were decided before, with their record.
        self.late: list[tuple[TraceSlice, TraceRecord]] = []
        # Age of each record that was pushed out, arrival to removal.
        self.removal_ages_ns: list[int] = []
        # Id, spans, bytes and age of each pending trace that was pushed out.
        self.evicted: list[tuple[bytes, int, int, int]] = []


class HandedTrace:
    """A pending trace on its way to another sampler: encoded, with its age."""

    def __init__(self, trace_id: bytes, payload: bytes, age_ns: int) -> None:
        self.trace_id: bytes = trace_id
        self.payload: bytes = payload
        self.age_ns: int = age_ns


class TraceBuffer:
    """The live map; see the module's rules. One owner, never awaited."""

    def __init__(
        self,
        *,
        traces_max: int,
        wait_ns: int,
        from_last: bool,
        wait_max_ns: int = 0,
        root_wait_ns: int = ROOT_WAIT_OFF,
    ) -> None:
        """A ``wait_max_ns`` of 0 means `WAITS_MAX` waits.

        A ``root_wait_ns`` of 0 makes a trace due as soon as its root is there.
        """
        self.traces_max: int = max(1, traces_max)
        self.wait_ns: i64 = wait_ns
        # The wait counts from the last span instead of the first.
        self.from_last: bool = from_last
        self.wait_max_ns: i64 = wait_max_ns or WAITS_MAX * wait_ns
        self.root_wait_ns: i64 = root_wait_ns
        self.traces_received: int = 0
        self.traces_pending: int = 0
        self.spans_received: int = 0
        self.spans_held: int = 0
        # Spans, and each header with the trace that brought it: what many share is
        # counted once, and no more once that trace has left.
        self.bytes_held: int = 0
        # Pieces of pending traces, as they are held.
        self.parts_held: int = 0
        self.spans_left: dict[tuple[Door, Decision], int] = {}
        self.traces_left: dict[tuple[Door, Decision], int] = {}
        self._live: dict[bytes, TraceRecord] = {}
        self._fifo: deque[TraceRecord] = deque()
        self._wheel: TimeWheel = TimeWheel()
        self._sizes: SizeClasses = SizeClasses()

    @property
    def traces_live(self) -> int:
        """Records in the live map, pending and decided."""
        return len(self._live)

    @property
    def memory_bytes(self) -> int:
        """The memory that all records take, pending and decided, in about."""
        decided = len(self._live) - self.traces_pending
        return (
            self.bytes_held
            + self.bytes_held // SCRAPS_SHARE
            + self.parts_held * PART_BYTES
            + self.traces_pending * PENDING_BYTES
            + decided * DECIDED_BYTES
        )

    def statistics(self) -> dict[str, int]:
        """Sizes of the inner structures, stale entries included."""
        return {
            "fifo_entries": len(self._fifo),
            "wheel_entries": self._wheel.entries,
            "size_entries": self._sizes.entries,
        }

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
                if part.root_seen and self.root_wait_ns >= 0:
                    root_due: i64 = now + self.root_wait_ns
                    record.root_due_ns = min(record.root_due_ns, root_due)
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

    def is_due(self, now_ns: int) -> bool:
        """Whether `take_due` has anything to look at now."""
        return self._wheel.is_due(now_ns)

    def take_due(self, now_ns: int, traces_max: int) -> list[TraceRecord]:
        """At most ``traces_max`` records whose time has come, longest due first.

        Fewer or none do not mean that no more are due: the work is bounded. They are
        still pending: the caller decides or gives up each one before it calls anything
        else.
        """
        return self._wheel.take_due(now_ns, traces_max)

    def take_heaviest(self) -> TraceRecord | None:
        """A pending record among the heaviest, the oldest of them; None without any.

        It is still pending: the caller decides or discards it before it calls anything
        else.
        """
        return self._sizes.take()

    def forget_oldest(self) -> bool:
        """Forget the oldest record while none is pending; False without any."""
        assert self.traces_pending == 0
        while len(self._fifo) > 0:
            record = self._fifo.popleft()
            if record.live:
                self.forget(record)
                return True
        return False

    def expire_all(self, now_ns: int) -> None:
        """Make every pending record due now, held or not, oldest first."""
        pending = [r for r in self._live.values() if r.decision is _PENDING]
        self._wheel.expire(pending, now_ns)

    def decide(
        self, record: TraceRecord, decision: Decision, door: Door, *, now_ns: int
    ) -> list[Piece]:
        """Close a pending record; returns its pieces when it is sampled, else none."""
        assert record.live
        assert record.decision is _PENDING
        assert decision is not _PENDING
        self._count_left(record, door, decision)
        pieces = record.pieces if decision is _SAMPLED else []
        record.release()
        record.decision = decision
        record.decided_ns = now_ns
        self._tidy_pending()
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
        # It is no trace that arrived here.
        self.traces_received -= 1
        self.traces_pending -= 1
        record.release()
        record.decision = decision
        record.decided_ns = now_ns

    def discard(self, record: TraceRecord, door: Door) -> None:
        """Let go of a pending record and its spans without a decision."""
        assert record.live
        assert record.decision is _PENDING
        self._count_left(record, door, _PENDING)
        record.live = False
        record.release()
        del self._live[record.trace_id]
        self._tidy_fifo()
        self._tidy_pending()

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
        if not held and record.slot == NOWHERE:
            self._schedule(record)

    def check_invariants(self) -> None:
        """Assert every rule of the module. Slow: for tests and simulation."""
        pending = [r for r in self._live.values() if r.decision is _PENDING]
        assert len(pending) == self.traces_pending
        assert len(self._live) <= self.traces_max
        assert self.spans_held == sum(r.summary.span_count for r in pending)
        assert self.bytes_held == sum(r.size_bytes for r in pending)
        assert self.spans_held == sum(
            piece.span_count for r in pending for piece in r.pieces
        )
        assert self.spans_received == self.spans_held + sum(self.spans_left.values())
        left = sum(self.traces_left.values())
        assert self.traces_received == self.traces_pending + left
        assert len(self._fifo) <= 2 * len(self._live) + STALE_MAX
        assert all(record.live for record in self._live.values())
        for record in self._live.values():
            assert record.decision is _PENDING or len(record.parts) == 0
        assert self.parts_held == sum(r.part_count for r in pending)
        self._wheel.check_invariants(pending)
        self._sizes.check_invariants(pending)

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
        age_ns: int = now_ns - record.first_ns
        arrivals.removal_ages_ns.append(age_ns)
        if record.decision is _PENDING:
            summary = record.summary
            spans: int = summary.span_count
            size_bytes: int = summary.byte_count
            arrivals.evicted.append((record.trace_id, spans, size_bytes, age_ns))
            self.discard(record, Door.EVICTED)
        else:
            self.forget(record)

    def _append(self, record: TraceRecord, part: TraceSlice) -> None:
        self.spans_received += part.span_count
        self.spans_held += part.span_count
        self.bytes_held += part.byte_count + part.header_bytes
        record.header_bytes += part.header_bytes
        record.summary.add(part)
        parts_before = record.part_count
        for piece in part.pieces:
            record.append(piece)
        self.parts_held += record.part_count - parts_before
        self._sizes.note(record)

    def _schedule(self, record: TraceRecord) -> None:
        due_ns: i64 = record.first_ns + self.wait_ns
        if self.from_last:
            last_due_ns: i64 = record.first_ns + self.wait_max_ns
            due_ns = min(record.last_ns + self.wait_ns, last_due_ns)
        due_ns = min(due_ns, record.root_due_ns)
        self._wheel.schedule(record, due_ns)
        self._tidy_pending()

    def _tidy_pending(self) -> None:
        self._wheel.tidy(self.traces_pending)
        self._sizes.tidy(self.traces_pending)

    def _tidy_fifo(self) -> None:
        if len(self._fifo) > 2 * len(self._live) + STALE_MAX:
            self._fifo = deque(record for record in self._fifo if record.live)

    def _count_left(self, record: TraceRecord, door: Door, decision: Decision) -> None:
        spans = record.summary.span_count
        self.spans_held -= spans
        self.bytes_held -= record.summary.byte_count + record.header_bytes
        self.parts_held -= record.part_count
        self.traces_pending -= 1
        key = (door, decision)
        self.spans_left[key] = self.spans_left.get(key, 0) + spans
        self.traces_left[key] = self.traces_left.get(key, 0) + 1
