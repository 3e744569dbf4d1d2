"""A queue's files as one process after the other finds them, for the tests of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tailring_pipeline import Batch
from tailring_pipeline.segment_log import SegmentLog
from tailring_pipeline.segment_reading import Place

NOW = 0.0


def batches_of(count: int, *, size: int = 20) -> list[Batch]:
    """Batches that are known by their numbers."""
    return [Batch(f"{n:06d}".encode() * size, n + 1) for n in range(count)]


def opened(folder: Path) -> SegmentLog:
    """The log of a folder, as a process opens it."""
    log = SegmentLog(folder)
    log.open(timeout_s=NOW)
    return log


def unread(
    log: SegmentLog, *, bytes_max: int = 1 << 20
) -> Iterator[tuple[Place, Batch]]:
    """Everything that is not done, as a process reads it."""
    cursor, at_end = log.start, False
    while not at_end:
        chunk = log.read(cursor, bytes_max)
        assert (chunk.cursor > cursor) or chunk.at_end
        yield from chunk.records
        cursor, at_end = chunk.cursor, chunk.at_end


def left_in(folder: Path) -> list[Batch]:
    """What a new process finds."""
    log = opened(folder)
    found = [batch for _, batch in unread(log)]
    log.close()
    return found
