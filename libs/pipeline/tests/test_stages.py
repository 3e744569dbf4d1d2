"""Every stage of this package keeps the contract of stages."""

from __future__ import annotations

import pytest

from tailring_pipeline import (
    BatchConfig,
    BatchProcessor,
    DebugConfig,
    DebugExporter,
    ExporterMetrics,
    MemoryLimiter,
    MemoryLimiterConfig,
    MemorySettings,
    NopExporter,
    QueueConfig,
    SendingQueue,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.stage_contract import ConsumingContract, StageSubject


def _sent(metrics: Metrics) -> int:
    return int(metrics.value("otelcol_exporter_sent_spans"))


class TestSendingQueue(ConsumingContract):
    """The default queue, whose callers wait."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A queue in front of a sink."""
        sink = Sink()
        metrics = ExporterMetrics(Metrics(), "otlp")
        queue = SendingQueue(QueueConfig(), consumer=sink, metrics=metrics)
        return StageSubject(queue, lambda: sink.items)


class TestEarlySendingQueue(ConsumingContract):
    """A queue that acknowledges when queued."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A queue that is spelled out, in front of a sink."""
        sink = Sink()
        config = QueueConfig.model_validate({"enabled": True})
        metrics = ExporterMetrics(Metrics(), "otlp")
        queue = SendingQueue(config, consumer=sink, metrics=metrics)
        return StageSubject(queue, lambda: sink.items)


class TestBatchProcessor(ConsumingContract):
    """The batch processor."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A batch processor in front of a sink."""
        sink = Sink()
        batch = BatchProcessor(BatchConfig(), consumer=sink, metrics=Metrics())
        return StageSubject(batch, lambda: sink.items)


class TestMemoryLimiter(ConsumingContract):
    """The memory limiter."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A memory limiter that finds memory empty, in front of a sink."""
        sink = Sink()
        config = MemoryLimiterConfig(check_interval=10**9, limit_mib=100)
        readers = MemorySettings(used_bytes=lambda: 0, total_bytes=lambda: 0)
        limiter = MemoryLimiter(
            config, consumer=sink, metrics=Metrics(), settings=readers
        )
        return StageSubject(limiter, lambda: sink.items)


class TestDebugExporter(ConsumingContract):
    """The debug exporter."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A debug exporter."""
        metrics = Metrics()
        exporter = DebugExporter(
            DebugConfig(), metrics=ExporterMetrics(metrics, "debug")
        )
        return StageSubject(exporter, lambda: _sent(metrics))


class TestNopExporter(ConsumingContract):
    """The nop exporter."""

    @pytest.fixture
    def subject(self) -> StageSubject:
        """A nop exporter."""
        metrics = Metrics()
        exporter = NopExporter(metrics=ExporterMetrics(metrics, "nop"))
        return StageSubject(exporter, lambda: _sent(metrics))
