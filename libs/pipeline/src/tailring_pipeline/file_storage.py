"""The ``file_storage`` extension: who has which folder of the directory.

    <directory>[/worker-<n>]/exporter_<type>_<name>_<signal>

Each exporter, signal and worker has a folder of its own, named as upstream names its
files. What workers left that no longer exist (there are fewer now, or none, or there
were none before) is taken over by worker 0, or by the only process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tailring_pipeline.consumer import Signal
from tailring_pipeline.disk_settings import DiskSettings
from tailring_pipeline.disk_store import DiskStore
from tailring_pipeline.exporter_metrics import ExporterMetrics
from tailring_pipeline.file_storage_config import FileStorageConfig
from tailring_pipeline.queue_config import QueueConfig
from tailring_pipeline.segment import sync_folder
from tailring_pipeline.storage_metrics import StorageMetrics
from tailring_pipeline.store import Room
from tailring_runtime.config import ComponentId
from tailring_runtime.logs import get_logger
from tailring_runtime.metrics import Metrics

__all__ = ["FileStorage", "Worker", "file_storage_of"]

_NS_PER_S: Final = 1_000_000_000
_NAME_BYTES_MAX: Final = 255
_WORKER: Final = re.compile(r"worker-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of how many processes this one is; ``index`` None: the only one."""

    index: int | None = None
    count: int = 1

    @property
    def adopts(self) -> bool:
        """Whether it takes over what others left."""
        return self.index in (None, 0)


class FileStorage:
    """A `Stage` that no data passes; gives each queue its `DiskStore`."""

    def __init__(
        self, config: FileStorageConfig, *, name: str, worker: Worker | None = None
    ) -> None:
        self.name = name
        self._config = config
        self._worker = worker or Worker()
        self._root = Path(config.directory)

    def client(self, component: ComponentId, signal: Signal) -> Path:
        """The folder of an exporter's queue."""
        return self._base / folder_name(component, signal)

    def store(
        self,
        component: ComponentId,
        queue: QueueConfig,
        *,
        metrics: ExporterMetrics,
        park_s: float | None = None,
    ) -> DiskStore:
        """The store of an exporter's queue, not started; ``park_s`` as in `Store`."""
        config, signal = self._config, metrics.signal
        folder = self.client(component, signal)
        name = metrics.exporter_id
        log = get_logger(exporter=name)
        return DiskStore(
            DiskSettings(
                folder,
                fsync=config.fsync,
                folder_bytes_max=config.max_size,
                park_s=park_s,
                lock_timeout_s=config.timeout / _NS_PER_S,
                leftovers=lambda: list(self._leftovers(folder.name)),
            ),
            Room.of(queue),
            metrics=StorageMetrics(metrics.registry, name, log=log, signal=signal),
        )

    @property
    def _base(self) -> Path:
        index = self._worker.index
        return self._root if index is None else self._root / f"worker-{index}"

    def _leftovers(self, name: str) -> Iterator[Path]:
        """Folders of that queue which belong to no process of today."""
        if not self._worker.adopts:
            return
        places = [*self._root.glob("worker-*")]
        found = [(place, _WORKER.fullmatch(place.name)) for place in places]
        alone = self._worker.index is None
        gone = [
            place
            for place, match in found
            if match and (alone or int(match[1]) >= self._worker.count)
        ]
        for place in (*sorted(gone), *([] if alone else [self._root])):
            if (place / name).is_dir():
                yield place / name

    async def start(self) -> None:
        """Make the directories. Raises OSError."""
        config = self._config
        if config.create_directory:
            self._root.mkdir(config.permissions, parents=True, exist_ok=True)
        if self._base != self._root:
            self._base.mkdir(config.permissions, exist_ok=True)
        if config.fsync:
            for folder in (self._root.parent, self._root):
                sync_folder(folder)

    def close(self) -> None:
        """Nothing comes in here."""

    async def join(self, timeout_s: float) -> None:
        """Nothing is held here."""

    async def terminate(self) -> None:
        """Nothing is open here: each queue has its own folder open."""


def file_storage_of(
    worker: Worker,
) -> Callable[[ComponentId, FileStorageConfig, Metrics], FileStorage]:
    """How that worker makes the extension from its model."""

    def make(
        component: ComponentId, config: FileStorageConfig, _metrics: Metrics
    ) -> FileStorage:
        """Its queues count in the metrics of their exporters."""
        return FileStorage(config, name=str(component), worker=worker)

    return make


def folder_name(component: ComponentId, signal: Signal) -> str:
    """A name that no other exporter and signal has; as upstream's file names."""
    raw = f"exporter_{component.type}_{component.name}_{signal.value}"
    name = "".join(_safe(char) for char in raw)
    if len(name) > _NAME_BYTES_MAX:
        return sha256(name.encode()).hexdigest()
    return name


def _safe(char: str) -> str:
    if char.isascii() and (char.isalnum() or char in ".-_"):
        return char
    return f"~{ord(char):04X}"
