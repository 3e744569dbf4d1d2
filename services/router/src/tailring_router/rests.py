"""Waits for a time or for a change of the ring, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Rest", "Rests"]


class Rest:
    """One wait; ended once, or cancelled."""

    def __init__(self, then: Callable[[], None], rests: set[Rest]) -> None:
        self._then = then
        self._rests = rests
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """``then`` will not be called."""
        self._rests.discard(self)
        if self.handle is not None:
            self.handle.cancel()

    def end(self) -> None:
        """Stop waiting and go on."""
        self.cancel()
        self._then()


class Rests:
    """All waits of a fleet; lives on one event loop."""

    def __init__(self) -> None:
        self._rests: set[Rest] = set()

    def __len__(self) -> int:
        return len(self._rests)

    def rest(self, delay_s: float, then: Callable[[], None]) -> Rest:
        """Call ``then`` once: after the delay, or at `end_all`."""
        rest = Rest(then, self._rests)
        rest.handle = asyncio.get_running_loop().call_later(delay_s, rest.end)
        self._rests.add(rest)
        return rest

    def end_all(self) -> None:
        """End every wait that there is now."""
        for rest in list(self._rests):
            rest.end()
