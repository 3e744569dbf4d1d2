"""The file_storage extension: folders, workers, what is left over, what it refuses."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tailring_pipeline import (
    Batch,
    Entry,
    ExporterMetrics,
    FileStorage,
    FileStorageConfig,
    QueueConfig,
    Signal,
    Worker,
)
from tailring_runtime.config import ComponentId, Role
from tailring_runtime.metrics import Metrics

ONE = ComponentId("otlp", "a")
QUEUE = QueueConfig.model_validate({"storage": "file_storage"})


def _config(folder: Path, **keys: Any) -> FileStorageConfig:
    return FileStorageConfig.model_validate({"directory": str(folder), **keys})


def _problem(written: Mapping[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        FileStorageConfig.model_validate(written)
    return "; ".join(error["msg"] for error in caught.value.errors())


async def _filled(folder: Path, worker: Worker, payload: bytes) -> None:
    """A process of that worker leaves a batch behind."""
    storage = FileStorage(_config(folder), name="file_storage", worker=worker)
    await storage.start()
    store = storage.store(ONE, QUEUE, metrics=ExporterMetrics(Metrics(), "otlp/a"))
    await store.start()
    await store.put(Entry(Batch(payload, 1)), waits=False)
    await store.stop()


async def _found(folder: Path, worker: Worker) -> int:
    """How many batches a process of that worker finds."""
    storage = FileStorage(_config(folder), name="file_storage", worker=worker)
    await storage.start()
    store = storage.store(ONE, QUEUE, metrics=ExporterMetrics(Metrics(), "otlp/a"))
    items = await store.start()
    await store.stop()
    return items


@pytest.mark.parametrize(
    ("component", "signal", "name"),
    [
        (ComponentId("otlp"), Signal.TRACES, "exporter_otlp__traces"),
        (ComponentId("otlp", "x"), Signal.LOGS, "exporter_otlp_x_logs"),
        (ComponentId("otlp", "x/y"), Signal.METRICS, "exporter_otlp_x~002Fy_metrics"),
        (ComponentId("otlp", "~"), Signal.TRACES, "exporter_otlp_~007E_traces"),
    ],
)
def test_a_queue_has_a_folder_of_its_own(
    tmp_path: Path, component: ComponentId, signal: Signal, name: str
) -> None:
    """Exporter and signal make the name, as upstream names its files."""
    storage = FileStorage(_config(tmp_path), name="file_storage")
    assert storage.client(component, signal) == tmp_path / name


def test_a_long_name_is_a_hash(tmp_path: Path) -> None:
    """A name that no file system takes is replaced."""
    storage = FileStorage(_config(tmp_path), name="file_storage")
    long = storage.client(ComponentId("otlp", "x" * 1000), Signal.TRACES)
    assert len(long.name) == 64


def test_a_worker_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Workers of one supervisor never share a folder."""
    storage = FileStorage(_config(tmp_path), name="x", worker=Worker(3, 4))
    folder = storage.client(ONE, Signal.TRACES)
    assert folder == tmp_path / "worker-3" / "exporter_otlp_a_traces"


@pytest.mark.parametrize(
    ("before", "after", "finds"),
    [
        # The same workers find their own.
        ([Worker(0, 2), Worker(1, 2)], [(Worker(0, 2), 1), (Worker(1, 2), 1)], 2),
        # Fewer: what is left over goes to the first.
        ([Worker(0, 3), Worker(1, 3), Worker(2, 3)], [(Worker(0, 1), 3)], 3),
        ([Worker(1, 3), Worker(2, 3)], [(Worker(1, 2), 1), (Worker(0, 2), 1)], 2),
        # From one process to workers, and back.
        ([Worker()], [(Worker(1, 2), 0), (Worker(0, 2), 1)], 1),
        ([Worker(0, 2), Worker(1, 2)], [(Worker(), 2)], 2),
    ],
)
async def test_what_workers_left_is_taken_over(
    tmp_path: Path,
    before: list[Worker],
    after: list[tuple[Worker, int]],
    finds: int,
) -> None:
    """Whatever the number of workers becomes, each batch is found by exactly one."""
    for worker in before:
        await _filled(tmp_path, worker, b"x")
    assert [await _found(tmp_path, worker) for worker, _ in after] == [
        items for _, items in after
    ]
    assert sum(items for _, items in after) == finds


async def test_the_directory_is_made_with_its_permissions(tmp_path: Path) -> None:
    """create_directory makes the whole path, with the permissions that are written."""
    folder = tmp_path / "a" / "b"
    keys = {"create_directory": True, "directory_permissions": "0700"}
    await FileStorage(_config(folder, **keys), name="file_storage").start()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_directory_has_to_exist(tmp_path: Path) -> None:
    """Without create_directory a missing one is an error with upstream's words."""
    said = _problem({"directory": str(tmp_path / "none")})
    assert "directory must exist: stat " in said
    assert "You can enable the create_directory option" in said


def test_compaction_is_taken_with_a_word(tmp_path: Path) -> None:
    """Keys that have no effect are named in a warning; without them there is none."""
    written = _config(tmp_path, compaction={"on_start": True, "directory": "/tmp"})
    assert "no effect" in "".join(written.compaction.advice())
    assert not list(_config(tmp_path).compaction.advice())


def test_it_keeps_data(tmp_path: Path) -> None:
    """A key that wants storage may name it, and one that wants to be known may not."""
    assert list(_config(tmp_path).roles()) == [Role.STORAGE]
