"""The queue on disk behind a sending queue: what survives, and in which order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from libs.pipeline.tests.disk_rig import LARGE, Disk, Rig, batch, started
from structlog.testing import capture_logs

from tailring_pipeline import Batch, Door, Refused, Rejected, StorageInUse

# A millisecond of sleep, and what a busy machine adds; the disk takes far longer.
HELD_UP_MAX_S = 0.1


async def test_what_was_acknowledged_is_delivered_and_gone(tmp_path: Path) -> None:
    """Batches go through the disk in order, and a new process finds nothing."""
    batches = [batch(n) for n in range(200)]
    async with started(tmp_path, {"num_consumers": 1}) as rig:
        await rig.consume(*batches)
        await rig.stop()
        assert rig.sink.batches == batches
        assert rig.value("otelcol_exporter_sent_spans") == 200
        assert rig.value("tailring_storage_bytes") == 0
    async with started(tmp_path) as rig:
        assert rig.queue.statistics().accepted == 0


async def test_what_was_not_delivered_is_found_again(tmp_path: Path) -> None:
    """A drain whose destination refuses leaves all on disk, counts no loss, and the
    next process delivers it."""
    batches = [batch(n) for n in range(50)]
    async with started(tmp_path, {"queue_size": 100}) as rig:
        rig.sink.hold()
        rig.sink.refuse()
        await rig.consume(*batches)
        rig.queue.close()
        rig.sink.release()
        await rig.stop()
        assert rig.queue.statistics().held == 50
        assert not rig.queue.loss
        assert not any(rig.queue.statistics().lost.values())
    with capture_logs() as logs:
        async with started(tmp_path) as rig:
            await rig.sink.wait_items(50)
            assert sorted(one.payload for one in rig.sink.batches) == sorted(
                one.payload for one in batches
            )
            await rig.stop()
    (told,) = [line for line in logs if line["event"] == "queue on disk recovered"]
    assert (told["records"], told["items"], told["damaged"]) == (50, 50, 0)
    assert rig.value("tailring_storage_recovered_items") == 50


async def test_a_drain_stops_trying_when_it_is_refused(tmp_path: Path) -> None:
    """With the destination away a drain does not use up its time."""
    async with started(tmp_path, {"num_consumers": 2}) as rig:
        rig.sink.hold()
        await rig.consume(*[batch(n) for n in range(20)])
        rig.queue.close()
        rig.sink.refuse()
        rig.sink.release()
        async with asyncio.timeout(2):
            await rig.stop(join_s=60)
        assert len(rig.sink.turned_away) <= 4
        assert rig.queue.statistics().held == 20


async def test_what_remains_of_a_batch_is_what_is_kept(tmp_path: Path) -> None:
    """Of a batch that was delivered in part before a stop only the rest comes again."""
    rest = Batch(b"rest", 2)
    async with started(tmp_path) as rig:
        rig.sink.hold()
        rig.sink.script([Refused("shutdown", "stopping", remaining=rest)])
        await rig.consume(Batch(b"whole", 5))
        rig.queue.close()
        rig.sink.release()
        await rig.stop()
        assert rig.queue.statistics().delivered == 3
        assert rig.queue.statistics().held == 2
    async with started(tmp_path) as rig:
        await rig.sink.wait_items(2)
        assert rig.sink.batches == [rest]


async def test_a_terminated_delivery_is_kept(tmp_path: Path) -> None:
    """A delivery that is cut off by the end is tried by the next process."""
    async with started(tmp_path) as rig:
        rig.sink.hold()
        await rig.consume(batch(1))
        await rig.sink.wait_in_flight(1)
        await rig.stop(join_s=0.05)
        assert rig.queue.statistics().held == 1
    async with started(tmp_path) as rig:
        await rig.sink.wait_items(1)


@pytest.mark.parametrize(
    ("answer", "door"),
    [
        (Rejected("bad", "never"), Door.REJECTED),
        (Refused("unavailable", "no retries left"), Door.REFUSED),
    ],
)
async def test_a_final_answer_removes(
    tmp_path: Path, answer: Exception, door: Door
) -> None:
    """What is rejected, or given up by the retries, is counted, logged and gone."""
    async with started(tmp_path) as rig:
        rig.sink.fail(answer)
        with capture_logs() as logs:
            await rig.consume(batch(1))
            async with asyncio.timeout(10):
                while not rig.sink.turned_away:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
            await rig.stop()
        assert rig.queue.statistics().lost[door] == 1
        assert "Exporting failed. Dropping data." in [line["event"] for line in logs]
    async with started(tmp_path) as rig:
        assert rig.queue.statistics().held == 0


async def test_memory_is_bounded_and_order_kept(tmp_path: Path) -> None:
    """A backlog far beyond the memory is delivered whole and in order, with never more
    than the bound in memory."""
    batches = [batch(n, size=LARGE // 8) for n in range(160)]
    seen: list[int] = []
    async with started(tmp_path, {"num_consumers": 1}, memory_bytes_max=LARGE) as rig:
        rig.sink.hold()
        await rig.consume(*batches)
        assert rig.value("tailring_storage_bytes") > 19 * LARGE
        consume = rig.sink.consume

        async def watched(batch: Batch) -> None:
            """Look at the memory with each delivery."""
            seen.append(rig.store.bytes_in_memory)
            rig.queue.check_invariants()
            await consume(batch)

        rig.sink.consume = watched  # type: ignore[method-assign]
        rig.sink.release()
        await rig.stop(join_s=20)
        assert rig.sink.batches == batches
        assert max(seen) <= LARGE + LARGE // 8
        assert rig.value("tailring_storage_bytes") == 0


async def test_a_batch_larger_than_the_memory_passes(tmp_path: Path) -> None:
    """One batch may exceed the bound, alone."""
    batches = [batch(n, size=3 * LARGE) for n in range(4)]
    async with started(tmp_path, memory_bytes_max=LARGE) as rig:
        rig.sink.hold()
        await rig.consume(*batches)
        rig.sink.release()
        await rig.stop(join_s=20)
        assert sorted(map(hash, rig.sink.batches)) == sorted(map(hash, batches))


async def test_senders_share_a_write(tmp_path: Path) -> None:
    """What comes while the disk is at work is written at once."""
    calls = 0
    disk = Disk()

    def slowly(fd: int, buffers: Sequence[bytes]) -> int:
        """A disk that takes its time."""
        nonlocal calls
        calls += 1
        return os.writev(fd, buffers)

    disk.write = slowly  # type: ignore[method-assign]
    async with started(tmp_path, disk=disk) as rig:
        rig.sink.hold()
        async with asyncio.TaskGroup() as tasks:
            for n in range(100):
                tasks.create_task(rig.consume(batch(n)))
        assert calls < 10
        rig.sink.release()
        await rig.stop()
        assert len(rig.sink.batches) == 100


async def test_a_sender_that_goes_away_keeps_the_counts_right(tmp_path: Path) -> None:
    """Cancelled at any moment, a batch is either gone or delivered, and counted."""
    for ticks in range(12):
        async with started(tmp_path) as rig, asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(rig.consume(batch(ticks)))
            for _ in range(ticks):
                await asyncio.sleep(0.0003)
            sender.cancel()
            await asyncio.wait([sender])
            await rig.stop()
            held = rig.queue.statistics()
            assert held.held == 0
            assert held.accepted == held.delivered == len(rig.sink.batches)


async def test_the_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While 64 MiB are written and read back the event loop goes on: in the best of
    some rounds, for the machine has more to do."""
    longest_s = 0.0
    held_up_s: list[float] = []

    async def heartbeat() -> None:
        """Note the longest time between two turns."""
        nonlocal longest_s
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, loop.time() - before_s)

    large = batch(1, 64 * LARGE)
    for _ in range(4):
        async with started(tmp_path, memory_bytes_max=LARGE) as rig:
            rig.sink.hold()
            await rig.consume(batch(0))
            beating = asyncio.get_running_loop().create_task(heartbeat())
            await asyncio.sleep(0.01)
            longest_s = 0.0
            await rig.consume(large)
            rig.sink.release()
            await rig.sink.wait_items(2)
            beating.cancel()
            held_up_s.append(longest_s)
            await rig.stop()
    assert min(held_up_s) < HELD_UP_MAX_S, held_up_s


async def test_a_second_process_is_told(tmp_path: Path) -> None:
    """A queue whose folder is taken does not start, and says why."""
    async with started(tmp_path):
        other = Rig(tmp_path)
        with pytest.raises(StorageInUse):
            await other.queue.start()
        await other.queue.terminate()


async def test_a_leftover_in_use_is_told(tmp_path: Path) -> None:
    """A folder that should be taken over and is not free is named, with its owner."""
    (tmp_path / "other").mkdir()
    async with started(tmp_path / "other"):
        other = tmp_path / "other" / "queue"
        with capture_logs() as logs:
            async with started(tmp_path, leftovers=lambda: [other]):
                pass
    (line,) = [one for one in logs if one["log_level"] == "warning"]
    assert (line["folder"], line["pid"]) == (str(other), str(os.getpid()))
    assert "next start" in line["event"]


async def test_damage_is_counted_and_logged(tmp_path: Path) -> None:
    """A record with a wrong bit is told with file and offset; the others go on."""
    async with started(tmp_path) as rig:
        rig.sink.hold()
        await rig.consume(*[batch(n) for n in range(3)])
        await rig.stop(join_s=0)
    (path,) = (tmp_path / "queue").glob("*.seg")
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)
    with capture_logs() as logs:
        async with started(tmp_path) as rig:
            await rig.sink.wait_items(2)
            await rig.stop()
    (line,) = [one for one in logs if one["event"].startswith("damaged record")]
    assert line["file"] == str(path)
    assert line["offset"] == 134
    assert rig.value("tailring_storage_damaged_records") == 1
    assert [one.payload[:6] for one in rig.sink.batches] == [b"000000", b"000002"]
