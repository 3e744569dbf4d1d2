"""The load-balancing exporter with its level-1 queue, as one part of a pipeline.

Level 1 holds requests that are not routed yet: routing happens when they leave the
queue, so a retry always uses the ring of that moment.
"""

from __future__ import annotations

import asyncio

from tailring_otlpio import TraceClient
from tailring_pipeline import Batch, ExporterMetrics, SendingQueue
from tailring_resolvers import build_resolver
from tailring_router.balancer import BalancerSettings, LoadBalancer
from tailring_router.config import LoadBalancingConfig
from tailring_router.delivery import Dispatcher
from tailring_router.fleet import Fleet, FleetSettings
from tailring_router.forwarder import Client, ForwarderSettings
from tailring_router.metrics import RouterMetrics
from tailring_runtime.metrics import Metrics

__all__ = ["LoadBalancingExporter"]

_NS_PER_S = 1_000_000_000
# How long a removed backend is still sent to when its calls have no limit.
_RETIRE_DEFAULT_S = 5.0


class LoadBalancingExporter:
    """A `Stage` and `Consumer`, made on the running loop; ``name`` is the id."""

    def __init__(
        self, config: LoadBalancingConfig, *, metrics: Metrics, name: str
    ) -> None:
        template = config.protocol.otlp
        router_metrics = RouterMetrics(metrics, name)

        def connect(address: str) -> Client:
            return TraceClient(address, template)

        fleet = Fleet(_fleet_settings(config), connect=connect, metrics=router_metrics)
        queue = template.sending_queue
        self._balancer = LoadBalancer(
            BalancerSettings(
                acknowledges_early=queue.acknowledges_early,
                blocks_when_full=queue.enabled and queue.block_on_overflow,
            ),
            resolver=build_resolver(config.resolver, metrics=metrics),
            fleet=fleet,
            dispatcher=Dispatcher(
                fleet, retry=config.retry_on_failure, metrics=router_metrics
            ),
        )
        self._queue: SendingQueue | None = None
        if config.level1_queue is not None:
            self._queue = SendingQueue(
                config.level1_queue,
                consumer=self._balancer,
                metrics=ExporterMetrics(metrics, name, counts_sending=False),
            )

    @property
    def ready(self) -> bool:
        """True when there is a backend to send to."""
        return self._balancer.ready

    async def start(self) -> None:
        """Learn the backends; that none is found is no failure, only not ready."""
        await self._balancer.start()
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
            await self._queue.terminate()
        await self._balancer.terminate()


def _fleet_settings(config: LoadBalancingConfig) -> FleetSettings:
    template = config.protocol.otlp
    queue = template.sending_queue
    timeout_s = template.timeout / _NS_PER_S
    forwarder = ForwarderSettings(
        retry=template.retry_on_failure,
        timeout_s=timeout_s,
        sizer=queue.sizer,
        queue_max=queue.queue_size,
        sends_max=queue.num_consumers,
    )
    return FleetSettings(
        forwarder=forwarder,
        generation=config.ring_generation,
        retire_timeout_s=timeout_s or _RETIRE_DEFAULT_S,
        deadline_s=config.timeout / _NS_PER_S,
    )
