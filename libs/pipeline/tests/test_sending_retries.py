"""A sending queue with retries behind it: who is sent again, for whom, and how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tailring_pipeline import (
    Batch,
    Consumer,
    Door,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Rejected,
    Retry,
    RetryConfig,
    SendingQueue,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

BATCH = Batch(b"abcd", 4)
DOWN = Refused("unavailable", "down")


def queue_of(sink: Consumer, **written: object) -> SendingQueue:
    """A queue with the usual retries in front of ``sink``."""
    return SendingQueue(
        QueueConfig.model_validate(written),
        consumer=Retry(RetryConfig(), consumer=sink, jitter=lambda: 0.5),
        metrics=ExporterMetrics(Metrics(), "otlp"),
    )


def now_s() -> float:
    """The time of the loop."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("cut_short", [SendingQueue.hurry, SendingQueue.close])
@virtual_time
async def test_a_drain_cuts_retries_short(
    cut_short: Callable[[SendingQueue], None],
) -> None:
    """Hurrying and closing make a retry that waits send once more, at once."""
    sink = Sink()
    sink.script([DOWN, None])
    queue = queue_of(sink, enabled=True)
    await queue.consume(BATCH)
    await asyncio.sleep(0.1)
    cut_short(queue)
    await queue.join(30)
    assert sink.items == 4
    assert now_s() == pytest.approx(0.1)


@virtual_time
async def test_for_a_sender_that_left_nothing_is_sent_again() -> None:
    """A retry that waits ends with its caller: the room is free and the loss named."""
    sink = Sink(DOWN)
    queue = queue_of(sink)
    caller = asyncio.get_running_loop().create_task(queue.consume(BATCH))
    await asyncio.sleep(1)
    caller.cancel()
    await queue.join(30)
    assert now_s() == pytest.approx(1)
    assert len(sink.turned_away) == 1
    account = queue.statistics()
    assert (account.held, account.returned) == (0, 0)
    assert account.lost[Door.REFUSED] == 4
    queue.check_invariants()


@pytest.mark.parametrize(
    ("answer", "delivered", "door"),
    [
        pytest.param(None, 4, None, id="taken"),
        pytest.param(DOWN, 0, Door.REFUSED, id="refused"),
        pytest.param(Rejected("bad", "never"), 0, Door.REJECTED, id="rejected"),
        pytest.param(
            Refused("unavailable", "half", remaining=Batch(b"cd", 2)),
            2,
            Door.REFUSED,
            id="half",
        ),
    ],
)
@virtual_time
async def test_an_attempt_under_way_is_the_last_for_a_sender_that_left(
    answer: Exception | None, delivered: int, door: Door | None
) -> None:
    """What was on its way is answered and counted, and not sent again."""
    sink = Sink()
    sink.script([answer])
    sink.hold()
    queue = queue_of(sink)
    caller = asyncio.get_running_loop().create_task(queue.consume(BATCH))
    await sink.wait_in_flight(1)
    caller.cancel()
    await asyncio.sleep(0)
    sink.release()
    await queue.join(30)
    assert len(sink.batches) + len(sink.turned_away) == 1
    account = queue.statistics()
    assert (account.delivered, account.held) == (delivered, 0)
    lost = {one: items for one, items in account.lost.items() if items}
    assert lost == ({door: 4 - delivered} if door else {})
    queue.check_invariants()


@virtual_time
async def test_what_was_acknowledged_early_is_sent_again_for_nobody() -> None:
    """A queue that acknowledges early goes on retrying: the batch is its own now."""
    sink = Sink()
    sink.script([DOWN, DOWN, None])
    queue = queue_of(sink, enabled=True)
    caller = asyncio.get_running_loop().create_task(queue.consume(BATCH))
    await caller
    await queue.join(30)
    assert sink.items == 4
    assert now_s() == pytest.approx(12.5)


class Impatient:
    """Refuses everything; a caller leaves at the very moment its batch is sent."""

    def __init__(self) -> None:
        self.attempts: list[bytes] = []
        self.leaving: dict[bytes, asyncio.Task[None]] = {}

    async def consume(self, batch: Batch) -> None:
        """Refuse."""
        self.attempts.append(batch.payload)
        caller = self.leaving.get(batch.payload)
        if caller is not None:
            caller.cancel()
        raise DOWN


@virtual_time
async def test_a_sender_that_leaves_while_it_is_let_in_is_gone() -> None:
    """A caller that waited for room and is cancelled when it was given, but before it
    knew, has no further attempt, and nothing counts as returned to it."""
    backend = Impatient()
    queue = queue_of(backend, queue_size=1, block_on_overflow=True)
    loop = asyncio.get_running_loop()
    first = loop.create_task(queue.consume(Batch(b"1", 1)))
    await asyncio.sleep(1)
    backend.leaving[b"2"] = loop.create_task(queue.consume(Batch(b"2", 1)))
    await asyncio.sleep(1)
    first.cancel()  # ends its retry, and so lets the second one in
    await queue.join(30)
    assert backend.attempts == [b"1", b"2"]
    assert queue.statistics().lost[Door.REFUSED] == 2
    assert queue.statistics().returned == 0
    queue.check_invariants()
