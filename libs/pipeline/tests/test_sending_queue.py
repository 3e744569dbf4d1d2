"""The sending queue: who is answered when, and where every item is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tailring_pipeline import (
    Batch,
    Door,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Rejected,
    SendingQueue,
)
from tailring_runtime.losses import Loss
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time

BATCH = Batch(b"abcd", 4)
ANSWERS: Mapping[Door, Exception] = {
    Door.REFUSED: Refused("unavailable", "down"),
    Door.REJECTED: Rejected("bad", "never"),
    Door.TERMINATED: Refused("shutdown", "stopping"),
}


class _Rig:
    """A queue in front of a sink, and its metrics."""

    def __init__(
        self,
        written: Mapping[str, Any] | None = None,
    ) -> None:
        self.sink = Sink()
        self.metrics = Metrics()
        self.queue = SendingQueue(
            QueueConfig.model_validate(written or {}),
            consumer=self.sink,
            metrics=ExporterMetrics(self.metrics, "otlp"),
        )

    def send(self, batch: Batch = BATCH) -> asyncio.Task[None]:
        """A caller that hands one batch in."""
        return _spawn(self.queue.consume(batch))

    def value(self, name: str, **labels: str) -> float:
        """The value of an exporter metric."""
        return self.metrics.value(f"otelcol_exporter_{name}", **labels)

    def lost(self, door: Door) -> float:
        """What left by ``door``, by the metric; it must agree with the statistics."""
        name = "tailring_exporter_lost_spans"
        counted = self.metrics.value(name, door=door.value)
        assert counted == self.queue.statistics().lost[door]
        return counted


def _spawn(coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coro)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@virtual_time
async def test_a_caller_waits_for_the_delivery() -> None:
    """The default queue answers only when the destination took the batch."""
    rig = _Rig()
    rig.sink.hold()
    caller = rig.send()
    await rig.sink.wait_in_flight(1)
    assert not caller.done()
    rig.sink.release()
    await caller
    assert rig.sink.batches == [BATCH]
    assert rig.value("sent_spans") == 4


@virtual_time
async def test_a_caller_gets_the_refusal_of_its_own_batch() -> None:
    """Each caller hears what became of its batch, and a failure is not a loss."""
    rig = _Rig()
    rig.sink.script([Refused("unavailable", "down", retry_after_s=3), None])
    first, second = rig.send(), rig.send()
    with pytest.raises(Refused) as caught:
        await first
    await second
    assert caught.value.retry_after_s == 3
    assert rig.value("send_failed_spans") == 4
    assert rig.queue.statistics().returned == 4
    assert not any(rig.queue.statistics().lost.values())


@virtual_time
async def test_a_queue_that_is_spelled_out_answers_when_queued() -> None:
    """With a written enabled: true the caller goes on before the delivery."""
    rig = _Rig({"enabled": True})
    rig.sink.hold()
    await rig.queue.consume(BATCH)
    assert rig.queue.statistics().held == 4
    rig.sink.release()
    await rig.sink.wait_items(4)
    rig.queue.check_invariants()


@pytest.mark.parametrize("door", ANSWERS)
@virtual_time
async def test_a_failure_after_the_acknowledgement_is_a_named_loss(door: Door) -> None:
    """What fails when nobody waits is lost by the door of its answer, and is logged."""
    rig, answer = _Rig({"enabled": True}), ANSWERS[door]
    rig.sink.fail(answer)
    with capture_logs() as logs:
        await rig.queue.consume(BATCH)
        await _settle()
    assert rig.lost(door) == 4
    assert rig.queue.loss.spans == (4 if isinstance(answer, Refused) else 0)
    assert rig.value("send_failed_spans") == 4
    assert [line["event"] for line in logs] == ["Exporting failed. Dropping data."]
    assert (logs[0]["items"], logs[0]["failures"]) == (4, 1)


@virtual_time
async def test_many_failures_make_few_lines_that_add_up() -> None:
    """Failures of ten seconds share a line, and the lines count all of them."""
    rig = _Rig({"enabled": True})
    rig.sink.refuse()
    with capture_logs() as logs:
        for _ in range(25):
            await rig.queue.consume(BATCH)
            await asyncio.sleep(1)
        await rig.queue.terminate()
    assert len(logs) == 4
    assert sum(line["items"] for line in logs) == 100


@virtual_time
async def test_a_full_queue_refuses_at_once() -> None:
    """Beyond its size, deliveries in flight included, the queue refuses a batch."""
    rig = _Rig({"queue_size": 2, "num_consumers": 1})
    rig.sink.hold()
    callers = [rig.send(), rig.send()]
    await rig.sink.wait_in_flight(1)
    with pytest.raises(Refused, match="sending queue is full"):
        await rig.queue.consume(BATCH)
    assert rig.value("enqueue_failed_spans") == 4
    assert rig.value("queue_size") == 2
    assert rig.value("queue_capacity") == 2
    rig.sink.release()
    await asyncio.gather(*callers)


@pytest.mark.parametrize(("sizer", "size"), [("items", 8), ("bytes", 8)])
@virtual_time
async def test_the_sizer_decides_what_is_counted(sizer: str, size: int) -> None:
    """A queue of items or bytes is full by these, however few requests there are."""
    rig = _Rig({"sizer": sizer, "queue_size": size})
    rig.sink.hold()
    callers = [rig.send(), rig.send()]
    await rig.sink.wait_in_flight(2)
    assert rig.value("queue_size") == 8
    with pytest.raises(Refused):
        await rig.queue.consume(Batch(b"a", 1))
    rig.sink.release()
    await asyncio.gather(*callers)


@virtual_time
async def test_a_batch_larger_than_the_queue_is_rejected() -> None:
    """What never fits is answered permanent, so that nobody sends it again."""
    rig = _Rig({"sizer": "items", "queue_size": 3})
    with pytest.raises(Rejected, match="larger than the sending queue"):
        await rig.queue.consume(BATCH)


@virtual_time
async def test_block_on_overflow_waits_for_room() -> None:
    """With block_on_overflow a full queue lets its callers wait instead."""
    rig = _Rig({"queue_size": 1, "block_on_overflow": True})
    rig.sink.hold()
    callers = [rig.send() for _ in range(3)]
    await _settle()
    assert rig.sink.in_flight == 1
    rig.sink.release()
    await asyncio.gather(*callers)
    assert rig.sink.items == 12
    rig.queue.check_invariants()


@virtual_time
async def test_deliveries_run_in_parallel_up_to_the_consumers() -> None:
    """num_consumers batches are in flight at once, and no more."""
    rig = _Rig({"num_consumers": 3})
    rig.sink.hold()
    callers = [rig.send() for _ in range(8)]
    await _settle()
    assert rig.sink.in_flight == 3
    assert rig.value("in_flight_requests") == 3
    rig.sink.release()
    await asyncio.gather(*callers)
    assert rig.value("in_flight_requests") == 0


@virtual_time
async def test_a_queue_that_is_off_bounds_nothing() -> None:
    """With enabled: false every batch is under way at once and none is refused."""
    rig = _Rig({"enabled": False, "queue_size": 1, "num_consumers": 1})
    rig.sink.hold()
    callers = [rig.send() for _ in range(20)]
    await _settle()
    assert rig.sink.in_flight == 20
    rig.sink.release()
    await asyncio.gather(*callers)


@virtual_time
async def test_a_sender_that_leaves_takes_its_queued_batch_along() -> None:
    """A batch whose caller is cancelled while it is queued is never sent."""
    rig = _Rig({"num_consumers": 1})
    rig.sink.hold()
    first, second = rig.send(), rig.send()
    await rig.sink.wait_in_flight(1)
    second.cancel()
    await _settle()
    rig.sink.release()
    await first
    assert rig.sink.items == 4
    assert rig.lost(Door.ABANDONED) == 4
    rig.queue.check_invariants()


@virtual_time
async def test_a_delivery_in_flight_survives_its_sender() -> None:
    """A batch in flight is delivered although its caller was cancelled."""
    rig = _Rig()
    rig.sink.hold()
    caller = rig.send()
    await rig.sink.wait_in_flight(1)
    caller.cancel()
    await _settle()
    assert rig.sink.cancelled == 0
    rig.sink.release()
    await rig.sink.wait_items(4)
    rig.queue.check_invariants()


@virtual_time
async def test_a_failure_for_a_sender_that_left_is_a_loss() -> None:
    """When nobody is there to hear of a refusal, the items are lost."""
    rig = _Rig()
    rig.sink.refuse()
    rig.sink.hold()
    caller = rig.send()
    await rig.sink.wait_in_flight(1)
    caller.cancel()
    await _settle()
    rig.sink.release()
    await _settle()
    assert rig.lost(Door.REFUSED) == 4


@virtual_time
async def test_a_partly_rejected_batch_is_partly_delivered() -> None:
    """The items that were not rejected count as sent."""
    rig = _Rig()
    rig.sink.reject(items=1)
    with pytest.raises(Rejected):
        await rig.queue.consume(BATCH)
    assert rig.value("sent_spans") == 3
    assert rig.value("send_failed_spans") == 1
    rig.queue.check_invariants()


@virtual_time
async def test_a_partly_refused_batch_is_partly_delivered() -> None:
    """The items that do not remain count as sent."""
    rig = _Rig()
    rig.sink.fail(Refused("unavailable", "half", remaining=Batch(b"cd", 2)))
    with pytest.raises(Refused):
        await rig.queue.consume(BATCH)
    assert rig.value("sent_spans") == 2
    rig.queue.check_invariants()


@virtual_time
async def test_a_bug_behind_the_queue_is_answered_retryable() -> None:
    """An exception that is no answer is logged and becomes a refusal; work goes on."""
    rig = _Rig()
    rig.sink.script([RuntimeError("bug"), None])
    with capture_logs() as logs, pytest.raises(Refused, match="RuntimeError: bug"):
        await rig.queue.consume(BATCH)
    assert logs[0]["event"] == "consumer failed unexpectedly"
    await rig.queue.consume(BATCH)


@virtual_time
async def test_a_consumer_that_cancels_itself_is_answered_retryable() -> None:
    """A cancellation that nobody asked for does not end the queue's work."""
    rig = _Rig()
    rig.sink.script([asyncio.CancelledError(), None])
    with pytest.raises(Refused, match="cancelled"):
        await rig.queue.consume(BATCH)
    await rig.queue.consume(BATCH)


@virtual_time
async def test_an_empty_batch_is_taken_and_not_sent() -> None:
    """A batch without items is safe at once and costs nothing."""
    rig = _Rig()
    await rig.queue.consume(Batch(b"", 0))
    assert rig.sink.batches == []


@virtual_time
async def test_a_join_ends_at_its_timeout() -> None:
    """A destination that hangs does not hold the drain up beyond its time."""
    rig = _Rig({"enabled": True})
    rig.sink.hold()
    await rig.queue.consume(BATCH)
    rig.queue.close()
    await rig.queue.join(5)
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    await rig.queue.terminate()


@virtual_time
async def test_what_is_left_at_the_end_is_lost_by_name() -> None:
    """Termination counts queued and flying batches of nobody as terminated."""
    rig = _Rig({"enabled": True, "num_consumers": 1})
    rig.sink.hold()
    for _ in range(3):
        await rig.queue.consume(BATCH)
    await rig.sink.wait_in_flight(1)
    await rig.queue.terminate()
    assert rig.lost(Door.TERMINATED) == 12
    assert rig.queue.loss == Loss(12)
    assert rig.queue.statistics().held == 0
    assert rig.value("in_flight_requests") == 0
    rig.queue.check_invariants()


@virtual_time
async def test_those_who_wait_at_the_end_are_told() -> None:
    """Termination refuses to every caller that waits, so nothing of theirs is lost."""
    rig = _Rig({"num_consumers": 1})
    rig.sink.hold()
    callers = [rig.send() for _ in range(3)]
    await rig.sink.wait_in_flight(1)
    await rig.queue.terminate()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Refused] * 3
    assert rig.queue.statistics().returned == 12
    assert not rig.queue.loss
    rig.queue.check_invariants()


@virtual_time
async def test_a_blocked_caller_is_refused_at_the_drain() -> None:
    """A caller that waits for room when the queue closes is told to go elsewhere."""
    rig = _Rig({"queue_size": 1, "block_on_overflow": True})
    rig.sink.hold()
    first, second = rig.send(), rig.send()
    await rig.sink.wait_in_flight(1)
    rig.queue.close()
    with pytest.raises(Refused, match="stopping"):
        await second
    rig.sink.release()
    await first
