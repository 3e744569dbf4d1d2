"""A process that fills a queue on disk and says what was acknowledged, until it is
killed: ``python disk_child.py FOLDER FSYNC FIRST_NUMBER [FILE_BYTES_MAX]``.

Its lines are ``ok NUMBER`` for a batch that was acknowledged, ``out NUMBER`` for one
that was delivered, ``full NUMBER`` for one that was refused for want of room.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from tailring_pipeline import (
    Batch,
    DiskSettings,
    DiskStore,
    ExporterMetrics,
    QueueConfig,
    Refused,
    Room,
    SendingQueue,
    StorageMetrics,
)
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

SENDERS = 20


def payload_of(number: int) -> bytes:
    """The payload of a batch, which its number alone decides."""
    rng = random.Random(number)
    return number.to_bytes(4, "big") + rng.randbytes(
        rng.choice((0, 100, 2_000, 30_000))
    )


def _say(word: str, number: int) -> None:
    os.write(1, f"{word} {number}\n".encode())


class _Out:
    """Delivers every other batch, and lets the rest wait for ever."""

    async def consume(self, batch: Batch) -> None:
        """Say which."""
        number = int.from_bytes(batch.payload[:4], "big")
        if number % 2:
            await asyncio.Event().wait()
        _say("out", number)


async def _send(queue: SendingQueue, numbers: Sequence[int]) -> None:
    for number in numbers:
        try:
            await queue.consume(Batch(payload_of(number), 1))
        except Refused:
            _say("full", number)
            await asyncio.sleep(0.02)
        else:
            _say("ok", number)


async def main(folder: Path, *, fsync: bool, first: int) -> None:
    """Send until somebody kills this."""
    keys = {"storage": "file_storage", "queue_size": 1 << 20, "num_consumers": 1 << 20}
    config = QueueConfig.model_validate(keys)
    metrics = Metrics()
    queue = SendingQueue(
        config,
        consumer=_Out(),
        metrics=ExporterMetrics(metrics, "otlp"),
        store=DiskStore(
            DiskSettings(folder, fsync=fsync, memory_bytes_max=1 << 20),
            Room.of(config),
            metrics=StorageMetrics(metrics, "otlp", log=get_logger()),
        ),
    )
    await queue.start()
    async with asyncio.TaskGroup() as tasks:
        for sender in range(SENDERS):
            numbers = range(first + sender, first + 1_000_000, SENDERS)
            tasks.create_task(_send(queue, numbers))


if __name__ == "__main__":
    if len(sys.argv) > 4:
        limit = int(sys.argv[4])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    asyncio.run(
        main(Path(sys.argv[1]), fsync=sys.argv[2] == "1", first=int(sys.argv[3]))
    )
