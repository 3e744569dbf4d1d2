"""A queue on disk: a folder of segments that are written, read and given back.

Rules:

* What `append` returned survives the process (with ``fsync`` the machine, too).
* Each record is read once, in the order it was written; those that are done are left
  out. A new process writes to segments of its own and never into one that it found.
* Damage never stops anything: it is told, its bytes are set aside in ``damaged/``, and
  the records around it go on. What could not be set aside stays where it is.
* That the disk does not let us read is no damage: it is raised, nothing is given up,
  and the same read can be tried again.
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tailring_pipeline.consumer import Batch
from tailring_pipeline.errors import StorageInUse
from tailring_pipeline.records import Damage, Record
from tailring_pipeline.segment import (
    ReadAt,
    Segment,
    WriteVector,
    read_at,
    segments_in,
    sync_folder,
)
from tailring_pipeline.segment_reading import (
    Chunk,
    Cursor,
    DamageAt,
    Place,
    indexes_of,
    read_on,
    set_aside,
)

__all__ = ["Chunk", "Cursor", "DamageAt", "Place", "Recovered", "SegmentLog", "Stored"]

# A segment takes no more records from this size on.
SEGMENT_BYTES: Final = 16 * 1024 * 1024
# An active segment is only given back when that is worth a new file.
GIVE_BACK_BYTES: Final = 1024 * 1024
_LOCK_POLL_S: Final = 0.05


class Stored(NamedTuple):
    """A record that was appended, and the cursor behind it."""

    place: Place
    end: Cursor


@dataclass(slots=True)
class Recovered:
    """What was found at the start."""

    records: int = 0
    items: int = 0
    nbytes: int = 0
    # Records that a crash cut off while they were written: nobody was told OK.
    unfinished: int = 0
    adopted: int = 0
    # Folders that were left and are not free yet.
    in_use: list[StorageInUse] = field(default_factory=list)
    damages: list[DamageAt] = field(default_factory=list)
    # Segments that could not be read; they stay for the next start.
    unread: list[tuple[Path, OSError]] = field(default_factory=list)


class SegmentLog:
    """See the module. `open` first, `close` at the end."""

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = False,
        write: WriteVector = os.writev,
        read: ReadAt = read_at,
    ) -> None:
        self.folder = folder
        self.bytes_on_disk = 0
        # Of these, in records that are all done: `give_back_idle`.
        self.bytes_idle = 0
        self._fsync = fsync
        self._write = write
        self._read = read
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
            try:
                recovered.adopted += self._adopt(folder)
            except StorageInUse as error:
                recovered.in_use.append(error)
        if self._fsync:
            sync_folder(self.folder.parent)
            sync_folder(self.folder)
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
        full, self._active = self._active, None
        if full is not None:
            full.seal()
            self._give_back(full)
        segment = Segment.create(self.folder, self._next)
        self._next += 1
        if self._fsync:
            try:
                sync_folder(self.folder)
            except OSError:
                segment.delete()  # its name may not survive: nothing goes into it
                raise
        self._active = self._segments[segment.number] = segment
        return segment

    # Reading

    def read(self, cursor: Cursor, bytes_max: int) -> Chunk:
        """The next records from ``cursor`` on: one, or more up to ``bytes_max``.

        Raises OSError when nothing can be read there now."""
        chunk = Chunk(cursor)
        try:
            while not chunk.records and self._read_next(chunk, bytes_max):
                pass
        except OSError:
            if not chunk.damages:
                raise
            return chunk  # they are told once, and that is now
        chunk.at_end = not self._follows(chunk.cursor)
        return chunk

    def _read_next(self, chunk: Chunk, bytes_max: int) -> bool:
        """Read some, or go to the next segment; False at the end."""
        segment = self._segments.get(chunk.cursor.segment)
        if segment is not None and chunk.cursor.offset < segment.size:
            self._read_some(segment, chunk, bytes_max)
            return True
        later = [number for number in self._segments if number > chunk.cursor.segment]
        if later:
            chunk.cursor = Cursor(min(later), 0, 0)
        return bool(later)

    def _follows(self, cursor: Cursor) -> bool:
        segment = self._segments.get(cursor.segment)
        if segment is not None and cursor.offset < segment.size:
            return True
        return any(number > cursor.segment for number in self._segments)

    def _read_some(self, segment: Segment, chunk: Chunk, bytes_max: int) -> None:
        """Read on in one segment."""
        number = segment.number
        for one in read_on(segment, chunk.cursor, bytes_max=bytes_max, read=self._read):
            if isinstance(one, Record):
                chunk.cursor = Cursor(number, one.end, one.index + 1)
                if one.index not in segment.done:
                    chunk.records.append((Place(number, one.index), one.batch))
                continue
            chunk.cursor = Cursor(number, one.end, one.index + one.records)
            if not self._known(segment, one):
                gone = segment.done | segment.stuck
                chunk.lose(self._lost(segment, one), done=gone)
        self._give_back(segment)

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

    def give_back_idle(self) -> None:
        """Delete the active segment if all of it is done, however small it is."""
        if self._active is not None and not self._active.live:
            self._delete(self._active)
            self._active = None
            self._weigh()

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
            for one in segment.recover(read=self._read):
                self._found(segment, one, recovered)
        except OSError as error:
            recovered.unread.append((segment.path, error))
            self._segments.pop(segment.number)
            self._unmarked.pop(segment.number, None)
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
            recovered.damages.append(self._lost(segment, one))

    def _lost_end(self, segment: Segment, one: Damage, recovered: Recovered) -> None:
        known = one.index in segment.done and self._known(segment, one)
        if not known and not one.records:
            recovered.unfinished += 1
        elif not known:
            aside = self._set_aside(segment, one)
            recovered.damages.append(DamageAt(segment.path, one, aside))
            if not aside:
                segment.size = one.offset  # it is read up to there only
                return
        segment.records = one.index
        with suppress(OSError):  # then it is told once more at the next start
            segment.cut(one.offset)

    def _known(self, segment: Segment, damage: Damage) -> bool:
        """Whether it was told before, or was done with: its records are marked."""
        return (segment.done | segment.stuck).issuperset(indexes_of(damage))

    def _lost(self, segment: Segment, damage: Damage) -> DamageAt:
        aside = self._set_aside(segment, damage)
        if aside:
            marked = segment.mark(indexes_of(damage))
            self._unmarked.setdefault(segment.number, []).extend(marked)
        return DamageAt(segment.path, damage, aside)

    def _set_aside(self, segment: Segment, damage: Damage) -> bool:
        kept = set_aside(self.folder / "damaged", segment, damage, read=self._read)
        if not kept:
            segment.stuck.update(indexes_of(damage))
        return kept

    def _adopt(self, folder: Path) -> int:
        """Take over the segments of a folder; how many. Raises `StorageInUse` when a
        process has it, or OSError."""
        fd = _locked(folder, timeout_s=0)
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
        self.bytes_idle = 0
        if self._active is not None and not self._active.live:
            self.bytes_idle = self._active.bytes_on_disk


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
