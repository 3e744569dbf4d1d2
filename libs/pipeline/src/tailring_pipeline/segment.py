"""One segment of a queue on disk: a file of records and the journal of what is done.

Rules:

* Records are only appended, and only by the process that made the file. What failed
  half way is cut off at once; where not even that works nothing more is appended.
* The journal names the records that are done with. A mark that is lost costs a
  duplicate, never a record.
* A segment whose records are all done can be deleted, and gives its room back.

Everything here waits for the disk: it belongs to the thread of its `SegmentLog`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from tailring_pipeline.consumer import Batch
from tailring_pipeline.records import (
    DONE_BYTES,
    HEADER_BYTES,
    Damage,
    Record,
    done_mark,
    done_marks,
    encode_header,
    payload_bytes_at,
    record_of,
    scan,
)

__all__ = ["ReadAt", "Segment", "WriteVector", "read_at", "segments_in", "sync_folder"]

# `os.writev` with short writes; tests give one that fails.
WriteVector = Callable[[int, Sequence[bytes]], int]
# `read_at`; tests give one that fails.
ReadAt = Callable[[Path, int, int], bytes]

_NAME: Final = re.compile(r"([0-9]{12})-([0-9a-f]{16})\.seg")
_SALT_BYTES: Final = 8
# Linux takes 1024 buffers at once.
_VECTOR_MAX: Final = 512


class Segment:
    """A file of records; see the module. ``live`` of its ``records`` are not done."""

    def __init__(self, folder: Path, number: int, salt: bytes) -> None:
        stem = f"{number:012d}-{salt.hex()}"
        self.number = number
        self.path = folder / f"{stem}.seg"
        self.journal_path = folder / f"{stem}.done"
        self.size = 0
        self.records = 0
        self.done: set[int] = set()
        # Damaged records that could be set aside nowhere: they stay in the file.
        self.stuck: set[int] = set()
        # Nothing more is appended to it.
        self.sealed = True
        self._salt = salt
        self._journal_size = 0
        self._fd = -1

    @classmethod
    def create(cls, folder: Path, number: int) -> Segment:
        """A new one, open for appending. Raises OSError."""
        segment = cls(folder, number, os.urandom(_SALT_BYTES))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        segment._fd = os.open(segment.path, flags, 0o640)
        segment.sealed = False
        return segment

    @property
    def live(self) -> int:
        """How many records are not done."""
        return self.records - len(self.done)

    @property
    def bytes_on_disk(self) -> int:
        """What both files take."""
        return self.size + self._journal_size

    def append(
        self, batches: Sequence[Batch], *, write: WriteVector, fsync: bool
    ) -> list[tuple[int, int, int]]:
        """Append all of them or none: (index, offset, end) of each. Raises OSError."""
        buffers: list[bytes] = []
        places: list[tuple[int, int, int]] = []
        end = self.size
        for at, batch in enumerate(batches):
            index, offset = self.records + at, end
            header = encode_header(batch, index, salt=self._salt)
            buffers += (header, batch.payload)
            end += len(header) + len(batch.payload)
            places.append((index, offset, end))
        try:
            _write_all(self._fd, buffers, write)
            if fsync:
                os.fdatasync(self._fd)
        except OSError:
            self._cut_back()
            raise
        self.size = end
        self.records += len(batches)
        return places

    def _cut_back(self) -> None:
        """Take back what a failed append left."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            # Its end is no record; whatever follows would be hidden behind it.
            self.seal()

    def recover(self, *, read: ReadAt) -> Iterable[Record | Damage]:
        """Read all of it, as it was left. Raises OSError, before the first."""
        self._read_journal(read)
        data = read(self.path, 0, self.path.stat().st_size)
        self.size = len(data)
        for found in scan(data, salt=self._salt):
            if isinstance(found, Record):
                self.records = found.index + 1
            elif found.index is not None:
                self.records = max(self.records, found.index + found.records)
            yield found
        self.done = {index for index in self.done if index < self.records}

    def _read_journal(self, read: ReadAt) -> None:
        if not self.journal_path.exists():
            return
        journal = read(self.journal_path, 0, self.journal_path.stat().st_size)
        self.done = done_marks(journal, salt=self._salt)
        whole = len(journal) // DONE_BYTES * DONE_BYTES
        if whole < len(journal):
            # A mark that was cut off would shift all that are appended.
            os.truncate(self.journal_path, whole)
        self._journal_size = whole

    def read(self, offset: int, bytes_max: int, *, read: ReadAt) -> tuple[bytes, bool]:
        """What is there from ``offset`` on, and whether it ends the segment."""
        data = read(self.path, offset, min(bytes_max, self.size - offset))
        return data, offset + len(data) >= self.size or len(data) < bytes_max

    def read_one(self, offset: int, *, read: ReadAt) -> Record | None:
        """The record at ``offset``, however large, without a copy; None when it is
        damaged. Raises OSError."""
        header = read(self.path, offset, HEADER_BYTES)
        length = payload_bytes_at(header, salt=self._salt)
        if length is None:
            return None
        payload = read(self.path, offset + HEADER_BYTES, length)
        return record_of(header, payload, salt=self._salt)

    def scan(
        self, data: bytes, *, index: int, whole: bool
    ) -> Iterable[Record | Damage]:
        """What is in ``data``, which begins with the record ``index``."""
        return scan(data, salt=self._salt, index=index, whole=whole)

    def mark(self, indexes: Iterable[int]) -> list[int]:
        """These records are done; returns those that were not, for `write_marks`."""
        new = [index for index in indexes if index not in self.done]
        self.done.update(new)
        return new

    def write_marks(self, indexes: Sequence[int], *, write: WriteVector) -> None:
        """Append to the journal. Raises OSError, with whole marks left at most."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self.journal_path, flags, 0o640)
        try:
            marks = b"".join(done_mark(index, salt=self._salt) for index in indexes)
            _write_all(fd, [marks], write)
            self._journal_size += len(marks)
        except OSError:
            os.ftruncate(fd, self._journal_size)
            raise
        finally:
            os.close(fd)

    def cut(self, size: int) -> None:
        """Cut off what follows ``size``: it is no record. Raises OSError, and then it
        is passed over all the same."""
        self.size = size
        os.truncate(self.path, size)

    def seal(self) -> None:
        """Append nothing more. Safe twice."""
        self.sealed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        """Give the room back. Raises OSError."""
        self.seal()
        self.path.unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)

    def move(self, folder: Path, number: int) -> None:
        """Make it the segment ``number`` of ``folder``, which is on the same disk."""
        there = Segment(folder, number, self._salt)
        # The journal first: a segment without it would be delivered once more.
        if self.journal_path.exists():
            self.journal_path.rename(there.journal_path)
        self.path.rename(there.path)


def segments_in(folder: Path) -> list[Segment]:
    """The segments that lie in ``folder``, oldest first, not read yet."""
    names = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    found = [
        Segment(folder, int(name[1]), bytes.fromhex(name[2])) for name in names if name
    ]
    return sorted(found, key=lambda segment: segment.path.name)


def read_at(path: Path, offset: int, nbytes: int) -> bytes:
    """So many bytes of a file, or those up to its end. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(fd, nbytes, offset)
        while 0 < len(data) < nbytes:
            if not (more := os.pread(fd, nbytes - len(data), offset + len(data))):
                break
            data += more
    finally:
        os.close(fd)
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a loss of power. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, buffers: Sequence[bytes], write: WriteVector) -> None:
    for start in range(0, len(buffers), _VECTOR_MAX):
        some = list(buffers[start : start + _VECTOR_MAX])
        left = sum(map(len, some))
        while left:
            left -= (written := write(fd, some))
            some = _after(some, written) if left else []


def _after(buffers: Sequence[bytes], written: int) -> list[bytes]:
    """What is left of ``buffers`` after a short write."""
    for at, buffer in enumerate(buffers):
        if written < len(buffer):
            return [buffer[written:], *buffers[at + 1 :]]
        written -= len(buffer)
    return []
