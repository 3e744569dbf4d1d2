"""Where a receiver's requests enter the pipelines: a door that can be turned.

While a receiver lives the pipelines behind it may be replaced. `Inlet.point` turns the
door to the new ones in one step; what went in before is still answered by the old, and
`Way.wait_idle` says when the last of it was. `Inlet.hold` lets requests wait for the
turn when the old pipelines have to end before the new ones can begin; the receiver's
limits of what is in flight hold for those too.
"""

from __future__ import annotations

import asyncio

from tailring_pipeline import Batch, Consumer

__all__ = ["Inlet", "Way"]


class Way:
    """One consumer and how many requests are with it."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def consume(self, batch: Batch) -> None:
        """Hand a batch on, counted while it is there."""
        self._open += 1
        self._idle.clear()
        try:
            await self.consumer.consume(batch)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Return once no request is left."""
        await self._idle.wait()


class Inlet:
    """A `Consumer` that hands on to another one, which may be exchanged."""

    def __init__(self, consumer: Consumer) -> None:
        self._way = Way(consumer)
        self._released = asyncio.Event()
        self._released.set()

    async def consume(self, batch: Batch) -> None:
        """What the consumer of this moment answers."""
        await self._released.wait()
        await self._way.consume(batch)

    def hold(self) -> Way:
        """Let requests wait until `point`; returned is what went in before."""
        self._released.clear()
        return self._way

    def release(self) -> None:
        """Let requests in again where they went before."""
        self._released.set()

    def point(self, consumer: Consumer) -> Way | None:
        """Hand on to ``consumer`` from now on; the way before, if it differs."""
        before = self._way if self._way.consumer is not consumer else None
        if before is not None:
            self._way = Way(consumer)
        self._released.set()
        return before
