"""Harm to the files of a queue on disk costs only what it touches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tailring_pipeline import Batch
from tailring_pipeline.records import HEADER_BYTES
from tailring_pipeline.segment_log import SegmentLog
from tailring_pipeline.segment_reading import Place

NOW = 0.0


def _batches(count: int, *, size: int = 20) -> list[Batch]:
    return [Batch(f"{n:06d}".encode() * size, n + 1) for n in range(count)]


def _opened(folder: Path) -> SegmentLog:
    log = SegmentLog(folder)
    log.open(timeout_s=NOW)
    return log


def _all(log: SegmentLog, *, bytes_max: int = 1 << 20) -> Iterator[tuple[Place, Batch]]:
    """Everything that is not done, as a process reads it."""
    cursor, at_end = log.start, False
    while not at_end:
        chunk = log.read(cursor, bytes_max)
        assert (chunk.cursor > cursor) or chunk.at_end
        yield from chunk.records
        cursor, at_end = chunk.cursor, chunk.at_end


def _left(folder: Path) -> list[Batch]:
    """What a new process finds."""
    log = _opened(folder)
    found = [batch for _, batch in _all(log)]
    log.close()
    return found


@st.composite
def _harm(draw: st.DrawFn) -> Callable[[bytearray], None]:
    """Something that happens to the bytes of a file."""
    kind = draw(st.sampled_from(["flip", "zero", "cut", "insert", "drop"]))
    where = draw(st.floats(0, 1, exclude_max=True))
    size = draw(st.integers(1, 200))

    def harm(data: bytearray) -> None:
        """Do it."""
        at = int(where * len(data))
        match kind:
            case "flip":
                data[at] ^= 1 << (size % 8)
            case "zero":
                data[at : at + size] = bytes(min(size, len(data) - at))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = os.urandom(size)
            case "drop":
                del data[at : at + size]

    return harm


def _untouched(before: bytes, after: bytes, batches: list[Batch]) -> list[Batch]:
    """The batches whose records are in ``after`` as they were in ``before``."""
    offset, found = 0, []
    for batch in batches:
        end = offset + HEADER_BYTES + len(batch.payload)
        if before[offset:end] in after:
            found.append(batch)
        offset = end
    return found


@settings(max_examples=300, deadline=None)
@given(harms=st.lists(_harm(), min_size=1, max_size=4), size=st.integers(1, 30))
def test_harm_costs_only_what_it_touched(
    harms: list[Callable[[bytearray], None]], size: int
) -> None:
    """After any harm to a segment the intact records come back, nothing else does,
    what is lost is told once, and the next start is quiet."""
    batches = _batches(12, size=size)
    with TemporaryDirectory() as name:
        folder = Path(name) / "queue"
        log = _opened(folder)
        log.append(batches)
        log.close()
        (path,) = folder.glob("*.seg")
        before = path.read_bytes()
        data = bytearray(before)
        for harm in harms:
            if data:
                harm(data)
        path.write_bytes(data)
        log = SegmentLog(folder)
        found = log.open(timeout_s=NOW)
        left = [batch for _, batch in _all(log, bytes_max=100)]
        log.close()
        assert (
            set(_untouched(before, bytes(data), batches)) <= set(left) <= set(batches)
        )
        assert found.records == len(left)
        if bytes(data) != before and len(left) < len(batches):
            lost = sum(one.damage.records for one in found.damages)
            assert lost or found.unfinished or len(data) <= len(before)
        log = SegmentLog(folder)
        again = log.open(timeout_s=NOW)
        log.close()
        assert again.records == len(left)
        assert not again.damages
        assert not again.unfinished


@settings(max_examples=100, deadline=None)
@given(harms=st.lists(_harm(), min_size=1, max_size=3))
def test_a_harmed_journal_costs_duplicates_only(
    harms: list[Callable[[bytearray], None]],
) -> None:
    """What a damaged journal no longer names comes back; what was never done stays."""
    batches = _batches(12)
    with TemporaryDirectory() as name:
        folder = Path(name) / "queue"
        log = _opened(folder)
        places = [stored.place for stored in log.append(batches)]
        log.done(places[:9])
        log.close()
        (path,) = folder.glob("*.done")
        data = bytearray(path.read_bytes())
        for harm in harms:
            if data:
                harm(data)
        path.write_bytes(data)
        left = _left(folder)
        assert set(batches[9:]) <= set(left) <= set(batches)
