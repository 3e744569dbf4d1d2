"""A real process that is killed while it writes: what it acknowledged is there."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
from libs.pipeline.tests import disk_child
from libs.pipeline.tests.disk_child import payload_of

from tailring_pipeline.segment_log import SegmentLog
from tailring_testkit.process import Child, logged

MANY = 10_000_000


def _said(child: Child, word: str) -> set[int]:
    """Numbers in whole lines: the last one may be cut off."""
    lines = [line.split(" ") for line in child.log().split("\n")[:-1]]
    return {int(line[1]) for line in lines if line[0] == word}


def _left(folder: Path) -> dict[int, bytes]:
    """What a new process finds, by number."""
    log = SegmentLog(folder)
    recovered = log.open(timeout_s=5.0)
    assert not recovered.damages
    found: dict[int, bytes] = {}
    cursor, at_end = log.start, False
    while not at_end:
        chunk = log.read(cursor, 1 << 20)
        for _, batch in chunk.records:
            found[int.from_bytes(batch.payload[:4], "big")] = batch.payload
        cursor, at_end = chunk.cursor, chunk.at_end
    log.close()
    return found


def _child(folder: Path, *words: str) -> Child:
    script = Path(disk_child.__file__)
    command: list[str | Path] = [sys.executable, script, folder / "queue", *words]
    return Child(command, log=folder / f"{time.monotonic_ns()}.log")


@pytest.mark.parametrize("fsync", ["0", "1"])
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, fsync: str) -> None:
    """Killed at random moments, one process after the other: every acknowledged batch
    is on disk as it was, or was delivered, and nothing there is damaged."""
    rng = random.Random(int(fsync))
    acknowledged: set[int] = set()
    delivered: set[int] = set()
    for life in range(4):
        child = _child(tmp_path, fsync, str(life * MANY))
        child.wait_ready(logged("ok "))
        time.sleep(rng.uniform(0.05, 0.4))
        child.kill()
        acknowledged |= _said(child, "ok")
        delivered |= _said(child, "out")
        left = _left(tmp_path / "queue")
        assert acknowledged <= left.keys() | delivered
        for number in rng.sample(sorted(left), min(len(left), 200)):
            assert left[number] == payload_of(number)
    assert len(acknowledged) > 100
    assert len(left) > 50


def test_a_file_that_may_not_grow_refuses_and_goes_on(tmp_path: Path) -> None:
    """A write that the kernel cuts off is refused, taken back, and the next one goes
    into a new file; what was acknowledged is there after a SIGKILL."""
    child = _child(tmp_path, "0", "0", str(300_000))
    child.wait_ready(logged("full "))
    time.sleep(0.5)
    child.kill()
    acknowledged, delivered = _said(child, "ok"), _said(child, "out")
    assert acknowledged
    left = _left(tmp_path / "queue")
    assert acknowledged <= left.keys() | delivered
    assert all(payload_of(number) == left[number] for number in left)
