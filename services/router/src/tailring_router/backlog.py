"""What waits for one backend: a bounded list of parts, first come, first sent.

Rules: a part is admitted only while the backlog is under every one of its limits
(one part may overstep the limit of bytes, or it could never be sent); parts that
somebody holds anyway are admitted over the limits, for their memory is already spent;
a part whose sender has gone takes no room from that moment on. A part that was sent in
vain and *rests* elsewhere before it comes again takes room here meanwhile.

It knows no time, no socket and no retry.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from tailring_pipeline import Sizer
from tailring_router.part import Part

__all__ = ["Backlog", "Total"]


class Total:
    """Bytes that wait in a fleet: in all backlogs, and for another try of level 1."""

    def __init__(self, bytes_max: int = 1 << 30) -> None:
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """True when no further part is admitted anywhere."""
        return self.size_bytes >= self._bytes_max

    def add(self, size_bytes: int) -> None:
        """So much more waits; negative: less."""
        self.size_bytes += size_bytes
        if self.full:
            self._room.clear()
        else:
            self._room.set()

    async def wait_room(self) -> None:
        """Wait until the total was seen under its limit; it may be full again."""
        await self._room.wait()


class Backlog:
    """Parts in order, with running totals of their number, items and bytes."""

    def __init__(
        self, *, sizer: Sizer, size_max: int, bytes_max: int, total: Total | None = None
    ) -> None:
        """``size_max`` is in the unit of ``sizer``; ``bytes_max`` holds besides."""
        self._sizer = sizer
        self._size_max = size_max
        self._bytes_max = bytes_max
        self._total = total or Total()
        self._parts: OrderedDict[Part, None] = OrderedDict()
        self._resting: set[Part] = set()
        self._resting_bytes = 0
        self._resting_items = 0
        self.items = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __contains__(self, part: Part) -> bool:
        return part in self._parts

    @property
    def full(self) -> bool:
        """True when no further part is admitted."""
        size_bytes = self.size_bytes + self._resting_bytes
        return self.size >= self._size_max or size_bytes >= self._bytes_max

    @property
    def size(self) -> int:
        """What takes room, in the unit of the sizer."""
        if self._sizer == "requests":
            return len(self._parts) + len(self._resting)
        if self._sizer == "items":
            return self.items + self._resting_items
        return self.size_bytes + self._resting_bytes

    def append(self, part: Part) -> None:
        """Take a part at the end; the caller has asked `full` or owes it a place."""
        self._parts[part] = None
        self._count(part, 1)

    def remove(self, part: Part) -> None:
        """Give a part up that nobody waits for any more."""
        del self._parts[part]
        self._count(part, -1)

    def rest(self, part: Part) -> None:
        """A part that is not here takes room until `rested`."""
        self._resting.add(part)
        self._resting_items += part.items
        self._resting_bytes += len(part.payload)

    def rested(self, part: Part) -> None:
        """It takes no room any more."""
        self._resting.remove(part)
        self._resting_items -= part.items
        self._resting_bytes -= len(part.payload)

    def take(self, bytes_max: int) -> list[Part]:
        """The next parts, of at most ``bytes_max`` together (at least one, if any)."""
        taken: list[Part] = []
        size_bytes = 0
        while self._parts:
            part = next(iter(self._parts))
            size_bytes += len(part.payload)
            if taken and size_bytes > bytes_max:
                break
            self.remove(part)
            taken.append(part)
        return taken

    def clear(self) -> list[Part]:
        """Every part, in order; the backlog is empty afterwards."""
        parts = list(self._parts)
        self._parts.clear()
        self._total.add(-self.size_bytes)
        self.items = self.size_bytes = 0
        return parts

    def check_invariants(self) -> None:
        """Assert that the totals are right. Slow: for tests and simulation."""
        assert self.items == sum(part.items for part in self._parts)
        assert self.size_bytes == sum(len(part.payload) for part in self._parts)
        assert self._resting_items == sum(part.items for part in self._resting)
        assert not any(part.abandoned for part in self._parts)

    def _count(self, part: Part, sign: int) -> None:
        size_bytes = sign * len(part.payload)
        self.items += sign * part.items
        self.size_bytes += size_bytes
        self._total.add(size_bytes)
