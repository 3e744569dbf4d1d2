"""Harm to the files of a queue on disk costs only what it touches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.pipeline.tests.segment_rig import NOW, batches_of, left_in, opened, unread

from tailring_pipeline import Batch
from tailring_pipeline.records import HEADER_BYTES
from tailring_pipeline.segment_log import Recovered, SegmentLog
from tailring_pipeline.segment_reading import Chunk


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


def _check_told(
    batches: list[Batch], left: list[Batch], found: Recovered, data: bytes
) -> None:
    """What is told is what is missing. Only of the end of a file nobody can know how
    many records stood there: one at least if bytes are left of them, else none."""
    come_back = [at for at, batch in enumerate(batches) if batch in set(left)]
    last = max(come_back, default=-1)
    inside = last + 1 - len(come_back)
    behind = len(batches) - last - 1
    told = sum(one.damage.records for one in found.damages) + found.unfinished
    rest = len(data)
    if come_back:
        payload = batches[last].payload
        rest -= data.rindex(payload) + len(payload)
    if behind and rest:
        assert inside + 1 <= told <= inside + behind
    else:
        assert told == inside


@settings(max_examples=300, deadline=None)
@given(harms=st.lists(_harm(), min_size=1, max_size=4), size=st.integers(1, 30))
def test_harm_costs_only_what_it_touched(
    harms: list[Callable[[bytearray], None]], size: int
) -> None:
    """After any harm to a segment the intact records come back, nothing else does,
    what is lost is told once, and the next start is quiet."""
    batches = batches_of(12, size=size)
    with TemporaryDirectory() as name:
        folder = Path(name) / "queue"
        log = opened(folder)
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
        left = [batch for _, batch in unread(log, bytes_max=100)]
        log.close()
        assert (
            set(_untouched(before, bytes(data), batches)) <= set(left) <= set(batches)
        )
        assert found.records == len(left)
        _check_told(batches, left, found, bytes(data))
        log = SegmentLog(folder)
        again = log.open(timeout_s=NOW)
        log.close()
        assert again.records == len(left)
        assert not again.damages
        assert not again.unfinished


RECORD_BYTES = HEADER_BYTES + 6 * 20


def _without(missing: list[int], batches: list[Batch]) -> list[Batch]:
    return [batch for at, batch in enumerate(batches) if at not in missing]


def _flip(data: bytearray) -> None:
    data[3 * RECORD_BYTES + 50] ^= 8


def _zero(data: bytearray) -> None:
    data[3 * RECORD_BYTES + 50 : 5 * RECORD_BYTES + 1] = bytes(2 * RECORD_BYTES - 49)


def _cut(data: bytearray) -> None:
    del data[9 * RECORD_BYTES + 50 :]


def _cut_between(data: bytearray) -> None:
    del data[9 * RECORD_BYTES :]


def _drop(data: bytearray) -> None:
    del data[3 * RECORD_BYTES + 50 : 5 * RECORD_BYTES + 1]


def _drop_whole(data: bytearray) -> None:
    del data[3 * RECORD_BYTES : 5 * RECORD_BYTES]


def _insert(data: bytearray) -> None:
    data[3 * RECORD_BYTES + 50 : 3 * RECORD_BYTES + 50] = b"TRQ1" * 30


def _insert_between(data: bytearray) -> None:
    data[3 * RECORD_BYTES : 3 * RECORD_BYTES] = b"TRQ1" * 30


@pytest.mark.parametrize(
    ("harm", "missing", "told", "unfinished"),
    [
        (_flip, [3], 1, 0),
        (_zero, [3, 4, 5], 3, 0),
        (_cut, [9, 10, 11], 0, 1),
        (_cut_between, [9, 10, 11], 0, 0),
        (_drop, [3, 4, 5], 3, 0),
        (_drop_whole, [3, 4], 2, 0),
        (_insert, [3], 1, 0),
        (_insert_between, [], 0, 0),
    ],
)
def test_as_many_are_told_as_are_missing(
    tmp_path: Path,
    harm: Callable[[bytearray], None],
    missing: list[int],
    told: int,
    unfinished: int,
) -> None:
    """At a start each kind of harm costs exactly these records and tells so many; what
    stood at the end of a file that was cut, nobody can know."""
    log, batches = opened(tmp_path), batches_of(12)
    log.append(batches)
    log.close()
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    log = SegmentLog(tmp_path)
    found = log.open(timeout_s=NOW)
    assert [batch for _, batch in unread(log)] == _without(missing, batches)
    assert sum(one.damage.records for one in found.damages) == told
    assert found.unfinished == unfinished
    log.close()


@pytest.mark.parametrize(
    ("harm", "missing"),
    [
        (_flip, [3]),
        (_zero, [3, 4, 5]),
        (_cut, [9, 10, 11]),
        (_cut_between, [9, 10, 11]),
        (_drop, [3, 4, 5]),
        (_drop_whole, [3, 4]),
    ],
)
@pytest.mark.parametrize("bytes_max", [100, 1 << 20])
def test_what_goes_missing_while_it_runs_is_told(
    tmp_path: Path,
    harm: Callable[[bytearray], None],
    missing: list[int],
    bytes_max: int,
) -> None:
    """A log that knows what it wrote tells exactly how many records are missing, those
    at the end of a file that was cut, too."""
    log, batches = opened(tmp_path), batches_of(12)
    log.append(batches)
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    left, told, lost, chunk = [], 0, 0, Chunk(log.start)
    while not chunk.at_end:
        chunk = log.read(chunk.cursor, bytes_max)
        left += [batch for _, batch in chunk.records]
        told += sum(one.damage.records for one in chunk.damages)
        lost += chunk.lost[0]
    assert left == _without(missing, batches)
    assert (told, lost) == (len(missing), len(missing))
    log.close()


@settings(max_examples=100, deadline=None)
@given(harms=st.lists(_harm(), min_size=1, max_size=3))
def test_a_harmed_journal_costs_duplicates_only(
    harms: list[Callable[[bytearray], None]],
) -> None:
    """What a damaged journal no longer names comes back; what was never done stays."""
    batches = batches_of(12)
    with TemporaryDirectory() as name:
        folder = Path(name) / "queue"
        log = opened(folder)
        places = [stored.place for stored in log.append(batches)]
        log.done(places[:9])
        log.close()
        (path,) = folder.glob("*.done")
        data = bytearray(path.read_bytes())
        for harm in harms:
            if data:
                harm(data)
        path.write_bytes(data)
        left = left_in(folder)
        assert set(batches[9:]) <= set(left) <= set(batches)
