"""Joins what leaves a sending queue: ``sending_queue.batch``.

Rules:

* Joining is concatenating encoded requests; nothing is parsed unless it has to be cut.
* A batch goes when it has ``min_size`` or its first member has waited for
  ``flush_timeout``; before a member would make it larger than ``max_size``; and at once
  when the queue drains. At most ``senders_max`` are on their way.
* Each member gets the answer of its batch. A batch that is *rejected* as a whole is
  taken apart, and each member sent alone once.
* A member whose sender goes away leaves the batch that is being filled. Once all
  senders of a batch that was sent are gone, nothing more is begun for it.

It holds no more than the queue in front has handed out, so it needs no bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tailring_pipeline.backoff import SECOND_NS
from tailring_pipeline.batch_answers import (
    deliver_cut,
    deliver_pieces,
    rejects_all,
    shares_of,
)
from tailring_pipeline.consumer import Batch, Consumer, Refused
from tailring_pipeline.cutting import cut_batch
from tailring_pipeline.on_behalf import OnBehalf, OneSender
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_pipeline.queue_batch_config import QueueBatchConfig
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["QueueBatcher"]


class _Member:
    __slots__ = ("answer", "batch", "flight")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Outcome] = loop.create_future()
        self.flight: _Flight | None = None


class _Flight:
    """A batch that was sent; ``asker`` is cancelled when nobody waits for it."""

    __slots__ = ("asker", "members", "waiting")

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = members
        self.waiting = len(members)
        self.asker: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class QueueBatcher:
    """A `Consumer` behind a sending queue; see the module."""

    def __init__(
        self,
        config: QueueBatchConfig,
        *,
        consumer: Consumer,
        senders_max: int,
        log: FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._log = log
        self._senders = asyncio.Semaphore(senders_max)
        self._tasks = TaskSet("sending queue batches")
        self._filling: dict[_Member, None] = {}
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False

    async def consume(self, batch: Batch) -> None:
        """Wait for the answer to the batch that this one joins, and raise that."""
        await self._join(batch, None)

    def on_behalf_of(self, asker: asyncio.Future[Any]) -> Consumer:
        """The same consumer for one batch, whose sender waits for ``asker``."""
        return OneSender(self._join, asker)

    def flush(self) -> None:
        """The queue drains: from now on nothing waits for company."""
        self._hurried = True
        self._send()

    async def terminate(self) -> None:
        """Abandon what is on its way. Safe twice."""
        self._send_none()
        await self._tasks.close()

    async def _join(self, batch: Batch, asker: asyncio.Future[Any] | None) -> None:
        member = _Member(batch)
        self._add(member)
        left = partial(self._left, member)
        if asker is not None:
            asker.add_done_callback(left)
        try:
            outcome = await member.answer
        except asyncio.CancelledError:
            self._left(member, None)
            raise
        finally:
            if asker is not None:
                asker.remove_done_callback(left)
        if outcome is not None:
            raise outcome

    def _add(self, member: _Member) -> None:
        config, size = self._config, self._size_of(member.batch)
        if config.max_size and self._size + size > config.max_size:
            self._send()
        self._filling[member] = None
        self._size += size
        if self._size >= config.min_size or self._hurried:
            self._send()
        elif self._timer is None:
            delay_s = config.flush_timeout / SECOND_NS
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._send)

    def _size_of(self, batch: Batch) -> int:
        return batch.items if self._config.sizer == "items" else len(batch.payload)

    def _send(self) -> None:
        members = self._send_none()
        if not members:
            return
        flight = _Flight(members)
        for member in members:
            member.flight = flight
        self._tasks.spawn(self._fly(flight), name="sending queue batch")

    def _send_none(self) -> list[_Member]:
        """Empty what is being filled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        members = list(self._filling)
        self._filling.clear()
        self._size = 0
        return members

    def _left(self, member: _Member, _asker: asyncio.Future[Any] | None) -> None:
        if member in self._filling:
            del self._filling[member]
            self._size -= self._size_of(member.batch)
            if not member.answer.done():
                away = Refused("abandoned", "the sender went away")
                member.answer.set_result(away)
        elif member.flight is not None:
            member.flight.waiting -= 1
            if not member.flight.waiting:
                member.flight.asker.cancel()

    async def _fly(self, flight: _Flight) -> None:
        members = flight.members
        batches = [member.batch for member in members]
        async with self._senders:
            outcome = await self._deliver(batches, flight)
            if len(members) > 1 and rejects_all(outcome, batches):
                answers = [await self._deliver([one], flight) for one in batches]
            else:
                answers = shares_of(outcome, batches)
        for member, answer in zip(members, answers, strict=True):
            if not member.answer.done():
                member.answer.set_result(answer)

    async def _deliver(self, batches: Sequence[Batch], flight: _Flight) -> Outcome:
        items = sum(batch.items for batch in batches)
        payload = b"".join(batch.payload for batch in batches)
        whole = Batch(payload, items, batches[0].signal)
        consumer = self._consumer
        if isinstance(consumer, OnBehalf):
            consumer = consumer.on_behalf_of(flight.asker)
        deliver = partial(delivery_of, consumer=consumer, log=self._log)
        size_max = self._config.max_size
        if not size_max or self._size_of(whole) <= size_max:
            return await deliver(whole)
        if self._config.sizer == "items":
            return await deliver_cut(whole, size_max, deliver)
        return await deliver_pieces(cut_batch(whole, size_max), deliver)
