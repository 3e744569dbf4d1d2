"""The load-balancing exporter with its level-1 queue, as one part of a pipeline.

Level 1 holds requests that are not routed yet: routing happens when they leave the
queue, so a retry always uses the ring of that moment.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from tailring_otlpio import PLAINTEXT, Credentials, OtlpClient
from tailring_otlpwire import RoutingRule, routing_keys
from tailring_pipeline import (
    Batch,
    ExporterMetrics,
    QueueBatchConfig,
    SendingQueue,
    Store,
)
from tailring_resolvers import StaticResolver, build_resolver
from tailring_router.backend_state import BackendState
from tailring_router.balancer import BalancerSettings, LoadBalancer
from tailring_router.client import Client, ForwarderSettings
from tailring_router.config import LoadBalancingConfig, RoutingQueueConfig
from tailring_router.delivery import Dispatcher
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.metrics import Door, RouterMetrics
from tailring_router.topology import Topology
from tailring_router.watch import BalanceWatch, WatchSettings
from tailring_runtime.config import same
from tailring_runtime.losses import Loss

__all__ = ["LoadBalancingExporter"]

_NS_PER_S = 1_000_000_000
# How long a removed backend is still sent to when its calls have no limit.
_RETIRE_DEFAULT_S = 5.0
_NO_BOUND = 1 << 62
# Long enough for tasks that wait for nothing but their turn.
_MOMENT_S = 1.0


class LoadBalancingExporter:
    """A `Stage` and `Consumer` of one signal, made on the running loop."""

    def __init__(
        self,
        config: LoadBalancingConfig,
        *,
        metrics: RouterMetrics,
        credentials: Credentials = PLAINTEXT,
        store: Store | None = None,
    ) -> None:
        """``store`` keeps the level-1 queue on disk; None: in memory."""
        template = config.protocol.otlp
        level1 = config.level1_queue
        signal = metrics.signal
        self.name = metrics.exporter
        self._metrics = metrics

        def connect(address: str) -> Client:
            return OtlpClient(address, template, credentials=credentials, signal=signal)

        self._config = config
        self._resolver = build_resolver(config.resolver, metrics=metrics.registry)
        rule = config.rule_for(signal)
        self.watch = BalanceWatch(
            WatchSettings(self.name, signal.value, rule.key),
            keys_of=partial(routing_keys, rule=rule),
            metrics=metrics.registry,
        )
        fleet = self._fleet = Fleet(
            _fleet_settings(config, rule),
            connect=connect,
            metrics=metrics,
            watch=self.watch,
        )
        queue = template.sending_queue
        # Level 1 has answered and bounds what it holds: level 2 holds nobody up.
        bounded = level1 is not None and level1.acknowledges_early
        self._balancer = LoadBalancer(
            BalancerSettings(
                # Level 1 bounds what it has acknowledged until it is delivered.
                acknowledges_early=queue.acknowledges_early and level1 is None,
                blocks_when_full=(
                    queue.enabled and queue.block_on_overflow and not bounded
                ),
            ),
            resolver=self._resolver,
            fleet=fleet,
            dispatcher=Dispatcher(
                fleet,
                retry=config.retry_on_failure,
                metrics=metrics,
                acknowledged=bounded,
            ),
        )
        self._queue = None if level1 is None else self._queue_of(level1, store)

    def _queue_of(
        self, level1: RoutingQueueConfig, store: Store | None
    ) -> SendingQueue:
        registry, signal = self._metrics.registry, self._metrics.signal
        return SendingQueue(
            _at_once(level1),
            consumer=self._balancer,
            metrics=ExporterMetrics(
                registry, self.name, signal=signal, counts_sending=False
            ),
            store=store,
        )

    @property
    def ready(self) -> bool:
        """True when there is a backend to send to."""
        return self._balancer.ready

    @property
    def title(self) -> str:
        """Its id and signal, for people."""
        return f"{self.name} ({self._metrics.signal.value})"

    @property
    def topology(self) -> Topology:
        """The ring of now."""
        return self._fleet.topology

    def states(self) -> list[BackendState]:
        """Its backends as they are now."""
        return self._fleet.states()

    @property
    def loss(self) -> Loss:
        """What was acknowledged before it was delivered, and is lost."""
        doors = (Door.EXPIRED, Door.SHUTDOWN)
        lost = Loss(sum(self._metrics.left_by(door) for door in doors))
        return lost if self._queue is None else lost + self._queue.loss

    def adopts(self, config: LoadBalancingConfig) -> bool:
        """Whether only the static list differs, which needs no other exporter."""
        resolver = self._config.resolver
        if resolver.static is None or config.resolver.static is None:
            return False
        update = {"static": config.resolver.static}
        listed = resolver.model_copy(update=update)
        return same(self._config.model_copy(update={"resolver": listed}), config)

    def adopt(self, config: LoadBalancingConfig) -> None:
        """Follow the static list of ``config``: members that stay notice nothing. Also
        when this exporter was replaced, so that what it holds goes where it should."""
        listed = config.resolver.static
        if listed is None or not isinstance(self._resolver, StaticResolver):
            return
        self._resolver.update(listed)
        if self.adopts(config):
            self._config = config

    def hurry(self) -> None:
        """The process drains: try at once what waits for a retry."""
        self._balancer.hurry()

    async def start(self) -> None:
        """Learn the backends; that none is found is no failure, only not ready."""
        await self._balancer.start()
        self.watch.start(self._fleet.sent, self._shares)
        if self._queue is not None:
            await self._queue.start()

    async def consume(self, batch: Batch) -> None:
        """Deliver or queue a batch, or raise `Refused` or `Rejected`."""
        await (self._queue or self._balancer).consume(batch)

    def close(self) -> None:
        """Take no further batch; what is held is still delivered."""
        (self._queue or self._balancer).close()

    async def join(self, timeout_s: float) -> None:
        """Deliver what is held, for at most ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        if self._queue is not None:
            await self._queue.join(timeout_s)
            self._balancer.close()
        await self._balancer.join(max(0.0, end_s - loop.time()))

    async def terminate(self) -> None:
        """Abandon what is held, counted by name. Safe twice."""
        if self._queue is not None:
            self._queue.close()
        await self.watch.close()
        await self._balancer.terminate()
        if self._queue is not None:
            # What its deliveries are told now: how much of each had arrived.
            await self._queue.join(_MOMENT_S)
            await self._queue.terminate()

    def _shares(self) -> dict[str, float]:
        return self.topology.shares()


def _at_once(queue: RoutingQueueConfig) -> RoutingQueueConfig:
    """Level 1's queue with as many consumers as it needs."""
    consumers = max(queue.num_consumers, queue.consumers_min)
    return queue.model_copy(update={"num_consumers": consumers})


def _batching(
    forwarder: ForwarderSettings, batch: QueueBatchConfig
) -> ForwarderSettings:
    """What level 2 does anyway, with the operator's times and sizes."""
    linger_s = batch.flush_timeout / _NS_PER_S
    if batch.sizer == "items":
        return replace(
            forwarder,
            linger_s=linger_s,
            gather_items=max(1, batch.min_size),
            gather_bytes=forwarder.request_bytes_max,
        )
    most = batch.max_size or max(forwarder.request_bytes_max, batch.min_size)
    return replace(
        forwarder,
        linger_s=linger_s,
        gather_bytes=batch.min_size,
        request_bytes_max=most,
    )


def _fleet_settings(config: LoadBalancingConfig, rule: RoutingRule) -> FleetSettings:
    template = config.protocol.otlp
    queue = template.sending_queue
    timeout_s = template.timeout / _NS_PER_S
    forwarder = ForwarderSettings(retry=template.retry_on_failure, timeout_s=timeout_s)
    if queue.enabled:
        bytes_max = queue.queue_size if queue.sizer == "bytes" else 0
        forwarder = replace(
            forwarder,
            sizer=queue.sizer,
            queue_max=queue.queue_size,
            queue_bytes_max=max(forwarder.queue_bytes_max, bytes_max),
            sends_max=queue.num_consumers,
        )
        if queue.batches is not None:
            forwarder = _batching(forwarder, queue.batches)
    else:
        # Off: no bound of its own, but that of the bytes.
        forwarder = replace(forwarder, queue_max=_NO_BOUND)
    return FleetSettings(
        forwarder=forwarder,
        generation=config.ring_generation,
        retire_timeout_s=timeout_s or _RETIRE_DEFAULT_S,
        deadline_s=config.timeout / _NS_PER_S,
        rule=rule,
    )
