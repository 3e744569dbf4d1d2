"""The ``batch`` processor: joins small batches into large ones.

Rules:

* Joining is concatenating encoded requests; nothing is parsed.
* Nothing is acknowledged early. A member waits for its batch's answer and gets it; only
  a batch that is *rejected* for what one member may be to blame for is sent again in
  halves (`halving`), so that one bad member takes no other with it.
* What waits and what is in flight is bounded in items and bytes; beyond it `Refused`.
* A member whose sender goes away leaves the batch if that has not been sent. When the
  last sender of a sent batch goes, so does the wait for its answer: those behind recall
  what they still can, and nothing is sent again for nobody.
* accepted = delivered + returned + lost + held, in items, always.

How it works: members collect until ``send_batch_size`` items are there, or the oldest
has waited for ``timeout``, or no other came for ``quiet_s``: whoever waits for an
answer sends nothing meanwhile, so a pause may mean that everybody waits. Without a
timeout or a size each goes at once, as upstream. With ``send_batch_max_size`` a batch
is sent before a member would make it too large, and a single member above it is cut.
Several batches may be in flight. What is refused is not tried again here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailring_pipeline.backoff import SECOND_NS
from tailring_pipeline.batch_answers import deliver_cut
from tailring_pipeline.batch_config import BatchConfig
from tailring_pipeline.batch_metrics import BatchMetrics, Trigger
from tailring_pipeline.consumer import Batch, Consumer, Refused, Signal
from tailring_pipeline.doors import Door
from tailring_pipeline.joined import Flight, Member, abandoned, deliver_joined
from tailring_pipeline.outcome import Outcome, delivery_of
from tailring_pipeline.wakeups import Wakeups
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BatchProcessor", "BatchSettings", "BatchStatistics"]

# Parts of a rejected batch that are sent at the same time.
PARTS_AT_ONCE_MAX = 16


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """The bounds of what waits or is in flight; one batch alone may exceed them.

    ``quiet_s`` 0: only size and timeout send a batch. That is right behind a stage that
    goes on sending while it waits, and wrong behind clients, whose deadline may be
    shorter than the timeout.
    """

    items_max: int = 1_000_000
    bytes_max: int = 256 * 1024 * 1024
    quiet_s: float = 0.005
    signal: Signal = Signal.TRACES


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Where the items are that were accepted so far; see the module's last rule."""

    accepted: int
    delivered: int
    returned: int
    held: int
    lost: Mapping[Door, int]


class BatchProcessor:
    """A `Stage` and `Consumer` in a pipeline of one signal; see the module."""

    def __init__(
        self,
        config: BatchConfig,
        *,
        consumer: Consumer,
        metrics: Metrics,
        name: str = "batch",
        settings: BatchSettings | None = None,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._settings = settings if settings is not None else BatchSettings()
        signal = self._settings.signal
        self._metrics = BatchMetrics(metrics, name, signal=signal)
        self._log: FilteringBoundLogger = get_logger(processor=name)
        self._tasks = TaskSet(name, metrics=metrics)
        self._idle = Wakeups()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._added_at_s = 0.0
        self._closed = False
        # Members of the batch that is being filled, and of those that were sent.
        self._filling: dict[Member, None] = {}
        self._filling_items = 0
        self._in_flight: dict[Member, Flight] = {}
        # Both together.
        self._held_items = 0
        self._held_bytes = 0
        self._accepted = 0
        self._delivered = 0
        self._returned = 0
        self._lost = dict.fromkeys(Door, 0)

    def statistics(self) -> BatchStatistics:
        """Where every item is that was accepted."""
        return BatchStatistics(
            accepted=self._accepted,
            delivered=self._delivered,
            returned=self._returned,
            held=self._held_items,
            lost=dict(self._lost),
        )

    async def consume(self, batch: Batch) -> None:
        """Wait for the answer to the batch that this one joins, and raise that."""
        self._metrics.incoming(batch.items)
        if self._closed:
            raise Refused("draining", "the batch processor is stopping")
        if not batch.items:
            return
        if not self._has_room(batch):
            raise Refused("batch_full", "too much waits in the batch processor")
        member = Member(batch)
        self._add(member)
        try:
            outcome = await member.answer
        except asyncio.CancelledError:
            self._withdraw(member)
            raise
        if outcome is not None:
            raise outcome

    async def start(self) -> None:
        """Nothing to begin: the first member sets the timer."""

    def close(self) -> None:
        """Refuse new members and send what waits."""
        self._closed = True
        if self._filling:
            self._send(Trigger.TIMEOUT)

    async def join(self, timeout_s: float) -> None:
        """Wait until everything held was answered, at most ``timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._held_items and loop.time() < deadline_s:
            await self._idle.wait(deadline_s - loop.time())

    async def terminate(self) -> None:
        """Refuse to every member what has no answer yet, and stop sending."""
        self._closed = True
        await self._tasks.close()
        for member in (*self._take_filling(), *self._in_flight):
            answer = Refused("terminated", "the process stopped before the delivery")
            self._settle(member, answer, door=Door.TERMINATED)

    def check_invariants(self) -> None:
        """Raise AssertionError unless every accepted item is in exactly one place."""
        left = self._delivered + self._returned + sum(self._lost.values())
        assert self._accepted == left + self._held_items
        filling = sum(member.batch.items for member in self._filling)
        in_flight = sum(member.batch.items for member in self._in_flight)
        assert self._filling_items == filling
        assert self._held_items == filling + in_flight
        assert (self._timer is not None) == bool(self._filling)

    def _has_room(self, batch: Batch) -> bool:
        if not self._held_items:
            return True
        return (
            self._held_items + batch.items <= self._settings.items_max
            and self._held_bytes + len(batch.payload) <= self._settings.bytes_max
        )

    def _add(self, member: Member) -> None:
        items = member.batch.items
        self._accepted += items
        self._held_items += items
        self._held_bytes += len(member.batch.payload)
        items_max = self._config.send_batch_max_size
        if self._filling and items_max and self._filling_items + items > items_max:
            self._send(Trigger.SIZE)
        self._filling[member] = None
        self._filling_items += items
        config = self._config
        if config.timeout == 0 or self._filling_items >= config.send_batch_size:
            self._send(Trigger.SIZE)
            return
        loop = asyncio.get_running_loop()
        if self._timer is None:
            delay_s = config.timeout / SECOND_NS
            self._timer = loop.call_later(delay_s, self._send, Trigger.TIMEOUT)
        quiet_s = self._settings.quiet_s
        if quiet_s:
            self._added_at_s = loop.time()
            if self._quiet_timer is None:
                self._quiet_timer = loop.call_later(quiet_s, self._on_quiet)

    def _on_quiet(self) -> None:
        """Send if nobody came lately; else look again when it could be quiet."""
        loop = asyncio.get_running_loop()
        quiet_at_s = self._added_at_s + self._settings.quiet_s
        if loop.time() >= quiet_at_s:
            self._quiet_timer = None
            self._send(Trigger.TIMEOUT)
        else:
            self._quiet_timer = loop.call_at(quiet_at_s, self._on_quiet)

    def _send(self, trigger: Trigger) -> None:
        members = self._take_filling()
        self._metrics.triggered(trigger)
        task = self._tasks.spawn(self._deliver_all(members), name="batch delivery")
        self._in_flight.update(dict.fromkeys(members, Flight(members, task)))

    def _take_filling(self) -> list[Member]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
            self._quiet_timer = None
        members = list(self._filling)
        self._filling.clear()
        self._filling_items = 0
        return members

    async def _deliver_all(self, members: list[Member]) -> None:
        await deliver_joined(
            members,
            self._deliver,
            settle=self._settle,
            abandon=self._abandon,
            at_once_max=PARTS_AT_ONCE_MAX,
        )

    async def _deliver(self, joined: Batch) -> Outcome:
        items_max = self._config.send_batch_max_size
        if items_max and joined.items > items_max:
            return await deliver_cut(joined, items_max, self._deliver_one)
        return await self._deliver_one(joined)

    async def _deliver_one(self, batch: Batch) -> Outcome:
        outcome = await delivery_of(batch, self._consumer, log=self._log)
        untaken = 0 if outcome is None else outcome.items_of(batch)
        self._metrics.sent(batch, untaken=untaken)
        return outcome

    def _withdraw(self, member: Member) -> None:
        """The sender of ``member`` went away."""
        flight = member.flight
        if flight is not None:
            if flight.leave(member):
                self._recall(flight)
        elif member in self._filling:
            del self._filling[member]
            self._filling_items -= member.batch.items
            if not self._filling:
                self._take_filling()
            self._abandon(member)

    def _recall(self, flight: Flight) -> None:
        """Nobody waits for any of its members any more."""
        for member in flight.members:
            if member in self._in_flight:
                self._abandon(member)

    def _abandon(self, member: Member) -> None:
        self._settle(member, abandoned(), door=Door.ABANDONED)

    def _settle(
        self, member: Member, outcome: Outcome, *, door: Door | None = None
    ) -> None:
        """The one way out: count where the items went and answer who waits."""
        batch = member.batch
        self._in_flight.pop(member, None)
        failed = 0 if outcome is None else outcome.items_of(batch)
        self._held_items -= batch.items
        self._held_bytes -= len(batch.payload)
        self._delivered += batch.items - failed
        if member.settle(outcome):
            self._returned += failed
        elif outcome is not None:
            door = door or Door.of(outcome)
            self._lost[door] += failed
            self._metrics.lost(door, failed)
        if not self._held_items:
            self._idle.wake_all()
