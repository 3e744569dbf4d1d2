"""The queue on disk when there is no room: refused at the door, and it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from libs.pipeline.tests.disk_rig import LARGE, batch, started
from structlog.testing import capture_logs

from tailring_pipeline import Refused


async def test_a_full_disk_refuses_at_the_door(tmp_path: Path) -> None:
    """Without room a batch is refused and may come again; with room it works again."""
    async with started(tmp_path, {"num_consumers": 1}) as rig:
        rig.sink.hold()
        await rig.consume(batch(1))
        rig.disk.full = True
        with capture_logs() as logs, pytest.raises(Refused, match="No space left") as e:
            await rig.consume(batch(2))
        assert e.value.reason == "storage_full"
        (line,) = logs
        assert line["event"] == "Dropping data because sending_queue is full"
        assert line["refused"] is True
        assert rig.value("tailring_storage_write_failures") == 1
        assert rig.value("otelcol_exporter_enqueue_failed_spans") == 1
        rig.disk.full = False
        await rig.consume(batch(3))
        rig.sink.release()
        await rig.stop()
        assert [one.payload[:6] for one in rig.sink.batches] == [b"000001", b"000003"]


async def test_a_full_disk_is_delivered_from(tmp_path: Path) -> None:
    """What was written is delivered and done with while nothing can be written."""
    async with started(tmp_path) as rig:
        rig.sink.hold()
        await rig.consume(*[batch(n) for n in range(5)])
        rig.disk.full = True
        rig.sink.release()
        await rig.stop()
        assert len(rig.sink.batches) == 5


async def test_max_size_bounds_the_folder(tmp_path: Path) -> None:
    """Beyond max_size a batch is refused as by a full disk, until room was made."""
    async with started(tmp_path, folder_bytes_max=3 * LARGE) as rig:
        rig.sink.hold()
        await rig.consume(batch(1, LARGE), batch(2, LARGE))
        with pytest.raises(Refused, match="max_size"):
            await rig.consume(batch(3, LARGE))
        rig.sink.release()
        await rig.sink.wait_items(2)
        async with asyncio.timeout(2):
            while rig.value("tailring_storage_bytes"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        await rig.consume(batch(4, LARGE))
        await rig.stop()


@pytest.mark.parametrize(
    ("sizer", "size"), [("requests", 3), ("items", 3), ("bytes", 3 * 106)]
)
async def test_queue_size_counts_what_is_on_disk(
    tmp_path: Path, sizer: str, size: int
) -> None:
    """The queue is full when so much is held, over a restart too."""
    keys = {"sizer": sizer, "queue_size": size}
    async with started(tmp_path, keys) as rig:
        rig.sink.hold()
        await rig.consume(batch(1), batch(2), batch(3))
        assert rig.value("otelcol_exporter_queue_size") == size
        with pytest.raises(Refused) as caught:
            await rig.consume(batch(4))
        assert caught.value.reason == "queue_full"
        await rig.stop(join_s=0)
    async with started(tmp_path, keys) as rig:
        rig.sink.hold()
        with pytest.raises(Refused):
            await rig.consume(batch(5))
        rig.sink.release()
        await rig.sink.wait_items(3)
        await rig.stop()


async def test_block_on_overflow_waits_for_room(tmp_path: Path) -> None:
    """A caller waits in line while the queue on disk is full; one that goes away takes
    no room."""
    keys = {"queue_size": 1, "block_on_overflow": True}
    async with started(tmp_path, keys) as rig, asyncio.TaskGroup() as tasks:
        rig.sink.hold()
        await rig.consume(batch(1))
        gone = tasks.create_task(rig.consume(batch(2)))
        waiting = tasks.create_task(rig.consume(batch(3)))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        rig.store.check_invariants()
        rig.sink.release()
        await waiting
        rig.store.check_invariants()
        await rig.stop()
        assert [one.payload[:6] for one in rig.sink.batches] == [b"000001", b"000003"]


@pytest.mark.parametrize("size", [1_000, 100_000, 900_000])
async def test_a_small_max_size_never_locks_up(tmp_path: Path, size: int) -> None:
    """What was delivered makes room, also where it is less than is worth a new file."""
    async with started(tmp_path, folder_bytes_max=1_000_000) as rig:
        for number in range(2 * 1_000_000 // size if size > 1_000 else 50):
            await rig.consume(batch(number, size))
            await rig.sink.wait_items(number + 1)
            async with asyncio.timeout(5):
                while rig.store.held[0]:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.03)  # it is written down what is done
            assert rig.value("tailring_storage_bytes") <= 1_000_000
        await rig.stop()


async def test_writers_at_once_stay_below_max_size(tmp_path: Path) -> None:
    """What is being written counts before it is on disk."""
    async with started(tmp_path, folder_bytes_max=1_000_000) as rig:
        rig.sink.hold()
        senders = [rig.consume(batch(number, 90_000)) for number in range(30)]
        answers = await asyncio.gather(*senders, return_exceptions=True)
        assert [one for one in answers if one is None] == [None] * 11
        assert rig.value("tailring_storage_bytes") <= 1_000_000
        rig.sink.release()
        await rig.stop()
