"""A sleep that only a test ends.

Stands in for ``asyncio.sleep`` in a part that does something, sleeps, and does it
again. `Ticks.tick` ends the sleep and returns once the part sleeps anew, so a test
needs neither a short interval nor a guess how long a round takes.
"""

from __future__ import annotations

import asyncio

__all__ = ["Ticks"]


class Ticks:
    """The sleeps of one part; ``slept_s`` holds what it asked for."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []
        self._asleep = asyncio.Event()
        self._wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """What the part under test calls."""
        self.slept_s.append(seconds)
        self._wake.clear()
        self._asleep.set()
        await self._wake.wait()

    async def end_sleep(self) -> None:
        """Once the part sleeps let it go on; does not wait until it sleeps again."""
        await self._asleep.wait()
        self._asleep.clear()
        self._wake.set()

    async def tick(self, rounds: int = 1) -> None:
        """Let the part do ``rounds`` rounds; waits until it sleeps again."""
        for _ in range(rounds):
            await self.end_sleep()
            await self._asleep.wait()
