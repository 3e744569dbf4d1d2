"""What a `DiskStore` asks its thread for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tailring_pipeline.records import record_bytes
from tailring_pipeline.segment_log import SegmentLog, Stored
from tailring_pipeline.segment_reading import Chunk, Cursor, Place
from tailring_pipeline.store import Entry

__all__ = ["Job", "Write"]


class Write:
    """One entry on its way to the disk; ``again``: it was there before, as that."""

    __slots__ = ("again", "entry", "written")

    def __init__(
        self,
        entry: Entry,
        written: asyncio.Future[None] | None,
        again: Place | None = None,
    ) -> None:
        self.entry = entry
        self.written = written
        self.again = again

    @property
    def nbytes(self) -> int:
        """What its record takes on disk."""
        return record_bytes(len(self.entry.batch.payload))

    @property
    def unwanted(self) -> bool:
        """Whether its sender went away."""
        return self.written is not None and self.written.cancelled()


@dataclass(slots=True)
class Job:
    """What the thread is asked for at once, and what came of it."""

    writes: list[Write]
    done: list[Place]
    # 0: there is no limit.
    folder_bytes_max: int
    read_from: Cursor | None = None
    read_bytes: int = 0
    chunk: Chunk | None = None
    stored: Sequence[Stored] = ()
    failure: OSError | None = None
    read_failure: OSError | None = None

    def run(self, log: SegmentLog) -> None:
        """In the thread. What is done first: it may make room."""
        if self.done:
            log.done(self.done)
        if self.read_from is not None:
            try:
                self.chunk = log.read(self.read_from, self.read_bytes)
            except OSError as error:
                self.read_failure = error
        if self.writes:
            nbytes = sum(one.nbytes for one in self.writes)
            if 0 < self.folder_bytes_max < log.bytes_on_disk + nbytes:
                log.give_back_idle()
            try:
                self.stored = log.append([one.entry.batch for one in self.writes])
            except OSError as error:
                self.failure = error

    def failed(self, error: OSError) -> None:
        """It ended before it did what it was asked for."""
        self.failure = error
        if self.read_from is not None and self.chunk is None:
            self.read_failure = error
