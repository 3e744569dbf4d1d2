"""``exporters.file``: requests as lines of JSON or length-prefixed protobuf.

The files are upstream's, byte for byte. Rules:

* ``consume`` returns when the record was handed to the system. A disk that takes
  nothing refuses, and nothing of that request is in the file.
* One component is one file, whatever pipelines of whichever signals name it.
* All that blocks, conversion to JSON included, runs in one thread of the component.
* Resources that `group_by` finds no file for are rejected; the rest of their request
  is written.

It has no queue and no retry, as upstream: whoever gives it data still has it.
"""

from __future__ import annotations

import asyncio
import errno
import posixpath
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from tailring_otlpio.file_config import FileExporterConfig
from tailring_otlpio.file_groups import groups_of
from tailring_otlpio.file_output import FileOutput
from tailring_otlpio.json_output import request_to_json
from tailring_otlpwire import marked
from tailring_pipeline import (
    Batch,
    ExporterMetrics,
    FailureLog,
    Refused,
    Rejected,
    Wakeups,
)
from tailring_runtime.errors import StartError
from tailring_runtime.logs import get_logger

__all__ = ["FileExporter", "Files"]

T = TypeVar("T")

_LENGTH_BYTES: Final = 4
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Files:
    """The files of one component, shared by its signals; owned by the event loop."""

    def __init__(self, config: FileExporterConfig, *, marks: bool = False) -> None:
        """``marks``: requests may bear marks, which are not for the file."""
        self._config = config
        self._marks = marks
        self._users = 0
        self._thread: ThreadPoolExecutor | None = None
        self._open: OrderedDict[str, FileOutput] = OrderedDict()
        # What this process has begun is never emptied again.
        self._begun: set[str] = set()

    async def start(self) -> None:
        """Open the file, for the first who asks. Raises `StartError`."""
        self._users += 1
        if self._users > 1:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="file exporter")
        try:
            await self._run(self._prepare)
        except OSError as error:
            await self.stop()
            path = self._config.path
            raise StartError(f"path: {path}: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Close everything, for the last who leaves."""
        self._users -= 1
        if self._users or self._thread is None:
            return
        await self._run(self._close)
        self._thread.shutdown(wait=False)
        self._thread = None

    async def write(self, batch: Batch) -> None:
        """Append one request. Raises `Refused` or `Rejected`; see the module."""
        await self._run(lambda: self._write(batch))

    async def _run(self, job: Callable[[], T]) -> T:
        assert self._thread is not None, "it was not started"
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    # ------------------------------------------------------------ in the thread

    def _prepare(self) -> None:
        config = self._config
        if config.create_directory and not config.group_by.enabled:
            folder = Path(config.path).parent
            folder.mkdir(config.directory_mode, parents=True, exist_ok=True)
        if not config.group_by.enabled:
            self._output(config.path)

    def _close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _write(self, batch: Batch) -> None:
        if self._marks:
            batch = replace(batch, payload=marked(batch.payload, b""))
        if not self._config.group_by.enabled:
            self._append(self._config.path, batch)
            return
        attribute = self._config.group_by.resource_attribute
        groups, homeless = groups_of(batch, attribute)
        for at, group in enumerate(groups):
            try:
                self._append(_path_of(self._config.path, group.value), group.batch)
            except Refused as refused:
                left = [*(group.batch for group in groups[at:]), homeless]
                raise _about(refused, left, batch) from refused
        if homeless.items:
            detail = f"resources without the attribute {attribute} have no file"
            raise Rejected("no_group", detail, items=homeless.items)

    def _append(self, path: str, batch: Batch) -> None:
        record = self._record(batch)
        try:
            self._output(path).write(record)
        except OSError as error:
            reason = "storage_full" if error.errno in _FULL else "storage_failed"
            detail = f"{path}: {error.strerror or error}"
            raise Refused(reason, detail) from error

    def _record(self, batch: Batch) -> bytes:
        if self._config.format == "json":
            return request_to_json(batch.payload, batch.signal) + b"\n"
        size = len(batch.payload).to_bytes(_LENGTH_BYTES, "big")
        return size + batch.payload

    def _output(self, path: str) -> FileOutput:
        output = self._open.get(path)
        if output is not None:
            self._open.move_to_end(path)
            return output
        config = self._config
        if config.group_by.enabled:
            folder = Path(path).parent
            folder.mkdir(config.directory_mode, parents=True, exist_ok=True)
            if len(self._open) >= config.group_by.max_open_files:
                self._open.popitem(last=False)[1].close()
        output = FileOutput(
            Path(path),
            append=config.append or path in self._begun,
            rotation=config.rotation,
        )
        self._begun.add(path)
        self._open[path] = output
        return output


class FileExporter:
    """A `Stage` and `Consumer` of one signal; see the module."""

    def __init__(self, files: Files, *, metrics: ExporterMetrics) -> None:
        self._files = files
        self._metrics = metrics
        self._writing = 0
        self._idle = Wakeups()
        self._started = False
        self._closed = False
        self._failures = FailureLog(
            "Exporting failed. Rejecting data.",
            log=get_logger(exporter=metrics.exporter_id),
        )
        metrics.watch_in_flight(lambda: self._writing)

    async def consume(self, batch: Batch) -> None:
        """Write the batch; raises `Refused` while the disk takes nothing."""
        if self._closed:
            self._metrics.enqueue_failed.add(batch.items)
            raise Refused("draining", "the exporter is stopping")
        self._writing += 1
        try:
            await self._files.write(batch)
        except (Refused, Rejected) as error:
            failed = error.items_of(batch)
            self._metrics.sent.add(batch.items - failed)
            self._metrics.send_failed.add(failed)
            self._failures.failed(error, failed)
            raise
        else:
            self._metrics.sent.add(batch.items)
        finally:
            self._writing -= 1
            if not self._writing:
                self._idle.wake_all()

    async def start(self) -> None:
        """Open the file. Raises `StartError` when that cannot be done."""
        await self._files.start()
        self._started = True

    def close(self) -> None:
        """Refuse new batches."""
        self._closed = True

    async def join(self, timeout_s: float) -> None:
        """Wait until what is being written was."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._writing and loop.time() < deadline_s:
            await self._idle.wait(deadline_s - loop.time())

    async def terminate(self) -> None:
        """Close the file. Safe twice."""
        self._closed = True
        if self._started:
            self._started = False
            await self._files.stop()
        self._failures.flush()


def _about(refused: Refused, left: Sequence[Batch], batch: Batch) -> Refused:
    """The refusal of what is not written yet of the batch that the caller handed in."""
    items = sum(one.items for one in left)
    if items >= batch.items:
        return refused
    payload = b"".join(one.payload for one in left)
    remaining = Batch(payload, items, batch.signal)
    return Refused(refused.reason, refused.detail, remaining=remaining)


def _path_of(pattern: str, value: str) -> str:
    """The file of a value, never outside of what stands before the *: as upstream."""
    before, _, after = pattern.partition("*")
    prefix = posixpath.normpath(before)
    if before.endswith("/") and not prefix.endswith("/"):
        prefix += "/"
    if value.startswith("./"):
        value = value[1:]
    elif value.startswith("../"):
        value = value[2:]
    path = posixpath.normpath(prefix + value + after)
    if path.startswith(prefix):
        return path
    return posixpath.normpath(
        f"{prefix}/{posixpath.normpath('/' + value + after).lstrip('/')}"
    )
