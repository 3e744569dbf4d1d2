"""What waits for one backend: a bounded list of parts, first come, first sent.

Rules: a part is admitted only while the backlog is under every one of its limits
(one part may overstep the limit of bytes, or it could never be sent); parts that
come back from another backend are admitted over the limits, for their memory is
already spent; a part that nobody waits for any more is dropped when it is taken.

It knows no time, no socket and no retry.
"""

from __future__ import annotations

from collections import deque

from tailring_pipeline import Sizer
from tailring_router.part import Part

__all__ = ["Backlog"]


class Backlog:
    """Parts in order, with running totals of their number, spans and bytes."""

    def __init__(self, *, sizer: Sizer, size_max: int, bytes_max: int) -> None:
        """``size_max`` is in the unit of ``sizer``; ``bytes_max`` holds besides."""
        self._sizer = sizer
        self._size_max = size_max
        self._bytes_max = bytes_max
        self._parts: deque[Part] = deque()
        self.spans = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def full(self) -> bool:
        """True when no further part is admitted."""
        return self.size >= self._size_max or self.size_bytes >= self._bytes_max

    @property
    def size(self) -> int:
        """What is held, in the unit of the sizer."""
        if self._sizer == "requests":
            return len(self._parts)
        return self.spans if self._sizer == "items" else self.size_bytes

    def append(self, part: Part) -> None:
        """Take a part at the end; the caller has asked `full` or owes it a place."""
        self._parts.append(part)
        self.spans += part.spans
        self.size_bytes += len(part.payload)

    def take(self, bytes_max: int) -> list[Part]:
        """The next parts that somebody waits for, of at most ``bytes_max`` together
        (at least one part, if there is any)."""
        taken: list[Part] = []
        size_bytes = 0
        while self._parts:
            part = self._parts[0]
            size_bytes += len(part.payload)
            if taken and size_bytes > bytes_max:
                break
            self._drop_first()
            if part.abandoned:
                size_bytes -= len(part.payload)
            else:
                taken.append(part)
        return taken

    def clear(self) -> list[Part]:
        """Every part, in order; the backlog is empty afterwards."""
        parts = list(self._parts)
        self._parts.clear()
        self.spans = self.size_bytes = 0
        return parts

    def check_invariants(self) -> None:
        """Assert that the totals are right. Slow: for tests and simulation."""
        assert self.spans == sum(part.spans for part in self._parts)
        assert self.size_bytes == sum(len(part.payload) for part in self._parts)

    def _drop_first(self) -> None:
        part = self._parts.popleft()
        self.spans -= part.spans
        self.size_bytes -= len(part.payload)
