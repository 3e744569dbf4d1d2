"""Tells a follower of each entry that can be leased, a few in a turn of the event loop.

Each call is work at once; a backlog that was read must not hold up everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["ReadyCalls"]

CALLS_AT_ONCE: Final = 32


class ReadyCalls:
    """See the module."""

    def __init__(self) -> None:
        self._follower: Callable[[], None] = _nobody
        self._untold = 0
        self._next: asyncio.Handle | None = None
        self._stopped = False

    def follow(self, follower: Callable[[], None]) -> None:
        """Whom to call."""
        self._follower = follower

    def add(self) -> None:
        """One more, soon."""
        self._untold += 1
        self._call_soon()

    def stop(self) -> None:
        """Call nobody any more. Safe twice."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()

    def _call_soon(self) -> None:
        if self._next is None and self._untold and not self._stopped:
            self._next = asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        self._next = None
        for _ in range(min(self._untold, CALLS_AT_ONCE)):
            self._untold -= 1
            self._follower()
        self._call_soon()


def _nobody() -> None:
    """Who follows before anybody does."""
