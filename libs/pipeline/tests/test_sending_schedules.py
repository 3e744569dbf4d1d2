"""Random lives of a sending queue: no item is lost or doubled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from tailring_pipeline import (
    Batch,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Rejected,
    SendingQueue,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time


def _spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coro)


class _Destination:
    """Answers each batch after a random time, randomly; keeps what it took."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.taken: list[bytes] = []

    async def consume(self, batch: Batch) -> None:
        await asyncio.sleep(self.chance.choice([0, 0, 0.1, 1]))
        match self.chance.randrange(8):
            case 0 | 1:
                raise Refused("unavailable", "down")
            case 2:
                raise Rejected("bad", "never")
            case 3:
                raise RuntimeError("bug")
        self.taken.append(batch.payload)


def _random_config(chance: random.Random) -> dict[str, Any]:
    return {
        **({"enabled": True} if chance.random() < 0.5 else {}),
        "queue_size": chance.choice([1, 3, 10]),
        "sizer": chance.choice(["requests", "items"]),
        "num_consumers": chance.choice([1, 3]),
        "block_on_overflow": chance.random() < 0.5,
    }


@pytest.mark.parametrize("seed", range(60))
@virtual_time
async def test_no_item_is_lost_or_doubled(seed: int) -> None:
    """In a random life of puts, cancels, failures and an end each item is accounted."""
    chance = random.Random(seed)
    destination = _Destination(chance)
    config = _random_config(chance)
    metrics = Metrics()
    queue = SendingQueue(
        QueueConfig.model_validate(config),
        consumer=destination,
        metrics=ExporterMetrics(metrics, "otlp"),
    )
    callers: dict[bytes, asyncio.Task[None]] = {}
    for number in range(120):
        payload = b"%d" % number
        callers[payload] = _spawn(queue.consume(Batch(payload, 1)))
        if chance.random() < 0.3:
            chance.choice(list(callers.values())).cancel()
        if chance.random() < 0.7:
            await asyncio.sleep(chance.choice([0, 0, 0.05]))
        queue.check_invariants()
    queue.close()
    queue.check_invariants()
    await queue.join(chance.choice([0, 0.5, 60]))
    queue.check_invariants()
    await queue.terminate()
    answers = await asyncio.gather(*callers.values(), return_exceptions=True)
    queue.check_invariants()
    account = queue.statistics()
    assert account.held == 0
    assert account.delivered == len(destination.taken) == len(set(destination.taken))
    told = {p for p, answer in zip(callers, answers, strict=True) if answer is None}
    if not queue.acknowledges_early:
        assert told <= set(destination.taken)
    else:
        lost = account.accepted - account.delivered - account.returned
        assert len(told - set(destination.taken)) <= lost
    assert metrics.value("otelcol_exporter_sent_spans") == account.delivered
