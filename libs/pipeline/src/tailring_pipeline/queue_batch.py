"""Joins what leaves a sending queue: ``sending_queue.batch``.

Rules:

* Joining is concatenating encoded requests; nothing is parsed unless it has to be cut.
* A batch goes when it has ``min_size`` or its first member has waited for
  ``flush_timeout``; before a member would make it larger than ``max_size``; and at once
  when the queue drains. At most ``senders_max`` are on their way.
* Each member gets the answer of its batch. A batch that is *rejected* for what one
  member may be to blame for is sent again in halves, one after the other (`halving`).
* A member whose sender goes away leaves the batch that is being filled. Once all
  senders of a batch that was sent are gone, nothing more is begun for it.

It holds no more than the queue in front has handed out, so it needs no bound.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from tailring_pipeline.backoff import SECOND_NS
from tailring_pipeline.batch_answers import deliver_cut, deliver_pieces
from tailring_pipeline.consumer import Batch, Consumer
from tailring_pipeline.cutting import cut_batch
from tailring_pipeline.joined import Flight, Member, abandoned, deliver_joined
from tailring_pipeline.on_behalf import OnBehalf, OneSender
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_pipeline.queue_batch_config import QueueBatchConfig
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["QueueBatcher"]


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
        self._filling: dict[Member, None] = {}
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
        member = Member(batch)
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

    def _add(self, member: Member) -> None:
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
        asker = asyncio.get_running_loop().create_future()
        flight = Flight(members, asker)
        self._tasks.spawn(self._fly(flight), name="sending queue batch")

    def _send_none(self) -> list[Member]:
        """Empty what is being filled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        members = list(self._filling)
        self._filling.clear()
        self._size = 0
        return members

    def _left(self, member: Member, _asker: asyncio.Future[Any] | None) -> None:
        if member in self._filling:
            del self._filling[member]
            self._size -= self._size_of(member.batch)
            member.settle(abandoned())
        elif member.flight is not None:
            member.flight.leave(member)

    async def _fly(self, flight: Flight) -> None:
        deliver = partial(self._deliver, flight)
        async with self._senders:
            await deliver_joined(
                flight.members, deliver, settle=Member.settle, abandon=_abandon
            )

    async def _deliver(self, flight: Flight, whole: Batch) -> Outcome:
        consumer = self._consumer
        if isinstance(consumer, OnBehalf):
            consumer = consumer.on_behalf_of(flight.sending)
        deliver = partial(delivery_of, consumer=consumer, log=self._log)
        size_max = self._config.max_size
        if not size_max or self._size_of(whole) <= size_max:
            return await deliver(whole)
        if self._config.sizer == "items":
            return await deliver_cut(whole, size_max, deliver)
        return await deliver_pieces(cut_batch(whole, size_max), deliver)


def _abandon(member: Member) -> None:
    member.settle(abandoned())
