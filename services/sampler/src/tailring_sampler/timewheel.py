"""When each pending trace is due.

What it is: slots of 100 ms, each with the records that are due in it; slot numbers in a
heap, and the slot whose time has come as a stack, its first record on top.

Rules:

* A record is given out at its deadline or at most one slot later, never before it, and
  never while it is held.
* Nothing is searched for. A record that is decided, discarded or moved leaves its entry
  behind, and the entry is recognised when it comes up: ``slot`` of the record says
  where the valid one is.
* A deadline that moves later is only noted in the record; the wheel learns of it when
  the old slot comes up. One that moves earlier gets a second entry.
* Stale entries are cleared away when they are more than the valid ones.
* The work of one `take_due` is bounded, whatever is stale or moved: it may give out
  nothing although `is_due` says that there is more to look at.

It does not know why a trace is due, and owns no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from mypy_extensions import i64

from tailring_sampler.doors import Decision
from tailring_sampler.record import NOWHERE, READY, TraceRecord

__all__ = ["PASSED_MAX", "STALE_MAX", "TimeWheel"]

# Width of a slot: how late a due trace can be noticed.
SLOT_NS: Final = 100_000_000
# Stale entries that are tolerated beside the valid ones before they are cleared away.
STALE_MAX: Final = 1024
# Entries that one `take_due` passes over, beside the records that it gives out.
PASSED_MAX: Final = 1024

_PENDING: Final = Decision.PENDING


class TimeWheel:
    """See the module. Records in it belong to the trace buffer."""

    def __init__(self) -> None:
        # All entries, stale ones included.
        self.entries: int = 0
        # The slot that is being emptied, and its number. READY: all that was expired.
        self._ready: list[TraceRecord] = []
        self._ready_slot: i64 = READY
        self._slots: dict[int, list[TraceRecord]] = {}
        self._slot_heap: list[int] = []

    def schedule(self, record: TraceRecord, due_ns: i64) -> None:
        """Give a pending record its deadline, earlier or later than the one before."""
        record.due_ns = due_ns
        slot: i64 = max(-(-due_ns // SLOT_NS), 0)
        if record.slot == READY or (record.slot >= 0 and record.slot <= slot):
            return
        if record.held and record.slot == NOWHERE:
            return
        record.slot = slot
        entries = self._slots.get(slot)
        if entries is None:
            self._slots[slot] = [record]
            heappush(self._slot_heap, slot)
        else:
            entries.append(record)
        self.entries += 1

    def is_due(self, now_ns: int) -> bool:
        """Whether there is anything for `take_due` to look at."""
        if len(self._ready) > 0:
            return True
        return len(self._slot_heap) > 0 and self._slot_heap[0] <= now_ns // SLOT_NS

    def take_due(self, now_ns: int, records_max: int) -> list[TraceRecord]:
        """At most ``records_max`` records whose time has come; they leave the wheel."""
        now: i64 = now_ns
        taken: list[TraceRecord] = []
        passed: i64 = 0
        while len(taken) < records_max and passed < PASSED_MAX:
            if len(self._ready) == 0 and not self._next_slot(now_ns):
                break
            record = self._ready.pop()
            self.entries -= 1
            if self._comes_up(record, now):
                taken.append(record)
            else:
                passed += 1
        return taken

    def expire(self, records: Iterable[TraceRecord], now_ns: int) -> None:
        """Make these pending records due now, in this order, and no others."""
        self._slots = {}
        self._slot_heap = []
        self._ready = []
        self._ready_slot = READY
        for record in records:
            record.held = False
            record.due_ns = now_ns
            record.slot = READY
            self._ready.append(record)
        self._ready.reverse()
        self.entries = len(self._ready)

    def tidy(self, valid: int) -> None:
        """Clear stale entries away if they outnumber the ``valid`` ones."""
        if self.entries > 2 * valid + STALE_MAX:
            self._rebuild()

    def check_invariants(self, pending: list[TraceRecord]) -> None:
        """Assert the rules, given all pending records. Slow: for tests."""
        assert self.entries == self._count()
        assert self.entries <= 2 * len(pending) + STALE_MAX
        assert sorted(self._slot_heap) == sorted(self._slots)
        for record in pending:
            assert record.held or record.slot != NOWHERE
            if record.slot >= 0:
                assert record in self._entries_of(record.slot)
                # Noticed in time. A deadline from before the clock began is in slot 0.
                assert record.slot == 0 or record.due_ns > (record.slot - 1) * SLOT_NS

    def _next_slot(self, now_ns: int) -> bool:
        """Begin to empty the first slot whose time has come, if there is one."""
        if not self.is_due(now_ns):
            return False
        slot = heappop(self._slot_heap)
        self._ready = self._slots.pop(slot)
        # In place: a copy of a crowded slot would hold up the caller.
        self._ready.reverse()
        self._ready_slot = slot
        return True

    def _comes_up(self, record: TraceRecord, now: i64) -> bool:
        """Whether a record whose entry came up is due; it has no entry any more."""
        if record.slot != self._ready_slot or record.decision is not _PENDING:
            return False
        record.slot = NOWHERE
        if record.held:
            return False
        if record.due_ns > now:
            self.schedule(record, record.due_ns)
            return False
        return True

    def _entries_of(self, slot: int) -> list[TraceRecord]:
        entries = list(self._slots.get(slot, []))
        return [*self._ready, *entries] if slot == self._ready_slot else entries

    def _rebuild(self) -> None:
        kept: dict[int, list[TraceRecord]] = {}
        for slot, entries in self._slots.items():
            valid = list(dict.fromkeys(r for r in entries if r.slot == slot))
            if len(valid) > 0:
                kept[slot] = valid
        self._slots = kept
        self._slot_heap = sorted(kept)
        self._ready = [r for r in self._ready if r.slot == self._ready_slot]
        self.entries = self._count()

    def _count(self) -> int:
        return len(self._ready) + sum(len(s) for s in self._slots.values())
