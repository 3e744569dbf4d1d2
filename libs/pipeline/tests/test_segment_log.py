"""A queue on disk: what comes back from files, whole ones and harmed ones."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from libs.pipeline.tests.segment_rig import NOW, batches_of, left_in, opened, unread

from tailring_pipeline import Batch, Signal, segment_log
from tailring_pipeline.errors import StorageInUse
from tailring_pipeline.records import HEADER_BYTES
from tailring_pipeline.segment_log import SegmentLog
from tailring_pipeline.segment_reading import Cursor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for one queue."""
    return tmp_path / "queue"


def test_what_was_appended_comes_back_in_order(folder: Path) -> None:
    """A new process reads every batch, whole, in the order it was written."""
    log, batches = opened(folder), batches_of(50)
    for at in range(0, 50, 7):
        log.append(batches[at : at + 7])
    log.close()
    assert left_in(folder) == batches
    assert left_in(folder) == batches


@pytest.mark.parametrize("signal", Signal)
def test_a_record_keeps_its_signal(folder: Path, signal: Signal) -> None:
    """Signal, items and payload of a batch survive, an empty payload too."""
    log, batch = opened(folder), Batch(b"", 7, signal)
    log.append([batch])
    log.close()
    assert left_in(folder) == [batch]


def test_what_is_done_does_not_come_back(folder: Path) -> None:
    """Records that are marked are left out by this process and by the next."""
    log, batches = opened(folder), batches_of(10)
    places = [stored.place for stored in log.append(batches)]
    log.done(places[::2])
    assert [batch for _, batch in unread(log)] == batches[1::2]
    log.close()
    assert left_in(folder) == batches[1::2]


def test_a_killed_process_leaves_what_it_wrote(folder: Path) -> None:
    """Without a close, which a killed process does not make, nothing is missing."""
    log, batches = opened(folder), batches_of(10)
    places = [stored.place for stored in log.append(batches)]
    log.done(places[:3])
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    log.close()
    assert left_in(copy) == batches[3:]


def test_recovery_tells_what_it_found(folder: Path) -> None:
    """Records, items and bytes that are not done are counted at the start."""
    log, batches = opened(folder), batches_of(10)
    places = [stored.place for stored in log.append(batches)]
    log.done(places[:4])
    log.close()
    log = SegmentLog(folder)
    found = log.open(timeout_s=NOW)
    log.close()
    left = batches[4:]
    assert found.records == 6
    assert found.items == sum(batch.items for batch in left)
    assert found.nbytes == sum(len(batch.payload) for batch in left)
    assert not found.damages
    assert not found.unfinished


def test_a_segment_is_given_back_when_all_of_it_is_done(folder: Path) -> None:
    """Files whose records are all done are deleted, and the others stay."""
    log = opened(folder)
    large = [Batch(os.urandom(6 << 20), 1) for _ in range(6)]
    places = [log.append([batch])[0].place for batch in large]
    assert len(list(folder.glob("*.seg"))) == 2
    before = log.bytes_on_disk
    log.done(places[:3])
    assert len(list(folder.glob("*.seg"))) == 1
    assert log.bytes_on_disk < before / 1.9
    log.done(places[3:])
    assert not list(folder.glob("*.seg"))
    assert not list(folder.glob("*.done"))
    log.close()


def test_reading_takes_small_bites(folder: Path) -> None:
    """Whatever is asked for at once, and however large a record is, all are read."""
    log, batches = opened(folder), batches_of(60, size=40)
    batches[30] = Batch(b"x" * 50_000, 1)
    log.append(batches)
    for bytes_max in (1, HEADER_BYTES, 100, 1000, 1 << 20):
        assert [batch for _, batch in unread(log, bytes_max=bytes_max)] == batches
    log.close()


def test_reading_goes_on_where_it_ended(folder: Path) -> None:
    """A cursor at the end finds what is appended later, in whichever segment."""
    log = opened(folder)
    log.append(batches_of(3))
    end = log.read(log.start, 1 << 20)
    assert end.at_end
    more = [Batch(b"y" * (17 << 20), 1), Batch(b"z", 1)]
    for batch in more:
        log.append([batch])
    assert [batch for _, batch in log.read(end.cursor, 1 << 20).records] == more[:1]
    log.close()


def test_a_folder_has_one_owner(folder: Path) -> None:
    """A second process is told who has the folder, and what to do."""
    log = opened(folder)
    with pytest.raises(
        StorageInUse, match=f"in use by another process .pid {os.getpid()}"
    ):
        SegmentLog(folder).open(timeout_s=0.1)
    log.close()
    opened(folder).close()


def test_leftovers_are_taken_over(folder: Path) -> None:
    """Segments of a folder that nobody has are moved, what is done stays done, and
    the folder is gone."""
    other, batches = folder.with_name("other"), batches_of(8)
    log = opened(other)
    places = [stored.place for stored in log.append(batches)]
    log.done(places[:2])
    log.close()
    own = opened(folder)
    own.append(batches_of(2))
    own.close()
    log = SegmentLog(folder)
    found = log.open(timeout_s=NOW, leftovers=[other])
    assert found.adopted == 1
    assert [batch for _, batch in unread(log)] == batches_of(2) + batches[2:]
    log.close()
    assert not other.exists()
    assert left_in(folder) == batches_of(2) + batches[2:]


def test_a_folder_in_use_is_not_taken_over(folder: Path) -> None:
    """What another process has stays with it."""
    other = folder.with_name("other")
    owner = opened(other)
    owner.append(batches_of(1))
    log = SegmentLog(folder)
    found = log.open(timeout_s=NOW, leftovers=[other])
    assert found.adopted == 0
    assert [(one.folder, one.owner) for one in found.in_use] == [
        (other, str(os.getpid()))
    ]
    log.close()
    owner.close()
    assert left_in(other) == batches_of(1)


def test_the_name_of_a_new_folder_is_synced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fsync the folder's own name survives, and that of each segment."""
    synced: list[Path] = []
    monkeypatch.setattr(segment_log, "sync_folder", synced.append)
    log = SegmentLog(folder, fsync=True)
    log.open(timeout_s=NOW)
    assert folder.parent in synced
    synced.clear()
    log.append(batches_of(1))
    assert synced == [folder]
    log.close()


def test_a_segment_whose_name_is_not_synced_takes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the folder cannot be synced the append is refused, and the next one syncs
    it again instead of going on."""
    log = SegmentLog(folder, fsync=True)
    log.open(timeout_s=NOW)
    errors = [errno.EIO, errno.EIO]
    tried: list[Path] = []

    def sync(where: Path) -> None:
        """Fail twice."""
        tried.append(where)
        if errors:
            raise OSError(errors.pop(), "sync")

    monkeypatch.setattr(segment_log, "sync_folder", sync)
    for _ in range(2):
        with pytest.raises(OSError, match="sync"):
            log.append(batches_of(3))
    assert not list(folder.glob("*.seg"))
    log.append(batches_of(2))
    log.append(batches_of(1))
    assert tried == [folder] * 3
    log.close()
    assert left_in(folder) == batches_of(2) + batches_of(1)


class _Disk:
    """Takes so many bytes and then says that it is full."""

    def __init__(self, room: int, error: int = 28) -> None:
        self.room = room
        self._error = error

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        """Write what there is room for, as a real disk does: perhaps a part."""
        data = b"".join(buffers)[: self.room]
        if not data:
            raise OSError(self._error, os.strerror(self._error))
        self.room -= len(data)
        return os.write(fd, data)


@pytest.mark.parametrize("room", [0, 1, 5, 27, 28, 29, 150, 1000])
def test_a_full_disk_leaves_nothing_half_written(folder: Path, room: int) -> None:
    """An append that finds no room raises, what was there stays, and it works again
    when there is room."""
    disk = _Disk(10_000)
    log = SegmentLog(folder, write=disk.write)
    log.open(timeout_s=NOW)
    first, second, third = batches_of(3), batches_of(20), batches_of(5)
    log.append(first)
    disk.room = room
    with pytest.raises(OSError, match="No space left"):
        log.append(second)
    disk.room = 10_000
    log.append(third)
    assert [batch for _, batch in unread(log)] == first + third
    log.close()
    assert left_in(folder) == first + third


def test_marks_wait_for_room(folder: Path) -> None:
    """What is done while the disk is full is written down when there is room."""
    disk = _Disk(10_000)
    log = SegmentLog(folder, write=disk.write)
    log.open(timeout_s=NOW)
    places = [stored.place for stored in log.append(batches_of(5))]
    disk.room = 3
    log.done(places[:2])
    disk.room = 10_000
    log.done(places[2:3])
    log.close()
    assert left_in(folder) == batches_of(5)[3:]


def test_damage_is_set_aside_and_named(folder: Path) -> None:
    """File, offset and reason of a damaged record are told, and its bytes kept."""
    log, batches = opened(folder), batches_of(3)
    log.append(batches)
    log.close()
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    size = HEADER_BYTES + len(batches[0].payload)
    data[size + HEADER_BYTES] ^= 1
    path.write_bytes(data)
    log = SegmentLog(folder)
    (damage,) = log.open(timeout_s=NOW).damages
    log.close()
    assert damage.path == path
    assert damage.damage.offset == size
    assert damage.damage.items == batches[1].items
    assert "payload is damaged" in damage.damage.why
    (aside,) = (folder / "damaged").iterdir()
    assert aside.read_bytes() == bytes(data[size : 2 * size])


def test_bytes_that_rot_while_it_runs_are_damage(folder: Path) -> None:
    """A record that was good at the start and is read later is checked again."""
    log, batches = opened(folder), batches_of(4)
    log.append(batches)
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    size = HEADER_BYTES + len(batches[0].payload)
    data[size + 2] ^= 1
    data[-1] ^= 1
    path.write_bytes(data)
    chunk = log.read(log.start, 1 << 20)
    assert [batch for _, batch in chunk.records] == [batches[0], batches[2]]
    assert [one.damage.offset for one in chunk.damages] == [size, 3 * size]
    log.close()


@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_file_that_shrinks_while_it_runs_is_damage(folder: Path, left: int) -> None:
    """Records that are gone when they are to be read are told, and reading ends."""
    log = opened(folder)
    log.append(batches_of(4))
    (path,) = folder.glob("*.seg")
    os.truncate(path, left)
    chunk = log.read(log.start, 1 << 20)
    assert chunk.at_end or log.read(chunk.cursor, 1 << 20).at_end
    log.close()


def test_a_payload_that_looks_like_records_is_a_payload(folder: Path) -> None:
    """Where a header is damaged, a copy of another segment inside of its payload is
    not taken for records."""
    log = opened(folder)
    log.append(batches_of(3))
    log.close()
    (path,) = folder.glob("*.seg")
    trap = Batch(path.read_bytes(), 1)
    shutil.rmtree(folder)
    log = opened(folder)
    log.append([trap, *batches_of(1)])
    log.close()
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    assert left_in(folder) == batches_of(1)


def test_a_cursor_orders_segments_before_offsets() -> None:
    """Positions compare as they are read."""
    assert Cursor(1, 900, 3) < Cursor(2, 0, 0) < Cursor(2, 5, 1)
