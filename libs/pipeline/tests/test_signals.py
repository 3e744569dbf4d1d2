"""What stages do the same with each signal: cut in its items, count under its name."""

from __future__ import annotations

import asyncio

import pytest

from tailring_pipeline import (
    ITEMS,
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    ExporterMetrics,
    MemoryLimiter,
    MemoryLimiterConfig,
    MemorySettings,
    NopExporter,
    Refused,
    Signal,
    cut_batch,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.signals import batch_of, numbers_of
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

GIB = 1 << 30
HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize("signal", Signal)
@virtual_time
async def test_a_batch_is_large_enough_in_items_of_its_signal(signal: Signal) -> None:
    """Sizes are spans, log records or data points; what is too large is cut, and every
    piece is of the signal."""
    sink, metrics = Sink(), Metrics()
    sizes = {"send_batch_size": 12, "send_batch_max_size": 12}
    batch = BatchProcessor(
        BatchConfig.model_validate({**sizes, "timeout": HOUR_NS}),
        consumer=sink,
        metrics=metrics,
        settings=BatchSettings(quiet_s=0, signal=signal),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(batch.consume(batch_of(signal, range(7))))
        group.create_task(batch.consume(batch_of(signal, range(7, 12))))
    async with asyncio.TaskGroup() as group:
        group.create_task(batch.consume(batch_of(signal, range(12, 42))))
    assert [(one.items, one.signal) for one in sink.batches] == [
        (items, signal) for items in (12, 12, 12, 6)
    ]
    assert numbers_of(signal, sink.payload) == dict.fromkeys(range(42), 1)
    for kind in ("incoming", "outgoing"):
        name = f"otelcol_processor_{kind}_items"
        assert metrics.value(name, otel_signal=signal.value) == 42
    await batch.terminate()


@pytest.mark.parametrize("signal", Signal)
def test_a_large_batch_is_cut_between_items(signal: Signal) -> None:
    """The pieces are small enough, of the signal, and hold every item once."""
    whole = batch_of(signal, range(500))
    pieces = cut_batch(whole, len(whole.payload) // 5)
    assert len(pieces) > 4
    assert all(len(one.payload) <= len(whole.payload) // 5 for one in pieces)
    assert {one.signal for one in pieces} == {signal}
    together = b"".join(one.payload for one in pieces)
    assert numbers_of(signal, together) == dict.fromkeys(range(500), 1)
    assert all(numbers_of(signal, one.payload).total() == one.items for one in pieces)


@pytest.mark.parametrize("signal", Signal)
@virtual_time
async def test_the_limiter_counts_under_the_name_of_the_signal(signal: Signal) -> None:
    """What is let through and what is refused is counted in items of the signal."""
    metrics, sink = Metrics(), Sink()
    used = 0
    limiter = MemoryLimiter(
        MemoryLimiterConfig.model_validate(
            {"check_interval": 1_000_000_000, "limit_mib": 1024}
        ),
        consumer=sink,
        metrics=metrics,
        settings=MemorySettings(
            signal,
            used_bytes=lambda: used,
            total_bytes=lambda: GIB,
            reclaim=lambda: None,
        ),
    )
    await limiter.start()
    await limiter.consume(batch_of(signal, range(5)))
    used = 2 * GIB
    limiter.check()
    with pytest.raises(Refused):
        await limiter.consume(batch_of(signal, range(3)))
    name = "otelcol_processor_memory_limiter"
    assert metrics.value(f"{name}_accepted_{ITEMS[signal]}") == 5
    assert metrics.value(f"{name}_refused_{ITEMS[signal]}") == 3
    await limiter.terminate()


@pytest.mark.parametrize("signal", Signal)
async def test_nop_counts_what_it_takes(signal: Signal) -> None:
    """Items that nobody wants are sent all the same, by their name."""
    metrics = Metrics()
    nop = NopExporter(metrics=ExporterMetrics(metrics, "nop", signal=signal))
    await nop.consume(batch_of(signal, range(4)))
    assert metrics.value(f"otelcol_exporter_sent_{ITEMS[signal]}") == 4
