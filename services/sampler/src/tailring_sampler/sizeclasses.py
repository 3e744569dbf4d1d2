"""Which pending traces are the heaviest, without sorting them.

What it is: one queue of records for each power of two of their weight in bytes.

Rules:

* `take` gives out a pending record of the highest class there is; within a class the
  one that came into it first. So no record given out has half the weight of another.
* Nothing is searched for. A record that is no longer pending, or grew into a higher
  class, leaves its entry behind, which is recognised when it comes up: ``size_class``
  of the record says where the valid one is.
* Stale entries are cleared away when they are more than the valid ones.

It does not know why weight matters, nor what becomes of a record that it gave out.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tailring_sampler.doors import Decision
from tailring_sampler.record import NO_CLASS, TraceRecord

__all__ = ["SizeClasses"]

# Stale entries that are tolerated beside the valid ones before they are cleared away.
STALE_MAX: Final = 1024

_PENDING: Final = Decision.PENDING


class SizeClasses:
    """See the module. Records in it belong to the trace buffer."""

    def __init__(self) -> None:
        # All entries, stale ones included.
        self.entries: int = 0
        self._queues: dict[int, deque[TraceRecord]] = {}
        # Bit n is set when the queue of class n has entries.
        self._mask: int = 0

    def note(self, record: TraceRecord) -> None:
        """The weight of a pending record is new, or has grown."""
        size_class = record.weight_bytes.bit_length()
        if record.size_class == size_class:
            return
        record.size_class = size_class
        queue = self._queues.get(size_class)
        if queue is None:
            queue = self._queues[size_class] = deque()
        queue.append(record)
        self._mask |= 1 << size_class
        self.entries += 1

    def take(self) -> TraceRecord | None:
        """A pending record among the heaviest, which leaves; None without any."""
        while self._mask != 0:
            size_class = self._mask.bit_length() - 1
            queue = self._queues[size_class]
            record = queue.popleft()
            self.entries -= 1
            if len(queue) == 0:
                self._mask &= ~(1 << size_class)
            if _is_valid(record, size_class):
                record.size_class = NO_CLASS
                return record
        return None

    def tidy(self, valid: int) -> None:
        """Clear stale entries away if they outnumber the ``valid`` ones."""
        if self.entries <= 2 * valid + STALE_MAX:
            return
        self._mask = 0
        self.entries = 0
        for size_class, queue in self._queues.items():
            kept = deque(r for r in queue if _is_valid(r, size_class))
            self._queues[size_class] = kept
            self.entries += len(kept)
            if len(kept) > 0:
                self._mask |= 1 << size_class

    def check_invariants(self, pending: list[TraceRecord]) -> None:
        """Assert the rules, given all pending records. Slow: for tests."""
        assert self.entries == sum(len(queue) for queue in self._queues.values())
        assert self.entries <= 2 * len(pending) + STALE_MAX
        for size_class, queue in self._queues.items():
            assert (len(queue) > 0) == bool(self._mask & (1 << size_class))
        members = {
            id(r): c
            for c, queue in self._queues.items()
            for r in queue
            if _is_valid(r, c)
        }
        assert members == {id(r): r.weight_bytes.bit_length() for r in pending}


def _is_valid(record: TraceRecord, size_class: int) -> bool:
    return record.size_class == size_class and record.decision is _PENDING
