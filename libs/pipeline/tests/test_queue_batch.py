"""Batches of a sending queue: when they go, what each member is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tailring_otlpwire import count
from tailring_pipeline import (
    Batch,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Rejected,
    SendingQueue,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.otlp import realistic_request
from tailring_testkit.sink import Sink
from tailring_testkit.virtual_time import virtual_time


def _spans(items: int, seed: int = 1) -> Batch:
    return Batch(realistic_request(items, seed=seed), items)


def _spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coro)


class _Rig:
    """A queue that batches in front of a sink."""

    def __init__(self, **keys: Any) -> None:
        queue = {
            key: keys.pop(key) for key in ("num_consumers", "enabled") & keys.keys()
        }
        config = {**queue, "batch": {"flush_timeout": "1s", **keys}}
        self.sink = Sink()
        self.queue = SendingQueue(
            QueueConfig.model_validate(config),
            consumer=self.sink,
            metrics=ExporterMetrics(Metrics(), "otlp"),
        )

    def send(self, *batches: Batch) -> list[asyncio.Task[None]]:
        """Callers that hand one batch in each."""
        return [_spawn(self.queue.consume(batch)) for batch in batches]


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@virtual_time
async def test_requests_are_joined_up_to_the_least_size() -> None:
    """A batch goes as soon as it has min_size, all of its members in order."""
    rig = _Rig(min_size=30)
    batches = [_spans(10, seed) for seed in range(3)]
    await asyncio.wait(rig.send(*batches))
    assert [one.payload for one in rig.sink.batches] == [
        b"".join(one.payload for one in batches)
    ]
    assert asyncio.get_running_loop().time() < 1


@virtual_time
async def test_a_small_batch_goes_when_it_is_old() -> None:
    """What does not reach min_size goes after flush_timeout."""
    rig = _Rig(min_size=1000)
    (task,) = rig.send(_spans(10))
    started_s = asyncio.get_running_loop().time()
    await task
    assert asyncio.get_running_loop().time() - started_s == pytest.approx(1.0)


@pytest.mark.parametrize("sizer", ["items", "bytes"])
@virtual_time
async def test_no_batch_is_larger_than_the_largest_size(sizer: str) -> None:
    """Members that do not fit together are sent apart, and one that is too large is
    cut."""
    size = len(_spans(10).payload) if sizer == "bytes" else 10
    rig = _Rig(sizer=sizer, min_size=size, max_size=2 * size)
    await asyncio.wait(rig.send(_spans(10), _spans(45), _spans(3)))
    for one in rig.sink.batches:
        assert count(one.payload) == one.items
        assert (one.items if sizer == "items" else len(one.payload)) <= 2 * size
    assert rig.sink.items == 58


@virtual_time
async def test_as_many_batches_are_on_their_way_as_there_are_consumers() -> None:
    """num_consumers bounds the batches that are sent at once."""
    rig = _Rig(min_size=1, num_consumers=2)
    rig.sink.hold()
    tasks = rig.send(*[_spans(5, seed) for seed in range(5)])
    await _settle()
    assert rig.sink.in_flight == 2
    rig.sink.release()
    await asyncio.wait(tasks)
    assert rig.sink.items == 25


@virtual_time
async def test_one_bad_member_takes_no_other_with_it() -> None:
    """A batch that is rejected is halved, and each member hears its own answer."""
    rig = _Rig(min_size=30)
    never = Rejected("invalid_argument", "never")
    rig.sink.script([never, None, never, never, None])
    tasks = rig.send(*[_spans(10, seed) for seed in range(3)])
    await asyncio.wait(tasks)
    assert [type(task.exception()) for task in tasks] == [
        type(None),
        Rejected,
        type(None),
    ]
    assert rig.sink.items == 20


@virtual_time
async def test_a_refusal_is_for_every_member() -> None:
    """Each sender is told that the batch may come again."""
    rig = _Rig(min_size=20)
    rig.sink.refuse(retry_after_s=3)
    tasks = rig.send(_spans(10), _spans(10))
    await asyncio.wait(tasks)
    for task in tasks:
        error = task.exception()
        assert isinstance(error, Refused)
        assert error.retry_after_s == 3


@virtual_time
async def test_a_sender_that_goes_away_leaves_the_batch() -> None:
    """What is not sent yet is taken out when its sender goes."""
    rig = _Rig(min_size=20)
    gone, stays = rig.send(_spans(10), _spans(5))
    await _settle()
    gone.cancel()
    await stays
    assert rig.sink.items == 5
    rig.queue.check_invariants()
    assert rig.queue.statistics().held == 0


@virtual_time
async def test_a_drain_waits_for_no_company() -> None:
    """What waits when the queue is closed goes at once."""
    rig = _Rig(min_size=1000, enabled=True)
    await asyncio.wait(rig.send(_spans(10), _spans(5)))
    started_s = asyncio.get_running_loop().time()
    rig.queue.close()
    await rig.queue.join(10)
    await rig.queue.terminate()
    assert asyncio.get_running_loop().time() - started_s < 0.5
    assert rig.sink.items == 15
    assert rig.queue.statistics().delivered == 15


@virtual_time
async def test_the_end_abandons_what_waits() -> None:
    """What is on its way at the end is refused to those who wait."""
    rig = _Rig(min_size=1)
    rig.sink.hold()
    tasks = rig.send(_spans(10), _spans(5))
    await _settle()
    await rig.queue.terminate()
    await asyncio.wait(tasks)
    assert {type(task.exception()) for task in tasks} == {Refused}
    rig.queue.check_invariants()
