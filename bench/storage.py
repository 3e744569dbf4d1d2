"""The queue on disk alone: records and bytes a second, CPU a span, longest turn.

``python -m bench.storage`` writes a load to a folder (``--folder``, which decides the
disk) in requests of some sizes, with and without ``fsync``, and reads it back as a
process that starts with a backlog does. Both go through the sending queue, as in a
router; what is behind it takes everything at once. Takes about a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.stream import Stream
from structlog.testing import capture_logs

from tailring_pipeline import (
    Batch,
    DiskSettings,
    DiskStore,
    ExporterMetrics,
    QueueConfig,
    Room,
    SendingQueue,
    StorageMetrics,
)
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_runtime.process import tune_collector
from tailring_runtime.settings import Settings

__all__ = ["main", "section"]

_SIZES = (10, 100, 1000)
_LOAD_BYTES = 256 << 20
_RECORDS_MAX = 20_000
_SENDERS = 64
_ABOUT = """\
`python -m bench.storage`: up to 20,000 records or 256 MiB are written by 64 senders
through a sending queue with `storage`, and read back as after a restart. Microseconds
of CPU are those of the whole process; the longest turn is what the event loop did at a
stretch, in CPU time."""
_HEADER = (
    "| spans a record | fsync | written: records/s | MB/s | us CPU a span"
    " | read back: records/s | MB/s | us CPU a span | longest turn ms |"
)


@dataclass(slots=True)
class _Figures:
    records: int
    nbytes: int
    spans: int
    wall_s: float
    cpu_s: float

    def cells(self) -> str:
        """For the table."""
        return (
            f"{self.records / self.wall_s:,.0f}"
            f" | {self.nbytes / self.wall_s / 1e6:,.0f}"
            f" | {self.cpu_s / self.spans * 1e6:.2f}"
        )


class _Takes:
    """Takes everything at once, or nothing while ``held``."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def consume(self, batch: Batch) -> None:  # noqa: ARG002 - see `Consumer`
        """Take it, in a turn of its own as from a network."""
        await self.open.wait()
        await asyncio.sleep(0)


class _Heartbeat:
    """The longest turn of the event loop, in CPU time of its thread: what others do on
    the machine does not count."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - before_s)


def _queue(folder: Path, *, fsync: bool) -> tuple[SendingQueue, _Takes]:
    keys = {"storage": "file_storage", "queue_size": 1 << 30, "num_consumers": 1000}
    config = QueueConfig.model_validate(keys)
    metrics, takes = Metrics(), _Takes()
    store = DiskStore(
        DiskSettings(folder, fsync=fsync),
        Room.of(config),
        metrics=StorageMetrics(metrics, "bench", log=get_logger()),
    )
    counts = ExporterMetrics(metrics, "bench")
    return SendingQueue(config, consumer=takes, metrics=counts, store=store), takes


async def _row(folder: Path, size: int, *, fsync: bool) -> str:
    tune_collector(Settings().gc_threshold)
    stream = Stream(size, scattered=False, seed=5)
    (payload,) = next(stream.rounds()).payloads
    batch = Batch(payload, size)
    records = min(_RECORDS_MAX, _LOAD_BYTES // len(payload))
    totals = (records, records * len(payload), records * size)
    heart = _Heartbeat()
    beating = asyncio.get_running_loop().create_task(heart.beat())
    queue, _ = _queue(folder, fsync=fsync)
    await queue.start()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(_SENDERS):
            group.create_task(_send(queue, batch, records // _SENDERS))
    written = _since(totals, began_s, began_cpu_s)
    longest_s = heart.longest_s
    await queue.terminate()
    queue, takes = _queue(folder, fsync=fsync)
    takes.open.set()
    await asyncio.sleep(0.01)
    heart.longest_s = longest_s
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await queue.start()
    await queue.join(600)
    read = _since(totals, began_s, began_cpu_s)
    beating.cancel()
    await queue.terminate()
    pause_ms = heart.longest_s * 1e3
    mark = "yes" if fsync else "no"
    return f"| {size} | {mark} | {written.cells()} | {read.cells()} | {pause_ms:.1f} |"


async def _send(queue: SendingQueue, batch: Batch, count: int) -> None:
    for _ in range(count):
        await queue.consume(batch)


def _since(
    totals: tuple[int, int, int], began_s: float, began_cpu_s: float
) -> _Figures:
    wall_s = time.perf_counter() - began_s
    return _Figures(*totals, wall_s, time.process_time() - began_cpu_s)


def section(folder: Path | None = None) -> str:
    """The part of the page; ``folder`` is on the disk to be measured."""
    place = Path(tempfile.mkdtemp(dir=folder))
    rows = [_HEADER, "|" + "---|" * (_HEADER.count("|") - 1)]
    cases = [(fsync, size) for fsync in (False, True) for size in _SIZES]
    try:
        with capture_logs():  # what is told at each start is not for a table
            for fsync, size in cases:
                at = place / f"{size}-{fsync}"
                rows.append(asyncio.run(_row(at, size, fsync=fsync)))
    finally:
        shutil.rmtree(place)
    return "\n".join(["", "## The queue on disk alone", "", _ABOUT, "", *rows, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    about = (__doc__ or "").split("\n\n", 1)[1]
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=about)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    given = parser.parse_args(arguments)
    print(section(given.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
