"""Random lives of a batch processor: no item is lost or doubled."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tailring_pipeline import (
    Batch,
    BatchConfig,
    BatchProcessor,
    BatchSettings,
    Refused,
    Rejected,
)
from tailring_runtime.metrics import Metrics
from tailring_testkit.virtual_time import virtual_time


class _Destination:
    """Answers after a random time, randomly; remembers each member it took."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.taken: list[bytes] = []

    async def consume(self, batch: Batch) -> None:
        await asyncio.sleep(self.chance.choice([0, 0.05, 1]))
        if b"bad" in batch.payload:
            raise Rejected("invalid_argument", "never")
        if self.chance.random() < 0.2:
            raise Refused("unavailable", "down")
        self.taken += batch.payload.split()


def _config(chance: random.Random) -> dict[str, Any]:
    size = chance.choice([1, 4, 100])
    return {
        "send_batch_size": size,
        "send_batch_max_size": chance.choice([0, size + 2]),
        "timeout": chance.choice([0, "100ms"]),
    }


@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_no_item_is_lost_or_doubled(seed: int) -> None:
    """In a random life a member told of success was taken, and none was taken twice."""
    chance = random.Random(seed)
    destination = _Destination(chance)
    batch = BatchProcessor(
        BatchConfig.model_validate(_config(chance)),
        consumer=destination,
        metrics=Metrics(),
        settings=BatchSettings(items_max=20),
    )
    loop = asyncio.get_running_loop()
    callers: dict[bytes, asyncio.Task[None]] = {}
    for number in range(120):
        name = b"%s%d" % (chance.choice([b"ok", b"ok", b"ok", b"bad"]), number)
        callers[name] = loop.create_task(batch.consume(Batch(name + b" ", 1)))
        if chance.random() < 0.2:
            chance.choice(list(callers.values())).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 0.05, 0.2]))
        batch.check_invariants()
    batch.close()
    await batch.join(chance.choice([0, 0.5, 60]))
    batch.check_invariants()
    await batch.terminate()
    answers = await asyncio.gather(*callers.values(), return_exceptions=True)
    batch.check_invariants()
    account = batch.statistics()
    told = {n for n, answer in zip(callers, answers, strict=True) if answer is None}
    assert account.held == 0
    assert len(destination.taken) == len(set(destination.taken))
    assert told <= set(destination.taken)
    assert account.delivered == len(destination.taken)
