"""The load-balancing exporter: the stage that a pipeline of the router ends in.

What it is: the resolver, the fleet and the deliveries put together behind the one
seam (`Consumer`, `Stage`). A batch is acknowledged when every backend has
acknowledged its part; only when the configuration writes a level-2 queue out
(``sending_queue: {enabled: true}``) it is as soon as every part is queued.

Level 1's queue, if there is one, stands before this stage (`exporter`). When that
queue has acknowledged, the batch is taken whatever a backend's own queue says: the
queue before bounds it, and one backend that is away must not hold up the others.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from tailring_pipeline import Batch, Consumer, FailureLog, OneSender, Refused
from tailring_resolvers import Resolver
from tailring_router.delivery import Delivery, Dispatcher
from tailring_router.fleet import Fleet
from tailring_runtime.logs import get_logger

__all__ = ["BalancerSettings", "LoadBalancer"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """How a load balancer treats its senders."""

    acknowledges_early: bool = False
    blocks_when_full: bool = False


class LoadBalancer:
    """Consumer and stage; lives on one event loop."""

    def __init__(
        self,
        settings: BalancerSettings,
        *,
        resolver: Resolver,
        fleet: Fleet,
        dispatcher: Dispatcher,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._dropping = FailureLog("Exporting failed. Dropping data.", log=log)
        self._acknowledged: set[Delivery] = set()
        self._closed = False
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ready(self) -> bool:
        """True when there is a backend to send to."""
        return self._fleet.ready

    async def start(self) -> None:
        """Learn the backends; that none is found is no failure, only not ready."""
        await self._resolver.start(self._fleet.update)

    async def consume(self, batch: Batch) -> None:
        """Deliver a batch, or raise `Refused` or `Rejected`; see the seam's rules."""
        await self._deliver(batch, None)

    def on_behalf_of(self, asker: asyncio.Future[Any]) -> Consumer:
        """The same consumer for one batch, whose sender waits for ``asker``. When he
        goes away, or takes back what is left, what is not in flight is withdrawn."""
        return OneSender(self._deliver, asker)

    async def _deliver(self, batch: Batch, asker: asyncio.Future[Any] | None) -> None:
        if self._closed:
            raise Refused("draining", "the router is stopping")
        if self._settings.blocks_when_full:
            await self._fleet.wait_room(batch.payload)
        delivery = self._dispatcher.begin(batch)
        if self._settings.acknowledges_early and not delivery.turned_away:
            self._enter()
            self._acknowledged.add(delivery)
            delivery.acknowledge(self._left)
            return
        self._enter()
        left = partial(_sender_left, delivery)
        if asker is not None:
            asker.add_done_callback(left)
        try:
            await delivery.finish()
        finally:
            if asker is not None:
                asker.remove_done_callback(left)
            self._exit()

    def hurry(self) -> None:
        """The process drains: what waits for a retry is tried at once, and then again
        after short waits, until the time is over."""
        self._fleet.hurry()

    def close(self) -> None:
        """Take no further batch; the resolver is still followed while draining."""
        self._closed = True
        self._fleet.hurry()

    async def join(self, timeout_s: float) -> None:
        """Deliver what is held, for at most ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning(
                "not everything was delivered before the drain's deadline",
                items=self._dispatcher.held_items(),
            )

    async def terminate(self) -> None:
        """Abandon what is held: refused to those who wait, lost for the others."""
        self._closed = True
        await self._resolver.stop()
        for delivery in self._acknowledged:
            delivery.abandon()
        self._acknowledged.clear()
        await self._fleet.close()
        self._dropping.flush()

    def _left(self, delivery: Delivery) -> None:
        """Every part of an acknowledged delivery has left."""
        self._acknowledged.discard(delivery)
        self._exit()
        if delivery.loss is not None:
            lost = Refused(delivery.loss.reason, delivery.loss.detail)
            self._dropping.failed(lost, delivery.lost_items)

    def _enter(self) -> None:
        self._pending += 1
        self._idle.clear()

    def _exit(self) -> None:
        self._pending -= 1
        if not self._pending:
            self._idle.set()


def _sender_left(delivery: Delivery, asker: asyncio.Future[Any]) -> None:
    delivery.sender_left(takes_back=not asker.cancelled())
