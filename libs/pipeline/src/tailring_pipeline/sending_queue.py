"""The bounded queue in front of a destination: holds, delivers in parallel, answers.

Rules:

* A caller is answered when its batch was delivered, unless the configuration spells out
  that queued is enough (`QueueConfig.acknowledges_early`).
* What is held is bounded, deliveries in flight included; a full queue refuses at once,
  or lets its callers wait with ``block_on_overflow``.
* A caller that goes away takes its batch out while it is queued. A delivery in flight
  is never cancelled for it, but what fails is not tried again: he will send it himself.
* accepted = delivered + returned + lost + held, in items, always. Returned is what a
  waiting caller was told it still has; lost has a `Door`. `loss` is the part of the
  lost that was acknowledged and might have been taken later. What was found at the
  start is accepted, too.
* With a store that survives, what is refused while the queue drains stays held, and is
  no loss. After the first such refusal nothing more is tried: it is for the next start.

How it works: deliveries run in at most ``num_consumers`` tasks, which are spawned when
there is work and end when there is none. `_settle` is the one place where a batch
leaves, whatever the reason. What is held lies in a `Store`, in memory or on disk.

It does not retry: that is the `Retry` behind it, which is passed `hurry`, and which
`close` makes give up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tailring_pipeline.consumer import Batch, Consumer, Refused, Rejected
from tailring_pipeline.doors import Door
from tailring_pipeline.errors import Closed, Full, TooLarge, Unwritable
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_pipeline.failure_log import FailureLog
from tailring_pipeline.joined import abandoned
from tailring_pipeline.on_behalf import OnBehalf
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_pipeline.parking import Parking
from tailring_pipeline.queue_batch import QueueBatcher
from tailring_pipeline.queue_config import QueueConfig
from tailring_pipeline.retry import Retry
from tailring_pipeline.store import Entry, MemoryStore, Room, Store
from tailring_pipeline.wakeups import Wakeups
from tailring_runtime.logs import get_logger
from tailring_runtime.losses import Loss
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["SendingQueue", "SendingStatistics"]

# Upstream's words, so that a search for them finds ours as well. Here the caller is
# told and still has the data, which the field ``refused`` says.
FULL: Final = "Dropping data because sending_queue is full"


@dataclass(frozen=True, slots=True)
class SendingStatistics:
    """Where the items are that were accepted so far; see the module's last rule."""

    accepted: int
    delivered: int
    returned: int
    held: int
    lost: Mapping[Door, int]


class SendingQueue:
    """A `Stage` and `Consumer`; see the module. Not ``enabled``, it has no bound."""

    def __init__(
        self,
        config: QueueConfig,
        *,
        consumer: Consumer,
        metrics: ExporterMetrics,
        log: FilteringBoundLogger | None = None,
        store: Store | None = None,
    ) -> None:
        """Without a ``store`` it holds in memory what the configuration allows."""
        self._config = config
        self._consumer = consumer
        self._metrics = metrics
        self._log = log if log is not None else get_logger(exporter=metrics.exporter_id)
        self._store: Store = MemoryStore(Room.of(config)) if store is None else store
        self._store.follow(self._spawn_consumers, self._damaged)
        self._consumers_max = config.num_consumers if config.enabled else math.inf
        self._batcher: QueueBatcher | None = None
        if config.batches is not None:
            self._batcher = QueueBatcher(
                config.batches,
                consumer=consumer,
                senders_max=config.num_consumers,
                log=self._log,
            )
            # All that is held may wait for company.
            self._consumers_max = math.inf
        self._parking: Parking | None = None
        if self._store.park_s is not None and self._batcher is None:
            self._parking = Parking(self._store, after_s=self._store.park_s)
        self._tasks = TaskSet(metrics.exporter_id)
        self._consumers = 0
        self._idle = Wakeups()
        self._closed = False
        # A drain that was refused something: the rest stays for the next start.
        self._leaves_rest = False
        self._accepted = 0
        self._delivered = 0
        self._returned = 0
        self._held = 0
        self._lost = dict.fromkeys(Door, 0)
        self._lost_acknowledged = 0
        self._dropping = FailureLog("Exporting failed. Dropping data.", log=self._log)
        self._rejecting = FailureLog("Exporting failed. Rejecting data.", log=self._log)
        refused = {"refused": True}
        self._full = FailureLog(FULL, log=self._log, facts=refused)
        if config.enabled:
            metrics.watch_queue(self._size, capacity=config.queue_size)
        metrics.watch_in_flight(lambda: self._consumers)

    @property
    def acknowledges_early(self) -> bool:
        """Whether `consume` returns before the delivery."""
        return self._config.acknowledges_early

    @property
    def name(self) -> str:
        """The exporter's id."""
        return self._metrics.exporter_id

    @property
    def loss(self) -> Loss:
        """What was acknowledged and is lost, but for what was rejected."""
        return Loss(self._lost_acknowledged)

    def statistics(self) -> SendingStatistics:
        """Where every item is that was accepted."""
        return SendingStatistics(
            accepted=self._accepted,
            delivered=self._delivered,
            returned=self._returned,
            held=self._held,
            lost=dict(self._lost),
        )

    async def consume(self, batch: Batch) -> None:
        """Deliver the batch, or only queue it; see the module's first rule."""
        if self._closed:
            raise self._turn_away(batch, _draining())
        if not batch.items:
            return
        early = self.acknowledges_early
        answer = None if early else asyncio.get_running_loop().create_future()
        entry = Entry(batch, answer)
        try:
            await self._put(entry)
        except asyncio.CancelledError:
            if answer is not None:  # it may have been admitted, and be on its way
                answer.cancel()
            if entry.mark is not None:
                self._accept(entry)
            raise
        self._accept(entry)
        if answer is None:
            return
        try:
            outcome = await answer
        except asyncio.CancelledError:
            if self._store.withdraw(entry):
                self._settle(entry, abandoned(), door=Door.ABANDONED)
            raise
        if outcome is not None:
            raise outcome

    async def start(self) -> None:
        """Take over what a process before left on disk. Raises `StartError` or
        OSError when the store cannot be had."""
        items = await self._store.start()
        self._accepted += items
        self._held += items

    def hurry(self) -> None:
        """Try again at once what waits for its next attempt, and more often."""
        if isinstance(self._consumer, Retry):
            self._consumer.hurry()

    def close(self) -> None:
        """Refuse new batches; retries that wait make their last attempt now."""
        self._closed = True
        self._store.close()
        if self._batcher is not None:
            self._batcher.flush()
        if isinstance(self._consumer, Retry):
            self._consumer.stop_retrying()

    async def join(self, timeout_s: float) -> None:
        """Wait until everything held was delivered or failed, at most ``timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._busy() and loop.time() < deadline_s:
            await self._idle.wait(deadline_s - loop.time())

    def _busy(self) -> bool:
        if self._leaves_rest:
            return self._consumers > 0
        return self._held > 0

    async def terminate(self) -> None:
        """Abandon what is held: told to those who wait, counted as lost otherwise,
        unless it survives."""
        self.close()
        self._leaves_rest = True
        for entry in self._store.drain():
            self._settle(entry, _terminated(), door=Door.TERMINATED)
        await self._tasks.close()
        self._consumers = 0
        if self._batcher is not None:
            await self._batcher.terminate()
        await self._store.stop()
        if self._store.survives and self._held:
            self._log.info("what was not delivered stays on disk", items=self._held)
        for log in (self._dropping, self._rejecting, self._full):
            log.flush()

    def check_invariants(self) -> None:
        """Raise AssertionError unless every accepted item is in exactly one place."""
        self._store.check_invariants()
        left = self._delivered + self._returned + sum(self._lost.values())
        assert self._accepted == left + self._held
        assert self._held <= self._store.held[1]
        assert self._consumers <= self._consumers_max

    async def _put(self, entry: Entry) -> None:
        try:
            await self._store.put(entry, waits=self._config.block_on_overflow)
            return
        except TooLarge:
            answer: Refused | Rejected
            answer = Rejected("too_large", "the batch is larger than the sending queue")
        except Full:
            answer = Refused("queue_full", "sending queue is full")
        except Unwritable as error:
            reason = "storage_full" if error.full else "storage_failed"
            answer = Refused(reason, error.detail)
        except Closed:
            answer = _draining()
        raise self._turn_away(entry.batch, answer)

    def _turn_away(self, batch: Batch, answer: Refused | Rejected) -> Exception:
        self._metrics.enqueue_failed.add(batch.items)
        if answer.reason in ("queue_full", "storage_full"):
            self._full.failed(answer, batch.items)
        elif answer.reason != "draining":
            self._rejecting.failed(answer, batch.items)
        return answer

    def _accept(self, entry: Entry) -> None:
        # A putter that was admitted may be delivered before it runs again.
        if not entry.accepted:
            entry.accepted = True
            self._accepted += entry.batch.items
            self._held += entry.batch.items

    def _spawn_consumers(self) -> None:
        """Called for each entry that can be leased."""
        if self._has_work() and self._consumers < self._consumers_max:
            self._consumers += 1
            self._tasks.spawn(self._consume_queue(), name="sending queue consumer")

    def _has_work(self) -> bool:
        return self._store.ready > 0 and not self._leaves_rest

    async def _consume_queue(self) -> None:
        try:
            while self._has_work():
                await self._deliver(self._store.lease_nowait())
        finally:
            self._consumers -= 1
            if not self._busy():
                self._idle.wake_all()

    async def _deliver(self, entry: Entry) -> None:
        self._accept(entry)
        asker = self._asker_of(entry)
        try:
            consumer = self._consumer_for(asker)
            outcome = await delivery_of(entry.batch, consumer, log=self._log)
            taken_back = asker is not None and asker.done()
        except asyncio.CancelledError:
            if self._store.survives:
                self._keep(entry, _terminated())
            else:
                self._store.release(entry)
                self._settle(entry, _terminated(), door=Door.TERMINATED)
            raise
        finally:
            if asker is not None and asker is not entry.answer:
                asker.cancel()
        if isinstance(outcome, Refused) and self._store.survives:
            if self._closed:
                self._keep(entry, outcome)
                return
            if self._parking is not None and taken_back:
                self._count_delivered(self._parking.park(entry, outcome))
                return
        self._store.release(entry)
        self._settle(entry, outcome)

    def _asker_of(self, entry: Entry) -> asyncio.Future[Any] | None:
        """Whoever waits for it: its sender, else the parking."""
        if entry.answer is None and self._parking is not None:
            return self._parking.asker(entry)
        return entry.answer

    def _keep(self, entry: Entry, refused: Refused) -> None:
        """It was refused while the queue drains: the next start has what is left."""
        self._leaves_rest = True
        remaining = refused.remaining
        if remaining is not None and remaining.items >= entry.batch.items:
            remaining = None  # all of it, and it is there already
        if remaining is not None and not remaining.payload:
            remaining = None  # nobody knows which part it is: all of it
        if remaining is not None:
            remaining = replace(remaining, signal=entry.batch.signal)
            self._count_delivered(entry.batch.items - remaining.items)
        self._store.keep(entry, remaining)

    def _count_delivered(self, items: int) -> None:
        self._held -= items
        self._delivered += items
        self._metrics.sent.add(items)

    def _consumer_for(self, asker: asyncio.Future[Any] | None) -> Consumer:
        consumer = self._batcher or self._consumer
        if asker is not None and isinstance(consumer, OnBehalf):
            return consumer.on_behalf_of(asker)
        return consumer

    def _settle(
        self, entry: Entry, outcome: Outcome, *, door: Door | None = None
    ) -> None:
        """The one way out: count what was delivered and who has the rest."""
        self._accept(entry)
        failed = 0 if outcome is None else outcome.items_of(entry.batch)
        delivered = entry.batch.items - failed
        self._held -= entry.batch.items
        self._delivered += delivered
        self._metrics.sent.add(delivered)
        waiting = entry.answer is not None and not entry.answer.done()
        if outcome is not None and waiting:
            self._returned += failed
            self._metrics.send_failed.add(failed)
            self._rejecting.failed(outcome, failed)
        elif outcome is not None:
            self._lose(failed, outcome, door=door or Door.of(outcome))
            if entry.answer is None and isinstance(outcome, Refused):
                self._lost_acknowledged += failed
        if entry.answer is not None and waiting:
            entry.answer.set_result(outcome)
        if not self._busy():
            self._idle.wake_all()

    def _lose(self, items: int, outcome: Refused | Rejected, *, door: Door) -> None:
        self._lost[door] += items
        self._metrics.lost(door, items)
        if door is not Door.ABANDONED:
            self._metrics.send_failed.add(items)
            self._dropping.failed(outcome, items)

    def _damaged(self, items: int) -> None:
        """What was held is gone; the store has logged where and why."""
        self._held -= items
        self._lost[Door.DAMAGED] += items
        self._lost_acknowledged += items
        self._metrics.lost(Door.DAMAGED, items)
        if not self._busy():
            self._idle.wake_all()

    def _size(self) -> float:
        requests, items, nbytes = self._store.held
        sizes = {"requests": requests, "items": items, "bytes": nbytes}
        return sizes[self._config.sizer]


def _draining() -> Refused:
    return Refused("draining", "the exporter is stopping")


def _terminated() -> Refused:
    return Refused("terminated", "the process stopped before the delivery")
