"""Waits for a time, for a change of the ring or for a backend, which comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from tailring_pipeline import HURRIED_WAIT_MAX_S
from tailring_router.backlog import Total
from tailring_router.part import Part
from tailring_router.slices import Slices

__all__ = ["Rest", "Rests", "Room"]


class Room(Protocol):
    """What a part takes up although it rests elsewhere; see `Forwarder`."""

    def rest(self, part: Part) -> None:
        """It takes room until `rested`."""

    def rested(self, part: Part) -> None:
        """It takes no room any more."""


class Rest:
    """One wait; ended once, or cancelled."""

    def __init__(
        self,
        then: Callable[[], None],
        rests: dict[Rest, int],
        *,
        left: Callable[[], None],
        address: str,
    ) -> None:
        """``rests`` holds it, with its bytes, until it is over."""
        self.address = address
        self._then = then
        self._rests = rests
        self._left = left
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """``then`` will not be called."""
        if self in self._rests:
            del self._rests[self]
            self._left()
        if self.handle is not None:
            self.handle.cancel()

    def end(self) -> None:
        """Stop waiting and go on."""
        self.cancel()
        self._then()


class Rests:
    """All waits of a fleet, whose bytes count in ``total``; lives on one event loop.

    While it ``hurries`` no wait is long. Many are ended in ``slices``: each goes on
    taking up room, and may be cancelled or end by itself, until its turn comes.
    """

    def __init__(self, total: Total, slices: Slices | None = None) -> None:
        self.hurries = False
        self._total = total
        self._slices = slices or Slices()
        self._rests: dict[Rest, int] = {}

    def __len__(self) -> int:
        return len(self._rests)

    def rest(
        self,
        part: Part,
        delay_s: float,
        *,
        then: Callable[[], None],
        room: Room | None = None,
        patient: bool = False,
    ) -> Rest:
        """Call ``then`` once: after the delay, at `end_all` or, unless ``patient``,
        when the backend of the part is back. Meanwhile it takes up ``room``."""

        def left() -> None:
            """It takes no room any more."""
            self._total.add(-len(part.payload))
            if room is not None:
                room.rested(part)

        self._total.add(len(part.payload))
        if room is not None:
            room.rest(part)
        address = "" if patient else part.address
        rest = Rest(then, self._rests, left=left, address=address)
        delay_s = min(delay_s, HURRIED_WAIT_MAX_S) if self.hurries else delay_s
        rest.handle = asyncio.get_running_loop().call_later(delay_s, rest.end)
        self._rests[rest] = len(part.payload)
        return rest

    def end_at(self, address: str) -> None:
        """The backend at ``address`` is back: go on with what failed there."""
        theirs = [one for one in self._rests if one.address == address]
        self._slices.each(theirs, self._end)

    def end_all(self) -> None:
        """End every wait that there is now, the oldest first."""
        self._slices.each(self._rests, self._end)

    def _end(self, rest: Rest) -> int:
        size_bytes = self._rests.get(rest, 0)
        if rest in self._rests:
            rest.end()
        return size_bytes
