"""Random lives of a sending queue: no item is lost or doubled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

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
from tailring_testkit.virtual_time import virtual_time

S = 1_000_000_000
# Reasons of a caller that was never let in.
AT_THE_DOOR = {"queue_full", "draining", "too_large"}


def _spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coro)


class _Destination:
    """Answers each batch after a random time, randomly; keeps what it answered."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.asked: Counter[bytes] = Counter()
        self.taken: list[bytes] = []
        self.refused: set[bytes] = set()
        self.rejected: set[bytes] = set()

    async def consume(self, batch: Batch) -> None:
        self.asked[batch.payload] += 1
        await asyncio.sleep(self.chance.choice([0, 0, 0.1, 1]))
        match self.chance.randrange(8):
            case 0 | 1:
                self.refused.add(batch.payload)
                raise Refused("unavailable", "down")
            case 2:
                self.rejected.add(batch.payload)
                raise Rejected("bad", "never")
            case 3:
                self.refused.add(batch.payload)
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


class _Life:
    """A queue in front of a destination, and what became of each caller."""

    def __init__(self, seed: int, *, retries: bool) -> None:
        self.chance = random.Random(seed)
        self.destination = _Destination(self.chance)
        self.metrics = Metrics()
        consumer: Consumer = self.destination
        if retries:
            config = RetryConfig(
                initial_interval=S // 10, max_interval=S // 3, max_elapsed_time=S
            )
            consumer = Retry(config, consumer=consumer, jitter=self.chance.random)
        self.queue = SendingQueue(
            QueueConfig.model_validate(_random_config(self.chance)),
            consumer=consumer,
            metrics=ExporterMetrics(self.metrics, "otlp"),
        )
        self.callers: dict[bytes, asyncio.Task[None]] = {}
        # How often the batch of a caller had been sent when it was cancelled.
        self.asked_when_left: dict[bytes, int] = {}

    async def live(self) -> None:
        """Puts, cancels and failures, then an end; the books hold at each step."""
        queue, chance = self.queue, self.chance
        for number in range(120):
            payload = b"%d" % number
            self.callers[payload] = _spawn(queue.consume(Batch(payload, 1)))
            if chance.random() < 0.3:
                self._cancel(chance.choice(list(self.callers)))
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice([0, 0, 0.05]))
            queue.check_invariants()
        queue.close()
        queue.check_invariants()
        await queue.join(chance.choice([0, 0.5, 60]))
        queue.check_invariants()
        await queue.terminate()
        await asyncio.wait(self.callers.values())
        queue.check_invariants()

    def _cancel(self, payload: bytes) -> None:
        if self.callers[payload].cancel():
            self.asked_when_left.setdefault(payload, self.destination.asked[payload])

    def answers(self) -> dict[bytes, str]:
        """The answer to each caller that was there to hear it; "" for a success."""
        found = {}
        for payload, caller in self.callers.items():
            if caller.cancelled():
                continue
            error = caller.exception()
            assert error is None or isinstance(error, Refused | Rejected)
            found[payload] = error.reason if error else ""
        return found


@pytest.mark.parametrize("retries", [False, True])
@pytest.mark.parametrize("seed", range(60))
@virtual_time
async def test_no_item_is_lost_or_doubled(seed: int, retries: bool) -> None:
    """In a random life of puts, cancels, failures and an end each item is accounted
    for: by its caller, by the destination, and by the books, which agree."""
    life = _Life(seed, retries=retries)
    await life.live()
    account, destination = life.queue.statistics(), life.destination
    taken, seen = set(destination.taken), set(destination.asked)
    assert len(taken) == len(destination.taken) == account.delivered
    assert life.metrics.value("otelcol_exporter_sent_spans") == account.delivered
    assert account.held == 0
    answers = life.answers()
    told = {payload for payload, answer in answers.items() if not answer}
    turned_away = {p for p, answer in answers.items() if answer in AT_THE_DOOR}
    heard = set(answers) - told - turned_away
    assert not turned_away & seen
    lost = dict(account.lost)
    if life.queue.acknowledges_early:
        # What was acknowledged is taken, or lost by the door of its last answer.
        mine = told | seen
        assert account.accepted == len(mine)
        assert account.returned == len(heard) == 0
        assert sum(lost.values()) == len(mine - taken)
        assert lost[Door.ABANDONED] == 0
        assert lost[Door.REJECTED] == len(destination.rejected)
        cut = mine - taken - destination.refused - destination.rejected
        assert retries or lost[Door.TERMINATED] == len(cut)
    else:
        # Whoever heard of a success has it; whoever did not has it, or has left. (Who
        # leaves while his answer is on its way to him does not hear it.)
        assert told == taken & set(answers)
        assert account.returned >= len(heard)
        abandoned = lost.pop(Door.ABANDONED)
        failed = (seen - taken) | heard
        assert account.accepted == len(taken) + len(failed) + abandoned
        assert account.returned + sum(lost.values()) == len(failed)


@pytest.mark.parametrize("seed", range(60))
@virtual_time
async def test_nothing_is_sent_again_for_callers_that_left(seed: int) -> None:
    """In a random life a batch whose caller left is sent no further time (but a first
    time, when it was let in that moment), unless it was acknowledged already."""
    life = _Life(seed, retries=True)
    await life.live()
    asked = life.destination.asked
    again = {p for p, times in life.asked_when_left.items() if asked[p] > max(times, 1)}
    assert life.queue.acknowledges_early or not again
