"""A queue on disk that cannot be read for a moment, or gives something else back."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest
from libs.pipeline.tests.disk_rig import Disk, batch, started
from structlog.testing import capture_logs

from tailring_pipeline import Batch, Door
from tailring_pipeline.records import HEADER_BYTES
from tailring_pipeline.segment import Segment
from tailring_pipeline.segment_log import SegmentLog

NOW = 0.0
SIZE = 60_000
RECORD_BYTES = HEADER_BYTES + SIZE + 6

passing = pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.ESTALE])


def _log(folder: Path, disk: Disk) -> SegmentLog:
    return SegmentLog(folder / "queue", write=disk.write, read=disk.read)


def _written(folder: Path, batches: list[Batch]) -> Path:
    """The only segment of a queue that holds them."""
    log = _log(folder, Disk())
    log.open(timeout_s=NOW)
    log.append(batches)
    log.close()
    (path,) = (folder / "queue").glob("*.seg")
    return path


def _harm(path: Path, *records: int, at: int = 100) -> None:
    data = bytearray(path.read_bytes())
    for record in records:
        data[record * RECORD_BYTES + at] ^= 1
    path.write_bytes(data)


@passing
def test_a_read_that_fails_is_no_damage(tmp_path: Path, error: int) -> None:
    """It is raised, changes no file, and the same read then has everything."""
    batches = [batch(n) for n in range(200)]
    path = _written(tmp_path, batches)
    disk = Disk()
    log = _log(tmp_path, disk)
    log.open(timeout_s=NOW)
    disk.read_errors = [error]
    with pytest.raises(OSError, match="seg") as caught:
        log.read(log.start, 1 << 20)
    assert caught.value.errno == error
    assert path.exists()
    chunk = log.read(log.start, 1 << 20)
    assert [one for _, one in chunk.records] == batches
    assert not chunk.damages
    log.close()


@passing
async def test_a_backlog_is_read_again(tmp_path: Path, error: int) -> None:
    """After reads that failed all is delivered in order; they are counted and told."""
    batches = [batch(n, SIZE) for n in range(20)]
    keys = {"num_consumers": 1}
    async with started(tmp_path, keys, memory_bytes_max=100_000) as rig:
        rig.sink.hold()
        await rig.consume(*batches)
        rig.disk.read_errors = [error, error]
        with capture_logs() as logs:
            rig.sink.release()
            await rig.stop()
        assert rig.sink.batches == batches
        assert rig.value("tailring_storage_read_failures") == 2
        assert rig.value("tailring_storage_damaged_records") == 0
    told = [one["retry_s"] for one in logs if "cannot be read now" in one["event"]]
    assert told == [0.1, 0.2]
    assert not (tmp_path / "queue" / "damaged").exists()


async def test_writes_go_on_while_nothing_can_be_read(tmp_path: Path) -> None:
    """A read that fails refuses no sender."""
    async with started(tmp_path, memory_bytes_max=100_000) as rig:
        rig.sink.hold()
        await rig.consume(*[batch(n, SIZE) for n in range(5)])
        rig.disk.read_errors = [errno.EIO]
        rig.sink.release()
        await rig.consume(*[batch(n, SIZE) for n in range(5, 10)])
        await rig.stop()
        assert len(rig.sink.batches) == 10


@passing
def test_a_segment_that_cannot_be_read_stays(tmp_path: Path, error: int) -> None:
    """At a start it is told, neither deleted nor counted, and the next start has it."""
    batches = [batch(n) for n in range(5)]
    path = _written(tmp_path, batches)
    disk = Disk()
    disk.read_errors = [error]
    log = _log(tmp_path, disk)
    found = log.open(timeout_s=NOW)
    assert [(where, why.errno) for where, why in found.unread] == [(path, error)]
    assert (found.records, found.damages) == (0, [])
    log.append([batch(9)])
    log.close()
    log = _log(tmp_path, disk)
    assert log.open(timeout_s=NOW).records == 6
    log.close()


async def test_an_unread_segment_is_told(tmp_path: Path) -> None:
    """Which file it is and that it stays is logged as an error, and counted."""
    path = _written(tmp_path, [batch(1)])
    disk = Disk()
    disk.read_errors = [errno.EMFILE]
    with capture_logs() as logs:
        async with started(tmp_path, disk=disk) as rig:
            assert rig.value("tailring_storage_read_failures") == 1
    (line,) = [one for one in logs if one["log_level"] == "error"]
    assert line["file"] == str(path)
    assert "stays for the next start" in line["event"]


@pytest.mark.parametrize("record", [1, 2])
def test_what_cannot_be_set_aside_stays(tmp_path: Path, record: int) -> None:
    """Damage whose bytes found no place is told, and they remain in their segment when
    all else is done; the next start that can sets them aside."""
    path = _written(tmp_path, [batch(n, SIZE) for n in range(3)])
    _harm(path, record)
    harmed = path.read_bytes()
    aside = tmp_path / "queue" / "damaged"
    aside.write_bytes(b"no folder")
    log = _log(tmp_path, Disk())
    (damage,) = log.open(timeout_s=NOW).damages
    assert not damage.aside
    chunk = log.read(log.start, 1 << 20)
    assert len(chunk.records) == 2
    assert not chunk.damages
    log.done([place for place, _ in chunk.records])
    log.close()
    assert path.read_bytes() == harmed
    aside.unlink()
    log = _log(tmp_path, Disk())
    found = log.open(timeout_s=NOW)
    log.close()
    assert (found.records, len(found.damages)) == (0, 1)
    (kept,) = aside.iterdir()
    assert kept.read_bytes() == harmed[record * RECORD_BYTES :][:RECORD_BYTES]
    assert not path.exists()


def test_an_end_that_cannot_be_cut_off_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start whose disk takes no truncation goes on, with the marks of damage."""
    batches = [batch(n, SIZE) for n in range(3)]
    path = _written(tmp_path, batches)
    _harm(path, 0)
    path.write_bytes(path.read_bytes()[:-5])

    def cut(segment: Segment, size: int) -> None:
        """Fail."""
        raise OSError(errno.EROFS, f"{segment.path}: not even to {size}")

    monkeypatch.setattr(Segment, "cut", cut)
    log = _log(tmp_path, Disk())
    found = log.open(timeout_s=NOW)
    assert (found.records, found.unfinished, len(found.damages)) == (1, 1, 1)
    assert [one for _, one in log.read(log.start, 1 << 20).records] == batches[1:2]
    log.close()


@pytest.mark.parametrize("at", [100, 2], ids=["payload", "header"])
async def test_what_rots_leaves_the_books(tmp_path: Path, at: int) -> None:
    """Records that are damaged when they are read are lost by a door of their own, the
    queue has its room again and a drain ends at once."""
    keys = {"queue_size": 10, "num_consumers": 1}
    async with started(tmp_path, keys, memory_bytes_max=100_000) as rig:
        rig.sink.hold()
        await rig.consume(*[batch(n, SIZE) for n in range(10)])
        (path,) = (tmp_path / "queue").glob("*.seg")
        _harm(path, 3, 4, 5, 6, 7, at=at)
        rig.sink.release()
        await rig.sink.wait_items(5)
        async with asyncio.timeout(5):
            while rig.store.waiting:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        rig.queue.check_invariants()
        rig.sink.hold()
        await rig.consume(*[batch(n) for n in range(10)])
        rig.sink.release()
        async with asyncio.timeout(5):
            await rig.stop(join_s=60)
        account = rig.queue.statistics()
        assert (account.accepted, account.delivered, account.held) == (20, 15, 0)
        assert account.lost[Door.DAMAGED] == 5
        assert rig.queue.loss.spans == 5
        assert rig.store.held == (0, 0, 0)
        assert rig.value("tailring_storage_damaged_records") == 5
