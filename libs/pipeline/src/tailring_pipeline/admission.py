"""Room in a queue whose contents are elsewhere: counted, bounded, waited for in order.

Rules:

* Whoever enters takes room until he leaves; nobody enters beyond a bound, but by
  `enter_anyway`, which is for what is there already.
* Those who wait are let in in order; one that is cancelled takes no room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from tailring_pipeline.errors import Closed, Full, TooLarge
from tailring_pipeline.store import Room

__all__ = ["Admission", "Size"]


class Size(NamedTuple):
    """How much room something takes."""

    requests: int = 0
    items: int = 0
    nbytes: int = 0

    def plus(self, other: Size) -> Size:
        """Both together."""
        return Size(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Size) -> Size:
        """What is left without the other."""
        return Size(*(a - b for a, b in zip(self, other, strict=True)))


class Admission:
    """See the module; lives on one event loop."""

    def __init__(self, room: Room) -> None:
        self._limits = (room.requests_max, room.items_max, room.bytes_max)
        self.held = Size()
        # Of these, for those who waited and do not run yet.
        self.arriving = Size()
        self._line: deque[tuple[Size, asyncio.Future[bool]]] = deque()
        self._closed = False

    def enter_nowait(self, size: Size) -> None:
        """Take room, or raise `Full`, `TooLarge` or `Closed`."""
        self._check(size)
        if self._line or not self._fits(size):
            raise Full
        self.enter_anyway(size)

    async def enter(self, size: Size) -> None:
        """Take room when it is there; raises `TooLarge`, or `Closed` meanwhile."""
        self._check(size)
        if not self._line and self._fits(size):
            self.enter_anyway(size)
            return
        admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append((size, admitted))
        try:
            if not await admitted:
                raise Closed
            self.arriving = self.arriving.minus(size)
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled() and admitted.result():
                self.arriving = self.arriving.minus(size)
                self.leave(size)
            else:
                self._line.remove((size, admitted))
                self._admit()
            raise

    def enter_anyway(self, size: Size) -> None:
        """Take room, whatever the bounds."""
        self.held = self.held.plus(size)

    def leave(self, size: Size) -> None:
        """Give room back, and let in who waits for it."""
        self.held = self.held.minus(size)
        self._admit()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        while self._line:
            _, admitted = self._line.popleft()
            if not admitted.done():
                admitted.set_result(False)

    def _check(self, size: Size) -> None:
        if self._closed:
            raise Closed
        if any(
            limit is not None and one > limit
            for one, limit in zip(size, self._limits, strict=True)
        ):
            raise TooLarge

    def _fits(self, size: Size) -> bool:
        return all(
            limit is None or held + one <= limit
            for held, one, limit in zip(self.held, size, self._limits, strict=True)
        )

    def _admit(self) -> None:
        while self._line:
            size, admitted = self._line[0]
            if admitted.done():
                return  # cancelled: it leaves the line itself, in a moment
            if not self._fits(size):
                return
            self._line.popleft()
            self.enter_anyway(size)
            self.arriving = self.arriving.plus(size)
            admitted.set_result(True)
