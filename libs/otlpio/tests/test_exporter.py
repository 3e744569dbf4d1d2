"""The otlp exporter: queue, retries and client as one stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tailring_otlpio import OtlpExporter, OtlpExporterConfig
from tailring_pipeline import (
    SPLIT_REASONS,
    Batch,
    ExporterMetrics,
    Refused,
    Rejected,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit import otlp
from tailring_testkit.backend import Answer, Backend, partial_success

Code = grpc.StatusCode
THREE = Batch(
    otlp.request(*(otlp.span(bytes([i]) * 16, b"s" * 8) for i in range(1, 4))), 3
)
FAST_RETRY = {"initial_interval": 1_000_000, "max_interval": 10_000_000}


@asynccontextmanager
async def exporting(
    backend: Backend, metrics: Metrics, **keys: Any
) -> AsyncIterator[OtlpExporter]:
    """A started exporter to a backend, drained and terminated at the end."""
    config = OtlpExporterConfig.model_validate(
        {"endpoint": backend.address, "tls": {"insecure": True}, **keys}
    )
    exporter = OtlpExporter(config, metrics=ExporterMetrics(metrics, "otlp/test"))
    await exporter.start()
    try:
        yield exporter
    finally:
        exporter.close()
        await exporter.join(5.0)
        await exporter.terminate()


def spans(metrics: Metrics, kind: str) -> float:
    """One of the exporter's span counters."""
    return metrics.value(f"otelcol_exporter_{kind}_spans", exporter="otlp/test")


async def test_a_batch_is_delivered_when_consume_returns() -> None:
    """With the default queue consume returns after the backend took the batch."""
    metrics = Metrics()
    async with Backend() as backend, exporting(backend, metrics) as exporter:
        await exporter.consume(THREE)
        assert backend.received == [THREE.payload]
        assert exporter.connected()
        assert spans(metrics, "sent") == 3


async def test_a_queue_that_is_spelled_out_acknowledges_early() -> None:
    """With `enabled: true` written, consume returns while the backend still works."""
    queue = {"enabled": True}
    metrics = Metrics()
    async with Backend() as backend:
        backend.hold()
        async with exporting(backend, metrics, sending_queue=queue) as exporter:
            await exporter.consume(THREE)
            assert backend.received == []
            backend.release()
        assert backend.received == [THREE.payload]
        assert spans(metrics, "sent") == 3


async def test_retryable_failures_are_retried() -> None:
    """A batch that is refused three times arrives once, with the fourth attempt."""
    metrics = Metrics()
    async with (
        Backend() as backend,
        exporting(backend, metrics, retry_on_failure=FAST_RETRY) as exporter,
    ):
        busy = Answer(Code.UNAVAILABLE)
        throttled = Answer(Code.RESOURCE_EXHAUSTED, retry_after_s=0.01)
        backend.script([busy, throttled, busy])
        await exporter.consume(THREE)
        assert backend.requests == 4
        assert backend.received == [THREE.payload]
        assert (spans(metrics, "sent"), spans(metrics, "send_failed")) == (3, 0)


async def test_final_failures_are_not_retried() -> None:
    """A final answer raises Rejected after one attempt, with a reason for splitting."""
    metrics = Metrics()
    async with (
        Backend(Answer(Code.INVALID_ARGUMENT, "bad span")) as backend,
        exporting(backend, metrics) as exporter,
    ):
        with pytest.raises(Rejected) as rejected:
            await exporter.consume(THREE)
        assert rejected.value.reason in SPLIT_REASONS
        assert backend.requests == 1
        assert (spans(metrics, "sent"), spans(metrics, "send_failed")) == (0, 3)


async def test_resource_exhausted_without_retry_info_is_final() -> None:
    """RESOURCE_EXHAUSTED without RetryInfo is tried once only."""
    metrics = Metrics()
    async with (
        Backend(Answer(Code.RESOURCE_EXHAUSTED)) as backend,
        exporting(backend, metrics, retry_on_failure=FAST_RETRY) as exporter,
    ):
        with pytest.raises(Rejected):
            await exporter.consume(THREE)
        assert backend.requests == 1


async def test_the_delay_of_a_retry_info_is_waited() -> None:
    """The next attempt comes no sooner than the backend's RetryInfo asks."""
    metrics = Metrics()
    async with (
        Backend() as backend,
        exporting(backend, metrics, retry_on_failure=FAST_RETRY) as exporter,
    ):
        backend.script([Answer(Code.UNAVAILABLE, retry_after_s=0.3)])
        started_s = asyncio.get_running_loop().time()
        await exporter.consume(THREE)
        assert asyncio.get_running_loop().time() - started_s >= 0.3


async def test_partial_success_counts_as_sent() -> None:
    """A partial success is not sent again; what it rejected is counted apart."""
    metrics = Metrics()
    async with (
        Backend(partial_success(2, "too old")) as backend,
        exporting(backend, metrics) as exporter,
    ):
        await exporter.consume(THREE)
        assert backend.requests == 1
        assert spans(metrics, "sent") == 3
        assert metrics.value("tailring_exporter_partial_rejected_spans") == 2


async def test_each_attempt_has_its_timeout() -> None:
    """A backend that is slow once costs one timeout, then the batch arrives."""
    metrics = Metrics()
    async with (
        Backend() as backend,
        exporting(
            backend, metrics, timeout=200_000_000, retry_on_failure=FAST_RETRY
        ) as exporter,
    ):
        backend.script([Answer(delay_s=5)])
        await exporter.consume(THREE)
        assert backend.received == [THREE.payload]


async def test_without_retries_a_refusal_reaches_the_caller() -> None:
    """With retry_on_failure off the first refusal is raised."""
    metrics = Metrics()
    async with (
        Backend(Answer(Code.UNAVAILABLE)) as backend,
        exporting(backend, metrics, retry_on_failure={"enabled": False}) as exporter,
    ):
        with pytest.raises(Refused):
            await exporter.consume(THREE)
        assert spans(metrics, "send_failed") == 3


async def test_a_closed_exporter_refuses() -> None:
    """After close a batch is refused, and counted as not enqueued."""
    metrics = Metrics()
    async with Backend() as backend, exporting(backend, metrics) as exporter:
        exporter.close()
        with pytest.raises(Refused):
            await exporter.consume(THREE)
        assert spans(metrics, "enqueue_failed") == 3


async def test_an_exporter_starts_while_its_backend_is_away() -> None:
    """Start does not wait for the backend; the batch arrives when it comes up."""
    metrics = Metrics()
    backend = await Backend().start()
    await backend.stop()
    async with exporting(backend, metrics, retry_on_failure=FAST_RETRY) as exporter:
        async with asyncio.TaskGroup() as group:
            group.create_task(exporter.consume(THREE))
            await asyncio.sleep(0.1)
            await backend.start()
        assert backend.received == [THREE.payload]
    await backend.stop()
