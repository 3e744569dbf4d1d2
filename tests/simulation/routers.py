"""Simulated routers: the real load balancer, over clients of the fake network.

A machine and its lives as in `samplers`. A life is wired as the exporter does it: the
resolver, fleet, dispatcher and load balancer, and the level-1 queue before them if the
scenario has one. Parts are kept by `WatchedFleet` only to be asked what became of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.simulation.scenario import RouterKnobs

from tailring_pipeline import (
    Batch,
    BatchConfig,
    BatchProcessor,
    ExporterMetrics,
    Outcome,
    Refused,
    Rejected,
    RetryConfig,
    SendingQueue,
    TopLevelQueueConfig,
    TopLevelRetryConfig,
)
from tailring_pipeline import Door as QueueDoor
from tailring_resolvers import Resolver
from tailring_router.balancer import BalancerSettings, LoadBalancer
from tailring_router.client import Client, ForwarderSettings
from tailring_router.delivery import Dispatcher
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.part import Part
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

__all__ = ["RouterLife"]

_SECOND_NS = 1_000_000_000
# What the exporter gives its queue to hear what came of its last deliveries.
_MOMENT_S = 1.0

Connect = Callable[[str], Client]


class WatchedFleet(Fleet):
    """Keeps every part that it gave to a forwarder."""

    parts: list[Part]

    def dispatch(
        self,
        payload: bytes,
        *,
        now_ns: int,
        held: bool = False,
        origin: Part | None = None,
    ) -> list[Part]:
        """As the fleet does."""
        parts = super().dispatch(payload, now_ns=now_ns, held=held, origin=origin)
        self.parts.extend(parts)
        return parts


class RouterLife:
    """One process of a router."""

    def __init__(
        self, name: str, knobs: RouterKnobs, *, resolver: Resolver, connect: Connect
    ) -> None:
        self.name = name
        self.knobs = knobs
        self.metrics = Metrics()
        self.router_metrics = RouterMetrics(self.metrics, "loadbalancing")
        self.fleet = WatchedFleet(
            _fleet_settings(knobs), connect=connect, metrics=self.router_metrics
        )
        self.fleet.parts = []
        self.queue: SendingQueue | None = None
        queue = _queue(knobs)
        retry = _retry(knobs, enabled=knobs.level1_retry)
        self.dispatcher = Dispatcher(
            self.fleet,
            retry=TopLevelRetryConfig(**retry.model_dump()),
            metrics=self.router_metrics,
            acknowledged=queue is not None and queue.acknowledges_early,
        )
        self.balancer = LoadBalancer(
            BalancerSettings(
                acknowledges_early=knobs.acknowledges_early and queue is None,
                blocks_when_full=knobs.blocks_when_full,
            ),
            resolver=resolver,
            fleet=self.fleet,
            dispatcher=self.dispatcher,
        )
        if queue is not None:
            self.queue = SendingQueue(
                queue,
                consumer=self.balancer,
                metrics=ExporterMetrics(
                    self.metrics, "loadbalancing", counts_sending=False
                ),
            )
        self.batch: BatchProcessor | None = None
        if knobs.batch:
            config = BatchConfig(send_batch_size=20, send_batch_max_size=30)
            self.batch = BatchProcessor(
                config, consumer=self.queue or self.balancer, metrics=self.metrics
            )
        self.handlers = TaskSet("receiver", metrics=self.metrics)
        self.draining = False
        self._terminating = False

    @property
    def acknowledges_early(self) -> bool:
        """Whether an acknowledged span may still be lost, by a named door."""
        if self.queue is not None:
            return self.queue.acknowledges_early
        return self.knobs.acknowledges_early

    async def start(self) -> None:
        """Begin to work."""
        await self.balancer.start()
        if self.queue is not None:
            await self.queue.start()
        if self.batch is not None:
            await self.batch.start()

    async def answer(self, batch: Batch) -> Outcome:
        """Take a request as the receiver does; what it would answer."""
        try:
            await (self.batch or self.queue or self.balancer).consume(batch)
        except (Refused, Rejected) as answer:
            return answer
        return None

    async def end(self, *, join_s: float, cut: bool) -> None:
        """Drain within ``join_s``, then stop; ``cut``: requests that still wait are
        cancelled by the receiver first, as a terminated one does."""
        self.draining = True
        self.balancer.hurry()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + join_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(join_s):
                await self.handlers.join()
        if cut:
            await self.handlers.close()
        for stage in (self.batch, self.queue):
            if stage is not None:
                stage.close()
                await stage.join(max(0.0, end_s - loop.time()))
        self.balancer.close()
        await self.balancer.join(max(0.0, end_s - loop.time()))
        self._terminating = True
        await self._terminate()
        self.check()
        self.check_empty()

    async def _terminate(self) -> None:
        if self.batch is not None:
            await self.batch.terminate()
        await self.balancer.terminate()
        if self.queue is not None:
            await self.queue.join(_MOMENT_S)
            await self.queue.terminate()
        async with asyncio.timeout(1.0):
            await self.handlers.join()

    def lost(self) -> int:
        """Spans that left by the doors of loss, and those rejected for good."""
        counts = self.router_metrics
        doors = (Door.EXPIRED, Door.SHUTDOWN, Door.REJECTED)
        lost = sum(counts.left_by(door) for door in doors)
        for stage in (self.batch, self.queue):
            if stage is not None:
                doors_lost = stage.statistics().lost
                lost += sum(doors_lost.values()) - doors_lost[QueueDoor.ABANDONED]
        return lost

    def lost_at_shutdown(self) -> int:
        """Spans that were still held when the time to drain was over."""
        lost = self.router_metrics.left_by(Door.SHUTDOWN)
        for stage in (self.batch, self.queue):
            if stage is not None:
                lost += stage.statistics().lost[QueueDoor.TERMINATED]
        return lost

    def check(self) -> None:
        """Assert that the books of this process are right."""
        held = self.dispatcher.held_items()
        counted = self.router_metrics.held_items()
        assert counted == held, f"held by the counters {counted}, really {held}"
        self.fleet.parts = [one for one in self.fleet.parts if not one.result.done()]
        self.fleet.check_invariants()
        if not self._terminating:
            waiting = sum(part.items for part in self.fleet.parts)
            assert waiting <= held, "a forwarder holds what no delivery waits for"
        for stage in (self.batch, self.queue):
            if stage is not None:
                stage.check_invariants()

    def check_empty(self) -> None:
        """Assert that nothing is left, after the end."""
        assert self.router_metrics.held_items() == 0, "spans are held for ever"
        assert not self.fleet.parts, "a part was never resolved"
        assert not len(self.handlers), "a sender was never answered"
        for stage in (self.batch, self.queue):
            held = 0 if stage is None else stage.statistics().held
            assert held == 0, "spans are queued for ever"
        failures = self.metrics.value("tailring_task_failures")
        assert failures == 0, "a background task failed"


def _queue(knobs: RouterKnobs) -> TopLevelQueueConfig | None:
    """Level 1's queue; as many consumers as requests, as the exporter does it."""
    if not knobs.level1_queue:
        return None
    return TopLevelQueueConfig(
        queue_size=knobs.level1_queue,
        num_consumers=knobs.level1_queue,
        wait_for_result=knobs.level1_waits,
    )


def _retry(knobs: RouterKnobs, *, enabled: bool) -> RetryConfig:
    interval = int(knobs.retry_interval_s * _SECOND_NS)
    return RetryConfig(
        enabled=enabled,
        initial_interval=interval,
        max_interval=interval * 4,
        max_elapsed_time=max(int(knobs.retry_elapsed_s * _SECOND_NS), interval * 4)
        if knobs.retry_elapsed_s
        else 0,
    )


def _fleet_settings(knobs: RouterKnobs) -> FleetSettings:
    forwarder = ForwarderSettings(
        retry=_retry(knobs, enabled=knobs.level2_retry),
        timeout_s=knobs.timeout_s,
        queue_max=knobs.queue_max,
        sends_max=knobs.sends_max,
        linger_s=knobs.linger_s,
        gather_bytes=knobs.gather_bytes,
        request_bytes_max=knobs.request_bytes_max,
    )
    return FleetSettings(
        forwarder=forwarder,
        generation=knobs.generation,
        retire_timeout_s=knobs.retire_timeout_s,
        deadline_s=knobs.deadline_s,
    )
