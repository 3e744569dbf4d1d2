"""The ``nop`` exporter: takes everything and does nothing with it."""

from __future__ import annotations

from tailring_pipeline.consumer import Batch, Refused
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_runtime.config import ConfigModel

__all__ = ["NopConfig", "NopExporter"]


class NopConfig(ConfigModel):
    """``exporters.nop``, which has no keys."""


class NopExporter:
    """A `Stage` and `Consumer` that counts what it takes as sent."""

    def __init__(self, *, metrics: ExporterMetrics) -> None:
        self._metrics = metrics
        self._closed = False

    async def consume(self, batch: Batch) -> None:
        """Take the batch; refuses only after `close`."""
        if self._closed:
            self._metrics.enqueue_failed.add(batch.items)
            raise Refused("draining", "the exporter is stopping")
        self._metrics.sent.add(batch.items)

    async def start(self) -> None:
        """Nothing to begin."""

    def close(self) -> None:
        """Refuse new batches."""
        self._closed = True

    async def join(self, timeout_s: float) -> None:
        """Nothing is held, so nothing is waited for."""

    async def terminate(self) -> None:
        """Refuse new batches; there is nothing to release."""
        self._closed = True
