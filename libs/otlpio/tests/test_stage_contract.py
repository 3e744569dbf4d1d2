"""The receiver and the exporter keep the contract of every stage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tailring_otlpio import (
    OtlpExporter,
    OtlpExporterConfig,
    OtlpReceiver,
    OtlpReceiverConfig,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.backend import Backend
from tailring_testkit.sink import Sink
from tailring_testkit.stage_contract import (
    ConsumingContract,
    StageContract,
    StageSubject,
)

FREE = {"endpoint": "127.0.0.1:0"}


class TestReceiver(StageContract):
    """A receiver on free ports."""

    @pytest.fixture
    def subject(self) -> OtlpReceiver:
        """A receiver of both protocols that was not started."""
        config = OtlpReceiverConfig.model_validate(
            {"protocols": {"grpc": FREE, "http": FREE}}
        )
        return OtlpReceiver(config, consumer=Sink(), metrics=Metrics())


class TestExporter(ConsumingContract):
    """An exporter to a backend that answers OK."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[StageSubject]:
        """An exporter that was not started."""
        async with Backend() as backend:
            config = OtlpExporterConfig(endpoint=backend.address)
            exporter = OtlpExporter(config, metrics=Metrics())
            yield StageSubject(exporter, lambda: backend.span_count)
            await exporter.terminate()
