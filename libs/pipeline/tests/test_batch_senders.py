"""Senders that leave the batch processor before they have their answer."""

from __future__ import annotations

import asyncio

from tailring_pipeline import (
    Batch,
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    Door,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Retry,
    RetryConfig,
    SendingQueue,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time


class _Rig:
    """A batch processor in front of a sink, and its metrics."""

    def __init__(self, *, size: int = 8192) -> None:
        self.sink = Sink()
        self.metrics = Metrics()
        self.batch = BatchProcessor(
            BatchConfig(send_batch_size=size),
            consumer=self.sink,
            metrics=self.metrics,
            settings=BatchSettings(quiet_s=0),
        )

    def send(self, *, payload: bytes = b"x") -> asyncio.Task[None]:
        """A caller that hands one member in."""
        consuming = self.batch.consume(Batch(payload, 1))
        return asyncio.get_running_loop().create_task(consuming)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@virtual_time
async def test_a_sender_that_leaves_takes_its_member_along() -> None:
    """A member whose caller is cancelled before the batch goes is not in it."""
    rig = _Rig()
    first, second = rig.send(payload=b"a"), rig.send(payload=b"b")
    await _settle()
    first.cancel()
    await second
    assert rig.sink.payload == b"b"
    assert rig.batch.statistics().lost[Door.ABANDONED] == 1
    name = "tailring_processor_lost_items"
    assert rig.metrics.value(name, door="abandoned") == 1
    rig.batch.check_invariants()


@virtual_time
async def test_the_last_sender_that_leaves_stops_the_timer() -> None:
    """When nobody is left nothing is sent."""
    rig = _Rig()
    only = rig.send()
    await _settle()
    only.cancel()
    await asyncio.sleep(10)
    assert rig.sink.batches == []
    rig.batch.check_invariants()


@virtual_time
async def test_a_batch_in_flight_survives_one_of_its_senders() -> None:
    """A batch that was sent is delivered whole although a member's caller left."""
    rig = _Rig(size=2)
    rig.sink.hold()
    first, second = rig.send(payload=b"a"), rig.send(payload=b"b")
    await rig.sink.wait_in_flight(1)
    first.cancel()
    await _settle()
    rig.sink.release()
    await second
    assert rig.sink.payload == b"ab"
    assert rig.batch.statistics().delivered == 2
    rig.batch.check_invariants()


@virtual_time
async def test_a_batch_in_flight_is_recalled_with_its_last_sender() -> None:
    """When nobody waits for a batch, those behind are told; it is lost by name."""
    rig = _Rig(size=2)
    rig.sink.hold()
    callers = [rig.send(), rig.send()]
    await rig.sink.wait_in_flight(1)
    for caller in callers:
        caller.cancel()
        await _settle()
    assert rig.sink.cancelled == 1
    account = rig.batch.statistics()
    assert (account.held, account.lost[Door.ABANDONED]) == (0, 2)
    rig.batch.check_invariants()


@virtual_time
async def test_the_retries_of_a_batch_end_with_its_last_sender() -> None:
    """Behind the batch a queue with retries sends nothing again for nobody."""
    sink = Sink(Refused("unavailable", "down"))
    queue = SendingQueue(
        QueueConfig(),
        consumer=Retry(RetryConfig(), consumer=sink),
        metrics=ExporterMetrics(Metrics(), "otlp"),
    )
    batch = BatchProcessor(BatchConfig(), consumer=queue, metrics=Metrics())
    consuming = batch.consume(Batch(b"x", 1))
    caller = asyncio.get_running_loop().create_task(consuming)
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.sleep(100)
    assert len(sink.turned_away) == 1
    assert queue.statistics().held == batch.statistics().held == 0
    queue.check_invariants()
    batch.check_invariants()
