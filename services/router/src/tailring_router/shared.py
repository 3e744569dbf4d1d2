"""What the forwarders of one fleet have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tailring_router.backlog import Total
from tailring_router.pace import Pace
from tailring_router.part import MOVED, Part
from tailring_router.slices import Slices

__all__ = ["Shared"]


class Shared:
    """The bytes that wait, the pace, and the turns of the event loop."""

    def __init__(self, *, queued_bytes_max: int = 1 << 30) -> None:
        self.total = Total(queued_bytes_max)
        self.pace = Pace()
        self.slices = Slices()
        self.came_back: Callable[[str], None] = _nothing
        """Called with the address of a backend that was away and answers again."""

    def move(self, parts: Iterable[Part]) -> None:
        """Resolve parts that nobody has any more as moved, in order and in slices.
        Until then they count among what waits."""
        moving = list(parts)
        self.total.add(sum(len(part.payload) for part in moving))
        self.slices.each(moving, self._move)

    def _move(self, part: Part) -> int:
        self.total.add(-len(part.payload))
        part.resolve(MOVED)
        return len(part.payload)


def _nothing(_address: str) -> None:
    """Nobody waits for it."""
