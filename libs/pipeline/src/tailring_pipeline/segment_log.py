"""A queue on disk: a folder of segments that are written, read and given back.

Rules:

* What `append` returned survives the process (with ``fsync`` the machine, too).
* Each record is read once, in the order it was written; those that are done are left
  out. A new process writes to segments of its own and never into one that it found.
* Damage never stops anything: it is told, its bytes are set aside in ``damaged/``, and
  the records around it go on.
* A segment is deleted when all of its records are done.
* One process at a time has the folder, which a lock on the file ``lock`` sees to; the
  lock ends with the process, however that ends.

Everything here waits for the disk: it runs in one thread, and has no other owner. It
knows no event loop, counts no metric and logs nothing; the caller is told everything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from tailring_pipeline.consumer import Batch
from tailring_pipeline.errors import StorageInUse
from tailring_pipeline.records import Damage, Record
from tailring_pipeline.segment import Segment, WriteVector, segments_in, sync_folder

__all__ = ["Chunk", "Cursor", "DamageAt", "Place", "Recovered", "SegmentLog", "Stored"]

# A segment takes no more records from this size on.
SEGMENT_BYTES: Final = 16 * 1024 * 1024
# An active segment is only given back when that is worth a new file.
GIVE_BACK_BYTES: Final = 1024 * 1024
# Records that are read at once: each costs the event loop a few microseconds.
CHUNK_RECORDS_MAX: Final = 512
# Damaged bytes that are kept for whoever looks into them.
ASIDE_BYTES_MAX: Final = 64 * 1024 * 1024
_LOCK_POLL_S: Final = 0.05


class Place(NamedTuple):
    """Which record."""

    segment: int
    record: int


class Cursor(NamedTuple):
    """Where the next record to be read begins, and its index there."""

    segment: int
    offset: int
    record: int


class Stored(NamedTuple):
    """A record that was appended, and the cursor behind it."""

    place: Place
    end: Cursor


@dataclass(frozen=True, slots=True)
class DamageAt:
    """Damage and the file that it is in."""

    path: Path
    damage: Damage


@dataclass(slots=True)
class Recovered:
    """What was found at the start."""

    records: int = 0
    items: int = 0
    nbytes: int = 0
    # Records that a crash cut off while they were written: nobody was told OK.
    unfinished: int = 0
    adopted: int = 0
    damages: list[DamageAt] = field(default_factory=list)


@dataclass(slots=True)
class Chunk:
    """Some records in order, and where the next ones are."""

    cursor: Cursor
    records: list[tuple[Place, Batch]] = field(default_factory=list)
    damages: list[DamageAt] = field(default_factory=list)
    at_end: bool = False


class SegmentLog:
    """See the module. `open` first, `close` at the end."""

    def __init__(
        self, folder: Path, *, fsync: bool = False, write: WriteVector = os.writev
    ) -> None:
        self.folder = folder
        self.bytes_on_disk = 0
        self._fsync = fsync
        self._write = write
        self._segments: dict[int, Segment] = {}
        self._active: Segment | None = None
        self._next = 1
        # Marks that could not be written yet: the disk was full.
        self._unmarked: dict[int, list[int]] = {}
        self._lock_fd = -1

    # Life

    def open(self, *, timeout_s: float, leftovers: Iterable[Path] = ()) -> Recovered:
        """Lock the folder and read what is there; what lies in ``leftovers``, folders
        that nobody has, is taken over. Raises `StorageInUse` or OSError."""
        self.folder.mkdir(mode=0o750, exist_ok=True)
        self._lock_fd = _locked(self.folder, timeout_s=timeout_s)
        recovered = Recovered()
        for segment in segments_in(self.folder):
            self._next = max(self._next, segment.number + 1)
        for folder in leftovers:
            recovered.adopted += self._adopt(folder)
        for segment in segments_in(self.folder):
            self._recover(segment, recovered)
        self._weigh()
        return recovered

    def close(self) -> None:
        """Write what is left to write and give the folder free. Safe twice."""
        self._write_marks()
        if self._active is not None:
            if not self._active.live:
                self._delete(self._active)
            else:
                self._active.seal()
            self._active = None
        self._weigh()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    @property
    def start(self) -> Cursor:
        """The oldest record."""
        return Cursor(0, 0, 0)

    def statistics(self) -> dict[int, int]:
        """The records of each segment that are not done."""
        return {number: one.live for number, one in self._segments.items()}

    # Writing

    def append(self, batches: Sequence[Batch]) -> list[Stored]:
        """Append all of them or none. Raises OSError."""
        active = self._active
        if active is None or active.sealed or active.size >= SEGMENT_BYTES:
            active = self._begin_segment()
        try:
            places = active.append(batches, write=self._write, fsync=self._fsync)
        except OSError as error:
            if error.errno == errno.EFBIG:
                active.seal()  # another file may grow where this one may not
            raise
        self._weigh()
        number = active.number
        return [
            Stored(Place(number, index), Cursor(number, end, index + 1))
            for index, _, end in places
        ]

    def _begin_segment(self) -> Segment:
        if self._active is not None:
            self._active.seal()
            self._give_back(self._active)
        segment = Segment.create(self.folder, self._next)
        self._active = self._segments[self._next] = segment
        self._next += 1
        if self._fsync:
            sync_folder(self.folder)
        return segment

    # Reading

    def read(self, cursor: Cursor, bytes_max: int) -> Chunk:
        """The next records from ``cursor`` on: one, or more up to ``bytes_max``.

        What cannot be read is damage like any other."""
        chunk = Chunk(cursor)
        while not chunk.records:
            segment = self._segments.get(chunk.cursor.segment)
            if segment is not None and chunk.cursor.offset < segment.size:
                self._read_some(segment, chunk, bytes_max)
                continue
            later = [number for number in self._segments if number > chunk.cursor[0]]
            if not later:
                chunk.at_end = True
                return chunk
            chunk.cursor = Cursor(min(later), 0, 0)
        chunk.at_end = not self._follows(chunk.cursor)
        return chunk

    def _follows(self, cursor: Cursor) -> bool:
        segment = self._segments.get(cursor.segment)
        if segment is not None and cursor.offset < segment.size:
            return True
        return any(number > cursor.segment for number in self._segments)

    def _read_some(self, segment: Segment, chunk: Chunk, bytes_max: int) -> None:
        """Read on in one segment; a record that is larger than that is read whole."""
        _, offset, index = chunk.cursor
        try:
            data, whole = segment.read(offset, bytes_max)
            some = segment.scan(data, index=index, whole=whole)
            found = list(islice(some, CHUNK_RECORDS_MAX))
            if not found and (large := segment.read_one(offset)) is not None:
                found = [large] if large.index >= index else []
            if not found and not whole:
                data, whole = segment.read(offset, segment.size - offset)
                found = list(segment.scan(data, index=index, whole=True))[:1]
            why = "the file ends early"
        except OSError as error:
            found, why = [], f"it cannot be read: {error}"
        if not found:
            rest = segment.size - offset
            found = [Damage(0, rest, segment.records - index, why, index)]
        for one in found:
            chunk.cursor = self._passed(segment, one, chunk, base=offset)
        self._give_back(segment)

    def _passed(
        self, segment: Segment, one: Record | Damage, chunk: Chunk, *, base: int
    ) -> Cursor:
        end = base + one.end
        if isinstance(one, Record):
            if one.index not in segment.done:
                place = Place(segment.number, one.index)
                chunk.records.append((place, one.batch))
            return Cursor(segment.number, end, one.index + 1)
        records = one.records if end < segment.size else segment.records - one.index
        damage = replace(one, offset=base + one.offset, end=end, records=records)
        if not self._known(segment, damage):
            self._lost(segment, damage)
            chunk.damages.append(DamageAt(segment.path, damage))
        return Cursor(segment.number, end, one.index + records)

    # What is done

    def done(self, places: Iterable[Place]) -> None:
        """These records need not survive any longer. Never raises: what cannot be
        written now is written later, and costs a duplicate after a crash."""
        by_segment: dict[int, list[int]] = {}
        for place in places:
            by_segment.setdefault(place.segment, []).append(place.record)
        for number, indexes in by_segment.items():
            segment = self._segments[number]
            self._unmarked.setdefault(number, []).extend(segment.mark(indexes))
            self._give_back(segment)
        self._write_marks()
        self._weigh()

    def _give_back(self, segment: Segment) -> None:
        if segment.live:
            return
        if segment is self._active:
            if segment.size < GIVE_BACK_BYTES:
                return
            self._active = None
        self._delete(segment)

    def _delete(self, segment: Segment) -> None:
        self._unmarked.pop(segment.number, None)
        try:
            segment.delete()
        except OSError:
            # It is found again at the next start, all done or delivered once more.
            return
        finally:
            self._segments.pop(segment.number, None)

    def _write_marks(self) -> None:
        for number, indexes in list(self._unmarked.items()):
            try:
                self._segments[number].write_marks(indexes, write=self._write)
            except OSError:
                continue
            del self._unmarked[number]

    # Recovery

    def _recover(self, segment: Segment, recovered: Recovered) -> None:
        self._segments[segment.number] = segment
        try:
            for one in segment.recover():
                self._found(segment, one, recovered)
        except OSError as error:
            why = f"it cannot be read: {error}"
            damage = Damage(0, segment.size, max(segment.live, 1), why, 0)
            recovered.damages.append(DamageAt(segment.path, damage))
            del self._segments[segment.number]
            return
        self._write_marks()
        if not segment.live:
            self._delete(segment)

    def _found(
        self, segment: Segment, one: Record | Damage, recovered: Recovered
    ) -> None:
        if isinstance(one, Record):
            if one.index not in segment.done:
                recovered.records += 1
                recovered.items += one.batch.items
                recovered.nbytes += len(one.batch.payload)
            return
        if one.end == segment.size:
            self._lost_end(segment, one, recovered)
        elif not self._known(segment, one):
            self._lost(segment, one)
            recovered.damages.append(DamageAt(segment.path, one))

    def _lost_end(self, segment: Segment, one: Damage, recovered: Recovered) -> None:
        known = one.index in segment.done and self._known(segment, one)
        if not known and not one.records:
            recovered.unfinished += 1
        elif not known:
            recovered.damages.append(DamageAt(segment.path, one))
            self._set_aside(segment, one)
        segment.cut(one.offset)
        segment.records = one.index

    def _known(self, segment: Segment, damage: Damage) -> bool:
        """Whether it was told before, or was done with: its records are marked."""
        return segment.done.issuperset(_indexes(damage))

    def _lost(self, segment: Segment, damage: Damage) -> None:
        self._set_aside(segment, damage)
        marked = segment.mark(_indexes(damage))
        self._unmarked.setdefault(segment.number, []).extend(marked)

    def _set_aside(self, segment: Segment, damage: Damage) -> None:
        """Keep the bytes for whoever wants to look; there may be no room for that."""
        folder = self.folder / "damaged"
        size = damage.end - damage.offset
        try:
            folder.mkdir(mode=0o750, exist_ok=True)
            kept = sum(path.stat().st_size for path in folder.iterdir())
            if kept + size <= ASIDE_BYTES_MAX:
                data, _ = segment.read(damage.offset, size)
                (folder / f"{segment.path.stem}-{damage.offset}.bin").write_bytes(data)
        except OSError:
            return

    def _adopt(self, folder: Path) -> int:
        """Take over the segments of a folder that no process has; how many."""
        try:
            fd = _locked(folder, timeout_s=0)
        except StorageInUse:
            return 0
        segments = segments_in(folder)
        for segment in segments:
            segment.move(self.folder, self._next)
            self._next += 1
        (folder / "lock").unlink()
        os.close(fd)
        if not any(folder.iterdir()):
            folder.rmdir()
        return len(segments)

    def _weigh(self) -> None:
        self.bytes_on_disk = sum(one.bytes_on_disk for one in self._segments.values())


def _indexes(damage: Damage) -> range:
    return range(damage.index, damage.index + damage.records)


def _locked(folder: Path, *, timeout_s: float) -> int:
    """A descriptor that has the lock of ``folder``. Raises `StorageInUse`, OSError."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end_s:
                owner = os.read(fd, 32).decode(errors="replace").strip()
                os.close(fd)
                raise StorageInUse(folder, owner) from None
            time.sleep(_LOCK_POLL_S)
        else:
            os.ftruncate(fd, 0)
            os.write(fd, str(os.getpid()).encode())
            return fd
