"""A sending queue on disk in front of a sink, for the tests of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from tailring_pipeline.segment import read_at
from tailring_pipeline.segment_log import SegmentLog
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics
from tailring_testkit.sink import Sink

LARGE = 1 << 20


def batch(number: int, size: int = 100) -> Batch:
    """A batch that is known by its number."""
    return Batch(f"{number:06d}".encode() + os.urandom(size), 1)


class Disk:
    """Takes everything until it is told to be full."""

    def __init__(self) -> None:
        self.full = False
        # Error numbers of the next reads, which fail.
        self.read_errors: list[int] = []

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        """Write, or say that there is no room."""
        if self.full:
            raise OSError(28, "No space left on device")
        return os.writev(fd, buffers)

    def read(self, path: Path, offset: int, nbytes: int) -> bytes:
        """Read, or fail as often as was said."""
        if self.read_errors:
            number = self.read_errors.pop(0)
            raise OSError(number, os.strerror(number), str(path))
        return read_at(path, offset, nbytes)


class Rig:
    """A sending queue on disk in front of a sink."""

    def __init__(
        self,
        folder: Path,
        written: Mapping[str, Any] | None = None,
        *,
        disk: Disk | None = None,
        **settings: Any,
    ) -> None:
        config = QueueConfig.model_validate(
            {"storage": "file_storage", **(written or {})}
        )
        self.sink = Sink()
        self.disk = disk or Disk()
        self.metrics = Metrics()
        self.store = DiskStore(
            DiskSettings(folder / "queue", lock_timeout_s=0, **settings),
            Room.of(config),
            metrics=StorageMetrics(self.metrics, "otlp", log=get_logger()),
            segments=SegmentLog(
                folder / "queue", write=self.disk.write, read=self.disk.read
            ),
        )
        self.queue = SendingQueue(
            config,
            consumer=self.sink,
            metrics=ExporterMetrics(self.metrics, "otlp"),
            store=self.store,
        )

    def value(self, name: str) -> float:
        """The value of a metric."""
        return self.metrics.value(name)

    async def consume(self, *batches: Batch) -> None:
        """Hand them in, one after the other."""
        for one in batches:
            await self.queue.consume(one)

    async def stop(self, join_s: float = 5.0) -> None:
        """A whole drain."""
        self.queue.check_invariants()
        self.queue.close()
        await self.queue.join(join_s)
        await self.queue.terminate()
        self.queue.check_invariants()


@asynccontextmanager
async def started(folder: Path, *args: Any, **kwargs: Any) -> AsyncIterator[Rig]:
    """A rig that runs, and is terminated at the end."""
    rig = Rig(folder, *args, **kwargs)
    await rig.queue.start()
    try:
        yield rig
    finally:
        await rig.queue.terminate()
