"""Waits for a time or for a change of the ring, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tailring_router.backlog import Total

__all__ = ["Rest", "Rests"]


class Rest:
    """One wait; ended once, or cancelled."""

    def __init__(
        self, then: Callable[[], None], rests: set[Rest], *, left: Callable[[], None]
    ) -> None:
        self._then = then
        self._rests = rests
        self._left = left
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """``then`` will not be called."""
        if self in self._rests:
            self._rests.remove(self)
            self._left()
        if self.handle is not None:
            self.handle.cancel()

    def end(self) -> None:
        """Stop waiting and go on."""
        self.cancel()
        self._then()


class Rests:
    """All waits of a fleet, whose bytes count in ``total``; lives on one event loop."""

    def __init__(self, total: Total) -> None:
        self._total = total
        self._rests: set[Rest] = set()

    def __len__(self) -> int:
        return len(self._rests)

    def rest(
        self,
        delay_s: float,
        then: Callable[[], None],
        *,
        size_bytes: int,
        ended: Callable[[], None] | None = None,
    ) -> Rest:
        """Call ``then`` once: after the delay, or at `end_all`. ``ended`` is called
        before that, and also when the rest is cancelled."""

        def left() -> None:
            """It takes no room any more."""
            self._total.add(-size_bytes)
            if ended is not None:
                ended()

        self._total.add(size_bytes)
        rest = Rest(then, self._rests, left=left)
        rest.handle = asyncio.get_running_loop().call_later(delay_s, rest.end)
        self._rests.add(rest)
        return rest

    def end_all(self) -> None:
        """End every wait that there is now."""
        for rest in list(self._rests):
            rest.end()
