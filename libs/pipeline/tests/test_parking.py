"""Deliveries that last are taken back: the rest is written down, others go first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tailring_pipeline import (
    Batch,
    Consumer,
    DiskSettings,
    DiskStore,
    ExporterMetrics,
    OneSender,
    QueueConfig,
    Refused,
    Room,
    SendingQueue,
    StorageMetrics,
)
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

PARK_S = 0.02


class Places:
    """Two places: ``live`` takes its half at once, ``dead`` only when it is revived.

    A payload is ``live|dead``, one letter a span.
    """

    def __init__(self) -> None:
        self.live: list[bytes] = []
        self.dead: list[bytes] = []
        self.revived = asyncio.Event()

    def on_behalf_of(self, asker: asyncio.Future[Any]) -> Consumer:
        """The same for one sender."""
        return OneSender(self._deliver, asker)

    async def consume(self, batch: Batch) -> None:
        """Deliver for nobody."""
        await self._deliver(batch, None)

    async def _deliver(self, batch: Batch, asker: asyncio.Future[Any] | None) -> None:
        live, _, dead = batch.payload.partition(b"|")
        if live:
            self.live.append(live)
        reviving = asyncio.get_running_loop().create_task(self.revived.wait())
        waits = {reviving} | ({asker} if asker is not None else set())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reviving.cancel()
        if not self.revived.is_set():
            rest = Batch(b"|" + dead, len(dead))
            raise Refused("abandoned", "taken back", remaining=rest)
        self.dead.append(dead)


@asynccontextmanager
async def parked(
    folder: Path, places: Places, **settings: Any
) -> AsyncIterator[SendingQueue]:
    """A queue on disk that takes back what lasts."""
    config = QueueConfig.model_validate(
        {"storage": "file_storage", "num_consumers": 99}
    )
    metrics = Metrics()
    store = DiskStore(
        DiskSettings(folder / "queue", park_s=PARK_S, **settings),
        Room.of(config),
        metrics=StorageMetrics(metrics, "lb", log=get_logger()),
    )
    queue = SendingQueue(
        config,
        consumer=places,
        metrics=ExporterMetrics(metrics, "lb"),
        store=store,
    )
    await queue.start()
    try:
        yield queue
    finally:
        queue.check_invariants()
        await queue.terminate()


async def test_what_is_left_is_written_down(tmp_path: Path) -> None:
    """After a while only what no place has taken is on disk, and a process that comes
    after sends nothing twice."""
    places = Places()
    async with parked(tmp_path, places) as queue:
        await queue.consume(Batch(b"ab|cde", 5))
        async with asyncio.timeout(5):
            while queue.statistics().held != 3:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        assert queue.statistics().delivered == 2
        await asyncio.sleep(10 * PARK_S)
        assert places.live == [b"ab"]
    places.revived.set()
    async with parked(tmp_path, places) as queue:
        await queue.join(5)
        assert queue.statistics().held == 0
    assert places.live == [b"ab"]
    assert places.dead == [b"cde"]


async def test_a_dead_place_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """With the memory full of what waits for a dead place, all the rest is delivered to
    the living one; nothing is lost when the dead one comes back."""
    places = Places()
    size = 1000
    async with parked(tmp_path, places, memory_bytes_max=20 * size) as queue:
        for number in range(100):
            live = f"{number:03d}".encode()
            dead = f"{number:03d}".encode() * (size // 3)
            await queue.consume(Batch(live + b"|" + dead, 3 + len(dead)))
        async with asyncio.timeout(20):
            while len(places.live) < 100:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        places.revived.set()
        await queue.join(20)
        assert queue.statistics().held == 0
    assert sorted(places.live) == [f"{n:03d}".encode() for n in range(100)]
    assert sorted(one[:3] for one in places.dead) == sorted(places.live)
