"""A consumer that keeps what it got and can be told how to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from tailring_pipeline import Batch, Refused, Rejected

__all__ = ["Sink"]


class Sink:
    """Keeps every batch that it took; raises instead when told to.

    ``script`` decides the next calls one by one (None takes the batch, an exception
    is raised); when it is used up, `answer` decides. Batches that were answered with
    an exception are in ``turned_away``. ``hold`` keeps calls in flight until
    ``release``; ``in_flight`` says how many are, ``cancelled`` how many were cancelled.
    """

    def __init__(self, answer: BaseException | None = None) -> None:
        self.batches: list[Batch] = []
        self.turned_away: list[Batch] = []
        self.in_flight = 0
        self.cancelled = 0
        self._answer = answer
        self._script: Iterator[BaseException | None] = iter(())
        self._open = asyncio.Event()
        self._open.set()
        self._arrived = asyncio.Condition()

    @property
    def items(self) -> int:
        """Items of all batches taken."""
        return sum(batch.items for batch in self.batches)

    @property
    def payload(self) -> bytes:
        """All batches taken as one request (concatenation merges requests)."""
        return b"".join(batch.payload for batch in self.batches)

    def take(self) -> None:
        """From now on take every batch (the state of a new sink)."""
        self._answer = None

    def refuse(self, reason: str = "full", *, retry_after_s: float = 0.0) -> None:
        """From now on refuse every batch."""
        self._answer = Refused(reason, f"sink: {reason}", retry_after_s=retry_after_s)

    def reject(self, reason: str = "bad", *, items: int | None = None) -> None:
        """From now on reject every batch, or ``items`` items of each."""
        self._answer = Rejected(reason, f"sink: {reason}", items=items)

    def fail(self, error: BaseException) -> None:
        """From now on raise ``error`` for every batch."""
        self._answer = error

    def script(self, answers: Iterable[BaseException | None]) -> None:
        """Answer the next calls by ``answers`` in order."""
        self._script = iter(answers)

    def hold(self) -> None:
        """Keep calls in flight, unanswered, until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let the calls in flight be answered."""
        self._open.set()

    async def wait_in_flight(self, calls: int) -> None:
        """Wait until at least ``calls`` calls are in flight."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.in_flight >= calls)

    async def wait_items(self, items: int) -> None:
        """Wait until at least ``items`` items were taken."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.items >= items)

    async def consume(self, batch: Batch) -> None:
        """Keep the batch or raise what was told."""
        self.in_flight += 1
        try:
            async with self._arrived:
                self._arrived.notify_all()
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        await self._decide(batch)

    async def _decide(self, batch: Batch) -> None:
        answer = next(self._script, self._answer)
        if answer is not None:
            self.turned_away.append(batch)
            raise answer
        self.batches.append(batch)
        async with self._arrived:
            self._arrived.notify_all()
