"""The ``memory_limiter`` processor: refuses data while memory is short.

Rules:

* Memory is measured every ``check_interval``, never for a batch.
* Above the soft limit every batch is refused (retryable), so that senders slow down.
* Garbage is collected above either limit, as often as `MemoryGate` allows. A collection
  stops the event loop while it runs.
* A percentage is of what all workers may use together, so each has its part of it; a
  limit in MiB is each worker's own.

It measures the resident memory of the process, which is what the kernel kills for; the
collector measures its heap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailring_pipeline.backoff import SECOND_NS
from tailring_pipeline.consumer import Batch, Consumer, Refused, Signal
from tailring_pipeline.memory import memory_total_bytes, reclaim, rss_bytes
from tailring_pipeline.memory_gate import MIB, Limits, MemoryGate
from tailring_pipeline.memory_limiter_config import MemoryLimiterConfig
from tailring_pipeline.per_signal import per_signal
from tailring_pipeline.processor_metrics import ProcessorMetrics
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.tasks import TaskSet

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "LIMITER_ACCEPTED",
    "LIMITER_REFUSED",
    "MemoryLimiter",
    "MemorySettings",
]

LIMITER_ACCEPTED = per_signal(
    "otelcol_processor_memory_limiter_accepted_{items}",
    help="{items} that were let through, whatever the next component answered.",
    labels=("processor",),
)
LIMITER_REFUSED = per_signal(
    "otelcol_processor_memory_limiter_refused_{items}",
    help="{items} that were refused because memory was short.",
    labels=("processor",),
)


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """The signal of its pipeline, the number of processes that share the memory, and
    where its figures come from; a test brings its own."""

    signal: Signal = Signal.TRACES
    workers: int = 1
    used_bytes: Callable[[], int] = rss_bytes
    total_bytes: Callable[[], int] = memory_total_bytes
    reclaim: Callable[[], None] = reclaim


class MemoryLimiter:
    """A `Stage` and `Consumer` in a pipeline of one signal; see the module."""

    def __init__(
        self,
        config: MemoryLimiterConfig,
        *,
        consumer: Consumer,
        metrics: Metrics,
        name: str = "memory_limiter",
        settings: MemorySettings | None = None,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._readers = settings if settings is not None else MemorySettings()
        signal = self._readers.signal
        self._items = ProcessorMetrics(metrics, name, signal=signal)
        self._accepted = metrics.counter(LIMITER_ACCEPTED[signal], processor=name)
        self._refused = metrics.counter(LIMITER_REFUSED[signal], processor=name)
        self._log: FilteringBoundLogger = get_logger(processor=name)
        self._tasks = TaskSet(name, metrics=metrics)
        self._gate: MemoryGate | None = None
        self._closed = False

    @property
    def refusing(self) -> bool:
        """Whether memory was short when it was last measured."""
        return self._gate is not None and self._gate.refusing

    async def consume(self, batch: Batch) -> None:
        """Pass the batch on, or refuse it while memory is short."""
        self._items.incoming_items.add(batch.items)
        if self._closed:
            raise Refused("draining", "the memory limiter is stopping")
        if self.refusing:
            self._refused.add(batch.items)
            raise Refused("memory_limited", "data refused due to high memory usage")
        self._accepted.add(batch.items)
        await self._consumer.consume(batch)
        self._items.outgoing_items.add(batch.items)

    async def start(self) -> None:
        """Measure for the first time, then every ``check_interval``.

        Raises OSError or ValueError when memory cannot be measured here.
        """
        limits = Limits(self._config, total_bytes=self._total_bytes())
        self._log.info(
            "Memory limiter configured",
            limit_mib=limits.hard_bytes // MIB,
            spike_limit_mib=(limits.hard_bytes - limits.soft_bytes) // MIB,
            check_interval_s=self._config.check_interval / SECOND_NS,
        )
        self._gate = MemoryGate(self._config, limits, now_ns=_now_ns())
        self.check()
        self._tasks.spawn(self._check_forever(), name="memory check")

    def close(self) -> None:
        """Refuse new batches."""
        self._closed = True

    async def join(self, timeout_s: float) -> None:
        """Nothing is held here: a batch waits in its caller."""

    async def terminate(self) -> None:
        """Stop measuring."""
        self._closed = True
        await self._tasks.close()

    def check(self) -> None:
        """Measure now, collect garbage when that is due, and decide. Started only."""
        gate = self._gate
        assert gate is not None, "check() before start()"
        was_refusing = gate.refusing
        used_bytes = self._readers.used_bytes()
        if gate.measured(used_bytes, now_ns=_now_ns()):
            used_bytes = self._collect(gate, used_bytes)
        if gate.refusing and not was_refusing:
            self._log.warning(
                "Memory usage is above soft limit. Refusing data.",
                cur_mem_mib=used_bytes // MIB,
            )
        if was_refusing and not gate.refusing:
            self._log.info(
                "Memory usage back within limits. Resuming normal operation.",
                cur_mem_mib=used_bytes // MIB,
            )

    def _collect(self, gate: MemoryGate, used_bytes: int) -> int:
        pressure = gate.limits.pressure(used_bytes).value
        self._log.info(
            "Memory usage is above a limit. Forcing a GC.",
            limit=pressure,
            cur_mem_mib=used_bytes // MIB,
        )
        self._readers.reclaim()
        left_bytes = self._readers.used_bytes()
        worth = gate.collected(left_bytes, now_ns=_now_ns())
        self._log.info("Memory usage after GC.", cur_mem_mib=left_bytes // MIB)
        if not worth:
            self._log.warning(
                "Forced GC did not reclaim enough memory. Will back off GC frequency"
                " to preserve CPU for recovery.",
                cur_mem_mib=left_bytes // MIB,
            )
        return left_bytes

    def _total_bytes(self) -> int:
        if self._config.limit_mib:
            return 0
        return self._readers.total_bytes() // self._readers.workers

    async def _check_forever(self) -> None:
        while True:
            await asyncio.sleep(self._config.check_interval / SECOND_NS)
            self.check()


def _now_ns() -> int:
    return int(asyncio.get_running_loop().time() * SECOND_NS)
